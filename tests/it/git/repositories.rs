//! Which repositories can be worked in, and what they are told to be.

use std::fs;
use std::path::Path;

use drover::git::{Head, Program, Repo, Unfit, check_writable, worktrees_root};

use crate::fixture::program;

use super::world::{DATE, World};

fn refusal(world: &World, dir: &Path) -> Unfit {
    Repo::discover_with(dir, world.program()).expect_err("it was taken")
}

#[test]
fn what_cannot_be_worked_in_is_refused_by_name() {
    let world = World::new();
    let base = world.dir.path().to_owned();
    assert!(matches!(refusal(&world, &base), Unfit::NotARepository(_)));
    assert!(matches!(refusal(&world, &base.join("missing")), Unfit::NotARepository(_)));
    world.sh_in(&base, "git init -q --bare bare.git; git init -q --ref-format=reftable rt; git init -q --object-format=sha256 big");
    assert!(matches!(refusal(&world, &base.join("bare.git")), Unfit::Bare(_)));
    let named = |dir: &str, word: &str| {
        let why = refusal(&world, &base.join(dir));
        assert!(matches!(&why, Unfit::Unsupported(text) if text.contains(word)), "{dir}: {why}");
    };
    named("rt", "reftable");
    named("big", "SHA-256");
}

#[test]
fn a_git_that_is_too_old_or_missing_is_named() {
    let world = World::new();
    let old = world.dir.path().join("git");
    program(&old, "#!/bin/sh\necho git version 2.37.9\n");
    let too_old = Repo::discover_with(&world.top, Program::at(&old));
    assert!(matches!(too_old, Err(Unfit::GitTooOld(v)) if v == "2.37.9"));
    let missing = Repo::discover_with(&world.top, Program::at(&world.dir.path().join("none")));
    assert!(matches!(missing, Err(Unfit::Io(why)) if why.contains("none")));
}

#[test]
fn the_repository_is_found_from_a_subdirectory_and_from_a_linked_worktree() {
    let world = World::new();
    let repo = Repo::discover_with(&world.top.join("s"), world.program()).unwrap();
    assert_eq!(repo.root(), world.top);
    assert_eq!(repo.common_dir(), world.top.join(".git"));
    assert_eq!(repo.state_dir(), world.top.join(".git/drover"));
    world.sh("git worktree add -q ../linked -b side");
    let linked = world.top.with_file_name("linked");
    let repo = Repo::discover_with(&linked, world.program()).unwrap();
    assert_eq!((repo.root(), repo.common_dir()), (linked.as_path(), world.top.join(".git").as_path()));
    assert_eq!(repo.head().unwrap(), Head::Branch { name: "side".into(), born: true });
}

#[test]
fn a_worktree_of_a_bare_repository_is_a_checkout() {
    let world = World::new();
    let base = world.dir.path().canonicalize().unwrap();
    world.sh_in(&base, "git clone -q --bare repo hub.git; git -C hub.git worktree add -q ../hub main");
    let repo = Repo::discover_with(&base.join("hub"), world.program()).unwrap();
    assert_eq!(repo.head().unwrap(), Head::Branch { name: "main".into(), born: true });
    let wt = world.wt("r-1");
    repo.add_worktree(&wt, &world.oid("main"), None).unwrap();
    assert_eq!(fs::read_to_string(wt.path().join("a")).unwrap(), "base\n");
    let made = world.work(&world.oid("main"), "r-1", "a", "new");
    world.sh_in(&base.join("hub.git"), &format!("git fetch -q ../repo {made}; git update-ref refs/drover/integration/main {made}"));
    assert_eq!(repo.publish("main").unwrap(), drover::git::Publish::Done(made));
    assert_eq!(fs::read_to_string(base.join("hub/a")).unwrap(), "new");
}

#[test]
fn unborn_detached_and_shallow_are_told() {
    let world = World::empty();
    let repo = world.repo();
    assert_eq!(repo.head().unwrap(), Head::Branch { name: "main".into(), born: false });
    assert_eq!(repo.branch_tip("main").unwrap(), None);
    let world = World::new();
    world.sh("git commit -q --allow-empty -m two; git checkout -q --detach");
    let repo = world.repo();
    assert_eq!(repo.head().unwrap(), Head::Detached);
    assert!(!repo.is_shallow());
    world.sh("git clone -q --depth 1 file://$PWD ../shallow");
    assert!(Repo::discover_with(&world.top.with_file_name("shallow"), world.program()).unwrap().is_shallow());
    assert!(repo.branch_tip("no..name").unwrap_err().to_string().contains("no name for a ref"));
}

#[test]
fn commits_are_by_the_configured_user_or_else_by_drover_and_never_differ() {
    let world = World::new();
    let (repo, head) = (world.repo(), world.oid("HEAD"));
    let tree = repo.tree_of(&head).unwrap();
    let commit = repo.commit(&tree, std::slice::from_ref(&head), "one\n\nü\n", DATE).unwrap();
    assert_eq!(repo.commit(&tree, std::slice::from_ref(&head), "one\n\nü\n", DATE).unwrap(), commit);
    assert_eq!(
        world.sh(&format!("git log -1 --format='%an <%ae> %cn %at %ct %s' {commit}")),
        "Ann <ann@example.com> Ann 1700000000 1700000000 one"
    );
    assert_eq!(repo.message(&commit).unwrap(), "one\n\nü\n");
    assert_eq!(repo.parents(&commit).unwrap(), [head]);
    fs::write(world.home().join(".gitconfig"), "").unwrap();
    let nobody = world.repo().commit(&tree, &[], "one", DATE).unwrap();
    assert_eq!(world.sh(&format!("git log -1 --format='%an <%ae> %cn' {nobody}")), "Drover <drover@localhost> Drover");
}

#[test]
fn worktrees_stand_outside_the_checkout_unless_configured() {
    let world = World::new();
    let repo = world.repo();
    let (home, state) = (Path::new("/home/u"), Path::new("/st"));
    let by_home = worktrees_root("", &repo, "my shop", None, Some(home));
    let text = by_home.to_str().unwrap();
    assert!(
        text.starts_with("/home/u/.local/state/drover/my-shop-") && text.len() == "/home/u/.local/state/drover/my-shop-".len() + 8,
        "{text}"
    );
    assert!(worktrees_root("", &repo, "p", Some(state), Some(home)).starts_with("/st/drover"));
    assert_eq!(worktrees_root("", &repo, "p", Some(Path::new("relative")), None), repo.state_dir().join("worktrees"));
    assert_eq!(worktrees_root("../wt", &repo, "p", None, Some(home)), repo.root().join("../wt"));
    assert_eq!(worktrees_root("/abs", &repo, "p", None, Some(home)), Path::new("/abs"));
    check_writable(&world.root()).unwrap();
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
    fs::write(world.dir.path().join("file"), "").unwrap();
    assert!(check_writable(&world.dir.path().join("file/below")).is_err());
}
