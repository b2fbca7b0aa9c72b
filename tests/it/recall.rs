//! What history says counts at any time, not only of tasks of which nothing is under way, and not
//! only at the start of a run: nothing is done twice that has landed, and what was taken back is
//! not taken to be there.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::fixture::{CONFIG, Fixture, ran, repo, until};

fn task(id: &str, script: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Task {id}\"\nrun = {script:?}\n{more}\n")
}

fn project(it: Fixture, config: &str, tasks: &[String]) -> Fixture {
    it.file("drover.toml", config).file("drover/t.toml", &tasks.concat()).commit("tasks")
}

fn start(it: &Fixture, args: &[&str]) -> Child {
    it.drover_command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A shell line that says that it runs, and waits until the file is there.
fn waits(ran: &Path, gate: &Path) -> String {
    format!("echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done", ran.display(), gate.display())
}

/// Another clone, in which Drover can be at work.
fn clone_of(it: &Fixture) -> impl Fn(&[&str]) -> crate::fixture::Ran {
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    it.git(&["-C", "../tmp/clone", "config", "user.name", "B"]);
    it.git(&["-C", "../tmp/clone", "config", "user.email", "b@example.com"]);
    |args: &[&str]| it.drover(&[&["-C", "../tmp/clone"], args].concat())
}

fn status(it: &Fixture, id: &str) -> String {
    it.statuses().into_iter().find(|(task, _)| task == id).unwrap().1
}

/// The commit of the target's first parents that landed a task.
fn merge_of(it: &Fixture, id: &str) -> String {
    it.git(&["log", "--first-parent", "-1", "--format=%H", &format!("--grep=^Drover-Task: {id}@"), "main"])
}

#[test]
fn with_an_older_copy_of_the_store_put_back_nothing_lands_again_that_has_landed() {
    for verb in ["apply", "resume"] {
        let it = repo();
        let (started, gate) = (it.outside("ran"), it.outside("gate"));
        let it = project(it, CONFIG, &[task("a", &format!("{}; echo a >>a", waits(&started, &gate)), "")]);
        let (store, copy) = (it.state_dir().join("store.redb"), it.outside("copy"));
        let mut child = start(&it, &["apply"]);
        until("the attempt runs", || started.exists());
        fs::copy(&store, &copy).unwrap();
        fs::write(&gate, "").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        fs::copy(&copy, &store).unwrap();
        it.drover(&[verb]).expect(0);
        assert_eq!((it.landed(), it.read("a")), (vec!["a".into()], "a\n".into()), "{verb}");
        assert_eq!(fs::read_to_string(&started).unwrap(), "ran\n", "{verb}: it was done again");
        assert_eq!(status(&it, "a"), "completed");
        assert!(it.standing().is_empty());
    }
}

#[test]
fn an_attempt_that_was_cut_short_and_fails_is_not_tried_again_where_another_clone_has_landed_the_task() {
    let it = repo();
    let (started, gate, here) = (it.outside("ran"), it.outside("gate"), it.outside("here"));
    // Here the first one waits, and fails.
    let script = format!("if [ -e {} ]; then {}; exit 1; fi; echo a >>a", here.display(), waits(&started, &gate));
    let it = project(it, CONFIG, &[task("a", &script, ""), task("next", "cat a >next", "depends_on = [\"a\"]")]);
    let there = clone_of(&it);
    fs::write(&here, "").unwrap();
    let mut child = start(&it, &["apply"]);
    until("the attempt runs", || started.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&here).unwrap();
    there(&["apply", "a"]).expect(0);
    it.git(&["pull", "-q", "../tmp/clone", "main"]);
    fs::write(&gate, "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!((it.landed(), it.read("a"), it.read("next")), (vec!["a".into(), "next".into()], "a\n".into(), "a\n".into()));
}

/// Of two tasks one is at work, and waits; and something is done on the target meanwhile.
fn in_mid_run(more: &[String], meanwhile: impl Fn(&Fixture)) -> (Fixture, Option<i32>) {
    let it = repo();
    let (started, gate) = (it.outside("ran"), it.outside("gate"));
    let slow = task("slow", &format!("{}; echo slow >>slow", waits(&started, &gate)), "priority = 9");
    let it = project(it, &CONFIG.replace("workers = 4", "workers = 1"), &[&[slow], more].concat());
    let mut child = start(&it, &["apply"]);
    until("the attempt runs", || started.exists());
    meanwhile(&it);
    fs::write(&gate, "").unwrap();
    let code = child.wait().unwrap().code();
    (it, code)
}

#[test]
fn what_another_clone_landed_and_a_pull_brings_in_mid_run_is_not_done_again() {
    let tasks = [task("b", "echo b >>b", ""), task("next", "cat b >next", "depends_on = [\"b\"]")];
    let (it, code) = in_mid_run(&tasks, |it| {
        clone_of(it)(&["apply", "b"]).expect(0);
        it.git(&["pull", "-q", "../tmp/clone", "main"]);
    });
    assert_eq!(code, Some(0));
    assert_eq!(it.landed(), ["b", "slow", "next"]);
    assert_eq!((it.read("b"), it.read("next"), it.read("slow")), ("b\n".into(), "b\n".into(), "slow\n".into()));
    // Asked for, it is done again.
    it.drover(&["apply", "--rerun", "b"]).expect(0);
    assert_eq!(it.read("b"), "b\nb\n");
}

#[test]
fn what_is_reverted_in_mid_run_is_told_of_and_what_needs_it_is_not_begun() {
    let first = task("first", "echo first >>first", "priority = 10");
    let next = task("next", "cat first >next", "depends_on = [\"first\"]");
    let (it, code) = in_mid_run(&[first, next], |it| {
        until("the first is published", || !merge_of(it, "first").is_empty());
        let revert = || it.command("git").args(["revert", "--no-edit", "-m", "1", &merge_of(it, "first")]).output().unwrap();
        // Drover may just be bringing the checkout up to date.
        until("it is reverted", || revert().status.success());
    });
    assert_eq!(code, Some(5));
    assert_eq!(it.landed(), ["first", "slow"]);
    assert!(it.drover(&["status"]).expect(0).out.contains("reverted in "));
    assert!(it.drover(&["report", "--format", "json"]).expect(0).out.contains("\"slow\""));
}

#[test]
fn what_was_pushed_and_reverted_by_another_clone_while_drover_was_dead_is_told_of_at_once() {
    let tasks = [task("a", "echo a >>a", ""), task("b", "cat a >b", "depends_on = [\"a\"]")];
    let it = project(repo(), &format!("{CONFIG}\n[merge]\npush = \"origin\"\n"), &tasks);
    let remote = it.outside("remote.git").display().to_string();
    it.git(&["init", "-q", "--bare", "-b", "main", &remote]);
    it.git(&["remote", "add", "origin", &remote]);
    it.git(&["push", "-q", "origin", "main"]);
    let killed = it.drover_command(&["apply"]).env("DROVER_FAULT", "push.taken:1").output().unwrap();
    assert_ne!(killed.status.code(), Some(0), "it dies right after the push");
    let other = it.outside("other").display().to_string();
    it.git(&["clone", "-q", &remote, &other]);
    for args in [
        &["config", "user.name", "B"][..],
        &["config", "user.email", "b@example.com"],
        &["revert", "--no-edit", "-m", "1", "HEAD"],
        &["push", "-q"],
    ] {
        it.git(&[&["-C", other.as_str()], args].concat());
    }
    let resumed = ran(&it.drover_command(&["resume"]).output().unwrap()).expect(5);
    let said = format!("{}{}", resumed.out, resumed.err);
    assert!(!said.contains("another clone"), "{said}");
    assert!(said.contains("what they need was taken back: b (needs a)"), "{said}");
    assert!(it.drover(&["status"]).expect(0).out.contains("reverted in "));
    assert!(!it.path("a").exists() && !it.path("b").exists());
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert_eq!(it.read("b"), "a\n");
}

#[test]
fn what_a_person_picked_and_reverted_while_it_waited_for_approval_is_reverted() {
    let it = project(repo(), CONFIG, &[task("a", "echo a >>a", "approval = \"required\"")]);
    it.drover(&["apply"]).expect(5);
    let refs = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"]);
    let made = refs.lines().find(|name| !name.ends_with("-s0")).unwrap();
    it.git(&["cherry-pick", made]);
    it.git(&["revert", "--no-edit", "HEAD"]);
    it.drover(&["approve", "a"]).expect(0);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("reverted, and not done again unasked: a (in "), "{}", ran.err);
    assert!(!it.path("a").exists());
    assert!(it.drover(&["status"]).expect(0).out.contains("reverted in "));
}

#[test]
fn work_whose_objects_a_person_deleted_fails_at_once_and_is_made_anew_and_others_land_meanwhile() {
    let tasks = [task("a", "echo a >>a", "approval = \"required\""), task("b", "echo b >>b", "enabled = false")];
    let it = project(repo(), CONFIG, &tasks);
    it.drover(&["apply"]).expect(5);
    it.drover(&["approve", "a"]).expect(0);
    for name in it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"]).lines() {
        it.git(&["update-ref", "-d", name]);
    }
    it.git(&["reflog", "expire", "--expire=now", "--all"]);
    it.git(&["gc", "-q", "--prune=now"]);
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("enabled = false", ""));
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.err.contains("what it had made is gone from the repository"), "{}", ran.err);
    assert!(!ran.err.contains("trouble"), "{}", ran.err);
    assert_eq!(it.landed(), ["b"]);
    it.drover(&["approve", "a", "--attempt", "2"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b", "a"]);
}
