//! Things that people and checks do to a run while it goes on, or between two of them: nothing
//! is lost, nothing that was taken back returns, and what is said of a task is true.

use std::fs;
use std::process::Child;

use crate::fixture::{CONFIG, Fixture, repo, until};

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

#[test]
fn work_made_on_a_commit_that_the_user_dropped_is_made_anew_without_it() {
    let it = repo().file("drover.toml", CONFIG).commit("start").file("secret", "s\n").commit("oops");
    let it = cut_short(it, "echo x >x", "");
    it.git(&["rm", "-q", "secret"]);
    it.git(&["commit", "-q", "--amend", "-m", "tasks without it"]);
    it.git(&["reset", "-q", "--soft", "HEAD~2"]);
    it.git(&["commit", "-qm", "all without it"]);
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed(), ["a"]);
    assert!(!it.path("secret").exists());
    let history = it.git(&["log", "--format=%s", "main"]);
    assert!(!history.contains("oops"), "what was dropped came back:\n{history}");
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
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1);
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
