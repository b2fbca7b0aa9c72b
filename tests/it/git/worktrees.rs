//! Worktrees of attempts: made, set, removed, in spite of what was left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::sync::Barrier;

use super::world::World;

#[test]
fn a_worktree_is_detached_at_its_base_and_clean() {
    let world = World::new();
    let (repo, wt, base) = (world.repo(), world.wt("r-1"), world.oid("HEAD"));
    world.sh("printf '#!/bin/sh\\ntouch ../hooked\\n' >.git/hooks/post-checkout; cp .git/hooks/post-checkout .git/hooks/reference-transaction; chmod +x .git/hooks/*");
    repo.add_worktree(&wt, &base, None).unwrap();
    assert_eq!(
        world.sh_in(&wt.path(), "git status --porcelain=v1 --ignored; git symbolic-ref -q HEAD || echo detached; git rev-parse HEAD"),
        format!("detached\n{base}")
    );
    assert!(repo.is_as_made(&wt, &base, None).unwrap());
    assert!(!world.top.with_file_name("hooked").exists() && !world.root().join("hooked").exists());
    assert_eq!(fs::metadata(world.root()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(wt.path().join("a"), "edited\n").unwrap();
    assert!(!repo.is_as_made(&wt, &base, None).unwrap());
    repo.add_worktree(&wt, &base, None).unwrap();
    assert_eq!(fs::read_to_string(wt.path().join("a")).unwrap(), "base\n");
}

#[test]
fn what_an_interrupted_attempt_made_is_laid_over_the_base() {
    let world = World::new();
    let (repo, wt, base) = (world.repo(), world.wt("r-2"), world.oid("HEAD"));
    world.sh("git checkout -q -b other; echo new >a; git rm -q b; echo n >n; git add -A; git commit -qm other; git checkout -q main");
    let tree = repo.tree_of(&world.oid("other")).unwrap();
    repo.add_worktree(&wt, &base, Some(&tree)).unwrap();
    assert_eq!(world.sh_in(&wt.path(), "git status --porcelain=v1; git rev-parse HEAD"), format!(" M a\n D b\n?? n\n{base}"));
    assert!(repo.is_as_made(&wt, &base, Some(&tree)).unwrap());
    assert!(!repo.is_as_made(&wt, &base, None).unwrap());
}

#[test]
fn eight_worktrees_are_made_at_once() {
    let world = World::new();
    let (repo, base, start) = (world.repo(), world.oid("HEAD"), Barrier::new(8));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (repo, base, start, wt) = (&repo, &base, &start, world.wt(&format!("r-{n}")));
            scope.spawn(move || {
                start.wait();
                repo.add_worktree(&wt, base, None).unwrap();
                assert!(repo.is_as_made(&wt, base, None).unwrap());
            });
        }
    });
    assert_eq!(world.sh("git worktree list | wc -l"), "9");
    assert_eq!(repo.worktree_names(&world.root()).unwrap().len(), 8);
}

#[test]
fn a_worktree_is_made_over_whatever_killed_calls_left() {
    let world = World::new();
    let (repo, base) = (world.repo(), world.oid("HEAD"));
    let admin = world.top.join(".git/worktrees/r-1");
    let wt = world.wt("r-1");
    let leftovers = [
        "mkdir -p @A; echo initializing >@A/locked",
        "mkdir -p @A @W; echo initializing >@A/locked; echo @W/.git >@A/gitdir; echo ../.. >@A/commondir; touch @A/HEAD.lock @A/index.lock",
        "mkdir -p @A @W; echo initializing >@A/locked; echo @W/.git >@A/gitdir; echo gitdir: @A >@W/.git; touch @A/commondir",
        "mkdir -p @A; echo elsewhere-gone/.git >@A/gitdir; echo 0000000000000000000000000000000000000000 >@A/HEAD",
        "mkdir -p @W/deep; echo junk >@W/a; echo 'gitdir: A' >@W/.git",
        "mkdir -p @A; ln -s /nowhere @A/HEAD; mkdir @W; ln -s loop @W/loop",
        "mkdir -p @W/cache/ro; touch @W/cache/ro/f; chmod -R a-w @W/cache",
        "mkdir -p @A $(dirname @A)/r-11; echo @W/.git >$(dirname @A)/r-11/gitdir; echo ../.. >$(dirname @A)/r-11/commondir; echo junk >@A/gitdir",
        "touch @W",
        "ln -s $PWD @W",
    ];
    for leftover in leftovers {
        repo.remove_worktree(&wt).unwrap();
        let script = leftover.replace("@W", wt.path().to_str().unwrap()).replace("@A", admin.to_str().unwrap());
        world.sh(&format!("mkdir -p {}; {script}", world.root().display()));
        repo.add_worktree(&wt, &base, None).unwrap_or_else(|e| panic!("{leftover}: {e}"));
        assert!(repo.is_as_made(&wt, &base, None).unwrap(), "{leftover}");
        assert_eq!(world.sh("git worktree list --porcelain | grep -c ^worktree"), "2", "{leftover}");
        assert_eq!(world.sh("git status --porcelain"), "", "{leftover}");
    }
}

#[test]
fn a_worktree_is_made_after_git_was_killed_while_making_it() {
    let world = World::new();
    let (repo, base, wt) = (world.repo(), world.oid("HEAD"), world.wt("r-1"));
    fs::create_dir_all(world.root()).unwrap();
    let admin = world.top.join(".git/worktrees/r-1");
    fs::write(world.top.join(".git/info/attributes"), "* filter=deadly\n").unwrap();
    let mut locked = 0;
    for n in 0..30 {
        // Once in the midst of the files, by git itself.
        let deadly = if n == 0 { "-c filter.deadly.smudge='kill -9 0'" } else { "" };
        let script = format!("exec git {deadly} worktree add --quiet --detach {} {base}", wt.path().display());
        let mut child = world.command(&world.top, &script).process_group(0).spawn().unwrap();
        // Somewhere between its first trace and its end.
        while (n == 0 || !admin.exists()) && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        (0..n * 2000).for_each(|_| std::hint::spin_loop());
        let group = rustix::process::Pid::from_child(&child);
        if n > 0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
        locked += usize::from(admin.join("locked").exists());
        repo.add_worktree(&wt, &base, None).unwrap();
        assert!(repo.is_as_made(&wt, &base, None).unwrap());
        repo.remove_worktree(&wt).unwrap();
        assert!(!admin.exists() && !wt.path().exists());
    }
    assert!(locked > 0, "no kill came in time: the test proves nothing");
}

#[test]
fn removing_follows_no_link_and_spares_what_is_not_an_attempts() {
    let world = World::new();
    let (repo, base, wt) = (world.repo(), world.oid("HEAD"), world.wt("r-1"));
    let precious = world.dir.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "kept").unwrap();
    repo.add_worktree(&wt, &base, None).unwrap();
    symlink(&precious, wt.path().join("link")).unwrap();
    repo.remove_worktree(&wt).unwrap();
    repo.remove_worktree(&wt).unwrap();
    assert!(!wt.path().exists() && !world.top.join(".git/worktrees/r-1").exists());
    assert!(repo.worktree_names(&world.root()).unwrap().is_empty());
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");

    world.sh("git worktree add -q ../r-9 -b mine");
    let refused = repo.remove_worktree(&world.wt("r-9")).unwrap_err();
    assert!(refused.to_string().contains("not Drover's"), "{refused}");
    world.sh_in(&world.top.with_file_name("r-9"), "git status");

    for bad in ["..", ".", "", "a/b", "/etc", "-rf", "A"] {
        assert!(drover::git::Worktree::new(&world.root(), bad).is_err(), "{bad:?} was accepted");
    }
    fs::remove_dir_all(world.root()).unwrap();
    symlink(&precious, world.root()).unwrap();
    assert!(repo.remove_worktree(&wt).unwrap_err().to_string().contains("link"));
    assert!(repo.add_worktree(&wt, &base, None).is_err());
    assert_eq!(fs::read_dir(&precious).unwrap().count(), 1);
}

#[test]
fn files_are_set_to_a_tree_whatever_the_worktree_says() {
    let world = World::new();
    let (repo, wt, base) = (world.repo(), world.wt("r-1"), world.oid("HEAD"));
    world.sh("git checkout -q -b other; echo new >a; git rm -q b; mkdir n; echo n >n/n; rm -r s; echo file >s; git add -A; git commit -qm other; git checkout -q main");
    let other = repo.tree_of(&world.oid("other")).unwrap();
    repo.add_worktree(&wt, &base, None).unwrap();
    let mess = "git checkout -q -b mine; echo mine >a; git add a; git update-index --assume-unchanged c; echo hidden >c; echo junk >junk; \
                echo in the way >n; echo log >x.log; mkdir target; echo o >target/o; git init -q sub; echo 1 >sub/f; rm s/x; touch .git.lock";
    world.sh_in(&wt.path(), mess);
    for _ in 0..2 {
        repo.set_files(&wt, &other).unwrap();
        let files = World::files(&wt.path());
        let names: Vec<_> = files.keys().map(|p| p.to_str().unwrap()).collect();
        assert_eq!(names, [".gitignore", "a", "c", "n", "n/n", "s", "target", "target/o", "x.log"]);
        assert!(files.iter().any(|(p, what)| p.to_str() == Some("a") && what.contains("new")));
        assert!(files.iter().any(|(p, what)| p.to_str() == Some("c") && what.contains("base")));
    }
    assert_eq!(world.sh_in(&wt.path(), "git symbolic-ref HEAD"), "refs/heads/mine");
    repo.set_files(&wt, &repo.tree_of(&base).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(wt.path().join("s/x")).unwrap(), "x\n");
    assert!(!wt.path().join("n").exists());
}

#[test]
fn ignored_files_are_copied_in_where_patterns_name_them() {
    let world = World::new();
    let (repo, wt) = (world.repo(), world.wt("r-1"));
    world.sh(
        "printf '.env*\\nlocal/\\nconf/secret\\n' >>.gitignore; mkdir conf; echo t >conf/tracked; git add -A; git commit -qm more
         echo 1 >.env; echo 2 >.env.local; mkdir local; echo 3 >local/'a b'; ln -s /nowhere local/link; echo 4 >conf/secret; echo not >plain; echo log >x.log
         printf '.env\\nlocal/\\nconf/secret\\nplain\\na\\n' >.worktreeinclude",
    );
    repo.add_worktree(&wt, &world.oid("HEAD"), None).unwrap();
    assert_eq!(repo.copy_includes(&wt, ".worktreeinclude").unwrap(), 4);
    assert_eq!(repo.copy_includes(&wt, ".worktreeinclude").unwrap(), 0, "what is there is left alone");
    assert_eq!(
        world.sh_in(&wt.path(), "cat .env 'local/a b' conf/secret; readlink local/link; ls -A"),
        "1\n3\n4\n/nowhere\n.env\n.git\n.gitignore\na\nb\nc\nconf\nlocal\ns"
    );
    assert_eq!(repo.copy_includes(&wt, "missing").unwrap(), 0);

    // A link in the worktree where the checkout has a directory leads nowhere.
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(wt.path().join("conf")).unwrap();
    symlink(&outside, wt.path().join("conf")).unwrap();
    assert_eq!(repo.copy_includes(&wt, ".worktreeinclude").unwrap(), 0);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_sparse_checkout_does_not_make_sparse_worktrees() {
    let world = World::new();
    world.sh("mkdir t; echo t >t/t; git add -A; git commit -qm t; git sparse-checkout set --cone --sparse-index t; test ! -e s/x");
    let (repo, wt, base) = (world.repo(), world.wt("r-1"), world.oid("HEAD"));
    repo.add_worktree(&wt, &base, None).unwrap();
    assert_eq!(fs::read_to_string(wt.path().join("s/x")).unwrap(), "x\n");
    fs::write(wt.path().join("s/new"), "1").unwrap();
    let snap = repo.snapshot(&wt, &base, &base, "m", super::world::DATE, "refs/drover/attempts/r-1").unwrap();
    assert_eq!(snap.paths_changed, ["s/new"]);
    assert_eq!(world.sh_in(&wt.path(), "git status --porcelain"), "?? s/new");
}
