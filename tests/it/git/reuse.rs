//! Worktrees that one attempt leaves to the next.

use std::fs;
use std::os::unix::fs::symlink;

use drover::base::Oid;
use drover::git::{Repo, Snapshot, Worktree};

use super::world::{DATE, World};

const KEEP: &str = "refs/drover/attempts/r-1";

/// A world with a worktree, and a commit `next` beside `main`.
fn world() -> (World, Repo, Worktree, Oid) {
    let world = World::new();
    world.sh("git checkout -q -b next; echo new >a; git rm -q b; echo n >n; git add -A; git commit -qm next; git checkout -q main");
    let (repo, wt, base) = (world.repo(), world.wt("slot-1"), world.oid("main"));
    repo.add_worktree(&wt, &base, None).unwrap();
    (world, repo, wt, base)
}

fn snapshot(repo: &Repo, wt: &Worktree, base: &Oid) -> Snapshot {
    repo.snapshot(wt, base, base, "m", DATE, KEEP).unwrap()
}

fn kept(world: &World) -> String {
    world.sh("git for-each-ref --format='%(refname)' refs/drover/kept")
}

#[test]
fn an_ended_attempts_worktree_is_used_again_and_only_what_git_ignores_is_left() {
    let (world, repo, wt, base) = world();
    let mess = "git checkout -q -b mine; echo mine >a; git rm -q c; mkdir target s/empty; echo o >target/o; echo log >s/x.log; echo u >u; git init -q sub; \
                echo 1 >sub/f; git add a; git commit -qm own; echo more >>a";
    world.sh_in(&wt.path(), mess);
    snapshot(&repo, &wt, &base);
    world.sh_in(&wt.path(), "echo written by a check >check; echo changed by a check >s/x");
    assert!(repo.retire_worktree(&wt, &base).unwrap());
    assert_eq!(world.sh_in(&wt.path(), "git symbolic-ref -q HEAD || git rev-parse HEAD"), base.to_string());
    let next = world.oid("next");
    assert!(repo.reuse_worktree(&wt, &next, None, "").unwrap());
    assert!(repo.is_as_made(&wt, &next, None).unwrap());
    let state = "git status --porcelain --ignored; git rev-parse HEAD; git ls-files -s | git hash-object --stdin; cat a s/x; ls -A . s";
    let used = world.sh_in(&wt.path(), state);
    let fresh = world.wt("slot-2");
    repo.add_worktree(&fresh, &next, None).unwrap();
    world.sh_in(&fresh.path(), "mkdir target; echo o >target/o; echo log >s/x.log");
    assert_eq!(used, world.sh_in(&fresh.path(), state));
    assert_eq!(kept(&world), "");
    assert_eq!(world.sh("git log --format=%s -1 mine"), "own", "an agent's branch stays");
}

#[test]
fn an_interrupted_attempts_files_are_laid_over_the_base_in_a_worktree_that_is_used_again() {
    let (world, repo, wt, base) = world();
    let tree = repo.tree_of(&world.oid("next")).unwrap();
    for _ in 0..2 {
        assert!(repo.retire_worktree(&wt, &base).unwrap());
        assert!(repo.reuse_worktree(&wt, &base, Some(&tree), "").unwrap());
        assert!(repo.is_as_made(&wt, &base, Some(&tree)).unwrap());
        assert_eq!(world.sh_in(&wt.path(), "git status --porcelain=v1; git rev-parse HEAD"), format!(" M a\n D b\n?? n\n{base}"));
    }
}

#[test]
fn a_worktree_that_was_tampered_with_is_not_used_again() {
    let tampering = [
        "echo 'gitdir: /nowhere' >.git",
        "rm -rf .git; git init -q",
        "git bisect start -q",
        "git update-ref refs/bisect/bad HEAD; rm -f $(git rev-parse --git-dir)/BISECT*",
        "touch $(git rev-parse --git-dir)/index.lock",
        "echo '[core]' >$(git rev-parse --git-dir)/config.worktree",
        "echo 1 >c; git commit -qam 1; git checkout -q HEAD~; echo 2 >c; git commit -qam 2; ! git merge -q HEAD@{2} 2>/dev/null",
        "chmod a-w s",
        "git worktree lock .",
        "rm -rf $(git rev-parse --git-dir)",
    ];
    for script in tampering {
        let (world, repo, wt, base) = world();
        world.sh_in(&wt.path(), script);
        if rustix::process::geteuid().is_root() || !script.starts_with("chmod") {
            snapshot(&repo, &wt, &base);
        }
        assert!(!repo.retire_worktree(&wt, &base).unwrap(), "{script}");
        repo.add_worktree(&wt, &base, None).unwrap();
        assert!(repo.is_as_made(&wt, &base, None).unwrap(), "{script}");
    }
}

#[test]
fn what_somebody_left_in_an_idle_worktree_is_kept_before_it_is_used_again() {
    let (world, repo, wt, base) = world();
    let changes = ["echo mine >a", "echo u >untracked", "echo c >c; git commit -qam c", "git rm -q a", "git checkout -q -b theirs"];
    for (n, script) in changes.iter().enumerate() {
        assert!(repo.retire_worktree(&wt, &base).unwrap());
        world.sh_in(&wt.path(), script);
        let (tree, head) =
            (world.sh_in(&wt.path(), "git add -A; git write-tree; git reset -q"), world.sh_in(&wt.path(), "git rev-parse HEAD"));
        assert!(!repo.reuse_worktree(&wt, &base, None, "").unwrap(), "{script}");
        assert_eq!(
            world.sh("git rev-parse refs/drover/kept/slot-1^{tree} refs/drover/kept/slot-1^"),
            format!("{tree}\n{head}"),
            "{script}"
        );
        assert_eq!(kept(&world).lines().count(), n + 1, "what was kept before stays");
        repo.add_worktree(&wt, &base, None).unwrap();
    }
    assert!(repo.retire_worktree(&wt, &base).unwrap());
    fs::write(wt.path().join("a"), "again").unwrap();
    assert_eq!(repo.discard_idle(&wt).unwrap().as_deref(), Some("refs/drover/kept/slot-1"));
    assert!(repo.is_vacant(&wt));
    assert_eq!(world.sh("git show refs/drover/kept/slot-1:a"), "again");
}

#[test]
fn what_is_no_longer_ignored_on_a_new_base_is_not_left() {
    let (world, repo, wt, base) = world();
    world.sh_in(&wt.path(), "mkdir target; echo o >target/o; echo log >x.log");
    snapshot(&repo, &wt, &base);
    assert!(repo.retire_worktree(&wt, &base).unwrap());
    world.sh("echo '*.log' >.gitignore; git commit -qam 'ignore less'");
    assert!(repo.reuse_worktree(&wt, &world.oid("main"), None, "").unwrap());
    assert!(!wt.path().join("target").exists() && wt.path().join("x.log").exists());
}

#[test]
fn what_was_ignored_before_an_attempt_does_not_become_part_of_its_work() {
    let (world, repo, wt, base) = world();
    world.sh_in(&wt.path(), "mkdir target; echo old >target/old; echo old >target/again; echo old >x.log");
    repo.note_ignored(&wt).unwrap();
    world.sh_in(&wt.path(), "sleep 0.05; rm .gitignore; echo new >target/again; echo new >target/new; echo new >y.log");
    for _ in 0..2 {
        let snap = snapshot(&repo, &wt, &base);
        assert_eq!(snap.paths_changed, [".gitignore", "target/again", "target/new", "y.log"]);
        assert_eq!(world.sh(&format!("git show {}:target/again", snap.commit)), "new");
    }
}

#[test]
fn included_files_are_copied_anew_into_a_worktree_that_is_used_again() {
    let (world, repo, wt, base) = world();
    world.sh("printf '.env*\\nlocal/\\n' >>.git/info/exclude; printf '.env*\\nlocal/\\n' >.worktreeinclude; mkdir local; echo 1 >.env; echo 1 >.env.gone; echo 1 >local/f");
    assert_eq!(repo.copy_includes(&wt, ".worktreeinclude").unwrap(), 3);
    assert!(repo.retire_worktree(&wt, &base).unwrap());
    world.sh("echo 2 >.env; rm .env.gone; echo 2 >.env.new; echo 2 >local/f");
    // An agent's own, and a way out.
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "precious").unwrap();
    fs::write(wt.path().join(".env.new"), "an agent's").unwrap();
    fs::remove_dir_all(wt.path().join("local")).unwrap();
    symlink(&outside, wt.path().join("local")).unwrap();
    world.sh("echo local >>.git/info/exclude");
    assert!(repo.reuse_worktree(&wt, &base, None, ".worktreeinclude").unwrap());
    assert_eq!(repo.copy_includes(&wt, ".worktreeinclude").unwrap(), 2);
    assert_eq!(world.sh_in(&wt.path(), "cat .env .env.new; ls -A"), "2\n2\n.env\n.env.new\n.git\n.gitignore\na\nb\nc\nlocal\ns");
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "precious");
}
