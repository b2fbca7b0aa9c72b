//! The scheduler alone: who is claimed when, and what becomes of those that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover::base::{Aid, Digest, EpicId, Millis, Oid, RunId, TaskId};
use drover::core::view::{Reason, Status, Verdict};
use drover::core::*;
use drover::engine::machine::{Done, Machine};
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
        title: name.into(),
        digest: Digest::v1(name.as_bytes()),
        depends_on: needs.iter().map(|n| id(n)).collect(),
        steps: vec![step],
        retry: Retry {
            max_attempts: 3,
            delay: Duration::from_secs(10),
            max_delay: Duration::from_secs(25),
            jitter: false,
            backoff: Backoff::Exponential,
        },
        allow_empty: true,
        ..Spec::new(id(name))
    }
}

fn by_agent(name: &str, agent: &str) -> Spec {
    let mut spec = task(name, &[]);
    let agent = AgentSpec::new(agent, AgentKind::Command);
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
        self.input(at, Input::Answer { task: id(name), aid, answer: Box::new(answer) })
    }

    /// From where it is to landed.
    fn land(&mut self, name: &str) {
        let n = self.0.head.seq;
        let exit = Exit::of(Outcome::Succeeded);
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
        run.answer(NOW, "t", Answer::AgentEnded { n: 0, exit: Exit::of(Outcome::Succeeded) });
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

#[test]
fn what_needs_reverted_work_waits_until_that_is_back() {
    let mut run = Run::workers(2, vec![task("a", &[]), task("b", &["a"])]);
    run.land("a");
    assert_eq!(run.active(), ["b"], "begun before anything was taken back, it goes on");
    let mut run = Run::workers(1, vec![task("a", &[]), task("b", &["a"]), task("z", &[])]);
    let revert = |by: Option<Oid>| Input::Reverts { found: vec![(id("a"), by), (id("z"), Some(oid(7))), (id("none"), Some(oid(7)))] };
    assert!(run.input(NOW, revert(Some(oid(7)))).is_empty(), "nothing is completed yet");
    run.land("a");
    run.fail(NOW, "b");
    let facts = run.input(NOW, revert(Some(oid(7))));
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert!(run.input(NOW, revert(Some(oid(7)))).is_empty(), "told once");
    run.land("z");
    let later = Millis(NOW.0 + 60_000);
    run.input(later, Input::Tick);
    assert_eq!(run.active(), Vec::<String>::new());
    let view = run.0.view(&id("b")).unwrap();
    assert_eq!((view.status, view.reason), (Status::Blocked, Some(Reason::DependencyReverted { task: id("a") })));
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("b (needs a)")));
    run.input(later, Input::Reverts { found: vec![(id("a"), None)] });
    assert_eq!(run.active(), ["b"]);
}

/// The end of a task's agent, and of its attempt if that did not succeed.
impl Run {
    fn agent_ends(&mut self, at: Millis, name: &str, outcome: Outcome) -> Vec<Fact> {
        let snap = Snap { tree: oid(7), commit: oid(8), unchanged: false, problem: None };
        self.answer(at, name, Answer::Prepared);
        self.answer(at, name, Answer::AgentEnded { n: 0, exit: Exit::of(outcome) });
        self.answer(at, name, Answer::Snapshotted { n: 0, snap })
    }

    fn held(&mut self, at: Millis, name: &str, kind: HoldKind, until: Option<Millis>) -> Vec<Fact> {
        self.agent_ends(at, name, Outcome::Held(Hold { kind, until, message: "no".into() }))
    }

    fn stage(&self, agent: &str) -> Option<Stage> {
        self.0.head.pauses.get(agent).map(|p| p.stage)
    }

    /// The wait of a paused agent, in seconds.
    fn pause(&self, agent: &str) -> u64 {
        match self.stage(agent) {
            Some(Stage::Waiting(due)) => due.length / 1000,
            other => panic!("{agent}: {other:?}"),
        }
    }

    /// Nothing is under way, and nothing waits for a time.
    fn is_at_rest(&self) -> bool {
        let timer = self.0.outstanding().into_iter().any(|c| matches!(c, Command::WakeAt { .. }));
        self.active().is_empty() && !timer
    }

    fn reason(&self, name: &str) -> Option<Reason> {
        self.0.view(&id(name)).unwrap().reason
    }
}

fn seconds(n: u64) -> Millis {
    Millis(NOW.0 + n * 1000)
}

#[test]
fn a_rate_limit_pauses_the_agent_for_everybody_until_it_is_lifted_and_uses_no_attempt() {
    let specs = vec![by_agent("a", "x"), by_agent("b", "x"), by_agent("c", "x"), by_agent("d", "y")];
    let mut run = Run::workers(2, specs);
    assert_eq!(run.active(), ["a", "b"]);
    run.held(NOW, "a", HoldKind::RateLimit, Some(seconds(600)));
    assert_eq!(run.active(), ["b", "d"], "those of another agent go on");
    let paused = Reason::Paused { agent: "x".into(), why: HoldKind::RateLimit, until: Some(seconds(600)) };
    assert_eq!(run.reason("a"), Some(paused.clone()));
    assert_eq!(run.reason("c"), Some(paused));
    let task = &run.0.tasks[&id("a")];
    assert_eq!((task.failures, task.interruptions), (0, 0));
    assert!(task.carry.is_some(), "what it made is kept");

    // One that was under way hears of the same limit: that is no second strike.
    run.held(seconds(5), "b", HoldKind::RateLimit, None);
    assert_eq!(run.pause("x"), 600);
    assert_eq!(run.0.head.pauses["x"].strikes, 1);
    run.land("d");
    assert!(!run.is_at_rest(), "it waits");
    assert_eq!(run.0.outstanding().into_iter().filter(|c| matches!(c, Command::WakeAt { .. })).count(), 1);
    run.input(seconds(599), Input::Tick);
    assert!(run.active().is_empty());

    run.input(seconds(600), Input::Tick);
    assert_eq!(run.active(), ["c"], "one tries first");
    run.agent_ends(seconds(601), "c", Outcome::Succeeded);
    assert_eq!(run.stage("x"), None);
    assert_eq!(run.active(), ["a", "c"], "then the rest");
    let attempt = run.0.tasks[&id("a")].attempt().unwrap();
    assert_eq!(attempt.restore, Some(oid(7)), "with the files as they were left");
    let talk = attempt.conversation.clone().unwrap();
    assert_eq!((talk.n, talk.aid.as_str()), (0, "r-1"), "and the conversation");
}

#[test]
fn a_conversation_is_gone_on_with_after_any_number_of_interruptions_and_not_after_a_failure() {
    let mut run = Run::workers(1, vec![by_agent("a", "x")]);
    for _ in 0..3 {
        run.agent_ends(NOW, "a", Outcome::Interrupted);
        let talk = run.0.tasks[&id("a")].attempt().unwrap().conversation.clone();
        assert_eq!(talk.unwrap().aid.as_str(), "r-1");
    }
    run.agent_ends(NOW, "a", Outcome::Failed(Failure::new(FailureClass::Agent, "no")));
    run.input(seconds(100), Input::Tick);
    assert_eq!(run.0.tasks[&id("a")].attempt().unwrap().conversation, None);
}

#[test]
fn a_trial_of_which_nothing_is_heard_lets_the_others_in() {
    let mut run = Run::workers(3, vec![by_agent("a", "x"), by_agent("b", "x")]);
    run.held(NOW, "a", HoldKind::RateLimit, None);
    run.held(NOW, "b", HoldKind::RateLimit, None);
    assert_eq!(run.pause("x"), 30);
    run.input(seconds(30), Input::Tick);
    assert_eq!(run.active().len(), 1);
    run.input(seconds(60), Input::Tick);
    assert_eq!(run.active().len(), 2);
    assert_eq!(run.stage("x"), Some(Stage::Open));
    // It was too early all the same: the next wait is longer.
    run.held(seconds(61), "a", HoldKind::RateLimit, None);
    assert_eq!((run.pause("x"), run.0.head.pauses["x"].strikes), (60, 2));
}

#[test]
fn the_wait_for_an_overloaded_service_grows_and_ends_with_the_agent_stopped_and_nothing_failed() {
    let mut run = Run::workers(1, vec![by_agent("a", "x")]);
    let mut at = NOW;
    let mut waits = Vec::new();
    while !run.is_at_rest() {
        run.held(at, "a", HoldKind::Overload, None);
        if let Some(Stage::Waiting(due)) = run.stage("x") {
            waits.push(due.length / 1000);
            at = due.at;
            run.input(at, Input::Tick);
        }
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
    assert_eq!(run.stage("x"), Some(Stage::Stopped));
    assert_eq!(run.0.tasks[&id("a")].failures, 0);
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("agent `x` is refused by a service that is overloaded")));
}

#[test]
fn a_reset_time_that_proves_too_early_is_not_believed_again() {
    let mut run = Run::workers(1, vec![by_agent("a", "x")]);
    for (at, wait) in [(0, 1), (1, 30), (31, 60)] {
        run.held(seconds(at), "a", HoldKind::RateLimit, Some(seconds(at + 1)));
        assert_eq!(run.pause("x"), wait);
        run.input(seconds(at + wait), Input::Tick);
    }
}

#[test]
fn a_key_that_is_refused_stops_the_agent_for_this_run_and_the_next_one_tries_again() {
    let mut run = Run::workers(2, vec![by_agent("a", "x"), by_agent("b", "x"), by_agent("c", "y"), task("d", &["a"])]);
    run.held(NOW, "a", HoldKind::Authentication, None);
    run.held(NOW, "b", HoldKind::Authentication, None);
    run.land("c");
    assert!(run.is_at_rest());
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("agent `x` is not logged in")));
    run.input(NOW, Input::RunEnds);
    let reason = Reason::Paused { agent: "x".into(), why: HoldKind::Authentication, until: None };
    assert_eq!(run.reason("a"), Some(reason), "also when the run is over");
    run.input(NOW, Input::RunBegan { run: RunId::parse("next").unwrap(), selection: Selection::All });
    run.input(NOW, Input::LineSynced { was: None, tip: oid(50) });
    assert_eq!(run.active(), ["a"], "one first");
}

/// A task of agent `x`, whose work `y` does where it is stopped.
fn by_either(name: &str) -> Spec {
    let mut spec = by_agent(name, "x");
    let Action::Prompt { agent, .. } = &mut spec.steps[0].action else { unreachable!() };
    agent.fallback = Some(Box::new(AgentSpec::new("y", AgentKind::Command)));
    spec
}

#[test]
fn where_an_agent_is_stopped_its_fallback_does_the_work_and_the_next_run_tries_it_again() {
    let mut run = Run::workers(3, vec![by_either("a"), by_either("b"), by_agent("c", "x")]);
    run.held(NOW, "a", HoldKind::Authentication, None);
    let attempt = run.0.tasks[&id("a")].attempt().expect("it goes on at once");
    assert_eq!(attempt.stand_ins, BTreeMap::from([("x".to_owned(), "y".to_owned())]));
    assert_eq!(attempt.conversation, None, "what was said to x is nothing to y");
    assert!(attempt.restore.is_some(), "but the files are there");
    assert_eq!(run.0.tasks[&id("a")].failures, 0);
    assert!(run.0.tasks[&id("b")].attempt().unwrap().stand_ins.is_empty(), "who is at work stays");

    run.agent_ends(NOW, "a", Outcome::Interrupted);
    let talk = run.0.tasks[&id("a")].attempt().unwrap().conversation.clone().unwrap();
    assert_eq!(talk.agent.as_deref(), Some("y"), "its own is gone on with");
    run.held(NOW, "a", HoldKind::Billing, None);
    assert_eq!((run.stage("x"), run.stage("y")), (Some(Stage::Stopped), Some(Stage::Stopped)));
    let paused = Reason::Paused { agent: "x".into(), why: HoldKind::Authentication, until: None };
    assert_eq!(run.reason("a"), Some(paused), "nobody is left to turn to");
    run.agent_ends(NOW, "c", Outcome::Failed(Failure::new(FailureClass::Agent, "no")));
    run.land("b");
    run.input(NOW, Input::RunEnds);

    run.input(NOW, Input::RunBegan { run: RunId::parse("next").unwrap(), selection: Selection::All });
    run.input(NOW, Input::LineSynced { was: None, tip: oid(900) });
    assert_eq!(run.active(), ["a"]);
    let attempt = run.0.tasks[&id("a")].attempt().unwrap();
    assert!(attempt.stand_ins.is_empty() && attempt.conversation.is_none(), "{attempt:?}");
}

#[test]
fn an_agent_that_only_pauses_is_waited_for_and_its_fallback_does_nothing() {
    let mut run = Run::workers(2, vec![by_either("a"), by_either("b")]);
    run.held(NOW, "a", HoldKind::RateLimit, Some(seconds(60)));
    assert_eq!(run.active(), ["b"]);
}

#[test]
fn a_limit_of_an_agent_counts_what_it_does_for_others() {
    let policy = Policy { workers: 4, agents: BTreeMap::from([("y".to_owned(), 1)]), ..Policy::default() };
    let mut run = Run::new(policy, vec![by_either("a"), by_either("b"), by_agent("c", "y")]);
    assert_eq!(run.active(), ["a", "b", "c"]);
    run.held(NOW, "a", HoldKind::Authentication, None);
    assert_eq!(run.active(), ["b", "c"], "y is at its limit");
    run.land("c");
    assert_eq!(run.active(), ["a", "b"]);
}

#[test]
fn a_run_that_is_not_to_wait_or_not_so_long_stops() {
    for (max_pause, until) in [(0, None), (0, Some(seconds(1))), (60_000, Some(seconds(61)))] {
        let policy = Policy { workers: 1, max_pause, ..Policy::default() };
        let mut run = Run::new(policy, vec![by_agent("a", "x")]);
        run.held(NOW, "a", HoldKind::RateLimit, until);
        assert_eq!(run.stage("x"), Some(Stage::Stopped));
        assert!(run.is_at_rest());
    }
    let mut run = Run::new(Policy { workers: 1, max_pause: 10_000, ..Policy::default() }, vec![by_agent("a", "x")]);
    run.held(NOW, "a", HoldKind::RateLimit, None);
    assert_eq!(run.pause("x"), 10, "a wait of our own is cut to it");
}

#[test]
fn what_agents_use_is_summed_for_attempt_task_run_and_ever() {
    let mut run = Run::workers(1, vec![by_agent("a", "x")]);
    let usage =
        Usage { input_tokens: 5, output_tokens: 2, cache_read_tokens: 100, cache_write_tokens: 1, cost_microusd: 7, turns: 1, millis: 3 };
    for n in 1..3 {
        let exit = Exit { usage, ..Exit::of(Outcome::Interrupted) };
        run.answer(NOW, "a", Answer::Prepared);
        run.answer(NOW, "a", Answer::AgentEnded { n: 0, exit });
        let snap = Snap { tree: oid(7), commit: oid(8), unchanged: false, problem: None };
        assert_eq!(run.0.tasks[&id("a")].attempt().unwrap().usage.tokens(), 8);
        run.answer(NOW, "a", Answer::Snapshotted { n: 0, snap });
        assert_eq!(run.0.tasks[&id("a")].usage.cost_microusd, 7 * n);
    }
    let next = |run: &mut Run| run.input(NOW, Input::RunBegan { run: RunId::parse("next").unwrap(), selection: Selection::All });
    next(&mut run);
    assert_eq!(run.0.head.run.as_ref().unwrap().usage.tokens(), 16, "a run that was cut short is gone on with");
    run.input(NOW, Input::RunEnds);
    next(&mut run);
    assert!(run.0.head.run.as_ref().unwrap().usage.is_zero());
    assert_eq!(run.0.head.usage.turns, 2);
}

/// What one step uses.
fn used(cost_microusd: u64, turns: u64, outcome: Outcome) -> Exit {
    Exit { usage: Usage { cost_microusd, turns, ..Usage::default() }, ..Exit::of(outcome) }
}

impl Run {
    fn step_ends(&mut self, at: Millis, name: &str, n: usize, exit: Exit) {
        let snap = Snap { tree: oid(70 + n as u64), commit: oid(8), unchanged: false, problem: None };
        self.answer(at, name, Answer::Prepared);
        self.answer(at, name, Answer::AgentEnded { n, exit });
        self.answer(at, name, Answer::Snapshotted { n, snap });
    }
}

fn costs(microusd: u64) -> Budget {
    Budget { cost_microusd: Some(microusd), ..Budget::default() }
}

fn over_its_limit(class: FailureClass) -> Outcome {
    Outcome::Failed(Failure::new(class, "limit"))
}

#[test]
fn a_task_that_used_up_its_budget_is_set_aside_without_counting_until_it_may_use_more() {
    let spec = Spec { budget: costs(5), ..by_agent("a", "x") };
    let mut run = Run::workers(1, vec![spec.clone(), by_agent("b", "x")]);
    run.step_ends(NOW, "a", 0, used(6, 1, over_its_limit(FailureClass::CostLimit)));
    assert_eq!(run.active(), ["b"], "others go on");
    let view = run.0.view(&id("a")).unwrap();
    assert_eq!(view.status, Status::Blocked);
    assert!(matches!(view.reason, Some(Reason::BudgetExceeded { .. })), "{view:?}");
    assert_eq!((view.failures, run.0.tasks[&id("a")].interruptions), (0, 0));
    run.land("b");
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("budget_exceeded: a")));
    let more = Arc::new(Spec { budget: costs(20), ..spec });
    run.input(NOW, Input::Reconcile { policy: None, changes: vec![Change::Define { spec: more, rerun: false }] });
    let attempt = run.0.tasks[&id("a")].attempt().expect("a larger budget is no new definition");
    assert_eq!((attempt.restore.clone(), attempt.conversation.is_some()), (Some(oid(70)), true), "it goes on with what it had");
}

#[test]
fn a_failure_of_a_task_that_has_nothing_left_is_not_tried_again() {
    let mut run = Run::workers(1, vec![Spec { budget: costs(5), ..by_agent("a", "x") }]);
    run.step_ends(NOW, "a", 0, used(6, 1, over_its_limit(FailureClass::Agent)));
    run.input(seconds(100), Input::Tick);
    assert!(run.active().is_empty());
    assert_eq!(run.0.tasks[&id("a")].failures, 1, "that one counts");
}

#[test]
fn a_step_that_is_whole_is_kept_when_nothing_is_left_for_the_next() {
    let mut spec = Spec { budget: costs(5), ..by_agent("a", "x") };
    spec.steps.push(StepSpec { id: id("a.two"), ..spec.steps[0].clone() });
    let mut run = Run::workers(1, vec![spec]);
    run.step_ends(NOW, "a", 0, used(5, 1, Outcome::Succeeded));
    assert!(run.active().is_empty());
    let carry = run.0.tasks[&id("a")].carry.clone().unwrap();
    assert_eq!((carry.snaps.len(), carry.tree, carry.conversation), (1, None, None));
}

#[test]
fn a_run_that_used_up_its_budget_begins_nothing_more_and_lets_finish_what_has_succeeded() {
    let budget = Budget { turns: Some(3), ..Budget::default() };
    let mut run = Run::new(Policy { workers: 1, budget, ..Policy::default() }, vec![by_agent("a", "x"), by_agent("b", "x")]);
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("a")]).turns, Some(3));
    run.step_ends(NOW, "a", 0, used(0, 3, Outcome::Succeeded));
    assert_eq!(run.active(), ["a"], "it is paid for, and lands");
    run.answer(NOW, "a", Answer::Committed { commit: oid(90) });
    run.answer(NOW, "a", Answer::Merged { old: oid(1), new: oid(91), tree: oid(70) });
    run.answer(NOW, "a", Answer::Landed { commit: oid(91), tip: oid(91) });
    assert!(run.is_at_rest());
    assert!(matches!(run.reason("b"), Some(Reason::BudgetExceeded { .. })));
    assert!(
        matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("budget_exceeded: the run's budget is used up: 3 turns of 3 turns"))
    );
    run.input(NOW, Input::RunEnds);
    run.input(NOW, Input::RunBegan { run: RunId::parse("next").unwrap(), selection: Selection::All });
    run.input(NOW, Input::LineSynced { was: None, tip: oid(91) });
    assert_eq!(run.active(), ["b"], "the next run has a budget of its own");
}

#[test]
fn the_runs_of_one_watch_share_a_budget() {
    let budget = Budget { turns: Some(3), ..Budget::default() };
    let mut run = Run::new(Policy { workers: 1, budget, ..Policy::default() }, vec![by_agent("a", "x"), by_agent("b", "x")]);
    run.step_ends(NOW, "a", 0, used(0, 3, over_its_limit(FailureClass::Agent)));
    run.input(NOW, Input::RunEnds);
    run.input(NOW, Input::Again { run: RunId::parse("again").unwrap() });
    run.input(NOW, Input::LineSynced { was: None, tip: oid(1) });
    assert_eq!(run.0.head.run.as_ref().unwrap().usage.turns, 3);
    assert!(run.active().is_empty());
}

#[test]
fn while_it_stands_by_nothing_is_begun_and_what_runs_may_finish() {
    let mut run = Run::workers(1, vec![task("a", &[]), task("b", &[])]);
    run.input(NOW, Input::StandBy { why: Some("another branch".into()) });
    run.land("a");
    assert!(run.active().is_empty());
    assert_eq!(run.reason("b"), Some(Reason::Held { why: "another branch".into() }));
    run.input(NOW, Input::StandBy { why: None });
    assert_eq!(run.active(), ["b"]);
}

#[test]
fn an_epic_that_used_up_its_budget_begins_nothing_more_and_others_go_on() {
    let of = |epic: &str, name: &str| Spec { epic: Some(EpicId::parse(epic).unwrap()), ..by_agent(name, "x") };
    let policy = |budget| Policy { workers: 1, epic_budgets: [(EpicId::parse("e").unwrap(), costs(budget))].into(), ..Policy::default() };
    let mut run = Run::new(policy(5), vec![of("e", "a"), of("e", "b"), of("f", "c")]);
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("a")]).cost_microusd, Some(5));
    run.step_ends(NOW, "a", 0, used(6, 1, Outcome::Succeeded));
    run.answer(NOW, "a", Answer::Committed { commit: oid(90) });
    run.answer(NOW, "a", Answer::Merged { old: oid(1), new: oid(91), tree: oid(70) });
    run.answer(NOW, "a", Answer::Landed { commit: oid(91), tip: oid(91) });
    assert_eq!(run.active(), ["c"]);
    let reason = run.reason("b");
    assert!(
        matches!(&reason, Some(Reason::BudgetExceeded { what }) if what.starts_with("the budget of epic `e` is used up")),
        "{reason:?}"
    );
    run.land("c");
    assert!(matches!(run.0.verdict(), Verdict::Stopped(why) if why.contains("budget_exceeded: b")));
    run.input(NOW, Input::Reconcile { policy: Some(Arc::new(policy(9))), changes: vec![] });
    assert_eq!(run.active(), ["b"]);
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("b")]).cost_microusd, Some(3));
}

#[test]
fn an_attempt_that_used_up_what_it_may_fails_and_the_next_may_use_as_much() {
    let mut spec = Spec { attempt_budget: costs(5), ..by_agent("a", "x") };
    spec.steps.push(StepSpec { id: id("a.two"), ..spec.steps[0].clone() });
    let mut run = Run::workers(1, vec![spec]);
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("a")]).cost_microusd, Some(5));
    run.step_ends(NOW, "a", 0, used(6, 1, over_its_limit(FailureClass::CostLimit)));
    assert_eq!((run.0.tasks[&id("a")].failures, run.active().len()), (1, 0), "it counts");
    run.input(seconds(100), Input::Tick);
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("a")]).cost_microusd, Some(5));
    run.step_ends(seconds(100), "a", 0, used(2, 1, Outcome::Succeeded));
    assert_eq!(run.0.budget_left(&run.0.tasks[&id("a")]).cost_microusd, Some(3), "the next step has what is left");
    run.step_ends(seconds(100), "a", 1, used(3, 1, Outcome::Succeeded));
    assert_eq!(run.active(), ["a"], "what is whole lands");
    let mut spec = Spec { attempt_budget: costs(5), ..by_agent("b", "x") };
    spec.steps.push(StepSpec { id: id("b.two"), ..spec.steps[0].clone() });
    let mut run = Run::workers(1, vec![spec]);
    run.step_ends(NOW, "b", 0, used(5, 1, Outcome::Succeeded));
    let failure = run.0.tasks[&id("b")].last_failure.clone().unwrap();
    assert!(failure.message.starts_with("it used up what an attempt may use"), "{failure:?}");
}

#[test]
fn what_a_plan_can_cost_is_bounded_by_every_budget_there_is() {
    let spec = |name: &str, epic: &str| {
        let mut spec = Spec { epic: Some(EpicId::parse(epic).unwrap()), ..by_agent(name, "x") };
        if let Action::Prompt { agent, .. } = &mut spec.steps[0].action {
            agent.kind = AgentKind::ClaudeCode;
        }
        spec
    };
    let bound = |policy: &Policy, specs: Vec<Spec>| {
        let run = Run::new(policy.clone(), specs);
        run.0.cost_bound(policy, run.0.tasks.values())
    };
    let none = Policy::default();
    let epic = Policy { epic_budgets: [(EpicId::parse("e").unwrap(), costs(10))].into(), ..Policy::default() };
    let all = Policy { budget: costs(12), ..epic.clone() };
    let a = Spec { budget: costs(7), ..spec("a", "e") };
    let b = Spec { attempt_budget: costs(2), ..spec("b", "e") };
    let free = spec("c", "e");
    let other = Spec { budget: costs(4), ..spec("d", "f") };
    assert_eq!(bound(&none, vec![a.clone(), by_agent("x", "x")]), Some(7), "a command says of nothing what it costs");
    assert_eq!(bound(&none, vec![a.clone(), b.clone()]), Some(7 + 3 * 2));
    assert_eq!(bound(&none, vec![a.clone(), free.clone()]), None);
    assert_eq!(bound(&epic, vec![a.clone(), free.clone(), other.clone()]), Some(10 + 4));
    assert_eq!(bound(&all, vec![a, b, free, other]), Some(12));
    assert_eq!(bound(&none, vec![]), Some(0));
}

#[test]
fn a_look_at_the_line_that_was_overtaken_is_made_again() {
    let policy = Policy { merge: MergePolicy { push: "origin".into(), ..Policy::default().merge }, ..Policy::default() };
    let mut run = Run::new(policy, vec![]);
    run.input(NOW, Input::Pushed { tip: oid(1) });
    run.input(NOW, Input::Published { tip: oid(1) });
    assert!(run.is_at_rest());
    // One look began here, another saw the remote's commit 2, and the first has seen a person's 3 since.
    run.input(NOW, Input::LineSynced { was: Some(oid(1)), tip: oid(2) });
    run.input(NOW, Input::Pushed { tip: oid(2) });
    run.input(NOW, Input::Published { tip: oid(2) });
    run.input(NOW, Input::LineSynced { was: Some(oid(1)), tip: oid(3) });
    assert!(run.0.outstanding().contains(&Command::Publish), "what it saw may be news, and nobody else would look");
    run.input(NOW, Input::LineSynced { was: Some(oid(2)), tip: oid(3) });
    assert!(run.0.outstanding().contains(&Command::Push), "and the remote is to have it");
}

#[test]
fn a_publishing_that_was_under_way_when_a_person_asked_does_not_count_as_the_answer() {
    let mut run = Run::workers(1, vec![]);
    let held = || Input::PublishWaits { why: "waiting for your checkout: a".into(), paths: vec!["a".into()] };
    let publish = |run: &Run| run.0.head.line.publish.clone();
    run.input(NOW, Input::PublishAsked { restore: true });
    run.input(NOW, held());
    assert_eq!((publish(&run), run.0.head.line.asked.restore), (Publish::Owed, true), "it had looked before they asked");
    assert!(run.0.outward().busy && run.0.outstanding().contains(&Command::Publish));
    run.input(NOW, held());
    let told = run.0.outward();
    assert_eq!((told.busy, told.paths.as_slice(), run.0.head.line.asked.clone()), (false, ["a".to_owned()].as_slice(), Asked::default()));
    // Nothing is under way: the next answer is the one.
    run.input(NOW, Input::PublishAsked { restore: false });
    assert!(run.0.outward().busy);
    run.input(NOW, Input::PublishBusy { why: "a lock".into() });
    assert!(run.0.outward().busy, "it is tried again soon");
    run.input(NOW, Input::PublishAsked { restore: false });
    run.input(NOW, Input::Published { tip: oid(1) });
    assert_eq!((publish(&run), run.0.outward().busy), (Publish::Done, false));
    // Nor does one that went well: the target may have been reset since, and be asked back.
    run.input(NOW, Input::PublishAsked { restore: true });
    run.input(NOW, Input::PublishAsked { restore: true });
    run.input(NOW, Input::Published { tip: oid(1) });
    assert_eq!((publish(&run), run.0.head.line.asked.restore), (Publish::Owed, true));
    run.input(NOW, Input::Published { tip: oid(1) });
    assert_eq!((publish(&run), run.0.head.line.asked.clone()), (Publish::Done, Asked::default()));
}

#[test]
fn a_gate_that_changes_while_a_landing_is_under_way_is_not_asked_before_that_has_ended() {
    let mut run = Run::workers(1, vec![task("a", &[])]);
    let exit = Exit::of(Outcome::Succeeded);
    let snap = Snap { tree: oid(2), commit: oid(3), unchanged: false, problem: None };
    run.answer(NOW, "a", Answer::Prepared);
    run.answer(NOW, "a", Answer::AgentEnded { n: 0, exit });
    run.answer(NOW, "a", Answer::Snapshotted { n: 0, snap });
    run.answer(NOW, "a", Answer::Committed { commit: oid(4) });
    run.answer(NOW, "a", Answer::Merged { old: oid(1), new: oid(5), tree: oid(2) });
    let aid = run.aid("a");
    let mut machine = Machine::new(run.0);
    let due = |machine: &mut Machine| -> Vec<Command> {
        let jobs = machine.due().into_iter().map(|job| job.command);
        jobs.filter(|c| c.attempt().is_some() || matches!(c, Command::Clean { .. })).collect()
    };
    let land = Command::Land { task: id("a"), aid: aid.clone(), new: oid(5) };
    assert_eq!(due(&mut machine).as_slice(), std::slice::from_ref(&land));

    // A person who has it watch the files wants one more check of all that lands.
    let whole = Check { name: None, run: "whole".into(), timeout: Duration::from_secs(1) };
    let merge = MergePolicy { verify: vec![whole], ..MergePolicy::default() };
    let policy = Some(Arc::new(Policy { merge, ..Policy::default() }));
    machine.input(NOW, &Input::Reconcile { policy, changes: vec![] });
    assert_eq!(due(&mut machine), [], "it may have landed: whether it has comes first");

    let lost = Input::Answer { task: id("a"), aid: aid.clone(), answer: Box::new(Answer::Trouble { why: "the disk is full".into() }) };
    machine.done(NOW, Done { command: land, inputs: vec![lost] });
    assert_eq!(due(&mut machine), []);
    machine.input(NOW.after(Duration::from_secs(1)), &Input::Tick);
    assert!(matches!(due(&mut machine)[..], [Command::Check { .. }]));
}

#[test]
fn where_it_cannot_be_told_whether_what_a_person_ended_has_landed_it_is_asked_again_after_a_wait() {
    let mut run = Run::workers(1, vec![task("a", &[])]);
    let aid = run.aid("a");
    let snap = Snap { tree: oid(2), commit: oid(3), unchanged: false, problem: None };
    run.answer(NOW, "a", Answer::Prepared);
    run.answer(NOW, "a", Answer::AgentEnded { n: 0, exit: Exit::of(Outcome::Succeeded) });
    run.answer(NOW, "a", Answer::Snapshotted { n: 0, snap });
    run.answer(NOW, "a", Answer::Committed { commit: oid(4) });
    run.answer(NOW, "a", Answer::Merged { old: oid(1), new: oid(5), tree: oid(2) });
    run.input(NOW, Input::Orders(vec![Order { task: id("a"), act: Act::Cancel }]));
    let withdraw = Command::Withdraw { task: id("a"), aid };
    let mut at = NOW;
    for n in 0..12 {
        assert!(run.0.outstanding().contains(&withdraw), "after {n}: {:?}", run.0.tasks[&id("a")].phase);
        run.fail(at, "a");
        assert!(!run.0.outstanding().contains(&withdraw), "at once, after {n}");
        at = Millis(at.0 + 100_000);
        run.input(at, Input::Tick);
    }
    run.answer(at, "a", Answer::Withdrawn);
    assert_eq!(run.0.tasks[&id("a")].phase, Phase::Cancelled);
}
