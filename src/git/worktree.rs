//! Worktrees of attempts: made fresh, set to a tree, each with a saved index of its own.
//!
//! The saved index lies in Drover's state, out of an agent's hands. It is a cache of what the
//! files were when git last looked, so that looking again is cheap; bits that an agent sets in
//! the worktree's own index hide nothing from it.

#![expect(clippy::disallowed_methods, reason = "the age of an index file is compared with the clock that wrote it")]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use super::checkouts::{leads_to, linked_path};
use super::error::{GitError, Result};
use super::place::make_private;
use super::repo::Repo;
use super::run::Call;
use crate::base::{Aid, Oid};

/// Git fails when several worktrees are registered at once.
pub(super) static METADATA: Mutex<()> = Mutex::new(());

/// For calls on attempts' files: worktrees are whole whatever the user's checkout leaves out,
/// indexes are self-contained, and a changed file is never taken for an unchanged one.
pub(super) const WHOLE: &[&str] = &[
    "core.sparseCheckout=false",
    "index.sparse=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.ignoreStat=false",
    "core.safecrlf=false",
];

/// Where an attempt's files are: a directory of its own below the project's root of worktrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    root: PathBuf,
    name: String,
}

impl Worktree {
    /// `name` is the attempt's id. Fails if it could be anything but one plain component.
    pub fn new(root: &Path, name: &str) -> Result<Self> {
        if !root.is_absolute() {
            return Err(GitError::bug(format!("the worktrees' root {} is not absolute", root.display())));
        }
        Aid::parse(name).map_err(|e| GitError::refused(format!("`{name}` cannot name a worktree: {e}")))?;
        Ok(Self { root: root.into(), name: name.into() })
    }
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }
    /// The directory that it stands in with others.
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A root that is a link could make us write and delete elsewhere.
    pub(super) fn check_root(&self) -> Result<()> {
        match fs::symlink_metadata(&self.root) {
            Ok(meta) if !meta.is_dir() => Err(GitError::refused(format!("{} is a link or a file, not a directory", self.root.display()))),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("looking at", &self.root, &e)),
            _ => Ok(()),
        }
    }
}

impl Repo {
    /// Makes an attempt's worktree anew: HEAD detached at `base`, and the files those of
    /// `restore`, a tree, or else of `base`. Whatever an earlier call of the same name left is
    /// removed first, so it may be repeated until an agent was started in it.
    pub fn add_worktree(&self, wt: &Worktree, base: &Oid, restore: Option<&Oid>) -> Result<()> {
        self.remove_worktree(wt)?;
        make_private(&wt.root).map_err(|e| GitError::io("creating", &wt.root, &e))?;
        self.register(wt, base)?;
        let tree = restore.unwrap_or(base);
        self.git_of(wt, ["read-tree", "--reset", "-u", tree.as_str()]).ok()?;
        let saved = self.saved_index(wt)?;
        let place = self.indexes().join(&wt.name).with_extension("at");
        fs::write(&place, wt.path().as_os_str().as_bytes()).map_err(|e| GitError::io("noting", &place, &e))?;
        copy_index(&self.admin_dir(wt).join("index"), &saved)?;
        if restore.is_some() {
            self.git_of(wt, ["read-tree", "--reset", base.as_str()]).ok()?;
        }
        match self.is_as_made(wt, base, restore)? {
            true => Ok(()),
            false => Err(GitError::trouble(format!("the new worktree {} does not hold {}", wt.path().display(), tree.short()))),
        }
    }

    /// Whether a worktree still is as `add_worktree` left it.
    pub fn is_as_made(&self, wt: &Worktree, base: &Oid, restore: Option<&Oid>) -> Result<bool> {
        let head = fs::read_to_string(self.admin_dir(wt).join("HEAD")).unwrap_or_default();
        if head.trim_end() != base.as_str() || self.link_problem(wt).is_some() {
            return Ok(false);
        }
        self.holds(wt, restore.unwrap_or(base))
    }

    /// Makes the worktree's files exactly those of `tree`: tracked ones restored, untracked ones
    /// removed, ignored ones left alone. The worktree's own HEAD and index play no part.
    pub fn set_files(&self, wt: &Worktree, tree: &Oid) -> Result<()> {
        let index = self.working_index(wt)?;
        self.git_on(wt, &wt.path(), &index, ["read-tree", "--reset", "-u", tree.as_str()]).ok()?;
        self.git_on(wt, &wt.path(), &index, ["clean", "-ffdq"]).ok()?;
        touch(&index)?;
        self.save_index(wt, &index)?;
        self.settle_submodules(wt, tree)?;
        match self.holds(wt, tree)? {
            true => Ok(()),
            false => Err(GitError::trouble(format!("{} does not hold the tree {} after it was set", wt.path().display(), tree.short()))),
        }
    }

    /// Whether the files are those of `tree`, by the saved index; ignored ones do not count.
    fn holds(&self, wt: &Worktree, tree: &Oid) -> Result<bool> {
        let index = self.saved_index(wt)?;
        if !wt.path().is_dir() || !index.is_file() {
            return Ok(false);
        }
        let on = |args: &[&'static str]| self.git_on(wt, &wt.path(), &index, args.iter().copied());
        let staged = on(&["diff-index", "--cached", "--quiet", "--ignore-submodules=dirty"]).arg(tree.as_str()).run()?;
        let changed = on(&["diff-files", "--quiet", "--ignore-submodules=dirty"]).run()?;
        for answer in [&staged, &changed] {
            match answer.code() {
                Some(0) => {}
                Some(1) => return Ok(false),
                _ => return Err(answer.error()),
            }
        }
        let mut untracked = false;
        on(&["ls-files", "--others", "--exclude-standard", "-z"]).each_record(|_| untracked = true)?;
        Ok(!untracked)
    }

    fn register(&self, wt: &Worktree, base: &Oid) -> Result<()> {
        let _metadata = METADATA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let call = self.git(["worktree", "add", "--quiet", "--no-checkout", "--detach", "--"]);
        call.arg(wt.path()).arg(base.as_str()).ok()?;
        if self.link_problem(wt).is_some() {
            return Err(GitError::trouble(format!("another worktree took the name `{}` meanwhile", wt.name)));
        }
        // It would be the user's own selection of files, copied over.
        match fs::remove_file(self.admin_dir(wt).join("info/sparse-checkout")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", &self.admin_dir(wt), &e)),
            _ => Ok(()),
        }
    }

    /// What is wrong with the two links that tie a worktree to its repository, in words.
    pub(super) fn link_problem(&self, wt: &Worktree) -> Option<String> {
        let link = wt.path().join(".git");
        let admin = self.admin_dir(wt);
        if !fs::symlink_metadata(&link).is_ok_and(|m| m.is_file()) {
            return Some(format!("{} is not the file it was made as", link.display()));
        }
        let text = fs::read_to_string(&link).unwrap_or_default();
        let target = text.strip_prefix("gitdir:").map(|t| wt.path().join(t.trim()));
        if target.and_then(|t| t.canonicalize().ok()) != admin.canonicalize().ok() {
            return Some(format!("{} points at another repository: {:?}", link.display(), crate::base::text::one_line(&text, 200)));
        }
        let back = fs::read_to_string(admin.join("gitdir")).unwrap_or_default();
        let back = admin.join(back.trim_end_matches('\n')).canonicalize().ok();
        if back.is_none() || back != link.canonicalize().ok() {
            return Some(format!("{} no longer points at {}", admin.join("gitdir").display(), wt.path().display()));
        }
        let common = fs::read_to_string(admin.join("commondir")).unwrap_or_default();
        let common = admin.join(common.trim_end_matches('\n')).canonicalize().ok();
        let same = common.as_deref() == Some(self.common_dir());
        (!same).then(|| format!("{} no longer points at {}", admin.join("commondir").display(), self.common_dir().display()))
    }

    pub(super) fn admin_dir(&self, wt: &Worktree) -> PathBuf {
        self.common_dir().join("worktrees").join(&wt.name)
    }

    /// A call as the worktree itself would make it: its HEAD, its index.
    pub(super) fn git_of<'a>(&'a self, wt: &Worktree, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        whole(self.git_in(&self.admin_dir(wt), &wt.path(), args))
    }

    /// A call on files of the worktree with an index of ours. Neither HEAD, configuration nor
    /// anything else of the worktree's administrative entry, which an agent may write, is read.
    pub(super) fn git_on<'a>(&'a self, wt: &Worktree, files: &Path, index: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        debug_assert!(files.starts_with(wt.path()));
        whole(self.git_in(self.common_dir(), files, args)).env("GIT_INDEX_FILE", index)
    }

    pub(super) fn indexes(&self) -> PathBuf {
        self.state_dir().join("indexes")
    }

    /// Whether an administrative entry is that of an attempt's worktree. A saved index alone does
    /// not say so: where Drover's worktree was deleted by hand, a person's may have its name now.
    pub(super) fn is_attempts(&self, admin: &Path) -> bool {
        let Some(name) = admin.file_name().filter(|_| admin.parent() == Some(&self.common_dir().join("worktrees"))) else { return false };
        let place = fs::read(self.indexes().join(name).with_extension("at")).map(OsString::from_vec);
        self.indexes().join(name).is_file() && !place.is_ok_and(|place| self.stands_elsewhere(admin, Path::new(&place)))
    }

    /// Whether an entry is that of a living worktree, one that leads back to it, in another place
    /// than `own`.
    pub(super) fn stands_elsewhere(&self, admin: &Path, own: &Path) -> bool {
        let Some(top) = linked_path(admin) else { return false };
        top.join(".git").is_file() && leads_to(&top, admin) && top.canonicalize().ok() != own.canonicalize().ok()
    }

    pub(super) fn saved_index(&self, wt: &Worktree) -> Result<PathBuf> {
        let dir = self.indexes();
        make_private(&dir).map_err(|e| GitError::io("creating", &dir, &e))?;
        Ok(dir.join(&wt.name))
    }

    /// The saved index of a worktree, and every file that may stand beside it.
    pub(super) fn index_files(&self, wt: &Worktree) -> Vec<PathBuf> {
        let submodules = format!("{}.sub-", wt.name);
        let all = fs::read_dir(self.indexes()).into_iter().flatten().flatten().map(|e| e.path());
        let submodules = all.filter(|f| f.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&submodules)));
        ["", ".at", ".lock", ".work", ".work.lock", ".work.nested", ".work.nested.lock", ".idle", ".ignored", ".included"]
            .map(|end| self.indexes().join(format!("{}{end}", wt.name)))
            .into_iter()
            .chain(submodules)
            .collect()
    }

    /// A copy of the saved index to work on; an empty one if there is none. What a killed call
    /// left of an earlier copy is removed.
    pub(super) fn working_index(&self, wt: &Worktree) -> Result<PathBuf> {
        let saved = self.saved_index(wt)?;
        let work = self.indexes().join(format!("{}.work", wt.name));
        for left in [&work, &self.indexes().join(format!("{}.work.lock", wt.name))] {
            match fs::remove_file(left) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(GitError::io("removing", left, &e)),
                _ => {}
            }
        }
        if saved.is_file() {
            copy_file(&saved, &work)?;
        }
        Ok(work)
    }

    /// Makes a worked-on copy the saved index.
    pub(super) fn save_index(&self, wt: &Worktree, work: &Path) -> Result<()> {
        fs::rename(work, self.saved_index(wt)?).map_err(|e| GitError::io("saving", work, &e))
    }
}

pub(super) fn whole(call: Call<'_>) -> Call<'_> {
    WHOLE.iter().fold(call, |call, setting| call.config(setting))
}

/// Copies an index, keeping its time: by it git tells which entries need a second look.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> io::Result<()> {
        let time = fs::metadata(from)?.modified()?;
        fs::copy(from, to)?;
        fs::File::options().write(true).open(to)?.set_modified(time)
    };
    copy().map_err(|e| GitError::io("copying the index", from, &e))
}

/// Copies the index of files that nobody but git has touched yet.
fn copy_index(from: &Path, to: &Path) -> Result<()> {
    copy_file(from, to)?;
    touch(to)
}

/// Dates an index after the files that git has just written. Without that, those written in the
/// clock's last tick would be compared by content, and ones whose content git would not write
/// back byte for byte (mixed line ends) would seem changed now and then.
pub(super) fn touch(index: &Path) -> Result<()> {
    let file = fs::File::options().write(true).open(index);
    file.and_then(|f| f.set_modified(SystemTime::now())).map_err(|e| GitError::io("dating", index, &e))
}
