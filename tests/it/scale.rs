//! What must not grow with a project, or with what its agents print.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};

use drover::core::Fact;
use drover::files::{Options, load};
use drover::git::{message, trailers};
use drover::store::redb::read_history;

use crate::fixture::{CONFIG, Fixture, program, repo, until};
use crate::kill::survivors;

fn task(id: &str, lines: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T {id}\"\n{lines}\n")
}

fn at_the_gate(it: &Fixture, agent_or_check: &str) -> String {
    format!("echo x >{}; while [ ! -e {} ]; do sleep 0.02; done", it.outside(agent_or_check).display(), it.outside("gate").display())
}

/// Half of so many tasks have landed, as history says; the others are not to run yet, and one is to run now.
fn project(tasks: usize) -> Fixture {
    let it = repo().file("drover.toml", CONFIG);
    let mut text = task("now", &format!("prompt = {:?}", format!("$ {}; echo now >now", at_the_gate(&it, "began"))));
    for n in 0..tasks {
        let off = if n % 2 == 0 { "" } else { "enabled = false" };
        text.push_str(&task(&format!("t{n}"), &format!("run = \"true\"\n{off}")));
    }
    let it = it.file("drover/t.toml", &text).commit("tasks");
    let project = load(&it.root(), &Options::default()).project.unwrap();
    let mut stream = String::new();
    for (n, (id, spec)) in project.graph.tasks().iter().filter(|(id, s)| s.enabled && id.as_str() != "now").enumerate() {
        let text = message("Landed", "", &trailers(&format!("{id}@{}", spec.digest), &format!("old-{n}"), "old", "sh"));
        let from = if n == 0 { "from refs/heads/main^0\n" } else { "" };
        let when = 1_700_000_000 + n;
        let who = format!("author A <a@example.com> {when} +0000\ncommitter A <a@example.com> {when} +0000");
        write!(stream, "commit refs/heads/main\n{who}\ndata {}\n{text}{from}\n", text.len()).unwrap();
    }
    let mut import = it.command("git");
    let mut import = import.args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    it
}

/// Drover is killed while its one agent is at work, and started again. What it then calls git for, and what it writes down.
fn restarted(tasks: usize) -> (Vec<String>, Vec<String>) {
    let it = project(tasks);
    let git = it.outside("git");
    let calls = it.outside("calls");
    let real = which::which("git").unwrap();
    // The verb, past the settings that go before it.
    program(
        &git,
        format!(
            "#!/bin/sh\nfor verb do case $verb in -*|*=*|/*) ;; *) break;; esac; done\necho $verb >>{}\nexec {} \"$@\"\n",
            calls.display(),
            real.display()
        ),
    );
    let path = format!("{}:{}", git.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut child = it.drover_command(&["apply", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the agent is at work", || it.outside("began").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let recorded = |after| read_history(&it.state_dir(), "main", after, usize::MAX).unwrap();
    let known = recorded(0).last().unwrap().seq;
    fs::write(it.outside("gate"), "").unwrap();
    until("the agent has come to its end", || survivors(&it).is_empty());
    let output = it.drover_command(&["resume"]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let landed = it.landed();
    assert_eq!((landed.len(), landed.last().unwrap().as_str()), (tasks.div_ceil(2) + 1, "now"));
    let mut calls: Vec<String> = fs::read_to_string(calls).unwrap().lines().map(str::to_owned).collect();
    calls.sort();
    let name = |fact: &Fact| format!("{fact:?}").split([' ', '(', '{']).next().unwrap().to_owned();
    let mut facts: Vec<String> = recorded(known).iter().map(|r| name(&r.fact)).collect();
    facts.sort();
    (calls, facts)
}

#[test]
fn a_restart_calls_git_and_records_as_often_for_a_thousand_tasks_as_for_four() {
    let (few, many) = (restarted(4), restarted(1000));
    assert!(few.0.len() > 5 && few.1.len() > 3, "hardly anything was seen: {few:?}");
    assert_eq!(many, few);
}

/// The most memory that it has ever had, in KiB.
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_agents_and_checks_print_without_a_line_end_takes_no_memory_of_drover() {
    let it = repo();
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    // More than two logs of 64 MiB, which are kept.
    let flood = "head -c 140000000 /dev/zero";
    program(&bin.join("claude"), format!("#!/bin/sh\ncase \"$*\" in *--version*) echo '2.1.0 (Claude Code)';; *) {flood};; esac\n"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = it.env("PATH", &path).env("ANTHROPIC_API_KEY", "none");
    let once = "retry = { max_attempts = 1 }";
    let check = format!("{flood}; {}", at_the_gate(&it, "checks"));
    let tasks = task("plain", &format!("prompt = \"$ {flood}; echo x >x\"\nverify = [{check:?}]\n{once}"))
        + &task("spoken", &format!("prompt = \"do\"\nagent = \"cc\"\n{once}"));
    let config = format!("{CONFIG}[agents.cc]\nkind = \"claude-code\"\n");
    let it = it.file("drover.toml", &config).file("drover/t.toml", &tasks).commit("tasks");
    let mut child = it.drover_command(&["apply", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("a verdict on both agents", || it.outside("checks").exists() && it.statuses().iter().any(|(_, status)| status == "failed"));
    let kib = peak(&child);
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(it.landed(), ["plain"]);
    // The debug build alone takes some 40 MiB.
    assert!(kib < 96 * 1024, "{kib} KiB");
}
