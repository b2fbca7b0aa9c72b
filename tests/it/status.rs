//! `drover status`: once, on and on beside a running Drover, as a tree and in one line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{CONFIG, Fixture, repo, until};
use crate::live::terminal;

/// One task that goes on until a file is there.
fn gated() -> Fixture {
    let task =
        "[[task]]\nid = \"hut\"\ntitle = \"Build a hut\"\nprompt = \"$ while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done; echo x > x\"\n";
    repo().file("drover.toml", CONFIG).file("drover/t.toml", task).commit("Tasks")
}

/// Ctrl-C, as a terminal sends it.
fn interrupt(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2), "a shell calls that 130");
}

#[test]
fn on_a_terminal_status_is_drawn_anew_beside_an_apply_until_it_is_stopped() {
    let it = gated();
    let (ours, shown) = terminal();
    let mut command = it.drover_command(&["status", "--watch"]);
    let mut watch = command.env("TERM", "xterm").stdout(ours).spawn().unwrap();
    drop(command);
    let mut text = String::new();
    let mut wait_for = |words: &str| {
        until(words, || {
            text.extend(shown.recv_timeout(Duration::from_millis(100)));
            text.contains(words)
        });
    };
    wait_for("nothing is recorded for `main` yet");
    let mut apply = it.spawn(&["apply"]);
    wait_for("in progress: agent");
    fs::write(it.outside("gate"), "").unwrap();
    wait_for("1 of 1 completed.");
    assert!(apply.wait().unwrap().success());
    wait_for("last run ");
    interrupt(&mut watch);
    until("what was shown last stays, with the cursor below it", || {
        text.extend(shown.recv_timeout(Duration::from_millis(100)));
        text.ends_with("\u{1b}[J\r\r\n")
    });
    assert!(text.contains("\u{1b}[H") && !text.contains("\u{1b}[?"), "no mode of the terminal is changed: {text:?}");
}

#[test]
fn on_a_pipe_each_change_is_a_line_and_whoever_does_not_read_keeps_nobody_waiting() {
    let it = gated();
    it.drover(&["sync"]).expect(0);
    let mut lines = it.spawn(&["status", "--watch", "--oneline"]);
    let mut documents = it.spawn(&["status", "-w", "--format", "json"]);
    let mut out = BufReader::new(lines.stdout.take().unwrap()).lines();
    assert_eq!(out.next().unwrap().unwrap(), "it: 0 of 1 completed, 1 ready");
    let mut apply = it.spawn(&["apply"]);
    assert!(out.any(|line| line.unwrap() == "it: 0 of 1 completed, 1 in progress; at work"));
    fs::write(it.outside("gate"), "").unwrap();
    assert!(apply.wait().unwrap().success(), "nothing of the documents is read yet");
    assert!(out.any(|line| line.unwrap() == "it: 1 of 1 completed"));
    let mut seqs: Vec<u64> = Vec::new();
    // Read no further, and not closed: what still comes has somewhere to go.
    let mut told = BufReader::new(documents.stdout.take().unwrap()).lines();
    for line in told.by_ref() {
        let document: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        seqs.push(document["seq"].as_u64().unwrap());
        if document["run"]["ended"] == true {
            break;
        }
    }
    assert!(seqs.is_sorted() && seqs.len() > 1, "{seqs:?}");
    interrupt(&mut documents);
    drop((out, told));
    it.drover(&["suspend", "--all"]).expect(0);
    assert!(lines.wait().unwrap().success(), "nobody reads on: it ends by itself");
}

const TREE: &str = r#"
[epic]
id = "shop"
title = "The shop"
[[task]]
id = "schema"
title = "Tables"
prompt = "$ echo x > schema"
[[task]]
id = "api"
title = "Serve"
depends_on = ["schema"]
prompt = "$ false"
retry = { max_attempts = 1 }
[[task]]
id = "web"
title = "Show"
depends_on = ["api"]
prompt = "$ echo x > web"
[[task]]
id = "docs"
title = "Say"
depends_on = ["schema", "lone"]
prompt = "$ echo x > docs"
"#;
const LONE: &str = "[[task]]\nid = \"lone\"\ntitle = \"Lone\"\nprompt = \"$ echo x > lone\"\n";

#[test]
fn the_tree_has_epics_their_tasks_and_what_waits_for_them_in_letters_that_the_terminal_has() {
    let it = repo().file("drover.toml", CONFIG).file("drover/shop.toml", TREE).file("drover/lone.toml", LONE).commit("Tasks");
    it.drover(&["apply"]).expect(1);
    let names = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
        let name = |row: &str| row.find(|c: char| c.is_alphanumeric()).map(|id| row[id..].find(' ').map_or(row.len(), |end| id + end));
        rows.map(|l| l[2..name(l).unwrap()].to_owned()).collect()
    };
    let drawn = it.drover(&["status", "--tree"]).expect(0).out;
    let tree = ["! shop", "= └─ schema", "!    ├─ api", ".    │  └─ web", "=    └─ docs", "= lone"];
    assert_eq!(names(&drawn), tree, "{drawn}");
    assert!(drawn.contains("2 of 4") && drawn.contains("waits for api, which failed"), "{drawn}");
    for (name, value) in [("TERM", "dumb"), ("LC_ALL", "C")] {
        let plain = it.drover_command(&["status", "--tree"]).env(name, value).output().unwrap();
        let plain = String::from_utf8(plain.stdout).unwrap();
        let tree = ["! shop", "= `- schema", "!    |- api", ".    |  `- web", "=    `- docs", "= lone"];
        assert_eq!(names(&plain), tree, "{name}: {plain}");
    }
}

#[test]
fn one_line_is_for_prompts_and_nothing_is_said_of_use_where_nothing_was_used() {
    let it = repo().file("drover.toml", CONFIG).file("drover/lone.toml", LONE).commit("Tasks");
    let none = it.drover(&["status", "--oneline"]).expect(78);
    assert_eq!(none.out, "", "a prompt stays as it is");
    let apply = it.drover(&["apply"]).expect(0);
    assert_eq!(it.drover(&["status", "--oneline"]).expect(0).out, "it: 1 of 1 completed\n");
    let status = it.drover(&["status"]).expect(0);
    assert!(!apply.out.contains("Used") && !status.out.contains("Used"), "{}{}", apply.out, status.out);
    let json = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(json["usage"]["turns"], 0, "programs are told all the same");
}

#[test]
fn status_says_what_keeps_the_files_from_being_taken_over_and_what_to_do() {
    let tasks = |word: &str| -> String {
        let task = |n| format!("[[task]]\nid = \"t{n}\"\ntitle = \"T\"\nprompt = \"$ echo {word} > t{n}\"\n");
        (0..3).map(task).collect()
    };
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &tasks("once")).commit("Tasks");
    it.drover(&["apply"]).expect(0);
    let warnings = || it.drover(&["status", "--format", "json"]).expect(0).json()["warnings"].clone();
    assert_eq!(warnings(), serde_json::json!([]));
    let says = |all: &[&str]| {
        let (shown, warnings) = (it.drover(&["status"]).expect(0).out, warnings().to_string());
        all.iter().for_each(|words| assert!(shown.contains(words) && warnings.contains(words), "{words}: {shown}{warnings}"));
    };
    it.write("drover/t.toml", "[[task]\n");
    says(&["the task files have 1 mistake", "`drover validate`"]);
    it.write("drover/t.toml", &tasks("again"));
    says(&["3 of 3 completed tasks would run again", "`drover apply --allow-reruns`"]);
    it.git(&["checkout", "-q", "drover/t.toml"]);
    it.git(&["checkout", "-qb", "feature"]);
    says(&["`feature` is checked out, and work lands on `main`", "`git switch main`"]);
    it.git(&["checkout", "-q", "main"]);
    it.git(&["reset", "-q", "--hard", ":/^Tasks"]);
    says(&["`main` no longer contains", "drover publish --restore", "drover publish --let-go"]);
    assert_eq!(it.drover(&["status", "--oneline"]).expect(0).out, "it: 3 of 3 completed\n");
    it.drover(&["publish", "--restore"]).expect(0);
    assert_eq!(warnings(), serde_json::json!([]));
}
