//! What came of one run, worked out from its facts: attempts with their phases, who had a worker
//! when, what was used, what took longest.
//!
//! The facts of the record are folded up to the end of the run by the core's own rules; what is
//! told of tasks is what the state says at that point.

mod attempt;
mod path;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{EpicId, Millis, RunId, TaskId};
use crate::core::view::TaskView;
use crate::core::{Fact, Illegal, Phase as TaskPhase, State, Usage};

pub use attempt::{Attempt, CameTo, Phase, Span, Stint};

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ended,
    /// Something ended Drover before the run was over.
    CutShort,
    UnderWay,
}

/// One run, as it is reported.
pub struct Chronicle {
    pub target: String,
    pub run: RunId,
    pub began: Millis,
    /// When it ended, or something of it last happened.
    pub until: Millis,
    pub end: End,
    /// At that time.
    pub state: State,
    /// In the order in which they were begun.
    pub attempts: Vec<Attempt>,
    /// The most attempts that had a worker at a time.
    pub lanes: usize,
    /// The chain of tasks, each waiting for the one before it, that ended last.
    pub critical: Vec<TaskId>,
}

/// What some of the attempts came to, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub attempts: usize,
    pub failed: usize,
    /// That they were under way.
    pub took: Duration,
    pub usage: Usage,
}

impl Chronicle {
    /// The tasks that the run was to do, in the order of their ids.
    pub fn selected(&self) -> Vec<TaskView> {
        self.state.views().into_iter().filter(|v| self.state.selection.holds(&v.id)).collect()
    }

    pub fn took(&self) -> Duration {
        self.until.since(self.began)
    }

    pub fn epic(&self, task: &TaskId) -> Option<&EpicId> {
        self.state.tasks.get(task).and_then(|t| t.spec.epic.as_ref())
    }

    pub fn title(&self, task: &TaskId) -> &str {
        self.state.tasks.get(task).map_or("", |t| &t.spec.title)
    }

    pub fn workers(&self) -> u32 {
        let limit = self.state.head.run.as_ref().and_then(|run| run.limits.workers);
        limit.unwrap_or(self.state.policy.workers)
    }

    pub fn fails_fast(&self) -> bool {
        let limit = self.state.head.run.as_ref().and_then(|run| run.limits.fail_fast);
        limit.unwrap_or(self.state.policy.fail_fast)
    }

    /// Of the attempts at these tasks.
    pub fn sum(&self, of: impl Fn(&TaskId) -> bool) -> Sum {
        self.attempts.iter().filter(|a| of(&a.task)).fold(Sum::default(), |mut sum, attempt| {
            sum.attempts += 1;
            sum.failed += usize::from(matches!(attempt.came_to, CameTo::Failed { .. }));
            sum.took += attempt.ended.since(attempt.began);
            sum.usage += attempt.usage;
            sum
        })
    }
}

/// Hears all facts of the record in order, and keeps what is of one run.
pub struct Book {
    run: RunId,
    state: State,
    began: Option<Millis>,
    until: Millis,
    end: Option<End>,
    attempts: Vec<Attempt>,
    /// By task, the attempt that is under way.
    open: BTreeMap<TaskId, usize>,
    /// The lanes that are taken.
    busy: BTreeSet<usize>,
    lanes: usize,
}

impl Book {
    pub fn of(run: RunId) -> Self {
        Self {
            run,
            state: State::default(),
            began: None,
            until: Millis(0),
            end: None,
            attempts: Vec::new(),
            open: BTreeMap::new(),
            busy: BTreeSet::new(),
            lanes: 0,
        }
    }

    /// Whether nothing more is of the run.
    pub fn is_full(&self) -> bool {
        self.end.is_some()
    }

    pub fn enter(&mut self, at: Millis, fact: &Fact) -> Result<(), Illegal> {
        if self.is_full() {
            return Ok(());
        }
        match fact {
            Fact::RunBegan { .. } if self.began.is_some() => {
                self.end = Some(End::CutShort);
                return Ok(());
            }
            _ => self.state.apply(at, fact)?,
        }
        // A clock that was put back must not make a phase end before it began.
        let at = at.max(self.until);
        match fact {
            Fact::RunBegan { run, .. } if *run == self.run => self.begin(at),
            _ if self.began.is_none() => {}
            Fact::RunEnded { .. } => (self.until, self.end) = (at, Some(End::Ended)),
            fact => self.hear(at, fact),
        }
        Ok(())
    }

    /// Attempts that a run before this one began go on.
    fn begin(&mut self, at: Millis) {
        (self.began, self.until) = (Some(at), at);
        let going_on: Vec<TaskId> = self.state.tasks.iter().filter(|(_, t)| t.attempt().is_some()).map(|(id, _)| id.clone()).collect();
        going_on.iter().for_each(|id| self.follow(at, id, None));
    }

    fn hear(&mut self, at: Millis, fact: &Fact) {
        if let Fact::Moved { from, spec } = fact {
            self.attempts.iter_mut().filter(|a| a.task == *from).for_each(|a| a.task = spec.id.clone());
            if let Some(n) = self.open.remove(from) {
                self.open.insert(spec.id.clone(), n);
            }
        }
        let Some(task) = fact.task() else { return };
        if let (Fact::AgentEnded { exit, .. }, Some(n)) = (fact, self.open.get(task)) {
            self.attempts[*n].usage += exit.usage;
        }
        self.follow(at, task, Some(fact));
    }

    /// Holds what is kept of a task's attempt against how it stands now.
    fn follow(&mut self, at: Millis, id: &TaskId, fact: Option<&Fact>) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let now = match &task.phase {
            TaskPhase::Active(attempt) => Some(&**attempt),
            _ => None,
        };
        let open = self.open.get(id).copied();
        if let Some(n) = open.filter(|n| now.is_none_or(|a| a.aid != self.attempts[*n].aid)) {
            let attempt = &mut self.attempts[n];
            if let Some(lane) = attempt.end(at, CameTo::by(fact)) {
                self.busy.remove(&lane);
            }
            self.open.remove(id);
            self.until = at;
        }
        let Some(now) = now else { return };
        if !self.open.contains_key(id) {
            self.open.insert(id.clone(), self.attempts.len());
            self.attempts.push(Attempt::new(at, now, &task.spec));
        }
        let attempt = &mut self.attempts[self.open[id]];
        if attempt.goes_on(at, Phase::of(&now.step), &mut self.busy) {
            self.until = at;
        }
        self.lanes = self.lanes.max(self.busy.len());
    }

    /// What was heard. `None` where the run never began. `at_work`: whether a Drover is just now.
    pub fn close(mut self, target: &str, now: Millis, at_work: bool) -> Option<Chronicle> {
        let began = self.began?;
        let end = self.end.unwrap_or(if at_work { End::UnderWay } else { End::CutShort });
        let until = if end == End::UnderWay { now.max(self.until) } else { self.until };
        for n in self.open.values() {
            let came_to = if end == End::UnderWay { CameTo::UnderWay } else { CameTo::Left };
            self.attempts[*n].end(until, came_to);
        }
        let critical = path::critical(&self.attempts, &self.state);
        let (run, state, attempts, lanes) = (self.run, self.state, self.attempts, self.lanes);
        Some(Chronicle { target: target.to_owned(), run, began, until, end, state, attempts, lanes, critical })
    }
}
