//! A world that plays along with the scheduler: tasks come and go, effects succeed and fail,
//! all by a seed. What it decides is what the stores are fed with.

use std::sync::Arc;
use std::time::Duration;

use drover::base::{Aid, Digest, Millis, Oid, RunId, TaskId};
use drover::core::{Answer, Change, Command, Exit, Fact, Failure, FailureClass, Input, Outcome, Selection, Snap, State, Step, decide};
use drover::model::{Action, Backoff, Check, MergePolicy, OnChange, OnConflict, Policy, Retry, Spec, StepSpec, Workspace};
use drover::store::{Batch, Record, Store, batch};
use tempfile::TempDir;

const TASKS: usize = 5;

pub struct World {
    pub state: State,
    pub now: Millis,
    rng: fastrand::Rng,
    made: u64,
}

pub fn task(n: usize) -> TaskId {
    TaskId::parse(&format!("task-{n}")).unwrap()
}

/// Every spec holds this once, in its title.
pub const MARK: &str = "the-mark-of-a-spec";

/// The `version`th definition of a task that waits for some with lower numbers.
pub fn spec(n: usize, version: u64, rng: &mut fastrand::Rng) -> Arc<Spec> {
    let id = task(n);
    let check = |run: &str| Check { name: None, run: run.into(), timeout: Duration::from_secs(9) };
    let step = |id: TaskId| StepSpec {
        id,
        title: String::new(),
        action: Action::Shell("make".into()),
        verify: Vec::new(),
        timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
    };
    let mut steps = vec![step(id.clone())];
    if rng.bool() {
        steps.insert(0, step(id.child("first").unwrap()));
    }
    Arc::new(Spec {
        title: format!("{MARK} {id} {version}"),
        digest: Digest::v1(format!("{id} {version}").as_bytes()),
        depends_on: (0..n).filter(|_| rng.u8(0..3) == 0).map(task).collect(),
        priority: rng.i64(-1..2),
        steps,
        verify: if rng.bool() { vec![check("make test")] } else { Vec::new() },
        retry: Retry { max_attempts: 2, backoff: Backoff::Fixed, delay: Duration::from_secs(1), ..Retry::default() },
        on_change: if rng.bool() { OnChange::Rerun } else { OnChange::Keep },
        workspace: if rng.u8(0..6) == 0 { Workspace::Checkout } else { Workspace::Worktree },
        env: [("KEY".to_owned(), "value".to_owned())].into(),
        ..Spec::new(id)
    })
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self { state: State::default(), now: Millis(1_000), rng: fastrand::Rng::with_seed(seed), made: 0 }
    }

    /// One input and what follows from it; the batch may hold no fact.
    pub fn step(&mut self) -> Batch {
        self.now = Millis(self.now.0 + self.rng.u64(1..500));
        let input = self.input();
        self.take(&input)
    }

    pub fn take(&mut self, input: &Input) -> Batch {
        let mut facts = decide(&mut self.state, self.now, input);
        // By itself a reconcile begins nothing; here it stands for what comes right after it, too.
        if matches!(input, Input::Reconcile { .. }) {
            facts.extend(decide(&mut self.state, self.now, &Input::Tick));
        }
        batch(&self.state, self.now, facts)
    }

    fn input(&mut self) -> Input {
        if self.state.head.run.is_none() || self.rng.u8(0..60) == 0 {
            return self.begin();
        }
        if self.state.tasks.is_empty() || self.rng.u8(0..12) == 0 {
            return self.reconcile();
        }
        let owed: Vec<Command> = self.state.outstanding().into_iter().collect();
        match self.rng.choice(&owed) {
            Some(command) => self.answer(&command.clone()),
            None => self.reconcile(),
        }
    }

    pub fn begin(&mut self) -> Input {
        let selection = match self.rng.bool() {
            true => Selection::All,
            false => Selection::Only((0..TASKS).filter(|_| self.rng.u8(0..4) > 0).map(task).collect()),
        };
        Input::RunBegan { run: RunId::parse(&format!("run-{}", self.number())).unwrap(), selection }
    }

    fn reconcile(&mut self) -> Input {
        let policy = (self.rng.u8(0..3) == 0).then(|| {
            let on_conflict = if self.rng.bool() { OnConflict::Block } else { OnConflict::Retry };
            let merge = MergePolicy { on_conflict, ..MergePolicy::default() };
            Arc::new(Policy { workers: self.rng.u32(1..4), merge, ..Policy::default() })
        });
        let changes = (0..TASKS)
            .filter(|_| self.rng.bool())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|n| match self.rng.u8(0..4) {
                0 => Change::Remove { task: task(n) },
                k => {
                    let version = self.number();
                    Change::Define { spec: spec(n, version, &mut self.rng), rerun: k == 1 }
                }
            })
            .collect();
        Input::Reconcile { policy, changes }
    }

    fn answer(&mut self, command: &Command) -> Input {
        let good = self.rng.u8(0..8) > 0;
        match command {
            Command::SyncLine => Input::LineSynced { was: None, tip: self.oid() },
            Command::Publish if good => Input::Published { tip: self.state.head.line.tip.clone().unwrap() },
            Command::Publish => Input::PublishHeld { why: "the checkout has changes".into() },
            Command::Clean { aid } => Input::Cleaned { aid: aid.clone() },
            Command::WakeAt { at, .. } => {
                self.now = self.now.max(*at);
                Input::Tick
            }
            step => {
                let (task, aid) = step.attempt().map(|(t, a)| (t.clone(), a.clone())).unwrap();
                let answer = if good { self.success(step, &task) } else { self.failure(step) };
                Input::Answer { task, aid, answer: Box::new(answer) }
            }
        }
    }

    fn success(&mut self, command: &Command, task: &TaskId) -> Answer {
        match command {
            Command::Prepare { .. } => Answer::Prepared,
            Command::Agent { n, .. } => Answer::AgentEnded { n: *n, exit: exit(Outcome::Succeeded) },
            Command::Snapshot { n, .. } => {
                Answer::Snapshotted { n: *n, snap: Snap { tree: self.oid(), commit: self.oid(), unchanged: false, problem: None } }
            }
            Command::Check { tree, check, .. } => Answer::CheckPassed { tree: tree.clone(), check: check.clone(), nth: 0 },
            Command::Commit { .. } => Answer::Committed { commit: self.oid() },
            Command::Merge { .. } => Answer::Merged { old: self.oid(), new: self.oid(), tree: self.oid() },
            Command::Land { new, .. } => {
                let Some(Step::Land { commit, .. }) = self.state.tasks[task].attempt().map(|a| a.step.clone()) else {
                    panic!("nothing is to land")
                };
                Answer::Landed { commit, tip: new.clone() }
            }
            other => panic!("{other:?} is not a step"),
        }
    }

    fn failure(&mut self, command: &Command) -> Answer {
        let failure = |class| Failure { tail: "the last line".into(), ..Failure::new(class, "it went wrong") };
        match command {
            Command::Agent { n, .. } if self.rng.bool() => Answer::AgentEnded { n: *n, exit: exit(Outcome::Interrupted) },
            Command::Agent { n, .. } => Answer::AgentEnded { n: *n, exit: exit(Outcome::Failed(failure(FailureClass::Agent))) },
            Command::Check { tree, check, .. } => {
                let (tree, check) = (tree.clone(), check.clone());
                Answer::CheckFailed { tree, check, nth: 0, failure: failure(FailureClass::Verify) }
            }
            Command::Merge { .. } => Answer::Conflict { paths: vec!["src/lib.rs".into()] },
            Command::Land { .. } => Answer::LostRace,
            _ if self.rng.bool() => Answer::Broken { failure: failure(FailureClass::Setup) },
            _ => Answer::Trouble { why: "the disk is full".into() },
        }
    }

    fn oid(&mut self) -> Oid {
        Oid::parse(&format!("{:040x}", self.number())).unwrap()
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

fn exit(outcome: Outcome) -> Exit {
    Exit { summary: "done as told".into(), ..Exit::of(outcome) }
}

/// A directory for one test; in memory where that is possible, for where it stands on a disk
/// only says how long a sync takes.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A world after `n` steps, each of them committed.
pub fn played(seed: u64, n: usize, store: &mut dyn Store, target: &str) -> World {
    let mut world = World::new(seed);
    for _ in 0..n {
        let batch = world.step();
        store.commit(target, &batch).unwrap();
    }
    world
}

/// The state that a journal adds up to.
pub fn fold(records: &[Record]) -> State {
    let mut state = State::default();
    for (record, seq) in records.iter().zip(1..) {
        assert_eq!(record.seq, seq, "the journal has a gap");
        state.apply(record.at, &record.fact).unwrap();
    }
    state
}

/// What differs, for a message that can be read.
pub fn same(left: &State, right: &State) -> Result<(), String> {
    match left.same_record(right) {
        true => Ok(()),
        false => Err(format!("the states differ:\n{:?}\n{:?}\n{:#?}\n{:#?}", left.head, right.head, left.tasks, right.tasks)),
    }
}

/// An attempt's id that no world makes.
pub fn stranger() -> Aid {
    Aid::parse("stranger-1").unwrap()
}

/// One fact that changes no task.
pub fn small_fact() -> Fact {
    Fact::Cleaned { aid: stranger() }
}
