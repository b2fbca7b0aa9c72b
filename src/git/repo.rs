//! A repository as Drover sees it: found once, then named explicitly in every call.

#![expect(clippy::disallowed_methods, reason = "notes when it was opened, to tell the lock files of the dead from those of the living")]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::SystemTime;

use super::error::{GitError, Result, Unfit};
use super::run::{Call, Program};
use super::tamper::Guard;
use crate::base::Oid;

/// A repository and the checkout in it that Drover was started in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repo {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub program: Program,
    root: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    /// Who commits where the configuration names nobody; looked up once.
    pub identity: OnceLock<Vec<(&'static str, &'static str)>>,
    /// What is accepted of what git would run, once attempts may be under way.
    pub guard: RwLock<Option<Arc<Guard>>>,
    /// When this process first looked: a lock file younger than that is not a dead one's.
    pub opened: SystemTime,
}

/// What a checkout's HEAD says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// On a branch; `born` if it has a commit.
    Branch {
        name: String,
        born: bool,
    },
    Detached,
}

impl Repo {
    /// Finds the repository that `dir` is in, with the git program of PATH.
    pub fn discover(dir: &Path) -> std::result::Result<Self, Unfit> {
        Self::discover_with(dir, Program::find()?)
    }

    /// The same with a given program.
    pub fn discover_with(dir: &Path, program: Program) -> std::result::Result<Self, Unfit> {
        program.check_version()?;
        Self::find(dir, program)
    }

    /// The same without asking the program anything: for who has other proof that it will do.
    pub fn find(dir: &Path, program: Program) -> std::result::Result<Self, Unfit> {
        let found = open_above(dir, &program)?;
        let root = found.workdir().ok_or_else(|| Unfit::Bare(found.path().into()))?;
        refuse_odd(root, &found)?;
        let real = |path: &Path| path.canonicalize().map_err(|e| Unfit::Io(format!("{}: {e}", path.display())));
        let inner = Inner {
            root: real(root)?,
            git_dir: real(found.path())?,
            common_dir: real(found.commondir())?,
            program,
            identity: OnceLock::new(),
            guard: RwLock::new(None),
            opened: SystemTime::now(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Of the program that does the work.
    pub fn git_version(&self) -> Result<String> {
        self.inner.program.version()
    }

    /// A variable as the program that does the work sees it.
    pub fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        self.inner.program.variable(name)
    }

    /// The top of the checkout that Drover was started in.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }
    /// The directory that all worktrees of the repository share.
    pub fn common_dir(&self) -> &Path {
        &self.inner.common_dir
    }
    /// Where Drover keeps its state: it survives `git clean -ffdx`.
    pub fn state_dir(&self) -> PathBuf {
        self.common_dir().join("drover")
    }

    /// What git would commit of the checkout at `root`.
    pub fn index(&self) -> PathBuf {
        self.inner.git_dir.join("index")
    }

    /// HEAD and index of the checkout at `root`.
    pub(super) fn own_git_dir(&self) -> &Path {
        &self.inner.git_dir
    }

    /// Where the checkout at `root` stands.
    pub fn head(&self) -> Result<Head> {
        let repo = open(&self.inner.git_dir)?;
        let head = repo.find_reference("HEAD")?;
        let Some(name) = head.symbolic_target_bytes() else {
            return Ok(Head::Detached);
        };
        let name = String::from_utf8_lossy(name);
        let born = repo.find_reference(&name).is_ok();
        Ok(Head::Branch { name: name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned(), born })
    }

    /// The commit of a local branch, if there is such a branch.
    pub fn branch_tip(&self, name: &str) -> Result<Option<Oid>> {
        self.tip(&format!("refs/heads/{name}"))
    }

    /// Whether history was cut off when it was cloned: what has landed cannot be read from it.
    pub fn is_shallow(&self) -> bool {
        fs::metadata(self.common_dir().join("shallow")).is_ok_and(|m| m.len() > 0)
    }

    /// Whether a path, relative to the root, would be left out of every commit.
    pub fn ignores(&self, path: &Path) -> Result<bool> {
        Ok(open(&self.inner.git_dir)?.is_path_ignored(self.inner.root.join(path))?)
    }

    /// Whether the configuration asks for signed commits.
    pub fn signs(&self) -> Result<bool> {
        let answer = self.git(["config", "--type=bool", "--get", "commit.gpgSign"]).run()?;
        Ok(answer.stdout.starts_with(b"true"))
    }

    /// A call on the repository as such: refs and objects, no files.
    pub(super) fn git<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        self.git_from(self.common_dir(), args)
    }

    /// A call that talks to a remote. A URL that is relative leads from where git is run, and a person's git
    /// runs at the top of the checkout. What it reads are refs and objects all the same.
    pub(super) fn git_remote<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        self.git_from(self.root(), args)
    }

    fn git_from<'a>(&'a self, dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        // No index: that of the user, which git would look into for attributes, may be broken.
        let call = Call::new(&self.inner.program, dir, args).env("GIT_DIR", self.common_dir());
        call.env("GIT_INDEX_FILE", self.state_dir().join("none")).guarded(self.overrides())
    }

    /// A call on files: `git_dir` gives HEAD and index, `files` is the top of the work tree.
    pub(super) fn git_in<'a>(&'a self, git_dir: &Path, files: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        Call::new(&self.inner.program, files, args)
            .env("GIT_DIR", git_dir)
            .env("GIT_COMMON_DIR", self.common_dir())
            .env("GIT_WORK_TREE", files)
            .guarded(self.overrides())
    }

    /// The library's view of the repository, for reading. Opened anew, so that nothing is stale.
    pub(super) fn read(&self) -> Result<git2::Repository> {
        open(self.common_dir())
    }
}

pub(super) fn open(git_dir: &Path) -> Result<git2::Repository> {
    let flags = git2::RepositoryOpenFlags::NO_SEARCH | git2::RepositoryOpenFlags::NO_DOTGIT;
    git2::Repository::open_ext(git_dir, flags, [] as [&Path; 0]).map_err(GitError::from)
}

/// Opens the repository at or above `dir`, or says why that cannot be done.
fn open_above(dir: &Path, program: &Program) -> std::result::Result<git2::Repository, Unfit> {
    let open = || git2::Repository::open_ext(dir, git2::RepositoryOpenFlags::CROSS_FS, [] as [&Path; 0]);
    match open() {
        Err(e) if e.code() == git2::ErrorCode::Owner => {
            let vetted = Call::new(program, dir, ["rev-parse", "--git-dir"]).run();
            if !vetted.is_ok_and(|a| a.status.success()) {
                return Err(Unfit::Unsupported(format!(
                    "the repository at {0} belongs to another user: if you trust it, run `git config --global --add safe.directory {0}`",
                    dir.display()
                )));
            }
            trust_gits_word();
            open().map_err(|e| unfit(dir, &e))
        }
        answer => answer.map_err(|e| unfit(dir, &e)),
    }
}

/// What would go wrong later, and not by name.
fn refuse_odd(root: &Path, found: &git2::Repository) -> std::result::Result<(), Unfit> {
    let shown = crate::base::text::one_line(&root.display().to_string(), 200);
    if root.as_os_str().as_bytes().contains(&b'\n') || found.commondir().as_os_str().as_bytes().contains(&b'\n') {
        return Err(Unfit::Unsupported(format!(
            "{shown}: the path has a line break, which git's links between worktrees cannot hold: rename it"
        )));
    }
    if fs::symlink_metadata(root.join(".git")).is_err() {
        return Err(Unfit::Unsupported(format!(
            "the files of {} are said to be in {shown} (core.worktree), from where no `.git` leads back: Drover does not work with that; `git config --unset core.worktree` if it is a mistake",
            found.path().display()
        )));
    }
    if fs::metadata(found.commondir().join("info/grafts")).is_ok_and(|m| m.len() > 0) {
        return Err(Unfit::Unsupported(format!(
            "{shown}: the history is changed by info/grafts, which no clone sees: run `git replace --convert-graft-file`"
        )));
    }
    Ok(())
}

/// The library knows fewer ways than git of telling that another user's repository is trusted.
/// Once git has let us in, its own check is only in the way.
fn trust_gits_word() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: writes one flag of the library's; it guards nothing in memory.
        let _ = unsafe { git2::opts::set_verify_owner_validation(false) };
    });
}

fn unfit(dir: &Path, e: &git2::Error) -> Unfit {
    let said = e.message();
    let lower = said.to_lowercase();
    if e.code() == git2::ErrorCode::NotFound {
        return Unfit::NotARepository(dir.into());
    }
    for (word, name) in
        [("refstorage", "the reftable format of refs"), ("object format", "SHA-256 object names"), ("sha256", "SHA-256 object names")]
    {
        if lower.contains(word) {
            return Unfit::Unsupported(format!("{}: the repository uses {name}, which Drover cannot read ({said})", dir.display()));
        }
    }
    match lower.contains("extension") || lower.contains("unsupported") {
        true => Unfit::Unsupported(format!("{}: the repository uses a feature that Drover cannot read ({said})", dir.display())),
        false => Unfit::Io(format!("{}: opening the repository: {said}", dir.display())),
    }
}
