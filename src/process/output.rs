//! Reading back what a command wrote, in bounded memory.
//!
//! Knows the names of the two logs, and nothing of what stands in them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::base::text;

/// The most that [`output`] returns of a stream, in bytes from its end.
const OUTPUT_LIMIT: u64 = 1024 * 1024;
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

/// What the command wrote to stdout, and after it what it wrote to stderr: of each the last MiB,
/// safe to show. Empty where there is nothing to read.
pub fn output(step_dir: &Path) -> String {
    join(&end_of(&out_log(step_dir), OUTPUT_LIMIT), &end_of(&err_log(step_dir), OUTPUT_LIMIT))
}

/// The last `lines` lines of stdout, and after them those of stderr: of each at most 64 KiB,
/// safe to show.
pub fn tail(step_dir: &Path, lines: usize) -> String {
    join(&last(&out_log(step_dir), lines), &err_tail(step_dir, lines))
}

/// The last `lines` lines of stderr alone: at most 64 KiB, safe to show.
pub fn err_tail(step_dir: &Path, lines: usize) -> String {
    last(&err_log(step_dir), lines)
}

fn last(path: &Path, lines: usize) -> String {
    let text = end_of(path, TAIL_LIMIT);
    let skip = text.lines().count().saturating_sub(lines);
    text.lines().skip(skip).map(|line| format!("{line}\n")).collect()
}

fn join(out: &str, err: &str) -> String {
    let gap = if out.is_empty() || err.is_empty() || out.ends_with('\n') { "" } else { "\n" };
    [out, gap, err].concat()
}

/// Agents write what they like: bytes that are no text are replaced, escape sequences taken out.
fn end_of(path: &Path, limit: u64) -> String {
    text::block(&String::from_utf8_lossy(&read_end(path, limit).unwrap_or_default()))
}

fn read_end(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
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
        assert_eq!(err_tail(dir.path(), 1), "[31mred\n");
        assert_eq!(output(dir.path()), "one\ntwo\nthree\nbad \u{fffd}\n[31mred\n");
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
