//! What lies between two commits, for people and prompts: bounded, and only read.

use super::error::Result;
use super::message::records_of;
use super::repo::Repo;
use crate::base::Oid;

/// A commit in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub commit: Oid,
    /// The first line of its message, whatever it holds.
    pub subject: String,
    /// The id of the task whose record it carries.
    pub task: Option<String>,
}

impl Repo {
    /// The newest commits of `from..to`, merges apart, that touch one of the paths; all of them
    /// where no path is given.
    pub fn log(&self, from: &Oid, to: &Oid, paths: &[String], most: usize) -> Result<Vec<Logged>> {
        let (count, range) = (format!("--max-count={most}"), format!("{from}..{to}"));
        let args = ["rev-list", "--full-history", "--no-merges", count.as_str(), range.as_str(), "--"];
        // A name of a file is no pattern.
        let call = self.git(args).env("GIT_LITERAL_PATHSPECS", "1");
        let found = paths.iter().fold(call, |call, path| call.arg(path)).text()?;
        found.lines().filter_map(Oid::parse).map(|commit| self.logged(commit)).collect()
    }

    fn logged(&self, commit: Oid) -> Result<Logged> {
        let message = self.message(&commit)?;
        let task = records_of(&message, "Task").next().map(|record| record.split('@').next().unwrap_or_default().to_owned());
        Ok(Logged { subject: message.lines().next().unwrap_or_default().to_owned(), commit, task })
    }

    /// How many lines of which files differ between two commits, as git draws it.
    pub fn diff_stat(&self, from: &Oid, to: &Oid, most: usize) -> Result<String> {
        let (width, count) = ("--stat=100", format!("--stat-count={most}"));
        let args = ["diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-color", width, count.as_str(), from.as_str(), to.as_str()];
        self.git(args).text()
    }
}
