//! What an agent is told of the conflict that an earlier attempt ran into: where, with whose
//! work, and where to look at what that attempt had made.
//!
//! Names of files, subjects and an agent's words are of others: of each there is only so much, and
//! the template puts each into a block that it cannot end.

use crate::base::text::{block, one_line};
use crate::prompt;

/// The most of each that is told.
pub const MAX_PATHS: usize = 50;
pub const MAX_COMMITS: usize = 20;
/// The most of a subject and of a path, in characters; of a summary and of a diff stat, in bytes.
const MAX_SUBJECT: usize = 120;
const MAX_PATH: usize = 300;
const MAX_SUMMARY: usize = 2000;
const MAX_STAT: usize = 4000;

/// A conflict with what landed, as the next attempt is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    pub paths: Vec<String>,
    /// What landed since the earlier attempt began and touches these paths, the newest first.
    pub landed: Vec<Commit>,
    /// What the earlier attempt committed.
    pub made: Vec<Commit>,
    /// In its own words.
    pub summary: String,
    /// The files that it changed, as `git diff --stat` shows them.
    pub stat: String,
    /// The commit that it began from, and the ref of what it made.
    pub base: String,
    pub reference: String,
}

/// A commit in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub short: String,
    pub subject: String,
    pub task: Option<String>,
}

/// For the prompt. Bounded, whatever it is given.
pub(super) fn vars(conflict: &Conflict) -> prompt::Conflict {
    prompt::Conflict {
        paths: conflict.paths.iter().take(MAX_PATHS).map(|p| one_line(p, MAX_PATH)).collect(),
        more_paths: conflict.paths.len().saturating_sub(MAX_PATHS),
        landed: commits(&conflict.landed),
        more_landed: conflict.landed.len().saturating_sub(MAX_COMMITS),
        made: commits(&conflict.made),
        more_made: conflict.made.len().saturating_sub(MAX_COMMITS),
        stat: block(super::lines::end_of(conflict.stat.trim_end(), MAX_STAT)),
        summary: block(start_of(conflict.summary.trim(), MAX_SUMMARY)),
        base: conflict.base.clone(),
        reference: conflict.reference.clone(),
        arguments: plain(&conflict.paths),
    }
}

fn commits(commits: &[Commit]) -> Vec<prompt::Commit> {
    let told = |c: &Commit| prompt::Commit {
        short: one_line(&c.short, 40),
        subject: one_line(&c.subject, MAX_SUBJECT),
        task: c.task.as_ref().map(|t| one_line(t, MAX_SUBJECT)),
    };
    commits.iter().take(MAX_COMMITS).map(told).collect()
}

pub(super) fn start_of(text: &str, most: usize) -> &str {
    let cut = (0..=most.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..cut]
}

/// The paths for a command line, where they are few and no shell sees anything in them.
fn plain(paths: &[String]) -> Option<String> {
    let harmless =
        |p: &String| p.chars().all(|c| c.is_ascii_alphanumeric() || "._/-+@".contains(c)) && !p.starts_with('-') && !p.is_empty();
    (!paths.is_empty() && paths.len() <= 10 && paths.iter().all(harmless)).then(|| paths.join(" "))
}
