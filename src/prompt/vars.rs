//! The variables that templates may use. `docs/prompts.md` lists them, and a test holds it to that.
//!
//! All of them are always there: what is not known is `none`, empty or false. Whoever fills them
//! in keeps them bounded and safe to show, but for the user's own texts, which are given in full.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vars {
    pub guidelines: String,
    pub task: Task,
    pub step: Step,
    pub attempt: u32,
    pub worktree: String,
    pub port: Option<u16>,
    pub renewed: Option<Renewed>,
    pub landed: Vec<Landed>,
    pub more_landed: usize,
    pub earlier_steps: Vec<Named>,
    pub previous: Option<Previous>,
    pub conflict: Option<Conflict>,
    pub hints: Vec<String>,
    pub restored: bool,
    pub protect: Vec<String>,
    pub paths: Vec<String>,
    pub checks: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Task {
    pub id: String,
    pub title: String,
    pub epic: Option<String>,
    pub labels: Vec<String>,
    /// `worktree` or `checkout`.
    pub workspace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Step {
    pub id: String,
    pub title: String,
    /// As the user wrote it, with its `${{ }}` filled in.
    pub text: String,
    pub is_subtask: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Named {
    pub id: String,
    pub title: String,
}

/// The task was done before, and its inputs have changed since.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Renewed {
    /// The commit that it was done in, none where it committed nothing.
    pub commit: Option<String>,
    pub inputs: Vec<String>,
    pub more_inputs: usize,
}

/// What a dependency landed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Landed {
    pub id: String,
    pub title: String,
    /// None where it committed nothing, or where there is no room for more.
    pub change: Option<Change>,
}

/// What a commit changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    pub commit: String,
    pub subject: String,
    pub files: Vec<File>,
    pub more_files: usize,
    /// The sums, such as `2 files, +40 -3`.
    pub stat: String,
}

/// Without numbers where it is not text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct File {
    pub path: String,
    pub added: Option<u64>,
    pub removed: Option<u64>,
}

/// The attempt before this one, which failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Previous {
    /// As in the event log, such as `verify`.
    pub class: String,
    /// The same in words.
    pub why: String,
    pub message: String,
    /// The files that it is about, where it is about files.
    pub paths: Vec<String>,
    pub more_paths: usize,
    /// The end of the output that shows it, and the file that has all of it.
    pub output: String,
    pub log: Option<String>,
    /// What it had made, none where it left nothing or that is gone.
    pub left: Option<Left>,
}

/// What an attempt that failed left in git.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Left {
    /// The commit that it began from, and the ref of what it left.
    pub base: String,
    pub reference: String,
    /// Its own words.
    pub summary: String,
    pub files: Vec<File>,
    pub more_files: usize,
    pub stat: String,
}

/// What the attempt before this one could not be merged with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conflict {
    pub paths: Vec<String>,
    pub more_paths: usize,
    /// What landed since and touches these paths, the newest first.
    pub landed: Vec<Commit>,
    pub more_landed: usize,
    /// What the earlier attempt committed.
    pub made: Vec<Commit>,
    pub more_made: usize,
    /// The files that it changed, as `git diff --stat` shows them.
    pub stat: String,
    /// Its own words.
    pub summary: String,
    /// The commit that it began from, and the ref of what it made.
    pub base: String,
    pub reference: String,
    /// `paths` for a command line, where they are few and harmless there.
    pub arguments: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Commit {
    pub short: String,
    pub subject: String,
    pub task: Option<String>,
}
