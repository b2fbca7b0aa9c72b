//! A log that a command's output goes into: bounded, and without the secrets it was told of.
//!
//! What is printed goes to `NAME.log`. When that is full it becomes `NAME.1.log`, in place of what
//! was there, and a new one is begun: the end of the output is always kept, and so is as much
//! again before it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, MatchKind};
use serde::{Deserialize, Serialize};

use super::dir::StepDir;

/// What stands in place of a secret.
const REDACTED: &[u8] = b"***";

/// What is kept of what a command prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// In bytes. A log that is as large is put aside, and the one put aside before it goes.
    pub max_size: u64,
    /// Texts that are to stand in no log.
    pub secrets: Vec<String>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { max_size: 64 << 20, secrets: Vec::new() }
    }
}

/// Where a log is put aside.
pub(super) fn earlier(log: &Path) -> PathBuf {
    log.with_extension("1.log")
}

pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    redactor: Option<Redactor>,
}

impl Log {
    pub fn create(dir: &StepDir, name: &str, logs: &Logs) -> io::Result<Self> {
        let file = dir.create_log(name)?;
        Ok(Self { path: dir.file(name), file, size: 0, max_size: logs.max_size.max(1), redactor: Redactor::new(&logs.secrets) })
    }

    /// A full disk costs output, never the command: what cannot be written is dropped.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.redactor {
            Some(redactor) => {
                let clean = redactor.clean(bytes, false);
                self.keep(&clean);
            }
            None => self.keep(bytes),
        }
    }

    /// There is no more. Makes the log durable: the record of the end must not outlive what it
    /// speaks of.
    pub fn finish(&mut self) -> io::Result<()> {
        let rest = self.redactor.as_mut().map(|r| r.clean(&[], true)).unwrap_or_default();
        self.keep(&rest);
        self.file.sync_data()
    }

    fn keep(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let _ = self.file.write_all(now);
            self.size += now.len() as u64;
            bytes = later;
            if !bytes.is_empty() && self.turn_over().is_err() {
                // It could not be put aside, and grows on.
                self.max_size = u64::MAX;
            }
        }
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.path, earlier(&self.path))?;
        self.file = super::dir::create_log(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// Takes secrets out of a stream that comes in pieces.
struct Redactor {
    secrets: Vec<Vec<u8>>,
    finder: AhoCorasick,
    /// The end of what came, as it may be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    fn new(secrets: &[String]) -> Option<Self> {
        let secrets: Vec<Vec<u8>> = secrets.iter().filter(|s| !s.is_empty()).map(|s| s.clone().into_bytes()).collect();
        // Of two secrets that begin alike the longer one is meant. Too many for the search: none.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&secrets).ok();
        Some(Self { finder: finder.filter(|_| !secrets.is_empty())?, secrets, held: Vec::new() })
    }

    /// What can be written now; all of it where it is the `last`.
    fn clean(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        // Where what came ends in the middle of what may become a secret, a longer one than it is so far.
        let longest = self.secrets.iter().map(Vec::len).max().unwrap_or(0);
        let begins = |at: &usize| self.secrets.iter().any(|s| s.len() > self.held.len() - at && s.starts_with(&self.held[*at..]));
        let open = |from: usize| (from..self.held.len()).find(begins).unwrap_or(self.held.len());
        let mut kept = if last { self.held.len() } else { open(self.held.len().saturating_sub(longest)) };
        let (mut out, mut at) = (Vec::with_capacity(self.held.len()), 0);
        for found in self.finder.find_iter(&self.held) {
            if found.start() >= kept {
                break;
            }
            out.extend_from_slice(&self.held[at..found.start()]);
            out.extend_from_slice(REDACTED);
            at = found.end();
            // What it began in is gone.
            if kept < at {
                kept = open(at);
            }
        }
        out.extend_from_slice(&self.held[at..kept]);
        self.held.drain(..kept);
        out
    }
}

/// Takes the same secrets out of many texts.
#[derive(Clone, Debug, Default)]
pub struct Mask(Option<AhoCorasick>);

impl Mask {
    pub fn new(secrets: &BTreeSet<String>) -> Self {
        let some = secrets.iter().filter(|secret| !secret.is_empty());
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(some).ok();
        Self(finder.filter(|finder| finder.patterns_len() > 0))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let Some(finder) = &self.0 else { return text.to_owned() };
        finder.replace_all_with(text, &mut out, |_, _, out| {
            out.push_str(&String::from_utf8_lossy(REDACTED));
            true
        });
        out
    }
}

/// Without the secrets.
pub fn redact(bytes: &[u8], logs: &Logs) -> Vec<u8> {
    Redactor::new(&logs.secrets).map_or_else(|| bytes.to_vec(), |mut redactor| redactor.clean(bytes, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, logs: &Logs) -> Log {
        Log::create(&StepDir::new(dir), "out.log", logs).unwrap()
    }

    #[test]
    fn of_a_log_that_grows_on_the_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), &Logs { max_size: 10, secrets: vec![] });
        for piece in ["12345", "67890", "abcdefghijklm", "no"] {
            log.write(piece.as_bytes());
        }
        log.finish().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read("out.1.log"), read("out.log")), ("abcdefghij".into(), "klmno".into()));
    }

    #[test]
    fn secrets_are_taken_out_wherever_the_stream_is_cut() {
        let text = "key=hunter22, hunter2 and hunt; once more: hunter22";
        let clean = "key=***, *** and hunt; once more: ***";
        for cut in 1..text.len() {
            let dir = tempfile::tempdir().unwrap();
            let secrets = vec!["hunter22".to_owned(), "hunter2,".into(), "hunter2 ".into(), String::new()];
            let mut log = log(dir.path(), &Logs { secrets, ..Logs::default() });
            text.as_bytes().chunks(cut).for_each(|piece| log.write(piece));
            log.finish().unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("out.log")).unwrap(), clean.replace("*** and", "***and"), "cut at {cut}");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), &Logs { secrets: vec!["hunter22".into()], ..Logs::default() });
        log.write(b"the end is hunter2");
        log.finish().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("out.log")).unwrap(), "the end is hunter2");
    }

    #[test]
    fn of_a_secret_that_begins_with_another_one_nothing_is_left_wherever_it_is_cut() {
        let text = "hunter hunter22x hunter2 hunter";
        let secrets = vec!["hunter".to_owned(), "hunter22x".into()];
        for cut in 1..text.len() {
            let dir = tempfile::tempdir().unwrap();
            let mut log = log(dir.path(), &Logs { secrets: secrets.clone(), ..Logs::default() });
            text.as_bytes().chunks(cut).for_each(|piece| log.write(piece));
            log.finish().unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("out.log")).unwrap(), "*** *** ***2 ***", "cut at {cut}");
        }
        assert_eq!(redact(text.as_bytes(), &Logs { secrets, ..Logs::default() }), b"*** *** ***2 ***");
    }
}
