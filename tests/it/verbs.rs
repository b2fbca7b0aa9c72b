//! What a person does to tasks: `retry`, `reset`, `cancel`, beside a running Drover and without one.

use std::fs;
use std::process::Child;

use crate::fixture::{CONFIG, Fixture, ran, repo, until};

fn task(id: &str, shell: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"{id}\"\nprompt = {:?}\n{more}\n", format!("$ {shell}"))
}

/// Writes a file of its own, anew each time.
fn writes(id: &str, more: &str) -> String {
    task(id, &format!("echo $DROVER_ATTEMPT_NUMBER >{id}.txt"), more)
}

/// Fails until its gate is there.
fn fails(it: &Fixture, id: &str, more: &str) -> String {
    task(id, &format!("test -e {} && echo {id} >{id}.txt", it.outside(&format!("{id}.gate")).display()), more)
}

/// Runs until its gate is there.
fn waits(it: &Fixture, id: &str, more: &str) -> String {
    let gate = it.outside(&format!("{id}.gate")).display().to_string();
    task(id, &format!("while [ ! -e {gate} ]; do sleep 0.02; done; echo {id} >{id}.txt"), more)
}

fn open(it: &Fixture, id: &str) {
    fs::write(it.outside(&format!("{id}.gate")), "").unwrap();
}

fn project(tasks: impl Fn(&Fixture) -> String) -> Fixture {
    let it = repo();
    let tasks = tasks(&it);
    it.file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks")
}

/// Of a task: its status and the kind of the reason.
fn stands(it: &Fixture, id: &str) -> String {
    let found = it.drover(&["status", "--format", "json"]);
    if found.code != Some(0) {
        return String::new();
    }
    let tasks = found.json()["tasks"].as_array().unwrap().clone();
    let Some(task) = tasks.iter().find(|t| t["id"] == id) else { return String::new() };
    let text = |v: &serde_json::Value| v.as_str().unwrap_or("-").to_owned();
    format!("{} {}", text(&task["status"]), text(&task["reason"]["kind"]))
}

#[track_caller]
fn comes_to(it: &Fixture, id: &str, what: &str) {
    until(&format!("{id} is {what}"), || stands(it, id) == what);
}

/// A run that goes on until `hold` is let go.
fn running(it: &Fixture) -> Child {
    let child = it.spawn(&["apply"]);
    until("it runs", || stands(it, "hold").starts_with("in_progress"));
    child
}

fn ends(it: &Fixture, child: Child, code: i32) {
    open(it, "hold");
    ran(&child.wait_with_output().unwrap()).expect(code);
}

#[test]
fn what_failed_is_tried_again_with_all_its_attempts() {
    let it = project(|it| fails(it, "a", "retry = { max_attempts = 1 }") + &writes("b", "depends_on = [\"a\"]") + &writes("c", ""));
    it.drover(&["apply"]).expect(1);
    assert_eq!((stands(&it, "a"), stands(&it, "b")), ("failed -".into(), "blocked dependency_failed".into()));
    let slip = it.drover(&["retry", "aa"]).expect(4);
    assert!(slip.err.contains("did you mean `a`?"), "{}", slip.err);
    let said = it.drover(&["retry", "a", "b", "c"]).expect(0);
    assert!(said.out.contains("a: tried again with 1 attempt: it had failed 1 time\n"), "{}", said.out);
    assert!(said.out.contains("b: has all its attempts; nothing changed") && said.out.contains("c: is completed"), "{}", said.out);
    assert!(said.err.contains("drover apply"), "{}", said.err);
    assert_eq!((stands(&it, "a"), stands(&it, "b")), ("ready -".into(), "blocked dependency_pending".into()));
    assert!(it.drover(&["retry", "a"]).expect(0).out.contains("nothing changed"));
    open(&it, "a");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["c", "a", "b"]);
}

#[test]
fn what_failed_is_tried_again_at_once_beside_a_run() {
    let it = project(|it| waits(it, "hold", "") + &fails(it, "a", "retry = { max_attempts = 2, delay = \"1h\" }"));
    let child = running(&it);
    comes_to(&it, "a", "ready not_before");
    open(&it, "a");
    let said = it.drover(&["retry", "status:ready", "--format", "json"]).expect(0).json();
    assert_eq!((said["live"].as_bool(), said["orders"][0]["came_to"].as_str()), (Some(true), Some("done")));
    until("it has landed", || it.landed() == ["a"]);
    ends(&it, child, 0);
}

#[test]
fn what_is_reset_is_done_anew_in_the_order_of_its_dependencies() {
    let it = project(|it| waits(it, "hold", "") + &writes("b", "") + &writes("a", "depends_on = [\"b\"]"));
    let child = running(&it);
    until("they have landed", || it.landed() == ["b", "a"]);
    let refused = it.drover(&["reset", "*"]).expect(3);
    assert!(refused.err.contains("2 of 2 completed tasks") && refused.err.contains("--allow-reruns"), "{}", refused.err);
    let told = it.drover(&["reset", "a", "b", "--dry-run"]).expect(0);
    assert!(told.out.contains("a: would be reset: it was done in "), "{}", told.out);
    assert!(it.drover(&["reset", "a", "b", "--failed"]).expect(0).out.contains("a: has not failed; nothing changed"));
    assert_eq!(it.landed(), ["b", "a"]);
    let said = it.drover(&["reset", "a", "b", "--allow-reruns"]).expect(0);
    assert!(said.out.contains("b: reset: it was done in "), "{}", said.out);
    until("they have landed again", || it.landed() == ["b", "a", "b", "a"]);
    ends(&it, child, 0);
    assert_eq!((it.read("a.txt"), it.read("b.txt")), ("2\n".into(), "2\n".into()));
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"]);
    assert_eq!(kept.lines().filter(|r| !r.contains("-s") && !r.ends_with("-land")).count(), 5, "{kept}");
    // Once: it is not reset for ever.
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 5);
}

#[test]
fn a_reset_without_a_run_holds_against_what_history_says() {
    let it = project(|it| writes("a", "") + &fails(it, "b", "retry = { max_attempts = 1 }") + &writes("c", ""));
    it.drover(&["apply"]).expect(1);
    it.drover(&["reset", "a"]).expect(0);
    assert!(it.drover(&["reset", "a"]).expect(0).out.contains("nothing changed"));
    assert_eq!(stands(&it, "a"), "ready -");
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains("~ a"), "{}", plan.out);
    let only = it.drover(&["reset", "*", "--failed"]).expect(0);
    assert!(only.out.contains("b: reset: it had failed 1 time") && only.out.contains("c: has not failed"), "{}", only.out);
    open(&it, "b");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().iter().filter(|t| *t == "a").count(), 2);
    assert_eq!(it.landed().iter().filter(|t| *t == "c").count(), 1);
}

/// Ignores a friendly signal, and leaves a file before and a process after.
fn stubborn(it: &Fixture, id: &str, more: &str) -> String {
    let pid = it.outside(&format!("{id}.pid")).display().to_string();
    task(id, &format!("trap '' TERM; echo begun >{id}.txt; sleep 600 & echo $! >{pid}; while :; do sleep 0.02; done"), more)
}

fn lives(it: &Fixture, id: &str) -> bool {
    let pid = fs::read_to_string(it.outside(&format!("{id}.pid"))).unwrap();
    // A zombie has ended.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn begun(it: &Fixture, id: &str) {
    until(&format!("{id} has begun"), || fs::read_to_string(it.outside(&format!("{id}.pid"))).is_ok_and(|pid| pid.ends_with('\n')));
}

#[test]
fn what_is_cancelled_beside_a_run_ends_alone_and_its_work_is_kept() {
    let it = project(|it| waits(it, "hold", "") + &stubborn(it, "a", "") + &writes("b", "depends_on = [\"a\"]"));
    let child = running(&it);
    begun(&it, "a");
    let said = it.drover(&["cancel", "a"]).expect(0);
    assert!(said.out.contains("a: cancelled: attempt 1 is ended, and what it made is kept"), "{}", said.out);
    comes_to(&it, "a", "cancelled cancelled");
    assert!(!lives(&it, "a"), "nothing of it runs any more");
    assert!(stands(&it, "hold").starts_with("in_progress"), "nothing else is disturbed");
    assert_eq!(stands(&it, "b"), "blocked dependency_cancelled");
    assert!(it.drover(&["cancel", "a"]).expect(0).out.contains("is cancelled already"));
    assert!(it.drover(&["diff", "a"]).expect(0).out.contains("+begun"));
    open(&it, "hold");
    let ran = ran(&child.wait_with_output().unwrap()).expect(5);
    assert!(ran.out.contains("cancelled: a, b (needs a)"), "{}", ran.out);
    assert_eq!((it.landed(), it.standing()), (vec!["hold".to_owned()], Vec::new()));
    // It stays so, until a person or the files say otherwise.
    it.drover(&["apply"]).expect(5);
    assert!(it.drover(&["plan"]).expect(0).out.contains("drover retry a"));
    let changed = it.read("drover/t.toml").replace("trap '' TERM; echo begun", "exit 0; echo begun");
    let it = it.file("drover/t.toml", &changed.replace("exit 0;", "echo changed >a.txt; exit 0;")).commit("changed");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["hold", "a", "b"]);
}

#[test]
fn what_has_not_begun_is_held_and_what_waits_for_a_person_does_not_land() {
    let it = project(|it| waits(it, "hold", "") + &writes("a", "approval = \"required\"") + &writes("b", "depends_on = [\"hold\"]"));
    let child = running(&it);
    comes_to(&it, "a", "blocked approval_required");
    let said = it.drover(&["cancel", "a", "b", "--format", "json"]).expect(0).json();
    assert_eq!(said["orders"][1]["said"], "cancelled: not started until `drover retry`");
    it.drover(&["approve", "a"]).expect(3);
    open(&it, "hold");
    ran(&child.wait_with_output().unwrap()).expect(5);
    assert_eq!(it.landed(), ["hold"]);
    assert!(it.drover(&["cancel", "hold"]).expect(3).err.contains("hold is completed already"));
    it.drover(&["retry", "status:cancelled"]).expect(0);
    it.drover(&["apply"]).expect(5);
    assert_eq!((it.landed(), stands(&it, "a")), (vec!["hold".into(), "b".into()], "blocked approval_required".into()));
}

#[test]
fn what_outlived_a_drover_that_was_killed_is_cancelled_too() {
    let it = project(|it| stubborn(it, "a", "") + &writes("b", ""));
    let mut child = it.spawn(&["apply"]);
    begun(&it, "a");
    until("b has landed", || it.landed() == ["b"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lives(&it, "a"));
    it.drover(&["cancel", "a"]).expect(0);
    until("it has ended", || !lives(&it, "a"));
    it.drover(&["apply"]).expect(5);
    assert_eq!(stands(&it, "a"), "cancelled cancelled");
    assert!(it.drover(&["diff", "a"]).expect(0).out.contains("+begun"));
    assert!(it.standing().is_empty());
}

#[test]
fn an_attempt_under_way_is_reset_and_another_follows() {
    let it = project(|it| {
        let gate = it.outside("again").display().to_string();
        let pid = it.outside("a.pid").display().to_string();
        task("a", &format!("if [ -e {gate} ]; then echo again >a.txt; else touch {gate}; echo $$ >{pid}; sleep 600; fi"), "")
    });
    let child = it.spawn(&["apply"]);
    begun(&it, "a");
    assert!(it.drover(&["retry", "a"]).expect(0).out.contains("is in progress"));
    let said = it.drover(&["reset", "a"]).expect(0);
    assert!(said.out.contains("a: reset: attempt 1 is ended"), "{}", said.out);
    ran(&child.wait_with_output().unwrap()).expect(0);
    assert_eq!((it.read("a.txt"), lives(&it, "a")), ("again\n".into(), false));
}

/// A check that the landing waits for.
#[test]
fn an_attempt_that_is_landing_either_lands_or_does_not() {
    let it = repo();
    let (begun, gate) = (it.outside("begun").display().to_string(), it.outside("a.gate").display().to_string());
    let check = format!("touch {begun}; while [ ! -e {gate} ]; do sleep 0.02; done");
    let config = CONFIG.replace("[defaults]", &format!("[merge]\nverify = [{check:?}]\n[defaults]"));
    // `b` lands first, so that what `a` merges into is checked anew.
    let tasks = writes("a", "verify = [\"true\"]");
    let it = it.file("drover.toml", &config).file("drover/t.toml", &tasks).commit("tasks");
    let child = it.spawn(&["apply"]);
    until("it is checked as merged", || it.outside("begun").exists());
    let said = it.drover(&["cancel", "a"]).expect(0);
    assert!(said.out.contains("if it has landed by now, that stays"), "{}", said.out);
    ran(&child.wait_with_output().unwrap()).expect(5);
    assert_eq!((it.landed(), stands(&it, "a")), (Vec::<String>::new(), "cancelled cancelled".into()));
    open(&it, "a");
    it.drover(&["retry", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a"]);
}

#[test]
fn what_is_suspended_is_not_begun_until_that_is_lifted_and_what_runs_goes_on() {
    let it = project(|it| waits(it, "hold", "") + &writes("a", "depends_on = [\"hold\"]") + &writes("b", "depends_on = [\"a\"]"));
    let child = running(&it);
    let said = it.drover(&["suspend", "a", "hold"]).expect(0);
    assert!(said.out.contains("a: suspended: not begun") && said.out.contains("hold: suspended: attempt 1 goes on"), "{}", said.out);
    assert!(it.drover(&["suspend", "a"]).expect(0).out.contains("is suspended already"));
    open(&it, "hold");
    let ran = ran(&child.wait_with_output().unwrap()).expect(5);
    assert!(ran.out.contains("suspended: a;"), "{}", ran.out);
    assert_eq!((it.landed(), stands(&it, "a")), (vec!["hold".to_owned()], "blocked suspended".into()));
    it.drover(&["apply"]).expect(5);
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains("suspended; drover unsuspend a"), "{}", plan.out);
    it.drover(&["unsuspend", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["hold", "a", "b"]);
}

#[test]
fn everything_can_be_suspended_also_what_is_new() {
    let it = project(|_| writes("a", ""));
    it.drover(&["sync"]).expect(0);
    let said = it.drover(&["suspend", "--all", "--format", "json"]).expect(0).json();
    assert_eq!((said["came_to"].as_str(), said["live"].as_bool()), (Some("done"), Some(false)));
    let more = it.read("drover/t.toml") + &writes("b", "");
    let it = it.file("drover/t.toml", &more).commit("more");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("suspended: everything"), "{}", ran.out);
    assert!(it.drover(&["unsuspend", "a"]).expect(0).out.contains("unsuspend --all"));
    it.drover(&["unsuspend", "--all"]).expect(0);
    assert!(it.drover(&["unsuspend", "--all"]).expect(0).out.contains("nothing changed"));
    it.drover(&["suspend"]).expect(64);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 2);
}

#[test]
fn a_persons_word_completes_a_task_or_takes_that_back() {
    let it = project(|it| fails(it, "a", "retry = { max_attempts = 1 }") + &writes("b", "depends_on = [\"a\"]"));
    it.drover(&["apply"]).expect(1);
    it.drover(&["mark", "completed", "a"]).expect(64);
    let said = it.drover(&["mark", "completed", "a", "--reason", "done by hand\u{1b}[2J in 1234"]).expect(0);
    assert!(said.out.contains("a: marked completed: what needs it goes on"), "{}", said.out);
    assert!(it.drover(&["mark", "completed", "a", "--reason", "again"]).expect(0).out.contains("is completed already"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b"]);
    let status = it.drover(&["status"]).expect(0).out;
    assert!(status.contains("marked completed by a person: done by hand[2J in 1234"), "{status}");
    let json = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!((json["tasks"][0]["commit"].as_str(), json["tasks"][0]["marked"].as_str()), (None, Some("done by hand[2J in 1234")));
    // What did land can be wanted once more, and history does not say otherwise.
    it.drover(&["mark", "pending", "b", "--reason", "half of it is missing"]).expect(0);
    assert!(it.drover(&["status"]).expect(0).out.contains("marked pending by a person: half of it is missing"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b", "b"]);
    let changed = it.read("drover/t.toml").replace("title = \"a\"", "title = \"another\"");
    let it = it.file("drover/t.toml", &changed).commit("changed");
    open(&it, "a");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b", "b", "a"]);
}

#[test]
fn a_running_drover_takes_more_workers_and_fewer() {
    let it = project(|it| waits(it, "hold", "priority = 1") + &waits(it, "a", "") + &writes("b", "priority = -1"));
    it.drover(&["sync"]).expect(0);
    assert!(it.drover(&["workers", "2"]).expect(3).err.contains("no Drover is at work"));
    let child = it.spawn(&["apply", "--workers", "1"]);
    until("it runs", || stands(&it, "hold").starts_with("in_progress"));
    assert_eq!(stands(&it, "a"), "ready no_worker");
    let said = it.drover(&["workers", "2"]).expect(0);
    assert!(said.out.contains("2 attempts at a time instead of 1"), "{}", said.out);
    until("a is begun", || stands(&it, "a").starts_with("in_progress"));
    assert!(it.drover(&["workers", "1"]).expect(0).out.contains("2 are under way, and go on to their end"));
    open(&it, "a");
    until("a has landed", || it.landed() == ["a"]);
    assert_eq!(stands(&it, "b"), "ready no_worker");
    ends(&it, child, 0);
    assert_eq!(it.landed(), ["a", "hold", "b"]);
}
