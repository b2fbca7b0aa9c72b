//! Files that a verb makes where a person says: whole or not at all, and in place of nothing but
//! what Drover made there before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::exit::{Exit, Failure};
use crate::base::text::one_line;

/// So much of a file that is there is read, to see whose it is.
const BEGINNING: u64 = 4096;

pub struct Output<'a> {
    pub path: &'a Path,
    pub text: &'a str,
    /// What stands near the beginning of every such file.
    pub marker: &'a str,
    /// Write over what is no such file.
    pub force: bool,
}

impl Output<'_> {
    pub fn put(&self) -> Result<(), Failure> {
        let replaces = self.may_replace()?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temp = self.path.with_file_name(format!(".{name}.{}.drover-tmp", std::process::id()));
        let written = self.write(&temp).and_then(|()| match replaces {
            true => fs::rename(&temp, self.path),
            // What somebody made there meanwhile stays.
            false => renameat_with(CWD, &temp, CWD, self.path, RenameFlags::NOREPLACE).map_err(io::Error::from),
        });
        written.map_err(|e| {
            let _ = fs::remove_file(&temp);
            self.failed(&e)
        })
    }

    fn shown(&self) -> String {
        one_line(&self.path.to_string_lossy(), 300)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let exit = if error.kind() == ErrorKind::NotFound { Exit::Usage } else { Exit::Internal };
        Failure::new(exit, format!("{} was not written: {error}", self.shown()))
    }

    /// Whether there is a file that may go.
    fn may_replace(&self) -> Result<bool, Failure> {
        match fs::symlink_metadata(self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(self.failed(&e)),
            Ok(meta) if !meta.is_file() => {
                return Err(Failure::new(Exit::Usage, format!("{} is there and is no regular file; name another place", self.shown())));
            }
            Ok(_) => {}
        }
        let mut beginning = Vec::new();
        let read = File::open(self.path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
        let ours = read.is_ok() && String::from_utf8_lossy(&beginning).contains(self.marker);
        match ours || self.force {
            true => Ok(true),
            false => {
                let why = format!(
                    "{} is there, and Drover did not make it\n  Name another place, or say --force to write over it.",
                    self.shown()
                );
                Err(Failure::new(Exit::Refused, why))
            }
        }
    }

    fn write(&self, temp: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(temp)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()
    }
}
