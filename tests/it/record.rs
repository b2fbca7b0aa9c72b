//! The record in git: what history says of tasks is what counts, however it came to be history,
//! and nothing else counts.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo};

fn task(id: &str, script: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Task {id}\"\nrun = {script:?}\n{more}\n")
}

/// Tasks `a` and `b`, which have landed.
fn landed_two() -> Fixture {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("{}{}", task("a", "echo a >>a", ""), task("b", "echo b >>b", "")))
        .commit("tasks");
    it.drover(&["apply"]).expect(0);
    it
}

fn forget(it: &Fixture) {
    fs::remove_dir_all(it.state_dir()).unwrap();
    for name in it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/"]).lines() {
        it.git(&["update-ref", "-d", name]);
    }
}

/// The commit that landed a task.
fn merge_of(it: &Fixture, id: &str) -> String {
    it.git(&["log", "--first-parent", "-1", "--format=%H", &format!("--grep=^Drover-Task: {id}@"), "main"])
}

#[track_caller]
fn has_nothing_to_do(it: &Fixture) {
    let tip = it.git(&["rev-parse", "main"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main"]), tip, "something was done again");
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
}

#[test]
fn records_are_found_on_second_parents_in_squashes_and_under_picked_commits() {
    for bring in ["merge -q --no-ff -m pulled work", "merge -q --squash work", "rebase -q work"] {
        let it = landed_two();
        it.git(&["branch", "work"]);
        it.git(&["reset", "-q", "--hard", &format!("{}^", merge_of(&it, "a"))]);
        while !it.landed().is_empty() {
            it.git(&["reset", "-q", "--hard", "HEAD^"]);
        }
        it.write("mine", "mine\n");
        it.git(&["add", "mine"]);
        it.git(&["commit", "-qm", "mine"]);
        forget(&it);
        it.git(&bring.split(' ').collect::<Vec<_>>());
        // Git itself fills in what was squashed.
        if bring.contains("squash") {
            it.git(&["commit", "-q", "--no-edit"]);
            assert!(it.git(&["log", "-1", "--format=%B"]).contains("    Drover-Task: "), "indented");
        }
        has_nothing_to_do(&it);
        assert_eq!((it.read("a"), it.read("b")), ("a\n".into(), "b\n".into()), "{bring}");
    }
}

#[test]
fn what_people_and_agents_write_about_a_record_is_none() {
    let forged = "Drover-Task: b@1:0011223344556677";
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            &format!("{}{}", task("a", &format!("echo '{forged}' >'{forged}'; echo '{forged}'"), ""), task("b", "echo b >b", ""))
                .replace("Task a", &format!("a {forged}")),
        )
        .commit(&format!("How it works\n\nThe merge says\n\n    {forged}\n\nand then the line Drover-Attempt: r-1 follows."));
    it.drover(&["apply", "a"]).expect(0);
    it.git(&["commit", "-q", "--allow-empty", "-m", &format!("A record with no attempt\n\n{forged}\nSigned-off-by: Ada")]);
    forget(&it);
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains("1 to run") && plan.out.contains("1 up to date"), "{}", plan.out);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("b"), "b\n");
}

#[test]
fn records_of_tasks_that_no_file_names_are_left_alone_and_told_to_the_verbose() {
    let it = landed_two();
    forget(&it);
    it.write("drover/t.toml", &task("a", "echo a >>a", ""));
    let told = "records of tasks that the files do not name, which are left alone: `b`";
    assert!(!it.drover(&["plan"]).expect(0).err.contains(told));
    let plan = it.drover(&["plan", "-v"]).expect(0);
    assert!(plan.err.contains(told), "{}", plan.err);
    has_nothing_to_do(&it);
}

#[test]
fn work_whose_record_vanished_from_history_is_told_of_and_not_done_again() {
    let it = landed_two();
    // The whole history becomes one commit without records.
    it.git(&["checkout", "-q", "--orphan", "fresh"]);
    it.git(&["commit", "-qm", "all in one"]);
    it.git(&["branch", "-qM", "main"]);
    it.git(&["update-ref", "refs/drover/published/main", "main"]);
    it.git(&["update-ref", "refs/drover/integration/main", "main"]);
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.err.contains("history no longer holds what was landed for `a`, `b`"), "{}", plan.err);
    assert!(plan.out.contains("No changes: 2 up to date"), "{}", plan.out);
    has_nothing_to_do(&it);
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert_eq!(it.read("a"), "a\na\n");
}

#[test]
fn what_landed_in_another_clone_counts_here_once_it_is_pulled() {
    let it = repo();
    let pass = it.outside("pass");
    let script = format!("test -e {} && echo a >>a", pass.display());
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", &script, "retry = { max_attempts = 1 }")).commit("tasks");
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    // Here it fails, there it succeeds.
    it.drover(&["apply"]).expect(1);
    let there = |args: &[&str]| it.drover(&[&["-C", "../tmp/clone"], args].concat());
    fs::write(&pass, "").unwrap();
    it.git(&["-C", "../tmp/clone", "config", "user.name", "B"]);
    it.git(&["-C", "../tmp/clone", "config", "user.email", "b@example.com"]);
    there(&["apply"]).expect(0);
    it.git(&["pull", "-q", "../tmp/clone", "main"]);
    has_nothing_to_do(&it);
    assert_eq!(it.landed(), ["a"]);
}

/// `next` needs `a`, and has not run.
fn with_a_dependent() -> Fixture {
    let it = landed_two();
    let next = task("next", "cat a >next", "depends_on = [\"a\"]");
    it.write("drover/t.toml", &format!("{}{next}", it.read("drover/t.toml")));
    it.git(&["commit", "-qam", "one more"]);
    it
}

#[test]
fn a_reverted_task_is_kept_and_what_needs_it_waits_until_it_is_done_again() {
    let it = with_a_dependent();
    it.git(&["revert", "--no-edit", "-m", "1", &merge_of(&it, "a")]);
    let by = it.git(&["rev-parse", "--short=7", "main"]);
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains(&format!("! a     reverted in {by}")) && plan.out.contains("kept; apply --rerun a"), "{}", plan.out);
    assert!(plan.out.contains("waits for a, which was reverted"), "{}", plan.out);
    let json = it.drover(&["plan", "--format", "json"]).expect(0).json();
    assert_eq!((json["tasks"][0]["action"].as_str(), json["summary"]["reverted"].as_u64()), (Some("reverted"), Some(1)));
    // By itself nothing is done again; what needs it says so.
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("what they need was taken back: next (needs a)"), "{}", ran.out);
    assert!(!it.path("a").exists() && !it.path("next").exists());
    let status = it.drover(&["status"]).expect(0);
    assert!(
        status.out.contains(&format!("reverted in {by}")) && status.out.contains("needs a, whose work was taken back"),
        "{}",
        status.out
    );
    // Without the dependent it is a success, with a warning.
    let ran = it.drover(&["apply", "a", "b"]).expect(0);
    assert!(ran.err.contains(&format!("warning: reverted, and not done again unasked: a (in {by})")), "{}", ran.err);
    // Asked for, it is done again, and then the other.
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert_eq!((it.read("a"), it.read("next")), ("a\n".into(), "a\n".into()));
    has_nothing_to_do(&it);
    // A clone sees the same: landed, reverted, landed again.
    forget(&it);
    has_nothing_to_do(&it);
}

#[test]
fn a_revert_of_the_revert_makes_the_task_whole_again() {
    let it = with_a_dependent();
    it.git(&["revert", "--no-edit", &format!("{}^2", merge_of(&it, "a"))]);
    it.drover(&["apply"]).expect(5);
    it.git(&["revert", "--no-edit", "HEAD"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("whole again"), "{}", ran.err);
    assert_eq!((it.read("a"), it.read("next")), ("a\n".into(), "a\n".into()));
    has_nothing_to_do(&it);
}

#[test]
fn a_revert_is_found_by_a_clone_and_by_run_and_resume_too() {
    let it = with_a_dependent();
    it.drover(&["sync"]).expect(0);
    it.git(&["revert", "--no-edit", "-m", "1", &merge_of(&it, "a")]);
    it.drover(&["run"]).expect(5);
    it.drover(&["resume"]).expect(5);
    forget(&it);
    it.drover(&["apply"]).expect(5);
    assert!(!it.path("next").exists());
    // Another definition is a person's word too.
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("echo a >>a", "echo better >>a"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("next"), "better\n");
}

#[test]
fn what_was_landed_by_any_strategy_can_be_reverted() {
    for strategy in ["squash", "rebase"] {
        let it = repo()
            .file("drover.toml", &format!("{CONFIG}\n[merge]\nstrategy = \"{strategy}\"\n"))
            .file("drover/t.toml", &format!("{}{}", task("a", "echo a >>a", ""), task("b", "echo b >>b", "")))
            .commit("tasks");
        it.drover(&["apply"]).expect(0);
        it.git(&["revert", "--no-edit", &merge_of(&it, "a")]);
        let ran = it.drover(&["apply"]).expect(0);
        assert!(ran.err.contains("not done again unasked: a (in "), "{strategy}: {}", ran.err);
        assert!(!it.path("a").exists() && it.path("b").exists(), "{strategy}");
    }
}

#[test]
fn an_agent_that_says_it_took_work_back_has_not() {
    let it = landed_two();
    let says = format!("$ echo c >c; echo 'This reverts commit {}.'", merge_of(&it, "a"));
    let c = format!("[[task]]\nid = \"c\"\ntitle = \"C\"\nprompt = {says:?}\n");
    it.write("drover/t.toml", &format!("{}{c}", it.read("drover/t.toml")));
    it.git(&["commit", "-qam", "one more"]);
    it.drover(&["apply"]).expect(0);
    assert!(it.git(&["log", "--format=%B"]).contains("This reverts commit "), "it is in the commit");
    assert!(!it.drover(&["apply"]).expect(0).err.contains("reverted"));
    assert!(it.drover(&["plan"]).expect(0).out.contains("3 up to date"));
}

/// What is kept of history, for `main`.
fn kept(it: &Fixture) -> Option<String> {
    let dir = fs::read_dir(it.state_dir().join("history")).ok()?;
    let files: Vec<_> = dir.flatten().map(|e| e.path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    Some(fs::read_to_string(&files[0]).unwrap())
}

#[test]
fn what_was_read_of_history_is_kept_and_a_false_memory_of_it_is_thrown_away() {
    let it = landed_two();
    has_nothing_to_do(&it);
    let before = kept(&it).expect("it is kept");
    assert!(before.contains("\"task\":\"a\"") && before.contains(&it.git(&["rev-parse", "main"])), "{before}");
    // It is believed where it is whole: without what it says of `b`, nothing is known of that.
    let file = fs::read_dir(it.state_dir().join("history")).unwrap().flatten().next().unwrap().path();
    let mut told: serde_json::Value = serde_json::from_str(before.split_once('\n').unwrap().1).unwrap();
    told["marks"].as_array_mut().unwrap().retain(|mark| mark["says"]["landed"]["task"] != "b");
    let told = told.to_string();
    fs::write(&file, format!("drover history 1 {}\n{told}", drover::base::sha256_hex(told.as_bytes()))).unwrap();
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    assert!(it.drover(&["plan"]).expect(0).out.contains("+ b"), "history was read anew though it was known");
    // Damaged, it is not.
    fs::write(&file, before.replace("\"task\":\"a\"", "\"task\":\"x\"")).unwrap();
    has_nothing_to_do(&it);
    for junk in ["", "drover history 1\n", "drover history 9 00\n{}", "\u{0}\u{1}"] {
        fs::write(&file, junk).unwrap();
        // Without the proof of that, which needs no history.
        fs::remove_dir_all(it.state_dir().join("settled")).unwrap();
        has_nothing_to_do(&it);
    }
    assert_eq!(kept(&it).unwrap(), before, "read anew, it says the same");
    // History without `b`: what is remembered of it does not count.
    let mut old = it.git(&["rev-list", "--first-parent", "main"]).lines().map(str::to_owned).collect::<Vec<_>>();
    let back = old.remove(1);
    let gone = it.landed().pop().unwrap();
    it.git(&["reset", "-q", "--hard", &back]);
    for name in it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/"]).lines() {
        it.git(&["update-ref", "-d", name]);
    }
    fs::remove_file(it.state_dir().join("store.redb")).unwrap();
    it.git(&["reflog", "expire", "--expire=now", "--all"]);
    it.git(&["gc", "-q", "--prune=now"]);
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains(&format!("+ {gone}")) && plan.out.contains("1 to run"), "{}", plan.out);
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("a\n".into(), "b\n".into()));
}

#[test]
fn plan_writes_nothing_of_what_it_read() {
    let it = landed_two();
    forget(&it);
    it.drover(&["plan"]).expect(0);
    assert!(!it.state_dir().exists());
}
