//! The repository's own commit hooks, for projects that want them run on each task's commit.

use std::fs;

use crate::fixture::{CONFIG, Fixture, program, repo, until};

/// One task with a hook; what it adds to `[merge]`, and to the task.
fn with(hook: (&str, &str), merge: &str, task: &str) -> Fixture {
    let it = repo()
        .file("drover.toml", &format!("{CONFIG}\n[merge]\n{merge}\n"))
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo 1 >x\"\n{task}\n"))
        .commit("tasks");
    let path = it.path(&format!(".git/hooks/{}", hook.0));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    program(&path, format!("#!/bin/sh\n{}\n", hook.1));
    it
}

const ON: &str = "hooks = true";

#[test]
fn hooks_are_run_only_where_that_is_asked_for() {
    let hook = ("pre-commit", "exit 1");
    with(hook, "", "").drover(&["apply"]).expect(0);
    let it = with(hook, ON, "retry = { max_attempts = 1 }");
    it.drover(&["apply"]).expect(1);
    assert!(it.landed().is_empty());
}

#[test]
fn a_hook_that_fails_fails_the_attempt_with_its_output() {
    let it = with(("pre-commit", "test -e good || { echo make it good; exit 1; }"), ON, "");
    it.write(
        "drover/t.toml",
        &it.read("drover/t.toml").replace("\"$ echo 1 >x\"", "\"$ echo 1 >x; test $DROVER_ATTEMPT_NUMBER = 1 || echo 1 >good\""),
    );
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("refused by a hook"), "{}", ran.err);
    assert_eq!((it.landed(), it.read("good")), (vec!["t".into()], "1\n".into()));
    assert_eq!(it.git(&["log", "--topo-order", "--format=%s", "--no-merges", "main"]), "T\ntasks");
    let it = with(("pre-commit", "echo make it good; exit 1"), ON, "retry = { max_attempts = 1 }");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(format!("{}{}", ran.out, ran.err).contains("make it good"), "{}{}", ran.out, ran.err);
}

#[test]
fn what_a_hook_makes_of_the_files_lands_and_is_verified_as_it_is() {
    let hook = ("pre-commit", "echo formatted >>x; git add x");
    let it = with(hook, ON, "");
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("x"), it.landed()), ("1\nformatted\n".into(), vec!["t".into()]));
    let it = with(hook, ON, "verify = [\"! grep -q formatted x\"]\nretry = { max_attempts = 1 }");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("grep -q formatted"), "{}", ran.out);
    assert!(it.landed().is_empty());
    let it = with(("pre-commit", "echo '#' >>drover.toml; git add drover.toml"), ON, "retry = { max_attempts = 1 }");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("drover.toml") && ran.out.contains("protect"), "{}", ran.out);
}

#[test]
fn a_hook_may_add_to_the_message_and_not_take_the_record_from_it() {
    for strategy in ["merge", "squash", "rebase"] {
        let it = with(("commit-msg", "sed -i '1s/$/ (#7)/' $1"), &format!("{ON}\nstrategy = \"{strategy}\""), "");
        it.drover(&["apply"]).expect(0);
        assert!(it.git(&["log", "--format=%s", "main"]).contains("T (#7)"), "{strategy}");
        assert_eq!(it.landed(), ["t"], "{strategy}");
    }
    for script in ["sed -i /Drover-Attempt/d $1", "echo '  Drover-Task: other@1:0000000000000000' >>$1"] {
        let it = with(("commit-msg", script), ON, "retry = { max_attempts = 1 }");
        let ran = it.drover(&["apply"]).expect(1);
        assert!(ran.out.contains("no longer has the record"), "{}", ran.out);
    }
}

#[test]
fn what_hooks_had_committed_is_not_taken_for_what_the_next_attempt_made() {
    let script = "grep -q 'Drover-Task: t@' $1 && echo '  Drover-Task: other@1:0000000000000000' >>$1; true";
    let it = with(("commit-msg", script), ON, "retry = { max_attempts = 1 }");
    it.write("drover/u.toml", "[[task]]\nid = \"u\"\ntitle = \"U\"\npriority = -1\nprompt = \"$ echo 1 >u\"\n");
    it.write("drover.toml", &it.read("drover.toml").replace("workers = 4", "workers = 1"));
    let it = it.commit("one after the other");
    let ran = it.drover(&["apply"]).expect(1);
    assert_eq!(it.landed(), ["u"]);
    assert!(!ran.err.contains("WARN"), "{}", ran.err);
    let kept = it.git(&["for-each-ref", "--format=%(subject)", "refs/drover/attempts/*-hooks-*"]);
    assert_eq!(kept, "T\nU");
}

#[test]
fn a_hook_that_hangs_is_ended_by_the_tasks_time_out() {
    let it = with(("pre-commit", "sleep 600"), ON, "timeout = \"1s\"\nretry = { max_attempts = 1 }");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("ran longer than 1s"), "{}", ran.out);
    assert!(crate::kill::survivors(&it).is_empty());
}

#[test]
fn a_hook_that_outlives_drover_is_waited_for_and_not_run_again() {
    let it = with(("pre-commit", "echo ran >>GATE.ran; while [ ! -e GATE ]; do sleep 0.02; done"), ON, "");
    let (gate, hook) = (it.outside("gate"), it.path(".git/hooks/pre-commit"));
    program(&hook, fs::read_to_string(&hook).unwrap().replace("GATE", gate.to_str().unwrap()));
    let ran = gate.with_extension("ran");
    let mut child = it.spawn(&["apply"]);
    until("the hook runs", || ran.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&gate, "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!((fs::read_to_string(&ran).unwrap(), it.landed()), ("ran\n".into(), vec!["t".into()]));
}
