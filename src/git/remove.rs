//! Taking away an attempt's worktree, in whatever state a killed git or an agent left it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::{METADATA, Worktree};

impl Repo {
    /// Removes an attempt's files, its administrative entry with the locks in it, and its saved
    /// indexes. What is not there is no error. Nothing outside these is touched, and no link is
    /// followed. That the work in it is kept (`snapshot`) is for the caller to have seen to.
    pub fn remove_worktree(&self, wt: &Worktree) -> Result<()> {
        wt.check_root()?;
        let entries = self.entries_of(wt)?;
        if let Some(other) = self.repository_of(wt) {
            return Err(GitError::refused(format!("{} is a worktree of {}", wt.path().display(), other.display())));
        }
        remove_tree(&wt.path())?;
        let _metadata = METADATA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for entry in entries {
            remove_tree(&entry)?;
        }
        for file in self.index_files(wt) {
            remove_file(&file)?;
        }
        Ok(())
    }

    /// The other repository that a worktree of this name belongs to, if that one is there.
    fn repository_of(&self, wt: &Worktree) -> Option<PathBuf> {
        let text = fs::read_to_string(wt.path().join(".git")).ok()?;
        let admin = wt.path().join(text.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
        // A killed git left its entry without the name of the repository that it is in.
        if admin.parent() == Some(&self.common_dir().join("worktrees")) {
            return None;
        }
        let common = fs::read_to_string(admin.join("commondir")).ok()?;
        let common = admin.join(common.trim_end_matches('\n')).canonicalize().ok()?;
        // An agent can write there what it likes: only one that names this worktree has it.
        let back = fs::read_to_string(admin.join("gitdir")).ok()?;
        let mutual = admin.join(back.trim_end_matches('\n')).canonicalize().ok() == wt.path().join(".git").canonicalize().ok();
        (mutual && common != self.common_dir()).then_some(common)
    }

    /// Forgets the attempts' worktrees of the repository that this one is a copy of, where they stand: the entries and
    /// the saved indexes that were copied along.
    pub fn disown_worktrees(&self) -> Result<()> {
        let _metadata = METADATA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entries = fs::read_dir(self.common_dir().join("worktrees")).into_iter().flatten().flatten().map(|e| e.path());
        for entry in entries.filter(|entry| self.is_attempts(entry)) {
            remove_tree(&entry)?;
        }
        remove_tree(&self.indexes())
    }

    /// The names of attempts that have files below `root` or saved indexes here: what a clean-up
    /// at start compares with what should be there.
    pub fn worktree_names(&self, root: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for dir in [root.to_owned(), self.indexes()] {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(GitError::io("listing", &dir, &e)),
            };
            let found = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
            names.extend(found.filter(|name| Worktree::new(root, name).is_ok()));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The administrative entries of a worktree: the one of its name, and any that an agent or
    /// a killed git made to stand for the same directory.
    fn entries_of(&self, wt: &Worktree) -> Result<Vec<PathBuf>> {
        let named = self.admin_dir(wt);
        let link = wt.path().join(".git");
        let points_here = |entry: &Path| {
            let text = fs::read_to_string(entry.join("gitdir")).unwrap_or_default();
            !text.trim().is_empty() && entry.join(text.trim_end_matches('\n')) == link
        };
        let others = fs::read_dir(self.common_dir().join("worktrees")).into_iter().flatten().flatten();
        let mut entries: Vec<PathBuf> = others.map(|e| e.path()).filter(|e| *e != named && points_here(e)).collect();
        if self.stands_elsewhere(&named, &wt.path()) {
            return Err(GitError::refused(format!("{} belongs to a worktree that is not Drover's", named.display())));
        }
        entries.push(named);
        Ok(entries)
    }

    /// An error where a person has a worktree of their own under this name. What Drover noted of
    /// one of its own that stood there, and is gone, is forgotten then.
    pub fn refuse_users(&self, wt: &Worktree) -> Result<()> {
        let refused = self.entries_of(wt).map(drop);
        if refused.is_err() && fs::symlink_metadata(wt.path()).is_err() {
            for file in self.index_files(wt) {
                remove_file(&file)?;
            }
        }
        refused
    }
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", file, &e)),
        _ => Ok(()),
    }
}

/// Removes a directory and all below it without following links; read-only directories, as
/// module caches have them, are made writable first.
fn remove_tree(dir: &Path) -> Result<()> {
    let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir);
            fs::remove_dir_all(dir).or_else(|e| if gone(&e) { Ok(()) } else { Err(GitError::io("removing", dir, &e)) })
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => remove_file(dir),
        Err(e) if !gone(&e) => Err(GitError::trouble(format!("removing {}: {e}", dir.display()))),
        _ => Ok(()),
    }
}

fn open_up(dir: &Path) {
    if !fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir()) {
        return;
    }
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            open_up(&entry.path());
        }
    }
}
