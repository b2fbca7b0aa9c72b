//! `--tethered`: what runs ends with Drover, in the time that runners of CI leave, and nothing is lost.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::runner::{on_github, written};
use crate::fixture::{CONFIG, Fixture, repo, until};
use crate::kill::survivors;
use crate::notices::receiver::{Answer, Receiver};

/// One task whose agent writes a file, says that it runs, and then does not end by itself: not even
/// by SIGTERM, where it is deaf. From its second attempt on it does its work.
fn endless(deaf: bool, config: &str) -> Fixture {
    let it = repo();
    let trap = if deaf { "trap '' TERM; " } else { "" };
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!(
        "$ {trap}echo half >half; echo $DROVER_TASK >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo whole >whole",
        ran.display(),
        gate.display()
    );
    // Commands would have an hour, were they not tethered.
    let config = format!("{}{config}", CONFIG.replace("shutdown_grace = \"1s\"", "shutdown_grace = \"1h\""));
    it.file("drover.toml", &config)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\n"))
        .commit("Tasks")
}

fn start(it: &Fixture, args: &[&str]) -> Child {
    let child = it.drover_command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the agent runs", || it.outside("ran").exists());
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Drover leaves after a while, whatever is still about to end.
fn leaves_nothing(it: &Fixture) {
    until("what was tethered has ended", || survivors(it).is_empty());
}

/// The interrupted work is taken up, and done once.
fn goes_on(it: &Fixture) {
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!((it.landed(), it.read("half"), it.read("whole")), (vec!["t".to_owned()], "half\n".into(), "whole\n".into()));
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["failures"], 0, "an interruption is no failure: {status}");
}

#[test]
fn the_first_signal_ends_a_deaf_agent_long_before_its_grace_is_over_and_saves_the_state() {
    for (how, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let it = endless(true, "");
        let mut child = start(&it, &["apply", "--tethered"]);
        signal(&child, how);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        leaves_nothing(&it);
        goes_on(&it);
    }
}

#[test]
fn what_is_tethered_ends_when_drover_is_killed_and_is_taken_up_by_the_next() {
    let it = endless(true, "");
    let mut child = start(&it, &["apply", "--tethered"]);
    child.kill().unwrap();
    child.wait().unwrap();
    leaves_nothing(&it);
    goes_on(&it);
}

#[test]
fn what_is_not_tethered_lives_on_and_is_ended_by_a_tethered_drover_that_took_it_over() {
    let it = endless(false, "");
    let mut child = start(&it, &["apply"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!survivors(&it).is_empty());
    let mut child = it.drover_command(&["resume", "--tethered"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the next one is at work", || it.drover(&["events"]).out.matches("\"run_began\"").count() == 2);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    leaves_nothing(&it);
    goes_on(&it);
}

#[test]
fn what_an_interrupted_drover_had_not_come_to_take_over_is_ended_all_the_same() {
    let it = endless(false, "");
    let mut child = start(&it, &["apply"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let gate = it.outside("begin");
    let mut command = it.drover_command(&["resume", "--tethered"]);
    command.env("DROVER_FAULT", "turn.told:1").env("DROVER_FAULT_GATE", &gate);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("the next one is at work", || it.drover(&["events"]).out.matches("\"run_began\"").count() == 2);
    signal(&child, Signal::TERM);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("interrupting: ")));
    fs::write(gate, "").unwrap();
    let rest: Vec<String> = said.map(|line| line.unwrap()).collect();
    assert!(rest.iter().all(|line| !line.contains("WARN")), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    leaves_nothing(&it);
    goes_on(&it);
}

#[test]
fn a_tethered_drover_leaves_in_time_though_a_remote_does_not_answer() {
    let it = repo();
    let asked = it.outside("asked");
    let remote = it.outside("remote");
    fs::write(&remote, format!("#!/bin/sh\necho >{}\nexec sleep 1000\n", asked.display())).unwrap();
    it.git(&["config", "protocol.ext.allow", "always"]);
    it.git(&["remote", "add", "origin", &format!("ext::sh {}", remote.display())]);
    let it = it
        .file("drover.toml", &format!("{CONFIG}[merge]\npush = \"origin\"\npush_timeout = \"1h\"\n"))
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo x >x\"\n")
        .commit("Tasks");
    let mut child = it.drover_command(&["apply", "--tethered"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the remote is asked", || asked.exists());
    signal(&child, Signal::TERM);
    until("it has left", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    it.git(&["remote", "remove", "origin"]);
    let config = it.read("drover.toml").replace("push = \"origin\"\n", "");
    it.write("drover.toml", &config);
    it.git(&["commit", "-qam", "No remote"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["t"]);
}

#[test]
fn what_a_cancelled_job_reports_is_there_before_a_receiver_of_events_that_hangs_is_waited_for() {
    if cfg!(not(debug_assertions)) {
        return eprintln!("SKIPPED: a release build has no named instants");
    }
    let hangs = Receiver::new(|_, _| Answer::Hang);
    let config = format!(
        "[[webhooks]]\nurl = \"{}\"\nevents = [\"*\"]\n\
         [[on_event]]\nrun = \"echo >$TMPDIR/told; exec sleep 1000\"\nevents = [\"*\"]\ntimeout = \"10m\"\n",
        hangs.url
    );
    let it = on_github(endless(false, &config));
    let (junit, gate) = (it.outside("drover.xml"), it.outside("go-on"));
    let mut command = it.drover_command(&["apply", "--report", &format!("junit={}", junit.display())]);
    // It neither waits for receivers nor leaves because its time is up before the reports were looked for.
    command.env("DROVER_FAULT", "notice.last:1,signals.leave:1").env("DROVER_FAULT_GATE", &gate);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("all are at work", || it.outside("ran").exists() && it.outside("told").exists() && !hangs.got().is_empty());
    signal(&child, Signal::TERM);
    let there = |name: &str| !written(&it, name).is_empty();
    until("the reports are there", || ["drover.xml", "summary", "output"].iter().all(|name| there(name)));
    fs::write(gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    until("nothing of it is left", || survivors(&it).is_empty());
}
