//! Worktrees whose records were lost.

use std::fs;

use super::error::Result;
use super::repo::Repo;
use super::worktree::Worktree;
use crate::base::Oid;

impl Repo {
    /// The commit that a worktree's HEAD names: what it started from, or what an agent has made on
    /// top of that.
    pub fn worktree_head(&self, wt: &Worktree) -> Result<Option<Oid>> {
        let head = fs::read_to_string(self.admin_dir(wt).join("HEAD")).unwrap_or_default();
        let found = match head.trim().strip_prefix("ref: ") {
            Some(name) => self.tip(name)?,
            None => Oid::parse(head.trim()),
        };
        match found {
            Some(oid) if self.exists(&oid)? => Ok(Some(oid)),
            _ => Ok(None),
        }
    }
}
