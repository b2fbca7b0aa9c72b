//! Things that people and checks do to a run while it goes on, or between two of them: nothing
//! is lost, nothing that was taken back returns, and what is said of a task is true.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use drover::base::{Millis, Oid, RunId};
use drover::core::{Change, Input, Selection, State, decide};

use crate::fixture::{CONFIG, Fixture, repo, until};
use crate::kill::{number, shims, survivors};

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn task(id: &str, script: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Task {id}\"\nprompt = {:?}\n{more}\n", format!("$ {script}"))
}

/// An agent that says it runs, waits for the gate, and then does something.
fn gated(it: &Fixture, then: &str) -> String {
    format!(
        "echo $DROVER_TASK >>{}; while [ ! -e {} ]; do sleep 0.02; done; {then}",
        it.outside("ran").display(),
        it.outside("gate").display()
    )
}

fn ran(it: &Fixture) -> String {
    fs::read_to_string(it.outside("ran")).unwrap_or_default()
}

/// A run that was killed while the agent of task `a` waits for its gate.
fn cut_short(it: Fixture, then: &str, more: &str) -> Fixture {
    let a = task("a", &gated(&it, then), "");
    let it = it.file("drover/t.toml", &format!("{a}{more}")).commit("tasks");
    let child = it.spawn(&["apply"]);
    until("the agent runs", || ran(&it).contains("a\n"));
    kill(child);
    it
}

#[test]
fn after_a_crash_only_what_the_new_run_selects_is_begun() {
    let it = repo().file("drover.toml", &CONFIG.replace("workers = 4", "workers = 1"));
    let other = task("other", "echo o >o; echo other >>RAN", "").replace("RAN", &it.outside("ran").display().to_string());
    let it = cut_short(it, "echo x >x", &other);
    it.write("drover/more.toml", &task("mine", "echo m >m", ""));
    fs::write(it.outside("gate"), "").unwrap();
    // The changed files are taken up while the run that was cut short had selected everything.
    it.drover(&["apply", "mine", "--workers", "4"]).expect(0);
    assert!(!ran(&it).contains("other"), "a task was run that nobody asked for");
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, ["a", "mine"]);
}

#[test]
fn reconciling_after_a_crash_begins_nothing() {
    let it = repo().file("drover.toml", &CONFIG.replace("workers = 4", "workers = 1"));
    let it = cut_short(it, "echo x >x", &task("other", "echo o >o", ""));
    fs::write(it.outside("gate"), "").unwrap();
    it.write("drover.toml", CONFIG);
    it.drover(&["sync"]).expect(0);
    let status = |id: &str| it.statuses().into_iter().find(|(t, _)| t == id).unwrap().1;
    assert_eq!((status("a").as_str(), status("other").as_str()), ("in_progress", "ready"));
}

#[test]
fn what_a_check_of_a_sub_task_does_to_the_files_does_not_reach_the_next_one() {
    let parts = r#"
  [[task.subtask]]
  id = "one"
  title = "One"
  prompt = "$ echo one >one; echo kept >kept"
  verify = ["rm kept; echo touched >one; echo junk >junk; git add -A; git -c user.name=x -c user.email=x commit -qm sneaky"]
"#;
    let it =
        repo().file("drover.toml", CONFIG).file("drover/t.toml", &format!("{}{parts}", task("t", "echo two >two", ""))).commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["ls-files"]), "drover.toml\ndrover/t.toml\nkept\none\ntwo");
    assert_eq!(it.read("one"), "one\n");
    assert!(!it.git(&["log", "--format=%s"]).contains("sneaky"));
}

#[test]
fn a_worktree_that_is_deleted_under_its_agent_costs_that_attempt_and_no_more() {
    let script = "if [ $DROVER_ATTEMPT_NUMBER = 1 ]; then rm -rf $DROVER_WORKTREE; else echo x >x; fi";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &task("t", script, "")).commit("tasks");
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("worktree") && ran.err.contains("gone"), "{}", ran.err);
    assert_eq!(it.landed(), ["t"]);
}

#[test]
fn a_worktree_that_is_deleted_under_its_checks_costs_that_attempt_and_no_more() {
    let checks = "verify = [\"test $DROVER_ATTEMPT_NUMBER = 2 || rm -rf $DROVER_WORKTREE\", \"test -e x\"]";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &task("t", "echo x >x", checks)).commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["t"]);
}

/// The user takes a commit with a secret out of the branch that an agent has started from.
fn drop_secret(it: &Fixture) {
    it.git(&["rm", "-q", "secret"]);
    it.git(&["reset", "-q", "--soft", "HEAD~2"]);
    it.git(&["commit", "-qm", "all without it"]);
}

#[track_caller]
fn landed_without_the_secret(it: &Fixture) {
    assert_eq!(it.landed(), ["a"]);
    let history = it.git(&["log", "--format=%s", "main"]);
    assert!(!history.contains("oops") && !it.path("secret").exists(), "what was dropped came back:\n{history}");
}

#[test]
fn work_made_on_a_commit_that_was_dropped_between_two_runs_is_made_anew_without_it() {
    let it = repo().file("drover.toml", CONFIG).commit("start").file("secret", "s\n").commit("oops");
    let it = cut_short(it, "echo x >x", "");
    drop_secret(&it);
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    landed_without_the_secret(&it);
}

#[test]
fn work_made_on_a_commit_that_was_dropped_in_mid_run_is_made_anew_without_it() {
    let it = repo().file("drover.toml", CONFIG).commit("start").file("secret", "s\n").commit("oops");
    let a = task("a", &gated(&it, "echo x >x"), "");
    let it = it.file("drover/t.toml", &a).commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || ran(&it).contains("a\n"));
    drop_secret(&it);
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    landed_without_the_secret(&it);
}

#[test]
fn work_under_way_is_found_again_though_the_project_was_renamed() {
    let it = cut_short(repo().file("drover.toml", CONFIG), "echo x >x", "");
    let renamed = it.read("drover.toml").replace("name = \"it\"", "name = \"other\"");
    it.write("drover.toml", &renamed);
    it.git(&["commit", "-qam", "rename"]);
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(ran(&it), "a\n");
    assert_eq!(it.landed(), ["a"]);
    assert!(it.standing().is_empty());
}

#[test]
fn an_agent_whose_records_were_deleted_does_not_run_beside_another() {
    let it = repo().file("drover.toml", CONFIG);
    let alone =
        format!("if ! mkdir {0}; then echo beside >>{1}; fi; echo x >>x", it.outside("alone").display(), it.outside("ran").display());
    let it = cut_short(it, &alone, "");
    let attempts = it.state_dir().join("attempts");
    until("they are deleted", || fs::remove_dir_all(&attempts).is_ok() || !attempts.exists());
    let mut child = it.spawn(&["resume"]);
    until("the agent begins anew", || ran(&it).lines().count() == 2);
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!((ran(&it).as_str(), it.landed()), ("a\na\n", vec!["a".to_owned()]));
    assert!(it.standing().is_empty());
}

#[test]
fn a_store_that_is_deleted_in_mid_run_stops_it() {
    let it = repo().file("drover.toml", CONFIG);
    let a = task("a", &gated(&it, "echo x >x"), "");
    let it = it.file("drover/t.toml", &a).commit("tasks");
    let child = it.spawn(&["apply"]);
    until("the agent runs", || ran(&it).contains("a\n"));
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    fs::write(it.outside("gate"), "").unwrap();
    let said = crate::fixture::ran(&child.wait_with_output().unwrap()).expect(70);
    assert!(said.err.contains("store.redb was deleted"), "{}", said.err);
}

#[test]
fn nothing_to_do_is_a_success_whatever_an_earlier_run_came_to() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("{}{}", task("a", "echo a >a", ""), task("bad", "exit 1", "retry = { max_attempts = 1 }")))
        .commit("tasks");
    it.drover(&["apply", "a"]).expect(0);
    it.drover(&["apply", "bad"]).expect(1);
    it.drover(&["apply", "a"]).expect(0);
    it.drover(&["apply", "a", "--format", "json"]).expect(0);
    // What waited for the checkout was fetched by hand.
    it.write("drover/t.toml", &task("a", "echo b >a", ""));
    it.git(&["commit", "-qam", "one task"]);
    it.write("a", "mine\n");
    it.drover(&["apply", "--allow-removals"]).expect(5);
    it.git(&["checkout", "-q", "a"]);
    it.git(&["merge", "-q", "--ff-only", "refs/drover/integration/main"]);
    it.drover(&["apply"]).expect(0);
}

#[test]
fn a_second_apply_on_unchanged_files_records_nothing_and_starts_nothing() {
    let it = repo().file("drover.toml", &format!("{CONFIG}\n[merge]\nverify = [\"echo check >>RAN\"]\n"));
    let log = it.outside("ran").display().to_string();
    it.write("drover.toml", &it.read("drover.toml").replace("RAN", &log));
    let it = it.file("drover/t.toml", &task("a", &format!("echo agent >>{log}; echo a >a"), "")).commit("tasks");
    it.drover(&["apply"]).expect(0);
    let everything = || {
        let journal = drover::store::redb::read_history(&it.state_dir(), "main", 0, usize::MAX).unwrap();
        let files =
            it.command("find").args([".git", "-type", "f", "-not", "-name", "lock", "-not", "-name", "store.redb"]).output().unwrap();
        let mut files: Vec<String> = String::from_utf8(files.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        (journal, ran(&it), it.git(&["for-each-ref"]), files, it.checkout())
    };
    let before = everything();
    assert_eq!(before.1, "agent\ncheck\n");
    for _ in 0..2 {
        it.drover(&["apply"]).expect(0);
        let after = everything();
        assert_eq!(after.0.len(), before.0.len(), "it wrote: {:?}", &after.0[before.0.len()..]);
        assert_eq!(after, before);
    }
}

#[test]
fn landed_work_that_was_not_published_survives_the_loss_of_drovers_refs() {
    let it = repo().file("drover.toml", CONFIG).file("a", "old\n").file("drover/t.toml", &task("a", "echo new >a", "")).commit("tasks");
    it.write("a", "mine\n");
    it.drover(&["apply"]).expect(5);
    for name in it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/"]).lines() {
        it.git(&["update-ref", "-d", name]);
    }
    it.git(&["checkout", "-q", "a"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a"), "new\n", "it is said to be completed, and is nowhere");
}

#[test]
fn the_target_may_move_ahead_while_agents_run() {
    let it = repo().file("drover.toml", CONFIG);
    let a = task("a", &gated(&it, "echo x >x"), "");
    let it = it.file("drover/t.toml", &a).commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || ran(&it).contains("a\n"));
    it.write("mine", "mine\n");
    it.git(&["add", "mine"]);
    it.git(&["commit", "-qm", "mine"]);
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(it.landed(), ["a"]);
    assert_eq!((it.read("x"), it.read("mine")), ("x\n".into(), "mine\n".into()));
}

#[test]
fn drovers_that_are_started_at_once_take_turns() {
    let it = repo().file("drover.toml", CONFIG);
    let tasks: String =
        ["a", "b"].map(|id| task(id, &format!("echo {id} >>{}; echo {id} >{id}", it.outside("ran").display()), "")).concat();
    let it = it.file("drover/t.toml", &tasks).commit("tasks");
    for _ in 0..3 {
        let all: Vec<Child> = ["apply", "sync", "apply", "sync", "sync", "sync"].map(|verb| it.spawn(&[verb])).into();
        for child in all {
            let ran = crate::fixture::ran(&child.wait_with_output().unwrap());
            ran.expect(0);
        }
    }
    assert_eq!((ran(&it).lines().count(), it.landed().len()), (2, 2));
}

#[test]
fn of_two_drovers_that_are_started_at_the_same_instant_one_works_at_a_time() {
    let it = repo();
    // What both would do at once if both were let in: it says when another is inside.
    let inside = it.outside("inside");
    let alone = format!("echo in >>{1}; mkdir {0} || echo beside >>{1}; rmdir {0}", inside.display(), it.outside("ran").display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"job\"\ntitle = \"Job\"\nworkspace = \"checkout\"\nrun = {alone:?}\n"));
    let it = it.commit("tasks");
    // Half of them from a linked worktree, which shares the lock.
    let linked = it.outside("linked");
    it.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let rounds = number("DROVER_START_ROUNDS", 25);
    for round in 0..rounds {
        let mut second = it.drover_command(&["apply", "--rerun", "job"]);
        if round % 2 == 1 {
            second.current_dir(&linked);
        }
        let start = |mut c: std::process::Command| c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let both = [start(it.drover_command(&["apply", "--rerun", "job"])), start(second)];
        for child in both {
            crate::fixture::ran(&child.wait_with_output().unwrap()).expect(0);
        }
    }
    let ran = ran(&it);
    assert_eq!(ran.lines().filter(|l| *l == "in").count() as u64, rounds * 2, "one of the two has not done its work");
    assert!(!ran.contains("beside"), "two were at work at once:\n{ran}");
}

/// A run of one task that has begun, and whose line nobody has looked at yet.
fn begun() -> State {
    let spec = crate::sim::spec("t", vec![], &mut fastrand::Rng::with_seed(1));
    let mut state = State::default();
    decide(&mut state, Millis(1), &Input::Reconcile { policy: None, changes: vec![Change::Define { spec: spec.into(), rerun: false }] });
    decide(&mut state, Millis(2), &Input::RunBegan { run: RunId::parse("r").unwrap(), selection: Selection::All });
    state
}

#[test]
fn a_run_whose_line_cannot_be_looked_at_ends() {
    let mut state = begun();
    assert!(!state.is_finished());
    decide(&mut state, Millis(3), &Input::PublishHeld { why: "the target branch is gone".into() });
    assert!(state.is_finished(), "nothing is owed, nothing can begin, and it waits for ever");
}

#[test]
fn a_look_at_the_line_from_before_a_landing_does_not_count() {
    let oid = |c: &str| Oid::parse(&c.repeat(40)).unwrap();
    let mut state = begun();
    let mut look = |was: Option<&str>, tip: &str| {
        decide(&mut state, Millis(3), &Input::LineSynced { was: was.map(oid), tip: oid(tip) });
        state.head.line.tip.clone().unwrap()
    };
    assert_eq!(look(None, "a"), oid("a"));
    assert_eq!(look(Some("a"), "b"), oid("b"));
    assert_eq!(look(Some("a"), "a"), oid("b"));
}

/// A graph with everything that goes wrong by itself: conflicts, failures, checks that fail or
/// write, sub-tasks, a job in the checkout.
fn mean_tasks(it: &Fixture, edition: u32, removed: bool) -> String {
    let log = it.outside("ran").display().to_string();
    let said = |part: &str| format!("echo $DROVER_ATTEMPT/{part} >>{log}; sleep 0.0$(($$ % 5))");
    let add = |id: &str| format!("{}; {{ echo {id}; cat shared; }} >new; mv new shared", said("x"));
    let retry = "retry = { max_attempts = 9, delay = \"5ms\" }\n";
    let mut text = String::new();
    for id in ["s0", "s1", "s2"] {
        text += &task(id, &add(id), &format!("{retry}verify = [\"test $(grep -c {id} shared) = 1; rm -f shared\"]"));
    }
    text += &task(
        "flaky",
        &format!("{}; test $DROVER_ATTEMPT_NUMBER -gt 1 && echo f >flaky", said("x")),
        &format!("{retry}depends_on = [\"s0\"]"),
    );
    text += &task("edited", &format!("{}; echo {edition} >edited", said("x")), &format!("{retry}depends_on = [\"s1\"]"));
    if !removed {
        text += &task("removed", &format!("{}; echo r >removed", said("x")), retry);
    }
    text += "[[task]]\nid = \"job\"\ntitle = \"Job\"\nworkspace = \"checkout\"\nrun = \"true\"\ndepends_on = [\"s2\"]\n";
    text += &task("whole", &format!("{}; cat one two >whole", said("w")), &format!("{retry}depends_on = [\"s2\"]"));
    for part in ["one", "two"] {
        let script = format!("$ {}; echo {part} >{part}", said(part));
        text += &format!(
            "[[task.subtask]]\nid = \"{part}\"\ntitle = \"Part\"\nprompt = {script:?}\nverify = [\"echo junk >junk; echo no >{part}\"]\n"
        );
    }
    text
}

#[test]
fn a_mean_graph_survives_kills_edits_and_a_user_at_work() {
    let mut rng = fastrand::Rng::with_seed(number("DROVER_KILL_SEED", 1));
    for _ in 0..number("DROVER_MEAN_ROUNDS", 1) {
        let it = repo().file("drover.toml", &format!("{CONFIG}\n[merge]\nverify = [\"true\"]\n")).file("shared", "");
        it.write("drover/t.toml", &mean_tasks(&it, 0, false));
        let it = it.commit("tasks");
        let mut shims_killed = false;
        for n in 0..10 {
            let verbs: [&[&str]; 6] = [
                &["apply"],
                &["apply", "--allow-removals", "--allow-reruns"],
                &["resume"],
                &["run"],
                &["sync"],
                &["apply", "flaky", "--workers", "2"],
            ];
            let verb = verbs[if n == 0 { 0 } else { rng.usize(0..verbs.len()) }];
            let mut child = it.drover_command(verb).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(rng.u64(0..400)));
            if rng.u8(0..4) == 0 {
                it.write(&format!("mine{n}"), "mine\n");
                // Drover may be at work in the checkout: then the user tries again later.
                let _ = it.command("git").args(["add", "."]).output();
                let _ = it.command("git").args(["commit", "-qm", "mine"]).output();
            }
            let how = [rustix::process::Signal::KILL, rustix::process::Signal::TERM, rustix::process::Signal::INT][rng.usize(0..3)];
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(child.id() as i32).unwrap(), how);
            child.wait().unwrap();
            match rng.u8(0..6) {
                0 => it.write("drover/t.toml", &mean_tasks(&it, n, false)),
                1 => it.write("drover/t.toml", &mean_tasks(&it, n, true)),
                2 => drop(it.command("git").args(["gc", "-q", "--prune=now"]).output().unwrap()),
                3 => {
                    shims_killed = true;
                    for shim in shims(&it) {
                        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL);
                    }
                }
                _ => {}
            }
        }
        it.write("drover/t.toml", &mean_tasks(&it, 99, false));
        let _ = it.command("git").args(["commit", "-qam", "the last word"]).output();
        let mut ran = it.drover(&["apply", "--allow-removals", "--allow-reruns"]);
        for _ in 0..3 {
            if ran.code == Some(5) {
                it.git(&["merge", "-q", "refs/drover/integration/main"]);
                ran = it.drover(&["apply", "--allow-removals", "--allow-reruns"]);
            }
        }
        ran.expect(0);
        assert_eq!(it.read("shared").lines().collect::<BTreeSet<_>>().len(), 3, "{}", it.read("shared"));
        assert_eq!((it.read("edited"), it.read("whole"), it.read("flaky")), ("99\n".into(), "one\ntwo\n".into(), "f\n".into()));
        assert!(!it.path("junk").exists(), "what a check wrote has landed");
        let once = |what: &str, lines: Vec<&str>| {
            let set: BTreeSet<&str> = lines.iter().copied().collect();
            assert_eq!(set.len(), lines.len(), "{what} twice: {lines:?}");
        };
        let started = fs::read_to_string(it.outside("ran")).unwrap();
        once("an agent was started", started.lines().collect());
        let log = it.git(&["log", "--merges", "--format=%(trailers:key=Drover-Attempt,valueonly,separator=%x2C)", "main"]);
        once("an attempt landed", log.lines().filter(|l| !l.is_empty()).collect());
        let log = it.git(&["log", "--merges", "--format=%(trailers:key=Drover-Task,valueonly,separator=%x2C)", "main"]);
        once(
            "a definition landed",
            log.lines().filter(|l| !l.is_empty() && !l.starts_with("edited@") && !l.starts_with("removed@")).collect(),
        );
        assert!(shims_killed || survivors(&it).is_empty(), "{:?}", survivors(&it));
        it.git(&["fsck", "--no-dangling"]);
        assert!(it.standing().is_empty());
        assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
    }
}

#[test]
fn a_git_that_waits_for_somebody_is_said_and_so_is_who_keeps_the_lock_after_a_kill() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &task("a", "echo a >a", "")).commit("tasks");
    let (began, gate, signer) = (it.outside("signing"), it.outside("gate"), it.outside("signer"));
    let script = format!("#!/bin/sh\necho $$ >{}; while [ ! -e {} ]; do sleep 0.02; done; exit 1\n", began.display(), gate.display());
    crate::fixture::program(&signer, script);
    it.git(&["config", "commit.gpgSign", "true"]);
    it.git(&["config", "gpg.program", signer.to_str().unwrap()]);
    let errors = it.outside("errors");
    let mut command = it.drover_command(&["apply"]);
    command.env("DROVER_FAULT_PATIENCE", "1").stdout(Stdio::null()).stderr(fs::File::create(&errors).unwrap());
    let child = command.spawn().unwrap();
    until("it is said that git waits", || fs::read_to_string(&errors).unwrap().contains("may wait for somebody"));
    let drover = child.id();
    kill(child);
    let second = it.drover(&["apply"]).expect(75).err;
    assert!(second.contains(&format!("process {drover}, ")) && second.contains("which has ended, but what it started has not"), "{second}");
    let pid = fs::read_to_string(&began).unwrap();
    assert!(second.contains(&format!("process {} (", pid.trim())), "{pid}: {second}");
    it.git(&["config", "commit.gpgSign", "false"]);
    fs::write(gate, "").unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a"]);
}
