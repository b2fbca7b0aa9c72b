//! Worktrees as tasks find them: used again, set up, taken away.

use std::fs;
use std::process::Command;

use crate::fixture::{CONFIG, Fixture, repo, until};

/// One task after the other, each with one line for the shell.
fn chain(settings: &str, scripts: &[&str]) -> Fixture {
    let mut tasks = String::new();
    for (n, script) in scripts.iter().enumerate() {
        let needs = n.checked_sub(1).map(|before| format!("\"t{before}\"")).unwrap_or_default();
        tasks.push_str(&format!(
            "[[task]]\nid = \"t{n}\"\ntitle = \"T{n}\"\nrun = {script:?}\ndepends_on = [{needs}]\nallow_empty = true\n"
        ));
    }
    let config = CONFIG.replace("max_attempts = 3", "max_attempts = 2");
    repo()
        .file("drover.toml", &format!("{config}\n[worktree]\n{settings}\n"))
        .file("drover/t.toml", &tasks)
        .file(".gitignore", "/cache/\n.env\n")
        .commit("tasks")
}

fn log(it: &Fixture) -> String {
    fs::read_to_string(it.outside("log")).unwrap_or_default()
}

#[test]
fn a_task_finds_the_caches_of_the_one_before_it_and_nothing_else() {
    let it = chain(
        "",
        &[
            "test $DROVER_ATTEMPT_NUMBER = 1 || { ls -A >>a; exit 0; }; mkdir cache; echo 0 >cache/x; echo junk >junk; git checkout -q -b mine; exit 1",
            "cat cache/x >b; ls -A >>b; git status --porcelain >>b",
        ],
    );

    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a"), ".git\n.gitignore\na\ncache\ndrover\ndrover.toml\n");
    assert_eq!(it.read("b"), "0\n.git\n.gitignore\na\nb\ncache\ndrover\ndrover.toml\n?? b\n");
    assert!(!it.path("cache").exists() && it.standing().is_empty());
    it.git(&["checkout", "-q", "mine"]);
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 2, "one idle worktree is left");
}

#[test]
fn without_reuse_each_attempt_begins_fresh() {
    let it = chain("reuse = false", &["mkdir cache; echo 0 >cache/x", "test ! -e cache && echo b >b"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("b"), "b\n");
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn no_attempt_gets_a_worktree_while_all_of_them_take_too_much() {
    let fill = "mkdir -p cache; head -c 9000000 /dev/urandom >cache/x; : >$TMPDIR/full";
    let wait = |file: &str| format!("while [ ! -e $TMPDIR/{file} ]; do sleep 0.02; done");
    let task = |id: &str, needs: &str, script: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {script:?}\n{needs}");
    let large = task("large", "", &format!("{fill}; {}; echo large >>$TMPDIR/log", wait("gate")));
    let small = task("small", "", &wait("full"));
    let next = task("next", "depends_on = [\"small\"]", "echo next >>$TMPDIR/log; ls cache >>$TMPDIR/log || :");
    let it = repo()
        .file("drover.toml", &format!("{CONFIG}\n[worktree]\nmax_disk = \"4MiB\"\n"))
        .file("drover/t.toml", &format!("{large}\n{small}\n{next}\n"))
        .file(".gitignore", "/cache/\n")
        .commit("tasks");
    let err = fs::File::create(it.outside("err")).unwrap();
    let mut child = it.drover_command(&["apply"]).stderr(err).spawn().unwrap();
    let said = || fs::read_to_string(it.outside("err")).unwrap();
    until("it waits", || said().contains("waits until another one ends"));
    assert!(said().contains("the worktrees take ") && said().contains("`max_disk` is 4.0 MiB"), "{}", said());
    assert_eq!(log(&it), "");
    // Nor does whoever waits for room keep a person waiting.
    it.drover(&["cancel", "next"]).expect(0);
    until("it is cancelled", || it.statuses().contains(&("next".into(), "cancelled".into())));
    it.drover(&["retry", "next"]).expect(0);
    until("it waits again", || said().matches("waits until another one ends").count() == 2);
    assert_eq!(log(&it), "");
    fs::write(it.outside("gate"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(log(&it), "large\nnext\n", "the large worktree went before the next task began");
    let worktrees = it.drover(&["worktree", "list", "--format", "json"]).expect(0).json();
    let left: u64 = worktrees["worktrees"].as_array().unwrap().iter().map(|w| w["bytes"].as_u64().unwrap()).sum();
    assert!(left < 4 << 20, "{worktrees}");
}

#[test]
fn a_limit_that_is_too_small_for_one_worktree_holds_up_nothing() {
    let it = chain("max_disk = \"1KiB\"", &["echo a >a", "echo b >b"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.landed().len(), it.git(&["worktree", "list"]).lines().count()), (2, 1));
}

#[test]
fn setup_is_run_again_where_what_it_depends_on_has_changed() {
    let it = chain(
        "setup = [\"mkdir -p cache; cat lock >>cache/setups 2>/dev/null || true\"]\nsetup_inputs = [\"lock\", \"missing\"]",
        &["echo one >lock", "cp cache/setups b", "cp cache/setups c; echo two >lock", "cp cache/setups d"],
    );
    it.drover(&["apply"]).expect(0);
    // The first was set up without a lock; the second saw the new one; the third changed nothing of it.
    assert_eq!((it.read("b"), it.read("c"), it.read("d")), ("one\n".into(), "one\n".into(), "one\ntwo\n".into()));
}

#[test]
fn a_worktree_whose_setup_failed_is_not_used_again() {
    let it = chain(
        "setup = [\"test ! -e cache/half; mkdir -p cache; echo >>cache/half; test -e $TMPDIR/ok || { echo >$TMPDIR/ok; exit 1; }\"]",
        &["cp cache/half a"],
    );
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a"), "\n", "set up twice, each time from nothing");
}

#[test]
fn copies_of_ignored_files_do_not_land_though_the_agent_stops_ignoring_them() {
    let it = chain("", &["rm .gitignore; cat .env >seen", "cp .env again || echo none >again"])
        .file(".worktreeinclude", ".env\n")
        .commit("include");
    it.write(".env", "secret\n");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["ls-files"]), ".worktreeinclude\nagain\ndrover.toml\ndrover/t.toml\nseen");
    // Once the checkout has what the first landed, nothing ignores it there either.
    assert_eq!(it.read("seen"), "secret\n");
}

#[test]
fn a_worktree_in_which_somebody_works_is_not_used_again() {
    let it = chain(
        "",
        &[
            "mkdir cache; pwd >$TMPDIR/log.new; mv $TMPDIR/log.new $TMPDIR/log; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done",
            "test ! -e cache && echo b >b",
        ],
    );
    let mut child = it.spawn(&["apply", "-q"]);
    until("the first task runs", || !log(&it).is_empty());
    let mut somebody = Command::new("sleep").arg("600").current_dir(log(&it).trim()).spawn().unwrap();
    fs::write(it.outside("gate"), "").unwrap();
    let code = child.wait().unwrap().code();
    somebody.kill().unwrap();
    somebody.wait().unwrap();
    assert_eq!((code, it.read("b").as_str()), (Some(0), "b\n"));
}

#[test]
fn what_stands_in_a_slot_whose_record_was_lost_is_kept() {
    let it = chain("", &["pwd >>$TMPDIR/log"]);
    it.drover(&["apply"]).expect(0);
    fs::write(format!("{}/precious", log(&it).trim()), "p").unwrap();
    fs::remove_dir_all(it.state_dir()).unwrap();
    it.drover(&["apply", "--rerun", "t0"]).expect(0);
    assert_eq!(log(&it).lines().count(), 2);
    assert_eq!(it.git(&["show", "refs/drover/kept/slot-1:precious"]), "p");
}

#[test]
fn a_worktree_of_a_persons_own_with_the_name_of_a_slot_is_left_alone() {
    let it = chain("", &["pwd >>$TMPDIR/log"]);
    it.drover(&["apply"]).expect(0);
    fs::remove_dir_all(log(&it).trim()).unwrap();
    it.git(&["worktree", "prune"]);
    let mine = it.outside("slot-1").display().to_string();
    it.git(&["worktree", "add", "-q", "--detach", &mine]);
    fs::write(it.outside("slot-1/staged"), "s").unwrap();
    it.git(&["-C", &mine, "commit", "-q", "--allow-empty", "-m", "mine"]);
    it.git(&["-C", &mine, "add", "staged"]);
    let head = it.git(&["-C", &mine, "rev-parse", "HEAD"]);
    for _ in 0..2 {
        it.drover(&["apply", "--rerun", "t0"]).expect(0);
        assert_eq!(it.git(&["-C", &mine, "rev-parse", "HEAD"]), head);
        assert_eq!(it.git(&["-C", &mine, "diff", "--cached", "--name-only"]), "staged");
    }
    let places: Vec<String> = log(&it).lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(places, ["slot-1", "slot-2", "slot-2"]);
}

#[test]
fn attempts_that_run_at_the_same_time_have_ports_of_their_own() {
    let one = |id: &str| {
        let wait = "while [ ! -e $TMPDIR/a ] || [ ! -e $TMPDIR/b ]; do sleep 0.02; done";
        format!(
            "[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = \"echo ${{{{ port }}}} $DROVER_PORT >$TMPDIR/{id}; {wait}; echo $DROVER_PORT >{id}\"\nverify = [\"test $DROVER_PORT = $(cat {id})\"]\n"
        )
    };
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &format!("{}{}", one("a"), one("b"))).commit("tasks");
    it.drover(&["apply"]).expect(0);
    let ports = |id: &str| fs::read_to_string(it.outside(id)).unwrap().split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<u16>>();
    let (a, b) = (ports("a"), ports("b"));
    assert!(a[0] == a[1] && b[0] == b[1] && a[0].abs_diff(b[0]) >= 10, "{a:?} {b:?}");
}

#[test]
fn a_task_in_the_checkout_has_a_port_too_and_leaves_no_slot() {
    let task = "[[task]]\nid = \"a\"\ntitle = \"T\"\nworkspace = \"checkout\"\nrun = \"test ${{ port }} -ge 20000\"\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", task).commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert!(it.drover(&["worktree", "list"]).expect(0).out.contains("There are no worktrees"));
}

#[test]
fn worktrees_are_listed_and_the_idle_ones_removed() {
    let it = chain("", &["mkdir cache; echo x >cache/x", "echo $$ >$TMPDIR/log; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done"]);
    let mut child = it.spawn(&["apply", "-q"]);
    until("the second task runs", || !log(&it).is_empty());
    let list = || it.drover(&["worktree", "list", "--format", "json"]).expect(0).json();
    let busy = list();
    assert_eq!((busy["worktrees"][0]["task"].as_str(), busy["worktrees"][0]["state"].as_str()), (Some("t1"), Some("in_use")), "{busy}");
    it.drover(&["worktree", "prune"]).expect(75);
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let idle = list();
    assert_eq!(idle["worktrees"][0]["state"], "idle");
    assert!(idle["worktrees"][0]["bytes"].as_u64().unwrap() > 0);
    let path = idle["worktrees"][0]["path"].as_str().unwrap().to_owned();
    assert!(it.drover(&["worktree", "list"]).expect(0).out.contains(&path));
    fs::write(format!("{path}/mine"), "mine").unwrap();
    let pruned = it.drover(&["worktree", "prune"]).expect(0).out;
    assert!(pruned.contains("Removed 1 idle worktree") && pruned.contains("refs/drover/kept/slot-1"), "{pruned}");
    assert_eq!(it.git(&["show", "refs/drover/kept/slot-1:mine"]), "mine");
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1);
    assert!(it.drover(&["worktree", "prune"]).expect(0).out.contains("Removed 0"));
}

fn attempt_refs(it: &Fixture) -> Vec<String> {
    it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"]).lines().map(str::to_owned).collect()
}

#[test]
fn gc_lets_go_of_what_has_landed_and_of_nothing_else() {
    // Two attempts at the first: what the failed one made is nowhere else.
    let it = chain("", &["echo $DROVER_ATTEMPT_NUMBER >a; test $DROVER_ATTEMPT_NUMBER = 2", "echo b >b"]);
    it.drover(&["apply"]).expect(0);
    let before = attempt_refs(&it);
    it.drover(&["gc"]).expect(0);
    assert_eq!(attempt_refs(&it), before, "they are young");
    let dry = it.drover(&["gc", "--older-than", "0s", "--dry-run"]).expect(0).out;
    assert_eq!(attempt_refs(&it), before);
    let json = it.drover(&["gc", "--older-than", "0s", "--format", "json"]).expect(0).json();
    let left = attempt_refs(&it);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with("-1-s0") && dry.contains(&left[0]), "{dry}");
    assert_eq!(it.git(&["show", &format!("{}:a", left[0])]), "1");
    assert_eq!(json["unmerged"].as_array().unwrap().len(), 1);
    assert_eq!(json["deleted"].as_array().unwrap().len(), before.len() - 1);
    // With the landing taken back, nothing of the second task is reached any more: it would be lost.
    let it = chain("", &["echo a >a", "echo b >b"]);
    it.drover(&["apply"]).expect(0);
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    for name in ["refs/drover/integration/main", "refs/drover/published/main"] {
        it.git(&["update-ref", name, "main"]);
    }
    it.git(&["reflog", "expire", "--expire=now", "--all"]);
    it.drover(&["gc", "--older-than", "0s"]).expect(0);
    it.git(&["gc", "-q", "--prune=now"]);
    let kept = attempt_refs(&it);
    assert!(!kept.is_empty());
    assert!(kept.iter().any(|name| it.git(&["ls-tree", "--name-only", name]).lines().any(|f| f == "b")), "{kept:?}");
}

#[test]
fn gc_waits_for_no_running_drover_and_spares_what_it_works_on() {
    let it = chain("", &["echo $$ >$TMPDIR/log; echo x >x; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done"]);
    let mut child = it.spawn(&["apply", "-q"]);
    until("the task runs", || !log(&it).is_empty());
    it.drover(&["gc", "--older-than", "0s"]).expect(75);
    child.kill().unwrap();
    child.wait().unwrap();
    it.drover(&["gc", "--older-than", "0s"]).expect(0);
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!((it.landed(), log(&it).lines().count()), (vec!["t0".to_owned()], 1));
}
