//! Processes that outlive Drover: the shim, adoption, ending every descendant.
//!
//! A command runs under a *shim*, which is this program called with a hidden verb. The shim goes
//! on when Drover dies, so that a later Drover takes the command over instead of losing its work.
//! Everything the two sides know of each other lies in the step's directory:
//!
//! | File | Written by | Says |
//! |---|---|---|
//! | `spec.json` | Drover, before the spawn | what to run; removed once it runs, for it holds the whole environment |
//! | `stdin` | Drover, before the spawn | the command's input |
//! | `alive` | the shim alone locks it | locked: the shim lives. Only the kernel can free the lock of the living |
//! | `started` | the shim, once, under that lock | the command may have run: no other shim goes past this point, ever |
//! | `interrupt` | Drover | the command is to end, or not to start at all |
//! | `out.log`, `err.log` | the shim | what the command wrote; what was before, if it is much, in `out.1.log`, `err.1.log` |
//! | `shim.log` | the shim | what went wrong with the shim itself |
//! | `exit.json` | the shim, last | how it ended; no process of it is left |
//!
//! A step's directory serves one run of one command. Linux only.
//! Knows nothing of tasks, agents, git or the store.

mod changes;
mod dir;
mod log;
mod output;
mod run;
mod shim;
mod sys;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use changes::Changes;
pub use log::{Logs, Mask, redact};
pub use output::{err_log, out_log, output, pieces, stderr_tail, tail};
pub use run::{end, interrupt, probe, run, set_program};
pub use shim::shim_main;
pub use tree::{is_stopped, is_there, sweep, users_of, works_in};

/// The verb by which this program is told to be a shim: `drover __shim <step-dir>`.
pub const SHIM_VERB: &str = "__shim";
/// The environment variable by which what belongs to an attempt is found again.
pub const MARKER: &str = "DROVER_ATTEMPT";
/// The longest that a tethered command has from SIGTERM to SIGKILL: those who end Drover for good, as
/// the runners of CI do, give all of it some seconds.
pub const TETHERED_GRACE: Duration = Duration::from_secs(3);
/// The version of `spec.json`, `started` and `exit.json`.
const VERSION: u32 = 1;

/// A command, and how long it may take.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The value of [`MARKER`] for the command. Everything that carries it is killed when the
    /// command has ended, so no two commands may run under one `aid` at the same time.
    pub aid: String,
    /// The program, looked up in the `PATH` of `env` unless it holds a `/`, and its arguments.
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// The whole environment, but for [`MARKER`], which is added.
    pub env: BTreeMap<String, String>,
    /// `None` is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// The longest the command may run, by a clock that goes on while the machine sleeps.
    pub timeout: Duration,
    /// The longest it may stay silent on both stdout and stderr.
    pub stall_timeout: Option<Duration>,
    /// How long it has from SIGTERM to SIGKILL.
    pub grace: Duration,
    pub logs: Logs,
    /// It ends with the process that calls [`run`], however that ends; and when it is interrupted it has
    /// no longer than [`TETHERED_GRACE`].
    pub tethered: bool,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    TimedOut,
    Stalled,
    /// [`interrupt`] was called, or the shim got a SIGTERM from elsewhere.
    Interrupted,
    /// The command never ran: a missing program, a missing directory, an argument too long.
    NotStarted {
        why: String,
    },
}

/// What is left of a command that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    pub version: u32,
    pub ended: Ended,
    /// Milliseconds since 1970 by the wall clock.
    pub started_at: u64,
    /// Time spent, machine sleep included.
    pub duration_ms: u64,
    /// Descendants that could not be killed because they belong to another user (`sudo`).
    #[serde(default)]
    pub survivors: u32,
}

/// What came of a [`run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    Finished(ExitRecord),
    /// The shim died without a record. The command ran for an unknown time, or not at all;
    /// everything that carried its marker has been killed.
    Lost,
}

/// What a step's directory says right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// No command was started here.
    Fresh,
    /// `pid` is the shim's, for showing only; `None` in the instant before it has written it.
    Running {
        pid: Option<u32>,
    },
    Finished(ExitRecord),
    /// A shim was here and died without a record. Its command's processes may still live: [`sweep`].
    Lost,
}
