//! What a person does to tasks beside the simulated Drover, and what must hold of it.

use drover::base::{Aid, TaskId};
use drover::core::{Act, Command, Ending, Fact, Heed, Input, Mark, Order, Phase, Recalled, Wish};
use drover::engine::machine::Job;
use drover::store::Store;

use super::world::{Bug, World};
use super::{Sim, TARGET};

impl Sim {
    /// One order, with whatever it is about.
    pub fn meddle(&mut self) {
        if self.world.quiet {
            return;
        }
        let ids: Vec<TaskId> = self.machine.state.tasks.keys().cloned().collect();
        let Some(task) = ids.get(self.world.rng.usize(0..ids.len().max(1))).cloned() else { return };
        let act = match self.world.rng.u8(0..18) {
            0..=2 => Act::Retry,
            3..=5 => Act::Cancel,
            6 | 7 => Act::Suspend,
            8 | 9 => Act::Unsuspend,
            10 | 11 => Act::Mark(Mark { completed: self.world.rng.bool(), reason: format!("by hand {}", self.world.now) }),
            12 => return self.wish(),
            13 | 14 => Act::Hint { text: format!("hint {}", self.runs) },
            15 => Act::Unhint,
            n => Act::Reset { failed: n == 16 },
        };
        if !self.forgetful(&task, &act) {
            self.order(Order { task, act });
        }
    }

    /// Something for the whole.
    fn wish(&mut self) {
        let wish = match self.world.rng.u8(0..5) {
            0 => Wish::Suspend,
            1 => Wish::Unsuspend,
            _ => Wish::Workers { workers: self.world.rng.u32(1..6) },
        };
        self.turn(vec![Input::Wish(wish)], None);
    }

    /// The faults: a word that a crash takes with it.
    fn forgetful(&mut self, task: &TaskId, act: &Act) -> bool {
        let recorded = self.machine.state.tasks.get_mut(task).filter(|t| t.attempt().is_none() && !t.is_completed());
        let Some(recorded) = recorded else { return false };
        match (self.world.bug, act) {
            (Bug::SuspendsInMemory, Act::Suspend) => {
                recorded.suspended = true;
                self.suspended.insert(Some(task.clone()));
            }
            (Bug::MarksInMemory, Act::Mark(mark)) if mark.completed => {
                recorded.marked = Some(mark.clone());
                self.held.insert(task.clone());
            }
            _ => return false,
        }
        true
    }

    /// Gives an order, and says whether the person was told that it is done.
    pub fn order(&mut self, order: Order) -> bool {
        let heed = self.machine.state.consider(&order);
        let crashes = self.crashes;
        self.turn(vec![Input::Orders(vec![order.clone()])], None);
        let told = crashes == self.crashes || self.world.bug == Bug::AnswersTooSoon;
        let done = told && matches!(heed, Heed::Done(_));
        // What a person was told holds, whatever crashes later.
        if done && self.store.load(TARGET).unwrap().consider(&order) == heed {
            self.world.violations.push(format!("{order:?} was confirmed and is not recorded"));
        }
        done
    }

    /// Everything works by now: what failed before is tried again. Whether there was anything.
    pub fn last_orders(&mut self) -> bool {
        let failed = |phase: &Phase| matches!(phase, Phase::Failed | Phase::Blocked(_) | Phase::Cancelled);
        if self.machine.state.head.suspended || self.machine.state.tasks.values().any(|t| t.suspended) {
            self.turn(vec![Input::Wish(Wish::Unsuspend)], None);
            return true;
        }
        let left: Vec<TaskId> = self.machine.state.tasks.iter().filter(|(_, t)| failed(&t.phase)).map(|(id, _)| id.clone()).collect();
        let again = &mut self.again;
        let tries = left.into_iter().filter(|id| {
            let times = again.entry(id.clone()).or_default();
            *times += 1;
            *times <= 2
        });
        let orders: Vec<Order> = tries.map(|task| Order { task, act: Act::Retry }).collect();
        if self.world.rng.bool() || orders.is_empty() {
            return false;
        }
        self.turn(vec![Input::Orders(orders)], None);
        true
    }

    /// What is on record now of what a person wanted.
    pub fn note_orders(&mut self, facts: &[Fact]) {
        let busy = self.machine.state.active().count();
        if busy > self.machine.state.workers() && facts.iter().any(|f| matches!(f, Fact::Claimed { .. })) {
            self.world.violations.push(format!("{busy} attempts with {} workers", self.machine.state.workers()));
        }
        for fact in facts {
            match fact {
                Fact::Claimed { task, aid, .. } => drop(self.newest.insert(task.clone(), aid.clone())),
                Fact::Landed { task, aid, .. } => {
                    self.done_by.insert(task.clone(), aid.clone());
                    self.suspended.remove(&Some(task.clone()));
                }
                Fact::Recalled(r) => {
                    self.done_by.insert(r.spec.id.clone(), r.aid.clone());
                    self.suspended.remove(&Some(r.spec.id.clone()));
                }
                Fact::Marked { task, mark } if mark.completed => drop(self.suspended.remove(&Some(task.clone()))),
                _ => {}
            }
            match fact {
                Fact::EndAsked { aid, then, .. } => {
                    self.world.unwanted.insert(aid.clone());
                    self.endings.insert(aid.clone(), *then);
                }
                Fact::Withdrawn { task, aid } => {
                    self.world.withdrawn.insert(aid.clone());
                    match self.endings.get(aid) {
                        Some(Ending::Reset) => self.forgets(task),
                        _ => drop(self.held.insert(task.clone())),
                    }
                }
                Fact::Landed { task, aid, .. } if self.endings.get(aid) == Some(&Ending::Reset) => self.forgets(task),
                Fact::Cancelled { task } => {
                    self.let_go(task);
                    self.held.insert(task.clone());
                }
                Fact::Reset { task } => {
                    self.let_go(task);
                    self.forgets(task);
                }
                Fact::Retried { task } => drop(self.held.remove(task)),
                Fact::Recalled(Recalled { spec, aid, .. }) if self.world.forgotten.contains(aid) => {
                    self.world.violations.push(format!("{} was reset, and is done again by {aid}, which had landed before", spec.id));
                }
                Fact::Defined { spec, .. } | Fact::Recalled(Recalled { spec, .. }) => drop(self.held.remove(&spec.id)),
                Fact::Suspended { task, on: true } => drop(self.suspended.insert(Some(task.clone()))),
                Fact::Suspended { task, on: false } => drop(self.suspended.remove(&Some(task.clone()))),
                Fact::AllSuspended { on: true } => drop(self.suspended.insert(None)),
                Fact::AllSuspended { on: false } => drop(self.suspended.remove(&None)),
                Fact::Marked { task, mark } => {
                    self.let_go(task);
                    if mark.completed {
                        self.held.insert(task.clone());
                    } else {
                        self.forgets(task);
                    }
                }
                Fact::Claimed { task, .. } if self.suspended.contains(&None) || self.suspended.contains(&Some(task.clone())) => {
                    self.world.violations.push(format!("{task} was begun, and is suspended"));
                }
                Fact::Claimed { task, .. } if self.held.contains(task) => {
                    self.world.violations.push(format!("{task} was begun, and a person does not want that"));
                }
                _ => {}
            }
        }
    }

    /// An attempt of which nothing was under way does not land any more.
    fn let_go(&mut self, task: &TaskId) {
        self.world.withdrawn.extend(self.newest.get(task).cloned());
    }

    /// What was done of a task does not count from here on.
    fn forgets(&mut self, task: &TaskId) {
        self.held.remove(task);
        *self.world.rounds.entry(task.clone()).or_default() += 1;
        // What another clone has landed, and nobody here had heard of, is news all the same.
        let own = self.world.landings.iter().filter(|l| l.task == *task && !l.aid.as_str().starts_with("other-"));
        self.world.forgotten.extend(own.map(|l| l.aid.clone()));
        self.world.forgotten.extend(self.done_by.get(task).cloned());
    }

    /// What is under way of attempts that are to end is told so; nothing of that is new, and none is
    /// seen to its end while something is under way.
    pub fn end_unwanted(&mut self, jobs: &[Job]) {
        for aid in self.machine.unwanted() {
            self.world.end(&aid);
            let soon = self.world.now + self.world.rng.u64(1..50);
            let its = |job: &Job| matches!(&job.command, Command::Agent { aid: a, .. } if *a == aid);
            self.in_flight.iter_mut().filter(|(_, job)| its(job)).for_each(|(due, _)| *due = soon.min(*due));
        }
        for aid in jobs.iter().filter_map(|job| match &job.command {
            Command::Withdraw { aid, .. } => Some(aid),
            _ => None,
        }) {
            if self.in_flight.iter().any(|(_, job)| job.command.attempt().is_some_and(|(_, a)| a == aid)) {
                self.world.violations.push(format!("{aid} is ended while something of it is under way"));
            }
        }
    }

    /// What the history of the line says that the record does not know of.
    pub fn recall(&mut self) -> Option<Input> {
        let state = &self.machine.state;
        let mut found = Vec::new();
        for (id, own) in self.specs.iter().filter(|(id, _)| !self.world.taken_back.contains(*id)) {
            let task = state.tasks.get(id);
            let spec = task.map_or_else(|| self.as_read(own), |t| t.spec.clone());
            let mut all = self.world.landings.iter().filter(|l| l.task == *id && self.world.is_ancestor(&l.commit, &self.world.line));
            let newest = if self.world.bug == Bug::RecallsAnyLanding { all.next() } else { all.next_back() };
            let wanted = |l: &&super::world::Landing| task.is_none_or(|t| t.may_be_recalled(&l.aid)) && l.digest == spec.digest;
            let Some(newest) = newest.filter(wanted) else { continue };
            let (digest, aid, commit) = (newest.digest.clone(), newest.aid.clone(), newest.commit.clone());
            found.push(Recalled { spec, digest, aid, commit });
        }
        (!found.is_empty()).then_some(Input::Recall { found })
    }
}

impl World {
    /// Nothing lands of what a person did not want, once that has ended.
    pub fn check_wanted(&mut self, task: &TaskId, aid: &Aid) {
        if self.withdrawn.contains(aid) {
            self.violations.push(format!("{aid} of {task} landed, and a person had ended it"));
        }
    }
}
