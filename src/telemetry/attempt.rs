//! One attempt while it goes on: the step that it is in, since when, and the spans that follow.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::trace::Event;

use super::spans::{self, AGENT, COMMIT, MERGE, Trouble, VERIFY, WORKTREE};
use crate::agent;
use crate::base::{Aid, Millis, Oid};
use crate::core::{Attempt, Conversation, Ending, Exit, Fact, FailureClass, Step, Task, Usage};
use crate::model::{Action, Check, Spec};

pub struct Open {
    /// As the attempt works on it.
    pub spec: Arc<Spec>,
    pub started: Millis,
    pub usage: Usage,
    /// What happened to the attempt as a whole.
    pub events: Vec<Event>,
    pub worker: usize,
    pub parked: bool,
    no: u32,
    base: Oid,
    doing: Doing,
    pub since: Millis,
    /// The checks of the step that is under way.
    checks: Vec<Event>,
    landing: Option<Landing>,
    conversation: Option<Conversation>,
    ending: Option<Ending>,
}

/// The step that an attempt is in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Worktree,
    Agent(usize),
    /// Its files are being kept; no span of its own.
    Snapshot,
    Verify(usize),
    Commit,
    /// For the lane, or for a person.
    Waiting,
    Merge,
}

/// The checks of a tree that is about to land.
struct Landing {
    new: Oid,
    since: Millis,
    last: Millis,
    checks: Vec<Event>,
}

/// A step that has ended.
pub struct Ended {
    pub name: &'static str,
    /// Among the steps of the attempt.
    pub id: String,
    pub since: Millis,
    pub end: Millis,
    pub attributes: Vec<KeyValue>,
    pub events: Vec<Event>,
    pub trouble: Option<Trouble>,
}

/// What an attempt's end means for the counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Completed,
    /// For good.
    Failed,
    /// Failed, and followed by another.
    Retried,
    /// It counts for nothing.
    SetAside,
}

/// An attempt that has ended.
pub struct Over {
    pub outcome: Outcome,
    /// Where the task stands after it.
    pub state: &'static str,
    pub trouble: Option<Trouble>,
}

impl Open {
    pub fn claimed(task: &Task, attempt: Option<&Attempt>, at: Millis, base: &Oid, worker: usize) -> Self {
        let spec = attempt.filter(|a| !a.stand_ins.is_empty()).map_or_else(|| task.spec.clone(), |a| Arc::new(a.working(&task.spec)));
        Self {
            spec,
            started: at,
            usage: Usage::default(),
            events: Vec::new(),
            worker,
            parked: false,
            no: attempt.map_or(task.attempts, |a| a.no),
            base: base.clone(),
            doing: Doing::Worktree,
            since: at,
            checks: Vec::new(),
            landing: None,
            conversation: attempt.and_then(|a| a.conversation.clone()),
            ending: attempt.and_then(|a| a.ending),
        }
    }

    /// One that an earlier process began.
    pub fn found(task: &Task, attempt: &Attempt, worker: usize) -> Self {
        let since = task.changed;
        let (doing, landing) = match &attempt.step {
            Step::Prepare => (Doing::Worktree, None),
            Step::Agent { n } => (Doing::Agent(*n), None),
            Step::Snapshot { .. } => (Doing::Snapshot, None),
            Step::Verify { n } => (Doing::Verify(*n), None),
            Step::Commit => (Doing::Commit, None),
            Step::Approval { .. } | Step::Approved { .. } | Step::Queued { .. } => (Doing::Waiting, None),
            Step::Merge { .. } => (Doing::Merge, None),
            Step::Land { new, .. } => (Doing::Merge, Some(Landing { new: new.clone(), since, last: since, checks: Vec::new() })),
        };
        let begun = Self::claimed(task, Some(attempt), attempt.started, &attempt.base, worker);
        let parked = matches!(attempt.step, Step::Approval { .. });
        Self { doing, since, landing, parked, usage: attempt.usage, ..begun }
    }

    /// What every span of the attempt says.
    pub fn attributes(&self) -> Vec<KeyValue> {
        let mut all = vec![
            KeyValue::new("drover.task.id", self.spec.id.to_string()),
            KeyValue::new("drover.task.title", spans::text(&self.spec.title)),
            KeyValue::new("drover.task.priority", self.spec.priority),
            KeyValue::new("drover.task.attempt", i64::from(self.no)),
            KeyValue::new("drover.worker.id", self.worker.to_string()),
        ];
        all.extend(self.spec.epic.as_ref().map(|epic| KeyValue::new("drover.epic.id", epic.to_string())));
        all
    }

    /// The steps that end with a fact.
    pub fn ended(&mut self, aid: &Aid, at: Millis, fact: &Fact, over: Option<&Over>, redact: impl Fn(&str) -> String) -> Vec<Ended> {
        let mut ended = Vec::new();
        if matches!(fact, Fact::LaneLost { .. }) || over.is_some() {
            ended.extend(self.landing.take().filter(|l| !l.checks.is_empty()).map(|l| l.ended(over)));
        }
        let step = match (fact, self.doing) {
            (Fact::Prepared { .. }, Doing::Worktree) => Some(self.git(WORKTREE, "worktree", at, &self.base.clone())),
            (Fact::AgentEnded { n, exit, .. }, _) => Some(self.agent(aid, at, *n, Some(exit), redact)),
            (Fact::Verified { n, .. }, _) => Some(self.step(VERIFY, format!("verify {n}"), at)),
            (Fact::Done { .. }, Doing::Verify(n)) => Some(self.step(VERIFY, format!("verify {n}"), at)),
            (Fact::Committed { commit, .. }, _) => Some(self.git(COMMIT, "commit", at, commit)),
            (Fact::Landed { commit, .. }, Doing::Merge) => Some(self.git(MERGE, "merge", at, commit)),
            (fact, _) => over.and_then(|over| self.broken_off(aid, at, fact, over)),
        };
        ended.extend(step);
        ended
    }

    /// The step in the middle of which the attempt came to its end.
    fn broken_off(&mut self, aid: &Aid, at: Millis, fact: &Fact, over: &Over) -> Option<Ended> {
        let failed = match fact {
            Fact::AttemptFailed { failure, .. } => Some(failure.class),
            _ => None,
        };
        let base = self.base.clone();
        let step = match self.doing {
            Doing::Worktree => self.git(WORKTREE, "worktree", at, &base),
            Doing::Agent(n) => self.agent(aid, at, n, None, str::to_owned),
            // What ended it may be what the agent came to, right after its files were kept.
            Doing::Verify(n) if failed == Some(FailureClass::Verify) || at > self.since => self.step(VERIFY, format!("verify {n}"), at),
            Doing::Commit => self.step(COMMIT, "commit".into(), at).of("commit"),
            Doing::Merge => self.step(MERGE, "merge".into(), at).of("merge"),
            Doing::Snapshot | Doing::Verify(_) | Doing::Waiting => return None,
        };
        Some(Ended { trouble: over.trouble.clone(), ..step })
    }

    /// Goes on to the step that follows a fact, or notes what happened in this one. The agent of step
    /// `begins_at` is the first; `check` is what the fact's check is called.
    pub fn moved(&mut self, at: Millis, fact: &Fact, begins_at: usize, check: Option<String>) {
        let next = match fact {
            Fact::Prepared { .. } => Doing::Agent(begins_at),
            Fact::AgentEnded { .. } => Doing::Snapshot,
            Fact::Snapshotted { n, .. } => Doing::Verify(*n),
            Fact::Verified { n, .. } if n + 1 < self.spec.steps.len() => Doing::Agent(n + 1),
            Fact::Verified { .. } => Doing::Commit,
            Fact::Committed { .. } => Doing::Waiting,
            Fact::LaneTaken { .. } => Doing::Merge,
            _ => return self.note(at, fact, check),
        };
        (self.doing, self.since, self.parked) = (next, at, false);
    }

    fn note(&mut self, at: Millis, fact: &Fact, name: Option<String>) {
        let name = name.map(|name| KeyValue::new("drover.check.name", name));
        let mut check = |came_to: &'static str| {
            let result = KeyValue::new("drover.check.result", came_to);
            let event = spans::event("drover.check", at, name.clone().into_iter().chain([result]).collect());
            match &mut self.landing {
                Some(landing) => {
                    landing.last = at;
                    landing.checks.push(event);
                }
                None => self.checks.push(event),
            }
        };
        match fact {
            Fact::CheckPassed { .. } => check("passed"),
            Fact::CheckFailed { .. } => check("failed"),
            Fact::CheckExcused { .. } => check("excused"),
            Fact::ApprovalAsked { .. } => self.parked = true,
            Fact::EndAsked { then, .. } => self.ending = Some(*then),
            Fact::LandIntent { new, .. } => {
                self.landing = Some(Landing { new: new.clone(), since: at, last: at, checks: Vec::new() });
            }
            _ => {}
        }
    }

    /// Whether a fact ends the attempt, and how.
    pub fn over(&self, fact: &Fact, redact: impl Fn(&str) -> String) -> Option<Over> {
        let (state, trouble) = match fact {
            Fact::Landed { .. } | Fact::Done { .. } => ("completed", None),
            Fact::AttemptFailed { failure, retry, .. } => {
                (if retry.is_some() { "ready" } else { "failed" }, Some(Trouble::failure(failure, redact)))
            }
            Fact::Interrupted { .. } => ("ready", Some(Trouble::new("infrastructure.interrupted", "it was interrupted", redact))),
            Fact::Held { pause, .. } => ("ready", Some(Trouble::hold(pause.kind, &pause.message, redact))),
            Fact::OverBudget { why, .. } => ("blocked", Some(Trouble::new("task.budget", why, redact))),
            Fact::Superseded { .. } => ("ready", Some(Trouble::new("task.superseded", "there is a newer definition, or base", redact))),
            Fact::Withdrawn { .. } => (
                if self.ending == Some(Ending::Cancelled) { "cancelled" } else { "ready" },
                Some(Trouble::new("task.withdrawn", "a person did not want it to go on", redact)),
            ),
            Fact::Blocked { paths, .. } => {
                let message = format!("it conflicts with what landed meanwhile, in {}", crate::base::text::some_of(paths));
                ("blocked", Some(Trouble { failed: true, ..Trouble::new("task.conflict", &message, redact) }))
            }
            Fact::BlockedExternally { reason, .. } => {
                ("blocked", Some(Trouble { failed: true, ..Trouble::new("infrastructure.external", reason, redact) }))
            }
            _ => return None,
        };
        let outcome = match fact {
            Fact::Landed { .. } | Fact::Done { .. } => Outcome::Completed,
            Fact::AttemptFailed { retry, .. } if retry.is_some() => Outcome::Retried,
            Fact::AttemptFailed { .. } => Outcome::Failed,
            _ => Outcome::SetAside,
        };
        Some(Over { outcome, state, trouble })
    }

    fn step(&mut self, name: &'static str, id: String, end: Millis) -> Ended {
        Ended { name, id, since: self.since, end, attributes: Vec::new(), events: std::mem::take(&mut self.checks), trouble: None }
    }

    fn git(&mut self, name: &'static str, operation: &'static str, end: Millis, commit: &Oid) -> Ended {
        let mut step = self.step(name, operation.to_owned(), end).of(operation);
        step.attributes.push(KeyValue::new("drover.git.commit", commit.to_string()));
        step
    }

    fn agent(&mut self, aid: &Aid, end: Millis, n: usize, exit: Option<&Exit>, redact: impl Fn(&str) -> String) -> Ended {
        let mut step = self.step(AGENT, format!("agent {n}"), end);
        step.attributes.extend(self.who(n));
        let own = Conversation { aid: aid.clone(), n, thread: exit.and_then(|e| e.thread.as_deref().cloned()), agent: None };
        if let Some(spec) = self.spec.steps.get(n) {
            let resumed = self.conversation.as_ref().and_then(|c| agent::goes_on(spec, n, c));
            let session = resumed.or_else(|| agent::goes_on(spec, n, &own));
            step.attributes.extend(session.map(|id| KeyValue::new("gen_ai.conversation.id", spans::text(&id))));
        }
        step.attributes.extend(exit.into_iter().flat_map(|e| spans::used(&e.usage)));
        step.trouble = exit.and_then(|e| Trouble::exit(e, redact));
        step
    }

    /// Who does the work of step `n`.
    pub fn who(&self, n: usize) -> Vec<KeyValue> {
        match self.spec.steps.get(n).map(|s| &s.action) {
            Some(Action::Prompt { agent, .. }) => {
                let model = agent.model.as_ref().map(|m| KeyValue::new("drover.agent.model", spans::text(m)));
                [KeyValue::new("drover.agent.type", agent.kind.name())].into_iter().chain(model).collect()
            }
            Some(Action::Shell(_)) | None => vec![KeyValue::new("drover.agent.type", "shell")],
        }
    }

    /// Whether step `n` is one that an agent is prompted for.
    pub fn is_prompt(&self, n: usize) -> bool {
        matches!(self.spec.steps.get(n).map(|s| &s.action), Some(Action::Prompt { .. }))
    }

    /// The check that a key stands for, among the task's own and `more`.
    pub fn check<'a>(&'a self, key: &str, more: &'a [Check]) -> Option<&'a Check> {
        let own = self.spec.steps.iter().flat_map(|s| &s.verify).chain(&self.spec.verify);
        own.chain(more).find(|check| check.key() == key)
    }
}

impl Ended {
    fn of(mut self, operation: &'static str) -> Self {
        let operation = if operation == "worktree" { "worktree.create" } else { operation };
        self.attributes.push(KeyValue::new("drover.git.operation", operation));
        self
    }
}

impl Landing {
    fn ended(self, over: Option<&Over>) -> Ended {
        let red = over.and_then(|o| o.trouble.clone()).filter(|t| t.class == "task.verify");
        let attributes = vec![KeyValue::new("drover.git.commit", self.new.to_string())];
        let id = format!("landing {}", self.new);
        Ended { name: VERIFY, id, since: self.since, end: self.last, attributes, events: self.checks, trouble: red }
    }
}
