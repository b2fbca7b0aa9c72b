//! Checks that fail already, and checks that fail now and then: `[merge] baseline`.

use std::fs;

use crate::fixture::{CONFIG, Fixture, Ran, repo, until};

/// Counts its runs in `log`, and then does as the line says.
fn counted(it: &Fixture, line: &str) -> String {
    format!("echo run >>{log}; n=$(wc -l <{log}); {line}", log = it.outside("log").display())
}

fn runs(it: &Fixture) -> usize {
    fs::read_to_string(it.outside("log")).unwrap_or_default().lines().count()
}

/// A project in which `check` guards the landing, with these tasks.
fn project(check: &str, baseline: bool, tasks: &str) -> Fixture {
    project_in(repo(), check, baseline, tasks)
}

fn project_in(it: Fixture, check: &str, baseline: bool, tasks: &str) -> Fixture {
    let check = counted(&it, check);
    let config = CONFIG.replace("workers = 4", "workers = 1").replace("max_attempts = 3", "max_attempts = 1");
    let merge = format!("[merge]\nbaseline = {baseline}\nverify = [{{ name = \"suite\", run = {check:?} }}]\n");
    it.file("drover.toml", &format!("{config}{merge}")).file("good", "yes\n").file("drover/t.toml", tasks).commit("tasks")
}

fn task(id: &str, line: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {line:?}\n")
}

fn told(it: &Fixture, id: &str) -> (serde_json::Value, serde_json::Value) {
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let task = status["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap().clone();
    (task["flaky"].clone(), task["excused"].clone())
}

fn log_holds(it: &Fixture, ran: &Ran, fact: &str) -> bool {
    let events = it.command("sh").args(["-c", "cat .git/drover/runs/*/events.jsonl"]).output().unwrap();
    assert!(ran.code.is_some());
    String::from_utf8_lossy(&events.stdout).contains(fact)
}

#[test]
fn a_check_that_fails_on_the_tip_already_fails_no_task_and_is_run_there_once() {
    let it = project("test -e missing", true, &format!("{}{}", task("a", "echo 1 >a"), task("b", "echo 1 >b")));
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 2);
    assert!(
        ran.err.contains("passed over: `suite` fails on") && ran.out.contains("fails without it too: suite"),
        "{}\n{}",
        ran.err,
        ran.out
    );
    assert_eq!(told(&it, "a"), (serde_json::json!([]), serde_json::json!(["suite"])));
    assert!(it.drover(&["status"]).expect(0).out.contains("fails without it too: suite"));
    assert!(log_holds(&it, &ran, "check_excused"));
    // Twice on what is to land, once on what was there; of the second task that is known.
    assert_eq!(runs(&it), 2 + 1 + 2);
}

#[test]
fn a_check_that_the_work_breaks_fails_the_task_with_its_output() {
    let it = project("grep yes good", true, &task("t", "echo 'the wrong answer' >good"));
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("suite") && ran.err.contains("twice; without this work") && ran.err.contains("it passes"), "{}", ran.err);
    assert!(it.landed().is_empty());
    assert_eq!(runs(&it), 3);
}

#[test]
fn of_two_checks_only_the_one_that_the_work_breaks_counts() {
    let it = project("test -e missing", true, &format!("{}verify = [\"grep -q yes good\"]\n", task("t", "echo no >good")));
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("grep -q yes good") && !ran.err.contains("`suite`"), "{}", ran.err);
    // The one that fails for ever is not the reason, in either order.
    it.write("drover/t.toml", &format!("{}verify = [\"test -e missing-too\", \"grep -q yes good\"]\n", task("t", "echo no >good")));
    let ran = it.drover(&["apply", "--rerun", "t"]).expect(1);
    assert!(ran.err.contains("passed over: `test -e missing-too`") && ran.err.contains("verify `grep -q yes good`"), "{}", ran.err);
    assert!(it.landed().is_empty());
}

#[test]
fn a_check_that_passes_when_it_is_run_again_is_told_as_flaky() {
    let it = project("[ $n != 1 ]", true, &task("t", "echo 1 >a"));
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("flaky: `suite`") && ran.out.contains("flaky: suite"), "{}\n{}", ran.err, ran.out);
    assert_eq!(told(&it, "t"), (serde_json::json!(["suite"]), serde_json::json!([])));
    assert_eq!((it.landed().len(), runs(&it)), (1, 2));
}

#[test]
fn without_baseline_a_check_that_fails_once_fails_the_attempt() {
    let it = project("[ $n != 1 ]", false, &task("t", "echo 1 >a"));
    it.drover(&["apply"]).expect(1);
    assert_eq!((it.landed().len(), runs(&it)), (0, 1));
}

#[test]
fn what_fails_without_the_work_is_judged_anew_on_the_tip_that_it_lands_on() {
    // Both begin where the check fails. One mends it and lands; the other, which would break it
    // again, failed it before as well, and yet it is not passed over.
    let it = repo();
    let gate = it.outside("gate");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    let breaks = format!("mkdir -p extra; echo x >extra/broken; touch {}; {wait}", it.outside("begun").display());
    let mends = format!("while [ ! -e {} ]; do sleep 0.02; done; echo mended >state", it.outside("begun").display());
    let check = "[ -e state ] && [ ! -e extra/broken ]";
    let verify = format!("verify = [{{ name = \"suite\", run = {check:?} }}]\n");
    let config = CONFIG.replace("max_attempts = 3", "max_attempts = 1");
    let it = it
        .file("drover.toml", &format!("{config}[merge]\nbaseline = true\n{verify}"))
        .file("drover/t.toml", &format!("{}{verify}{}", task("breaks", &breaks), task("mends", &mends)))
        .commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("the mending one has landed", || it.drover(&["status", "--oneline"]).out.contains("1 of 2 completed"));
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(it.landed(), ["mends"]);
}

#[test]
fn killed_while_a_check_runs_on_the_tip_it_is_waited_for_and_not_run_again() {
    for at in [2, 3] {
        let it = repo();
        let wait = format!("[ $n != {at} ] || while [ ! -e {} ]; do sleep 0.02; done; test -e missing", it.outside("gate").display());
        let it = project_in(it, &wait, true, &task("t", "echo 1 >a"));
        let mut child = it.drover_command(&["apply", "-q"]).spawn().unwrap();
        until("the check waits", || runs(&it) == at);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::write(it.outside("gate"), "").unwrap();
        it.drover(&["resume"]).expect(0);
        assert_eq!((it.landed().len(), runs(&it)), (1, 3), "killed in run {at}");
        assert_eq!(told(&it, "t").1, serde_json::json!(["suite"]));
    }
}

#[test]
fn a_check_that_fails_on_the_line_does_not_hold_up_the_commits_of_people() {
    let it = project("test -e missing || { [ -e theirs ] && [ ! -e ok ]; }", true, &task("t", "echo 1 >>good"));
    // What a person has in the checkout keeps it from being published; then they commit beside it.
    it.write("good", "mine\n");
    it.drover(&["apply"]).expect(5);
    it.git(&["checkout", "-q", "good"]);
    it.write("ok", "theirs\n");
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "Theirs"]);
    let before = runs(&it);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("good"), "yes\n1\n");
    assert_eq!(it.read("ok"), "theirs\n");
    assert_eq!(runs(&it), before + 3, "twice on the merge, once on the line");
}
