//! A repository that was copied with its state directory: neither of the two touches what the other has under way.

use std::fs;
use std::path::PathBuf;

use crate::fixture::{CONFIG, Fixture, Ran, ran, repo, until};

/// A task that is quick, and one that waits in the middle of its work for a gate, each noting where it runs.
fn project(config: &str) -> (Fixture, PathBuf) {
    let it = repo();
    let (log, gate) = (it.outside("ran"), it.outside("gate"));
    let slow =
        format!("echo half >half; pwd >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo whole >whole", log.display(), gate.display());
    let tasks = format!(
        "[[task]]\nid = \"quick\"\ntitle = \"Q\"\nrun = \"echo q >q\"\n[[task]]\nid = \"slow\"\ntitle = \"S\"\nrun = {slow:?}\ndepends_on = [\"quick\"]\n"
    );
    (it.file("drover.toml", &format!("{CONFIG}{config}")).file("drover/t.toml", &tasks).commit("tasks"), log)
}

fn copy(it: &Fixture) -> PathBuf {
    let to = it.outside("copy");
    let copied = it.command("cp").arg("-a").arg(it.root()).arg(&to).output().unwrap();
    assert!(copied.status.success(), "{copied:?}");
    to
}

fn there(it: &Fixture, copy: &PathBuf, args: &[&str]) -> Ran {
    ran(&it.drover_command(args).current_dir(copy).output().unwrap())
}

fn agents(log: &PathBuf) -> usize {
    fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

#[test]
fn a_copy_leaves_the_worktrees_of_the_other_repository_alone() {
    for dir in ["", "\n[worktree]\ndir = \"TREES\"\n"] {
        let (it, log) = project("");
        // Both have the same place for their worktrees, if it is one that the file names.
        let dir = dir.replace("TREES", it.outside("trees").to_str().unwrap());
        it.write("drover.toml", &format!("{CONFIG}{dir}"));
        it.git(&["commit", "-qam", "settings", "--allow-empty"]);
        it.drover(&["apply", "quick"]).expect(0);
        let copy = copy(&it);
        // The idle worktree that both know of is taken by an agent here.
        let child = it.spawn(&["apply"]);
        until("the agent runs", || agents(&log) == 1);
        let place = PathBuf::from(fs::read_to_string(&log).unwrap().trim());
        there(&it, &copy, &["apply", "quick", "--rerun", "quick"]).expect(0);
        there(&it, &copy, &["worktree", "prune"]).expect(0);
        assert!(place.join("half").exists(), "the work of an agent is gone: {dir}");
        fs::write(it.outside("gate"), "").unwrap();
        ran(&child.wait_with_output().unwrap()).expect(0);
        assert_eq!((it.landed(), agents(&log)), (vec!["quick".to_owned(), "slow".to_owned()], 1), "{dir}");
        // And the copy does its own.
        there(&it, &copy, &["apply"]).expect(0);
        assert_eq!(agents(&log), 2, "{dir}");
    }
}

#[test]
fn a_copy_that_was_made_while_an_agent_ran_is_refused_until_it_has_a_record_of_its_own() {
    let (it, log) = project("");
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || agents(&log) == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let copy = copy(&it);
    for verb in [&["apply"][..], &["resume"], &["cancel", "slow"], &["worktree", "prune"], &["gc"]] {
        let refused = there(&it, &copy, verb).expect(78).err;
        assert!(refused.contains("is a copy of") && refused.contains("drover state rebuild"), "{verb:?}: {refused}");
    }
    let rebuilt = there(&it, &copy, &["state", "rebuild", "--allow-loss"]).expect(0);
    assert!(rebuilt.out.contains("1 of 2 tasks completed") && !rebuilt.out.contains("Ended"), "{}", rebuilt.out);
    // The agent was left alone, and is taken over by whose it is. The copy has one of its own.
    let (first, second) = (it.spawn(&["resume"]), it.drover_command(&["apply"]).current_dir(&copy).spawn().unwrap());
    until("the agent of the copy runs", || agents(&log) == 2);
    fs::write(it.outside("gate"), "").unwrap();
    ran(&first.wait_with_output().unwrap()).expect(0);
    ran(&second.wait_with_output().unwrap()).expect(0);
    assert_eq!((it.landed(), agents(&log)), (vec!["quick".to_owned(), "slow".to_owned()], 2));
    there(&it, &copy, &["apply"]).expect(0);
}
