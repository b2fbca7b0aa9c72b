//! `drover publish`: beside a run, without one, and where the target lost what it had.

use std::fs;
use std::process::Child;

use serde_json::Value;

use crate::fixture::{CONFIG, Fixture, Ran, program, ran, repo, until};

fn task(id: &str, script: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = {:?}\n", format!("$ {script}"))
}

fn with(config: &str, tasks: &str) -> Fixture {
    let config = format!("{CONFIG}\n{config}");
    repo().file("drover.toml", &config).file("a", "old\n").file("b", "old\n").file("drover/t.toml", tasks).commit("tasks")
}

/// `a` has changed the file `a` and landed, and waits for what a person has in it.
fn waiting(config: &str) -> Fixture {
    let it = with(config, &task("a", "echo new >a"));
    it.write("a", "mine\n");
    it.drover(&["apply"]).expect(5);
    it
}

/// `a` and `b` were published, and then the target was put back to before that.
fn reset() -> Fixture {
    let it = with("", &(task("a", "echo new >a") + &task("b", "echo new >b")));
    it.drover(&["apply"]).expect(0);
    it.git(&["reset", "-q", "--hard", ":/^tasks"]);
    it
}

fn json(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    ran.json()
}

fn is_clean(it: &Fixture) {
    assert_eq!(it.git(&["status", "--porcelain"]), "");
}

#[test]
fn what_waits_for_the_checkout_is_named_with_its_paths_and_published_once_the_way_is_free() {
    let it = waiting("");
    let before = it.checkout();
    let held = it.drover(&["publish"]).expect(5);
    assert!(
        held.out.contains("1 landed, waiting for your checkout: a\n  a\n") && held.out.contains("then run `drover publish`"),
        "{}",
        held.out
    );
    let held = json(&it.drover(&["publish", "--format", "json"]), 5);
    assert_eq!((&held["state"], &held["paths"], &held["live"]), (&"waiting".into(), &serde_json::json!(["a"]), &false.into()));
    assert_eq!(it.checkout(), before);
    it.git(&["stash", "-q"]);
    let done = it.drover(&["publish"]).expect(0);
    assert!(done.out.starts_with("Published ") && done.out.contains("to `main`, with 1 task"), "{}", done.out);
    assert_eq!(it.read("a"), "new\n");
    is_clean(&it);
    assert!(it.drover(&["publish"]).expect(0).out.contains("Nothing to publish"));
    assert_eq!(it.drover(&["status", "--format", "json"]).json()["publish"]["state"], "done");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    assert!(!it.state_dir().join("accepted-git.json").exists(), "nothing is watched any more");
}

#[test]
fn where_nothing_is_recorded_nothing_is_published_unless_that_is_all_there_is() {
    let it = with("", &task("a", "echo new >a"));
    assert!(it.drover(&["publish"]).expect(0).out.contains("Nothing to publish"));
    assert!(!it.state_dir().exists(), "and nothing is written");
    let it = waiting("");
    fs::remove_dir_all(it.state_dir()).unwrap();
    it.git(&["checkout", "-q", "a"]);
    assert!(it.drover(&["publish"]).expect(78).err.contains("drover sync"));
    it.drover(&["sync"]).expect(0);
    it.drover(&["publish"]).expect(0);
    assert_eq!(it.read("a"), "new\n");
}

/// A run that goes on until the gate is there, with `a` landed meanwhile.
fn running(it: &Fixture) -> Child {
    let child = it.spawn(&["apply"]);
    until("it waits", || it.drover(&["status"]).out.contains("not yet published"));
    child
}

fn slow(it: &Fixture) -> String {
    task("slow", &format!("while [ ! -e {} ]; do sleep 0.02; done; echo s >s", it.outside("gate").display()))
}

fn is_published(it: &Fixture) {
    until("it is published", || it.drover(&["status", "--format", "json"]).out.contains("\"state\": \"done\"") && it.landed() == ["a"]);
}

fn ends(it: &Fixture, child: Child, code: i32) {
    fs::write(it.outside("gate"), "").unwrap();
    ran(&child.wait_with_output().unwrap()).expect(code);
}

#[test]
fn beside_a_run_it_is_tried_at_once_and_the_answer_is_of_that_try() {
    let it = with("", "");
    let it = it.file("drover/t.toml", "");
    it.write("drover/t.toml", &(task("a", "echo new >a") + &slow(&it)));
    let it = it.commit("two");
    it.write("a", "mine\n");
    let child = running(&it);
    let held = json(&it.drover(&["publish", "--format", "json"]), 5);
    assert_eq!((&held["live"], &held["paths"]), (&true.into(), &serde_json::json!(["a"])));
    it.git(&["checkout", "-q", "a"]);
    let done = json(&it.drover(&["publish", "--format", "json"]), 0);
    assert_eq!((&done["live"], &done["state"]), (&true.into(), &"done".into()));
    // The run itself may have looked again before.
    assert!(done["published"].as_u64().is_some_and(|n| n <= 1), "{done}");
    assert_eq!(it.read("a"), "new\n");
    it.drover(&["publish", "--let-go"]).expect(75);
    ends(&it, child, 0);
}

#[test]
fn beside_a_watch_that_rests_it_is_published_and_what_was_lost_comes_back() {
    let it = with("", &task("a", "echo new >a"));
    it.write("a", "mine\n");
    let mut child = it.spawn(&["watch"]);
    until("it rests", || {
        let said = it.drover(&["events"]).out;
        said.contains("run_ended") && said.contains("publish_held")
    });
    let held = json(&it.drover(&["publish", "--format", "json"]), 5);
    assert_eq!((&held["live"], &held["paths"]), (&true.into(), &serde_json::json!(["a"])));
    it.git(&["checkout", "-q", "a"]);
    it.drover(&["publish"]).expect(0);
    assert_eq!(it.read("a"), "new\n");
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let back = json(&it.drover(&["publish", "--restore", "--format", "json"]), 0);
    assert_eq!((&back["live"], it.read("a").as_str()), (&true.into(), "new\n"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_that_was_killed_is_published_for_and_not_gone_on_with() {
    let it = with("", "");
    it.write("drover/t.toml", &(task("a", "echo new >a") + &slow(&it)));
    let it = it.commit("two");
    it.write("a", "mine\n");
    let mut child = running(&it);
    child.kill().unwrap();
    child.wait().unwrap();
    it.git(&["checkout", "-q", "a"]);
    it.drover(&["publish"]).expect(0);
    assert_eq!(it.read("a"), "new\n");
    let statuses = it.statuses();
    assert!(statuses.contains(&("slow".into(), "in_progress".into())), "{statuses:?}");
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed(), ["a", "slow"]);
    assert_eq!(it.git(&["for-each-ref", "refs/drover/attempts/*-s0"]).lines().count(), 2, "one attempt each");
}

#[test]
fn what_is_still_to_be_pushed_is_pushed_with_it() {
    let it = with("[merge]\npush = \"origin\"\n", &task("a", "echo new >a"));
    let remote = it.outside("remote.git").display().to_string();
    it.git(&["remote", "add", "origin", &remote]);
    it.drover(&["apply"]).expect(5);
    let held = it.drover(&["publish"]).expect(5);
    assert!(held.out.contains("not yet pushed: `origin`"), "{}", held.out);
    it.git(&["init", "-q", "--bare", "-b", "main", &remote]);
    it.drover(&["publish"]).expect(0);
    assert_eq!(it.git(&["ls-remote", "origin", "main"]).split('\t').next(), Some(it.git(&["rev-parse", "main"]).as_str()));
}

#[test]
fn work_that_is_shown_by_branches_is_published_as_branches() {
    let it = with("[merge]\nstrategy = \"branch\"\n", &task("a", "echo new >a"));
    it.git(&["branch", "drover/a"]);
    it.drover(&["apply"]).expect(5);
    assert!(it.drover(&["publish"]).expect(5).out.contains("rename or delete it"));
    it.git(&["branch", "-D", "drover/a"]);
    it.drover(&["publish"]).expect(0);
    assert_eq!((it.git(&["cat-file", "-p", "drover/a:a"]), it.read("a")), ("new".into(), "old\n".into()));
}

#[test]
fn nothing_is_published_while_git_would_run_what_nobody_accepted() {
    let it = with("", &task("a", "echo new >a; git config core.fsmonitor /bin/false"));
    it.drover(&["apply"]).expect(5);
    let before = it.git(&["rev-parse", "main"]);
    assert!(it.drover(&["publish"]).expect(3).err.contains("core.fsmonitor"));
    it.git(&["config", "--unset", "core.fsmonitor"]);
    it.drover(&["publish"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main"]), before, "it has not landed yet");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a"), "new\n");
}

#[test]
fn a_target_that_was_reset_gets_its_work_back_when_that_is_asked_for_and_not_before() {
    let it = reset();
    let tip = it.git(&["rev-parse", "main"]);
    for verb in ["apply", "publish"] {
        let ran = it.drover(&[verb]).expect(5);
        let said = ran.out + &ran.err;
        assert!(said.contains("drover publish --restore") && said.contains("drover publish --let-go"), "{verb}: {said}");
        assert_eq!(it.git(&["rev-parse", "main"]), tip, "{verb}");
    }
    let done = it.drover(&["publish", "--restore"]).expect(0);
    assert!(done.out.contains("with 2 tasks"), "{}", done.out);
    assert_eq!((it.read("a"), it.read("b")), ("new\n".into(), "new\n".into()));
    is_clean(&it);
    assert!(it.drover(&["publish", "--restore"]).expect(0).out.contains("Nothing to publish"));
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_is_to_come_back_waits_for_the_checkout_like_anything_else() {
    let it = reset();
    it.write("a", "mine\n");
    let before = it.checkout();
    let held = it.drover(&["publish", "--restore"]).expect(5);
    assert!(held.out.contains("waiting for your checkout: a"), "{}", held.out);
    assert_eq!(it.checkout(), before);
    it.git(&["checkout", "-q", "a"]);
    // It was said once; from here on it is as if it had just landed.
    it.drover(&["publish"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("new\n".into(), "new\n".into()));
}

#[test]
fn a_soft_or_mixed_reset_comes_back_without_touching_what_it_left_in_the_checkout() {
    for how in ["--soft", "--mixed"] {
        let it = reset();
        it.git(&["reset", "-q", "--hard", "refs/drover/integration/main"]);
        it.git(&["reset", "-q", how, ":/^tasks"]);
        let before = it.checkout();
        it.drover(&["publish", "--restore"]).expect(5);
        assert_eq!(it.checkout(), before, "{how}");
        it.git(&["stash", "-q"]);
        it.drover(&["publish"]).expect(0);
        assert_eq!(it.read("a"), "new\n", "{how}");
    }
}

#[test]
fn a_target_that_was_force_pushed_gets_its_work_back_beside_the_commits_of_others() {
    let check = "[merge]\nverify = [\"! grep -q new b || ! test -e bad\"]\n";
    let it = with(check, &(task("a", "echo new >a") + &task("b", "echo new >b")));
    it.drover(&["apply"]).expect(0);
    it.git(&["reset", "-q", "--hard", ":/^tasks"]);
    let it = it.file("bad", "x\n").file("theirs", "x\n").commit("theirs");
    let held = it.drover(&["publish", "--restore"]).expect(5);
    assert!(held.out.contains("with the new commits of `main` merged in"), "{}", held.out);
    it.git(&["rm", "-q", "bad"]);
    let it = it.commit("mended");
    let theirs = it.git(&["rev-parse", "main"]);
    it.drover(&["publish", "--restore"]).expect(0);
    assert_eq!((it.read("a"), it.read("b"), it.read("theirs")), ("new\n".into(), "new\n".into(), "x\n".into()));
    it.git(&["merge-base", "--is-ancestor", &theirs, "main"]);
    is_clean(&it);
    assert!(it.standing().is_empty());
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_conflicts_with_the_commits_of_others_comes_back_by_a_persons_merge() {
    let it = reset().file("a", "theirs\n").commit("theirs");
    let before = it.checkout();
    let held = it.drover(&["publish", "--restore"]).expect(5);
    assert!(held.out.contains("git merge refs/drover/integration/main"), "{}", held.out);
    assert_eq!(it.checkout(), before);
    let _ = it.command("git").args(["merge", "-q", "refs/drover/integration/main"]).output().unwrap();
    let it = it.file("a", "both\n").commit("resolved");
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("both\n".into(), "new\n".into()));
}

#[test]
fn what_the_target_lost_comes_back_also_where_the_line_is_gone_and_history_was_made_anew() {
    let it = reset();
    it.git(&["update-ref", "-d", "refs/drover/integration/main"]);
    it.drover(&["publish", "--restore"]).expect(0);
    assert_eq!(it.read("a"), "new\n");
    // A history that has nothing in common with it is a person's to merge.
    it.git(&["checkout", "-q", "--orphan", "fresh"]);
    it.git(&["rm", "-q", "--cached", "a"]);
    it.git(&["commit", "-qm", "fresh"]);
    it.git(&["branch", "-M", "fresh", "main"]);
    let tip = it.git(&["rev-parse", "main"]);
    let held = it.drover(&["publish", "--restore"]).expect(5);
    assert!(held.out.contains("unrelated histories"), "{}", held.out);
    assert_eq!(it.git(&["rev-parse", "main"]), tip);
}

#[test]
fn a_target_that_is_reset_in_mid_run_gets_its_work_back_beside_the_run_when_asked() {
    let it = with("", "");
    it.write("drover/t.toml", &(task("a", "echo new >a") + &slow(&it)));
    let it = it.commit("two");
    let child = it.spawn(&["apply"]);
    is_published(&it);
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let held = it.drover(&["publish"]).expect(5);
    assert!(held.out.contains("drover publish --restore"), "{}", held.out);
    assert_eq!(it.read("a"), "old\n");
    let done = json(&it.drover(&["publish", "--restore", "--format", "json"]), 0);
    assert_eq!(done["live"], true);
    assert_eq!(it.read("a"), "new\n");
    ends(&it, child, 0);
    assert_eq!(it.landed(), ["a", "slow"]);
}

#[test]
fn a_target_that_is_force_pushed_in_mid_run_is_left_as_it_is_and_nothing_that_landed_is_lost() {
    let it = with("", "");
    it.write("drover/t.toml", &(task("a", "echo new >a") + &slow(&it)));
    let it = it.commit("two");
    let child = it.spawn(&["apply"]);
    is_published(&it);
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let it = it.file("theirs", "x\n").commit("theirs");
    let tip = it.git(&["rev-parse", "main"]);
    ends(&it, child, 5);
    assert_eq!(it.git(&["rev-parse", "main"]), tip);
    is_clean(&it);
    it.drover(&["publish", "--restore"]).expect(0);
    assert_eq!((it.read("a"), it.read("s"), it.read("theirs")), ("new\n".into(), "s\n".into(), "x\n".into()));
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_the_target_lost_is_let_go_when_that_is_asked_for_and_kept_all_the_same() {
    let it = reset();
    let line = it.git(&["rev-parse", "refs/drover/integration/main"]);
    let before = it.checkout();
    let gone = it.drover(&["publish", "--let-go"]).expect(0);
    assert!(gone.out.contains("refs/drover/kept/") && gone.out.contains("drover apply --rerun"), "{}", gone.out);
    assert_eq!(it.git(&["for-each-ref", "--format=%(objectname)", "refs/drover/kept"]), line);
    assert_eq!(it.checkout(), before);
    let again = json(&it.drover(&["publish", "--let-go", "--format", "json"]), 0);
    assert_eq!(again["let_go"], Value::Null);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("Nothing to do") && ran.err.contains("let go, and not done again unasked: a, b\n"), "{}{}", ran.out, ran.err);
    assert_eq!(it.checkout(), before, "it does not come back");
    let status = it.drover(&["status"]).expect(0).out;
    assert!(status.contains("let go") && status.contains("0 of 2 completed, 2 let go.") && !status.contains("reverted"), "{status}");
    let a = it.drover(&["status", "--format", "json"]).expect(0).json()["tasks"][0]["reason"]["kind"].clone();
    assert_eq!(a, "let_go");
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert!(it.drover(&["status"]).expect(0).out.contains("1 of 2 completed, 1 let go."));
    assert_eq!((it.read("a"), it.read("b")), ("new\n".into(), "old\n".into()));
}

#[test]
fn what_needs_work_that_was_let_go_waits_until_that_is_back() {
    let it = reset();
    it.write("drover/t.toml", &(it.read("drover/t.toml") + &task("next", "cat a >c") + "depends_on = [\"a\"]\n"));
    let it = it.commit("one more");
    it.drover(&["publish", "--let-go"]).expect(0);
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("next (needs a)"), "{}", ran.out);
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/kept"]);
    it.git(&["merge", "-q", "--no-edit", &kept]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("c"), "new\n");
}

#[test]
fn what_needs_work_whose_record_was_rewritten_away_is_told_so_and_not_tried_again_and_again() {
    let it = reset();
    it.git(&["reset", "-q", "--soft", "refs/drover/integration/main"]);
    it.git(&["checkout", "-q", "--orphan", "fresh"]);
    it.write("drover/t.toml", &(it.read("drover/t.toml") + &task("next", "cat a >c") + "depends_on = [\"a\"]\n"));
    let it = it.commit("all in one");
    it.git(&["branch", "-qM", "main"]);
    for of in ["published", "integration"] {
        it.git(&["update-ref", &format!("refs/drover/{of}/main"), "main"]);
    }
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("is no longer part of `main`") && ran.out.contains("--rerun a") && !ran.out.contains("bug"), "{}", ran.out);
    assert!(ran.out.contains("after 1 attempt"), "{}", ran.out);
}

#[test]
fn nothing_is_let_go_that_the_remote_would_give_back() {
    let it = with("[merge]\npush = \"origin\"\n", &task("a", "echo new >a"));
    let remote = it.outside("remote.git").display().to_string();
    it.git(&["init", "-q", "--bare", "-b", "main", &remote]);
    it.git(&["remote", "add", "origin", &remote]);
    it.drover(&["apply"]).expect(0);
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let refused = it.drover(&["publish", "--let-go"]).expect(3);
    // As it is told.
    for line in refused.err.lines().filter_map(|l| l.split_once(": git ").map(|(_, command)| command)) {
        it.git(&line.split(' ').collect::<Vec<_>>());
    }
    it.drover(&["publish", "--let-go"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a"), "old\n");
    assert_eq!(it.git(&["ls-remote", "origin", "main"]).split('\t').next(), Some(it.git(&["rev-parse", "main"]).as_str()));
}

/// A git that kills whoever called it, before or after its nth call.
const DEADLY: &str = r#"#!/bin/sh
n=0; read -r n <"$TEST_COUNT"; n=$((n + 1)); echo $n >"$TEST_COUNT"
[ "$n$TEST_WHEN" = "${TEST_AT}before" ] && kill -9 $PPID && exit 9
"$TEST_GIT" "$@"; code=$?
[ "$n$TEST_WHEN" = "${TEST_AT}after" ] && kill -9 $PPID
exit $code
"#;

/// Kills `drover publish` at calls of git, and has it said again each time.
fn killed_at_calls_of_git(it: &Fixture, option: &str, holds: impl Fn(&Fixture, &str)) {
    let saved = it.outside("saved");
    let all = |from: &str, to: &str| assert!(it.command("cp").args(["-a", from, to]).current_dir(it.home()).status().unwrap().success());
    let top = it.root().display().to_string();
    all(&top, &saved.display().to_string());
    let (bin, count) = (it.outside("bin"), it.outside("count"));
    fs::create_dir(&bin).unwrap();
    program(&bin.join("git"), DEADLY);
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|d| d.join("git")).find(|g| g.is_file()).unwrap();
    // All of them with DROVER_KILL_ROUNDS; else a few, before and after in turn.
    let step = if std::env::var_os("DROVER_KILL_ROUNDS").is_some() { 1 } else { 9 };
    for at in (2..).step_by(step) {
        for when in ["before", "after"].into_iter().enumerate().filter(|(n, _)| step == 1 || at % 2 == *n).map(|(_, when)| when) {
            fs::remove_dir_all(&top).unwrap();
            all(&saved.display().to_string(), &top);
            fs::write(&count, "0\n").unwrap();
            let mut command = it.drover_command(&["publish", option]);
            command.env("PATH", format!("{}:{path}", bin.display())).env("TEST_COUNT", &count).env("TEST_GIT", &real);
            let out = ran(&command.env("TEST_AT", at.to_string()).env("TEST_WHEN", when).output().unwrap());
            holds(it, &format!("killed {when} call {at}: {option}"));
            let last = it.drover(&["publish", option]);
            assert_eq!(last.code, Some(0), "{when} {at}: {}{}", last.out, last.err);
            holds(it, &format!("after {when} call {at}: {option}"));
            if out.code == Some(0) {
                assert!(at > 5, "no call was counted");
                return;
            }
            assert_eq!(out.code, None, "{}{}", out.out, out.err);
        }
    }
}

#[test]
fn bringing_work_back_that_is_killed_at_any_call_of_git_comes_to_the_same_end() {
    let it = reset().file("theirs", "x\n").commit("theirs");
    it.write("c", "mine\n");
    let theirs = it.git(&["rev-parse", "main"]);
    killed_at_calls_of_git(&it, "--restore", |it, at| {
        assert_eq!(it.read("c"), "mine\n", "{at}");
        it.git(&["merge-base", "--is-ancestor", &theirs, "main"]);
        if at.starts_with("after") {
            assert_eq!((it.read("a"), it.read("b")), ("new\n".into(), "new\n".into()), "{at}");
            assert_eq!(it.git(&["status", "--porcelain"]), "?? c", "{at}");
            assert_eq!(it.git(&["rev-list", "--count", "--min-parents=2", &format!("{theirs}..main")]), "3", "{at}: one merge more");
        }
    });
}

#[test]
fn letting_work_go_that_is_killed_at_any_call_of_git_comes_to_the_same_end_and_keeps_it() {
    let it = reset();
    let (line, tip) = (it.git(&["rev-parse", "refs/drover/integration/main"]), it.git(&["rev-parse", "main"]));
    killed_at_calls_of_git(&it, "--let-go", |it, at| {
        assert_eq!(it.git(&["rev-parse", "main"]), tip, "{at}");
        assert_eq!((it.read("a"), it.git(&["status", "--porcelain"])), ("old\n".into(), String::new()), "{at}");
        let refs = it.git(&["for-each-ref", "--format=%(objectname)", "refs/drover/integration", "refs/drover/kept"]);
        assert!(refs.contains(&line), "{at}: {refs}");
        if at.starts_with("after") {
            assert_eq!(it.git(&["rev-parse", "refs/drover/integration/main"]), tip, "{at}");
        }
    });
}
