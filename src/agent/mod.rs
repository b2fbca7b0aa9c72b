//! Agents as data: prompt to command line, output to events and a verdict.
//!
//! [`prompt`] says what the agent is told, [`invoke`] how its program is called, [`environment`]
//! what it inherits, [`verdict`] what came of it. Starts nothing, except that [`detect`] asks
//! installed programs for their version. Knows neither git nor how processes are kept; what an
//! agent prints is hostile input.

mod builtin;
mod detect;
mod environment;
mod invoke;
mod prompt;
mod stream;
mod verdict;

pub use detect::{Found, detect, missing};
pub use environment::environment;
pub use invoke::{Context, Invocation, invoke, session_id, shell};
pub use prompt::prompt;
pub use stream::{AgentEvent, Reader, Report};
pub use verdict::verdict;
