//! Rules about the code itself: floors, sizes, what may not be written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first: a room may name only rooms on floors below its own.
const FLOORS: &[&[&str]] = &[
    &["base", "fault"],
    &["model"],
    &["core"],
    &["plan"],
    &["process", "prompt"],
    &["files", "store", "git", "agent", "control", "watch"],
    &["report"],
    &["engine", "telemetry", "notice"],
    &["cli"],
];

/// The longest function, in lines from its `fn` to its closing brace.
const MAX_FUNCTION: usize = 70;
/// The longest file, in lines of code before its tests.
const MAX_FILE: usize = 400;
/// What is longer than that, with its size: may only shrink, and an entry must go once it fits.
const LONGER: &[(&str, usize)] = &[];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(Path::new("src"), &mut out);
    out.sort();
    assert!(out.len() > 20, "the sources were not found");
    out
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap().to_str().unwrap();
    inside.split(['/', '.']).next().unwrap().to_owned()
}

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|f| f.contains(&room)).unwrap_or_else(|| panic!("room `{room}` has no floor: add it to FLOORS"))
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\n").next().unwrap()
}

#[test]
fn rooms_name_only_rooms_on_lower_floors() {
    let mut errors = Vec::new();
    for (path, text) in sources() {
        let own = room(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        for (n, line) in code(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for part in line.split("crate::").skip(1) {
                let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !used.is_empty() && used != own && floor(&used) >= floor(&own) {
                    errors.push(format!("{}:{}: `{own}` must not know `{used}`", path.display(), n + 1));
                }
            }
        }
    }
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[test]
fn files_and_functions_stay_small() {
    let longer: BTreeMap<&str, usize> = LONGER.iter().copied().collect();
    let mut errors = Vec::new();
    let mut check = |name: String, lines: usize, limit: usize| match longer.get(name.as_str()) {
        Some(allowed) if lines > *allowed => errors.push(format!("{name}: {lines} lines, was {allowed}: it may only shrink")),
        Some(_) if lines <= limit => errors.push(format!("{name}: {lines} lines fit: take it off the list")),
        None if lines > limit => errors.push(format!("{name}: {lines} lines, at most {limit}")),
        _ => {}
    };
    for (path, text) in sources() {
        let lines: Vec<&str> = code(&text).lines().collect();
        check(path.display().to_string(), lines.len(), MAX_FILE);
        let mut open: Vec<(String, usize, usize)> = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let head = words.split('(').next().unwrap();
            let begins = words.ends_with('{') || words.ends_with('(') || words.contains(") -> ");
            if let Some(name) = head.split_whitespace().skip_while(|w| *w != "fn").nth(1).filter(|_| begins) {
                open.push((name.to_owned(), n, indent));
            }
            if words == "}" {
                while let Some((name, start, at)) = open.last().cloned() {
                    if at < indent {
                        break;
                    }
                    open.pop();
                    if at == indent {
                        check(format!("{}::{name}", path.display()), n - start + 1, MAX_FUNCTION);
                    }
                }
            }
        }
    }
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[test]
fn every_room_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no header saying what it owns", path.display());
    }
}

#[test]
fn nothing_is_left_unfinished_or_waved_through() {
    let banned = ["todo!(", "unimplemented!(", "#[allow(", "#![allow(", ".unwrap()", "dbg!("];
    let mut errors = Vec::new();
    for (path, text) in sources() {
        for (n, line) in code(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for word in banned {
                if line.contains(word) {
                    errors.push(format!("{}:{}: `{word}`", path.display(), n + 1));
                }
            }
        }
    }
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}
