//! What becomes of a task as a whole: new, started anew, completed, interrupted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outcome::{Conflicted, Failure, FailureClass, FollowUp, Left, Thread};
use super::state::{Attempt, Block, Carry, Completion, Phase, Step, Task};
use super::usage::Usage;
use crate::base::{Aid, Millis, Oid, TaskId};
use crate::model::{Budget, Source, Spec};

/// So much further work is kept of a task.
const FOLLOW_UPS: usize = 50;

/// The talk with an agent that an attempt began in its step `n`, to be gone on with after an interruption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub aid: Aid,
    pub n: usize,
    /// As the agent named it, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// Whose it is, by its name in the files; not known of older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

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
            left: None,
            conflict: None,
            elsewhere: None,
            last_aid: None,
            completion: None,
            reverted: None,
            let_go: false,
            renewed: Vec::new(),
            removed: false,
            hints: Vec::new(),
            follow_up: Vec::new(),
            queued: seq,
            usage: Usage::default(),
            suspended: false,
            marked: None,
        }
    }

    /// Taken out of the work by `enabled = false`, and not done before that.
    pub fn is_disabled(&self) -> bool {
        !self.spec.enabled && matches!(self.phase, Phase::Waiting { .. })
    }

    /// As if it had never run, but for its history.
    pub(super) fn restart(&mut self, seq: u64, at: Millis) {
        self.renewed.clear();
        self.phase = Phase::Waiting { not_before: None };
        self.changed = at;
        self.queued = seq;
        self.failures = 0;
        self.interruptions = 0;
        self.carry = None;
        self.last_failure = None;
        self.left = None;
        self.follow_up.clear();
        self.conflict = None;
        // What another clone landed may be the new definition.
        self.elsewhere.take_if(|found| found.digest != self.spec.digest);
        self.reverted = None;
        self.usage = Usage::default();
        self.marked = None;
    }

    pub(super) fn complete(&mut self, at: Millis, aid: &Aid, commit: Option<Oid>, landing: u64) {
        let blemishes = self.attempt().map(|a| a.blemishes.clone()).unwrap_or_default();
        let onto = self.attempt().and_then(|a| match &a.step {
            Step::Land { old, new, .. } if commit.as_ref() == Some(new) => Some(old.clone()),
            // It worked on what had landed by then.
            _ if commit.is_none() => Some(a.base.clone()),
            _ => None,
        });
        let (base, digest) = (self.attempt().map(|a| a.base.clone()), self.spec.digest.clone());
        self.completion = Some(Completion { aid: aid.clone(), digest, commit, at, landing, onto, base, blemishes });
        self.phase = Phase::Completed;
        self.renewed.clear();
        (self.suspended, self.marked) = (false, None);
        self.left = None;
        self.hints.clear();
        self.conflict = None;
        self.elsewhere.take_if(|found| found.digest == self.spec.digest);
        self.reverted = None;
        self.interruptions = 0;
        self.carry = None;
    }

    /// Each once, and no more than a person may want to read.
    pub(super) fn hear_of(&mut self, more: &[FollowUp]) {
        for found in more {
            if self.follow_up.len() < FOLLOW_UPS && !self.follow_up.contains(found) {
                self.follow_up.push(found.clone());
            }
        }
    }

    /// Something outside keeps it from being done: it waits for a person, and has used no attempt.
    pub(super) fn block(&mut self, reason: &str) {
        self.left = self.leaves();
        self.last_failure = Some(Failure::new(FailureClass::External, reason));
        self.phase = Phase::Blocked(Block::External { reason: reason.to_owned() });
    }

    /// What the attempt under way left in git.
    pub(super) fn leaves(&self) -> Option<Left> {
        let attempt = self.attempt()?;
        let (n, snap) = attempt.snaps.iter().enumerate().next_back().filter(|_| !self.in_checkout())?;
        let (aid, base) = (attempt.aid.clone(), attempt.base.clone());
        Some(Left { aid, base, n, commit: snap.commit.clone(), summary: attempt.summary.clone() })
    }

    /// What is to be told to the next attempt of one that did not merge.
    pub(super) fn conflicted(&self, failure: &Failure) -> Option<Conflicted> {
        let Phase::Active(attempt) = &self.phase else { return None };
        let Step::Merge { commit } = &attempt.step else { return None };
        (failure.class == FailureClass::Conflict && !failure.paths.is_empty()).then(|| Conflicted {
            aid: attempt.aid.clone(),
            base: attempt.base.clone(),
            commit: commit.clone(),
            summary: attempt.summary.clone(),
            paths: failure.paths.clone(),
        })
    }

    /// The next attempt goes on from what this one left: the last snap is the interrupted
    /// step's, those before it are of steps that were finished.
    pub(super) fn interrupt(&mut self) {
        self.interruptions += 1;
        self.set_aside(false);
    }

    /// As interrupted, but for the count. `finished`: its last step is whole.
    pub(super) fn set_aside(&mut self, finished: bool) {
        if let Phase::Active(attempt) = &self.phase {
            let mut snaps = attempt.snaps.clone();
            let tree = if finished { None } else { snaps.pop().map(|s| s.tree) };
            self.carry = Some(Carry {
                aid: attempt.aid.clone(),
                base: attempt.base.clone(),
                snaps,
                summary: attempt.summary.clone(),
                tree,
                landings: attempt.landings,
                conversation: attempt.conversation().filter(|_| !finished).map(|c| self.signed(c)),
            });
        }
        self.phase = Phase::Waiting { not_before: None };
    }
}

impl Task {
    fn signed(&self, talk: Conversation) -> Conversation {
        let agent = talk.agent.clone().or_else(|| self.agent_at(talk.n).map(str::to_owned));
        Conversation { agent, ..talk }
    }

    /// Nobody goes on with what was said to another agent.
    pub(super) fn forget_talk_of_others(&mut self) {
        let talk = self.attempt().and_then(|a| a.conversation.as_ref());
        let of_another = talk.is_some_and(|c| c.agent.is_some() && c.agent.as_deref() != self.agent_at(c.n));
        if let Phase::Active(attempt) = &mut self.phase {
            attempt.conversation.take_if(|_| of_another);
        }
    }
}

impl Attempt {
    /// The talk of the step that ended last: begun by this attempt, unless it went on with one.
    fn conversation(&self) -> Option<Conversation> {
        let n = self.snaps.len().checked_sub(1)?;
        let resumed = self.conversation.clone().filter(|c| c.n == n);
        Some(resumed.unwrap_or_else(|| Conversation { aid: self.aid.clone(), n, thread: None, agent: None }))
    }

    /// The agent of step `n` gave its conversation a name.
    pub(super) fn named(&mut self, n: usize, thread: &Thread) {
        self.conversation = Some(Conversation { aid: self.aid.clone(), n, thread: Some(thread.clone()), agent: None });
    }
}

impl Spec {
    /// What an attempt depends on: all but the source line and what only says when it runs.
    pub(super) fn work(&self) -> Spec {
        let (budget, attempt_budget) = (Budget::default(), Budget::default());
        Spec {
            source: Source::default(),
            priority: 0,
            labels: Vec::new(),
            enabled: true,
            inputs: Vec::new(),
            budget,
            attempt_budget,
            ..self.clone()
        }
    }
}

/// Stands in for a spec until the store has put the real one in its place.
pub(super) fn unloaded() -> Arc<Spec> {
    Arc::new(Spec::new(TaskId::parse("unloaded").expect("a plain id")))
}
