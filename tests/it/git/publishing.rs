//! Publishing into checkouts that hold a user's work in every state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drover::git::Publish;

use super::world::World;

/// What publishing must come to.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The checkout at `main` has the new files; what else was there is as it was.
    InCheckout,
    /// The branch moved; no file did.
    ByRef,
    /// Nothing moved, and the message holds these words.
    Held(&'static str),
}
use Then::{ByRef, Held, InCheckout};

/// `next` changes a and s/x, deletes b and adds n and d/e/f. The script brings the checkout
/// into the situation.
const SITUATIONS: &[(&str, &str, Then)] = &[
    ("clean", "true", InCheckout),
    ("dirty elsewhere", "echo mine >>c", InCheckout),
    ("dirty where it changes", "echo mine >>a", Held("waiting for your checkout: a")),
    ("dirty with the very content", "echo new >a", Held("checkout: a")),
    ("staged elsewhere", "echo mine >>c; git add c; echo more >>c", InCheckout),
    ("staged where it changes", "echo mine >>a; git add a", Held("checkout: a")),
    ("staged, then taken back in the file", "echo mine >>a; git add a; echo base >a", Held("checkout: a")),
    ("untracked in the way", "echo mine >n", Held("checkout: n")),
    ("untracked with the very content", "echo created >n", Held("checkout: n")),
    ("untracked elsewhere", "echo mine >u; mkdir v; echo w >v/w", InCheckout),
    ("ignored in the way", "echo n >.git/info/exclude; echo mine >n", Held("checkout: n")),
    ("ignored elsewhere", "echo mine >x.log", InCheckout),
    ("an intended file in the way", "echo mine >n; git add -N n", Held("checkout: n")),
    ("deleted, as it will be", "rm b", InCheckout),
    ("deleted where it changes", "rm a", Held("checkout: a")),
    ("deleted with all its directory", "rm -r s", Held("checkout: s/x")),
    ("staged as deleted", "git rm -q a", Held("checkout: a")),
    ("staged as deleted, as it will be", "git rm -q b", Held("checkout: b")),
    ("staged with the very content", "echo new >a; git add a", Held("checkout: a")),
    ("renamed elsewhere", "git mv c c2", InCheckout),
    ("replaced by a directory", "rm a; mkdir a; echo mine >a/m", Held("checkout: a")),
    ("a pipe in the way", "mkfifo n", Held("checkout: n")),
    ("a repository in the way", "git init -q n", Held("checkout: n/.git/")),
    ("file deep where a directory is to be", "mkdir d; echo mine >d/e", Held("checkout: d/e")),
    ("beside what is to come", "mkdir -p d/e; echo mine >d/e/g", InCheckout),
    (
        "changed within the same size and time",
        "git config core.trustctime false; touch -r a ../t; echo mine >a; touch -r ../t a",
        Held("checkout: a"),
    ),
    ("with line ends of its own", "git config core.autocrlf true; rm a b c s/x; git checkout -q .", InCheckout),
    ("no index at all", "rm .git/index", Held("checkout: ")),
    ("made executable", "chmod +x a", Held("checkout: a")),
    ("replaced by a link", "rm a; ln -s c a", Held("checkout: a")),
    ("directory in the way", "mkdir n; echo mine >n/m", Held("checkout: n/m")),
    ("ignored directory in the way", "echo n >.git/info/exclude; mkdir n; echo mine >n/m", Held("checkout: n/m")),
    ("empty directory in the way", "mkdir n", InCheckout),
    ("file where a directory is to be", "echo mine >d", Held("checkout: d")),
    ("ignored file where a directory is to be", "echo d >.git/info/exclude; echo mine >d", Held("checkout: d")),
    ("link where a directory is to be", "mkdir ../away; ln -s ../away d", Held("checkout: d")),
    ("directory replaced by a link", "mv s ../away; ln -s ../away s", Held("checkout: s/x")),
    ("staged below what is to be a file", "mkdir n; echo m >n/m; git add n/m; rm -r n", Held("checkout: n/m")),
    (
        "in a conflict",
        "git checkout -q -b o; echo other >c; git commit -qam o; git checkout -q main; echo m2 >c; git commit -qam m2; N; git merge -q o >/dev/null 2>&1 || true",
        Held("a merge of `main` is under way"),
    ),
    (
        "merging, resolved",
        "git checkout -q -b o; echo o >o; git add o; git commit -qm o; git checkout -q main; git merge -q --no-commit --no-ff o",
        Held("a merge of `main` is under way"),
    ),
    (
        "picking",
        "git checkout -q -b o; echo other >c; git commit -qam o; git checkout -q main; echo m2 >c; git commit -qam m2; N; git cherry-pick o >/dev/null 2>&1 || true",
        Held("a cherry-pick of `main` is under way"),
    ),
    (
        "reverting",
        "echo m2 >c; git commit -qam m2; echo m3 >c; git commit -qam m3; N; git revert HEAD~1 >/dev/null 2>&1 || true",
        Held("a revert of `main` is under way"),
    ),
    (
        "with a stash that conflicted",
        "echo s >c; git stash -q; echo m2 >c; git commit -qam m2; N; git stash pop >/dev/null 2>&1 || true",
        Held("unmerged"),
    ),
    (
        "with a stash that conflicted where it changes",
        "echo s >a; git stash -q; echo m2 >a; git commit -qam m2; git checkout -q next; git rebase -q -X theirs main; git checkout -q main; git stash pop >/dev/null 2>&1 || true",
        Held("checkout: a"),
    ),
    (
        "rebasing another branch",
        "git checkout -q -b feat; echo f >c; git commit -qam f; git checkout -q main; echo m2 >c; git commit -qam m2; N; git checkout -q feat; git rebase main >/dev/null 2>&1 || true",
        ByRef,
    ),
    (
        "rebasing it",
        "git checkout -q -b up; echo u >c; git commit -qam u; git checkout -q main; echo m2 >c; git commit -qam m2; N; git rebase up >/dev/null 2>&1 || true",
        Held("a rebase of `main` is under way"),
    ),
    (
        "rebasing it by apply",
        "git checkout -q -b up; echo u >c; git commit -qam u; git checkout -q main; echo m2 >c; git commit -qam m2; N; git rebase --apply up >/dev/null 2>&1 || true",
        Held("a rebase of `main` is under way"),
    ),
    ("detached", "git checkout -q --detach", ByRef),
    ("on another branch, dirty", "git checkout -q -b wip; echo w >>a; echo u >n", ByRef),
    ("bisecting", "git bisect start >/dev/null; git bisect bad >/dev/null 2>&1", Held("a bisection of `main` is under way")),
    (
        "bisecting from it, detached",
        "git commit -q --allow-empty -m 2; git commit -q --allow-empty -m 3; N; git bisect start main main~2 >/dev/null 2>&1",
        Held("a bisection of `main` is under way"),
    ),
    ("assumed unchanged", "git update-index --assume-unchanged a; echo mine >a", Held("checkout: a")),
    ("assumed unchanged elsewhere", "git update-index --assume-unchanged c; echo mine >c", InCheckout),
    ("skipped", "git update-index --skip-worktree a; echo mine >a", Held("checkout: a")),
    ("not a descendant", "echo u >u; git add u; git commit -qm user", Held("run `git merge refs/drover/integration/main`")),
    ("another git at work", "touch .git/index.lock", Held("index.lock")),
    (
        "checked out where nothing is left",
        "git checkout -q -b wip; git worktree add -q ../gone main; rm -r ../gone",
        Held("git worktree prune"),
    ),
    (
        "in the way in a linked worktree",
        "git checkout -q -b wip; git worktree add -q ../linked main; echo mine >../linked/a",
        Held("checkout: a"),
    ),
    ("checked out twice", "git worktree add -q -f ../twice main", Held("2 places")),
    (
        "told to stash, squash and make merges",
        "git config merge.autoStash true; git config branch.main.mergeOptions --squash; git config merge.ff false; echo mine >>c",
        InCheckout,
    ),
    ("told to stash, in the way", "git config merge.autoStash true; git config rebase.autoStash true; echo mine >>a", Held("checkout: a")),
    ("sparse", "git sparse-checkout set --cone s; echo mine >>c", InCheckout),
    (
        "sparse index, all of it left out",
        "mkdir z; echo z >z/z; git add -A; git commit -qm z; N; git sparse-checkout set --cone --sparse-index z",
        InCheckout,
    ),
    ("split index", "git update-index --split-index; echo mine >>c; git add c", InCheckout),
    (
        "untracked cache, index of version 4",
        "git update-index --index-version 4 --untracked-cache 2>/dev/null || true; echo mine >>c",
        InCheckout,
    ),
    (
        "hooks that would fail",
        "for h in post-merge post-checkout reference-transaction pre-merge-commit; do printf '#!/bin/sh\\ntouch hooked\\nexit 1\\n' >.git/hooks/$h; chmod +x .git/hooks/$h; done",
        InCheckout,
    ),
    (
        "a branch that stands for the one checked out",
        "git branch -m main trunk; git symbolic-ref refs/heads/main refs/heads/trunk; echo mine >>c",
        InCheckout,
    ),
    (
        "a branch that stands for one in the way",
        "git branch -m main trunk; git symbolic-ref refs/heads/main refs/heads/trunk; echo mine >>a",
        Held("checkout: a"),
    ),
    (
        "a branch that stands for another",
        "git branch -m main trunk; git symbolic-ref refs/heads/main refs/heads/trunk; git checkout -q --detach",
        ByRef,
    ),
];

/// Rebases what landed onto what `main` became.
const NEXT: &str = "git checkout -q next; git rebase -q main; git checkout -q main";

fn situation(script: &str) -> World {
    let world = World::new();
    world.sh("git checkout -q -b next; echo new >a; git rm -q b; echo created >n; echo x2 >s/x; mkdir -p d/e; echo f >d/e/f; git add -A; git commit -qm 'B\n\nDrover-Attempt: r-1'; git checkout -q main");
    world.sh(&script.replace("N;", &format!("{NEXT};")));
    world.sh("git -c core.hooksPath=/dev/null update-ref refs/drover/integration/main next; mkdir .git/drover");
    world
}

/// All that a user could notice in a checkout.
fn seen(world: &World, top: &Path) -> (BTreeMap<PathBuf, String>, String) {
    let script = "export GIT_OPTIONAL_LOCKS=0; git status --porcelain=v1 -uall --ignored; git ls-files -s -t -v; cat $(git rev-parse --git-dir)/HEAD; git stash list; ls $(git rev-parse --git-dir)";
    let mut files = World::files(top);
    files.retain(|_, what| what != "dir");
    (files, world.sh_in(top, script))
}

fn check(name: &str, script: &str, then: Then) {
    let world = situation(script);
    let (repo, old, next) = (world.repo(), world.oid("main"), world.oid("next"));
    let (files, rest) = seen(&world, &world.top);
    let outcome = repo.publish("main").unwrap_or_else(|e| panic!("{name}: {e}"));
    let (files_after, rest_after) = seen(&world, &world.top);
    match then {
        Held(words) => {
            assert!(matches!(&outcome, Publish::Held { why, .. } if why.contains(words)), "{name}: {outcome:?}");
            assert_eq!(world.oid("main"), old, "{name}");
            assert_eq!((files_after, rest_after), (files, rest), "{name}");
        }
        ByRef => {
            assert_eq!(outcome, Publish::Done(next.clone()), "{name}");
            assert_eq!((files_after, rest_after), (files, rest), "{name}");
        }
        InCheckout => {
            assert_eq!(outcome, Publish::Done(next.clone()), "{name}");
            let changed = world.sh(&format!("git diff --name-only {old} {next}"));
            let is_changed = |path: &PathBuf| changed.lines().any(|l| Path::new(l) == path);
            let without = |files: BTreeMap<PathBuf, String>| files.into_iter().filter(|(p, _)| !is_changed(p)).collect::<Vec<_>>();
            assert_eq!(without(files_after), without(files), "{name}");
            let mess =
                |text: &str| text.lines().filter(|l| l.get(2..3) == Some(" ") && !l.ends_with(" b")).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(mess(&rest_after), mess(&rest), "{name}: the status of the user's own files");
            let clean = world.sh("git diff --name-only HEAD -- a b s d n; git diff --cached --name-only HEAD -- a b s d n");
            assert_eq!(clean, "", "{name}: what was published is there");
        }
    }
    if !matches!(then, Held(_)) {
        assert_eq!((world.oid("main"), world.oid("refs/drover/published/main")), (next.clone(), next.clone()), "{name}");
        assert_eq!(repo.publish("main").unwrap(), Publish::Done(next), "{name}: again");
    }
    assert!(!world.top.join(".git/drover/publish.journal").exists() && !world.top.join(".git/index.drover").exists(), "{name}");
}

fn check_share(of: usize) {
    assert!(SITUATIONS.len() >= 20);
    SITUATIONS.iter().skip(of).step_by(2).for_each(|(name, script, then)| check(name, script, *then));
}

// In two halves, so that they run side by side.
#[test]
fn a_users_work_is_never_touched_in_any_situation() {
    check_share(0);
}
#[test]
fn a_users_work_is_never_touched_in_any_other_situation() {
    check_share(1);
}

#[test]
fn a_linked_worktree_is_forwarded_and_the_main_checkout_is_not() {
    let world = situation("git checkout -q -b wip; echo w >>a; git worktree add -q ../linked main; echo mine >>../linked/c");
    let before = seen(&world, &world.top);
    let next = world.oid("next");
    assert_eq!(world.repo().publish("main").unwrap(), Publish::Done(next.clone()));
    assert_eq!(seen(&world, &world.top), before);
    let linked = world.top.with_file_name("linked");
    assert_eq!(world.sh_in(&linked, "git status --porcelain; git rev-parse HEAD; cat a n"), format!(" M c\n{next}\nnew\ncreated"));
}

#[test]
fn a_sparse_checkout_stays_sparse() {
    let world = situation("git sparse-checkout set --cone s");
    assert_eq!(world.repo().publish("main").unwrap(), Publish::Done(world.oid("next")));
    assert_eq!(world.sh("git status --porcelain; ls; cat s/x; git ls-files -t d"), "a\nc\nn\ns\nx2\nS d/e/f");
}

#[test]
fn an_agent_on_the_target_does_not_hold_publishing_up() {
    let world = situation("git checkout -q -b wip");
    let repo = world.repo();
    let wt = world.wt("r-5");
    repo.add_worktree(&wt, &world.oid("main"), None).unwrap();
    world.sh_in(&wt.path(), "git checkout -q main; echo agent >a");
    assert_eq!(repo.publish("main").unwrap(), Publish::Done(world.oid("next")));
    assert_eq!(std::fs::read_to_string(wt.path().join("a")).unwrap(), "agent\n");
}

#[test]
fn held_work_names_the_paths_and_a_few_of_many() {
    let world = situation("true");
    let repo = world.repo();
    let mut at = world.oid("next");
    for n in 0..8 {
        at = world.work(&at, &format!("r-2{n}"), &format!("f{n}"), "x");
        world.write(&format!("f{n}"), "mine");
    }
    world.sh(&format!("git update-ref refs/drover/integration/main {at}"));
    let Publish::Held { why, paths, .. } = repo.publish("main").unwrap() else { panic!("it was published") };
    assert_eq!(why, "9 landed, waiting for your checkout: f0, f1, f2, f3, f4 and 3 more");
    assert_eq!(paths.len(), 8);
}

#[test]
fn a_target_that_was_reset_is_not_published_to() {
    let world = situation("true");
    let repo = world.repo();
    repo.publish("main").unwrap();
    world.sh("git reset -q --hard HEAD~1");
    let held = repo.publish("main").unwrap();
    assert!(matches!(&held, Publish::Held { why, .. } if why.contains("no longer contains")), "{held:?}");
    assert!(matches!(repo.publish("other").unwrap(), Publish::Held { .. }));
}

#[test]
fn a_branch_that_another_git_holds_is_trouble_and_the_checkout_stays_as_it_was() {
    let world = situation("echo mine >>c; git add c; git update-ref ORIG_HEAD HEAD");
    let (repo, old) = (world.repo(), world.oid("main"));
    let opened = std::time::SystemTime::now();
    for lock in ["refs/heads/main.lock", "HEAD.lock"] {
        let lock = world.top.join(".git").join(lock);
        // The clock of files is a coarse one: what was made right after may look older.
        while !std::fs::metadata(&lock).and_then(|m| m.modified()).is_ok_and(|made| made > opened) {
            std::fs::write(&lock, "").unwrap();
        }
        let (files, rest) = seen(&world, &world.top);
        let outcome = repo.publish("main");
        assert!(matches!(&outcome, Err(e) if e.is_trouble()) || matches!(&outcome, Ok(Publish::Held { .. })), "{outcome:?}");
        assert_eq!((world.oid("main"), seen(&world, &world.top)), (old.clone(), (files, rest)), "{}", lock.display());
        std::fs::remove_file(&lock).unwrap();
    }
    assert_eq!(repo.publish("main").unwrap(), Publish::Done(world.oid("next")));
    assert_eq!(world.sh("git status --porcelain"), "M  c");
}
