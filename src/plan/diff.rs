//! What moved between the files and the record, and the changes that follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fate::Fates;
use super::{Action, Line, Plan, Request, Summary, guard, moves, reason};
use crate::base::TaskId;
use crate::core::{Change, Fact, Phase, State, Task};
use crate::model::{OnChange, OnDependency, Spec};

/// Why a task that was done, or that came to an end, starts anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cause {
    /// By `--rerun`.
    Asked,
    /// Its digest is not the one it was completed under.
    Moved,
    /// These of its `inputs` are not as it landed on them.
    Inputs(Vec<String>),
    /// This dependency runs again, and it says `on_dependency = "rerun"`.
    Dependency(TaskId),
}

/// The plan while it is being made.
pub(super) struct Draft<'a> {
    pub req: &'a Request<'a>,
    /// The record as it will be.
    pub after: State,
    pub causes: BTreeMap<TaskId, Cause>,
    /// Tasks whose definition must not move, and did.
    pub refused: BTreeMap<TaskId, String>,
    /// Tasks whose record changes.
    pub defined: BTreeSet<TaskId>,
    /// Tasks that leave the files with this plan.
    pub leaving: BTreeSet<TaskId>,
    changes: Vec<Change>,
    cosmetic: BTreeSet<TaskId>,
    errors: Vec<String>,
}

/// Compares what the files say with what is recorded. An unchanged task gives no change: a
/// second plan on unchanged files is empty.
pub fn diff(req: &Request) -> Plan {
    let mut draft = Draft {
        req,
        after: req.recorded.clone(),
        causes: BTreeMap::new(),
        refused: BTreeMap::new(),
        defined: BTreeSet::new(),
        leaving: BTreeSet::new(),
        changes: Vec::new(),
        cosmetic: BTreeSet::new(),
        errors: Vec::new(),
    };
    draft.remove();
    draft.define();
    draft.carry_out();
    let fates = Fates::of(&draft);
    let lines = reason::lines(&draft, &fates);
    let renames = guard::renames(&draft);
    Plan {
        summary: Summary { moved: req.moved.len(), ..summary(&lines) },
        moved: req.moved.to_vec(),
        guards: guard::guards(&draft, &renames),
        notes: renames.iter().map(guard::Rename::note).collect(),
        first: req.recorded.head.policy_seq == 0,
        policy_changed: *req.recorded.policy != *req.policy,
        bounds: fates.bounds(&draft),
        lines,
        errors: draft.errors,
        cosmetic: draft.cosmetic,
        changes: draft.changes,
    }
}

impl Draft<'_> {
    fn remove(&mut self) {
        let files = self.req.graph.tasks();
        let gone = self.req.recorded.tasks.iter().filter(|(id, t)| !t.removed && !files.contains_key(*id));
        self.leaving = gone.map(|(id, _)| id.clone()).collect();
        self.changes.extend(self.leaving.iter().map(|task| Change::Remove { task: task.clone() }));
    }

    fn define(&mut self) {
        let mut defines: Vec<(Arc<Spec>, bool)> = Vec::new();
        for spec in by_need(self.req) {
            let Some(rerun) = self.judge(spec) else { continue };
            self.defined.insert(spec.id.clone());
            defines.push((spec.clone(), rerun));
        }
        defines.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)));
        let change = |(spec, rerun): (Arc<Spec>, bool)| match self.causes.get(&spec.id) {
            Some(Cause::Inputs(inputs)) => Change::Renew { spec, inputs: inputs.clone() },
            _ => Change::Define { spec, rerun },
        };
        let changes: Vec<Change> = defines.into_iter().map(change).collect();
        self.changes.extend(changes);
        for id in self.req.rerun.iter().filter(|id| !self.req.graph.tasks().contains_key(*id)) {
            self.errors.push(format!("--rerun names `{id}`, which is not in the files"));
        }
    }

    /// Whether the task's record changes, and if so whether the task starts anew. Comes to a
    /// task after all that it depends on.
    fn judge(&mut self, spec: &Arc<Spec>) -> Option<bool> {
        let Some(task) = self.req.recorded.tasks.get(&spec.id) else { return Some(false) };
        let newest = task.next.as_ref().unwrap_or(&task.spec);
        let moved = task.removed || newest != spec;
        let cause = match &task.phase {
            Phase::Active(_) if !task.awaits_approval() => None,
            Phase::Completed => self.stale(task, spec),
            _ => (self.req.rerun.contains(&spec.id) && leaves_traces(task)).then_some(Cause::Asked),
        };
        if self.refused.contains_key(&spec.id) {
            return None;
        }
        let rerun = cause.is_some();
        if let Some(cause) = cause {
            self.causes.insert(spec.id.clone(), cause);
        }
        if moved && !rerun && !task.removed && moves::is_cosmetic(self.req.graph, newest, spec) {
            self.cosmetic.insert(spec.id.clone());
        }
        (moved || rerun).then_some(rerun)
    }

    /// Why a completed task runs again.
    fn stale(&mut self, task: &Task, spec: &Spec) -> Option<Cause> {
        if self.req.rerun.contains(&spec.id) {
            return Some(Cause::Asked);
        }
        if reason::is_stale(task, spec) {
            match spec.on_change {
                OnChange::Rerun => return Some(Cause::Moved),
                OnChange::Keep => {}
                OnChange::Error => {
                    let what = reason::what_changed(task, spec);
                    self.errors.push(format!(
                        "{}: task `{}` is completed and its {what}, which its on_change = \"error\" forbids: \
                         put it back, say \"rerun\" or \"keep\", or run it again with --rerun {}",
                        reason::at(&spec.source),
                        spec.id,
                        spec.id
                    ));
                    self.refused.insert(spec.id.clone(), what);
                    return None;
                }
            }
        }
        if !task.stands() {
            // A person took it back: only a person, or another definition, has it done again.
            return None;
        }
        if let Some(inputs) = self.req.inputs.get(&spec.id) {
            return Some(Cause::Inputs(inputs.clone()));
        }
        // A dependency that is itself kept passes nothing on: its result stands.
        let again = spec.depends_on.iter().find(|d| self.causes.contains_key(*d));
        again.filter(|_| spec.on_dependency == OnDependency::Rerun).cloned().map(Cause::Dependency)
    }

    /// Lets the core's own rules say what the changes come to.
    fn carry_out(&mut self) {
        for change in &self.changes {
            let fact = match change {
                Change::Define { .. } | Change::Renew { .. } => change.defined(),
                Change::Move { from, spec } => Some(Fact::Moved { from: from.clone(), spec: spec.clone() }),
                Change::Remove { task } => Some(Fact::Removed { task: task.clone() }),
            };
            let applied = fact.map_or(Ok(()), |fact| self.after.apply(self.req.now, &fact));
            self.errors.extend(applied.err().map(|illegal| illegal.to_string()));
        }
    }
}

/// Whether starting anew would make a difference to a task that is not done.
fn leaves_traces(task: &Task) -> bool {
    task.phase != Phase::Waiting { not_before: None } || task.failures > 0 || task.carry.is_some()
}

fn place(spec: &Spec) -> (&str, u32, u32, &TaskId) {
    (&spec.source.file, spec.source.line, spec.source.column, &spec.id)
}

/// Every task of the files, each after all that it depends on.
pub(super) fn by_need<'a>(req: &Request<'a>) -> Vec<&'a Arc<Spec>> {
    let tasks = req.graph.tasks();
    let mut dependents: BTreeMap<&TaskId, Vec<&Arc<Spec>>> = BTreeMap::new();
    let mut open: BTreeMap<&TaskId, usize> = BTreeMap::new();
    let mut ready: Vec<&Arc<Spec>> = Vec::new();
    for spec in tasks.values() {
        let needs: BTreeSet<&TaskId> = spec.depends_on.iter().filter(|d| tasks.contains_key(*d)).collect();
        needs.iter().for_each(|need| dependents.entry(need).or_default().push(spec));
        open.insert(&spec.id, needs.len());
        if needs.is_empty() {
            ready.push(spec);
        }
    }
    let mut order = Vec::with_capacity(tasks.len());
    while let Some(spec) = ready.pop() {
        order.push(spec);
        for dependent in dependents.get(&spec.id).into_iter().flatten() {
            if let Some(left) = open.get_mut(&dependent.id) {
                *left -= 1;
                if *left == 0 {
                    ready.push(dependent);
                }
            }
        }
    }
    order
}

fn summary(lines: &[Line]) -> Summary {
    let mut sum = Summary::default();
    for line in lines {
        let count = match line.action {
            Action::Keep => &mut sum.keep,
            Action::Drop => &mut sum.drop,
            Action::Leave if line.quiet => &mut sum.history,
            Action::Leave => &mut sum.leave,
            Action::UpToDate => &mut sum.up_to_date,
            _ if !line.selected => &mut sum.not_selected,
            Action::Rerun => &mut sum.rerun,
            Action::Resume => &mut sum.resume,
            Action::Create | Action::Waiting => &mut sum.run,
            Action::Retry => &mut sum.retry,
            Action::Reverted => &mut sum.reverted,
            Action::Failed => &mut sum.failed,
            Action::Blocked => &mut sum.blocked,
        };
        *count += 1;
    }
    sum
}
