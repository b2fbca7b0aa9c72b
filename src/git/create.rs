//! A repository of Drover's own making, for the demo, and its history for people.

use std::path::Path;

use super::error::{GitError, Result};
use super::repo::Repo;
use super::run::{Call, Program};

/// Makes the directory a repository whose first commit holds everything in it.
pub fn create(dir: &Path, branch: &str, message: &str) -> Result<()> {
    let program = Program::find().map_err(GitError::refused)?;
    let call = |args: &[&str]| Call::new(&program, dir, args).env("GIT_DIR", dir.join(".git")).env("GIT_WORK_TREE", dir);
    call(&["init", "-q", "-b", branch]).ok()?;
    call(&["config", "user.name", "Drover demo"]).ok()?;
    call(&["config", "user.email", "demo@drover.invalid"]).ok()?;
    call(&["add", "-A"]).ok()?;
    call(&["commit", "-q", "-F", "-"]).input(message).ok()?;
    Ok(())
}

impl Repo {
    /// The newest commits of a branch as `git log --graph` draws them, one line each.
    pub fn graph_log(&self, branch: &str, commits: usize) -> Result<String> {
        let limit = format!("-n{commits}");
        self.git(["log", "--graph", "--oneline", "--no-color", &limit, &format!("refs/heads/{branch}"), "--"]).text()
    }
}
