//! What an agent is told of work that was done before it: by the tasks that its own builds on, and
//! by the attempt before this one.
//!
//! Names of files, subjects and an agent's words are of others: of each there is only so much, and
//! the template puts each into a block that it cannot end.

use super::conflict::start_of;
use super::prompt::MAX_TITLE;
use crate::base::TaskId;
use crate::base::text::{block, count, one_line};
use crate::prompt;

/// The most files that are named of one change.
pub const MAX_FILES: usize = 12;
const MAX_PATH: usize = 200;
const MAX_SUMMARY: usize = 2000;

/// What a dependency landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    pub id: TaskId,
    pub title: String,
    /// None where it committed nothing, or where others landed since and there is no room.
    pub change: Option<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub commit: String,
    pub subject: String,
    pub files: Files,
}

/// What an attempt that failed left in git.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The commit that it began from, and the ref of what it left.
    pub base: String,
    pub reference: String,
    /// In its own words.
    pub summary: String,
    pub files: Files,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub first: Vec<File>,
    pub all: usize,
    pub added: u64,
    pub removed: u64,
}

/// Without numbers where it is not text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub added: Option<u64>,
    pub removed: Option<u64>,
}

pub(super) fn landed(landed: &Landed) -> prompt::Landed {
    prompt::Landed {
        id: landed.id.to_string(),
        title: one_line(&landed.title, MAX_TITLE),
        change: landed.change.as_ref().map(|change| prompt::Change {
            commit: one_line(&change.commit, 40),
            subject: one_line(&change.subject, MAX_TITLE),
            files: files(&change.files),
            more_files: more(&change.files),
            stat: stat(&change.files),
        }),
    }
}

pub(super) fn left(left: &Left) -> prompt::Left {
    prompt::Left {
        base: left.base.clone(),
        reference: left.reference.clone(),
        summary: block(start_of(left.summary.trim(), MAX_SUMMARY)),
        files: files(&left.files),
        more_files: more(&left.files),
        stat: stat(&left.files),
    }
}

fn files(files: &Files) -> Vec<prompt::File> {
    let told = |f: &File| prompt::File { path: one_line(&f.path, MAX_PATH), added: f.added, removed: f.removed };
    files.first.iter().take(MAX_FILES).map(told).collect()
}

fn more(files: &Files) -> usize {
    files.all.saturating_sub(files.first.len().min(MAX_FILES))
}

fn stat(files: &Files) -> String {
    format!("{}, +{} -{}", count(files.all, "file"), files.added, files.removed)
}
