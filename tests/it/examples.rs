//! The set-ups of `examples/` and the demo do what their pages say.

use std::fs;
use std::path::Path;

use crate::claude::world;
use crate::fixture::{Fixture, repo};
use crate::scripted_api::Reply;

/// A repository made of a copy of the directory, as its page tells a reader to do.
pub fn copy_of(example: &Path) -> Fixture {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), &target).unwrap();
            }
        }
    }
    let it = repo();
    copy(example, &it.root());
    it.commit("Start")
}

fn examples() -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir("examples").unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    assert!(found.len() >= 3, "{found:?}");
    found
}

#[test]
fn every_example_is_valid_and_those_without_an_account_run_to_completion() {
    for example in examples() {
        let it = copy_of(&example);
        it.drover(&["validate"]).expect(0);
        it.drover(&["plan"]).expect(0);
        let config = fs::read_to_string(example.join("drover.toml")).unwrap();
        if config.contains("claude-code") || !config.contains("[agents.") && needs_claude(&it) {
            continue;
        }
        it.drover(&["apply"]).expect(0);
        assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{}: {:?}", example.display(), it.statuses());
    }
}

#[test]
fn the_example_for_claude_code_runs_to_completion_with_claude_code() {
    let module = r#"SIGNS = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
         (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]


def to_roman(n):
    """The Roman numeral of n."""
    if not 0 < n < 4000:
        raise ValueError(n)
    out = ""
    for value, sign in SIGNS:
        out, n = out + n // value * sign, n % value
    return out


def from_roman(text):
    """The integer that text stands for."""
    if text not in NUMBERS:
        raise ValueError(text)
    return NUMBERS[text]


NUMBERS = {to_roman(n): n for n in range(1, 4000)}
"#;
    let command = r#"import sys

import roman

text = sys.argv[1]
print(roman.to_roman(int(text)) if text.isdigit() else roman.from_roman(text))
"#;
    let script = vec![
        ("Create `roman.py`", vec![Reply::write_file("roman.py", module), Reply::say("Wrote the module.")]),
        ("Create `convert.py`", vec![Reply::write_file("convert.py", command), Reply::say("Wrote the command.")]),
        (
            "Create `USAGE.md`",
            vec![Reply::write_file("USAGE.md", "`to_roman(4)` gives IV, `from_roman(\"IV\")` gives 4.\n"), Reply::say("Wrote it up.")],
        ),
    ];
    let Some(world) = world("the example", || copy_of(Path::new("examples/claude-code")), script) else { return };
    // What its page says of root.
    let it = world.it.env("IS_SANDBOX", "1");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 3);
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
    assert!(it.read("USAGE.md").contains("to_roman"));
}

fn needs_claude(it: &Fixture) -> bool {
    it.drover(&["plan"]).out.contains("claude")
}

#[test]
fn the_demo_shows_the_whole_loop_and_leaves_a_repository_to_look_at() {
    let it = repo();
    let dir = it.outside("demo");
    let ran = it.drover(&["demo", dir.to_str().unwrap()]).expect(0);
    for word in ["schema", "handbook", "translate", "payment", "Merge", "FIXME", "completed"] {
        assert!(format!("{}{}", ran.out, ran.err).contains(word), "{word} is missing in:\n{}\n{}", ran.out, ran.err);
    }
    let log = it.git(&["-C", dir.to_str().unwrap(), "log", "--format=%(trailers:key=Drover-Task,valueonly)", "--first-parent"]);
    assert_eq!(log.lines().filter(|l| !l.is_empty()).count(), 8, "{log}");
    let payment = fs::read_to_string(dir.join("src/payment.txt")).unwrap();
    assert!(!payment.contains("FIXME"), "{payment}");
    // It takes over no directory that is there.
    it.drover(&["demo", dir.to_str().unwrap()]).expect(78);
}

#[test]
fn a_scaffolded_project_is_valid_and_init_overwrites_nothing() {
    let it = repo();
    it.drover(&["init"]).expect(0);
    let first = it.read("drover.toml");
    it.drover(&["validate"]).expect(0);
    it.write("drover.toml", &format!("{first}\n# mine\n"));
    it.drover(&["init"]).expect(0);
    assert!(it.read("drover.toml").ends_with("# mine\n"));
}

#[test]
fn the_schemas_are_printed() {
    let it = repo();
    for name in ["drover", "task", "plan", "status"] {
        let schema = it.drover(&["schema", name]).expect(0).json();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{name}");
    }
}
