//! One file a verb: arguments to a request, errors to words and an exit code.

use std::process::ExitCode;

use crate::process;

/// Runs the program.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == process::SHIM_VERB) {
        return process::shim_main(&args.next().unwrap_or_default());
    }
    ExitCode::SUCCESS
}
