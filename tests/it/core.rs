//! The scheduler alone: who is claimed when, and what becomes of those that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover::base::{Aid, Digest, Millis, Oid, RunId, TaskId};
use drover::core::view::{Reason, Status, Verdict};
use drover::core::*;
use drover::model::*;

const NOW: Millis = Millis(1_000_000_000);

fn id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

fn oid(n: u64) -> Oid {
    Oid::parse(&format!("{n:040x}")).unwrap()
}

/// A task that runs a shell line.
fn task(name: &str, needs: &[&str]) -> Spec {
    let step = StepSpec {
        id: id(name),
        title: name.into(),
        action: Action::Shell("true".into()),
        verify: vec![],
        timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
    };
    Spec {
        id: id(name),
        title: name.into(),
        epic: None,
        digest: Digest::v1(name.as_bytes()),
        depends_on: needs.iter().map(|n| id(n)).collect(),
        priority: 0,
        labels: vec![],
        groups: vec![],
        steps: vec![step],
        verify: vec![],
        retry: Retry {
            max_attempts: 3,
            delay: Duration::from_secs(10),
            max_delay: Duration::from_secs(25),
            jitter: false,
            backoff: Backoff::Exponential,
        },
        on_change: OnChange::Rerun,
        on_dependency: OnDependency::Keep,
        allow_empty: true,
        protect: vec![],
        workspace: Workspace::Worktree,
        env: BTreeMap::new(),
        env_pass: vec![],
        source: Source::default(),
    }
}

fn by_agent(name: &str, agent: &str) -> Spec {
    let mut spec = task(name, &[]);
    let agent = AgentSpec { name: agent.into(), kind: AgentKind::Command, model: None, args: vec![], command: None };
    spec.steps[0].action = Action::Prompt { text: "do".into(), agent };
    spec
}

/// A run of these tasks on a line that was looked at.
struct Run(State);

impl Run {
    fn new(policy: Policy, specs: Vec<Spec>) -> Self {
        let mut state = State::default();
        let changes = specs.into_iter().map(|s| Change::Define { spec: Arc::new(s), rerun: false }).collect();
        decide(&mut state, NOW, &Input::Reconcile { policy: Some(Arc::new(policy)), changes });
        decide(&mut state, NOW, &Input::RunBegan { run: RunId::parse("r").unwrap(), selection: Selection::All });
        let mut run = Run(state);
        run.input(NOW, Input::LineSynced { was: None, tip: oid(1) });
        run
    }

    fn workers(workers: u32, specs: Vec<Spec>) -> Self {
        Self::new(Policy { workers, ..Policy::default() }, specs)
    }

    fn input(&mut self, at: Millis, input: Input) -> Vec<Fact> {
        decide(&mut self.0, at, &input)
    }

    fn active(&self) -> Vec<String> {
        self.0.active().map(|(t, _)| t.spec.id.to_string()).collect()
    }

    fn aid(&self, name: &str) -> Aid {
        self.0.tasks[&id(name)].attempt().unwrap_or_else(|| panic!("{name} is not under way")).aid.clone()
    }

    fn answer(&mut self, at: Millis, name: &str, answer: Answer) -> Vec<Fact> {
        let aid = self.aid(name);
        self.input(at, Input::Answer { task: id(name), aid, answer })
    }

    /// From where it is to landed.
    fn land(&mut self, name: &str) {
        let n = self.0.head.seq;
        let exit = Exit { outcome: Outcome::Succeeded, summary: String::new() };
        let snap = Snap { tree: oid(n + 100), commit: oid(n + 101), unchanged: false, problem: None };
        self.answer(NOW, name, Answer::Prepared);
        self.answer(NOW, name, Answer::AgentEnded { n: 0, exit });
        self.answer(NOW, name, Answer::Snapshotted { n: 0, snap });
        self.answer(NOW, name, Answer::Committed { commit: oid(n + 102) });
        let merged = Answer::Merged { old: oid(1), new: oid(n + 103), tree: oid(n + 100) };
        self.answer(NOW, name, merged);
        self.answer(NOW, name, Answer::Landed { commit: oid(n + 103), tip: oid(n + 103) });
    }

    fn fail(&mut self, at: Millis, name: &str) -> Vec<Fact> {
        self.answer(at, name, Answer::Broken { failure: Failure::new(FailureClass::Setup, "no") })
    }

    /// The wait before the next attempt, in seconds.
    fn wait(&self, name: &str) -> Option<u64> {
        match &self.0.tasks[&id(name)].phase {
            Phase::Waiting { not_before } => not_before.map(|d| d.length / 1000),
            _ => None,
        }
    }
}

#[test]
fn priority_goes_first_then_the_longest_chain_then_the_elder() {
    let urgent = Spec { priority: 1, ..task("urgent", &[]) };
    let specs =
        vec![task("elder", &[]), task("younger", &[]), task("chain", &[]), task("next", &["chain"]), task("last", &["next"]), urgent];
    let mut run = Run::workers(1, specs);
    let mut order = Vec::new();
    while let Some(name) = run.active().first().cloned() {
        run.land(&name);
        order.push(name);
    }
    assert_eq!(order, ["urgent", "chain", "next", "elder", "younger", "last"]);
    assert!(run.0.tasks.values().all(|t| t.is_completed()));
}

#[test]
fn a_task_is_claimed_as_soon_as_its_own_dependencies_have_landed() {
    let mut run = Run::workers(4, vec![task("slow", &[]), task("quick", &[]), task("after", &["quick"])]);
    run.land("quick");
    assert_eq!(run.active(), ["after", "slow"], "no waiting for the rest of a wave");
    let base = &run.0.tasks[&id("after")].attempt().unwrap().base;
    assert_eq!(Some(base), run.0.head.line.tip.as_ref(), "it starts from what has landed");
}

#[test]
fn an_agent_and_a_group_are_never_used_by_more_than_their_limit() {
    let mut grouped = task("g1", &[]);
    grouped.groups = vec!["db".into()];
    let other = Spec { id: id("g2"), ..grouped.clone() };
    let policy =
        Policy { workers: 9, agents: BTreeMap::from([("a".into(), 2)]), groups: BTreeMap::from([("db".into(), 1)]), ..Policy::default() };
    let run = Run::new(policy, vec![by_agent("a1", "a"), by_agent("a2", "a"), by_agent("a3", "a"), by_agent("b1", "b"), grouped, other]);
    assert_eq!(run.active(), ["a1", "a2", "b1", "g1"]);
    let held = |name: &str| run.0.view(&id(name)).unwrap().reason;
    assert!(matches!(held("a3"), Some(Reason::Held { why }) if why.contains("agent `a`")));
    assert!(matches!(held("g2"), Some(Reason::Held { why }) if why.contains("group `db`")));
}

#[test]
fn retries_wait_longer_each_time_up_to_a_limit_and_end() {
    let mut run = Run::workers(1, vec![task("t", &[]), task("after", &["t"])]);
    run.fail(NOW, "t");
    assert_eq!(run.wait("t"), Some(10));
    run.input(Millis(NOW.0 + 9_999), Input::Tick);
    assert!(run.active().is_empty(), "not before its time");
    run.input(Millis(NOW.0 + 10_000), Input::Tick);
    run.fail(Millis(NOW.0 + 10_000), "t");
    assert_eq!(run.wait("t"), Some(20));
    run.input(Millis(NOW.0 + 30_000), Input::Tick);
    run.fail(Millis(NOW.0 + 30_000), "t");
    assert_eq!(run.0.view(&id("t")).unwrap().status, Status::Failed);
    assert!(matches!(run.0.view(&id("after")).unwrap().reason, Some(Reason::DependencyFailed { task }) if task == id("t")));
    assert_eq!(run.0.verdict(), Verdict::Failed);
}

#[test]
fn jitter_stays_within_a_quarter_below_and_never_exceeds_the_limit() {
    let mut seen = Vec::new();
    for n in 0..50 {
        let mut spec = task(&format!("t{n}"), &[]);
        spec.retry.jitter = true;
        let mut run = Run::workers(1, vec![spec]);
        run.input(NOW, Input::RunBegan { run: RunId::parse(&format!("r{n}")).unwrap(), selection: Selection::All });
        run.fail(NOW, &format!("t{n}"));
        match &run.0.tasks[&id(&format!("t{n}"))].phase {
            Phase::Waiting { not_before: Some(due) } => seen.push(due.length),
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.iter().all(|ms| (7_500..=10_000).contains(ms)), "{seen:?}");
}

#[test]
fn a_clock_that_jumps_ten_years_neither_stalls_a_retry_nor_lets_it_storm() {
    let decade = 10 * 365 * 86_400_000u64;
    let mut run = Run::workers(1, vec![task("t", &[])]);
    run.fail(Millis(NOW.0 + decade), "t");
    // The clock goes back: the wait is no longer than it was meant to be.
    run.input(NOW, Input::Tick);
    assert_eq!(run.active(), ["t"]);
    run.fail(NOW, "t");
    // And forward: one attempt, not many.
    let facts = run.input(Millis(NOW.0 + decade), Input::Tick);
    assert_eq!(facts.iter().filter(|f| matches!(f, Fact::Claimed { .. })).count(), 1);
}

#[test]
fn with_fail_fast_nothing_is_claimed_after_a_failure_and_a_run_may_say_otherwise() {
    for (policy, limit, left) in [(true, None, 0), (false, Some(true), 0), (true, Some(false), 1), (false, None, 1)] {
        let once = Spec { retry: Retry { max_attempts: 1, ..Retry::default() }, ..task("a", &[]) };
        let mut run = Run::new(Policy { workers: 1, fail_fast: policy, ..Policy::default() }, vec![once, task("b", &[])]);
        run.input(NOW, Input::Limit(Limits { workers: None, fail_fast: limit }));
        run.fail(NOW, "a");
        assert_eq!(run.active().len(), left, "{policy} {limit:?}");
    }
}

#[test]
fn when_the_time_of_a_run_is_over_nothing_more_is_claimed_and_what_runs_may_end() {
    let mut run = Run::new(Policy { workers: 1, max_time: Some(5_000), ..Policy::default() }, vec![task("a", &[]), task("b", &[])]);
    run.input(Millis(NOW.0 + 5_000), Input::Tick);
    run.land("a");
    assert!(run.active().is_empty());
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("max_time")));
}

#[test]
fn trouble_uses_no_attempt_and_ten_in_a_row_are_a_failure() {
    let mut run = Run::workers(1, vec![task("t", &[])]);
    let mut at = NOW;
    for n in 0..10 {
        assert_eq!(run.0.tasks[&id("t")].failures, 0, "after {n} troubles");
        run.answer(at, "t", Answer::Trouble { why: "disk full".into() });
        at = Millis(at.0 + 100_000);
        run.input(at, Input::Tick);
    }
    let task = &run.0.tasks[&id("t")];
    assert_eq!((task.failures, &task.phase), (1, &Phase::Failed));
    assert!(task.last_failure.as_ref().unwrap().message.contains("disk full"));
}

#[test]
fn an_attempt_whose_definition_moved_does_not_land_unless_it_is_to_be_kept() {
    for (on_change, lands) in [(OnChange::Rerun, false), (OnChange::Keep, true)] {
        let spec = Spec { on_change, ..task("t", &[]) };
        let mut run = Run::workers(1, vec![spec.clone()]);
        let moved = Spec { digest: Digest::v1(b"moved"), ..spec };
        run.input(NOW, Input::Reconcile { policy: None, changes: vec![Change::Define { spec: Arc::new(moved), rerun: false }] });
        let aid = run.aid("t");
        run.answer(NOW, "t", Answer::Prepared);
        run.answer(NOW, "t", Answer::AgentEnded { n: 0, exit: Exit { outcome: Outcome::Succeeded, summary: String::new() } });
        let snap = Snap { tree: oid(5), commit: oid(6), unchanged: false, problem: None };
        run.answer(NOW, "t", Answer::Snapshotted { n: 0, snap });
        let facts = run.answer(NOW, "t", Answer::Committed { commit: oid(7) });
        let superseded = facts.iter().any(|f| matches!(f, Fact::Superseded { aid: a, .. } if *a == aid));
        assert_eq!(superseded, !lands, "{on_change:?}: {facts:?}");
    }
}

#[test]
fn facts_that_cannot_follow_are_refused() {
    let mut run = Run::workers(1, vec![task("t", &[])]);
    let aid = run.aid("t");
    let landed = Fact::Landed { task: id("t"), aid: aid.clone(), commit: oid(9), tip: oid(9) };
    assert!(run.0.apply(NOW, &landed).is_err(), "nothing lands that was not merged");
    let other = Fact::Prepared { task: id("t"), aid: Aid::parse("r-99").unwrap() };
    assert!(run.0.apply(NOW, &other).is_err(), "an attempt that is not under way");
    let claimed = Fact::Claimed { task: id("t"), aid, base: oid(1) };
    assert!(run.0.apply(NOW, &claimed).is_err(), "claimed already");
}
