//! Where the socket is: in a directory of the user's own, under a name short enough for one.
//!
//! The path of a socket holds some hundred bytes, and not every file system can hold one; so it
//! lies in the runtime directory, and a file in the state directory says where. Whoever looks for
//! it need not have the same environment.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::base::sha256_hex;

/// The file of the state directory that holds the socket's path.
const POINTER: &str = "control";
/// The most bytes in a socket's path, on the systems that hold the least.
const MAX_PATH: usize = 103;

/// A path to listen at, below the runtime directory or else below a temporary one.
pub fn choose(runtime: Option<&Path>, temporary: &Path, state_dir: &Path) -> io::Result<PathBuf> {
    let name = format!("{}.sock", &sha256_hex(state_dir.as_os_str().as_bytes())[..16]);
    let fallback = temporary.join(format!("drover-{}", own_uid()));
    let dirs = runtime.filter(|dir| dir.is_absolute()).map(|dir| dir.join("drover")).into_iter().chain([fallback]);
    let mut why = io::Error::other("its path would be too long");
    for dir in dirs.filter(|dir| dir.join(&name).as_os_str().len() <= MAX_PATH) {
        match own_directory(&dir) {
            Ok(()) => return Ok(dir.join(&name)),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Makes the directory, for its owner alone, or makes sure that it is such a one.
fn own_directory(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir)?;
    let private = meta.is_dir() && meta.uid() == own_uid() && meta.mode() & 0o077 == 0;
    let refused = || io::Error::other(format!("{} is not a directory of yours alone (mode 0700)", dir.display()));
    private.then_some(()).ok_or_else(refused)
}

/// Notes in the state directory where the socket is; whole or not at all.
pub fn note(state_dir: &Path, socket: &Path) -> io::Result<()> {
    let draft = state_dir.join(format!("{POINTER}.new"));
    fs::write(&draft, socket.as_os_str().as_bytes())?;
    fs::rename(&draft, state_dir.join(POINTER))
}

/// The note is taken away, if it still names this socket.
pub fn forget(state_dir: &Path, socket: &Path) {
    if noted(state_dir).as_deref() == Some(socket) {
        let _ = fs::remove_file(state_dir.join(POINTER));
    }
}

/// Where a Drover of this state directory listens, or listened: a socket of the user's own, in a
/// directory that nobody else can write to.
pub fn find(state_dir: &Path) -> Option<PathBuf> {
    let socket = noted(state_dir)?;
    let dir = fs::symlink_metadata(socket.parent()?).ok()?;
    let meta = fs::symlink_metadata(&socket).ok()?;
    let ours = meta.file_type().is_socket() && meta.uid() == own_uid() && dir.uid() == own_uid() && dir.mode() & 0o022 == 0;
    ours.then_some(socket)
}

fn noted(state_dir: &Path) -> Option<PathBuf> {
    let bytes = fs::read(state_dir.join(POINTER)).ok().filter(|b| b.len() <= MAX_PATH)?;
    Some(PathBuf::from(OsString::from_vec(bytes))).filter(|path| path.is_absolute())
}

pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_runtime_directory_is_taken_and_a_path_that_is_too_long_is_not() {
        let top = tempfile::tempdir().unwrap();
        let socket = choose(Some(top.path()), Path::new("/tmp"), Path::new("/r/.git/drover")).unwrap();
        assert!(socket.starts_with(top.path().join("drover")) && socket.as_os_str().len() <= MAX_PATH);
        assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let deep = top.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        let socket = choose(Some(&deep), top.path(), Path::new("/r/.git/drover")).unwrap();
        assert_eq!(socket.parent(), Some(top.path().join(format!("drover-{}", own_uid())).as_path()));
        assert!(choose(Some(&deep), &deep, Path::new("/r")).is_err());
        assert_ne!(choose(None, top.path(), Path::new("/a")).unwrap(), choose(None, top.path(), Path::new("/b")).unwrap());
    }

    #[test]
    fn a_directory_that_others_can_write_to_or_a_link_is_not_used() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join(format!("drover-{}", own_uid()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(choose(None, top.path(), Path::new("/r")).unwrap_err().to_string().contains("0700"));
        fs::remove_dir(&dir).unwrap();
        let real = tempfile::tempdir().unwrap();
        symlink(real.path(), &dir).unwrap();
        assert!(choose(None, top.path(), Path::new("/r")).is_err());
    }

    #[test]
    fn what_the_note_names_must_be_a_socket_of_ones_own() {
        let top = tempfile::tempdir().unwrap();
        assert_eq!(find(top.path()), None);
        for odd in ["", "relative.sock", "/dev/null", "/nowhere/at/all"] {
            fs::write(top.path().join(POINTER), odd).unwrap();
            assert_eq!(find(top.path()), None, "{odd}");
        }
        let socket = top.path().join("s.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        note(top.path(), &socket).unwrap();
        assert_eq!(find(top.path()), Some(socket.clone()));
        forget(top.path(), Path::new("/another.sock"));
        assert_eq!(find(top.path()), Some(socket.clone()));
        forget(top.path(), &socket);
        assert_eq!(find(top.path()), None);
    }
}
