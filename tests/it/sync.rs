//! People commit on the target while Drover works on it.

use crate::fixture::{CONFIG, Fixture, repo};

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
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1);
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
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1);
}
