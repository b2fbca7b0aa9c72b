//! The main job through the real program: files to landed commits.

use std::fs;

use crate::fixture::{CONFIG, program, repo, until};

#[test]
fn a_diamond_of_tasks_runs_to_completion_and_each_starts_from_what_it_needs() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/tasks.toml",
            r#"
[[task]]
id = "a"
title = "Base"
prompt = "$ echo a >a.txt"
[[task]]
id = "b"
title = "Left"
prompt = "$ cat a.txt >b.txt"
depends_on = ["a"]
[[task]]
id = "c"
title = "Right"
prompt = "$ cat a.txt >c.txt"
depends_on = ["a"]
[[task]]
id = "d"
title = "Both"
prompt = "$ cat b.txt c.txt >d.txt"
depends_on = ["b", "c"]
verify = ["test \"$(cat d.txt)\" = \"a\na\""]
"#,
        )
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("4"), "{}", ran.out);
    let landed = it.landed();
    assert_eq!(landed.len(), 4, "{landed:?}");
    assert_eq!((landed[0].as_str(), landed[3].as_str()), ("a", "d"));
    assert_eq!(it.read("d.txt"), "a\na\n");
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(it.standing().is_empty());
    for (task, status) in it.statuses() {
        assert_eq!(status, "completed", "{task}");
    }
    // Again, with nothing changed: nothing happens.
    let tip = it.git(&["rev-parse", "main"]);
    let again = it.drover(&["apply"]).expect(0);
    assert!(again.out.to_lowercase().contains("nothing to do"), "{}", again.out);
    assert_eq!(it.git(&["rev-parse", "main"]), tip);
}

#[test]
fn a_failed_verification_is_retried_and_the_next_attempt_is_told() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            r#"
[agents]
"#,
        )
        .commit("broken");
    it.drover(&["apply"]).expect(78);
    it.write(
        "drover/t.toml",
        r#"
[[task]]
id = "fix"
title = "Fix it"
agent = "keep"
prompt = "the words of the task"
verify = ["grep -q right out.txt"]
"#,
    );
    let prompts = it.outside("prompts");
    let script = format!(
        "cat >>{0}; if [ \"$DROVER_ATTEMPT_NUMBER\" = 1 ]; then echo wrong >out.txt; else echo right >out.txt; fi",
        prompts.display()
    );
    it.write("drover.toml", &format!("{CONFIG}\n[agents.keep]\nkind = \"command\"\nshell = {script:?}\n"));
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "mended"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("out.txt"), "right\n");
    let told = fs::read_to_string(&prompts).unwrap();
    assert_eq!(told.matches("the words of the task").count(), 2, "{told}");
    assert!(told.contains("grep -q right out.txt"), "the second prompt says what failed: {told}");
    // What the first attempt made is kept.
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    let wrong = kept.lines().any(|r| it.git(&["show", &format!("{r}:out.txt")]) == "wrong");
    assert!(wrong, "{kept}");
}

#[test]
fn a_task_out_of_attempts_fails_its_dependents_are_blocked_and_the_rest_goes_on() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            r#"
[[task]]
id = "bad"
title = "Cannot work"
prompt = "$ echo the reason is here; exit 3"
retry = { max_attempts = 2 }
[[task]]
id = "after"
title = "Waits in vain"
prompt = "$ echo x >x"
depends_on = ["bad"]
[[task]]
id = "good"
title = "Independent"
prompt = "$ echo y >y"
"#,
        )
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    assert_eq!(ran.err.matches("| the reason is here").count(), 1, "the output of what failed is shown, once: {}", ran.err);
    assert_eq!(it.landed(), ["good"]);
    let statuses = it.statuses();
    assert!(statuses.contains(&("bad".into(), "failed".into())) && statuses.contains(&("after".into(), "blocked".into())), "{statuses:?}");
    // A second apply finds it exhausted, and says so.
    it.drover(&["apply"]).expect(1);
    assert_eq!(it.landed(), ["good"]);
    // A mended definition starts anew.
    let mended = it.read("drover/t.toml").replace("echo the reason is here; exit 3", "echo z >z");
    it.write("drover/t.toml", &mended);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 3);
}

#[test]
fn what_a_failed_command_printed_is_shown_once() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            "[[task]]\nid = \"t\"\ntitle = \"T\"\nretry = { max_attempts = 1 }\nrun = \"echo to out; echo to err >&2; exit 1\"\n",
        )
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    assert_eq!((ran.err.matches("to out").count(), ran.err.matches("to err").count()), (1, 1), "{}", ran.err);
}

#[test]
fn a_large_change_is_refused_and_the_flag_that_allows_it_is_named() {
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = \"echo 1 >{id}\"\n");
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &format!("{}{}", task("a"), task("b"))).commit("tasks");
    it.drover(&["apply"]).expect(0);
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("echo 1", "echo 2"));
    let ran = it.drover(&["apply"]).expect(3);
    assert!(ran.err.contains("--allow-reruns"), "{}", ran.err);
    it.drover(&["apply", "--allow-reruns"]).expect(0);
    assert_eq!(it.read("a"), "2\n");
}

#[test]
fn sub_tasks_run_in_order_in_one_worktree_and_land_as_one() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            r#"
[[task]]
id = "whole"
title = "The whole"
prompt = "$ cat part >all; echo own >>all"
  [[task.subtask]]
  id = "one"
  title = "First part"
  prompt = "$ echo one >part"
  [[task.subtask]]
  id = "two"
  title = "Second part"
  prompt = "$ echo two ${{ task.id }} >>part"
  verify = ["grep -q one part"]
"#,
        )
        .commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("all"), "one\ntwo whole.two\nown\n");
    assert_eq!(it.landed(), ["whole"]);
    let subjects = it.git(&["log", "--format=%s", "main"]);
    assert!(subjects.contains("First part") && subjects.contains("Second part"), "a commit each: {subjects}");
}

#[test]
fn the_users_uncommitted_work_is_left_alone_and_what_landed_waits() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("shared.txt", "old\n")
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo new >shared.txt\"\n")
        .commit("tasks");
    it.write("shared.txt", "mine, not committed\n");
    it.write("untracked.txt", "mine too\n");
    let before = it.checkout();
    let ran = it.drover(&["apply"]).expect(5);
    assert!(format!("{}{}", ran.out, ran.err).contains("shared.txt"), "{}\n{}", ran.out, ran.err);
    assert_eq!(it.checkout(), before);
    assert_eq!(it.statuses(), [("t".into(), "completed".into())]);
    // Once it is out of the way, a second apply finishes.
    it.git(&["checkout", "-q", "shared.txt"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("shared.txt"), "new\n");
    assert_eq!(it.read("untracked.txt"), "mine too\n");
    assert_eq!(it.landed(), ["t"]);
}

#[test]
fn conflicting_tasks_are_told_of_the_conflict_and_try_again_on_the_new_tip() {
    let script = r#"{ cat base.txt; echo line of $DROVER_TASK; } >new; mv new base.txt; while [ ! -e GATE ]; do sleep 0.02; done"#;
    let it = repo();
    let gate = it.outside("gate");
    let script = script.replace("GATE", gate.to_str().unwrap());
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"Add {id}\"\nagent = \"adder\"\nprompt = \"x\"\n");
    let it = it
        .file("drover.toml", &format!("{CONFIG}\n[agents.adder]\nkind = \"command\"\nshell = {script:?}\n"))
        .file("base.txt", "first\n")
        .file("drover/t.toml", &format!("{}{}", task("one"), task("two")))
        .commit("tasks");
    let mut child = it.spawn(&["apply"]);
    // Both have started from the same base before either may end.
    until("two agents", || started(&it) == 2);
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = it.read("base.txt");
    assert!(text.contains("line of one") && text.contains("line of two"), "{text}");
    assert_eq!(it.landed().len(), 2);
}

fn started(it: &crate::fixture::Fixture) -> usize {
    let Ok(attempts) = fs::read_dir(it.state_dir().join("attempts")) else { return 0 };
    attempts.flatten().filter(|a| a.path().join("agent-0/started").exists()).count()
}

#[test]
fn a_diff_that_touches_protected_files_fails_the_attempt_by_name() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            "[[task]]\nid = \"t\"\ntitle = \"T\"\nretry = { max_attempts = 1 }\nprompt = \"$ echo >>drover.toml; echo x >x\"\n",
        )
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("drover.toml") && ran.err.contains("protect"), "{}", ran.err);
    assert!(it.landed().is_empty());
}

#[test]
fn an_agent_that_changes_nothing_fails_saying_so_unless_that_is_allowed() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nretry = { max_attempts = 1 }\nprompt = \"$ true\"\n[[task]]\nid = \"job\"\ntitle = \"Job\"\nrun = \"true\"\n").commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("allow_empty"), "{}", ran.err);
    assert_eq!(it.landed(), ["job"]);
}

#[test]
fn time_outs_end_an_agent_that_will_not_end() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\ntimeout = \"1s\"\nretry = { max_attempts = 1 }\nprompt = \"$ trap '' TERM; sleep 600 & wait; sleep 600\"\n[[task]]\nid = \"s\"\ntitle = \"S\"\nstall_timeout = \"1s\"\nretry = { max_attempts = 1 }\nprompt = \"$ sleep 600\"\n").commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    let said = ran.err.to_lowercase();
    assert!(said.contains("1s, its `timeout`") && said.contains("1s, its `stall_timeout`"), "{}", ran.err);
}

#[test]
fn groups_and_workers_limit_what_runs_at_once() {
    let it = repo();
    let log = it.outside("log");
    let line = format!("echo in >>{0}; sleep 0.05; echo out >>{0}", log.display());
    let mut tasks = String::new();
    for n in 0..6 {
        tasks.push_str(&format!("[[task]]\nid = \"t{n}\"\ntitle = \"T{n}\"\nrun = {line:?}\ngroups = [\"db\"]\n"));
    }
    let it = it.file("drover.toml", &format!("{CONFIG}\n[groups.db]\nmax_parallel = 1\n")).file("drover/t.toml", &tasks).commit("tasks");
    it.drover(&["apply"]).expect(0);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text, "in\nout\n".repeat(6), "never two at once");
}

#[test]
fn a_task_in_the_checkout_sees_what_it_depends_on_and_commits_nothing() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"make\"\ntitle = \"Make\"\nprompt = \"$ echo made >made.txt\"\n[[task]]\nid = \"job\"\ntitle = \"Job\"\nworkspace = \"checkout\"\nrun = \"cp made.txt ../tmp/seen\"\ndepends_on = [\"make\"]\n").commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(fs::read_to_string(it.outside("seen")).unwrap(), "made\n");
    assert_eq!(it.landed(), ["make"]);
    assert_eq!(it.statuses().iter().filter(|(_, s)| s == "completed").count(), 2);
}

#[test]
fn a_changed_definition_runs_again_and_its_dependents_do_not() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo 1 >>a\"\n[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = \"$ echo 1 >>b\"\ndepends_on = [\"a\"]\n").commit("tasks");
    it.drover(&["apply"]).expect(0);
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("echo 1 >>a", "echo 2 >>a"));
    it.git(&["commit", "-qam", "edit"]);
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(plan.out.contains('~') && plan.out.contains(" a "), "{}", plan.out);
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("1\n2\n".into(), "1\n".into()));
    assert_eq!(it.landed(), ["a", "b", "a"]);
    it.drover(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn a_selection_limits_what_runs_and_a_term_that_matches_nothing_is_an_error() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo 1 >a\"\n[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = \"$ echo 1 >b\"\ndepends_on = [\"a\"]\n[[task]]\nid = \"other\"\ntitle = \"O\"\nprompt = \"$ echo 1 >o\"\n").commit("tasks");
    let ran = it.drover(&["apply", "othr"]).expect(4);
    assert!(ran.err.contains("other"), "{}", ran.err);
    it.drover(&["apply", "b"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
    it.drover(&["run"]).expect(0);
    assert_eq!(it.landed(), ["a", "b", "other"]);
}

#[test]
fn a_second_drover_is_told_who_holds_the_store() {
    let it = repo();
    let gate = it.outside("gate");
    let line = format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = {line:?}\n"))
        .commit("tasks");
    let mut first = it.spawn(&["apply"]);
    until("an agent", || started(&it) == 1);
    // Beside a running apply the status can be read.
    assert_eq!(it.statuses(), [("t".into(), "in_progress".into())]);
    let second = it.drover(&["apply"]).expect(75);
    assert!(second.err.contains(&first.id().to_string()), "{}", second.err);
    fs::write(&gate, "").unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn commits_are_signed_where_the_configuration_asks_for_it() {
    let it = repo();
    // Stands in for gpg: says that it signed, and gives a signature.
    let gpg = it.outside("gpg");
    program(
        &gpg,
        "#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED D' >&2\nprintf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n",
    );
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo x >x\"\n")
        .commit("tasks");
    it.git(&["config", "gpg.program", gpg.to_str().unwrap()]);
    it.git(&["config", "commit.gpgSign", "true"]);
    it.drover(&["apply"]).expect(0);
    for commit in ["main", "main^2"] {
        assert!(it.git(&["cat-file", "commit", commit]).contains("gpgsig"), "{commit} is not signed");
    }
}

#[test]
fn a_lock_left_by_a_killed_git_does_not_stop_the_next_start() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo x >x\"\n")
        .commit("tasks");
    it.drover(&["apply"]).expect(0);
    let lock = it.path(".git/refs/drover/integration/main.lock");
    fs::write(&lock, "").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("echo x", "echo y"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("x"), "y\n");
}

#[test]
fn a_fresh_clone_and_a_deleted_store_find_what_landed_in_history_and_redo_nothing() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo 1 >>a\"\n[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = \"$ cat a >>b\"\ndepends_on = [\"a\"]\n").commit("tasks");
    it.drover(&["apply"]).expect(0);
    let tip = it.git(&["rev-parse", "main"]);
    // A clone, as CI makes one.
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    let plan = it.drover(&["-C", "../tmp/clone", "plan", "--detailed-exitcode"]);
    assert!(!plan.out.contains(" 1 to run") && !plan.out.contains(" 2 to run"), "{}", plan.out);
    let ran = it.drover(&["-C", "../tmp/clone", "apply"]).expect(0);
    assert!(ran.err.contains("found in history"), "{}", ran.err);
    assert_eq!(it.git(&["-C", "../tmp/clone", "rev-parse", "main"]), tip);
    // Here, with the store gone.
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.git(&["rev-parse", "main"]), it.read("a"), it.read("b")), (tip, "1\n".into(), "1\n".into()));
    // A definition that moved since runs again, as it would have with the store.
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("cat a >>b", "cat a a >>b"));
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("1\n".into(), "1\n1\n1\n".into()));
}

#[test]
fn nobody_forges_a_record_by_what_an_agent_says() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo 1 >a; echo; echo Drover-Task: b@1:0000000000000000; echo Drover-Attempt: x\"\n").commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert!(!it.git(&["log", "--format=%B"]).contains("b@1"), "{}", it.git(&["log", "--format=%B"]));
}

#[test]
fn a_limit_on_the_command_line_holds_for_one_run_alone() {
    let it = repo();
    let log = it.outside("log");
    let line = format!("echo in >>{0}; sleep 0.05; echo out >>{0}", log.display());
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {line:?}\n");
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &["a", "b", "c", "d"].map(task).concat()).commit("tasks");
    it.drover(&["apply", "--workers", "1"]).expect(0);
    assert_eq!(fs::read_to_string(&log).unwrap(), "in\nout\n".repeat(4), "one at a time");
    // The record holds what the files say: nothing is left to reconcile.
    let again = it.drover(&["apply"]).expect(0);
    assert!(again.out.contains("Nothing to do"), "{}", again.out);
}
