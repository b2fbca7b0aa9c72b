//! The corpus of the fuzz targets, and every input that once made one of them panic, through the same
//! functions.

#[path = "../fuzz/src/entries.rs"]
mod entries;

use std::fs;
use std::path::Path;

use crate::kill::number;

/// What hostile input is made of, besides itself.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"'",
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"..",
    b"/",
    b"-",
    b"--",
    b"*",
    b"+",
    b"${{ ",
    b"\x1b[2J",
    "\u{202e}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    b"18446744073709551615",
    b"-1",
    b"1e400",
    b"null",
    b"Drover-Task: a@1:00\n",
    b"Drover-Attempt: r-1\n",
    b"=====",
];

/// One change such as a fuzzer makes, though it does not look what comes of it.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(..=bytes.len());
    let some = |rng: &mut fastrand::Rng, from: &[u8]| {
        let start = rng.usize(..=from.len());
        from[start..(start + rng.usize(..40)).min(from.len())].to_vec()
    };
    match rng.u8(..7) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        2 => drop(bytes.drain(at..(at + rng.usize(..20)).min(bytes.len()))),
        3 => drop(bytes.splice(at..at, some(rng, &bytes.clone()))),
        4 => drop(bytes.splice(at..at, some(rng, other))),
        _ => drop(bytes.splice(at..at, PIECES[rng.usize(..PIECES.len())].iter().copied())),
    }
}

/// Runs a target on each file that is kept for it, on each cut short anywhere, and on changes of them.
fn replay(name: &str, target: fn(&[u8])) {
    let dir = Path::new("tests/fuzz/corpus").join(name);
    let mut inputs: Vec<_> = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten().map(|e| e.path()).collect();
    inputs.sort();
    assert!(inputs.len() > 2, "{} holds hardly anything", dir.display());
    let mut texts = Vec::new();
    for path in inputs {
        let bytes = fs::read(&path).unwrap();
        play(&path.display().to_string(), &bytes, target);
        // As a crash or a full disk leaves it.
        (0..bytes.len()).step_by(bytes.len() / 20 + 1).for_each(|len| play("one cut short", &bytes[..len], target));
        texts.push(bytes);
    }
    let mut rng = fastrand::Rng::with_seed(number("DROVER_FUZZ_SEED", 1));
    for _ in 0..number("DROVER_FUZZ_ROUNDS", 400) {
        let mut bytes = texts[rng.usize(..texts.len())].clone();
        let other = &texts[rng.usize(..texts.len())];
        (0..rng.usize(1..6)).for_each(|_| mutate(&mut rng, &mut bytes, other));
        play("one that was made up", &bytes, target);
    }
}

fn play(what: &str, bytes: &[u8], target: fn(&[u8])) {
    if std::panic::catch_unwind(|| target(bytes)).is_err() {
        panic!("{what} makes it panic: see above. {:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn whatever_stands_in_task_files_is_a_project_or_a_report() {
    replay("files", entries::files);
}

#[test]
fn whatever_an_agent_prints_is_read_without_harm() {
    replay("agents", entries::agents);
}

#[test]
fn no_message_of_a_commit_forges_a_record_or_takes_one_away() {
    replay("records", entries::records);
}

#[test]
fn any_text_is_a_selector_or_refused() {
    replay("selectors", entries::selectors);
}

#[test]
fn any_line_on_the_socket_is_a_request_or_refused() {
    replay("control", entries::control);
}

#[test]
fn any_journal_is_folded_or_refused() {
    replay("journal", entries::journal);
}
