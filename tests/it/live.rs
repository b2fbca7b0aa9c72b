//! What is heard of an agent while it works: shown on a terminal, and acted on when it has finished
//! and does not exit.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fixture::{CONFIG, Fixture, program, repo, until};
use crate::kill::survivors;

const BEGINS: &str = r#"{"type":"system","subtype":"init","session_id":"s"}"#;
const WORKS: &str = r#"{"type":"assistant","message":{"id":"m1","model":"m","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"make a hut"}}],"usage":{"input_tokens":1200,"output_tokens":34}}}"#;
const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"Built it.","num_turns":1,"total_cost_usd":0.25,"usage":{"input_tokens":1200,"output_tokens":34}}"#;

/// A repository of one task, by a program that is taken for Claude Code and does this.
fn by(script: &str) -> Fixture {
    let it = repo();
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    let claude = bin.join("claude");
    program(&claude, format!("#!/bin/sh\n[ \"$1\" = -p ] || exit 0\ncat >/dev/null\necho '{BEGINS}'\necho '{WORKS}'\n{script}\n"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let config = CONFIG
        .replace("agent = \"sh\"", "agent = \"claude\"")
        .replace("\"1s\"", "\"100ms\"")
        .replace("max_attempts = 3", "max_attempts = 1");
    let task = "[[task]]\nid = \"hut\"\ntitle = \"Build a hut\"\nprompt = \"Build a hut.\"\n";
    it.env("PATH", &path).file("drover.toml", &config).file("drover/t.toml", task).commit("Tasks")
}

#[test]
fn an_agent_that_has_given_its_result_and_does_not_exit_is_ended_and_its_result_counts() {
    let it = by(&format!("echo hut >hut; (trap '' TERM; sleep 1000) & echo '{RESULT}'; trap '' TERM; while :; do sleep 1000; done"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["hut"]);
    assert!(survivors(&it).is_empty(), "{:?}", survivors(&it));
    assert!(it.git(&["log", "-1", "--format=%b", "main^2"]).contains("Built it."));
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!((&status["tasks"][0]["failures"], &status["usage"]["turns"]), (&0.into(), &1.into()), "{status}");
}

#[test]
fn one_that_goes_on_after_a_result_is_left_to_its_work() {
    // Longer than the grace, and at work all the time: it is read in one go that it goes on.
    let it = by(&format!("printf '%s\\n' '{RESULT}' '{WORKS}'; sleep 0.4; echo hut >hut; echo '{WORKS}'; sleep 0.4; echo '{RESULT}'"));
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.landed(), it.read("hut")), (vec!["hut".to_owned()], "hut\n".to_owned()));
}

/// A terminal, and what is written to it.
pub fn terminal() -> (File, Receiver<String>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let ours = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let (sender, shown) = channel();
    std::thread::spawn(move || {
        let mut master = File::from(master);
        let mut buffer = [0; 4096];
        // Reading fails once nobody has the other end open.
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    (ours, shown)
}

#[test]
fn a_terminal_shows_what_is_under_way_and_nothing_of_it_stays() {
    let it = by(&format!(": >$TMPDIR/works; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done; echo hut >hut; echo '{RESULT}'"));
    let (ours, shown) = terminal();
    let mut command = it.drover_command(&["apply"]);
    let mut child = command.env("TERM", "xterm").stdout(Stdio::null()).stderr(ours).spawn().unwrap();
    drop(command);
    let mut text = String::new();
    // A terminal is read in pieces.
    let all = ["make a hut", "  hut  agent ", "1 turn, 1.2k tokens", "1 under way, 0 of 1 completed"];
    until("what the agent does is shown", || {
        text.extend(shown.recv_timeout(Duration::from_millis(100)));
        all.iter().all(|words| text.contains(words))
    });
    fs::write(it.outside("gate"), "").unwrap();
    assert!(child.wait().unwrap().success());
    text.extend(shown.iter());
    let last = text.rsplit("\r\u{1b}[J").next().unwrap();
    assert!(!last.contains("under way"), "{last:?}");
    assert!(text.contains("landed"), "{text:?}");

    // Where it is no terminal that can be drawn on, there are lines alone.
    let it = by(&format!("echo hut >hut; echo '{RESULT}'"));
    let ran = it.drover(&["apply"]).expect(0);
    assert!(!ran.err.contains('\u{1b}') && !ran.err.contains("under way"), "{}", ran.err);
}
