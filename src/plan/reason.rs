//! The lines of a plan: one a task, with what it is about and why.

use super::diff::{Cause, Draft};
use super::fate::{Fate, Fates};
use super::{Action, Line};
use crate::base::text::{one_line, some_of};
use crate::base::{TaskId, format_duration};
use crate::core::{Block, Phase, Task};
use crate::model::{self, OnChange, Source, Spec, StepSpec};

/// The most of a failure's first line that a reason holds, in characters.
const FAILURE: usize = 100;
/// So many dependencies are spelt out.
const NAMED: usize = 4;

pub(super) fn lines(draft: &Draft, fates: &Fates) -> Vec<Line> {
    let mut lines: Vec<(usize, i64, Line)> = Vec::new();
    for (id, spec) in draft.req.graph.tasks() {
        if let Some(line) = (Teller { draft, fates, spec }).line() {
            lines.push((fates.depth(id), -spec.priority, line));
        }
    }
    let files = draft.req.graph.tasks();
    for (id, task) in draft.req.recorded.tasks.iter().filter(|(id, _)| !files.contains_key(*id)) {
        lines.extend(gone(draft, id, task).map(|line| (0, 0, line)));
    }
    lines.sort_by(|(d, p, a), (e, q, b)| (a.action, d, p, &a.id).cmp(&(b.action, e, q, &b.id)));
    lines.into_iter().map(|(_, _, line)| line).collect()
}

/// Of a task that is not in the files (any more).
fn gone(draft: &Draft, id: &TaskId, task: &Task) -> Option<Line> {
    let runs = task.attempt().is_some();
    let now = draft.leaving.contains(id);
    let (action, detail, reason) = match (now, runs) {
        (true, true) if task.awaits_approval() => {
            (Action::Drop, "removed from the files while it waits for approval", "dropped; its attempts stay in git")
        }
        (true, true) => (Action::Leave, "removed from the files while in progress", "finishes, then leaves"),
        (true, false) if task.is_completed() => (Action::Leave, "removed from the files", "done; kept in history"),
        (true, false) if task.attempts > 0 => (Action::Drop, "removed from the files", "dropped; its attempts stay in git"),
        (true, false) => (Action::Drop, "removed from the files", "dropped"),
        (false, true) => (Action::Resume, "left the files", "finishes, then leaves"),
        (false, false) => return None,
    };
    let told = Told { action, detail: detail.into(), reason: reason.into() };
    let mut line = line(&task.spec, Some(task), told);
    line.quiet = action == Action::Leave && !runs;
    Some(line)
}

struct Told {
    action: Action,
    detail: String,
    reason: String,
}

fn line(spec: &Spec, task: Option<&Task>, told: Told) -> Line {
    let mut agents: Vec<&str> = spec.agents().map(|a| a.name.as_str()).collect();
    agents.dedup();
    Line {
        id: spec.id.clone(),
        title: spec.title.clone(),
        action: told.action,
        detail: told.detail,
        reason: told.reason,
        agent: (!agents.is_empty()).then(|| agents.join(",")),
        attempt: attempt(task, spec),
        max_attempts: spec.retry.max_attempts,
        digest: spec.digest.clone(),
        waits_for: Vec::new(),
        source: spec.source.clone(),
        selected: true,
        quiet: false,
    }
}

/// The attempt to come or under way. Interruptions use none.
fn attempt(task: Option<&Task>, spec: &Spec) -> u32 {
    task.map_or(1, |t| t.failures.saturating_add(1)).min(spec.retry.max_attempts.max(1))
}

/// Tells of one task that is in the files.
struct Teller<'a> {
    draft: &'a Draft<'a>,
    fates: &'a Fates<'a>,
    spec: &'a Spec,
}

impl Teller<'_> {
    fn line(&self) -> Option<Line> {
        let after = self.draft.after.tasks.get(&self.spec.id)?;
        let before = self.draft.req.recorded.tasks.get(&self.spec.id);
        let mut told = match self.draft.refused.get(&self.spec.id) {
            Some(what) => {
                Told { action: Action::Blocked, detail: what.clone(), reason: format!("on_change = \"error\" ({})", at(&self.spec.source)) }
            }
            None => self.told(before, after),
        };
        let selected = self.draft.req.selection.holds(&self.spec.id) || after.attempt().is_some();
        match self.fates.get(&self.spec.id) {
            Some(Fate::Behind { root, why }) => {
                told.action = Action::Blocked;
                told.reason = format!("waits for {root}, which {why}");
            }
            Some(Fate::Unselected) => told.reason = "not selected: not in this run".into(),
            _ => {}
        }
        let mut line = line(self.spec, Some(after), told);
        line.waits_for = match line.action {
            Action::UpToDate | Action::Keep => Vec::new(),
            _ => self.waits_for(),
        };
        line.selected = selected;
        line.quiet = match line.action {
            Action::UpToDate => true,
            // A reset is a change, whoever runs it.
            Action::Keep | Action::Rerun => false,
            _ => !selected,
        };
        Some(line)
    }

    fn told(&self, before: Option<&Task>, after: &Task) -> Told {
        let (action, detail, reason) = match &after.phase {
            Phase::Active(_) if after.awaits_approval() && !after.definition_moved() => {
                let number = after.attempt().map(|a| a.no).unwrap_or_default();
                (
                    Action::Blocked,
                    format!("attempt {number} waits for approval"),
                    format!("drover diff {0}, then drover approve {0}", self.spec.id),
                )
            }
            Phase::Active(_) => (Action::Resume, self.progress(after), self.while_running(before)),
            Phase::Completed => self.completed(before, after),
            Phase::Waiting { .. } if after.is_disabled() => {
                (Action::Blocked, self.spec.title.clone(), format!("disabled ({})", at(&self.spec.source)))
            }
            Phase::Waiting { .. } if self.draft.after.is_suspended(after) => {
                let which = if after.suspended { self.spec.id.as_str() } else { "--all" };
                (Action::Blocked, self.spec.title.clone(), format!("suspended; drover unsuspend {which}"))
            }
            Phase::Waiting { .. } => self.waiting(before, after),
            Phase::Failed => {
                let times = format!("failed {} of {}", after.failures, self.spec.retry.max_attempts);
                (Action::Failed, times, format!("{}; drover retry {}", failure(self.draft, after), self.spec.id))
            }
            Phase::Blocked(Block::Conflict { paths }) => {
                let paths = one_line(&paths.join(", "), FAILURE);
                (Action::Blocked, "conflict".into(), format!("with what landed, in {paths}; drover retry {}", self.spec.id))
            }
            Phase::Blocked(Block::External { reason }) => {
                let what = one_line(reason, FAILURE);
                (Action::Blocked, "by something outside".into(), format!("{what}; drover retry {}", self.spec.id))
            }
            Phase::Cancelled => (Action::Blocked, "cancelled".into(), format!("drover retry {}", self.spec.id)),
        };
        Told { action, detail, reason }
    }

    fn progress(&self, after: &Task) -> String {
        let phase = self.draft.after.view(&self.spec.id).and_then(|v| v.phase).unwrap_or("prepare");
        format!("attempt {} of {}, {phase}", attempt(Some(after), self.spec), self.spec.retry.max_attempts)
    }

    fn while_running(&self, before: Option<&Task>) -> String {
        if self.draft.req.rerun.contains(&self.spec.id) {
            return "in progress, goes on; --rerun is for tasks that ended".into();
        }
        match before.filter(|b| b.spec.digest != self.spec.digest) {
            Some(b) if self.spec.on_change == OnChange::Keep => format!("in progress; its {}, kept", what_changed(b, self.spec)),
            Some(b) => format!("in progress; its {}, so it runs again after", what_changed(b, self.spec)),
            None => "in progress, goes on".into(),
        }
    }

    fn completed(&self, before: Option<&Task>, after: &Task) -> (Action, String, String) {
        if let Some(by) = &after.reverted {
            let how = if after.let_go { "let go".to_owned() } else { format!("reverted in {}", by.short()) };
            return (Action::Reverted, how, format!("kept; apply --rerun {}", self.spec.id));
        }
        let commit = done_in(after);
        let stale = is_stale(after, self.spec);
        match before.filter(|_| stale) {
            Some(b) if self.draft.defined.contains(&self.spec.id) => {
                let what = format!("{}{}", what_changed(b, self.spec), since(after));
                (Action::Keep, what, format!("kept (on_change, {})", at(&self.spec.source)))
            }
            Some(_) => (Action::UpToDate, self.spec.title.clone(), format!("{commit}; kept although its definition moved")),
            None => (Action::UpToDate, self.spec.title.clone(), commit),
        }
    }

    fn waiting(&self, before: Option<&Task>, after: &Task) -> (Action, String, String) {
        let title = self.spec.title.clone();
        let Some(before) = before else { return (Action::Create, title, self.readiness()) };
        let attempts = format!("attempt {} of {}", attempt(Some(after), self.spec), self.spec.retry.max_attempts);
        let ended = before.failures > 0 || !matches!(before.phase, Phase::Waiting { .. });
        if before.is_completed() || (after.completion.is_some() && !ended && after.carry.is_none()) {
            let (what, why) = self.again(before, after);
            return (Action::Rerun, what, format!("runs again ({why}){}", self.then_after()));
        }
        if ended && after.failures == 0 {
            let why = match self.draft.causes.get(&self.spec.id) {
                Some(_) => "--rerun".to_owned(),
                None => format!("its {}", what_changed(before, self.spec)),
            };
            return (Action::Retry, attempts, format!("{why}; before: {}", failure(self.draft, before)));
        }
        if after.failures > 0 {
            return (Action::Retry, attempts, format!("{}{}", failure(self.draft, after), self.not_before(after)));
        }
        if after.carry.is_some() {
            return (Action::Resume, title, "goes on from the interrupted attempt".into());
        }
        (Action::Waiting, title, self.readiness())
    }

    /// What is the matter with a task that was done and runs again, and which rule says so.
    fn again(&self, before: &Task, after: &Task) -> (String, String) {
        let place = at(&self.spec.source);
        match self.draft.causes.get(&self.spec.id) {
            Some(Cause::Asked) => (done_in(after), "--rerun".into()),
            Some(Cause::Inputs(inputs)) => (format!("{} changed{}", some_of(inputs), since(after)), format!("inputs, {place}")),
            Some(Cause::Dependency(task)) => (format!("{task} runs again"), format!("on_dependency, {place}")),
            Some(Cause::Moved) => (format!("{}{}", what_changed(before, self.spec), since(after)), format!("on_change, {place}")),
            None => (done_in(after), "decided before".into()),
        }
    }

    fn waits_for(&self) -> Vec<TaskId> {
        self.spec.depends_on.iter().filter(|d| !self.fates.is_done(d)).cloned().collect()
    }

    fn readiness(&self) -> String {
        match self.waits_for() {
            open if open.is_empty() => "ready".into(),
            open => format!("after {}", list(&open)),
        }
    }

    fn then_after(&self) -> String {
        match self.waits_for() {
            open if open.is_empty() => String::new(),
            open => format!(" after {}", list(&open)),
        }
    }

    fn not_before(&self, task: &Task) -> String {
        match &task.phase {
            Phase::Waiting { not_before: Some(due) } if !due.is_over(self.draft.req.now) => {
                format!("; again in {}", format_duration(due.at.since(self.draft.req.now)))
            }
            _ => String::new(),
        }
    }
}

/// Whether the task was completed under another definition.
pub(super) fn is_stale(task: &Task, spec: &Spec) -> bool {
    task.completion.as_ref().map_or(&task.spec.digest, |c| &c.digest) != &spec.digest
}

/// `file:line`.
pub(super) fn at(source: &Source) -> String {
    format!("{}:{}", one_line(&source.file, 200), source.line)
}

/// The first few of them; `Line::waits_for` has them all.
fn list(ids: &[TaskId]) -> String {
    let mut names: Vec<String> = ids.iter().take(NAMED).map(|id| id.to_string()).collect();
    if ids.len() > NAMED {
        names.push(format!("and {} more", ids.len() - NAMED));
    }
    names.join(", ")
}

fn done_in(task: &Task) -> String {
    match task.completion.as_ref().and_then(|c| c.commit.as_ref()) {
        Some(commit) => format!("done in {}", commit.short()),
        None if task.marked.is_some() => "marked completed by a person".into(),
        None => "done".into(),
    }
}

fn since(task: &Task) -> String {
    match task.completion.as_ref().and_then(|c| c.commit.as_ref()) {
        Some(commit) => format!(" since {}", commit.short()),
        None => String::new(),
    }
}

fn failure(draft: &Draft, task: &Task) -> String {
    let ago = format_duration(draft.req.now.since(task.changed));
    match (&task.last_failure, &task.phase) {
        (_, Phase::Blocked(Block::External { reason })) => format!("blocked: {}", one_line(reason, FAILURE)),
        (Some(f), _) => format!("failed {ago} ago: {}", one_line(f.message.lines().next().unwrap_or_default(), FAILURE)),
        (None, Phase::Blocked(_)) => "a conflict".into(),
        (None, Phase::Cancelled) => "cancelled".into(),
        (None, _) => "failed".into(),
    }
}

/// What in a definition is not as it was: `prompt changed`.
pub(super) fn what_changed(before: &Task, spec: &Spec) -> String {
    let old = before.next.as_ref().unwrap_or(&before.spec);
    if old.digest == spec.digest {
        // The newest definition is this one; the digest moved some time before.
        let what = if is_stale(before, spec) { "definition" } else { "settings" };
        return format!("{what} changed");
    }
    let shape = |s: &Spec| s.steps.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    let pairs = || old.steps.iter().zip(&spec.steps);
    let what = if old.title != spec.title {
        "title"
    } else if shape(old) != shape(spec) || pairs().any(|(a, b)| a.title != b.title) {
        "sub-tasks"
    } else {
        pairs().find_map(|(a, b)| action_changed(a, b)).unwrap_or("definition")
    };
    format!("{what} changed")
}

fn action_changed(a: &StepSpec, b: &StepSpec) -> Option<&'static str> {
    use model::Action::{Prompt, Shell};
    match (&a.action, &b.action) {
        (Shell(a), Shell(b)) => (a != b).then_some("command"),
        (Prompt { text: a, agent: x }, Prompt { text: b, agent: y }) => {
            if a != b {
                Some("prompt")
            } else {
                (x.command != y.command).then_some("agent's command")
            }
        }
        _ => Some("kind"),
    }
}
