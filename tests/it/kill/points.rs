//! The real program killed at every named instant, before and after each effect, and then anywhere: it
//! goes on, and at the end record, git and processes agree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use drover::core::{Phase, Step};
use drover::store::redb::{read_history, snapshot};

use super::{number, survivors};
use crate::fixture::{CONFIG, Fixture, repo};

const TASKS: usize = 3;

/// Where to die: at a point, for the n-th time that the process comes by.
type Fault = (String, u64);

/// The points as the sources name them.
fn points() -> Vec<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for path in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let named = |call: &'static str| text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(named("fault::point(\"").map(str::to_owned));
            found.extend(named("fault::around(\"").flat_map(|name| [format!("{name}.before"), format!("{name}.after")]));
        }
    }
    let mut found = BTreeSet::new();
    walk(Path::new("src"), &mut found);
    assert!(found.len() > 40, "the sources were not found");
    found.into_iter().collect()
}

/// A check that notes the tree it was run on.
fn noting(it: &Fixture) -> String {
    format!("export GIT_INDEX_FILE=$(mktemp -u); git add -A && git write-tree >>{}; rm $GIT_INDEX_FILE", it.outside("proved").display())
}

/// A chain of two and one beside it. With `all` there is a remote too, and a check that everything has
/// failed for ever.
fn graph(strategy: &str, all: bool) -> Fixture {
    let it = repo();
    let log = it.outside("ran").display().to_string();
    let mut tasks = String::new();
    for n in 0..TASKS {
        let needs = if n == 1 { "\"t0\"" } else { "" };
        tasks.push_str(&format!(
            "[[task]]\nid = \"t{n}\"\ntitle = \"Task {n}\"\nprompt = \"$ echo $DROVER_TASK >>{log}; echo {n} >f{n}\"\ndepends_on = [{needs}]\n"
        ));
    }
    let more = if all { ", \"exit 1\"]\nbaseline = true\npush = \"origin\"" } else { "]" };
    let merge = format!("[merge]\nstrategy = \"{strategy}\"\nverify = [{:?}{more}\n", noting(&it));
    let it = it.file("drover.toml", &format!("{CONFIG}\n[worktree]\nsetup = [\"true\"]\n{merge}")).file("drover/t.toml", &tasks);
    let it = it.commit("tasks");
    if all {
        let remote = it.outside("origin.git");
        it.git(&["init", "-q", "--bare", remote.to_str().unwrap()]);
        it.git(&["remote", "add", "origin", remote.to_str().unwrap()]);
        it.git(&["push", "-q", "origin", "main"]);
    }
    it
}

#[derive(Default)]
struct Tally {
    kills: u64,
    /// How many of them were of shims, in the world under way.
    shims: usize,
    reached: BTreeSet<String>,
}

/// Starts Drover, to die at a point. Whether anything did.
fn killed_at(it: &Fixture, verb: &str, (point, nth): &Fault, tally: &mut Tally) -> bool {
    let told = it.outside("told");
    let _ = fs::remove_file(&told);
    let mut command = it.drover_command(&[verb, "-q"]);
    command.env("DROVER_FAULT", format!("{point}:{nth}")).env("DROVER_FAULT_TOLD", &told);
    let output = command.output().unwrap();
    let died = told.exists();
    let own = output.status.signal() == Some(9);
    assert_eq!(own, died && !is_of_shim(point), "{point}:{nth}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    if died {
        tally.kills += 1;
        tally.reached.insert(point.clone());
        tally.shims += usize::from(!own);
    }
    died
}

/// Those die without Drover.
fn is_of_shim(point: &str) -> bool {
    ["shim.promise.", "shim.record."].iter().any(|p| point.starts_with(p))
}

/// Kills Drover at one point after the other, in as few worlds as that takes. In a new one each point is
/// come by once.
fn kill_at_each(mut left: VecDeque<Fault>, all: bool, rng: &mut fastrand::Rng, tally: &mut Tally) {
    for world in 0.. {
        if left.is_empty() {
            return;
        }
        let it = graph(crate::strategies::ALL[world % crate::strategies::ALL.len()], all);
        tally.shims = 0;
        let mut put_off = VecDeque::new();
        let mut fresh = true;
        while let Some(fault) = left.pop_front() {
            match killed_at(&it, "apply", &fault, tally) {
                true => {}
                // The world has come to its end: it is for the next one.
                false if !fresh => {
                    put_off.push_back(fault);
                    break;
                }
                false => assert!(fault.1 > 1, "{} is never come by", fault.0),
            }
            fresh = false;
            if rng.u8(0..4) == 0 {
                killed_any_time(&it, rng, tally);
            }
        }
        put_off.extend(left);
        left = put_off;
        whole(&it, tally.shims);
    }
}

/// And once at an instant that has no name.
fn killed_any_time(it: &Fixture, rng: &mut fastrand::Rng, tally: &mut Tally) {
    let mut child = it.drover_command(&["apply", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(rng.u64(0..120)));
    tally.kills += u64::from(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Everything is done, once, and all who know of it say the same.
#[track_caller]
fn whole(it: &Fixture, shims_killed: usize) {
    it.drover(&["apply"]).expect(0);
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, (0..TASKS).map(|n| format!("t{n}")).collect::<Vec<_>>(), "each task exactly once");
    // No agent ran again, but for those whose shim was killed.
    let ran = fs::read_to_string(it.outside("ran")).unwrap();
    assert!((TASKS..=TASKS + shims_killed).contains(&ran.lines().count()), "with {shims_killed} shims killed there ran:\n{ran}");
    every_landing_was_verified(it);
    store_and_git_agree(it);
    let tips = it.git(&["for-each-ref", "--format=%(objectname)", "refs/heads/main", "refs/remotes/", "refs/drover/integration/"]);
    assert_eq!(tips.lines().collect::<BTreeSet<_>>().len(), 1, "{tips}");
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(it.standing().is_empty());
    it.git(&["fsck", "--no-dangling"]);
    let left = it.command("find").args([".git", "-name", "*.lock", "-o", "-name", "publish.journal"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "stale locks");
    assert_eq!(survivors(it), [""; 0], "processes outlived their attempt");
}

/// The whole check was run, to its end, on the very tree of each commit that landed.
fn every_landing_was_verified(it: &Fixture) {
    let proved = fs::read_to_string(it.outside("proved")).unwrap();
    let proved: BTreeSet<&str> = proved.lines().collect();
    let log = it.git(&["log", "--first-parent", "--format=%T %(trailers:key=Drover-Task,valueonly,separator=%x2C)", "main"]);
    for (tree, task) in log.lines().filter_map(|l| l.split_once(' ')).filter(|(_, task)| !task.is_empty()) {
        assert!(proved.contains(tree), "{task} landed the tree {tree}, and only these were verified: {proved:?}");
    }
}

/// Each task is on record as completed by a commit of the target; each commit that the journal names
/// is in git and kept by a ref; the journal adds up to the record.
fn store_and_git_agree(it: &Fixture) {
    let state = snapshot(&it.state_dir(), "main").unwrap().unwrap();
    let history: BTreeSet<String> = it.git(&["rev-list", "main"]).lines().map(str::to_owned).collect();
    let landings = state.tasks.values().filter_map(|t| t.completion.as_ref().filter(|_| t.phase == Phase::Completed)?.commit.clone());
    let landings: BTreeMap<_, _> = landings.map(|c| (c.to_string(), ())).collect();
    assert_eq!(landings.len(), TASKS, "{:#?}", state.tasks);
    assert!(landings.keys().all(|c| history.contains(c)), "{landings:?} and on the target {history:?}");
    let journal = read_history(&it.state_dir(), "main", 0, usize::MAX).unwrap();
    let mut folded = drover::core::State::default();
    for record in &journal {
        folded.apply(record.at, &record.fact).unwrap();
    }
    assert!(folded.same_record(&state), "the journal adds up to something else");
    let kept: BTreeSet<String> = it.git(&["rev-list", "--all"]).lines().map(str::to_owned).collect();
    for record in journal {
        if let drover::core::Fact::Committed { commit, .. } = &record.fact {
            assert!(kept.contains(commit.as_str()), "{commit} is lost");
        }
    }
}

/// Points that only an attempt comes by that a person ends.
fn is_of_an_end(point: &str) -> bool {
    point.starts_with("withdraw.")
}

/// Points that are come by only where all there is to a project is set up.
fn needs_all(point: &str) -> bool {
    ["compare.", "push."].iter().any(|p| point.starts_with(p))
}

#[test]
fn killed_at_every_named_instant_and_at_many_others_it_lands_each_task_once() {
    if cfg!(not(debug_assertions)) {
        return eprintln!("SKIPPED: a release build has no named instants");
    }
    let mut rng = fastrand::Rng::with_seed(number("DROVER_KILL_SEED", 1));
    let mut tally = Tally::default();
    let (ends, names): (Vec<String>, Vec<String>) = points().into_iter().partition(|p| is_of_an_end(p));
    for all in [false, true] {
        let mut once: Vec<Fault> = names.iter().filter(|p| needs_all(p) == all).map(|p| (p.clone(), 1)).collect();
        rng.shuffle(&mut once);
        kill_at_each(once.into(), all, &mut rng, &mut tally);
    }
    ends.iter().for_each(|point| killed_while_it_ends_an_attempt(point, &mut tally));
    let missed: Vec<_> = names.iter().chain(&ends).filter(|p| !tally.reached.contains(*p)).collect();
    assert!(missed.is_empty(), "never killed at {missed:?}");
    // And then anywhere, also at later times that it comes by.
    let (mut all, wanted) = (false, number("DROVER_KILLS", 100));
    while tally.kills < wanted {
        all = !all;
        let more: VecDeque<Fault> = (0..20).map(|_| (names[rng.usize(0..names.len())].clone(), rng.u64(1..4))).collect();
        let more = more.into_iter().filter(|(p, _)| all || !needs_all(p));
        kill_at_each(more.collect(), all, &mut rng, &mut tally);
        eprintln!("{} of {wanted} kills", tally.kills);
    }
}

/// An attempt that a person cancelled while no Drover was at work.
fn killed_while_it_ends_an_attempt(point: &str, tally: &mut Tally) {
    let it = graph("merge", false);
    tally.shims = 0;
    assert!(killed_at(&it, "apply", &("check.before".into(), 1), tally));
    let state = snapshot(&it.state_dir(), "main").unwrap().unwrap();
    let at_its_checks = |step: &Step| matches!(step, Step::Verify { .. } | Step::Land { .. });
    let begun = state.active().find(|(_, a)| at_its_checks(&a.step)).map(|(t, _)| t.spec.id.to_string()).unwrap();
    it.drover(&["cancel", &begun]).expect(0);
    assert!(killed_at(&it, "apply", &(point.into(), 1), tally), "{point} is never come by");
    it.drover(&["apply"]);
    assert!(!it.landed().contains(&begun), "it landed, and was cancelled");
    it.drover(&["retry", &begun]).expect(0);
    whole(&it, 1);
}

#[test]
fn only_a_build_for_tests_dies_where_it_is_told_to() {
    let it = graph("merge", false);
    let output = it.drover_command(&["apply", "-q"]).env("DROVER_FAULT", "store.commit.before:1").output().unwrap();
    assert_eq!(output.status.signal(), cfg!(debug_assertions).then_some(9));
}
