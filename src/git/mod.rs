//! The only room that says git: worktrees, commits, landing, publishing, probes.
//!
//! git2 reads; every mutation goes through the git program, by one runner (`run`). Each
//! operation may be repeated after a kill at any instant, and nothing that a user or an agent
//! made is removed without proof that it is kept elsewhere. The room knows nothing of tasks,
//! the store or the clock: ids, times and messages come in as arguments. It assumes that its
//! caller holds the project's lock, so that no other Drover works in the same repository.

mod checkouts;
mod commit;
mod create;
mod error;
mod history;
mod include;
mod line;
mod local;
mod locks;
mod message;
mod nested;
mod place;
mod publish;
mod refs;
mod remove;
mod repo;
mod run;
mod settle;
mod snapshot;
mod worktree;

pub use commit::Merge;
pub use create::create;
pub use error::{GitError, Result, Unfit};
pub use history::Record;
pub use line::LineState;
pub use message::{message, trailers};
pub use place::{check_writable, worktrees_root};
pub use publish::Publish;
pub use repo::{Head, Repo};
pub use run::Program;
pub use snapshot::Snapshot;
pub use worktree::Worktree;
