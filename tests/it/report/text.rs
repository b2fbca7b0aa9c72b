//! The plan and the status as people see them.

use drover::core::{Input, Selection};
use drover::model::OnChange;
use drover::report;
use drover::report::text::{self, StatusOptions, SummaryOptions};

use super::world::{Tweak, World, graph, heading, id, ids, task};

/// A project in which something of everything has happened.
fn lived_in() -> World {
    let mut world = World::new();
    world.fail("billing", 9, "verify `npm test` exit 1\nmore\u{7}");
    world.hang = ids("web");
    let files = graph([
        task("schema").with(|s| s.title = "Users table and migration".into()),
        task("api").needs("schema"),
        task("web").needs("api"),
        task("docs").on_change(OnChange::Keep),
        task("billing").attempts(1),
        task("invoice").needs("billing"),
        task("old").needs("web"),
        task("x1"),
        task("x2"),
    ]);
    world.reconcile(&files);
    world.run();
    world.wait(840);
    world
}

#[test]
fn a_plan_reads_as_a_table_of_signs_words_and_reasons() {
    let world = lived_in();
    let files = graph([
        task("schema").with(|s| s.title = "Users table and migration".into()),
        task("api").needs("schema").prompt("New words.").line(24),
        task("web").needs("api"),
        task("docs").on_change(OnChange::Keep).prompt("New words."),
        task("billing").attempts(1),
        task("invoice").needs("billing"),
        task("x1"),
        task("x2"),
        task("search").needs("web api"),
        task("hello").with(|s| {
            s.title = "\u{1b}[31mLogin\nendpoint\u{202e}, with a title that is a good deal too long".into();
            s.steps[0].action = drover::model::Action::Shell("make".into());
        }),
    ]);
    let plan = world.plan(&files);
    insta::assert_snapshot!(text::plan(&plan, &heading(&files), false, false), @r#"
    shop · main @ 3f2a91c · 10 tasks, 1 file
      * web      attempt 1 of 3, agent                         claude  in progress, goes on
      + hello    [31mLogin endpoint, with a title that is a g…          ready
      + search   The task search                               claude  after web, api
      ~ api      prompt changed since 00a11da                  claude  runs again (on_change, drover/tasks.toml:24)
      = docs     prompt changed since 00a11cf                          kept (on_change, drover/tasks.toml:7)
      - old      removed from the files                                dropped
      ! billing  failed 1 of 1                                         failed 14m36s ago: verify `npm test` exit 1; drover retry billing
      ! invoice  The task invoice                                      waits for billing, which failed
    Plan: 1 to go on, 2 to run, 1 to run again, 1 to drop; 1 failed, 1 blocked, 1 kept as done, 3 up to date.
    Bounds: 4 at a time, critical path 2 tasks.
    "#);
    let all = text::plan(&plan, &heading(&files), true, false);
    insta::assert_snapshot!(all.lines().filter(|l| l.starts_with("  =")).collect::<Vec<_>>().join("\n"), @r#"
    = docs     prompt changed since 00a11cf                          kept (on_change, drover/tasks.toml:7)
    = schema   Users table and migration                             done in 00a11d1
    = x1       The task x1                                           done in 00a11d6
    = x2       The task x2                                           done in 00a11d8
    "#);
}

#[test]
fn a_plan_without_changes_says_so() {
    let mut world = World::new();
    let files = graph([task("a"), task("b").needs("a")]);
    insta::assert_snapshot!(text::plan(&world.plan(&files), &heading(&files), false, false), @r#"
    shop · main @ 3f2a91c · 2 tasks, 1 file
      + a  The task a  claude  ready
      + b  The task b  claude  after a
    Plan: 2 to run.
    Bounds: 4 at a time, critical path 2 tasks.
    "#);
    world.apply(&files);
    insta::assert_snapshot!(text::plan(&world.plan(&files), &heading(&files), false, false), @r#"
    shop · main @ 3f2a91c · 2 tasks, 1 file
    No changes: 2 up to date.
    "#);
}

#[test]
fn guards_errors_and_notes_stand_below_the_table() {
    let mut world = World::new();
    let title = |name: &str| task(name).with(|s| s.title = "T".into()).prompt("p");
    world.apply(&graph([title("a"), task("b"), task("c"), task("strict")]));
    let files =
        graph([title("renamed"), task("b").prompt("1"), task("c").prompt("1"), task("strict").on_change(OnChange::Error).prompt("1")]);
    world.policy.workers = 2;
    world.policy.guidelines = "Be brief.".into();
    insta::assert_snapshot!(text::plan(&world.plan(&files), &heading(&files), false, false), @r#"
    shop · main @ 3f2a91c · 4 tasks, 1 file
      + renamed  T                             claude  ready
      ~ b        prompt changed since 00a11cf  claude  runs again (on_change, drover/tasks.toml:7)
      ~ c        prompt changed since 00a11d1  claude  runs again (on_change, drover/tasks.toml:7)
      ! strict   prompt changed                        on_change = "error" (drover/tasks.toml:7)
      ~ project settings changed
    note: `a` left the files and `renamed` says the same. As it is, its work is done again; if it was renamed, say so in a task file:
        [[moved]]
        from = "a"
        to = "renamed"
    error: drover/tasks.toml:7: task `strict` is completed and its prompt changed, which its on_change = "error" forbids: put it back, say "rerun" or "keep", or run it again with --rerun strict
    Plan: 1 to run, 2 to run again; 1 blocked.
    Bounds: 2 at a time, critical path 1 task.
    "#);
}

#[test]
fn colour_only_repeats_what_a_sign_says() {
    let world = lived_in();
    let files = graph([task("api").prompt("x"), task("new")]);
    let plan = world.plan(&files);
    let plain = text::plan(&plan, &heading(&files), true, false);
    let coloured = text::plan(&plan, &heading(&files), true, true);
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[32m+\u{1b}[0m"));
    let stripped =
        ["\u{1b}[0m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"].iter().fold(coloured, |t, code| t.replace(code, ""));
    assert_eq!(stripped, plain);
}

#[test]
fn status_shows_where_every_task_stands() {
    let mut world = lived_in();
    let shown = |world: &World, options| text::status(&world.state, world.now, options);
    insta::assert_snapshot!(shown(&world, StatusOptions::default()), @r#"
    shop · run run1, began 14m47s ago
      = api      completed           The task api               00a11da, 14m03s ago
      = docs     completed           The task docs              00a11cf, 14m23s ago
      = schema   completed           Users table and migration  00a11d1, 14m19s ago
      = x1       completed           The task x1                00a11d6, 14m11s ago
      = x2       completed           The task x2                00a11d8, 14m07s ago
      * web      in progress: agent  The task web               attempt 1 of 3; 14m00s
      . invoice  blocked             The task invoice           waits for billing, which failed
      . old      blocked             The task old               waits for web
      ! billing  failed              The task billing           14m36s ago; verify `npm test` exit 1
    5 of 9 completed, 1 in progress, 2 blocked, 1 failed.
    "#);
    insta::assert_snapshot!(shown(&world, StatusOptions { tree: true, ..Default::default() }), @r#"
    shop · run run1, began 14m47s ago
      ! billing       failed              The task billing           14m36s ago; verify `npm test` exit 1
      . └─ invoice    blocked             The task invoice           waits for billing, which failed
      = docs          completed           The task docs              00a11cf, 14m23s ago
      = schema        completed           Users table and migration  00a11d1, 14m19s ago
      = └─ api        completed           The task api               00a11da, 14m03s ago
      *    └─ web     in progress: agent  The task web               attempt 1 of 3; 14m00s
      .       └─ old  blocked             The task old               waits for web
      = x1            completed           The task x1                00a11d6, 14m11s ago
      = x2            completed           The task x2                00a11d8, 14m07s ago
    5 of 9 completed, 1 in progress, 2 blocked, 1 failed.
    "#);
    insta::assert_snapshot!(shown(&world, StatusOptions { oneline: true, ..Default::default() }), @"shop: 5 of 9 completed, 1 in progress, 2 blocked, 1 failed; at work");
    world.input(Input::PublishHeld { why: "src/a.rs has changes of yours".into() });
    let held = shown(&world, StatusOptions::default());
    assert!(held.ends_with("Landed, but not yet published: src/a.rs has changes of yours\n"), "{held}");
    insta::assert_snapshot!(shown(&World::new(), StatusOptions::default()), @r#"
    project · never run
    no tasks.
    "#);
}

#[test]
fn the_summary_of_a_run_holds_every_selected_task_with_its_reason() {
    let mut world = lived_in();
    world.selection = Selection::Only(ids("schema api web billing invoice old"));
    world.hang.clear();
    world.run();
    let log = |task: &drover::base::TaskId| (*task == id("billing")).then(|| "/r/.git/drover/attempts/x/out.log".to_owned());
    let options = |verbose, quiet| SummaryOptions { color: false, verbose, quiet, tail: 1, log: &log, watch: None, unmet: None };
    insta::assert_snapshot!(text::summary(&world.state, world.now, &options(false, false)), @r#"
      = old      completed  landed 00a11e4
      = web      completed  landed 00a11df
      . invoice  blocked    waits for billing, which failed
      ! billing  failed     after 1 attempt
    billing failed:
        verify `npm test` exit 1
        more
        | line 2
        log: /r/.git/drover/attempts/x/out.log
      2 done before this run
    Failed in 17s: 4 of 6 completed, 1 blocked, 1 failed.
    "#);
    insta::assert_snapshot!(text::summary(&world.state, world.now, &options(false, true)), @r#"
      ! billing  failed  after 1 attempt
    billing failed:
        verify `npm test` exit 1
        more
        | line 2
        log: /r/.git/drover/attempts/x/out.log
    Failed in 17s: 4 of 6 completed, 1 blocked, 1 failed.
    "#);
    assert!(text::summary(&world.state, world.now, &options(true, false)).contains("schema"));
}

#[test]
fn a_failure_without_details_or_with_too_many_of_them_hides_no_other_in_the_summary_of_a_job() {
    let mut world = World::new();
    let long = format!("{}\n", "b".repeat(200)).repeat(30);
    for (name, message) in [("a", "it is over"), ("b", &*long), ("c", "it broke")] {
        world.fail(name, 9, message);
    }
    world.reconcile(&graph([task("a").attempts(1), task("b").attempts(1), task("c").attempts(1)]));
    world.run();
    world.state.tasks.get_mut(&id("a")).unwrap().last_failure = None;
    let summary = report::ci::summary(&world.state, world.now, 2000);
    let shown = |name: &str| summary.contains(&format!("<summary>{name}</summary>"));
    assert_eq!([shown("a"), shown("b"), shown("c")], [false, false, true], "{summary}");
}
