//! One file a verb: arguments to a request, errors to words and an exit code.
//!
//! The only room that reads the environment, the terminal and the arguments.

mod apply;
mod args;
mod context;
mod demo;
mod exit;
mod init;
mod plan;
mod recall;
mod schema;
mod signals;
mod status;
mod terminal;
mod validate;

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use exit::{CliResult, Exit, Failure};
use terminal::Terminal;

use crate::process;

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(dir) = shim_dir() {
        return process::shim_main(&dir);
    }
    if !cfg!(target_os = "linux") {
        eprintln!("error: Drover runs on Linux only: the other systems are not tested yet");
        return Exit::Unfit.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be said where nothing can be written.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let terminal = Terminal::new(&cli.global);
    terminal.start_log();
    let result = catch_unwind(|| run(&cli, &terminal)).unwrap_or_else(|_| Err(Failure::internal("Drover has a bug: the panic above says where. State on disk is as it was last reported; `drover resume` goes on from it. Please report it.")));
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if terminal.json {
                terminal.json(&failure.json());
            }
            terminal.error(&failure.message);
            failure.exit.into()
        }
    }
}

/// The shim does without everything else: it is small on purpose.
fn shim_dir() -> Option<std::ffi::OsString> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == process::SHIM_VERB).then(|| args.next().unwrap_or_default())
}

fn run(cli: &Cli, terminal: &Terminal) -> CliResult {
    match &cli.verb {
        Verb::Init(args) => init::run(&cli.global, terminal, args),
        Verb::Demo(args) => demo::run(&cli.global, terminal, args),
        Verb::Validate => validate::run(&cli.global, terminal),
        Verb::Plan(args) => plan::run(&cli.global, terminal, args),
        Verb::Apply(args) => apply::apply(&cli.global, terminal, args),
        Verb::Sync(args) => apply::sync(&cli.global, terminal, args),
        Verb::Run(args) => apply::run(&cli.global, terminal, args),
        Verb::Resume => apply::resume(&cli.global, terminal),
        Verb::Status(args) => status::run(&cli.global, terminal, args),
        Verb::Schema { name } => schema::run(terminal, *name),
        Verb::Shim { .. } => Err(Failure::new(Exit::Usage, "`__shim` is for Drover itself")),
    }
}
