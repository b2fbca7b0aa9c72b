//! A small world: tasks in one line each, and a core that is answered by a script.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use drover::base::{EpicId, Millis, Oid, RunId, TaskId};
use drover::core::{Answer, Command, Exit, Fact, Failure, FailureClass, Input, Outcome, Selection, Snap, State, decide};
use drover::model::{Action, AgentKind, AgentSpec, Check, Graph, OnChange, OnDependency, Policy, Retry, Source, Spec, StepSpec, digest_of};
use drover::plan::{Line, Plan, Request, diff};
use drover::report::{Heading, Reporter};

pub fn id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

pub fn ids(text: &str) -> BTreeSet<TaskId> {
    text.split_whitespace().map(id).collect()
}

pub fn check(run: &str) -> Check {
    Check { name: None, run: run.into(), timeout: Duration::from_secs(600) }
}

/// A task for `claude`, at the line of its file that `place` says.
pub fn task(name: &str) -> Spec {
    let agent = AgentSpec::new("claude", AgentKind::ClaudeCode);
    let own = Action::Prompt { text: format!("Do {name}."), agent };
    Spec {
        title: format!("The task {name}"),
        digest: digest_of(&TaskId::parse("a").unwrap(), "", &[]),
        steps: vec![step(name, own)],
        retry: Retry { jitter: false, ..Retry::default() },
        source: Source { file: "drover/tasks.toml".into(), line: 7, column: 1 },
        ..Spec::new(id(name))
    }
}

pub fn step(name: &str, action: Action) -> StepSpec {
    let minute = Duration::from_secs(60);
    StepSpec { id: id(name), title: String::new(), action, verify: vec![], timeout: minute, stall_timeout: minute }
}

/// How a test says what a task is like.
pub trait Tweak: Sized {
    fn with(self, change: impl FnOnce(&mut Spec)) -> Self;
    fn needs(self, names: &str) -> Self {
        self.with(|s| s.depends_on = names.split_whitespace().map(id).collect())
    }
    fn prompt(self, text: &str) -> Self {
        self.with(|s| {
            if let Action::Prompt { text: old, .. } = &mut s.steps.last_mut().unwrap().action {
                *old = text.into();
            }
        })
    }
    fn epic(self, name: &str) -> Self {
        self.with(|s| s.epic = Some(EpicId::parse(name).unwrap()))
    }
    fn attempts(self, n: u32) -> Self {
        self.with(|s| s.retry.max_attempts = n)
    }
    fn line(self, line: u32) -> Self {
        self.with(|s| s.source.line = line)
    }
    fn on_change(self, what: OnChange) -> Self {
        self.with(|s| s.on_change = what)
    }
    fn follows(self) -> Self {
        self.with(|s| s.on_dependency = OnDependency::Rerun)
    }
    fn verify(self, run: &str) -> Self {
        self.with(|s| s.verify = vec![check(run)])
    }
}

impl Tweak for Spec {
    fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self);
        self
    }
}

pub fn graph(tasks: impl IntoIterator<Item = Spec>) -> Graph {
    let tasks = tasks.into_iter().map(|mut t| {
        t.digest = digest_of(&t.id, &t.title, &t.steps);
        t
    });
    Graph::build(tasks.collect(), vec![], &BTreeSet::new()).unwrap()
}

pub fn heading(graph: &Graph) -> Heading {
    Heading { project: "shop".into(), target: "main".into(), tip: Some(oid(0x3f2a91c)), tasks: graph.tasks().len(), epics: 0, files: 1 }
}

pub fn oid(n: u64) -> Oid {
    Oid::parse(&format!("{n:07x}{}", "0".repeat(33))).unwrap()
}

pub struct World {
    pub state: State,
    pub policy: Policy,
    pub now: Millis,
    pub rerun: BTreeSet<TaskId>,
    pub selection: Selection,
    /// What the next attempts of a task fail with; afterwards they succeed.
    pub failures: BTreeMap<TaskId, VecDeque<Failure>>,
    /// Their agents never end.
    pub hang: BTreeSet<TaskId>,
    pub interrupt: BTreeSet<TaskId>,
    /// Their work conflicts.
    pub conflict: BTreeSet<TaskId>,
    pub reporter: Option<Box<dyn Reporter>>,
    runs: u32,
    made: u64,
}

impl World {
    pub fn new() -> Self {
        let policy = Policy { project: "shop".into(), ..Policy::default() };
        Self {
            state: State::default(),
            policy,
            now: Millis(1_000_000_000),
            rerun: BTreeSet::new(),
            selection: Selection::All,
            failures: BTreeMap::new(),
            hang: BTreeSet::new(),
            interrupt: BTreeSet::new(),
            conflict: BTreeSet::new(),
            reporter: None,
            runs: 0,
            made: 0xa11c0,
        }
    }

    pub fn plan(&self, graph: &Graph) -> Plan {
        let (policy, selection) = (&self.policy, &self.selection);
        diff(&Request {
            graph,
            policy,
            recorded: &self.state,
            moved: &[],
            rerun: &self.rerun,
            inputs: &BTreeMap::new(),
            selection,
            now: self.now,
        })
    }

    pub fn reconcile(&mut self, graph: &Graph) -> Plan {
        let plan = self.plan(graph);
        let policy = plan.policy_changed.then(|| Arc::new(self.policy.clone()));
        self.input(Input::Reconcile { policy, changes: plan.changes.clone() });
        plan
    }

    /// Reconciles, runs until nothing more moves, and ends the run.
    pub fn apply(&mut self, graph: &Graph) -> Plan {
        let plan = self.reconcile(graph);
        self.run();
        self.end();
        plan
    }

    pub fn run(&mut self) {
        self.runs += 1;
        let run = RunId::parse(&format!("run{}", self.runs)).unwrap();
        self.input(Input::RunBegan { run, selection: self.selection.clone() });
        while let Some(input) = self.answer() {
            self.now = self.now.after(Duration::from_secs(1));
            self.input(input);
        }
    }

    pub fn end(&mut self) {
        let run = self.state.head.run.clone().unwrap().id;
        let fact = Fact::RunEnded { run };
        self.state.apply(self.now, &fact).unwrap();
        if let Some(mut reporter) = self.reporter.take() {
            reporter.fact(&self.state, self.state.head.seq, self.now, &fact);
            self.reporter = Some(reporter);
        }
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    pub fn fail(&mut self, name: &str, times: usize, message: &str) {
        let failure = Failure { tail: "line 1\nline 2".into(), ..Failure::new(FailureClass::Verify, message) };
        self.failures.insert(id(name), std::iter::repeat_n(failure, times).collect());
    }

    pub fn input(&mut self, input: Input) {
        let before = self.state.head.seq;
        let facts = decide(&mut self.state, self.now, &input);
        let Some(mut reporter) = self.reporter.take() else { return };
        for (n, fact) in facts.iter().enumerate() {
            reporter.fact(&self.state, before + 1 + n as u64, self.now, fact);
        }
        self.reporter = Some(reporter);
    }

    fn oid(&mut self) -> Oid {
        self.made += 1;
        oid(self.made)
    }

    /// What the world answers to the first thing it owes; a wait is over only when nothing
    /// else is left to do.
    fn answer(&mut self) -> Option<Input> {
        let owed = self.state.outstanding();
        let hangs = |c: &&Command| matches!(c, Command::Agent { task, .. } if self.hang.contains(task));
        let (waits, others): (Vec<_>, Vec<_>) = owed.iter().filter(|c| !hangs(c)).partition(|c| matches!(c, Command::WakeAt { .. }));
        let command = others.first().copied().or(waits.first().copied().filter(|_| self.hang.is_empty()))?.clone();
        Some(match command {
            Command::SyncLine => Input::LineSynced { was: None, tip: oid(0x3f2a91c) },
            Command::Publish => Input::Published { tip: self.state.head.line.tip.clone().unwrap() },
            Command::Clean { aid } => Input::Cleaned { aid },
            Command::WakeAt { at, .. } => {
                self.now = self.now.max(at);
                Input::Tick
            }
            step => {
                let (task, aid) = step.attempt().map(|(t, a)| (t.clone(), a.clone())).unwrap();
                let answer = self.step(&step, &task);
                Input::Answer { task, aid, answer: Box::new(answer) }
            }
        })
    }

    fn step(&mut self, command: &Command, task: &TaskId) -> Answer {
        match command {
            Command::Prepare { .. } => Answer::Prepared,
            Command::Agent { n, .. } => {
                let failure = self.failures.get_mut(task).and_then(VecDeque::pop_front);
                let outcome = match failure {
                    Some(failure) => Outcome::Failed(failure),
                    None if self.interrupt.contains(task) => {
                        self.hang.insert(task.clone());
                        Outcome::Interrupted
                    }
                    None => Outcome::Succeeded,
                };
                Answer::AgentEnded { n: *n, exit: Exit::of(outcome) }
            }
            Command::Snapshot { n, .. } => {
                let snap = Snap { tree: self.oid(), commit: self.oid(), unchanged: false, problem: None };
                Answer::Snapshotted { n: *n, snap }
            }
            Command::Check { tree, check, .. } => Answer::CheckPassed { tree: tree.clone(), check: check.clone(), nth: 0 },
            Command::Commit { .. } => Answer::Committed { commit: self.oid() },
            Command::Merge { .. } if self.conflict.contains(task) => Answer::Conflict { paths: vec!["src/a.rs".into()] },
            Command::Merge { .. } => {
                let old = self.state.head.line.tip.clone().unwrap();
                Answer::Merged { old, new: self.oid(), tree: self.oid() }
            }
            Command::Land { new, .. } => Answer::Landed { commit: new.clone(), tip: new.clone() },
            other => panic!("{other:?} is no step of an attempt"),
        }
    }
}

pub fn line<'a>(plan: &'a Plan, name: &str) -> &'a Line {
    plan.lines.iter().find(|l| l.id == id(name)).unwrap_or_else(|| panic!("no line for {name}"))
}
