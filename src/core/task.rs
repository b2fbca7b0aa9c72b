//! What becomes of a task as a whole: new, started anew, completed, interrupted.

use std::sync::Arc;

use super::state::{Carry, Completion, Phase, Task};
use crate::base::{Aid, Millis, Oid};
use crate::model::Spec;

impl Task {
    pub(super) fn new(seq: u64, at: Millis, spec: Arc<Spec>) -> Self {
        Self {
            spec,
            spec_seq: seq,
            next: None,
            next_seq: 0,
            phase: Phase::Waiting { not_before: None },
            changed: at,
            failures: 0,
            interruptions: 0,
            attempts: 0,
            carry: None,
            last_failure: None,
            last_aid: None,
            completion: None,
            removed: false,
            queued: seq,
        }
    }

    /// As if it had never run, but for its history.
    pub(super) fn restart(&mut self, seq: u64, at: Millis) {
        self.phase = Phase::Waiting { not_before: None };
        self.changed = at;
        self.queued = seq;
        self.failures = 0;
        self.interruptions = 0;
        self.carry = None;
        self.last_failure = None;
    }

    pub(super) fn complete(&mut self, at: Millis, aid: &Aid, commit: Option<Oid>, landing: u64) {
        self.completion = Some(Completion { aid: aid.clone(), digest: self.spec.digest.clone(), commit, at, landing });
        self.phase = Phase::Completed;
        self.interruptions = 0;
        self.carry = None;
    }

    /// The next attempt goes on from what this one left: the last snap is the interrupted
    /// step's, those before it are of steps that were finished.
    pub(super) fn interrupt(&mut self) {
        if let Phase::Active(attempt) = &self.phase {
            let mut snaps = attempt.snaps.clone();
            let tree = snaps.pop().map(|s| s.tree);
            self.carry = Some(Carry {
                aid: attempt.aid.clone(),
                base: attempt.base.clone(),
                snaps,
                summary: attempt.summary.clone(),
                tree,
                landings: attempt.landings,
            });
        }
        self.interruptions += 1;
        self.phase = Phase::Waiting { not_before: None };
    }
}

impl Spec {
    /// What an attempt depends on: all but the source line and what only orders it.
    pub(super) fn work(&self) -> Spec {
        Spec { source: Default::default(), priority: 0, labels: Vec::new(), ..self.clone() }
    }
}
