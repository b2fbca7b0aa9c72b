//! Agents as data: prompt to command line, output to events and a verdict.
//!
//! [`prompt`] says what the agent is told, [`invoke`] how its program is called, [`environment`]
//! what it inherits, [`verdict`] what came of it. Starts nothing, except that [`detect`] asks
//! installed programs for their version. Knows neither git nor how processes are kept; what an
//! agent prints is hostile input.

mod builtin;
mod classify;
mod conflict;
mod detect;
mod environment;
mod forms;
mod invoke;
mod lines;
mod login;
mod outcome;
mod prompt;
mod said;
mod stream;
mod usage;
mod verdict;
mod work;

pub use conflict::{Commit, Conflict, MAX_COMMITS, MAX_PATHS};
pub use detect::{Found, detect, missing, program, version};
pub use environment::environment;
pub use invoke::{Context, Invocation, goes_on, invoke, session_id, shell};
pub use login::{Login, login};
pub use outcome::{MAX_OUTCOME, Said, misread, outcome_schema, said, weigh};
pub use prompt::prompt;
pub use said::{Heard, listen};
pub use stream::{AgentEvent, Reader, Report};
pub use usage::Used;
pub use verdict::{knows_no_conversation, verdict};
pub use work::{Change, File, Files, Landed, Left, MAX_FILES};
