//! Worktrees that are used again: what git ignores, build caches above all, stays in them.
//!
//! When its attempt has ended a worktree is left *idle*: HEAD detached where the attempt began,
//! the files exactly those of the saved index. Before it is used again, or taken away, that is
//! looked at. What differs by then is somebody's work, and is kept.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::{Worktree, copy_file};
use crate::base::{Millis, Oid};

/// What an administrative entry may hold and still be used again. Of anything else it is not
/// known what it would do: a merge under way, configuration, the store of a submodule.
const PLAIN: &[&str] =
    &["HEAD", "commondir", "gitdir", "index", "logs", "refs", "info", "ORIG_HEAD", "COMMIT_EDITMSG", "FETCH_HEAD", "AUTO_MERGE", MARK];
/// Holds the attempt that has the worktree, should the records be lost.
pub(super) const MARK: &str = "drover-attempt";
/// Of these only the directories themselves.
const BARE: &[&str] = &["refs", "info"];

impl Repo {
    /// Leaves the worktree of an ended attempt idle, with HEAD at `at`. That all its files but
    /// ignored ones are kept (`snapshot`) is for the caller to have seen to: what was written
    /// since is removed. False where it cannot be used again; it is to be removed then.
    pub fn retire_worktree(&self, wt: &Worktree, at: &Oid) -> Result<bool> {
        wt.check_root()?;
        self.unless_refused(|| {
            // Submodules have repositories of their own, of which all that holds for this one is not known.
            let submodules = fs::symlink_metadata(wt.path().join(".gitmodules")).is_ok();
            if submodules || self.link_problem(wt).is_some() || !self.is_plain(wt) || !self.saved_index(wt)?.is_file() {
                return Ok(false);
            }
            self.detach(wt, at)?;
            let (strays, mut usable) = self.look_over(wt)?;
            if strays {
                let index = self.working_index(wt)?;
                let tree = self.git_on(wt, &wt.path(), &index, ["write-tree"]).oid()?;
                self.set_files(wt, &tree)?;
                usable = self.look_over(wt)?.1;
            }
            if !usable {
                return Ok(false);
            }
            self.mark_worktree(wt, None)?;
            // All that it leads to is kept; what the next attempt makes is told by it.
            drop(fs::remove_file(self.admin_dir(wt).join("logs/HEAD")));
            let note = self.idle_note(wt);
            fs::write(&note, at.as_str()).map_err(|e| GitError::io("noting", &note, &e))?;
            Ok(true)
        })
    }

    /// What `add_worktree` does, from an idle worktree: its ignored files stay, but for those that
    /// `include_file` is about. False where that cannot be done; it is to be made anew then. An
    /// error where it holds somebody's work that cannot be kept.
    pub fn reuse_worktree(&self, wt: &Worktree, base: &Oid, restore: Option<&Oid>, include_file: &str) -> Result<bool> {
        wt.check_root()?;
        if !self.is_idle(wt)? {
            self.rescue(wt)?;
            return Ok(false);
        }
        self.unless_refused(|| {
            self.detach(wt, base)?;
            fs::remove_file(self.idle_note(wt)).map_err(|e| GitError::io("removing", &self.idle_note(wt), &e))?;
            self.clear_includes(wt, include_file)?;
            let index = self.working_index(wt)?;
            let tree = restore.unwrap_or(base);
            self.git_on(wt, &wt.path(), &index, ["read-tree", "--reset", "-u", tree.as_str()]).ok()?;
            super::worktree::touch(&index)?;
            self.save_index(wt, &index)?;
            self.give_own_index(wt)?;
            if restore.is_some() {
                self.git_of(wt, ["read-tree", "--reset", base.as_str()]).ok()?;
            }
            if !self.has_strays(wt)? {
                return Ok(true);
            }
            // What was ignored until now and no longer is.
            self.git_on(wt, &wt.path(), &self.saved_index(wt)?, ["clean", "-ffdq"]).ok()?;
            Ok(!self.has_strays(wt)?)
        })
    }

    /// Takes away an idle worktree, or what is left of one. Says where what was found in it is
    /// kept, if that is not what the last attempt left.
    pub fn discard_idle(&self, wt: &Worktree) -> Result<Option<String>> {
        wt.check_root()?;
        let kept = if self.is_idle(wt)? { None } else { self.rescue(wt)? };
        self.remove_worktree(wt)?;
        Ok(kept)
    }

    /// Whether neither files nor an administrative entry stand where a worktree would.
    pub fn is_vacant(&self, wt: &Worktree) -> bool {
        let none = |path: &Path| fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        none(&wt.path()) && none(&self.admin_dir(wt))
    }

    /// Whether a worktree still is as `retire_worktree` left it.
    fn is_idle(&self, wt: &Worktree) -> Result<bool> {
        let noted = fs::read_to_string(self.idle_note(wt)).unwrap_or_default();
        let head = fs::read_to_string(self.admin_dir(wt).join("HEAD")).unwrap_or_default();
        if noted.is_empty() || head.trim_end() != noted || self.link_problem(wt).is_some() || !self.is_plain(wt) {
            return Ok(false);
        }
        self.unless_refused(|| Ok(self.saved_index(wt)?.is_file() && !self.has_strays(wt)?))
    }

    /// Keeps what somebody left in an idle worktree, commits and files that are not ignored, and
    /// says where.
    pub fn rescue(&self, wt: &Worktree) -> Result<Option<String>> {
        if !wt.path().is_dir() {
            return Ok(None);
        }
        let noted = || fs::read_to_string(self.idle_note(wt)).ok().and_then(|text| Oid::parse(text.trim()));
        let head = self.worktree_head(wt)?.or_else(noted);
        let head = head.ok_or_else(|| GitError::refused(format!("nothing says what {} was made from", wt.path().display())))?;
        let keep = format!("refs/drover/kept/{}", wt.name());
        self.snapshot(wt, &head, &head, "What was found in an idle worktree\n", Millis(0), &keep)?;
        tracing::warn!("{} was changed while no attempt used it; what was found there is kept as {keep}", wt.path().display());
        Ok(Some(keep))
    }

    /// Writes into a worktree's entry which attempt has it, or that none has.
    pub fn mark_worktree(&self, wt: &Worktree, attempt: Option<&str>) -> Result<()> {
        let mark = self.admin_dir(wt).join(MARK);
        let done = match attempt {
            Some(attempt) => fs::write(&mark, attempt),
            None => fs::remove_file(&mark).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }),
        };
        done.map_err(|e| GitError::io("marking", &mark, &e))
    }
    /// What `mark_worktree` wrote. An agent can write it, too.
    pub fn worktree_mark(&self, wt: &Worktree) -> Option<String> {
        fs::read_to_string(self.admin_dir(wt).join(MARK)).ok().map(|text| text.trim().to_owned())
    }

    /// Sets the worktree's own HEAD, wherever an agent went with it.
    fn detach(&self, wt: &Worktree, at: &Oid) -> Result<()> {
        let head = fs::read_to_string(self.admin_dir(wt).join("HEAD")).unwrap_or_default();
        if head.trim_end() == at.as_str() {
            return Ok(());
        }
        self.git_of(wt, ["update-ref", "--no-deref", "HEAD", at.as_str()]).ok().map(drop)
    }

    /// Whether a file differs from the saved index, or is in neither it nor ignored.
    fn has_strays(&self, wt: &Worktree) -> Result<bool> {
        let mut found = false;
        let list = ["ls-files", "--modified", "--others", "--exclude-standard", "-z"];
        self.git_on(wt, &wt.path(), &self.saved_index(wt)?, list).each_record(|_| found = true)?;
        Ok(found)
    }

    fn is_plain(&self, wt: &Worktree) -> bool {
        let Ok(entries) = fs::read_dir(self.admin_dir(wt)) else { return false };
        entries.into_iter().all(|entry| {
            let Ok(entry) = entry else { return false };
            let name = entry.file_name();
            let known = |list: &[&str]| list.iter().any(|known| name == *known);
            known(PLAIN) && (!known(BARE) || holds_no_file(&entry.path()))
        })
    }

    /// `has_strays`, and whether files can be made and removed in every directory that holds
    /// tracked ones: in one look at the files.
    fn look_over(&self, wt: &Worktree) -> Result<(bool, bool)> {
        let mut strays = false;
        let mut dirs = BTreeSet::from([wt.path()]);
        let list = ["ls-files", "-t", "--cached", "--modified", "--deleted", "--others", "--exclude-standard", "-z"];
        self.git_on(wt, &wt.path(), &self.saved_index(wt)?, list).each_record(|record| {
            // `H <path>` is a tracked file; any other letter is one that is not as it should be.
            strays |= !record.starts_with(b"H ");
            let path = wt.path().join(OsStr::from_bytes(record.get(2..).unwrap_or_default()));
            for dir in path.ancestors().skip(1) {
                if !dir.starts_with(wt.path()) || !dirs.insert(dir.to_owned()) {
                    break;
                }
            }
        })?;
        let usable = |dir: &PathBuf| fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.permissions().mode() & 0o700 == 0o700);
        Ok((strays, dirs.iter().all(usable)))
    }

    /// Makes the saved index the worktree's own, in one stroke.
    fn give_own_index(&self, wt: &Worktree) -> Result<()> {
        let (own, new) = (self.admin_dir(wt).join("index"), self.admin_dir(wt).join("index.lock"));
        copy_file(&self.saved_index(wt)?, &new)?;
        fs::rename(&new, &own).map_err(|e| GitError::io("replacing", &own, &e))
    }

    /// What git will not do with an agent's leavings is no error here: they are not used again.
    fn unless_refused(&self, act: impl FnOnce() -> Result<bool>) -> Result<bool> {
        match act() {
            Err(e) if !e.is_trouble() => {
                tracing::debug!("not used again: {e}");
                Ok(false)
            }
            done => done,
        }
    }

    /// Whether the worktree of an administrative entry is idle.
    pub(super) fn is_noted_idle(&self, admin: &Path) -> bool {
        admin.file_name().is_some_and(|name| self.indexes().join(name).with_extension("idle").is_file())
    }

    /// Stands beside the saved index of an idle worktree and holds its HEAD.
    fn idle_note(&self, wt: &Worktree) -> PathBuf {
        self.indexes().join(format!("{}.idle", wt.name()))
    }
}

fn holds_no_file(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.into_iter().all(|entry| entry.is_ok_and(|e| e.file_type().is_ok_and(|t| t.is_dir()) && holds_no_file(&e.path())))
}
