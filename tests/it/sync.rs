//! People commit on the target while Drover works on it.

use std::fs;
use std::process::Child;

use crate::fixture::{CONFIG, Fixture, ran, repo, until};

/// Twenty lines: changes of the first and of the last do not conflict.
fn lines(first: &str, last: &str) -> String {
    let middle: String = (2..20).map(|n| format!("line {n}\n")).collect();
    format!("{first}\n{middle}{last}\n")
}

/// A task changed the first line and has landed; what a person has in the checkout keeps it
/// from being published; then the person commits that.
fn diverged(config: &str, mine: &str) -> Fixture {
    let it = repo()
        .file("drover.toml", config)
        .file("a.txt", &lines("line 1", "line 20"))
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ sed -i '1s/.*/landed/' a.txt\"\n")
        .commit("tasks");
    it.write("a.txt", mine);
    it.drover(&["apply"]).expect(5);
    assert_eq!(it.read("a.txt"), mine, "the checkout is left alone");
    it.commit("Mine")
}

#[test]
fn commits_of_a_person_on_the_target_are_merged_with_what_landed_and_published() {
    let it = diverged(
        &format!("{CONFIG}\n[merge]\nverify = [\"grep -q landed a.txt && grep -q mine a.txt || ! grep -q mine a.txt\"]\n"),
        &lines("line 1", "mine"),
    );
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a.txt"), lines("landed", "mine"));
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(it.standing().is_empty());
    let subjects = it.git(&["log", "--format=%s", "main"]);
    assert!(subjects.contains("Mine") && subjects.contains("Merge t: T"), "{subjects}");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn a_conflict_with_a_persons_commit_is_theirs_to_resolve_and_says_how() {
    let it = diverged(CONFIG, &lines("mine too", "line 20"));
    let before = it.checkout();
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("a.txt") && ran.out.contains("git merge refs/drover/integration/main"), "{}", ran.out);
    assert_eq!(it.checkout(), before);
    // As it was told.
    let merge = it.command("git").args(["merge", "-q", "refs/drover/integration/main"]).output().unwrap();
    assert!(!merge.status.success());
    it.write("a.txt", &lines("both", "line 20"));
    let it = it.commit("Resolved");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a.txt"), lines("both", "line 20"));
}

#[test]
fn what_fails_its_checks_with_a_persons_commits_merged_in_is_not_published() {
    let it = diverged(
        &format!("{CONFIG}\n[merge]\nverify = [{{ name = \"whole\", run = \"! {{ grep -q landed a.txt && grep -q mine a.txt; }}\" }}]\n"),
        &lines("line 1", "mine"),
    );
    let tip = it.git(&["rev-parse", "main"]);
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("whole"), "{}", ran.out);
    assert_eq!(it.git(&["rev-parse", "main"]), tip);
    assert!(it.standing().is_empty());
}

/// `a` has landed and is published, and `slow` is at work until the gate is there.
fn under_way() -> (Fixture, Child) {
    let it = repo();
    let wait = format!("echo x >>{}; while [ ! -e {} ]; do sleep 0.02; done", it.outside("began").display(), it.outside("gate").display());
    let tasks = format!(
        "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo a >a\"\n[[task]]\nid = \"slow\"\ntitle = \"S\"\ndepends_on = [\"a\"]\nprompt = {:?}\n",
        format!("$ {wait}; echo s >s")
    );
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks");
    let child = it.spawn(&["apply"]);
    until("it is at work and all is published", || {
        it.outside("began").exists() && it.drover(&["status", "--format", "json"]).out.contains("\"state\": \"done\"")
    });
    (it, child)
}

fn ends(it: &Fixture, child: Child) {
    fs::write(it.outside("gate"), "").unwrap();
    ran(&child.wait_with_output().unwrap()).expect(0);
    assert_eq!((it.read("a"), it.read("s")), ("a\n".into(), "s\n".into()));
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn commits_of_a_person_on_the_target_in_mid_run_are_merged_with_and_published() {
    let (it, child) = under_way();
    let it = it.file("mine", "x\n").commit("Mine");
    let mine = it.git(&["rev-parse", "main"]);
    ends(&it, child);
    it.git(&["merge-base", "--is-ancestor", &mine, "main"]);
    assert_eq!((it.landed().as_slice(), it.read("mine").as_str()), (["a".to_owned(), "slow".to_owned()].as_slice(), "x\n"));
    assert_eq!(fs::read_to_string(it.outside("began")).unwrap(), "x\n", "one attempt");
}

/// By somebody else: in the second of the commit, one's own rebase makes the very same commits.
const REBASE: [&str; 6] = ["-c", "user.name=Bea", "rebase", "-q", "--force-rebase", "--root"];

#[test]
fn a_target_that_is_amended_or_rebased_in_mid_run_is_followed_and_what_was_made_on_the_old_one_is_made_anew() {
    for rewrite in [&["commit", "-q", "--amend", "--no-edit", "--date=@1 +0000"][..], &REBASE] {
        let (it, child) = under_way();
        let old = it.git(&["rev-parse", "main"]);
        it.git(rewrite);
        assert_ne!(it.git(&["rev-parse", "main"]), old);
        ends(&it, child);
        let log = it.git(&["log", "--format=%H", "main"]);
        assert!(!log.contains(&old), "{rewrite:?}: what a person took away does not come back");
        let landed = it.git(&["log", "--format=%(trailers:key=Drover-Attempt,valueonly)", "--", "s"]);
        assert_eq!(landed.split_whitespace().count(), 1, "{rewrite:?}: {landed}");
    }
}
