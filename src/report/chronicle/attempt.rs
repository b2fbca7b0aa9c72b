//! One attempt as it is reported: its phases, and the workers it had.

use std::collections::BTreeSet;

use crate::base::{Aid, Millis, Oid, TaskId};
use crate::core::{self, Fact, Failure, Step, Usage};
use crate::model::{Action, Spec};

/// What an attempt is at, for as long as it has a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Prepare,
    Agent,
    Verify,
    Commit,
    /// Waits until those before it have landed.
    Queue,
    Land,
}

impl Phase {
    pub const ALL: [Self; 6] = [Self::Prepare, Self::Agent, Self::Verify, Self::Commit, Self::Queue, Self::Land];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Agent => "agent",
            Phase::Verify => "verify",
            Phase::Commit => "commit",
            Phase::Queue => "queue",
            Phase::Land => "land",
        }
    }

    /// `None` where it waits for a person, without a worker.
    pub(super) fn of(step: &Step) -> Option<Self> {
        Some(match step {
            Step::Prepare => Phase::Prepare,
            Step::Agent { .. } => Phase::Agent,
            Step::Snapshot { .. } | Step::Commit => Phase::Commit,
            Step::Verify { .. } => Phase::Verify,
            Step::Approval { .. } | Step::Approved { .. } => return None,
            Step::Queued { .. } => Phase::Queue,
            Step::Merge { .. } | Step::Land { .. } => Phase::Land,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub phase: Phase,
    pub from: Millis,
    pub to: Millis,
}

/// What an attempt did in one go on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stint {
    /// Counts from 0.
    pub lane: usize,
    pub spans: Vec<Span>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CameTo {
    UnderWay,
    /// Drover was ended before it.
    Left,
    Landed {
        commit: Oid,
    },
    Done,
    Failed {
        failure: Box<Failure>,
        /// Another one follows.
        again: bool,
    },
    Interrupted,
    /// A person did not want it to go on.
    Withdrawn,
    /// What it was of is another task now, or done elsewhere.
    Superseded,
    Conflict {
        paths: Vec<String>,
    },
    External {
        why: String,
    },
    OverBudget {
        why: String,
    },
    Held {
        agent: String,
        why: &'static str,
    },
}

impl CameTo {
    /// By the fact that ended it.
    pub(super) fn by(fact: Option<&Fact>) -> Self {
        match fact {
            Some(Fact::Landed { commit, .. }) => Self::Landed { commit: commit.clone() },
            Some(Fact::Done { .. }) => Self::Done,
            Some(Fact::AttemptFailed { failure, retry, .. }) => Self::Failed { failure: Box::new(failure.clone()), again: retry.is_some() },
            Some(Fact::Interrupted { .. }) => Self::Interrupted,
            Some(Fact::Withdrawn { .. }) => Self::Withdrawn,
            Some(Fact::Blocked { paths, .. }) => Self::Conflict { paths: paths.clone() },
            Some(Fact::BlockedExternally { reason, .. }) => Self::External { why: reason.clone() },
            Some(Fact::OverBudget { why, .. }) => Self::OverBudget { why: why.clone() },
            Some(Fact::Held { agent, pause, .. }) => Self::Held { agent: agent.clone(), why: pause.kind.words() },
            _ => Self::Superseded,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            CameTo::UnderWay => "under_way",
            CameTo::Left => "left",
            CameTo::Landed { .. } => "landed",
            CameTo::Done => "done",
            CameTo::Failed { .. } => "failed",
            CameTo::Interrupted => "interrupted",
            CameTo::Withdrawn => "withdrawn",
            CameTo::Superseded => "superseded",
            CameTo::Conflict { .. } => "conflict",
            CameTo::External { .. } => "external",
            CameTo::OverBudget { .. } => "over_budget",
            CameTo::Held { .. } => "held",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub task: TaskId,
    pub aid: Aid,
    /// Counts from 1 over all attempts at the task.
    pub no: u32,
    /// The agents that it works with, with their models where these are stated.
    pub agents: Vec<String>,
    /// In this run.
    pub began: Millis,
    pub ended: Millis,
    pub stints: Vec<Stint>,
    pub came_to: CameTo,
    /// In this run.
    pub usage: Usage,
    /// Its last stint is under way.
    works: bool,
}

impl Attempt {
    pub(super) fn new(at: Millis, attempt: &core::Attempt, spec: &Spec) -> Self {
        let mut agents: Vec<String> = Vec::new();
        for step in &spec.steps {
            let name = match &step.action {
                Action::Shell(_) => "sh".to_owned(),
                Action::Prompt { agent, .. } => {
                    let agent = attempt.agent(agent);
                    agent.model.as_ref().map_or_else(|| agent.name.clone(), |model| format!("{} ({model})", agent.name))
                }
            };
            if !agents.contains(&name) {
                agents.push(name);
            }
        }
        Self {
            task: spec.id.clone(),
            aid: attempt.aid.clone(),
            no: attempt.no,
            agents,
            began: at,
            ended: at,
            stints: Vec::new(),
            came_to: CameTo::UnderWay,
            usage: Usage::default(),
            works: false,
        }
    }

    /// It has come to this phase. Whether that is another one.
    pub(super) fn goes_on(&mut self, at: Millis, phase: Option<Phase>, busy: &mut BTreeSet<usize>) -> bool {
        let now = self.stints.last().filter(|_| self.works).and_then(|s| s.spans.last()).map(|span| span.phase);
        if now == phase {
            return false;
        }
        self.until(at);
        match (phase, self.works) {
            (None, _) => {
                self.works = false;
                if let Some(stint) = self.stints.last() {
                    busy.remove(&stint.lane);
                }
            }
            (Some(phase), true) => {
                self.stints.iter_mut().next_back().into_iter().for_each(|s| s.spans.push(Span { phase, from: at, to: at }))
            }
            (Some(phase), false) => {
                let lane = (0..).find(|lane| !busy.contains(lane)).unwrap_or_default();
                busy.insert(lane);
                self.works = true;
                self.stints.push(Stint { lane, spans: vec![Span { phase, from: at, to: at }] });
            }
        }
        true
    }

    fn until(&mut self, at: Millis) {
        self.ended = at;
        if let Some(span) = self.stints.last_mut().filter(|_| self.works).and_then(|s| s.spans.last_mut()) {
            span.to = at;
        }
    }

    /// The lane that is free now.
    pub(super) fn end(&mut self, at: Millis, came_to: CameTo) -> Option<usize> {
        self.until(at);
        self.came_to = came_to;
        self.stints.iter_mut().for_each(|s| s.spans.retain(|span| span.to > span.from));
        let lane = self.stints.last().filter(|_| self.works).map(|s| s.lane);
        self.works = false;
        self.stints.retain(|s| !s.spans.is_empty());
        lane
    }
}
