//! A hermetic world for the real program: a repository of its own, a home of its own, nothing
//! of the caller's environment.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct Fixture {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// Names how long Drover waits for who does not answer; empty, as long as it does elsewhere.
pub const PATIENCE: &str = "DROVER_FAULT_PATIENCE";

/// A port of this machine at which nobody listens, and which nobody else is given: those that the
/// kernel gives away are above it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1000) as u16 * 20;
    let ports = std::iter::from_fn(|| Some(first + NEXT.fetch_add(1, Ordering::Relaxed)));
    ports.take(1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("no port is free")
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// An empty repository on branch `main`, with nothing committed.
pub fn repo() -> Fixture {
    let dir = tempfile::Builder::new().prefix("drover-it-").tempdir().unwrap();
    for sub in ["home", "repo", "tmp"] {
        fs::create_dir(dir.path().join(sub)).unwrap();
    }
    let fixture = Fixture { dir, env: Vec::new() };
    fixture.git(&["init", "-q", "-b", "main"]);
    fixture.git(&["config", "user.name", "Ada"]);
    fixture.git(&["config", "user.email", "ada@example.com"]);
    fixture
}

/// Puts an executable there. A child writes it: a descriptor that this process had open for writing
/// would be inherited by whatever a test beside this one starts just then, and for as long the
/// kernel refuses to run the file ("Text file busy").
pub fn program(path: &Path, text: impl AsRef<[u8]>) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).stdin(Stdio::piped());
    let mut writer = sh.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_ref()).unwrap();
    assert!(writer.wait().unwrap().success(), "{} was not written", path.display());
}

/// The start of a drover.toml for tests: quick retries, and an agent that carries out the lines
/// of its prompt that start with `$ `.
pub const CONFIG: &str = r#"
[project]
name = "it"
target = "main"
[run]
workers = 4
shutdown_grace = "1s"
[defaults]
agent = "sh"
retry = { max_attempts = 3, delay = "10ms", jitter = false }
[agents.sh]
kind = "command"
shell = '''sh -c "$(sed -n 's/^[$] //p')"'''
"#;

impl Fixture {
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
    /// Commits everything.
    pub fn commit(self, message: &str) -> Self {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self
    }
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("repo")
    }
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root().join(inside)
    }
    /// A place outside the repository that agents can write to.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join("tmp").join(name)
    }
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }
    pub fn state_dir(&self) -> PathBuf {
        self.root().join(".git/drover")
    }
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home())
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env(PATIENCE, "60")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub fn drover(&self, args: &[&str]) -> Ran {
        let output = self.drover_command(args).output().unwrap();
        ran(&output)
    }
    pub fn drover_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_drover"));
        command.args(args);
        command
    }
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.drover_command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The attempts that have a worktree.
    pub fn standing(&self) -> Vec<String> {
        let slots = fs::read_dir(self.state_dir().join("slots")).into_iter().flatten().flatten();
        slots.filter_map(|slot| fs::read_to_string(slot.path().join("owner")).ok()).collect()
    }
    /// The landed tasks of the target, oldest first: one for each landing commit.
    pub fn landed(&self) -> Vec<String> {
        let log =
            self.git(&["log", "--reverse", "--first-parent", "--format=%(trailers:key=Drover-Task,valueonly,separator=%x2C)", "main"]);
        log.lines().filter(|l| !l.is_empty()).map(|l| l.split('@').next().unwrap().to_owned()).collect()
    }
    /// The status of each task, by `status --format json`.
    pub fn statuses(&self) -> Vec<(String, String)> {
        let status = self.drover(&["status", "--format", "json"]).expect(0).json();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        status["tasks"].as_array().unwrap().iter().map(|t| (text(&t["id"]), text(&t["status"]))).collect()
    }
    /// Every file of the checkout and what git says of it: to be compared, byte for byte.
    pub fn checkout(&self) -> String {
        let mut out = self.git(&["status", "--porcelain=v1", "-uall", "--ignored"]);
        for path in self.git(&["ls-files", "-co"]).lines() {
            let text = fs::read(self.path(path)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            out.push_str(&format!("\n{path}: {text:?}"));
        }
        out
    }
}

pub fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until something has happened; a generous deadline turns a hang into a failure.
#[track_caller]
pub fn until(what: &str, happened: impl FnMut() -> bool) {
    until_told(&what, happened);
}

/// The same, with words that are put together only where it is in vain.
#[track_caller]
pub fn until_told(what: &dyn std::fmt::Display, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(180), "waited three minutes for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
