//! Reading back what a command wrote, in bounded memory.
//!
//! Knows the names of the two logs, and nothing of what stands in them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::log::earlier;
use crate::base::text;

/// The most that [`tail`] reads of a stream, in bytes from its end.
const TAIL_LIMIT: u64 = 64 * 1024;

/// Where a command's stdout goes, byte for byte, while it runs.
pub fn out_log(step_dir: &Path) -> PathBuf {
    step_dir.join("out.log")
}

/// Where a command's stderr goes, byte for byte, while it runs.
pub fn err_log(step_dir: &Path) -> PathBuf {
    step_dir.join("err.log")
}

/// The last `lines` lines of stdout, and after them those of stderr: of each at most 64 KiB,
/// safe to show.
pub fn tail(step_dir: &Path, lines: usize) -> String {
    join(&last_lines(&out_log(step_dir), lines), &stderr_tail(step_dir, lines))
}

/// The last `lines` lines of stderr alone, likewise.
pub fn stderr_tail(step_dir: &Path, lines: usize) -> String {
    last_lines(&err_log(step_dir), lines)
}

fn last_lines(path: &Path, lines: usize) -> String {
    let text = end_of(path);
    let skip = text.lines().count().saturating_sub(lines);
    text.lines().skip(skip).map(|line| format!("{line}\n")).collect()
}

fn join(out: &str, err: &str) -> String {
    let gap = if out.is_empty() || err.is_empty() || out.ends_with('\n') { "" } else { "\n" };
    [out, gap, err].concat()
}

/// Agents write what they like: bytes that are no text are replaced, escape sequences taken out.
fn end_of(path: &Path) -> String {
    text::block(&String::from_utf8_lossy(&read_end(path, TAIL_LIMIT).unwrap_or_default()))
}

/// What of a log is there, in the order in which it was written.
pub fn pieces(log: &Path) -> impl Iterator<Item = PathBuf> {
    [earlier(log), log.to_owned()].into_iter().filter(|path| path.is_file())
}

/// All that is kept of what a command wrote on stdout.
pub fn output(step_dir: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut all: Box<dyn BufRead> = Box::new(io::empty());
    for piece in pieces(&out_log(step_dir)) {
        all = Box::new(BufReader::new(all.chain(File::open(piece)?)));
    }
    Ok(all)
}

/// The last bytes of a log. Right after it was begun anew they are in the one before it.
fn read_end(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let end = read_end_of(path, limit)?;
    let missing = limit.saturating_sub(end.len() as u64);
    match read_end_of(&earlier(path), missing) {
        Ok(before) => Ok([before, end].concat()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(end),
        Err(e) => Err(e),
    }
}

fn read_end_of(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    // A limit again: the command may be writing on.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_last_lines_of_both_streams_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tail(dir.path(), 2), "");
        fs::write(out_log(dir.path()), "one\ntwo\nthree").unwrap();
        fs::write(err_log(dir.path()), b"bad \xff\n\x1b[31mred\n").unwrap();
        assert_eq!(tail(dir.path(), 2), "two\nthree\nbad \u{fffd}\n[31mred\n");
        assert_eq!(stderr_tail(dir.path(), 1), "[31mred\n");
    }

    #[test]
    fn a_line_without_an_end_is_cut_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(out_log(dir.path())).unwrap();
        log.set_len(1 << 34).unwrap();
        fs::write(err_log(dir.path()), "é".repeat(1 << 20)).unwrap();
        assert!(tail(dir.path(), 5).len() as u64 <= 2 * TAIL_LIMIT + 8);
    }
}
