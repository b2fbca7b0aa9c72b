//! The file that `DROVER_OUTCOME` names: where it is, and what the command of a step wrote there.
//!
//! It stands in a directory of its own, so that a command which may write nothing else of Drover's can
//! be given that one. Nothing is read through a link, and nothing without an end.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

use crate::agent::{self, MAX_OUTCOME};
use crate::core::Exit;
use crate::process::{self, Logs};

/// Of a command's environment.
pub const VARIABLE: &str = "DROVER_OUTCOME";
const DIRECTORY: &str = "said";
const FILE: &str = "outcome.json";

/// Where the command of the step in `dir` may write.
pub fn place(dir: &Path) -> io::Result<PathBuf> {
    let own = dir.join(DIRECTORY);
    DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
    Ok(own.join(FILE))
}

/// How the step ended, with what its command says of it.
pub fn heard(exit: Exit, dir: &Path, logs: &Logs) -> io::Result<Exit> {
    let said = match read(dir)? {
        // Much of it is for commit messages: no more than the logs does that hold a secret.
        Ok(bytes) => agent::said(&process::redact(&bytes, logs)),
        Err(why) => Err(why),
    };
    Ok(match said {
        Ok(None) => exit,
        Ok(Some(said)) => agent::weigh(exit, said),
        Err(why) => agent::misread(exit, &why),
    })
}

/// The bytes of the file, none where there is no such file; or in words why there are none.
fn read(dir: &Path) -> io::Result<Result<Vec<u8>, String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let own = open(dir.join(DIRECTORY), flags | OFlags::DIRECTORY, Mode::empty());
    let file = match own.and_then(|own| openat(&own, FILE, flags, Mode::empty())) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Ok(Vec::new())),
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Err("it is a link".into())),
        Err(Errno::ACCESS) => return Ok(Err("it cannot be read".into())),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(Err("it is no regular file".into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_OUTCOME + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_OUTCOME {
        true => Ok(Err(format!("it is longer than {} KiB", MAX_OUTCOME >> 10))),
        false => Ok(Ok(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::core::Outcome;

    fn came_to(make: impl FnOnce(&Path)) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        make(&place(dir.path()).unwrap());
        heard(Exit::of(Outcome::Succeeded), dir.path(), &Logs::default()).unwrap().outcome
    }

    fn refused(make: impl FnOnce(&Path)) -> String {
        match came_to(make) {
            Outcome::Failed(failure) => failure.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_read_through_a_link_or_without_an_end() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), r#"{"outcome": "blocked", "reason": "secret"}"#).unwrap();
        assert!(refused(|file| symlink(secret.path(), file).unwrap()).contains("a link"));
        assert!(refused(|file| fs::create_dir(file).unwrap()).contains("no regular file"));
        assert!(
            refused(|file| rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap())
                .contains("regular")
        );
        assert!(refused(|file| fs::write(file, vec![b' '; 70 << 10]).unwrap()).contains("longer than 64 KiB"));
        // The directory itself, put elsewhere.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::copy(secret.path(), elsewhere.path().join(FILE)).unwrap();
        let moved = |file: &Path| {
            fs::remove_dir(file.parent().unwrap()).unwrap();
            symlink(elsewhere.path(), file.parent().unwrap()).unwrap();
        };
        assert!(refused(moved).contains("a link"));
    }

    #[test]
    fn without_a_word_the_exit_code_is_all_there_is() {
        assert_eq!(came_to(|_| ()), Outcome::Succeeded);
        assert_eq!(came_to(|file| fs::write(file, " \n").unwrap()), Outcome::Succeeded);
        assert_eq!(came_to(|file| fs::remove_dir_all(file.parent().unwrap()).unwrap()), Outcome::Succeeded);
        assert_eq!(
            came_to(|file| fs::write(file, r#"{"outcome": "blocked", "reason": "no key"}"#).unwrap()),
            Outcome::Blocked("no key".into())
        );
    }
}
