//! What a person is shown: status, phase and reason of each task, and how a run went.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::gate::Blemishes;
use super::mark::Mark;
use super::pause::{HoldKind, Stage};
use super::push::{Publish, Push};
use super::state::{Block, Flow, Phase, State, Step, Task};
use crate::base::{Aid, Millis, TaskId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ready,
    Claimed,
    InProgress,
    Blocked,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    pub const ALL: [Status; 7] =
        [Status::Completed, Status::InProgress, Status::Claimed, Status::Ready, Status::Blocked, Status::Failed, Status::Cancelled];

    pub fn name(self) -> &'static str {
        match self {
            Status::Ready => "ready",
            Status::Claimed => "claimed",
            Status::InProgress => "in_progress",
            Status::Blocked => "blocked",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }
}

/// Why a task is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    DependencyPending {
        tasks: Vec<TaskId>,
    },
    DependencyFailed {
        task: TaskId,
    },
    /// What this task had landed was reverted; the task needs it.
    DependencyReverted {
        task: TaskId,
    },
    /// What it had landed was taken back by that commit.
    Reverted {
        commit: String,
    },
    /// The target was reset to before it landed, and a person let go of it.
    LetGo,
    /// Waits, at any distance, for a task that is disabled.
    DependencyDisabled {
        task: TaskId,
    },
    /// Waits, at any distance, for a task that was cancelled.
    DependencyCancelled {
        task: TaskId,
    },
    /// `enabled = false`.
    Disabled,
    /// A person does not want it started.
    Cancelled,
    /// A person wants it, or everything, left alone for a while.
    Suspended,
    Conflict {
        paths: Vec<String>,
        /// The attempt whose work it is about.
        attempt: Option<Aid>,
    },
    /// Something outside keeps it from being done, as its agent said.
    External {
        why: String,
    },
    /// Finished and verified; lands when a person says so.
    ApprovalRequired,
    /// Ready, but not yet.
    NotBefore {
        at: Millis,
    },
    Held {
        why: String,
    },
    /// A task whose `paths` overlap is at work.
    PathsBusy {
        task: TaskId,
    },
    /// Its budget is used up, or the run's.
    BudgetExceeded {
        what: String,
    },
    /// Its agent cannot work; not before that time, or not in this run.
    Paused {
        agent: String,
        why: HoldKind,
        until: Option<Millis>,
    },
    NoWorker,
    NotSelected,
    Draining,
    /// Left the files while it was running.
    Removed,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskView {
    pub id: TaskId,
    pub title: String,
    pub status: Status,
    /// Of a task in progress: `agent verify commit land`.
    pub phase: Option<&'static str>,
    pub reason: Option<Reason>,
    /// The attempt under way, or the number made.
    pub attempt: u32,
    pub failures: u32,
    pub max_attempts: u32,
    pub since: Millis,
    pub commit: Option<String>,
    pub last_failure: Option<String>,
    /// The files whose change has a task run again that was done.
    pub renewed: Vec<String>,
    /// Of the attempt under way, or of the one that completed the task.
    pub blemishes: Blemishes,
    /// A person's word for where it is.
    pub marked: Option<Mark>,
}

impl TaskView {
    /// Nothing more happens to it unless somebody does something.
    pub fn is_settled(&self) -> bool {
        match self.status {
            Status::Completed | Status::Failed | Status::Cancelled => true,
            Status::Blocked => !matches!(self.reason, Some(Reason::DependencyPending { .. })),
            Status::Ready | Status::Claimed | Status::InProgress => false,
        }
    }
}

/// How a run ended, over the tasks that were selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Done,
    /// A selected task failed, or waits for one that did.
    Failed,
    /// Not failed, but not done either, and why.
    Stopped(String),
}

/// Tasks that wait for one that failed or is disabled, with that one.
type Doomed<'a> = BTreeMap<&'a TaskId, &'a TaskId>;

impl State {
    /// Every task that is still in the files, or still running, in the order of their ids.
    pub fn views(&self) -> Vec<TaskView> {
        let doomed = self.doomed();
        self.shown().map(|(id, t)| self.view_of(id, t, &doomed)).collect()
    }

    fn shown(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter().filter(|(_, t)| !t.removed || t.attempt().is_some())
    }

    pub fn view(&self, id: &TaskId) -> Option<TaskView> {
        self.tasks.get(id).map(|t| self.view_of(id, t, &self.doomed()))
    }

    fn view_of(&self, id: &TaskId, task: &Task, doomed: &Doomed) -> TaskView {
        let (status, reason) = self.status_of(id, task, doomed);
        TaskView {
            id: id.clone(),
            title: task.spec.title.clone(),
            status,
            phase: task.attempt().filter(|_| status == Status::InProgress).map(|a| if a.is_ending() { "ending" } else { a.step.name() }),
            reason,
            attempt: task.attempts,
            failures: task.failures,
            max_attempts: task.spec.retry.max_attempts,
            since: task.changed,
            commit: task.completion.as_ref().filter(|_| task.is_completed()).and_then(|c| c.commit.as_ref()).map(|c| c.to_string()),
            renewed: task.renewed.clone(),
            blemishes: task.blemishes().cloned().unwrap_or_default(),
            marked: task.marked.clone(),
            last_failure: task.last_failure.as_ref().filter(|_| !task.is_completed()).map(|f| f.message.clone()),
        }
    }

    fn status_of(&self, id: &TaskId, task: &Task, doomed: &Doomed) -> (Status, Option<Reason>) {
        match &task.phase {
            Phase::Completed if task.reverted.is_some() && task.let_go => (Status::Completed, Some(Reason::LetGo)),
            Phase::Completed => (Status::Completed, task.reverted.as_ref().map(|c| Reason::Reverted { commit: c.to_string() })),
            Phase::Failed => (Status::Failed, None),
            Phase::Cancelled => (Status::Cancelled, Some(Reason::Cancelled)),
            Phase::Blocked(Block::Conflict { paths }) => {
                (Status::Blocked, Some(Reason::Conflict { paths: paths.clone(), attempt: task.last_aid.clone() }))
            }
            Phase::Blocked(Block::External { reason }) => (Status::Blocked, Some(Reason::External { why: reason.clone() })),
            Phase::Active(attempt) if attempt.awaits_approval() => (Status::Blocked, Some(Reason::ApprovalRequired)),
            Phase::Active(attempt) => {
                let status = if attempt.step == Step::Prepare && !attempt.is_ending() { Status::Claimed } else { Status::InProgress };
                (status, task.removed.then_some(Reason::Removed))
            }
            Phase::Waiting { .. } if task.is_disabled() => (Status::Blocked, Some(Reason::Disabled)),
            Phase::Waiting { .. } if task.suspended => (Status::Blocked, Some(Reason::Suspended)),
            Phase::Waiting { not_before } => {
                if let Some(reason) = self.dependency_reason(task, doomed) {
                    return (Status::Blocked, Some(reason));
                }
                if self.head.suspended {
                    return (Status::Blocked, Some(Reason::Suspended));
                }
                if let Some(what) = self.task_spent(task) {
                    return (Status::Blocked, Some(Reason::BudgetExceeded { what }));
                }
                if let Some(due) = not_before {
                    return (Status::Ready, Some(Reason::NotBefore { at: due.at }));
                }
                (Status::Ready, self.hold(id))
            }
        }
    }

    /// What keeps a ready task from running; nothing where no run is under way.
    fn hold(&self, id: &TaskId) -> Option<Reason> {
        let paused = self.tasks.get(id).and_then(|t| self.paused_for(t));
        let paused = paused.filter(|(_, p)| p.stage == Stage::Stopped || self.head.run.as_ref().is_some_and(|r| !r.ended));
        let paused = paused.map(|(agent, p)| Reason::Paused { agent: agent.to_owned(), why: p.kind, until: p.until() });
        let Some(run) = self.head.run.as_ref().filter(|r| !r.ended) else { return paused };
        if !self.selection.holds(id) {
            return Some(Reason::NotSelected);
        }
        if let Some(what) = self.run_spent() {
            return Some(Reason::BudgetExceeded { what });
        }
        if self.flow != Flow::Running || run.time_up {
            return Some(Reason::Draining);
        }
        if let Some(why) = &self.stands_by {
            return Some(Reason::Held { why: why.clone() });
        }
        if self.is_landing_stopped() {
            return Some(Reason::Held { why: "landing is stopped: git was given commands to run".into() });
        }
        if let Some(task) = self.paths_busy(id).cloned() {
            return Some(Reason::PathsBusy { task });
        }
        if paused.is_some() {
            return paused;
        }
        if let Some(why) = self.held_by(id) {
            return Some(Reason::Held { why });
        }
        (self.active().count() >= self.workers()).then_some(Reason::NoWorker)
    }

    fn dependency_reason(&self, task: &Task, doomed: &Doomed) -> Option<Reason> {
        if let Some(root) = doomed.get(&task.spec.id) {
            let task = (*root).clone();
            return Some(match self.tasks.get(*root) {
                Some(t) if t.is_disabled() => Reason::DependencyDisabled { task },
                Some(t) if t.phase == Phase::Cancelled => Reason::DependencyCancelled { task },
                _ => Reason::DependencyFailed { task },
            });
        }
        if let Some(task) = self.reverted_need(task) {
            return Some(Reason::DependencyReverted { task });
        }
        let pending = task.spec.depends_on.iter().filter(|d| self.tasks.get(*d).is_none_or(|d| !d.is_completed()));
        let tasks: Vec<TaskId> = pending.cloned().collect();
        (!tasks.is_empty()).then_some(Reason::DependencyPending { tasks })
    }

    /// The tasks that wait, directly or through others that wait, for one that failed, is disabled or
    /// was cancelled. One that failed counts more.
    fn doomed(&self) -> Doomed<'_> {
        let mut doomed = Doomed::new();
        let roots = |dead: fn(&Task) -> bool| self.tasks.iter().filter(move |(_, t)| dead(t)).map(|(id, _)| (id, id));
        // The last is taken first.
        let mut front: Vec<(&TaskId, &TaskId)> = roots(|t| t.phase == Phase::Cancelled).collect();
        front.extend(roots(|t| t.phase == Phase::Failed || t.is_disabled()));
        if front.is_empty() {
            return doomed;
        }
        let mut dependents: BTreeMap<&TaskId, Vec<&TaskId>> = BTreeMap::new();
        for (id, task) in self.tasks.iter().filter(|(_, t)| matches!(t.phase, Phase::Waiting { .. })) {
            task.spec.depends_on.iter().for_each(|d| dependents.entry(d).or_default().push(id));
        }
        while let Some((id, failed)) = front.pop() {
            for dependent in dependents.get(id).into_iter().flatten() {
                if doomed.insert(dependent, failed).is_none() {
                    front.push((dependent, failed));
                }
            }
        }
        doomed
    }

    /// How many tasks are in each status.
    pub fn tally(&self) -> BTreeMap<Status, usize> {
        let mut tally = BTreeMap::new();
        let doomed = self.doomed();
        for (id, task) in self.shown() {
            *tally.entry(self.status_of(id, task, &doomed).0).or_default() += 1;
        }
        tally
    }

    pub fn verdict(&self) -> Verdict {
        let doomed = self.doomed();
        let mut left = 0;
        let (mut conflicts, mut approvals, mut bereft, mut spent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut outside, mut cancelled, mut suspended) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (id, task) in self.shown().filter(|(id, _)| self.selection.holds(id)) {
            match self.status_of(id, task, &doomed) {
                (Status::Completed, _) | (_, Some(Reason::Disabled)) => {}
                (Status::Failed, _) | (_, Some(Reason::DependencyFailed { .. } | Reason::DependencyDisabled { .. })) => {
                    return Verdict::Failed;
                }
                (_, Some(Reason::BudgetExceeded { what })) if self.task_spent(task).is_some() => spent.push(format!("{id}: {what}")),
                (_, Some(Reason::Conflict { .. })) => conflicts.push(id.to_string()),
                (_, Some(Reason::External { .. })) => outside.push(id.to_string()),
                (_, Some(Reason::DependencyReverted { task })) => bereft.push(format!("{id} (needs {task})")),
                (_, Some(Reason::Suspended)) => drop(suspended.insert(if task.suspended { id.as_str() } else { "everything" }.to_owned())),
                (Status::Cancelled, _) => cancelled.push(id.to_string()),
                (_, Some(Reason::DependencyCancelled { task })) => cancelled.push(format!("{id} (needs {task})")),
                (_, Some(Reason::ApprovalRequired)) => approvals.push(id.to_string()),
                _ => left += 1,
            }
        }
        if self.is_landing_stopped() {
            return Verdict::Stopped(format!("git was given commands to run while attempts ran: {}", self.head.unaccepted.join("; ")));
        }
        let waits = [
            ("blocked by something outside", outside),
            ("blocked by a conflict", conflicts),
            ("waiting for approval", approvals),
            ("what they need was taken back", bereft),
            ("cancelled", cancelled),
            ("suspended", suspended.into_iter().collect()),
        ];
        let waits: Vec<String> =
            waits.iter().filter(|(_, ids)| !ids.is_empty()).map(|(w, ids)| format!("{w}: {}", ids.join(", "))).collect();
        if !waits.is_empty() {
            return Verdict::Stopped(waits.join("; "));
        }
        if let (None, Publish::Held(why)) = (&self.head.line.tip, &self.head.line.publish) {
            return Verdict::Stopped(why.clone());
        }
        if let Some(what) = self.run_spent().filter(|_| left > 0) {
            return Verdict::Stopped(format!("budget_exceeded: {what}; {left} left to do. Raise `[run] budget`, or run again to go on"));
        }
        if !spent.is_empty() {
            return Verdict::Stopped(format!("budget_exceeded: {}. Raise its `budget` and run again", spent.join("; ")));
        }
        if let Some(why) = self.stopped_agents().filter(|_| left > 0) {
            return Verdict::Stopped(format!("{why}; {left} left to do"));
        }
        if left > 0 {
            let why =
                if self.head.run.as_ref().is_some_and(|r| r.time_up) { "the run's max_time is over" } else { "stopped before the end" };
            return Verdict::Stopped(format!("{why}: {left} left to do"));
        }
        match &self.head.line.publish {
            Publish::Done if self.pushes() => match &self.head.line.remote.push {
                Push::Done => Verdict::Done,
                Push::Held(why) => Verdict::Stopped(format!("push pending: {why}")),
                Push::Owed => Verdict::Stopped("not yet pushed".into()),
            },
            Publish::Done => Verdict::Done,
            Publish::Held(why) => Verdict::Stopped(why.clone()),
            Publish::Owed => Verdict::Stopped("not yet published".into()),
        }
    }
}

impl Step {
    /// The phase of a task in progress.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Prepare => "prepare",
            Step::Agent { .. } => "agent",
            Step::Snapshot { .. } | Step::Commit => "commit",
            Step::Verify { .. } => "verify",
            Step::Approval { .. } => "approval",
            Step::Approved { .. } | Step::Queued { .. } | Step::Merge { .. } | Step::Land { .. } => "land",
        }
    }
}
