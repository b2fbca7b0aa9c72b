//! The files of a step's directory: their names, formats, durability, and the lock.
//!
//! Knows no processes: what the files mean together is decided here, what is done about it is not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ExitRecord, Launch, Logs, Probe, VERSION};

/// What the shim is to do; [`Launch`] as it stands on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct Spec {
    pub version: u32,
    pub aid: String,
    pub argv: Vec<String>,
    /// A path need not be UTF-8.
    pub cwd: OsString,
    pub env: BTreeMap<String, String>,
    /// Whether the file `stdin` is the command's input.
    pub stdin: bool,
    pub timeout: Duration,
    pub stall_timeout: Option<Duration>,
    pub grace: Duration,
    #[serde(default)]
    pub logs: Logs,
    /// The shim's standard input is a pipe that nobody writes to; at its end the command is ended.
    #[serde(default)]
    pub tethered: bool,
}

/// Opens a log, empty.
pub(super) fn create_log(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().write(true).create(true).truncate(true)).open(path).map_err(at(path))
}

/// Which process the shim is, beyond any reuse of its pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    pub version: u32,
    pub boot_id: String,
    pub pid: u32,
    /// From `/proc/<pid>/stat`: clock ticks since boot.
    pub start_time: u64,
    pub aid: String,
}

/// The state of a step's directory whose shim is not alive.
pub(super) enum AtRest {
    Fresh,
    Finished(ExitRecord),
    Lost,
}

/// A step's directory.
pub(super) struct StepDir {
    path: PathBuf,
}

impl StepDir {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn create(&self) -> io::Result<()> {
        create_private(&self.path)
    }

    pub fn write_spec(&self, launch: &Launch) -> io::Result<()> {
        if let Some(input) = &launch.stdin {
            self.write("stdin", input)?;
        }
        let spec = Spec {
            version: VERSION,
            aid: launch.aid.clone(),
            argv: launch.argv.clone(),
            cwd: launch.cwd.clone().into(),
            env: launch.env.clone(),
            stdin: launch.stdin.is_some(),
            timeout: launch.timeout,
            stall_timeout: launch.stall_timeout,
            grace: launch.grace,
            logs: launch.logs.clone(),
            tethered: launch.tethered,
        };
        self.write_json("spec.json", &spec)
    }

    pub fn spec(&self) -> io::Result<Spec> {
        let missing = || io::Error::new(ErrorKind::NotFound, format!("{}: there is none", self.file("spec.json").display()));
        let spec: Spec = self.read_json("spec.json")?.ok_or_else(missing)?;
        if spec.version != VERSION {
            let why = format!("{}: version {}, this program reads {VERSION}", self.file("spec.json").display(), spec.version);
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(spec)
    }

    /// Takes the secrets in the environment off the disk. Best effort: it holds nothing up.
    pub fn forget_spec(&self) {
        let _ = fs::remove_file(self.file("spec.json"));
    }

    /// The point of no return: durable before the command can have any effect.
    /// Must be called under the lock. Fails, and takes the file back, if it cannot be made durable.
    pub fn write_started(&self, started: &Started) -> io::Result<()> {
        let path = self.file("started");
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&path).map_err(at(&path))?;
        let written = file.write_all(&json(started)).and_then(|()| file.sync_all()).and_then(|()| sync_dir(&self.path));
        if written.is_err() {
            fs::remove_file(&path).map_err(at(&path))?;
        }
        written.map_err(at(&path))
    }

    /// `None` if there is none, or it is not yet whole.
    pub fn started(&self) -> io::Result<Option<Started>> {
        absent_if_damaged(self.read_json("started"))
    }

    pub fn write_exit(&self, record: &ExitRecord) -> io::Result<()> {
        self.write_json("exit.json", record)
    }

    pub fn request_interrupt(&self) -> io::Result<()> {
        let path = self.file("interrupt");
        private(OpenOptions::new().write(true).create(true)).open(&path).map(drop).map_err(at(&path))
    }

    /// Opens a log of this directory, empty.
    pub fn create_log(&self, name: &str) -> io::Result<File> {
        create_log(&self.file(name))
    }

    /// Opens a log of this directory to write at its end.
    pub fn append_log(&self, name: &str) -> io::Result<File> {
        let path = self.file(name);
        private(OpenOptions::new().append(true).create(true)).open(&path).map_err(at(&path))
    }

    /// The shim's lock. Waits for whoever holds it: a look from Drover lasts an instant, and
    /// another shim leaves `started` behind. Freed by the kernel when the shim is gone.
    pub fn lock_as_shim(&self) -> io::Result<File> {
        let path = self.file("alive");
        let file = private(OpenOptions::new().write(true).create(true)).open(&path).map_err(at(&path))?;
        uninterrupted(|| file.lock()).map_err(at(&path))?;
        Ok(file)
    }

    /// Waits until no shim lives here, then looks.
    pub fn wait_until_at_rest(&self) -> io::Result<AtRest> {
        if let Some(record) = self.exit_record()? {
            return Ok(AtRest::Finished(record));
        }
        let alive = self.open_alive()?;
        if let Some(file) = &alive {
            uninterrupted(|| file.lock_shared()).map_err(at(&self.file("alive")))?;
        }
        self.look_at_rest()
    }

    /// Looks without waiting.
    pub fn look(&self) -> io::Result<Probe> {
        if let Some(record) = self.exit_record()? {
            return Ok(Probe::Finished(record));
        }
        let alive = self.open_alive()?;
        match alive.as_ref().map(File::try_lock_shared) {
            Some(Err(TryLockError::WouldBlock)) => return Ok(Probe::Running { pid: self.started()?.map(|s| s.pid) }),
            Some(Err(TryLockError::Error(e))) => return Err(at(&self.file("alive"))(e)),
            Some(Ok(())) | None => {}
        }
        Ok(match self.look_at_rest()? {
            AtRest::Fresh => Probe::Fresh,
            AtRest::Finished(record) => Probe::Finished(record),
            AtRest::Lost => Probe::Lost,
        })
    }

    /// What the files say while no shim can change them. The record is looked for again: a shim
    /// may have written it and ended since the last look.
    fn look_at_rest(&self) -> io::Result<AtRest> {
        if let Some(record) = self.exit_record()? {
            return Ok(AtRest::Finished(record));
        }
        let started = self.exists("started")? || self.exists("exit.json")?;
        Ok(if started { AtRest::Lost } else { AtRest::Fresh })
    }

    /// `None` if there is no record, or none that can be read: that one counts as lost.
    fn exit_record(&self) -> io::Result<Option<ExitRecord>> {
        let record = absent_if_damaged(self.read_json::<ExitRecord>("exit.json"))?;
        Ok(record.filter(|r| r.version == VERSION))
    }

    fn open_alive(&self) -> io::Result<Option<File>> {
        let path = self.file("alive");
        absent(private(OpenOptions::new().read(true)).open(&path)).map_err(at(&path))
    }

    pub fn exists(&self, name: &str) -> io::Result<bool> {
        let path = self.file(name);
        path.try_exists().map_err(at(&path))
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.file(name);
        let Some(bytes) = absent(fs::read(&path)).map_err(at(&path))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("{}: {e}", path.display())))
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        self.write(name, &json(value))
    }

    /// Writes a file whole or not at all, durably. Several may do so at once.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("{name}.{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (path, tmp) = (self.file(name), self.file(&unique));
        let mut options = OpenOptions::new();
        let whole = private(options.write(true).create(true).truncate(true)).open(&tmp).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let renamed = whole.and_then(|()| fs::rename(&tmp, &path));
        if renamed.is_err() {
            let _ = fs::remove_file(&tmp);
        }
        renamed.and_then(|()| sync_dir(&self.path)).map_err(at(&path))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("these types have nothing JSON cannot hold")
}

/// Readable by nobody else, and never through a link. The umask is left alone: the command
/// inherits it, and its files belong to the user's tree.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
}

fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_private(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(at(path))?,
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}

/// Says where an error happened, and keeps its kind.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn absent_if_damaged<T>(result: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::InvalidData => Ok(None),
        other => other,
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
