//! The real program, killed: nothing finished is lost, nothing lands twice, no agent runs twice.

mod points;

use std::fs;
use std::process::{Child, Stdio};

use crate::fixture::{CONFIG, Fixture, repo, until};

fn start(it: &Fixture, verb: &str) -> Child {
    it.drover_command(&[verb, "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Processes of attempts of this repository.
pub fn survivors(it: &Fixture) -> Vec<String> {
    of_attempts(it).into_iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()).collect()
}

fn of_attempts(it: &Fixture) -> Vec<i32> {
    let home = format!("HOME={}", it.home().display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let has = |what: &[u8]| environ.split(|b| *b == 0).any(|v| v.starts_with(what));
        if has(home.as_bytes()) && has(b"DROVER_ATTEMPT=") {
            found.extend(entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()));
        }
    }
    found
}

pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn a_running_agent_is_adopted_after_a_kill_and_not_run_again() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!("$ echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\n"))
        .commit("tasks");
    let mut child = start(&it, "apply");
    until("the agent runs", || ran.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(it.drover(&["status"]).expect(0).out.contains("was cut short"), "nobody is at work");
    let mut child = start(&it, "resume");
    until("the next one is at work", || !it.drover(&["status"]).out.contains("was cut short"));
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n");
    assert_eq!(it.landed(), ["t"]);
}

#[test]
fn with_the_shims_killed_too_the_work_so_far_is_kept_and_taken_up() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!(
        "$ echo ran >>{0}; cat half 2>/dev/null >>{0}; echo half >half; while [ ! -e {1} ]; do sleep 0.02; done; echo x >x",
        ran.display(),
        gate.display()
    );
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\nretry = {{ max_attempts = 1 }}\n"))
        .commit("tasks");
    let mut child = start(&it, "apply");
    until("the agent has written", || worktree_has(&it, "half"));
    child.kill().unwrap();
    child.wait().unwrap();
    for shim in shims(&it) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL).unwrap();
    }
    until("nothing is left of the attempt", || survivors(&it).is_empty() || shims(&it).is_empty());
    fs::write(&gate, "").unwrap();
    it.drover(&["resume"]).expect(0);
    // Run again with the files of the first: an interruption uses up no attempt.
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\nran\nhalf\n");
    assert_eq!(it.landed(), ["t"]);
    assert!(survivors(&it).is_empty(), "{:?}", survivors(&it));
}

/// The records of the shims that were started, as they stand.
fn promises(it: &Fixture) -> Vec<std::path::PathBuf> {
    let found = it.command("find").args([it.state_dir().as_os_str()]).args(["-name", "started"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(Into::into).collect()
}

#[test]
fn after_a_reboot_nobody_who_got_the_pid_of_a_shim_is_signalled_and_the_work_is_taken_up() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script =
        format!("$ echo ran >>{0}; echo half >half; while [ ! -e {1} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\n"))
        .commit("tasks");
    let mut child = start(&it, "apply");
    until("the agent has written", || worktree_has(&it, "half"));
    child.kill().unwrap();
    child.wait().unwrap();
    until("nothing is left of the attempt", || {
        let left = [shims(&it), of_attempts(&it)].concat();
        for pid in &left {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(*pid).unwrap(), rustix::process::Signal::KILL);
        }
        left.is_empty()
    });
    // As after a reboot: what is on disk names another boot, and its pid is a stranger's by now, even
    // one that calls itself by the same attempt.
    let aid = it.standing()[0].clone();
    let mut stranger =
        std::process::Command::new("cat").env("DROVER_ATTEMPT", &aid).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    for path in promises(&it) {
        let mut promise: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        promise["boot_id"] = "00000000-0000-0000-0000-000000000000".into();
        promise["pid"] = stranger.id().into();
        fs::write(&path, promise.to_string()).unwrap();
    }
    it.drover(&["cancel", "t"]).expect(0);
    drop(stranger.stdin.take());
    assert!(stranger.wait().unwrap().success(), "a stranger was signalled");
    fs::write(&gate, "").unwrap();
    it.drover(&["apply"]).expect(5);
    it.drover(&["retry", "t"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["t"]);
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    assert!(kept.lines().any(|r| r.contains(&aid)), "the work of the first is kept: {kept}");
}

fn worktree_has(it: &Fixture, file: &str) -> bool {
    let found = it.command("find").args([it.home().as_os_str()]).args(["-name", file]).output().unwrap();
    !found.stdout.is_empty()
}

/// The shims of this repository.
pub fn shims(it: &Fixture) -> Vec<i32> {
    let state = it.state_dir().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("__shim") && line.contains(&state) {
            found.extend(entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()));
        }
    }
    found
}

#[test]
fn ctrl_c_drains_then_interrupts_and_the_work_is_taken_up_again() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!("$ echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >$DROVER_TASK", ran.display(), gate.display());
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = {script:?}\n");
    let it = it
        .file("drover.toml", &CONFIG.replace("workers = 4", "workers = 1"))
        .file("drover/t.toml", &format!("{}{}", task("a"), task("b")))
        .commit("tasks");
    // Drain: the running one finishes, the other is not begun.
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || ran.exists());
    signal(&child, rustix::process::Signal::INT);
    until_said(&mut child, "draining");
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(it.landed(), ["a"]);
    // SIGTERM: the running one is ended, and taken up by the next start.
    fs::remove_file(&gate).unwrap();
    let mut child = it.spawn(&["resume"]);
    until("the second agent runs", || fs::read_to_string(&ran).unwrap().lines().count() == 2);
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(survivors(&it).is_empty(), "{:?}", survivors(&it));
    fs::write(&gate, "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
}

/// Reads the program's standard error up to a word. What little it says after that fits the pipe.
pub fn until_said(child: &mut Child, word: &str) {
    use std::io::Read;
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    let mut byte = [0];
    while !said.contains(word) {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended after saying: {said}");
        said.push(char::from(byte[0]));
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
}

#[test]
fn a_third_ctrl_c_leaves_at_once_and_the_next_start_goes_on() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    // The shell that is started is the one that will not end: were it one below, that one's end
    // would be the command's.
    let script = format!("trap '' TERM; echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", &CONFIG.replace("\"1s\"", "\"1h\""))
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = {script:?}\n"))
        .commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || ran.exists());
    for word in ["draining", "interrupting", "leaving"] {
        signal(&child, rustix::process::Signal::INT);
        until_said(&mut child, word);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(shims(&it).len(), 1, "what runs goes on");
    fs::write(&gate, "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed(), ["t"]);
    assert!(survivors(&it).is_empty(), "{:?}", survivors(&it));
}

#[test]
fn with_the_store_deleted_under_a_running_agent_nothing_is_lost_and_nothing_lands_twice() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script =
        format!("$ echo ran >>{0}; echo half >half; while [ ! -e {1} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"first\"\ntitle = \"F\"\nrun = \"echo 1 >>one\"\n[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\ndepends_on = [\"first\"]\n"))
        .commit("tasks");
    let mut child = start(&it, "apply");
    until("the agent has written", || worktree_has(&it, "half"));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    let mut child = start(&it, "apply");
    until("the agent runs anew", || fs::read_to_string(&ran).unwrap().lines().count() == 2);
    assert_eq!(shims(&it).len(), 1, "the agent that no record knows of was ended");
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(it.landed(), ["first", "t"]);
    assert_eq!(it.read("one"), "1\n", "what had landed was found in history");
    assert!(it.standing().is_empty());
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    let halves =
        kept.lines().filter(|r| it.command("git").args(["cat-file", "-e", &format!("{r}:half")]).status().unwrap().success()).count();
    assert!(halves >= 2, "the work of the first is kept too: {kept}");
}

#[test]
fn an_attempt_is_taken_up_where_it_stands_though_worktrees_are_to_be_elsewhere_now() {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!("$ echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = {script:?}\n"))
        .commit("tasks");
    let mut child = start(&it, "apply");
    until("the agent runs", || ran.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    it.write("drover.toml", &format!("{CONFIG}\n[worktree]\ndir = \"../elsewhere\"\n"));
    fs::write(&gate, "").unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n", "not run again");
    assert_eq!(it.landed(), ["t"]);
    assert!(it.standing().is_empty());
}
