//! Putting work onto a tip, by each strategy.

use drover::base::Oid;
use drover::git::{Finished, Onto, Repo};
use drover::model::Strategy;

use super::world::{DATE, World};

const TRAILERS: &str = "Drover-Task: t@1:00\nDrover-Attempt: r-1\n";

struct Lane {
    world: World,
    repo: Repo,
    base: Oid,
    tip: Oid,
}

/// A line whose tip has one commit more than what the work begins at: it changes `b`.
fn lane() -> Lane {
    let world = World::new();
    let (repo, base) = (world.repo(), world.oid("HEAD"));
    let tip = world.work(&base, "r-0", "b", "landed");
    Lane { world, repo, base, tip }
}

impl Lane {
    /// Commits of somebody else's, made by a script, and the task's commit of the same files on top.
    fn work(&self, script: &str) -> Oid {
        self.world.sh(&format!("git checkout -q --detach {}; {script}", self.base));
        let head = self.world.oid("HEAD");
        let commit = self.repo.commit(&self.world.oid("HEAD^{tree}"), &[head], &format!("The task\n\n{TRAILERS}"), DATE).unwrap();
        self.world.sh("git checkout -q main");
        commit
    }
    fn onto(&self, strategy: Strategy, tip: &Oid, commit: &Oid) -> Onto {
        let work =
            Finished { commit, base: &self.base, steps: &[], message: &format!("Merge it\n\n{TRAILERS}"), trailers: TRAILERS, date: DATE };
        self.repo.put_onto(strategy, tip, &work).unwrap()
    }
    #[track_caller]
    fn made(&self, strategy: Strategy, tip: &Oid, commit: &Oid) -> Oid {
        let Onto::Made { new, tree } = self.onto(strategy, tip, commit) else { panic!("a conflict") };
        assert_eq!(self.repo.tree_of(&new).unwrap(), tree);
        assert!(self.repo.stands_on(&new, tip).unwrap());
        assert_eq!(self.repo.find_landed(&self.base, &new, "r-1").unwrap(), Some(new.clone()), "the last has the record");
        new
    }
    /// The commits that are new, oldest first.
    fn log(&self, tip: &Oid, new: &Oid, format: &str) -> Vec<String> {
        let log = self.world.sh(&format!("git log --reverse --topo-order --format='{format}' {tip}..{new}"));
        log.lines().map(str::to_owned).collect()
    }
}

const TWO: &str = "echo 1 >n; git add n
    GIT_AUTHOR_NAME='Bö <x>' GIT_AUTHOR_EMAIL=bo@example.com GIT_AUTHOR_DATE='1500000000 +0530' git commit -qm 'First\n\nWhy.\n\n# no comment'
    echo 2 >n; git commit -qam 'Second\n\nCo-authored-by: A <a@b>'";

#[test]
fn picked_commits_keep_author_date_and_message_and_the_last_gets_the_record() {
    let lane = lane();
    let commit = lane.work(TWO);
    let new = lane.made(Strategy::Rebase, &lane.tip, &commit);
    assert_eq!(
        lane.log(&lane.tip, &new, "%an|%ae|%ad|%s"),
        [
            "Bö x|bo@example.com|Fri Jul 14 08:10:00 2017 +0530|First".to_owned(),
            lane.world.sh(&format!("git log -1 --format='%an|%ae|%ad|Second' {commit}^"))
        ]
    );
    assert!(lane.world.sh(&format!("git log -1 --format=%B {new}^")).ends_with("Why.\n\n# no comment"));
    let last = lane.world.sh(&format!("git log -1 --format=%B {new}"));
    assert_eq!(last, format!("Second\n\nCo-authored-by: A <a@b>\n{}", TRAILERS.trim_end()), "nothing empty on top");
    assert_eq!(lane.world.sh(&format!("git show {new}:b {new}:n")), "landed2");
    // Where nothing has landed meanwhile, commits stay what they are.
    let same = lane.made(Strategy::Rebase, &lane.base, &commit);
    assert_eq!(lane.world.oid(&format!("{same}^")), lane.world.oid(&format!("{commit}~2")));
}

#[test]
fn a_change_that_is_there_already_is_not_picked_again() {
    let lane = lane();
    let commit = lane.work(
        "printf landed >b; git commit -qam same; echo 1 >n; git add n; git commit -qm new; echo 1 >m; git add m; git commit -qm more",
    );
    let new = lane.made(Strategy::Rebase, &lane.tip, &commit);
    assert_eq!(lane.log(&lane.tip, &new, "%s"), ["new", "more"]);
}

#[test]
fn what_cannot_be_picked_one_by_one_lands_as_one_commit_if_it_fits_as_a_whole() {
    let lane = lane();
    let there_and_back = lane.work("echo mine >b; git commit -qam there; echo base >b; echo 1 >n; git add n; git commit -qam back");
    let forked = lane.work("echo 1 >n; git add n; git commit -qm one; git checkout -q --detach HEAD~1; echo 1 >m; git add m; git commit -qm two; git merge -q -m both HEAD@{2}");
    for commit in [there_and_back, forked] {
        let new = lane.made(Strategy::Rebase, &lane.tip, &commit);
        assert_eq!(lane.log(&lane.tip, &new, "%s"), ["The task"]);
        let merged = lane.made(Strategy::Merge, &lane.tip, &commit);
        assert_eq!(lane.repo.tree_of(&merged).unwrap(), lane.repo.tree_of(&new).unwrap());
        assert!(lane.repo.is_ancestor(&commit, &merged).unwrap(), "a merge has them all");
    }
}

#[test]
fn a_squash_has_one_parent_and_the_tasks_own_message() {
    let lane = lane();
    let commit = lane.work(TWO);
    let new = lane.made(Strategy::Squash, &lane.tip, &commit);
    assert_eq!(lane.repo.parents(&new).unwrap(), std::slice::from_ref(&lane.tip));
    assert_eq!(lane.repo.message(&new).unwrap(), lane.repo.message(&commit).unwrap());
    // Made again, it is the same commit.
    assert_eq!(lane.made(Strategy::Squash, &lane.tip, &commit), new);
}

#[test]
fn a_conflict_names_its_paths_whatever_the_strategy() {
    let lane = lane();
    let commit = lane.work("echo other >b; git commit -qam other");
    for strategy in [Strategy::Merge, Strategy::Squash, Strategy::Rebase] {
        assert_eq!(lane.onto(strategy, &lane.tip, &commit), Onto::Conflict { paths: vec!["b".into()] }, "{strategy:?}");
    }
}

#[test]
fn only_what_leads_back_by_first_parents_stands_on_a_tip() {
    let lane = lane();
    let commit = lane.work(TWO);
    let merged = lane.made(Strategy::Merge, &lane.tip, &commit);
    let stands = |new: &Oid, old: &Oid| lane.repo.stands_on(new, old).unwrap();
    assert!(stands(&merged, &lane.tip) && stands(&merged, &lane.base) && stands(&commit, &lane.base));
    assert!(!stands(&merged, &commit) && !stands(&lane.tip, &lane.tip) && !stands(&lane.base, &lane.tip) && !stands(&commit, &lane.tip));
}
