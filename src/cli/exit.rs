//! Exit codes: one documented enum, so that a script can tell the cases apart.

use std::process::ExitCode;

use crate::report;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All selected work is done and published, or there was nothing to do.
    Done = 0,
    /// A selected task failed, or is blocked by a failure.
    Failed = 1,
    /// `plan --detailed-exitcode`: changes are pending.
    Pending = 2,
    /// Refused: needs a confirmation flag.
    Refused = 3,
    /// A selector matched nothing.
    NoMatch = 4,
    /// Stopped, not failed: run again to go on.
    Stopped = 5,
    /// Bad command line.
    Usage = 64,
    /// A bug, or an I/O error that nothing else covers.
    Internal = 70,
    /// The store is in use by another process.
    InUse = 75,
    /// Unfit configuration or repository.
    Unfit = 78,
    /// Interrupted by a person; state saved.
    Interrupted = 130,
    /// Terminated; state saved.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error as the program ends with it: what happened, and the code that says of which kind.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// Lines for people; the first says what happened, the others what to do next.
    pub message: String,
    /// What `--format json` answers beside the message, if there is more to say.
    pub details: serde_json::Value,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: serde_json::json!({}) }
    }
    /// The one document that a command which failed leaves on standard output.
    pub fn json(&self) -> serde_json::Value {
        let mut document = self.details.clone();
        document["format_version"] = report::json::FORMAT_VERSION.into();
        document["error"] = serde_json::json!({ "exit_code": self.exit as u8, "message": self.message });
        document
    }
    pub fn unfit(message: impl Into<String>) -> Self {
        Self::new(Exit::Unfit, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Failure::internal(error.to_string())
    }
}

pub type CliResult = Result<Exit, Failure>;
