//! What an attempt is told of work that was done before: read from git when its prompt is made.
//!
//! The same work gives the same words, whenever they are made. What cannot be read is left out: an
//! old ref may be gone by then.

use std::fs;

use super::prepare::keep_ref;
use crate::agent;
use crate::base::{Oid, TaskId};
use crate::core::{Conflicted, Failure, Left};
use crate::engine::effects::Reading;
use crate::engine::machine::{Landed, Work};
use crate::git::{FileChange, GitError, Logged, Repo};

/// The most files of a diff stat.
const FILES: usize = 30;
/// The most dependencies of which it is told what they changed: those that landed last.
const CHANGES: usize = 8;

/// All that a prompt says of earlier work.
#[derive(Debug, Default)]
pub struct Told {
    pub landed: Vec<agent::Landed>,
    pub conflict: Option<agent::Conflict>,
    pub left: Option<agent::Left>,
    /// The whole output of the check or command that failed.
    pub log: Option<String>,
}

pub fn told(reading: Reading, work: &Work) -> Told {
    Told {
        landed: landed(reading.repo, work),
        conflict: work.conflict.as_ref().map(|earlier| conflict(reading.repo, work, earlier)),
        left: work.left.as_ref().and_then(|left| left_by(reading.repo, left)),
        log: work.previous.as_ref().and_then(|failure| log(reading, failure)),
    }
}

fn landed(repo: &Repo, work: &Work) -> Vec<agent::Landed> {
    let mut newest: Vec<(u64, &TaskId)> = work.landed.iter().map(|(id, l)| (l.landing, id)).collect();
    newest.sort_by(|a, b| b.cmp(a));
    newest.truncate(CHANGES);
    let told = |(id, l): (&TaskId, &Landed)| agent::Landed {
        id: id.clone(),
        title: l.title.clone(),
        change: l.commit.as_ref().filter(|_| newest.iter().any(|(_, n)| *n == id)).and_then(|commit| change(repo, commit, l.onto.as_ref())),
    };
    work.landed.iter().map(told).collect()
}

fn change(repo: &Repo, commit: &Oid, onto: Option<&Oid>) -> Option<agent::Change> {
    let from = match onto {
        Some(onto) => onto.clone(),
        None => read(repo.parents(commit)).into_iter().next()?,
    };
    let subject = read(repo.message(commit)).lines().next().unwrap_or_default().to_owned();
    Some(agent::Change { commit: commit.short().to_owned(), subject, files: files(repo.file_changes(&from, commit)) })
}

fn left_by(repo: &Repo, left: &Left) -> Option<agent::Left> {
    let reference = keep_ref(&left.aid, left.n);
    // Collected as garbage since: there is nothing to look at.
    (read(repo.tip(&reference)).as_ref() == Some(&left.commit)).then(|| agent::Left {
        base: left.base.short().to_owned(),
        reference,
        summary: left.summary.clone(),
        files: files(repo.file_changes(&left.base, &left.commit)),
    })
}

fn files(found: Result<Vec<FileChange>, GitError>) -> agent::Files {
    let found = read(found);
    let sum = |of: fn(&FileChange) -> Option<u64>| found.iter().filter_map(of).sum();
    let all = agent::Files { all: found.len(), added: sum(|f| f.added), removed: sum(|f| f.removed), first: Vec::new() };
    let first = found.into_iter().take(agent::MAX_FILES).map(|f| agent::File { path: f.path, added: f.added, removed: f.removed });
    agent::Files { first: first.collect(), ..all }
}

/// Where it says more than the end of it that stands in the prompt.
fn log(reading: Reading, failure: &Failure) -> Option<String> {
    let path = reading.state_dir.join(Some(&failure.log).filter(|log| !log.is_empty())?);
    let meta = fs::metadata(&path).ok()?;
    (meta.is_file() && meta.len() > failure.tail.len() as u64).then(|| path.to_string_lossy().into_owned())
}

fn conflict(repo: &Repo, work: &Work, earlier: &Conflicted) -> agent::Conflict {
    let paths: Vec<String> = earlier.paths.iter().take(agent::MAX_PATHS).cloned().collect();
    agent::Conflict {
        paths: earlier.paths.clone(),
        landed: commits(repo.log(&earlier.base, &work.attempt.base, &paths, agent::MAX_COMMITS)),
        made: commits(repo.log(&earlier.base, &earlier.commit, &[], agent::MAX_COMMITS)),
        summary: earlier.summary.clone(),
        stat: read(repo.diff_stat(&earlier.base, &earlier.commit, FILES)),
        base: earlier.base.short().to_owned(),
        reference: Repo::attempt_ref(earlier.aid.as_str()),
    }
}

fn commits(found: Result<Vec<Logged>, GitError>) -> Vec<agent::Commit> {
    let line = |l: Logged| agent::Commit { short: l.commit.short().to_owned(), subject: l.subject, task: l.task };
    read(found).into_iter().map(line).collect()
}

fn read<T: Default>(found: Result<T, GitError>) -> T {
    found.unwrap_or_else(|error| {
        tracing::warn!("the prompt says less of earlier work than it should: {error}");
        T::default()
    })
}
