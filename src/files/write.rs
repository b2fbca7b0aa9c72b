//! Writing a file that a person keeps: whole or not at all, and only over what was read.
//!
//! Knows nothing of what is in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::change::Change;

/// Between two looks whether others are through.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a file was not written; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    #[error("{0} was changed meanwhile, and is left as it is")]
    Changed(String),
    #[error("{0} is a symbolic link, or behind one: task files are regular files inside of the repository")]
    Link(String),
    #[error("{0} leads out of the repository")]
    Outside(String),
    #[error("{0} may not be written to: it is read-only")]
    ReadOnly(String),
    #[error("{0} cannot be written: {1}")]
    Io(String, io::Error),
    #[error("another Drover is writing the files of this project, and does not come to an end")]
    Busy,
}

/// Held by whoever reads files to write them: others wait until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _root: Option<File>,
}

/// Waits for those who write here now, for up to `wait`. Where nothing can be locked each goes ahead, and whoever
/// finds a file changed says so.
pub fn take_turn(root: &Path, wait: Duration) -> Result<Turn, NotWritten> {
    let Ok(dir) = File::open(root) else { return Ok(Turn { _root: None }) };
    let mut left = wait;
    loop {
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Turn { _root: Some(dir) }),
            Err(Errno::WOULDBLOCK | Errno::INTR) if left.is_zero() => return Err(NotWritten::Busy),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => return Ok(Turn { _root: None }),
        }
        let pause = PAUSE.min(left);
        std::thread::sleep(pause);
        left -= pause;
    }
}

/// A new text beside the file that it is for, safe on the disk.
#[derive(Debug)]
pub struct Prepared<'a> {
    change: &'a Change,
    target: PathBuf,
    temp: PathBuf,
}

/// Refuses a name that leads out of `root`, also by a link.
pub fn refuse_odd(root: &Path, name: &str) -> Result<(), NotWritten> {
    let parts: Vec<Component<'_>> = Path::new(name).components().collect();
    if parts.is_empty() || !parts.iter().all(|p| matches!(p, Component::Normal(_))) {
        return Err(NotWritten::Outside(name.to_owned()));
    }
    let mut at = root.to_owned();
    for part in parts {
        at.push(part);
        if fs::symlink_metadata(&at).is_ok_and(|m| m.is_symlink()) {
            return Err(NotWritten::Link(name.to_owned()));
        }
    }
    Ok(())
}

/// Writes several files, or none: what can fail is done before the first takes its place. Where one fails
/// even so, those that are written are named.
pub fn put_all(root: &Path, changes: &[Change]) -> Result<(), (Vec<String>, NotWritten)> {
    let none = |why| (Vec::new(), why);
    let prepared = changes.iter().map(|c| prepare(root, c)).collect::<Result<Vec<_>, _>>().map_err(none)?;
    prepared.iter().try_for_each(Prepared::is_as_read).map_err(none)?;
    let mut done = Vec::new();
    for one in prepared {
        let name = one.change.name.clone();
        one.finish().map_err(|why| (done.clone(), why))?;
        done.push(name);
    }
    Ok(())
}

/// Writes one file.
pub fn put(root: &Path, change: &Change) -> Result<(), NotWritten> {
    prepare(root, change)?.finish()
}

/// Does all that can fail for want of rights or room.
pub fn prepare<'a>(root: &Path, change: &'a Change) -> Result<Prepared<'a>, NotWritten> {
    let failed = |e| NotWritten::Io(change.name.clone(), e);
    refuse_odd(root, &change.name)?;
    let target = root.join(&change.name);
    let dir = target.parent().unwrap_or(root);
    fs::create_dir_all(dir).map_err(failed)?;
    let permissions = match &change.old {
        Some(_) => Some(fs::metadata(&target).map_err(failed)?.permissions()),
        None => None,
    };
    if permissions.as_ref().is_some_and(Permissions::readonly) {
        return Err(NotWritten::ReadOnly(change.name.clone()));
    }
    let file = target.file_name().unwrap_or_default().to_string_lossy();
    // Begins with a dot and ends in no `.toml`: nobody takes it for a task file.
    let temp = dir.join(format!(".{file}.{}.drover-tmp", std::process::id()));
    let prepared = Prepared { change, target, temp };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&prepared.temp).map_err(failed)?;
    file.write_all(change.text().as_bytes()).map_err(failed)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    Ok(prepared)
}

impl Prepared<'_> {
    /// Fails if the file is not what was read.
    fn is_as_read(&self) -> Result<(), NotWritten> {
        let Some(old) = &self.change.old else { return Ok(()) };
        let regular = fs::symlink_metadata(&self.target).is_ok_and(|m| m.is_file());
        if !regular || fs::read(&self.target).map_err(|e| NotWritten::Io(self.change.name.clone(), e))? != old.as_bytes() {
            return Err(NotWritten::Changed(self.change.name.clone()));
        }
        Ok(())
    }

    /// Puts the new text in place of the old one, if the file is still what was read.
    pub fn finish(self) -> Result<(), NotWritten> {
        let name = || self.change.name.clone();
        self.is_as_read()?;
        let moved = match &self.change.old {
            Some(_) => fs::rename(&self.temp, &self.target),
            None => renameat_with(CWD, &self.temp, CWD, &self.target, RenameFlags::NOREPLACE).map_err(io::Error::from),
        };
        moved.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => NotWritten::Changed(name()),
            _ => NotWritten::Io(name(), e),
        })?;
        let dir = self.target.parent().map(File::open);
        dir.map_or(Ok(()), |dir| dir?.sync_all()).map_err(|e| NotWritten::Io(name(), e))
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // Gone already where it took the place of the file.
        let _ = fs::remove_file(&self.temp);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::change::Edit;
    use super::*;

    fn change(name: &str, old: Option<&str>, more: &str) -> Change {
        let end = old.map_or(0, str::len);
        Change::new(name, old.map(str::to_owned), vec![Edit { at: end..end, with: more.into() }])
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut out: Vec<String> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        out.sort();
        out
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        put(dir.path(), &change("t.toml", Some("a"), "b")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        put(dir.path(), &change("deep/er/t.toml", None, "c")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("deep/er/t.toml")).unwrap(), "c");
        assert_eq!(names(dir.path()), ["deep", "t.toml"]);
        assert_eq!(names(&dir.path().join("deep/er")), ["t.toml"]);
    }

    #[test]
    fn what_a_person_changed_or_made_meanwhile_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        fs::write(&path, "a").unwrap();
        let change_of_a = change("t.toml", Some("a"), "b");
        let prepared = prepare(dir.path(), &change_of_a).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(prepared.finish(), Err(NotWritten::Changed(_))));
        assert!(matches!(put(dir.path(), &change("t.toml", None, "new")), Err(NotWritten::Changed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(names(dir.path()), ["t.toml"]);
    }

    #[test]
    fn of_several_files_none_is_written_where_one_was_changed_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        ["a", "b"].iter().for_each(|name| fs::write(dir.path().join(name), name).unwrap());
        let (done, why) = put_all(dir.path(), &[change("a", Some("a"), "+"), change("b", Some("other"), "+")]).unwrap_err();
        assert!(done.is_empty() && matches!(why, NotWritten::Changed(name) if name == "b"));
        assert_eq!((read("a"), read("b"), names(dir.path())), ("a".into(), "b".into(), vec!["a".to_owned(), "b".to_owned()]));
        put_all(dir.path(), &[change("a", Some("a"), "+"), change("b", Some("b"), "+")]).unwrap();
        assert_eq!((read("a"), read("b"), names(dir.path())), ("a+".into(), "b+".into(), vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn links_ways_out_and_read_only_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("t.toml"), "a").unwrap();
        symlink(elsewhere.path(), dir.path().join("link")).unwrap();
        symlink(elsewhere.path().join("t.toml"), dir.path().join("l.toml")).unwrap();
        fs::write(dir.path().join("r.toml"), "a").unwrap();
        fs::set_permissions(dir.path().join("r.toml"), Permissions::from_mode(0o444)).unwrap();
        for name in ["link/t.toml", "l.toml"] {
            assert!(matches!(put(dir.path(), &change(name, Some("a"), "b")), Err(NotWritten::Link(_))), "{name}");
        }
        for name in ["../t.toml", "/t.toml", ""] {
            assert!(matches!(put(dir.path(), &change(name, Some("a"), "b")), Err(NotWritten::Outside(_))), "{name}");
        }
        assert!(matches!(put(dir.path(), &change("r.toml", Some("a"), "b")), Err(NotWritten::ReadOnly(_))));
        assert_eq!(names(elsewhere.path()), ["t.toml"]);
        assert_eq!(fs::read_to_string(elsewhere.path().join("t.toml")).unwrap(), "a");
    }
}
