//! Whatever stands in the files, the answer is a project or a report, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use drover::files::{Code, Options, load};

use super::{Dir, TASK, fixtures};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files_in(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { files_in(&entry.path(), out) } else { out.push(entry.path()) }
    }
}

/// One small change, of the kind that typing, merging or malice makes.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const PIECES: &[&str] = &[
        "\"",
        "'",
        "\"\"\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "\r",
        "#",
        ".",
        "${{",
        "}}",
        "\u{1b}[0m",
        "é\u{202e}",
        "\0",
        "-1",
        "inf",
        "[[task]]",
        "id",
        "\u{feff}",
    ];
    let at = rng.usize(..=bytes.len());
    match rng.u8(..6) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = rng.u8(..),
        2 => drop(bytes.drain(at..(at + rng.usize(..20)).min(bytes.len()))),
        3 => drop(bytes.splice(at..at, bytes[rng.usize(..=at)..at].to_vec())),
        _ => drop(bytes.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
    }
}

#[test]
fn no_mutation_of_any_file_makes_it_panic() {
    let mut rng = fastrand::Rng::with_seed(7);
    let dir = tempfile::tempdir().unwrap();
    for (n, from) in fixtures("good").into_iter().chain(fixtures("bad")).enumerate() {
        let root = dir.path().join(n.to_string());
        copy(&from, &root);
        let mut files = Vec::new();
        files_in(&root, &mut files);
        files.sort();
        for _ in 0..50 {
            let path = rng.choice(&files).unwrap();
            let before = fs::read(path).unwrap();
            let mut bytes = before.clone();
            (0..rng.usize(1..4)).for_each(|_| mutate(&mut rng, &mut bytes));
            fs::write(path, &bytes).unwrap();
            let loaded = load(&root, &Options::default());
            assert_eq!(loaded.project.is_none(), loaded.report.has_errors(), "{:?}", String::from_utf8_lossy(&bytes));
            let shown = loaded.report.graphical(false, 80) + &loaded.report.short();
            let safe = shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control() && c != '\u{202e}');
            assert!(safe, "{shown:?}");
            loaded.report.json();
            fs::write(path, before).unwrap();
        }
    }
}

#[test]
fn files_that_are_no_text_are_named() {
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", TASK)]);
    dir.write("drover/b.toml", b"\xff\xfe");
    dir.write("drover/c.toml", &vec![b'\n'; (4 << 20) + 1]);
    assert_eq!(dir.codes(), [Code::Unreadable, Code::Unreadable]);
    let short = dir.load().report.short();
    assert!(short.starts_with("drover/b.toml:1:1: error[drover::unreadable]: `drover/b.toml` cannot be read: it is not UTF-8"), "{short}");
    assert!(short.contains("drover/c.toml:1:1:"), "{short}");
    assert!(dir.load().report.graphical(false, 80).contains("drover/b.toml"));
}

#[test]
fn nesting_of_any_depth_is_refused() {
    let n = 100_000;
    for text in ["[".repeat(n), format!("a = {}", "[".repeat(n)), format!("{}b = 1", "a.".repeat(n)), format!("a = {}", "{a=".repeat(n))] {
        let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &text)]);
        assert!(dir.codes().iter().all(|c| matches!(c, Code::TooDeep | Code::TomlSyntax)));
        let config = Dir::new(&[("drover.toml", &text), ("drover/a.toml", TASK)]);
        assert!(!config.codes().is_empty());
        config.load().report.graphical(false, 80);
    }
}

#[test]
fn a_flood_of_errors_is_cut_short_and_counted() {
    let mut text = TASK.to_owned();
    (0..20_000).for_each(|n| text.push_str(&format!("unknown{n} = 1\n")));
    let loaded = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &text)]).load();
    assert_eq!(loaded.report.errors(), 20_000);
    assert!(loaded.report.short().lines().count() < 1000);
    assert!(loaded.report.graphical(false, 80).contains("more problems not shown"));
}

#[test]
fn one_endless_line_and_one_long_chain_are_read_and_shown() {
    let mut text = format!("[[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"{}\"\nx = [", "y".repeat(60_000));
    (0..100_000).for_each(|n| text.push_str(&format!("{n}, ")));
    text.push_str("]\n");
    let loaded = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &text)]).load();
    assert!(loaded.report.graphical(false, 80).len() < 20_000);
    let mut chain = String::new();
    for n in 0..30_000 {
        chain.push_str(&format!("[[task]]\nid = \"t{n}\"\ntitle = \"T\"\nrun = \"x\"\ndepends_on = [\"t{}\"]\n", n + 1));
    }
    chain.push_str("[[task]]\nid = \"t30000\"\ntitle = \"T\"\nrun = \"x\"\n");
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &chain)]);
    assert_eq!(dir.project().graph.tasks().len(), 30_001);
    dir.write("drover/a.toml", format!("{chain}depends_on = [\"t0\"]\n").as_bytes());
    let loaded = dir.load();
    assert_eq!(loaded.report.codes().collect::<Vec<_>>(), [Code::Cycle]);
    loaded.report.graphical(false, 80);
}
