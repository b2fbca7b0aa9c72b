//! A person at work beside the simulated Drover: looks at what waits, and says yes or no later,
//! maybe when something else waits by then.

use drover::base::{Aid, TaskId};
use drover::core::{Act, Input, Order};
use drover::engine::machine::Machine;
use drover::model::Approval;

use super::{Sim, TARGET};
use crate::sim::world::{Bug, World};
use drover::store::Store;

/// What a person looked at, and has not yet said anything about.
#[derive(Clone, Debug)]
pub struct Look {
    task: TaskId,
    aid: Aid,
    no: u32,
}

impl Sim {
    /// One moment of a person's: a look, or a word about what was looked at before.
    pub fn person(&mut self) {
        if self.world.rng.bool() {
            let waiting: Vec<Look> = self.waiting();
            if !waiting.is_empty() {
                let n = self.world.rng.usize(0..waiting.len());
                self.looks.push(waiting[n].clone());
            }
        } else if !self.looks.is_empty() {
            let n = self.world.rng.usize(0..self.looks.len());
            let look = self.looks.swap_remove(n);
            self.speak(&look);
        }
    }

    /// Asks for what landed to be published now, and maybe for what the target lost; or takes something
    /// off the target, unless what was asked for is under way.
    pub fn ask(&mut self) {
        let under_way = self.machine.state.head.line.asked.restore || self.in_flight.iter().any(|(_, job)| job.restore);
        if self.world.rng.u8(0..4) == 0 && !under_way && !self.world.quiet {
            return self.world.person_rewinds();
        }
        let restore = self.world.rng.u8(0..3) == 0;
        self.world.wanted_back |= restore;
        self.turn(vec![Input::PublishAsked { restore }], None);
    }

    /// Nothing is left to do but what waits for a person: they go through it, beside the run or
    /// after its end. Whether there was anything.
    pub fn last_word(&mut self) -> bool {
        let waiting = self.waiting();
        let ends = self.world.rng.bool() && !waiting.is_empty();
        if ends {
            self.turn(vec![Input::RunEnds], None);
            self.in_flight.clear();
            self.machine = Machine::new(self.store.load(TARGET).unwrap());
        }
        waiting.iter().for_each(|look| self.speak(look));
        if ends {
            self.start();
        }
        !waiting.is_empty()
    }

    fn waiting(&self) -> Vec<Look> {
        let parked = self.machine.state.parked().filter(|(_, a)| a.awaits_approval());
        parked.map(|(t, a)| Look { task: t.spec.id.clone(), aid: a.aid.clone(), no: a.no }).collect()
    }

    fn speak(&mut self, look: &Look) {
        // The fault: a word about whatever waits, not about what was looked at.
        let attempt = (self.world.bug != Bug::ApprovesBlindly).then_some(look.no);
        let approves = self.world.quiet || self.world.rng.u8(0..3) > 0;
        let act = match approves {
            true => Act::Approve { attempt },
            false => Act::Reject { attempt, reason: "not like this".into() },
        };
        // Another fault: it goes through though nobody has said so.
        if approves && self.world.bug != Bug::LandsUnapproved {
            self.world.approved.insert(look.aid.clone());
        }
        let order = Order { task: look.task.clone(), act };
        let confirmed = self.approved_in_memory(&order) || self.order(order);
        if confirmed && approves {
            self.let_through.insert(look.aid.clone());
        }
        if confirmed && !approves {
            self.world.rejected.insert(look.aid.clone());
        }
    }
}

impl World {
    /// Nothing lands that wants a person's word and has not got it.
    pub fn check_approval(&mut self, task: &TaskId, aid: &Aid, approval: Approval) {
        if approval == Approval::Required && !self.approved.contains(aid) {
            self.violations.push(format!("{aid} of {task} landed, and nobody has approved it"));
        }
        if self.rejected.contains(aid) {
            self.violations.push(format!("{aid} of {task} landed, and was rejected"));
        }
    }
}
