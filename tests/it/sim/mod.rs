//! The seeded simulation: the real core, machine and memory store against a simulated world
//! in which Drover and the computer crash at random instants.
//!
//! A failing seed is run again by `DROVER_SIM_SEED=N cargo test sim -- --nocapture`; more
//! schedules by `DROVER_SIM_SCHEDULES=1000000 cargo test --release sim`.

mod orders;
mod person;
mod trouble;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use drover::base::{Digest, RunId, TaskId};
use drover::core::{Answer, Change, Command, Fact, Flow, Input, Phase, Publish, Push, Selection, Stage, State, decide, view::Verdict};
use drover::engine::machine::{Done, Job, Machine};
use drover::model::*;
use drover::store::{Store, batch, memory::MemoryStore};
use world::{Bug, World};

const TARGET: &str = "main";

struct Sim {
    world: World,
    store: MemoryStore,
    machine: Machine,
    in_flight: Vec<(u64, Job)>,
    runs: u64,
    crashes: u32,
    crash_percent: u32,
    specs: BTreeMap<TaskId, Spec>,
    policy: Arc<Policy>,
    looks: Vec<person::Look>,
    /// How often a person gave a task its attempts again at the very end.
    again: BTreeMap<TaskId, u32>,
    edits: u32,
    /// Tasks that a person does not want started, on record.
    held: BTreeSet<TaskId>,
    /// And those that are suspended; `None` among them: everything.
    suspended: BTreeSet<Option<TaskId>>,
    /// The newest attempt at each task, and the one that it was done by.
    newest: BTreeMap<TaskId, drover::base::Aid>,
    done_by: BTreeMap<TaskId, drover::base::Aid>,
    /// What was to become of the tasks of attempts that were to end.
    endings: BTreeMap<drover::base::Aid, drover::core::Ending>,
    /// Attempts that a person let through, and was told so.
    let_through: BTreeSet<drover::base::Aid>,
    /// Answers that will be heard again.
    late: Vec<Input>,
    /// How often the store was lost, and the landings before the last time.
    losses: u32,
    lost_landings: usize,
}

/// What a schedule came to, for the figures.
#[derive(Default)]
struct Figures {
    schedules: u64,
    crashes: u64,
    steps: u64,
    landings: u64,
}

impl Figures {
    fn and(self, other: Self) -> Self {
        Self {
            schedules: self.schedules + other.schedules,
            crashes: self.crashes + other.crashes,
            steps: self.steps + other.steps,
            landings: self.landings + other.landings,
        }
    }
}

fn check(run: &str) -> Check {
    Check { name: None, run: run.into(), timeout: Duration::from_secs(1) }
}

/// Who does an agent's work where it is stopped.
fn stands_in(n: u8, rng: &mut fastrand::Rng) -> Option<Box<AgentSpec>> {
    let other = AgentSpec::new(if n == 1 { "b" } else { "c" }, AgentKind::Command);
    rng.bool().then(|| Box::new(other))
}

pub fn spec(id: &str, depends_on: Vec<TaskId>, rng: &mut fastrand::Rng) -> Spec {
    let id = TaskId::parse(id).unwrap();
    let agent = |name: &str| AgentSpec::new(name, AgentKind::Command);
    let action = match rng.u8(0..3) {
        0 => Action::Shell("true".into()),
        n => {
            Action::Prompt { text: "do".into(), agent: AgentSpec { fallback: stands_in(n, rng), ..agent(if n == 1 { "a" } else { "b" }) } }
        }
    };
    let step = |id: TaskId, verify| StepSpec {
        title: id.to_string(),
        id,
        action: action.clone(),
        verify,
        timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(10),
    };
    let mut steps = Vec::new();
    for n in 0..rng.usize(0..3) {
        steps.push(step(id.child(&format!("s{n}")).unwrap(), if rng.bool() { vec![check("sub")] } else { vec![] }));
    }
    steps.push(step(id.clone(), vec![]));
    let mut verify = vec![check("unit")];
    if rng.bool() {
        verify.push(check("lint"));
    }
    Spec {
        title: id.to_string(),
        digest: Digest::v1(id.as_str().as_bytes()),
        depends_on,
        priority: rng.i64(-2..3),
        groups: if rng.u8(0..4) == 0 { vec!["db".into()] } else { vec![] },
        steps,
        verify,
        retry: Retry { max_attempts: rng.u32(1..4), delay: Duration::from_millis(rng.u64(0..500)), ..Retry::default() },
        approval: if rng.u8(0..4) == 0 { Approval::Required } else { Approval::None },
        paths: if rng.bool() { vec![["src/**", "src/a/**", "src/b/*.rs", "docs/x"][rng.usize(0..4)].into()] } else { vec![] },
        enabled: rng.u8(0..20) > 0,
        ..Spec::new(id)
    }
}

impl Sim {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut world = World::new(seed, bug);
        let shared = world.shared;
        let rng = &mut world.rng;
        let mut specs = BTreeMap::new();
        let n = rng.usize(1..10);
        for i in 0..n {
            let depends_on = (0..i).filter(|_| rng.u8(0..4) == 0).map(|d| TaskId::parse(&format!("t{d}")).unwrap()).collect();
            let spec = spec(&format!("t{i}"), depends_on, rng);
            specs.insert(spec.id.clone(), spec);
        }
        let policy = Policy {
            workers: rng.u32(1..5),
            fail_fast: rng.u8(0..10) == 0,
            groups: BTreeMap::from([("db".into(), 1)]),
            merge: MergePolicy {
                verify: if rng.bool() { vec![check("whole")] } else { vec![] },
                on_conflict: if rng.bool() { OnConflict::Retry } else { OnConflict::Block },
                push: if shared { "origin".into() } else { String::new() },
                baseline: rng.bool(),
                ..MergePolicy::default()
            },
            ..Policy::default()
        };
        let crash_percent = rng.u32(0..12);
        if policy.merge.baseline && rng.bool() {
            // It fails on the tip already, and for ever.
            world.broken.insert(check(["unit", "lint", "sub", "whole"][rng.usize(0..4)]).key());
        }
        let mut sim = Sim {
            world,
            store: MemoryStore::default(),
            machine: Machine::new(State::default()),
            in_flight: Vec::new(),
            runs: 0,
            crashes: 0,
            crash_percent,
            specs,
            policy: Arc::new(policy),
            looks: Vec::new(),
            again: BTreeMap::new(),
            edits: 0,
            held: BTreeSet::new(),
            suspended: BTreeSet::new(),
            endings: BTreeMap::new(),
            newest: BTreeMap::new(),
            done_by: BTreeMap::new(),
            let_through: BTreeSet::new(),
            late: Vec::new(),
            losses: 0,
            lost_landings: 0,
        };
        sim.start();
        sim
    }

    /// A process starts: the same path whether it is the first or follows a crash.
    fn start(&mut self) {
        self.in_flight.clear();
        self.world.told.clear();
        // No run is begun before a person has looked.
        self.world.tampered.clear();
        let state = self.store.load(TARGET).unwrap();
        self.machine = Machine::new(state);
        self.runs += 1;
        let mut first = Vec::new();
        if self.machine.state.tasks.is_empty() {
            first.extend(self.recall());
            let changes = self.specs.values().map(|s| Change::Define { spec: self.as_read(s), rerun: false }).collect();
            first.push(Input::Reconcile { policy: Some(self.policy.clone()), changes });
        } else if self.world.rng.u8(0..6) == 0 {
            first.push(self.edit());
        }
        first.extend(self.recall());
        first.extend(self.reverts());
        first.push(Input::RunBegan { run: RunId::parse(&format!("run{}", self.runs)).unwrap(), selection: Selection::All });
        self.turn(first, None);
    }

    /// A person takes back what a task landed, or brings it again, while Drover is down; each start
    /// looks for what was taken back and not yet recorded as that.
    fn reverts(&mut self) -> Option<Input> {
        let done: Vec<TaskId> =
            self.machine.state.tasks.iter().filter(|(_, t)| t.is_completed() && t.marked.is_none()).map(|(id, _)| id.clone()).collect();
        if !done.is_empty() && self.world.rng.u8(0..8) == 0 {
            let id = done[self.world.rng.usize(0..done.len())].clone();
            if !self.world.taken_back.remove(&id) {
                self.world.taken_back.insert(id);
            }
        }
        let by = |id: &TaskId| self.world.taken_back.contains(id).then(|| world::oid(u64::MAX));
        let found = done.into_iter().map(|id| (by(&id), id)).map(|(by, id)| (id, by)).collect();
        (self.world.bug != Bug::NoLookForReverts).then_some(Input::Reverts { found })
    }

    /// A definition as the core gets it.
    fn as_read(&self, spec: &Spec) -> Arc<Spec> {
        let depends_on = if self.world.bug == Bug::DependsOnNothing { Vec::new() } else { spec.depends_on.clone() };
        Arc::new(Spec { depends_on, ..spec.clone() })
    }

    /// Nothing begins without what it needs.
    fn watch_claims(&mut self, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Marked { task, mark } = fact
                && mark.completed
            {
                self.world.taken_back.remove(task);
            }
            let Fact::Claimed { task, .. } = fact else { continue };
            let needs = self.machine.state.tasks.get(task).map(|t| t.spec.depends_on.clone()).unwrap_or_default();
            let gone = needs.iter().find(|d| self.world.taken_back.contains(*d));
            self.world.violations.extend(gone.map(|d| format!("{task} began without what {d} had brought")));
        }
    }

    /// A person edits a definition, while Drover is down or watches, or what every landing has to pass.
    fn edit(&mut self) -> Input {
        self.edits += 1;
        if self.world.rng.u8(0..3) == 0 {
            let mut policy = Policy::clone(&self.policy);
            policy.merge.verify = vec![check(&format!("whole{}", self.edits))];
            policy.merge.baseline = self.world.rng.bool();
            self.policy = Arc::new(policy);
            return Input::Reconcile { policy: Some(self.policy.clone()), changes: Vec::new() };
        }
        let ids: Vec<TaskId> = self.specs.keys().cloned().collect();
        let id = ids[self.world.rng.usize(0..ids.len())].clone();
        let spec = self.specs.get_mut(&id).unwrap();
        spec.enabled = self.world.rng.u8(0..8) > 0;
        spec.digest = Digest::v1(format!("{id}-{}", self.edits).as_bytes());
        let spec = spec.clone();
        Input::Reconcile { policy: None, changes: vec![Change::Define { spec: self.as_read(&spec), rerun: true }] }
    }

    /// What a watch brings in mid-run: edits, and another branch that was checked out for a while.
    fn watch(&mut self) {
        let input = match self.world.rng.bool() {
            true => self.edit(),
            false => Input::StandBy { why: self.machine.state.stands_by.is_none().then(|| "another branch".into()) },
        };
        self.turn(vec![input], None);
    }

    fn crash_now(&mut self) -> bool {
        !self.world.quiet && self.crashes < 40 && self.world.rng.u32(0..100) < self.crash_percent
    }

    fn crash(&mut self) {
        self.crashes += 1;
        if self.world.rng.u8(0..4) == 0 {
            self.world.reboot();
        }
        if self.world.rng.u8(0..40) == 0 {
            self.lose_store();
        }
        self.start();
        self.approvals_are_kept();
        // While nothing of what was under way is taken up again.
        if self.world.rng.u8(0..6) == 0 {
            self.meddle();
        }
    }

    /// One turn of the driver, which may crash before the commit and after it.
    fn turn(&mut self, inputs: Vec<Input>, done: Option<Command>) {
        let now = self.world.wall();
        let mut facts = Vec::new();
        self.alone(|sim| match done {
            Some(command) => facts.extend(sim.machine.done(now, Done { command, inputs })),
            None => inputs.iter().for_each(|i| facts.extend(sim.machine.input(now, i))),
        });
        self.watch_claims(&facts);
        self.dependencies_are_kept(&facts);
        self.pauses_are_kept(&facts);
        if self.crash_now() {
            return self.crash();
        }
        if !facts.is_empty() {
            self.note_orders(&facts);
            self.world.asked |= facts.iter().any(|f| matches!(f, Fact::PublishAsked { .. }));
            self.store.commit(TARGET, &batch(&self.machine.state, now, facts)).unwrap();
        }
        if self.crash_now() {
            return self.crash();
        }
        let jobs = self.machine.due();
        self.end_unwanted(&jobs);
        for job in jobs {
            let due = self.world.due(&job.command);
            self.world.begin(&job);
            let due = if matches!(job.command, Command::Agent { .. }) { self.world.due(&job.command) } else { due };
            self.in_flight.push((due, job));
        }
    }

    /// What a service refuses to everybody uses no attempt, and nobody is sent into it meanwhile.
    fn pauses_are_kept(&mut self, facts: &[Fact]) {
        let state = &self.machine.state;
        for (n, fact) in facts.iter().enumerate() {
            match fact {
                Fact::AttemptFailed { task, failure, .. } if failure.message == world::LIMITED => {
                    self.world.violations.push(format!("{task} failed, and it was the service that refused"));
                }
                Fact::Claimed { task, .. } => {
                    // One batch can hold both: what pauses later was not known when it was claimed.
                    let later = |name: &str| facts[n..].iter().any(|f| matches!(f, Fact::Held { agent, .. } if agent == name));
                    let paused = |name: &str| state.head.pauses.get(name).filter(|_| !later(name)).map(|p| p.stage);
                    let claimed = &state.tasks[task];
                    if claimed.attempt().is_none() {
                        continue;
                    }
                    for agent in state.agents_of(claimed) {
                        let others = state.active().filter(|(t, _)| t.spec.id != *task && state.agents_of(t).any(|a| a.name == agent.name));
                        match paused(&agent.name) {
                            Some(Stage::Waiting(_) | Stage::Stopped) => {
                                self.world.violations.push(format!("{task} was claimed while its agent {} pauses", agent.name));
                            }
                            Some(Stage::Trying(_)) if others.count() > 0 => {
                                self.world.violations.push(format!("{task} was claimed while another tries its agent {}", agent.name));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The effect that is due first, done, answered, and now and then answered twice.
    fn advance(&mut self) -> bool {
        let Some(i) = (0..self.in_flight.len()).min_by_key(|i| self.in_flight[*i].0) else { return false };
        let (due, job) = self.in_flight.swap_remove(i);
        self.world.now = self.world.now.max(due);
        let inputs = self.world.perform(&job);
        if std::mem::take(&mut self.world.dies) || self.crash_now() {
            self.crash(); // the effect happened, or half of it, and its answer is lost
            return true;
        }
        let stale: Vec<Input> = inputs.iter().filter(|i| matches!(i, Input::Answer { .. })).cloned().collect();
        self.turn(inputs, Some(job.command));
        if self.world.rng.u8(0..10) == 0 {
            self.turn(stale.clone(), None);
        }
        self.heard_late(stale);
        if self.world.rng.u8(0..150) == 0 && !self.world.quiet {
            self.clock_jumps();
        }
        if self.world.rng.u8(0..100) == 0 {
            self.second_drover();
        }
        if self.world.rng.u8(0..60) == 0 {
            self.world.person_commits();
        }
        self.world.agent_tampers();
        if self.world.rng.u8(0..40) == 0 {
            self.world.tampered.clear();
        }
        if self.world.rng.u8(0..40) == 0 {
            let i = self.world.rng.usize(0..self.specs.len());
            let spec = self.specs.values().nth(i).unwrap();
            self.world.another_clone_lands(&spec.id, &spec.digest);
        }
        true
    }

    fn invariants(&mut self) {
        let state = &self.machine.state;
        let mut wrong = Vec::new();
        if state.active().filter(|(t, _)| t.spec.groups.iter().any(|g| g == "db")).count() > 1 {
            wrong.push("two in a group of one".into());
        }
        let scopes: Vec<&Spec> = state.active().map(|(t, _)| t.spec.as_ref()).collect();
        for (i, a) in scopes.iter().enumerate() {
            if let Some(b) = scopes[i + 1..].iter().find(|b| scope::overlap(&a.paths, &b.paths)) {
                wrong.push(format!("{} and {} run together, and their paths overlap", a.id, b.id));
            }
        }
        if state.active().filter(|(_, a)| a.in_lane()).count() > 1 {
            wrong.push("two in the lane".into());
        }
        let mut seen = BTreeSet::new();
        for landing in &self.world.landings {
            // A definition lands once, whatever crashed and however often it was tried.
            if !seen.insert((&landing.task, &landing.digest, landing.round)) {
                wrong.push(format!("{} landed twice, the second time by {}", landing.task, landing.aid));
            }
        }
        let mut at_work = BTreeSet::new();
        for (_, job) in &self.in_flight {
            let aid = job.command.attempt().map(|(_, aid)| aid);
            if let Some(aid) = aid.filter(|aid| !at_work.insert(*aid)) {
                wrong.push(format!("two effects of {aid} are under way at once, one of them {:?}", job.command));
            }
        }
        self.world.violations.extend(wrong);
        self.nothing_outlives_its_attempt();
    }

    /// At the end: what is recorded is what git holds, and everything that can finish has.
    fn at_the_end(&mut self) {
        let state = &self.machine.state;
        let mut wrong = Vec::new();
        for (id, task) in &state.tasks {
            match &task.phase {
                Phase::Completed => {
                    let completion = task.completion.as_ref().unwrap();
                    let by_hand = completion.commit.is_none() && task.marked.is_some();
                    if !by_hand && !self.world.is_ancestor(completion.commit.as_ref().unwrap(), &self.world.line) {
                        wrong.push(format!("{id} is completed but not on the line"));
                    }
                    if completion.digest != task.spec.digest {
                        wrong.push(format!("{id} is completed under an old definition"));
                    }
                }
                Phase::Active(a) => wrong.push(format!("{id} was left at {:?}", a.step)),
                Phase::Failed if task.failures == 0 => wrong.push(format!("{id} failed without a failure")),
                Phase::Waiting { .. } => {
                    let stuck =
                        task.spec.enabled && !state.is_suspended(task) && task.spec.depends_on.iter().all(|d| state.tasks[d].stands());
                    let stopped = state.paused_for(task).is_some_and(|(_, p)| p.stage == Stage::Stopped);
                    if stuck && !stopped && state.claims_go_on() && state.head.run.as_ref().is_some_and(|r| !r.ended) {
                        wrong.push(format!("{id} could run and does not"));
                    }
                }
                _ => {}
            }
        }
        if state.pushes() && state.head.line.remote.push == Push::Done && !self.world.is_ancestor(&self.world.line, &self.world.remote) {
            wrong.push("what landed is said to be pushed, and is not".into());
        }
        if self.world.asked {
            wrong.push("a person asked for publishing, and it was not tried since".into());
        }
        if state.head.line.publish == Publish::Done
            && !self.world.is_rewound()
            && !self.world.is_ancestor(&self.world.line, &self.world.target)
        {
            wrong.push("what landed is said to be published, and is not".into());
        }
        let facts = self.store.history(TARGET, 0, usize::MAX).unwrap();
        let landed = facts.iter().filter(|r| matches!(r.fact, Fact::Landed { .. })).count();
        let own = self.own_landings() - self.lost_landings;
        if landed != own {
            wrong.push(format!("{landed} landings recorded, {own} in git"));
        }
        let mut folded = State::default();
        if let Some(Err(refused)) = facts.iter().map(|r| folded.apply(r.at, &r.fact)).find(Result::is_err) {
            wrong.push(format!("the journal does not follow from itself: {refused:?}"));
        }
        if !folded.same_record(&self.store.load(TARGET).unwrap()) {
            wrong.push("the journal does not fold to the recorded state".into());
        }
        self.world.violations.extend(wrong);
    }
}

fn run_one(seed: u64, bug: Bug, figures: &mut Figures) -> Result<(), String> {
    played(seed, bug, figures, |_| ())
}

/// A history to its end; `then` sees what is left.
fn played(seed: u64, bug: Bug, figures: &mut Figures, then: impl FnOnce(&Sim)) -> Result<(), String> {
    let mut sim = Sim::new(seed, bug);
    let fail = |sim: &Sim, why: &str| Err(format!("seed {seed}, after {} crashes: {why}", sim.crashes));
    for step in 0.. {
        if step > 20_000 {
            return fail(&sim, "it does not end");
        }
        if sim.world.now > trouble::ENDLESS {
            return fail(&sim, "it waits for months");
        }
        if step == 4_000 {
            sim.world.quiet = true; // from here on everything works: liveness
        }
        sim.invariants();
        if let Some(violation) = sim.world.violations.first() {
            return fail(&sim, violation);
        }
        figures.steps += 1;
        if !sim.advance() {
            if sim.machine.state.flow == Flow::Running && !sim.machine.state.is_finished() {
                return fail(&sim, "nothing is under way, and yet it is not finished");
            }
            if sim.machine.state.is_landing_stopped() {
                sim.start();
                continue;
            }
            if sim.machine.state.stands_by.is_some() {
                sim.turn(vec![Input::StandBy { why: None }], None);
                continue;
            }
            if sim.last_word() || sim.last_orders() {
                continue;
            }
            break;
        }
        if sim.world.rng.u8(0..12) == 0 {
            sim.person();
        }
        if sim.world.rng.u8(0..40) == 0 {
            sim.meddle();
        }
        if sim.world.rng.u8(0..100) == 0 && !sim.world.quiet {
            sim.watch();
        }
        if sim.world.rng.u8(0..60) == 0 {
            sim.ask();
        }
        // Signals, and coming back after them.
        match sim.world.rng.u32(0..400) {
            0 if !sim.world.quiet => sim.turn(vec![Input::Drain], None),
            1 if !sim.world.quiet => {
                sim.turn(vec![Input::Interrupt], None);
                sim.world.reboot();
            }
            _ => {}
        }
        let over = sim.machine.state.flow != Flow::Running && sim.machine.busy().next().is_none();
        if over {
            sim.start();
        }
    }
    sim.at_the_end();
    then(&sim);
    figures.schedules += 1;
    figures.crashes += u64::from(sim.crashes);
    figures.landings += sim.world.landings.len() as u64;
    match sim.world.violations.first() {
        Some(violation) => fail(&sim, violation),
        None if sim.machine.state.verdict() == Verdict::Done
            && sim.world.landings.is_empty()
            && sim.machine.state.tasks.values().any(|t| t.spec.enabled && t.marked.is_none()) =>
        {
            fail(&sim, "done without landing anything")
        }
        None => Ok(()),
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn twenty_thousand_schedules_with_crashes_keep_every_promise() {
    let seeds = match std::env::var("DROVER_SIM_SEED") {
        Ok(seed) => seed.parse().map(|s: u64| s..s + 1).expect("DROVER_SIM_SEED is a number"),
        Err(_) => 0..number("DROVER_SIM_SCHEDULES", 20_000),
    };
    // Two threads: the seeds are independent of each other.
    let half = |odd: u64| {
        let mut figures = Figures::default();
        let mine = seeds.clone().filter(move |s| s % 2 == odd);
        let failures: Vec<String> = mine.filter_map(|seed| run_one(seed, Bug::None, &mut figures).err()).take(3).collect();
        (figures, failures)
    };
    let ((one, mut failures), (two, more)) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    failures.extend(more);
    let figures = one.and(two);
    eprintln!("{} schedules, {} crashes, {} landings, {} steps", figures.schedules, figures.crashes, figures.landings, figures.steps);
    assert!(failures.is_empty(), "run one again with DROVER_SIM_SEED=N cargo test sim\n{}", failures.join("\n"));
    assert!(figures.landings > figures.schedules / 2, "the schedules hardly land anything: they prove nothing");
}

#[test]
fn each_seeded_fault_is_found() {
    for bug in [
        Bug::NoLandProbe,
        Bug::NoAgentProbe,
        Bug::UnverifiedMerge,
        Bug::NoLookForReverts,
        Bug::NoLookAtGit,
        Bug::LimitsAreFailures,
        Bug::LandsUnapproved,
        Bug::ApprovesBlindly,
        Bug::PushesLater,
        Bug::NoElsewhereProbe,
        Bug::BlindExcuse,
        Bug::AnswersTooSoon,
        Bug::RecallsAnyLanding,
        Bug::NoLookBeforeTheEnd,
        Bug::StartsTheUnwanted,
        Bug::SuspendsInMemory,
        Bug::MarksInMemory,
        Bug::BringsBackUnasked,
        Bug::NoLock,
        Bug::BlindRefSet,
        Bug::TimesOutWithoutEnding,
        Bug::RebuildsWithoutEnding,
        Bug::WakesByClock,
        Bug::DependsOnNothing,
        Bug::ApprovesInMemory,
        Bug::PausesAlone,
    ] {
        let found = (0..2_000).find_map(|seed| run_one(seed, bug, &mut Figures::default()).err());
        let found = found.unwrap_or_else(|| panic!("{bug:?} was not found in 2,000 schedules"));
        eprintln!("{bug:?}: {found}");
    }
}

#[test]
fn the_same_seed_gives_the_same_journal_byte_for_byte() {
    for seed in 0..40 {
        let journal = || {
            let mut store = None;
            played(seed, Bug::None, &mut Figures::default(), |sim| store = Some(sim.store.history(TARGET, 0, usize::MAX).unwrap()))
                .unwrap();
            let facts = store.unwrap().into_iter().map(|r| (r.seq, r.at, serde_json::to_string(&r.fact).unwrap()));
            facts.collect::<Vec<_>>()
        };
        let first = journal();
        assert!(!first.is_empty());
        assert_eq!(first, journal(), "seed {seed}");
    }
}

#[test]
fn an_answer_to_a_step_that_is_over_changes_nothing() {
    let mut sim = Sim::new(7, Bug::None);
    while let Some((_, job)) = sim.in_flight.first().cloned() {
        if let Some(work) = &job.work {
            let id = work.spec.id.clone();
            let stale = Input::Answer { task: id, aid: drover::base::Aid::parse("run0-99").unwrap(), answer: Box::new(Answer::LostRace) };
            // What is due by now is due without the answer, too.
            let (mut state, now) = (sim.machine.state.clone(), sim.world.wall());
            decide(&mut state, now, &Input::Tick);
            assert_eq!(decide(&mut state, now, &stale), []);
        }
        sim.advance();
        if sim.crashes > 3 {
            return;
        }
    }
}
