//! A repository in a temporary directory, with a home and configuration of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use drover::base::{Millis, Oid};
use drover::git::{Program, Repo, Worktree};

pub const DATE: Millis = Millis(1_700_000_000_000);

pub struct World {
    pub dir: tempfile::TempDir,
    pub top: PathBuf,
}

impl World {
    /// A repository on `main` with one commit of a few files.
    pub fn new() -> Self {
        let world = Self::empty();
        world.sh("echo base >a; echo base >b; echo base >c; mkdir s; echo x >s/x; printf '*.log\\n/target/\\n' >.gitignore; git add -A; git commit -qm A");
        world
    }

    /// A repository without a commit.
    pub fn empty() -> Self {
        // In memory where that can be had: every call of git's is synced.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let top = dir.path().canonicalize().unwrap().join("repo");
        fs::create_dir_all(&top).unwrap();
        let world = Self { dir, top };
        fs::create_dir_all(world.home()).unwrap();
        fs::write(world.home().join(".gitconfig"), "[user]\n\tname = Ann\n\temail = ann@example.com\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[init]\n\ttemplateDir = /nowhere\n")
            .unwrap();
        world.sh("git init -q -b main 2>/dev/null; mkdir -p .git/info .git/hooks");
        world
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("home")
    }
    pub fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("worktrees")
    }
    pub fn wt(&self, name: &str) -> Worktree {
        Worktree::new(&self.root(), name).unwrap()
    }
    pub fn program(&self) -> Program {
        hermetic(Program::find().unwrap(), &self.home())
    }
    pub fn repo(&self) -> Repo {
        Repo::discover_with(&self.top, self.program()).unwrap()
    }

    /// Runs a script at the top of the repository; it must succeed. Returns what it printed.
    pub fn sh(&self, script: &str) -> String {
        self.sh_in(&self.top, script)
    }
    pub fn sh_in(&self, dir: &Path, script: &str) -> String {
        let out = self.command(dir, script).output().unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert!(out.status.success(), "{script}\n{}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout).trim_end().to_owned()
    }
    pub fn command(&self, dir: &Path, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-ec", script]).current_dir(dir).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_EDITOR", "true");
        command
    }

    pub fn oid(&self, rev: &str) -> Oid {
        Oid::parse(&self.sh(&format!("git rev-parse '{rev}'"))).unwrap()
    }
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.top.join(path), text).unwrap();
    }
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.top.join(path)).unwrap()
    }

    /// A commit with `path` changed, on top of `parent`, made without touching the checkout, with
    /// the trailers of an attempt.
    pub fn work(&self, parent: &Oid, aid: &str, path: &str, text: &str) -> Oid {
        let script = format!(
            "export GIT_INDEX_FILE=$(mktemp -u); git read-tree {parent}; blob=$(printf %s '{text}' | git hash-object -w --stdin)
             git update-index --add --cacheinfo 100644,$blob,'{path}'
             printf 'work\\n\\nDrover-Attempt: {aid}\\n' | git commit-tree $(git write-tree) -p {parent}; rm $GIT_INDEX_FILE"
        );
        Oid::parse(&self.sh(&script)).unwrap()
    }

    /// Everything in a checkout but its `.git`, by path: mode and content.
    pub fn files(top: &Path) -> BTreeMap<PathBuf, String> {
        let mut out = BTreeMap::new();
        collect(top, top, &mut out);
        out
    }
}

/// The program without the user's own or the machine's configuration.
pub fn hermetic(program: Program, home: &Path) -> Program {
    program.with_env("HOME", home).with_env("XDG_CONFIG_HOME", home.join("none")).with_env("GIT_CONFIG_NOSYSTEM", "1")
}

fn collect(top: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() == Some(OsStr::new(".git")) {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let what = if meta.is_dir() {
            collect(top, &path, out);
            "dir".into()
        } else if meta.is_symlink() {
            format!("link {:?}", fs::read_link(&path).unwrap())
        } else if !meta.is_file() {
            format!("{:o} special", meta.permissions().mode())
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            format!("{:o} {:?}", meta.permissions().mode(), String::from_utf8_lossy(&bytes))
        };
        out.insert(path.strip_prefix(top).unwrap().into(), what);
    }
}
