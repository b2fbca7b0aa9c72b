//! What a person is shown: status, phase and reason of each task, and how a run went.

use std::collections::BTreeMap;

use serde::Serialize;

use super::state::{Block, Flow, Phase, Publish, State, Step, Task};
use crate::base::{Millis, TaskId};

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
    Conflict {
        paths: Vec<String>,
    },
    /// Ready, but not yet.
    NotBefore {
        at: Millis,
    },
    Held {
        why: String,
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

/// Tasks that wait for a failed one, with the failed one.
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
            phase: task.attempt().filter(|_| status == Status::InProgress).map(|a| a.step.name()),
            reason,
            attempt: task.attempts,
            failures: task.failures,
            max_attempts: task.spec.retry.max_attempts,
            since: task.changed,
            commit: task.completion.as_ref().filter(|_| task.is_completed()).and_then(|c| c.commit.as_ref()).map(|c| c.to_string()),
            last_failure: task.last_failure.as_ref().filter(|_| !task.is_completed()).map(|f| f.message.clone()),
        }
    }

    fn status_of(&self, id: &TaskId, task: &Task, doomed: &Doomed) -> (Status, Option<Reason>) {
        match &task.phase {
            Phase::Completed => (Status::Completed, None),
            Phase::Failed => (Status::Failed, None),
            Phase::Cancelled => (Status::Cancelled, None),
            Phase::Blocked(Block::Conflict { paths }) => (Status::Blocked, Some(Reason::Conflict { paths: paths.clone() })),
            Phase::Active(attempt) => {
                let status = if attempt.step == Step::Prepare { Status::Claimed } else { Status::InProgress };
                (status, task.removed.then_some(Reason::Removed))
            }
            Phase::Waiting { not_before } => {
                if let Some(reason) = self.dependency_reason(task, doomed) {
                    return (Status::Blocked, Some(reason));
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
        let run = self.head.run.as_ref().filter(|r| !r.ended)?;
        if !self.selection.holds(id) {
            return Some(Reason::NotSelected);
        }
        if self.flow != Flow::Running || run.time_up {
            return Some(Reason::Draining);
        }
        if let Some(why) = self.held_by(id) {
            return Some(Reason::Held { why });
        }
        (self.active().count() >= self.workers()).then_some(Reason::NoWorker)
    }

    fn dependency_reason(&self, task: &Task, doomed: &Doomed) -> Option<Reason> {
        if let Some(failed) = doomed.get(&task.spec.id) {
            return Some(Reason::DependencyFailed { task: (*failed).clone() });
        }
        let pending = task.spec.depends_on.iter().filter(|d| self.tasks.get(*d).is_none_or(|d| !d.is_completed()));
        let tasks: Vec<TaskId> = pending.cloned().collect();
        (!tasks.is_empty()).then_some(Reason::DependencyPending { tasks })
    }

    /// The tasks that wait, directly or through others that wait, for one that failed.
    fn doomed(&self) -> Doomed<'_> {
        let mut doomed = Doomed::new();
        let mut front: Vec<(&TaskId, &TaskId)> =
            self.tasks.iter().filter(|(_, t)| t.phase == Phase::Failed).map(|(id, _)| (id, id)).collect();
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
        let mut conflicts = Vec::new();
        for (id, task) in self.shown().filter(|(id, _)| self.selection.holds(id)) {
            match self.status_of(id, task, &doomed) {
                (Status::Completed, _) => {}
                (Status::Failed, _) | (_, Some(Reason::DependencyFailed { .. })) => return Verdict::Failed,
                (_, Some(Reason::Conflict { .. })) => conflicts.push(id.to_string()),
                _ => left += 1,
            }
        }
        if !conflicts.is_empty() {
            return Verdict::Stopped(format!("blocked by a conflict: {}", conflicts.join(", ")));
        }
        if let (None, Publish::Held(why)) = (&self.head.line.tip, &self.head.line.publish) {
            return Verdict::Stopped(why.clone());
        }
        if left > 0 {
            let why =
                if self.head.run.as_ref().is_some_and(|r| r.time_up) { "the run's max_time is over" } else { "stopped before the end" };
            return Verdict::Stopped(format!("{why}: {left} left to do"));
        }
        match &self.head.line.publish {
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
            Step::Queued { .. } | Step::Merge { .. } | Step::Land { .. } => "land",
        }
    }
}
