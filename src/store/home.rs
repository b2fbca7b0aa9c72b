//! Whose a state directory is. One that was copied along with its repository speaks of worktrees and processes of
//! the repository that it was copied from: they are not the copy's to go on with, to reuse, or to take away.
//!
//! The file `home` holds the device and inode of the directory that it was written in, and that one's path.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{StoreError, dir};

const FILE: &str = "home";

/// The state directory that `dir` is a copy of, if that one is still where it was. One that was moved, put back from
/// a backup, or is the only one left, is nobody's copy.
pub fn original(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let Some((identity, path)) = read(dir)? else { return Ok(None) };
    let is_it = |place: &Path| fs::metadata(place).is_ok_and(|meta| of(&meta) == identity);
    Ok((!is_it(dir) && is_it(&path)).then_some(path))
}

/// Notes that `dir` is where it is, and nobody's copy.
///
/// # Errors
/// When it cannot be written: what is copied then could be taken for the original.
pub fn note(dir: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("cannot note where it is in", dir, e);
    let path = fs::canonicalize(dir).map_err(failed)?;
    let identity = of(&fs::metadata(dir).map_err(failed)?);
    if read(dir)?.is_some_and(|noted| noted == (identity.clone(), path.clone())) {
        return Ok(());
    }
    let new = dir.join(format!("{FILE}.new"));
    let mut file = fs::File::create(&new).map_err(failed)?;
    let whole = file.write_all(&[identity.as_bytes(), b"\n", path.as_os_str().as_bytes()].concat());
    whole.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, dir.join(FILE))).map_err(failed)?;
    dir::sync(dir).map_err(failed)
}

fn of(meta: &Metadata) -> String {
    format!("{} {}", meta.dev(), meta.ino())
}

/// None where nothing was noted yet, or nothing that can be read.
fn read(dir: &Path) -> Result<Option<(String, PathBuf)>, StoreError> {
    let bytes = match fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io("cannot read where it was noted to be in", dir, e)),
    };
    let mut parts = bytes.splitn(2, |b| *b == b'\n');
    let (Some(identity), Some(path)) = (parts.next(), parts.next()) else { return Ok(None) };
    Ok(Some((String::from_utf8_lossy(identity).into_owned(), PathBuf::from(OsString::from_vec(path.to_owned())))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_what_was_moved_put_back_or_is_the_last_one() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        let copy = |from: &str, to: &str| {
            fs::create_dir(at(to)).unwrap();
            fs::copy(at(from).join(FILE), at(to).join(FILE)).unwrap();
        };
        fs::create_dir(at("a")).unwrap();
        assert_eq!(original(&at("a")).unwrap(), None, "nothing was noted yet");
        note(&at("a")).unwrap();
        assert_eq!(original(&at("a")).unwrap(), None);
        copy("a", "b");
        assert_eq!(original(&at("b")).unwrap(), Some(fs::canonicalize(at("a")).unwrap()));
        // Moved, and another one made in its place.
        fs::rename(at("a"), at("moved")).unwrap();
        copy("moved", "a");
        assert_eq!(original(&at("moved")).unwrap(), None);
        assert_eq!(original(&at("a")).unwrap(), None, "put back from a copy");
        assert_eq!(original(&at("b")).unwrap(), None, "what it was copied from is gone");
        copy("moved", "c");
        note(&at("c")).unwrap();
        assert_eq!(original(&at("c")).unwrap(), None, "it stands for itself by now");
        fs::write(at("c").join(FILE), b"\xff").unwrap();
        assert_eq!(original(&at("c")).unwrap(), None);
    }
}
