//! What a plan says, and what it changes.

use drover::core::{Change, Input, Phase, Selection};
use drover::model::OnChange;
use drover::plan::{Action, Plan};

use super::world::{Tweak, World, graph, id, ids, line, task};

fn changes(plan: &Plan) -> Vec<String> {
    let told = |c: &Change| match c {
        Change::Define { spec, rerun: false } => format!("define {}", spec.id),
        Change::Define { spec, rerun: true } => format!("rerun {}", spec.id),
        Change::Renew { spec, inputs } => format!("renew {} for {}", spec.id, inputs.join(" ")),
        Change::Move { from, spec } => format!("move {from} to {}", spec.id),
        Change::Remove { task } => format!("remove {task}"),
    };
    plan.changes.iter().map(told).collect()
}

fn told(plan: &Plan, name: &str) -> (Action, String, String) {
    let line = line(plan, name);
    (line.action, line.detail.clone(), line.reason.clone())
}

#[test]
fn a_second_plan_on_unchanged_files_is_empty() {
    let mut world = World::new();
    let files = graph([task("b").needs("a"), task("a").line(3)]);
    let first = world.apply(&files);
    assert_eq!(changes(&first), ["define a", "define b"], "in the order of the file");
    assert!(first.policy_changed && first.is_pending());
    assert_eq!(first.bounds.critical_path, 2);

    let second = world.plan(&files);
    assert_eq!(changes(&second), Vec::<String>::new());
    assert!(!second.policy_changed && !second.is_pending());
    assert!(second.lines.iter().all(|l| l.action == Action::UpToDate && l.quiet));
}

#[test]
fn finished_work_whose_definition_moved_is_treated_as_it_says() {
    let mut world = World::new();
    let files = |text: &str, error: bool| {
        graph([
            task("again").prompt(text),
            task("kept").prompt(text).on_change(OnChange::Keep),
            task("strict").prompt(if error { text } else { "-" }).on_change(OnChange::Error),
            task("x"),
            task("y"),
        ])
    };
    world.apply(&files("old", false));
    let plan = world.plan(&files("new", false));
    assert_eq!(changes(&plan), ["rerun again", "define kept"]);
    let (action, detail, reason) = told(&plan, "again");
    assert_eq!((action, reason.as_str()), (Action::Rerun, "runs again (on_change, drover/tasks.toml:7)"));
    assert!(detail.starts_with("prompt changed since 00a11c"), "{detail}");
    assert_eq!(line(&plan, "kept").action, Action::Keep);
    assert!(plan.guards.is_empty() && plan.errors.is_empty());

    let refused = world.plan(&files("new", true));
    assert_eq!(changes(&refused), ["rerun again", "define kept"], "the forbidden change is no change");
    assert!(
        refused.errors[0].starts_with("drover/tasks.toml:7: task `strict` is completed and its prompt changed"),
        "{:?}",
        refused.errors
    );
    assert_eq!(line(&refused, "strict").action, Action::Blocked);

    world.apply(&files("new", false));
    let after = world.plan(&files("new", false));
    assert_eq!(changes(&after), Vec::<String>::new(), "what is kept is kept for good");
    assert!(line(&after, "kept").quiet);
    assert_eq!(after.summary.up_to_date, 5);
}

#[test]
fn a_kept_task_runs_again_once_its_rule_says_so() {
    let mut world = World::new();
    world.apply(&graph([task("a").on_change(OnChange::Keep)]));
    world.apply(&graph([task("a").prompt("new").on_change(OnChange::Keep)]));
    let plan = world.plan(&graph([task("a").prompt("new")]));
    assert_eq!(changes(&plan), ["rerun a"]);
    assert!(line(&plan, "a").detail.starts_with("definition changed since"), "{:?}", line(&plan, "a"));
}

#[test]
fn settings_of_finished_work_move_silently() {
    let mut world = World::new();
    world.apply(&graph([task("a")]));
    let plan = world.apply(&graph([task("a").verify("make test").line(90).attempts(9)]));
    assert_eq!(changes(&plan), ["define a"]);
    assert!(line(&plan, "a").quiet && line(&plan, "a").action == Action::UpToDate);
    assert_eq!(world.state.tasks[&id("a")].phase, Phase::Completed);
}

#[test]
fn a_failed_task_stays_failed_until_something_about_it_changes() {
    let mut world = World::new();
    world.fail("a", 9, "verify `npm test` exit 1\nsee the log");
    let files = |n| graph([task("a").attempts(n), task("b").needs("a"), task("c").needs("b")]);
    world.apply(&files(2));
    world.wait(840);

    let plan = world.plan(&files(2));
    assert_eq!(changes(&plan), Vec::<String>::new());
    let failed = (Action::Failed, "failed 2 of 2".into(), "failed 14m01s ago: verify `npm test` exit 1; drover retry a".into());
    assert_eq!(told(&plan, "a"), failed);
    assert_eq!(told(&plan, "c"), (Action::Blocked, "The task c".into(), "waits for a, which failed".into()));
    assert_eq!(plan.bounds.to_run, 0);

    let relabelled =
        world.plan(&graph([task("a").attempts(2).with(|s| s.labels = vec!["x".into()]), task("b").needs("a"), task("c").needs("b")]));
    assert_eq!(changes(&relabelled), ["define a"]);
    assert_eq!(line(&relabelled, "a").action, Action::Failed, "a label gives no new attempts");

    let raised = world.plan(&files(3));
    let (action, detail, reason) = told(&raised, "a");
    assert_eq!((action, detail.as_str()), (Action::Retry, "attempt 1 of 3"));
    assert!(reason.starts_with("its settings changed; before: failed 14m01s ago"), "{reason}");
    assert_eq!(line(&raised, "c").action, Action::Waiting);
    assert_eq!(raised.bounds.critical_path, 3);

    world.rerun = ids("a nowhere");
    let asked = world.plan(&files(2));
    assert_eq!(changes(&asked), ["rerun a"]);
    assert!(told(&asked, "a").2.starts_with("--rerun; before: failed"));
    assert_eq!(asked.errors, ["--rerun names `nowhere`, which is not in the files"]);
}

#[test]
fn a_failed_attempt_that_is_tried_again_says_when_and_why() {
    let mut world = World::new();
    world.fail("a", 1, "no luck");
    let files = graph([task("a"), task("b").needs("a")]);
    world.hang = ids("b");
    world.reconcile(&files);
    world.run();
    world.wait(12);
    let plan = world.plan(&files);
    assert_eq!(told(&plan, "a"), (Action::Retry, "attempt 2 of 3".into(), "failed 13s ago: no luck; again in 17s".into()));
    assert_eq!(line(&plan, "a").attempt, 2);
}

#[test]
fn a_rerun_reaches_those_who_asked_for_it_and_stops_at_those_who_keep() {
    let mut world = World::new();
    let files = |text: &str| {
        graph([
            task("a").prompt(text),
            task("b").needs("a").follows(),
            task("c").needs("b").follows(),
            task("keeper").needs("a"),
            task("behind").needs("keeper").follows(),
            task("e1"),
            task("e2"),
        ])
    };
    world.apply(&files("old"));
    let plan = world.plan(&files("new"));
    assert_eq!(changes(&plan), ["rerun a", "rerun b", "rerun c"]);
    assert_eq!(told(&plan, "c"), (Action::Rerun, "b runs again".into(), "runs again (on_dependency, drover/tasks.toml:7) after b".into()));
    assert_eq!((plan.bounds.to_run, plan.bounds.critical_path, plan.guards.len()), (3, 3, 0));

    world.rerun = ids("b");
    let asked = world.plan(&files("old"));
    assert_eq!(changes(&asked), ["rerun b", "rerun c"]);
    assert!(told(&asked, "b").1.starts_with("done in "));
}

#[test]
fn what_leaves_the_files_is_dropped_or_kept_on_record_but_a_running_task_is_asked_about() {
    let mut world = World::new();
    world.hang = ids("run");
    world.fail("bad", 9, "no");
    let all = ["done", "run", "bad", "new", "u1", "u2", "u3"];
    let files = |skip: &[&str]| {
        let left = all.iter().filter(|n| !skip.contains(n));
        graph(left.map(|n| if *n == "done" { task(n) } else { task(n).attempts(1) }).map(|t| match t.id.as_str() {
            "new" | "u1" | "u2" | "u3" => t.needs("run"),
            _ => t,
        }))
    };
    world.reconcile(&files(&[]));
    world.run();

    let plan = world.plan(&files(&["done", "bad"]));
    assert_eq!(changes(&plan), ["remove bad", "remove done"]);
    assert_eq!(told(&plan, "bad"), (Action::Drop, "removed from the files".into(), "dropped; its attempts stay in git".into()));
    assert!(line(&plan, "done").quiet, "finished work leaves without a word");
    assert!(plan.guards.is_empty());

    let stay = |n: &str| if n == "done" || n == "bad" { task(n).attempts(1) } else { task(n).attempts(1).needs("bad") };
    let mut left = graph(all.iter().filter(|n| **n != "run").map(|n| stay(n)));
    let plan = world.plan(&left);
    assert_eq!(line(&plan, "run").action, Action::Leave);
    assert_eq!(line(&plan, "run").reason, "finishes, then leaves");
    assert_eq!(plan.guards[0].flag, "--allow-removals");
    assert_eq!(plan.guards[0].tasks, [id("run")]);

    world.reconcile(&left);
    let again = world.plan(&left);
    assert_eq!(changes(&again), Vec::<String>::new(), "what left is not removed twice");
    assert!(again.guards.is_empty());

    left = graph([task("done"), task("bad").attempts(1)]);
    let plan = world.plan(&left);
    assert_eq!(plan.guards.len(), 1, "{:?}", plan.guards);
    assert_eq!(plan.guards[0].message, "4 of 5 unfinished tasks left the files: new, u1, u2, u3");
}

#[test]
fn a_task_that_comes_back_is_known() {
    let mut world = World::new();
    let both = graph([task("a"), task("b")]);
    world.apply(&both);
    world.apply(&graph([task("b")]));
    assert!(world.state.tasks[&id("a")].removed);
    let plan = world.apply(&both);
    assert_eq!(changes(&plan), ["define a"]);
    assert_eq!(line(&plan, "a").action, Action::UpToDate);
    assert!(!world.state.tasks[&id("a")].removed);
    assert_eq!(changes(&world.plan(&both)), Vec::<String>::new());
}

#[test]
fn guards_speak_of_large_changes_and_leave_small_projects_alone() {
    let mut world = World::new();
    let files = |n: usize, moved: usize| graph((0..n).map(|i| task(&format!("t{i}")).prompt(if i < moved { "new" } else { "old" })));
    world.apply(&files(1, 0));
    assert!(world.plan(&files(1, 1)).guards.is_empty(), "the one task of a project");
    world.apply(&files(4, 0));
    assert!(world.plan(&files(4, 2)).guards.is_empty(), "half is not more than half");
    let plan = world.plan(&files(4, 3));
    assert_eq!(plan.guards[0].flag, "--allow-reruns");
    assert_eq!(plan.guards[0].message, "3 of 4 completed tasks would run again: t0, t1, t2");
    world.rerun = ids("t0 t1 t2");
    assert!(world.plan(&files(4, 3)).guards.is_empty(), "what is asked for is not asked about");

    let mut fresh = World::new();
    fresh.reconcile(&files(2, 0));
    assert!(fresh.plan(&graph([])).guards.is_empty(), "two tasks that never ran");
    fresh.reconcile(&files(5, 0));
    assert_eq!(fresh.plan(&files(2, 0)).guards[0].flag, "--allow-removals");
    assert!(fresh.plan(&files(3, 0)).guards.is_empty());
}

#[test]
fn a_rename_is_told_from_the_definition_and_is_no_removal() {
    let mut world = World::new();
    let renamed =
        |prefix: &str| graph((0..4).map(|i| task(&format!("{prefix}{i}")).prompt("the same").with(|s| s.title = format!("Title {i}"))));
    world.apply(&graph([task("old").prompt("p").with(|s| s.title = "T".into())]));
    let plan = world.plan(&graph([task("new").prompt("p").with(|s| s.title = "T".into())]));
    assert_eq!(
        plan.notes,
        [
            "`old` left the files and `new` says the same. As it is, its work is done again; if it was renamed, say so in a task file:\n[[moved]]\nfrom = \"old\"\nto = \"new\""
        ]
    );
    assert_eq!(changes(&plan), ["remove old", "define new"]);

    let mut fresh = World::new();
    fresh.reconcile(&renamed("a"));
    let plan = fresh.plan(&renamed("b"));
    assert_eq!((plan.notes.len(), plan.guards.len()), (4, 0));
    assert!(fresh.plan(&graph([task("b0")])).notes.is_empty());
}

#[test]
fn a_selection_limits_what_runs_but_not_what_is_reconciled() {
    let mut world = World::new();
    world.selection = Selection::Only(ids("b c"));
    let files = graph([task("a"), task("b").needs("a"), task("c")]);
    let plan = world.plan(&files);
    assert_eq!(changes(&plan).len(), 3);
    assert_eq!(told(&plan, "b"), (Action::Blocked, "The task b".into(), "waits for a, which is not selected".into()));
    assert!(!line(&plan, "a").selected && line(&plan, "a").quiet);
    assert_eq!((plan.bounds.to_run, plan.summary.not_selected, plan.summary.run), (1, 1, 1));
}

#[test]
fn a_definition_that_moves_under_a_running_attempt_is_told_and_taken_once() {
    let mut world = World::new();
    world.hang = ids("a");
    world.reconcile(&graph([task("a")]));
    world.run();
    let moved = graph([task("a").prompt("new")]);
    let plan = world.reconcile(&moved);
    assert_eq!(changes(&plan), ["define a"]);
    assert_eq!(
        told(&plan, "a"),
        (Action::Resume, "attempt 1 of 3, agent".into(), "in progress; its prompt changed, so it runs again after".into())
    );
    assert_eq!(changes(&world.plan(&moved)), Vec::<String>::new());
    assert_eq!(changes(&world.plan(&graph([task("a")]))), ["define a"], "and back again");
}

#[test]
fn interrupted_work_is_resumed_and_a_conflict_waits_for_a_person() {
    let mut world = World::new();
    world.policy.merge.on_conflict = drover::model::OnConflict::Block;
    world.interrupt = ids("a");
    world.conflict = ids("b");
    let files = graph([task("a"), task("b")]);
    world.reconcile(&files);
    world.policy.workers = 4;
    world.run();
    world.input(Input::Drain);
    let mut resumed = world.plan(&files);
    assert_eq!(line(&resumed, "a").action, Action::Resume);
    let (action, detail, reason) = told(&resumed, "b");
    assert_eq!((action, detail.as_str()), (Action::Blocked, "conflict"));
    assert_eq!(reason, "with what landed, in src/a.rs; drover retry b");
    world.rerun = ids("b");
    resumed = world.plan(&files);
    assert_eq!(changes(&resumed), ["rerun b"]);
    assert_eq!(told(&resumed, "b").2, "--rerun; before: a conflict");
}
