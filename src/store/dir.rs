//! The state directory: made private, refused when it is not ours, synced when it changes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::StoreError;

/// Makes `dir` (mode 0700, its parent must exist) unless it is there, and refuses one that is
/// a link or another user's.
pub fn prepare(dir: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync(dir.parent().unwrap_or(dir)).map_err(|e| StoreError::io("cannot sync the parent of", dir, e))?,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(StoreError::io("cannot create", dir, e)),
    }
    check(dir).map(|_| ())
}

/// Whether `dir` is there; refuses one that is a link or another user's. Changes nothing.
pub fn check(dir: &Path) -> Result<bool, StoreError> {
    let meta = match fs::symlink_metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(StoreError::io("cannot look at", dir, e)),
    };
    let refuse = |why: String| Err(StoreError::Refused { path: dir.to_owned(), why });
    if meta.file_type().is_symlink() {
        return refuse("it is a symbolic link; move what it points to here, or remove the link".into());
    }
    if !meta.is_dir() {
        return refuse("it is not a directory; move it out of the way".into());
    }
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own {
        return refuse(format!("it belongs to user {}, and this is user {own}; run drover as its owner", meta.uid()));
    }
    Ok(true)
}

/// Makes durable what was created, renamed or removed in `dir`.
pub fn sync(dir: &Path) -> io::Result<()> {
    // `Path::parent` of a relative name of one part is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_directory_is_made_for_its_owner_alone() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        prepare(&dir).unwrap();
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_a_file_and_a_missing_parent_are_refused() {
        let top = tempfile::tempdir().unwrap();
        let real = top.path().join("real");
        prepare(&real).unwrap();
        let link = top.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(matches!(prepare(&link), Err(StoreError::Refused { .. })));
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(StoreError::Refused { .. })));
        assert!(matches!(prepare(&top.path().join("no/drover")), Err(StoreError::Io { .. })));
        assert!(!check(&top.path().join("none")).unwrap());
    }
}
