//! What befalls the simulated Drover from outside: clocks that jump, a store that is lost, a second Drover,
//! answers that come late, agents that hang.

use drover::base::Millis;
use drover::core::{Act, Command, Fact, Input, Order, Phase, Step};
use drover::engine::machine::Machine;
use drover::store::{Store, memory::MemoryStore};

use super::world::{Agent, Bug, World};
use super::{Sim, TARGET};

/// Ten years, in milliseconds.
const DECADE: i64 = 10 * 365 * 24 * 3600 * 1000;

/// Longer than any schedule that goes on: the longest pause there is comes to hours.
pub const ENDLESS: u64 = 90 * 24 * 3600 * 1000;

impl World {
    /// What the clock on the wall says, and what Drover is told. `now` goes on evenly.
    pub fn wall(&self) -> Millis {
        Millis(self.now.saturating_add_signed(self.shift))
    }

    /// An agent that goes on for an hour where it has ten seconds.
    pub fn hangs(&mut self) -> Option<u64> {
        let hangs = !self.quiet && self.rng.u8(0..60) == 0;
        hangs.then_some(self.now + 10_000)
    }

    /// The agent was given its time, and it is over: it is ended, with all that it started.
    pub fn time_out(&self, agent: &mut Agent) {
        if self.bug != Bug::TimesOutWithoutEnding {
            agent.gone = Some(agent.exit.outcome.clone());
        }
    }

    /// What no record knows of is ended, and its files are kept.
    fn clear_orphans(&mut self) {
        if self.bug != Bug::RebuildsWithoutEnding {
            self.agents.values_mut().filter(|a| a.gone.is_none()).for_each(|a| a.gone = Some(drover::core::Outcome::Interrupted));
        }
        self.worktrees.clear();
    }
}

impl Sim {
    /// Somebody sets the clock, or the machine wakes from a long sleep.
    pub fn clock_jumps(&mut self) {
        let jumps = [DECADE, -DECADE, 3_600_000, -3_600_000, 1_500, -1_500];
        let jump = jumps[self.world.rng.usize(0..jumps.len())];
        self.world.shift = self.world.shift.saturating_add(jump);
        if self.world.bug == Bug::WakesByClock {
            let timers = self.in_flight.iter_mut().filter(|(_, job)| matches!(job.command, Command::WakeAt { .. }));
            timers.for_each(|(due, _)| *due = due.saturating_add_signed(-jump));
        }
    }

    /// The store is gone, and is made again from the files and from what history says.
    pub fn lose_store(&mut self) {
        self.store = MemoryStore::default();
        self.losses += 1;
        self.world.clear_orphans();
        self.lost_landings = self.own_landings();
        // What people had said of tasks is gone with it.
        self.held.clear();
        self.suspended.clear();
        self.endings.clear();
        self.newest.clear();
        self.done_by.clear();
        self.let_through.clear();
        self.looks.clear();
        self.world.forgotten.clear();
        // What was taken back does not count as done any more, and is done again.
        for task in self.world.taken_back.clone() {
            *self.world.rounds.entry(task).or_default() += 1;
        }
    }

    /// The landings in git that are not another clone's.
    pub fn own_landings(&self) -> usize {
        self.world.landings.iter().filter(|l| !l.aid.as_str().starts_with("other-")).count()
    }

    /// Somebody starts another Drover beside this one. It is kept out by the lock.
    pub fn second_drover(&mut self) {
        if self.world.bug != Bug::NoLock {
            return;
        }
        let mut second = Machine::new(self.store.load(TARGET).unwrap());
        for job in second.due() {
            self.world.begin(&job);
            let due = self.world.due(&job.command);
            self.in_flight.push((due, job));
        }
    }

    /// An answer is heard again much later.
    pub fn heard_late(&mut self, answers: Vec<Input>) {
        if self.world.rng.u8(0..8) == 0 {
            self.late.extend(answers);
        }
        if !self.late.is_empty() && self.world.rng.u8(0..20) == 0 {
            let n = self.world.rng.usize(0..self.late.len());
            let late = self.late.swap_remove(n);
            self.turn(vec![late], None);
        }
    }

    /// The fault: each task has pauses of its own, and knows nothing of those of the others. Decides so.
    pub fn alone<T>(&mut self, decide: impl FnOnce(&mut Self) -> T) -> T {
        if self.world.bug != Bug::PausesAlone {
            return decide(self);
        }
        let pauses = std::mem::take(&mut self.machine.state.head.pauses);
        let decided = decide(self);
        for (agent, pause) in pauses {
            self.machine.state.head.pauses.entry(agent).or_insert(pause);
        }
        decided
    }

    /// The fault: a person's yes goes into memory, and no further. Whether it did.
    pub fn approved_in_memory(&mut self, order: &Order) -> bool {
        let Order { task, act: Act::Approve { .. } } = order else { return false };
        if self.world.bug != Bug::ApprovesInMemory {
            return false;
        }
        let attempt = self.machine.state.tasks.get_mut(task).map(|t| &mut t.phase);
        if let Some(Phase::Active(attempt)) = attempt
            && let Step::Approval { commit } = &attempt.step
        {
            attempt.step = Step::Approved { commit: commit.clone() };
            return true;
        }
        false
    }

    /// Nobody is asked again for what they have let through.
    pub fn approvals_are_kept(&mut self) {
        let asked = self.machine.state.parked().filter(|(_, a)| a.awaits_approval() && self.let_through.contains(&a.aid));
        let asked: Vec<String> = asked.map(|(_, a)| format!("{} was approved, and waits for it again", a.aid)).collect();
        self.world.violations.extend(asked);
    }

    /// No agent is alive but those of attempts that are under way.
    pub fn nothing_outlives_its_attempt(&mut self) {
        let world = &self.world;
        let alive = world.agents.iter().filter(|(_, agent)| agent.gone.is_none() && agent.lives_until > world.now);
        let known = |aid: &drover::base::Aid| self.machine.state.active().any(|(_, a)| a.aid == *aid);
        let left: Vec<String> =
            alive.filter(|((aid, _), _)| !known(aid)).map(|((aid, _), _)| format!("an agent of {aid} outlives it")).collect();
        self.world.violations.extend(left);
    }

    /// A task begins when all that it depends on has landed, as the files have it.
    pub fn dependencies_are_kept(&mut self, facts: &[Fact]) {
        for fact in facts {
            let Fact::Claimed { task, .. } = fact else { continue };
            let needs = self.specs.get(task).map(|s| s.depends_on.clone()).unwrap_or_default();
            let tasks = &self.machine.state.tasks;
            let missing = needs.iter().find(|d| tasks.get(*d).is_none_or(|t| t.completion.is_none() && t.marked.is_none()));
            self.world.violations.extend(missing.map(|d| format!("{task} began before {d} had landed")));
        }
    }
}
