//! The only room that says git: worktrees, commits, landing, publishing, probes.
//!
//! git2 reads; every mutation goes through the git program, by one runner (`run`). Each
//! operation may be repeated after a kill at any instant, and nothing that a user or an agent
//! made is removed without proof that it is kept elsewhere. The room knows nothing of tasks,
//! the store or the clock: ids, times and messages come in as arguments. It assumes that its
//! caller holds the project's lock, so that no other Drover works in the same repository.

mod branches;
mod checkouts;
mod commit;
mod create;
mod diff;
mod error;
mod gc;
mod history;
mod hooks;
mod include;
mod leftover;
mod line;
mod local;
mod locks;
mod log;
mod lost;
mod message;
mod nested;
mod own;
mod past;
mod patience;
mod place;
mod publish;
mod push;
mod records;
mod refs;
mod remove;
mod repo;
mod reuse;
mod rules;
mod run;
mod settle;
mod snapshot;
mod standing;
mod strategy;
mod submodules;
mod taken;
mod tamper;
mod watch;
mod worktree;

pub use checkouts::{Place, UnderWay};
pub use commit::Merge;
pub use create::create;
pub use diff::FileChange;
pub use error::{GitError, Result, Unfit};
pub use gc::AttemptRef;
pub use hooks::keeps_record;
pub use line::{LineState, Lost};
pub use log::Logged;
pub use message::{message, trailers};
pub use own::Own;
pub use past::Past;
pub use patience::hang_up;
pub use place::{check_writable, worktrees_root};
pub use publish::Publish;
pub use push::{Fetched, Pushed, Trouble as RemoteTrouble};
pub use records::{Mark, Says, marks_of};
pub use repo::{Head, Repo};
pub use rules::Rules;
pub use run::Program;
pub use snapshot::Snapshot;
pub use strategy::{Finished, Onto};
pub use worktree::Worktree;
