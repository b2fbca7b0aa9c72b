//! The one place that starts the git program.
//!
//! Absolute argv and no shell; the repository is named explicitly and never discovered through
//! a worktree's `.git`, which an agent can rewrite; inherited `GIT_*` variables are dropped,
//! but for those that say who the user is and where the configuration lies. Children run in a
//! process group of their own, so that Ctrl-C at the terminal does not cut them in half, and
//! inherit whatever descriptors are inheritable (the project's lock).

#![expect(clippy::disallowed_methods, reason = "the one place that starts git, and times it")]

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{GitError, Result, Unfit, classify};
use super::patience::{end_after, tell_if_it_hangs};
use super::tamper::Overrides;
use crate::base::Oid;

/// The most that is read of an answer, in bytes; a longer one is an error.
const MAX_ANSWER: u64 = 64 << 20;
/// The most that is read of what a remote says, in bytes.
const MAX_SAID: u64 = 1 << 20;
/// How much of the end of stderr is kept, in bytes.
const STDERR_TAIL: usize = 8 << 10;

/// Laid over the user's configuration at every call.
const OVERRIDES: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.fsync=all",
    "core.fsyncMethod=batch",
    "submodule.recurse=false",
];

/// Inherited `GIT_*` variables that are kept: identity, and where configuration is read from.
const KEPT: &[&str] = &[
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_COUNT",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
];
const KEPT_PREFIXES: &[&str] = &["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// Kept besides for a call that talks to a remote: how it is reached, and who answers for a person.
const KEPT_FOR_REMOTES: &[&str] = &["GIT_SSH", "GIT_ASKPASS", "GIT_PROXY_", "GIT_HTTP_", "GIT_SSL_"];

/// The git program, and variables to set for it beside the inherited ones.
#[derive(Clone, Debug)]
pub struct Program {
    path: Arc<Path>,
    env: Vec<(OsString, OsString)>,
}

impl Program {
    /// The `git` of PATH.
    pub fn find() -> std::result::Result<Self, Unfit> {
        let path = which::which("git").map_err(|_| Unfit::NoGit)?;
        Ok(Self::at(&path))
    }

    pub fn at(path: &Path) -> Self {
        Self { path: path.into(), env: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which program this is, so that another one in its place is told from it.
    pub fn identity(&self) -> io::Result<String> {
        let meta = std::fs::metadata(&self.path)?;
        Ok(format!("{:?} {} {} {} {}.{}", self.path, meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    }

    /// The same program with one more variable in its environment.
    pub fn with_env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// A variable as the program will see it.
    pub(super) fn variable(&self, key: &str) -> Option<OsString> {
        let own = self.env.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        own.or_else(|| std::env::var_os(key)).filter(|v| !v.is_empty())
    }

    /// Checks that the program is new enough.
    pub(super) fn check_version(&self) -> std::result::Result<(), Unfit> {
        let version = self.version().map_err(|e| Unfit::Io(e.to_string()))?;
        if at_least(&version, super::error::MIN_GIT) { Ok(()) } else { Err(Unfit::GitTooOld(version)) }
    }

    /// As the program says it.
    pub(super) fn version(&self) -> Result<String> {
        let answer = Call::new(self, Path::new("/"), ["version"]).text()?;
        Ok(answer.split_whitespace().nth(2).unwrap_or(&answer).to_owned())
    }
}

/// Whether what a program says of itself is at least `least`, a version that can be read.
pub(super) fn at_least(version: &str, least: &str) -> bool {
    parse_version(version).is_some_and(|v| Some(v) >= parse_version(least))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// One call of the program, being put together.
pub(super) struct Call<'a> {
    program: &'a Program,
    dir: PathBuf,
    args: Vec<OsString>,
    config: Vec<String>,
    env: Vec<(&'static str, OsString)>,
    /// Laid over what an agent may have written into the configuration.
    guard: Overrides,
    input: Option<Vec<u8>>,
    remote: bool,
}

/// What a call came to.
pub(super) struct Answer {
    what: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl<'a> Call<'a> {
    pub fn new<S: AsRef<OsStr>>(program: &'a Program, dir: &Path, args: impl IntoIterator<Item = S>) -> Self {
        let args = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        Self {
            program,
            dir: dir.into(),
            args,
            config: Vec::new(),
            env: Vec::new(),
            guard: Overrides::default(),
            input: None,
            remote: false,
        }
    }
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }
    pub fn env(mut self, key: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((key, value.into()));
        self
    }
    /// One more `-c name=value`.
    pub fn config(mut self, setting: &str) -> Self {
        self.config.push(setting.to_owned());
        self
    }
    pub fn guarded(mut self, overrides: Overrides) -> Self {
        self.guard = overrides;
        self
    }
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs one that talks to a remote, whatever it answers; `None` if it took longer than `limit`
    /// and was ended with all that it had started. Nobody is asked anything. What it prints goes
    /// to files in memory: a helper that stays behind may hold a pipe open for ever.
    pub fn run_remote(mut self, limit: Duration) -> Result<Option<Answer>> {
        self.remote = true;
        let what = self.shown();
        let began = Instant::now();
        let file = |name| rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).map(std::fs::File::from);
        let trouble = |e: io::Error| GitError::trouble(format!("`{what}`: {e}"));
        let (stdout, stderr) = (file("out").map_err(|e| trouble(e.into()))?, file("err").map_err(|e| trouble(e.into()))?);
        let mut command = self.command();
        command.stdout(stdout.try_clone().map_err(trouble)?).stderr(stderr.try_clone().map_err(trouble)?);
        let mut child = command.spawn().map_err(|e| self.spawn_error(&e))?;
        let group = rustix::process::Pid::from_child(&child);
        let (through, ended) = std::sync::mpsc::channel::<()>();
        let (status, in_time) = std::thread::scope(|scope| {
            let guard = scope.spawn(move || end_after(limit, &ended, group));
            let status = child.wait();
            drop(through);
            (status, guard.join().unwrap_or(true))
        });
        let status = status.map_err(trouble)?;
        tracing::debug!(git = %what, code = status.code(), ms = began.elapsed().as_secs_f64() * 1e3, "git");
        let read = |mut file: std::fs::File| {
            let mut bytes = Vec::new();
            let whole = file.rewind().and_then(|()| file.take(MAX_SAID).read_to_end(&mut bytes));
            whole.map(|_| bytes)
        };
        let (stdout, said) = (read(stdout).map_err(trouble)?, read(stderr).map_err(trouble)?);
        Ok(in_time.then(|| Answer { what, status, stdout, stderr: tail_of(said.as_slice()) }))
    }

    /// Runs it; the answer must be a success.
    pub fn ok(self) -> Result<Vec<u8>> {
        let answer = self.run()?;
        match answer.status.success() {
            true => Ok(answer.stdout),
            false => Err(answer.error()),
        }
    }
    /// The answer as text without its last line break.
    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.ok()?).trim_end_matches('\n').to_owned())
    }
    pub fn oid(self) -> Result<Oid> {
        let what = self.shown();
        let text = self.text()?;
        Oid::parse(text.trim()).ok_or_else(|| GitError::bug(format!("`{what}` answered {text:?}, which is no object name")))
    }
    /// The NUL-terminated records of the answer, one at a time: an answer of any length.
    pub fn each_record(self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let answer = self.spawn_and(|out| {
            for record in BufReader::new(out).split(0) {
                take(&record?);
            }
            Ok(Vec::new())
        })?;
        match answer.status.success() {
            true => Ok(()),
            false => Err(answer.error()),
        }
    }
    /// Runs it, whatever it answers.
    pub fn run(self) -> Result<Answer> {
        self.spawn_and(|out| {
            let mut bytes = Vec::new();
            out.take(MAX_ANSWER + 1).read_to_end(&mut bytes)?;
            match bytes.len() as u64 > MAX_ANSWER {
                true => Err(io::Error::other("the answer is longer than 64 MiB")),
                false => Ok(bytes),
            }
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&*self.program.path);
        for (key, _) in std::env::vars_os() {
            let kept = self.remote && KEPT_FOR_REMOTES.iter().any(|p| key.to_string_lossy().starts_with(p));
            if is_foreign(&key) && !kept {
                command.env_remove(key);
            }
        }
        for setting in OVERRIDES.iter().copied().chain(self.config.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        command.args(&self.args).current_dir(&self.dir);
        command.envs(self.program.env.iter().map(|(k, v)| (k, v)));
        // By variables, because a key may hold an equals sign; what `-c` says still counts more.
        if !self.guard.is_empty() {
            let inherited = self.program.variable("GIT_CONFIG_COUNT").and_then(|n| n.to_str()?.parse().ok()).unwrap_or(0_usize);
            for (n, (key, value)) in (inherited..).zip(self.guard.iter()) {
                command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
            }
            command.env("GIT_CONFIG_COUNT", (inherited + self.guard.len()).to_string());
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("SSH_ASKPASS_REQUIRE", "force");
        // A replaced object would be another thing to git than to the library that reads.
        command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_OPTIONAL_LOCKS", "0");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        if self.remote && std::env::var_os("GIT_ASKPASS").is_none() {
            // Empty: no window is opened either.
            command.env("GIT_ASKPASS", "").env("SSH_ASKPASS", "/bin/false");
        }
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        command
    }

    fn spawn_and(self, read: impl FnOnce(&mut dyn Read) -> io::Result<Vec<u8>>) -> Result<Answer> {
        let what = self.shown();
        let began = Instant::now();
        let mut child = self.command().spawn().map_err(|e| self.spawn_error(&e))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut stdout, stderr) = (stdout.expect("piped"), stderr.expect("piped"));
        let input = self.input.unwrap_or_default();
        let (through, ended) = std::sync::mpsc::channel::<()>();
        let (call, pid) = (what.as_str(), child.id());
        let talk = std::thread::scope(|scope| {
            let _through = through;
            let thread = || std::thread::Builder::new().name("git".into());
            thread().spawn_scoped(scope, move || tell_if_it_hangs(call, pid, &ended))?;
            if let Some(mut pipe) = stdin {
                thread().spawn_scoped(scope, move || drop(pipe.write_all(&input)))?;
            }
            let stderr = thread().spawn_scoped(scope, move || tail_of(stderr))?;
            let read = read(&mut stdout);
            // Whatever is left must be drained, or the child would never end.
            let _ = io::copy(&mut stdout, &mut io::sink());
            Ok((read, stderr.join().unwrap_or_default()))
        });
        if talk.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| GitError::trouble(format!("`{what}`: waiting for it: {e}")))?;
        tracing::debug!(git = %what, code = status.code(), ms = began.elapsed().as_secs_f64() * 1e3, "git");
        let (read, stderr) = talk.map_err(|e: io::Error| GitError::trouble(format!("`{what}`: starting a thread: {e}")))?;
        let stdout = read.map_err(|e| GitError::refused(format!("`{what}`: reading its answer: {e}")))?;
        Ok(Answer { what, status, stdout, stderr })
    }

    fn spawn_error(&self, e: &io::Error) -> GitError {
        let what = format!("starting `{}` in {}: {e}", self.program.path.display(), self.dir.display());
        match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => GitError::Refused { what },
            _ => GitError::Trouble { what },
        }
    }

    /// The call as it is shown to people, bounded.
    fn shown(&self) -> String {
        let args: Vec<_> = self.args.iter().map(|a| a.to_string_lossy()).collect();
        crate::base::text::one_line(&format!("git {}", args.join(" ")), 300)
    }
}

impl Answer {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
    /// The failure in words: the command, how it ended, what it said last.
    pub fn error(&self) -> GitError {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
        };
        let said = self.stderr.trim();
        let what = format!("`{}` failed, {how}{}{said}", self.what, if said.is_empty() { "" } else { ": " });
        classify(what, said, self.status.code().is_none())
    }
}

fn is_foreign(key: &OsStr) -> bool {
    let key = key.to_string_lossy();
    key.starts_with("GIT_") && !KEPT.contains(&&*key) && !KEPT_PREFIXES.iter().any(|p| key.starts_with(p))
}

/// The end of a stream, made safe to show.
fn tail_of(mut stream: impl Read) -> String {
    let mut tail = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..n]);
        if tail.len() > 2 * STDERR_TAIL {
            tail.drain(..tail.len() - STDERR_TAIL);
        }
    }
    let from = tail.len().saturating_sub(STDERR_TAIL);
    crate::base::text::block(&String::from_utf8_lossy(&tail[from..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_point_git_elsewhere_are_dropped_and_identity_is_kept() {
        for foreign in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_PARAMETERS", "GIT_EXTERNAL_DIFF"] {
            assert!(is_foreign(OsStr::new(foreign)), "{foreign}");
        }
        for kept in ["GIT_CONFIG_GLOBAL", "GIT_AUTHOR_EMAIL", "GIT_CONFIG_KEY_0", "HOME", "PATH"] {
            assert!(!is_foreign(OsStr::new(kept)), "{kept}");
        }
    }

    #[test]
    fn versions_are_read_as_the_platforms_print_them() {
        assert_eq!(parse_version("2.47.3"), Some((2, 47)));
        assert_eq!(parse_version("2.39.5.windows.1"), Some((2, 39)));
        assert_eq!(parse_version("unknown"), None);
    }
}
