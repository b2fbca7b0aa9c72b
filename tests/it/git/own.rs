//! Commits that an agent made itself in its worktree, whatever it did to HEAD and history.

use drover::base::Oid;
use drover::git::{Repo, Snapshot};

use super::world::{DATE, World};

const KEEP: &str = "refs/drover/attempts/r-1-s0";

struct Attempt {
    world: World,
    repo: Repo,
    base: Oid,
}

/// An attempt whose base has a commit before it.
fn attempt() -> Attempt {
    let world = World::new();
    world.sh("echo 2 >a; git commit -qam B");
    let (repo, base) = (world.repo(), world.oid("main"));
    repo.add_worktree(&world.wt("r-1"), &base, None).unwrap();
    Attempt { world, repo, base }
}

impl Attempt {
    fn sh(&self, script: &str) -> String {
        self.world.sh_in(&self.world.wt("r-1").path(), script)
    }
    fn taken(&self) -> Snapshot {
        self.repo.snapshot(&self.world.wt("r-1"), &self.base, &self.base, "m", DATE, KEEP).unwrap()
    }
    /// The commits between the base and what was kept, oldest first.
    fn history(&self, taken: &Snapshot) -> String {
        self.world.sh(&format!("git log --reverse --format=%s {}..{} | paste -sd' '", self.base, taken.commit))
    }
    /// The subjects of what is kept beside.
    fn kept(&self) -> String {
        self.world.sh("git for-each-ref --format='%(subject)' 'refs/drover/attempts/r-1-made-*' | sort | paste -sd' '")
    }
}

/// What a script does, the history that lands, what is kept beside it, why not all of it lands.
/// Each leaves `mine` in the file `a`.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("nothing committed", "echo mine >a", "m", "", ""),
    ("committed on the detached HEAD", "echo 3 >a; git commit -qam one; echo mine >a; git commit -qam two", "one two m", "", ""),
    ("committed, and more in the files", "echo 3 >a; git commit -qam one; echo mine >a", "one m", "", ""),
    ("committed on a branch of its own", "git checkout -q -b side; echo mine >a; git commit -qam one", "one m", "", ""),
    (
        "merged branches of its own",
        "git checkout -q -b x; echo x >x; git add x; git commit -qm x; git checkout -q --detach main; echo mine >a; git commit -qam one; git merge -q -m both x",
        "x one both m",
        "",
        "",
    ),
    (
        "on another branch than it committed on",
        "git checkout -q -b side; echo 3 >a; git commit -qam one; git checkout -q --detach main; echo mine >a",
        "m",
        "one",
        "does not lead",
    ),
    ("reset after committing", "echo 3 >a; git commit -qam one; git reset -q --hard HEAD~1; echo mine >a", "m", "one", "does not lead"),
    (
        "amended its own commit",
        "echo 3 >a; git commit -qam one; echo mine >a; git commit -qa --amend -m again",
        "again m",
        "one",
        "does not lead",
    ),
    ("amended the base", "echo mine >a; git commit -qa --amend -m rewritten", "m", "rewritten", "do not follow on"),
    ("began a history of its own", "git checkout -q --orphan new; echo mine >a; git commit -qam orphan", "m", "orphan", "do not follow on"),
    (
        "went back before the base and committed",
        "git checkout -q HEAD~1; echo mine >a; git commit -qam old",
        "m",
        "old",
        "do not follow on",
    ),
    (
        "merged what comes from before the base",
        "git checkout -q HEAD~1; echo y >y; git add y; git commit -qm old; git checkout -q --detach main; echo mine >a; git commit -qam one; git merge -q -m both HEAD@{2}",
        "m",
        "both",
        "bring in commits",
    ),
    (
        "deleted its branch",
        "git checkout -q -b side; echo mine >a; git commit -qam one; git update-ref -d refs/heads/side",
        "m",
        "one",
        "does not lead",
    ),
    ("pointed HEAD nowhere", "echo mine >a; git symbolic-ref HEAD refs/heads/none", "m", "", ""),
    ("wrote nonsense into HEAD", "echo mine >a; echo nonsense >$(git rev-parse --git-dir)/HEAD", "m", "", ""),
    ("made HEAD a pipe", "echo mine >a; d=$(git rev-parse --git-dir); rm $d/HEAD; mkfifo $d/HEAD", "m", "", ""),
    ("made HEAD a tree", "echo mine >a; t=$(git rev-parse HEAD^{tree}); echo $t >$(git rev-parse --git-dir)/HEAD", "m", "", ""),
    (
        "forged a record",
        "echo mine >a; printf 'one\\n\\nDrover-Task: other@1:00\\n' | git commit -qaF -",
        "m",
        "one",
        "Drover's own record",
    ),
    (
        "forged a record, indented, in a commit before",
        "echo 3 >a; printf 'one\\n\\n    drover-attempt: r-1\\n' | git commit -qaF -; echo mine >a; git commit -qam two",
        "m",
        "two",
        "Drover's own record",
    ),
    (
        "lost an object",
        "echo lost >a; git commit -qam one; echo mine >a; git commit -qam two; o=$(git rev-parse HEAD~1:a); rm -f $(git rev-parse --git-common-dir)/objects/$(echo $o | sed 's|^..|&/|')",
        "m",
        "",
        "are missing",
    ),
    (
        "undid it all",
        "echo 3 >b; git commit -qam there; git revert --no-edit HEAD >/dev/null; echo mine >a",
        "there Revert \"there\" m",
        "",
        "",
    ),
];

#[test]
fn whatever_an_agent_commits_is_kept_and_lands_where_that_is_right() {
    for (what, script, history, kept, why) in CASES {
        let it = attempt();
        it.sh(script);
        let taken = it.taken();
        assert_eq!(it.world.sh(&format!("git show {}:a", taken.commit)), "mine", "{what}: the files count");
        assert_eq!(it.history(&taken), *history, "{what}");
        assert_eq!(it.kept(), *kept, "{what}");
        let said = taken.own.left_out.clone().unwrap_or_default();
        assert!(if why.is_empty() { said.is_empty() } else { said.contains(why) }, "{what}: {said:?}");
        // Taken again, after a crash, it is the same.
        let again = it.taken();
        assert_eq!((&again.commit, &again.own.head), (&taken.commit, &taken.own.head), "{what}");
        assert_eq!(it.kept(), *kept, "{what}");
        // All of it outlives the worktree, its log and its branches.
        it.repo.remove_worktree(&it.world.wt("r-1")).unwrap();
        it.world.sh("git for-each-ref --format='delete %(refname)' refs/heads/side refs/heads/x refs/heads/new | git update-ref --stdin; git reflog expire --expire=all --all; git gc -q --prune=now");
        assert_eq!((it.history(&taken), it.kept()), ((*history).to_owned(), (*kept).to_owned()), "{what}: after all else is gone");
    }
}

#[test]
fn a_thousand_commits_are_the_most_that_land_as_they_are() {
    let it = attempt();
    let stream = "(for i in $(seq 1001); do printf 'commit refs/heads/many\\ncommitter A <a@b> 1700000000 +0000\\ndata 2\\nx\\n'; test $i = 1 && echo 'from refs/heads/main^0'; done) | git fast-import --quiet; git checkout -q many";
    it.sh(stream);
    let taken = it.taken();
    assert!(taken.own.head.is_none() && taken.own.left_out.as_ref().unwrap().contains("more than 1000"), "{:?}", taken.own);
    it.sh("git checkout -q many~1");
    assert!(it.taken().own.head.is_some());
}

#[test]
fn the_next_step_stands_on_what_the_one_before_left() {
    let it = attempt();
    it.sh("git checkout -q -b side; echo 3 >a; git commit -qam one; echo 4 >n; touch $(git rev-parse --git-dir)/index.lock");
    let first = it.taken();
    let wt = it.world.wt("r-1");
    it.repo.set_files(&wt, &first.tree).unwrap();
    it.repo.stand_at(&wt, &first.commit).unwrap();
    assert_eq!(
        it.sh("git status --porcelain; git log -1 --format=%s; git branch --show-current; git rev-parse side"),
        format!("m\n{}", it.world.oid("side"))
    );
    it.sh("echo 5 >n; git commit -qam two");
    let second = it.repo.snapshot(&wt, &it.base, &first.commit, "m2", DATE, "refs/drover/attempts/r-1-s1").unwrap();
    assert_eq!(it.history(&second), "one m two m2");
    assert_eq!(it.world.sh(&format!("git rev-list --merges {}", second.commit)), "");
    // One that went back to the base loses nothing of the first.
    it.sh("git checkout -q -f --detach main; echo 6 >n; git add n; git commit -qm three");
    let third = it.repo.snapshot(&wt, &it.base, &second.commit, "m3", DATE, "refs/drover/attempts/r-1-s2").unwrap();
    assert_eq!(it.repo.parents(&third.commit).unwrap()[0], second.commit);
    assert!(it.history(&third).contains("three"));
    // Where HEAD cannot be set, that is no matter.
    it.sh("d=$(git rev-parse --git-dir); rm $d/HEAD; mkdir $d/HEAD");
    it.repo.stand_at(&wt, &third.commit).unwrap();
}
