//! Refs, the line, landing, merging.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use drover::base::Oid;
use drover::git::{GitError, LineState, Merge, Repo};

use super::world::{DATE, World};

#[test]
fn an_anchor_is_made_once_and_may_be_made_again() {
    let world = World::new();
    let (repo, one) = (world.repo(), world.oid("HEAD"));
    let two = world.work(&one, "r-1", "a", "two");
    let name = Repo::attempt_ref("r-1");
    repo.keep(&name, &one).unwrap();
    repo.keep(&name, &one).unwrap();
    assert!(matches!(repo.keep(&name, &two), Err(GitError::Refused { .. })));
    assert_eq!(repo.tip(&name).unwrap(), Some(one.clone()));
    repo.move_ref(&format!("{name}-land"), &one).unwrap();
    repo.move_ref(&format!("{name}-land"), &two).unwrap();
    repo.move_ref(&format!("{name}-land"), &two).unwrap();
    assert_eq!(repo.refs_below("refs/drover/attempts/").unwrap(), [(name.clone(), one.clone()), (format!("{name}-land"), two.clone())]);
    world.sh("git pack-refs --all; git gc -q --prune=now");
    assert!(repo.exists(&two).unwrap() && !repo.exists(&Oid::parse(&"1".repeat(40)).unwrap()).unwrap());
    assert!(!repo.drop_ref(&name, &two).unwrap());
    assert!(repo.drop_ref(&name, &one).unwrap() && repo.drop_ref(&name, &one).unwrap());
    assert!(repo.drop_ref("refs/heads/main", &one).is_err());
    assert_eq!(repo.tip(&name).unwrap(), None);
}

#[test]
fn the_line_starts_at_the_target_and_follows_it() {
    let world = World::new();
    let (repo, one) = (world.repo(), world.oid("HEAD"));
    assert_eq!(repo.sync_line("none").unwrap(), LineState::NoTarget);
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(one.clone()));
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(one));
    world.sh("echo 2 >a; git commit -qam two");
    let two = world.oid("HEAD");
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(two.clone()));
    assert_eq!(world.oid("refs/drover/integration/main"), two);
    let landed = world.work(&two, "r-1", "b", "landed");
    assert!(repo.land("main", &two, &landed).unwrap());
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(landed.clone()), "ahead of the target");
    world.sh("echo 3 >c; git commit -qam three");
    let three = world.oid("HEAD");
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Diverged { line: landed.clone(), target: three });
    assert_eq!(world.oid("refs/drover/integration/main"), landed);
    world.sh("git merge -q -m merge refs/drover/integration/main");
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(world.oid("HEAD")));
}

#[test]
fn a_target_that_lost_what_landed_stops_and_one_that_was_amended_does_not() {
    let world = World::new();
    let (repo, one) = (world.repo(), world.oid("HEAD"));
    repo.sync_line("main").unwrap();
    world.sh("git commit -q --amend -m amended");
    let amended = world.oid("HEAD");
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(amended.clone()), "nothing had landed");
    let landed = world.work(&amended, "r-1", "b", "landed");
    assert!(repo.land("main", &amended, &landed).unwrap());
    repo.publish("main").unwrap();
    world.sh("git reset -q --hard HEAD~1");
    let rewound = LineState::Rewound { line: landed.clone(), target: amended.clone(), published: landed.clone() };
    assert_eq!(repo.sync_line("main").unwrap(), rewound);
    world.sh("git update-ref -d refs/drover/integration/main");
    assert_eq!(repo.sync_line("main").unwrap(), rewound, "also if the line was lost");
    // The user rewrites the commit that landed: it is still there, under another name.
    world.sh(&format!("git update-ref refs/drover/integration/main {landed}; git reset -q --hard {landed}; git commit -q --amend -m 'mine\n\nDrover-Attempt: r-1'"));
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(world.oid("HEAD")));
    assert!(!repo.is_ancestor(&one, &landed).unwrap() && repo.is_ancestor(&amended, &landed).unwrap());
}

#[test]
fn landing_is_a_swap_that_is_won_lost_or_already_done() {
    let world = World::new();
    let (repo, one) = (world.repo(), world.oid("HEAD"));
    repo.sync_line("main").unwrap();
    let mine = world.work(&one, "r-1", "a", "mine");
    let other = world.work(&one, "r-2", "a", "other");
    assert!(repo.land("main", &one, &mine).unwrap());
    assert!(repo.land("main", &one, &mine).unwrap(), "done already");
    assert!(!repo.land("main", &one, &other).unwrap(), "lost");
    let next = world.work(&mine, "r-3", "b", "next");
    assert!(repo.land("main", &mine, &next).unwrap());
    assert!(repo.land("main", &one, &mine).unwrap(), "contained");
    assert!(matches!(repo.land("main", &next, &other), Err(GitError::Bug { .. })));
    assert_eq!(world.oid("refs/drover/integration/main"), next);
}

#[test]
fn merges_are_made_without_files_and_conflicts_name_their_paths() {
    let world = World::new();
    let (repo, base) = (world.repo(), world.oid("HEAD"));
    let (one, two) = (world.work(&base, "r-1", "a", "one"), world.work(&base, "r-2", "b", "two"));
    let Merge::Clean { tree } = repo.merge(&one, &two).unwrap() else { panic!("disjoint changes do not conflict") };
    assert_eq!(world.sh(&format!("git cat-file -p {tree}:a; git cat-file -p {tree}:b")), "onetwo");
    let new = repo.commit(&tree, &[one.clone(), two.clone()], "merge", DATE).unwrap();
    assert!(repo.is_ancestor(&two, &new).unwrap());

    let names = ["with space", "ünï", "line\nbreak", "s/x"];
    let change = |text: &str| names.iter().fold(base.clone(), |at, name| world.work(&at, "r-9", name, &format!("{text} {}", name.len())));
    let Merge::Conflict { mut paths } = repo.merge(&change("left"), &change("right")).unwrap() else { panic!("they conflict") };
    paths.sort();
    assert_eq!(paths, ["line\nbreak", "s/x", "with space", "ünï"]);
    assert_eq!(world.sh("git status --porcelain"), "");
}

#[test]
fn attributes_of_our_side_rule_a_merge() {
    let world = World::new();
    world.sh("echo '*.md merge=union' >.gitattributes; echo top >n.md; git add -A; git commit -qm union; git checkout -q --detach HEAD~1");
    let (repo, base) = (world.repo(), world.oid("main"));
    let (one, two) = (world.work(&base, "r-1", "n.md", "one"), world.work(&base, "r-2", "n.md", "two"));
    assert!(matches!(repo.merge(&one, &two).unwrap(), Merge::Clean { .. }));
}

#[test]
fn a_missing_object_is_refused_and_a_full_error_says_what_was_run() {
    let world = World::new();
    let (repo, base, missing) = (world.repo(), world.oid("HEAD"), Oid::parse(&"1".repeat(40)).unwrap());
    let error = repo.merge(&base, &missing).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("git merge-tree") && text.contains("exit code") && text.contains("not something we can merge"), "{text}");
    assert!(matches!(error, GitError::Refused { .. }));
    assert!(repo.add_worktree(&world.wt("r-1"), &missing, None).is_err());
    assert!(repo.message(&missing).is_err() && repo.tree_of(&missing).is_err());
}

/// A process that has a file open until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(world: &World, file: &std::path::Path) -> Self {
        let mut command = world.command(&world.top, &format!("exec 9<>{}; echo ready; read _", file.display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        Self(child)
    }
}
impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_dead_lock_is_removed_and_a_living_one_is_trouble() {
    let world = World::new();
    let one = world.oid("HEAD");
    let line = world.top.join(".git/refs/drover/integration/main.lock");
    let packed = world.top.join(".git/packed-refs.lock");
    fs::create_dir_all(line.parent().unwrap()).unwrap();
    for lock in [&line, &packed] {
        fs::write(lock, "").unwrap();
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        fs::File::options().write(true).open(lock).unwrap().set_modified(old).unwrap();
    }
    let repo = world.repo();
    {
        let _holder = Holder::of(&world, &line);
        let error = repo.sync_line("main").unwrap_err();
        assert!(error.is_trouble(), "{error}");
        assert!(line.exists() && !packed.exists(), "each for itself");
    }
    assert_eq!(repo.clear_stale_locks("main").unwrap(), std::slice::from_ref(&line));
    assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(one.clone()));

    // One that appears meanwhile in Drover's own namespace is seen to when it is met.
    fs::write(&line, "").unwrap();
    let work = world.work(&one, "r-1", "a", "x");
    assert!(repo.land("main", &one, &work).unwrap());
    // A lock of the user's that is younger than our start is not ours to judge.
    let users: PathBuf = world.top.join(".git/refs/heads/main.lock");
    fs::write(&users, "").unwrap();
    assert!(repo.clear_stale_locks("main").unwrap().is_empty());
    assert!(users.exists());
}
