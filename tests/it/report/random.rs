//! Random projects: what a plan foretells is what the core does.

use std::collections::BTreeSet;

use drover::core::{Phase, Selection};
use drover::model::{Graph, OnChange, Spec};
use drover::plan::Action;

use super::world::{Tweak, World, graph, id, task};

fn name(n: usize) -> String {
    format!("t{n}")
}

fn random_files(rng: &mut fastrand::Rng) -> Graph {
    let all = rng.usize(0..9);
    let there: Vec<usize> = (0..all).filter(|_| rng.u8(0..5) > 0).collect();
    let spec = |n: &usize, rng: &mut fastrand::Rng| -> Spec {
        let needs: Vec<String> = there.iter().filter(|m| *m < n && rng.u8(0..3) == 0).map(|m| name(*m)).collect();
        let on_change = [OnChange::Rerun, OnChange::Rerun, OnChange::Keep, OnChange::Error][rng.usize(0..4)];
        let spec =
            task(&name(*n)).needs(&needs.join(" ")).prompt(&format!("v{}", rng.u8(0..3))).attempts(rng.u32(1..3)).on_change(on_change);
        if rng.bool() { spec.follows() } else { spec }
    };
    graph(there.iter().map(|n| spec(n, rng)).collect::<Vec<_>>())
}

#[test]
fn what_a_plan_foretells_is_what_the_core_does() {
    let (mut reruns, mut drops, mut retries) = (0, 0, 0);
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        for _ in 0..6 {
            let files = random_files(&mut rng);
            for n in 0..9 {
                if rng.u8(0..4) == 0 {
                    world.fail(&name(n), rng.usize(1..3), "no");
                }
            }
            world.hang = if rng.u8(0..3) == 0 { BTreeSet::from([id(&name(rng.usize(0..9)))]) } else { BTreeSet::new() };
            world.rerun = files.tasks().keys().filter(|_| rng.u8(0..8) == 0).cloned().collect();
            let some = files.tasks().keys().filter(|_| rng.bool()).cloned().collect();
            world.selection = if rng.bool() { Selection::All } else { Selection::Only(some) };

            let done: BTreeSet<_> = world.state.tasks.iter().filter(|(_, t)| t.is_completed()).map(|(id, _)| id.clone()).collect();
            let plan = world.reconcile(&files);
            for line in &plan.lines {
                let task = world.state.tasks.get(&line.id);
                let known = format!("seed {seed}: {line:?}: {:?}", task.map(|t| &t.phase));
                match line.action {
                    Action::Drop => assert!(task.is_none(), "{known}"),
                    Action::UpToDate | Action::Keep => assert!(task.unwrap().is_completed(), "{known}"),
                    Action::Failed => assert_eq!(task.unwrap().phase, Phase::Failed, "{known}"),
                    Action::Rerun => assert!(!task.unwrap().is_completed(), "{known}"),
                    _ => assert!(task.is_some(), "{known}"),
                }
                reruns += usize::from(line.action == Action::Rerun && done.contains(&line.id));
                drops += usize::from(line.action == Action::Drop);
                retries += usize::from(line.action == Action::Retry);
            }
            world.rerun.clear();
            let again = world.plan(&files);
            assert!(again.changes.is_empty(), "seed {seed}: {:?}", again.changes);
            let runs = again.bounds.to_run;
            world.run();
            if world.hang.is_empty() && world.failures.values().all(|f| f.is_empty()) {
                assert!(runs == 0 || world.plan(&files).bounds.to_run == 0, "seed {seed}: what was to run has run");
            }
            world.end();
        }
    }
    assert!(reruns > 50 && drops > 50 && retries > 20, "{reruns} {drops} {retries}");
}
