//! What an attempt's files are kept as, whatever an agent did around them.

use std::fs;

use drover::base::{Millis, Oid};
use drover::git::{Repo, Snapshot, Worktree, message, trailers};

use super::world::{DATE, World};

const KEEP: &str = "refs/drover/attempts/r-1";

struct Attempt {
    world: World,
    repo: Repo,
    wt: Worktree,
    base: Oid,
}

impl Attempt {
    fn new() -> Self {
        Self::of(World::new())
    }
    fn of(world: World) -> Self {
        let (repo, wt, base) = (world.repo(), world.wt("r-1"), world.oid("HEAD"));
        repo.add_worktree(&wt, &base, None).unwrap();
        Self { world, repo, wt, base }
    }
    /// The agent does something in its worktree.
    fn does(&self, script: &str) {
        self.world.sh_in(&self.wt.path(), script);
    }
    fn snapshot(&self) -> Snapshot {
        self.repo.snapshot(&self.wt, &self.base, &self.base, "work\n", DATE, KEEP).unwrap()
    }
    fn content(&self, snap: &Snapshot, path: &str) -> String {
        self.world.sh(&format!("git cat-file -p {}:'{path}'", snap.commit))
    }
}

#[test]
fn deleted_renamed_executable_linked_and_ignored_files_are_kept_as_git_would() {
    let it = Attempt::new();
    it.does("rm b; git mv a renamed; chmod +x c; ln -s /etc/passwd link; echo new >s/y; echo log >x.log; mkdir target; echo o >target/o; mkdir empty; mkfifo pipe");
    let snap = it.snapshot();
    assert_eq!(snap.paths_changed, ["a", "b", "c", "link", "renamed", "s/y"]);
    assert_eq!(
        it.world.sh(&format!("git ls-tree -r --format='%(objectmode) %(path)' {}", snap.tree)),
        "100644 .gitignore\n100755 c\n120000 link\n100644 renamed\n100644 s/x\n100644 s/y"
    );
    assert_eq!(it.content(&snap, "link"), "/etc/passwd");
    assert!(!snap.unchanged && !snap.more_paths && snap.nested.is_empty() && snap.tampered.is_none());
    assert_eq!(it.world.oid(KEEP), snap.commit);
    assert_eq!(it.repo.parents(&snap.commit).unwrap(), std::slice::from_ref(&it.base));
    assert_eq!(it.repo.tree_of(&snap.commit).unwrap(), snap.tree);
    assert_eq!(it.repo.message(&snap.commit).unwrap(), "work\n");
}

#[test]
fn an_untouched_worktree_is_unchanged() {
    let it = Attempt::new();
    it.does("touch -d '2001-01-01' a b; chmod 600 c; echo log >x.log");
    let snap = it.snapshot();
    assert!(snap.unchanged && snap.paths_changed.is_empty());
}

#[test]
fn names_of_any_bytes_are_kept() {
    let it = Attempt::new();
    it.does("echo 1 >'with space'; echo 2 >'ünï'; echo 3 >\"$(printf 'line\\nbreak')\"; echo 4 >\"$(printf 'bad\\377')\"; echo 5 >-dash; echo 6 >':(exclude)x'; echo 7 >'\"q\"'; echo 8 >'*'");
    let snap = it.snapshot();
    assert_eq!(snap.paths_changed, ["\"q\"", "*", "-dash", ":(exclude)x", "bad\u{fffd}", "line\nbreak", "with space", "ünï"]);
    assert_eq!(it.content(&snap, "line\nbreak"), "3");
}

#[test]
fn the_files_count_whatever_was_done_to_head_branch_or_index() {
    for trick in [
        "git add a; git commit -qam mine",
        "git checkout -q -b elsewhere; git add a; git commit -qm mine",
        "git commit -qam mine; git reset -q --soft main; git rm -q --cached c; git add -N zz 2>/dev/null || true",
        "git update-index --assume-unchanged a",
        "git update-index --skip-worktree a c",
        "git update-index --add --cacheinfo 100644,$(echo evil | git hash-object -w --stdin),ghost",
        "git rm -rq --cached .",
        "rm -f $(git rev-parse --git-dir)/index",
        "printf garbage >$(git rev-parse --git-dir)/index",
        "touch $(git rev-parse --git-dir)/index.lock",
        "git symbolic-ref HEAD refs/heads/nowhere",
        "git replace -f $(git rev-parse HEAD:c) $(echo evil | git hash-object -w --stdin)",
        "d=$(git rev-parse --git-dir); mkdir -p $d/info; echo '/*' >$d/info/sparse-checkout; printf '[filter \"x\"]\\n\\tclean = echo evil\\n' >$d/config.worktree",
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor 'touch evil'; git config --worktree core.hooksPath $PWD/.hooks",
    ] {
        let it = Attempt::new();
        it.does(&format!("echo changed >a; {trick}"));
        let snap = it.snapshot();
        assert_eq!(snap.paths_changed, ["a"], "{trick}");
        assert_eq!(it.content(&snap, "a"), "changed", "{trick}");
        assert_eq!(snap.tampered, None, "{trick}");
        assert_eq!(it.world.sh("git rev-parse main"), it.base.to_string(), "{trick}");
    }
}

#[test]
fn a_rewritten_link_is_told_and_the_work_is_kept_all_the_same() {
    for trick in [
        "rm .git",
        "rm .git; git init -q; git add -A; git -c user.name=x -c user.email=x commit -qm other",
        "git init -q --bare ../other; echo \"gitdir: $PWD/../other\" >.git",
        "mv .git real; ln -s real .git; mv real ../real; ln -sf ../real .git",
        "rm -r \"$(git rev-parse --git-dir)\"",
        "echo /elsewhere >\"$(git rev-parse --git-dir)/commondir\"",
    ] {
        let it = Attempt::new();
        it.does(&format!("echo changed >a; {trick}"));
        let snap = it.snapshot();
        assert!(snap.tampered.is_some(), "{trick}");
        assert_eq!(snap.paths_changed, ["a"], "{trick}");
        it.repo.remove_worktree(&it.wt).unwrap();
        assert!(!it.wt.path().exists());
    }
}

#[test]
fn repositories_inside_are_told_and_their_files_kept() {
    let it = Attempt::new();
    it.does(
        "git init -q fresh; echo 1 >fresh/f
         git init -q full; echo 2 >full/f; git -C full add -A; git -C full commit -qm n; echo 3 >full/g; git init -q full/deep; echo 4 >full/deep/h
         git init -q 'na me'; git init -q x/y; echo 5 >x/y/z; echo 6 >x/plain; git init -q s; echo 7 >s/new
         rm b; git init -q b; echo 8 >b/f; git init -q target/ignored; echo 9 >target/ignored/f",
    );
    let snap = it.snapshot();
    assert_eq!(snap.nested, ["b", "fresh", "full", "na me", "x/y", "full/deep"]);
    assert_eq!(snap.paths_changed, ["b", "b/f", "fresh/f", "full/deep/h", "full/f", "full/g", "s/new", "x/plain", "x/y/z"]);
    assert_eq!(it.content(&snap, "full/deep/h"), "4");
    let again = it.snapshot();
    assert_eq!((again.tree, again.nested), (snap.tree, snap.nested));
}

#[test]
fn a_submodule_that_points_where_nobody_else_can_follow_is_told() {
    let world = World::new();
    world.sh("git init -q ../lib; git -C ../lib commit -q --allow-empty -m l; git update-index --add --cacheinfo 160000,$(git -C ../lib rev-parse HEAD),lib; git commit -qm sub");
    let it = Attempt::of(world);
    assert!(it.snapshot().unchanged);
    it.does("rmdir lib; git clone -q ../../lib lib 2>/dev/null || git clone -q ../../repo/../lib lib; git -C lib commit -q --allow-empty -m new");
    let snap = it.snapshot();
    assert_eq!((snap.nested, snap.paths_changed), (vec!["lib".to_owned()], vec!["lib".to_owned()]));
}

#[test]
fn a_snapshot_taken_again_is_the_same_and_one_of_other_files_loses_nothing() {
    let it = Attempt::new();
    it.does("echo one >a");
    let first = it.snapshot();
    assert_eq!(it.snapshot(), first);
    let later = it.repo.snapshot(&it.wt, &it.base, &it.base, "other words\n", Millis(5_000), KEEP).unwrap();
    assert_eq!(later.commit, first.commit, "the same files on the same parent stay the same commit");
    it.does("echo two >a");
    let second = it.snapshot();
    assert_ne!(second.commit, first.commit);
    let was = format!("{KEEP}-was-{}", first.commit.short());
    assert_eq!((it.repo.tip(KEEP).unwrap(), it.repo.tip(&was).unwrap()), (Some(second.commit), Some(first.commit)));
}

#[test]
fn a_restored_attempt_goes_on_from_its_files() {
    let it = Attempt::new();
    it.does("echo one >a; echo n >n");
    let first = it.snapshot();
    it.repo.remove_worktree(&it.wt).unwrap();
    it.repo.add_worktree(&it.wt, &it.base, Some(&first.tree)).unwrap();
    assert_eq!(it.snapshot().commit, first.commit);
}

#[test]
fn filters_and_mixed_line_ends_change_nothing_by_themselves() {
    let world = World::new();
    world.sh(
        "printf 'a\\r\\nb\\r\\n' >crlf.txt; for n in $(seq 40); do printf 'x\\r\\n' >m$n.txt; done; git add -A; git commit -qm crlf
         printf '*.txt text=auto\\n*.up filter=up\\n' >.gitattributes; git add .gitattributes; git commit -qm attributes
         git config filter.up.clean 'tr a-z A-Z'; git config filter.up.smudge 'tr A-Z a-z'; echo hello >f.up; git add f.up; git commit -qm filtered",
    );
    let it = Attempt::of(world);
    assert!(it.snapshot().unchanged);
    it.does("echo more >g.up");
    let snap = it.snapshot();
    assert_eq!((snap.paths_changed.clone(), it.content(&snap, "g.up")), (vec!["g.up".to_owned()], "MORE".to_owned()));
}

#[test]
fn records_are_found_by_line_and_only_where_drover_wrote_them() {
    let it = Attempt::new();
    let last = trailers("auth@1:0011223344556677", "r-1", "r", "command/none");
    let forged = "I did it\nDrover-Attempt: r-666\n  drover-task: evil@1:00";
    it.does("echo one >a");
    let snap = it.repo.snapshot(&it.wt, &it.base, &it.base, &message("Do it", forged, &last), DATE, KEEP).unwrap();
    let (base, tip) = (&it.base, &snap.commit);
    assert_eq!(it.repo.find_landed(base, tip, "r-1").unwrap().as_ref(), Some(tip));
    for absent in ["r-666", "r", "r-11", ""] {
        assert_eq!(it.repo.find_landed(base, tip, absent).unwrap(), None);
    }
    assert_eq!(it.repo.find_landed(tip, tip, "r-1").unwrap(), None);
    let marks = it.repo.marks(std::slice::from_ref(tip), &[]).unwrap();
    let shown: Vec<String> = marks.iter().map(|m| format!("{:?}", m.says)).collect();
    assert_eq!(shown, ["Landed { task: auth, digest: 1:0011223344556677, attempt: r-1 }"]);
    assert!(it.repo.marks(std::slice::from_ref(tip), std::slice::from_ref(tip)).unwrap().is_empty());
    // A squash merge indents what it quotes.
    let squashed = it
        .repo
        .commit(&snap.tree, std::slice::from_ref(base), "Squash\n\n    Drover-Task: b@1:00\n    Drover-Attempt: r-7\n", DATE)
        .unwrap();
    assert_eq!(it.repo.find_landed(base, &squashed, "r-7").unwrap(), Some(squashed));
}

#[test]
fn a_worktree_that_is_gone_is_no_empty_tree() {
    let it = Attempt::new();
    fs::remove_dir_all(it.wt.path()).unwrap();
    let error = it.repo.snapshot(&it.wt, &it.base, &it.base, "m", DATE, KEEP).unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
    assert_eq!(it.repo.tip(KEEP).unwrap(), None);
}

#[test]
fn every_changed_path_is_shown_however_many_there_are() {
    let world = World::new();
    // Too many for the list of a snapshot, a name of other bytes, and a submodule.
    world.sh("blob=$(git hash-object -w a); i=0; { while [ $i -lt 100010 ]; do echo \"100644 blob $blob	f$i\"; i=$((i + 1)); done; printf '100644 blob %s\\tb\\377d\\n' $blob; } | git mktree >many");
    world.sh("{ git ls-tree HEAD; echo \"160000 commit $(git rev-parse HEAD)	sub\"; } | git mktree --missing >linked");
    let (old, many, linked) = (world.oid("HEAD^{tree}"), world.oid(&world.sh("cat many")), world.oid(&world.sh("cat linked")));
    let mut found = Vec::new();
    world.repo().changed_paths(&old, &many, |path| found.push(path.to_vec())).unwrap();
    // The four files of the old tree are gone.
    assert_eq!(found.len(), 100_010 + 1 + world.sh("git ls-files").lines().count());
    assert!(found.contains(&b"b\xffd".to_vec()) && found.contains(&b"f100009".to_vec()) && found.contains(&b"s/x".to_vec()));
    let mut found = Vec::new();
    world.repo().changed_paths(&old, &linked, |path| found.push(path.to_vec())).unwrap();
    assert_eq!(found, [b"sub"]);
}
