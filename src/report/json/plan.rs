//! A plan as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{FORMAT_VERSION, value};
use crate::base::TaskId;
use crate::core::Change;
use crate::model::Source;
use crate::plan::{Action, Line, Plan, Summary};
use crate::report::Heading;

pub fn plan(plan: &Plan, heading: &Heading) -> Value {
    value(&PlanJson {
        format_version: FORMAT_VERSION.into(),
        project: heading.project.clone(),
        target: heading.target.clone(),
        tip: heading.tip.as_ref().map(|t| t.to_string()),
        pending: plan.is_pending(),
        policy_changed: plan.policy_changed,
        tasks: plan.lines.iter().map(task).collect(),
        summary: summary(&plan.summary),
        moved: plan.moved.iter().map(|m| MovedJson { from: m.from.to_string(), to: m.to.to_string(), source: source(&m.source) }).collect(),
        changes: plan.changes.iter().map(change).collect(),
        bounds: BoundsJson {
            to_run: plan.bounds.to_run,
            workers: plan.bounds.workers,
            critical_path: plan.bounds.critical_path,
            cost_usd: plan.bounds.cost_microusd.map(|c| c as f64 / 1e6),
        },
        diagnostics: diagnostics(plan),
    })
}

/// What `drover plan --format json` prints.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Drover plan")]
pub(super) struct PlanJson {
    format_version: String,
    project: String,
    /// The branch that work lands on.
    target: String,
    /// The commit at its tip.
    tip: Option<String>,
    /// Whether an apply would record or run anything.
    pending: bool,
    policy_changed: bool,
    tasks: Vec<TaskJson>,
    /// Tasks that are called otherwise now.
    moved: Vec<MovedJson>,
    summary: SummaryJson,
    changes: Vec<ChangeJson>,
    bounds: BoundsJson,
    diagnostics: Vec<DiagnosticJson>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Task")]
struct TaskJson {
    id: String,
    title: String,
    action: ActionJson,
    /// What it is about, in a few words.
    detail: String,
    /// Why, in words.
    reason: String,
    /// Names of agents, joined by commas.
    agent: Option<String>,
    /// The attempt to come or under way.
    attempt: u32,
    max_attempts: u32,
    digest: String,
    /// Direct dependencies that are not done.
    waits_for: Vec<String>,
    source: SourceJson,
    selected: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Action")]
enum ActionJson {
    Resume,
    Create,
    Waiting,
    Retry,
    Rerun,
    Keep,
    Drop,
    Leave,
    Reverted,
    Failed,
    Blocked,
    UpToDate,
}

/// Lines and columns count from 1.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Source")]
pub(super) struct SourceJson {
    file: String,
    line: u32,
    column: u32,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Moved")]
struct MovedJson {
    from: String,
    to: String,
    /// Of the block that says so.
    source: SourceJson,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Summary")]
struct SummaryJson {
    resume: usize,
    run: usize,
    retry: usize,
    rerun: usize,
    moved: usize,
    keep: usize,
    drop: usize,
    leave: usize,
    history: usize,
    reverted: usize,
    failed: usize,
    blocked: usize,
    up_to_date: usize,
    not_selected: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Change")]
struct ChangeJson {
    kind: ChangeKind,
    id: String,
    /// A completed task runs again.
    rerun: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ChangeKind {
    Define,
    Move,
    Remove,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Bounds")]
struct BoundsJson {
    to_run: usize,
    workers: u32,
    /// In tasks.
    critical_path: usize,
    /// The most that agents may come to cost by the budgets, in dollars; null where one has none.
    cost_usd: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Diagnostic")]
struct DiagnosticJson {
    severity: Severity,
    message: String,
    /// The command line flag that allows it.
    flag: Option<String>,
    tasks: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// Nothing is applied.
    Error,
    /// Nothing is applied without the flag.
    Guard,
    Note,
}

fn task(line: &Line) -> TaskJson {
    TaskJson {
        id: line.id.to_string(),
        title: line.title.clone(),
        action: action(line.action),
        detail: line.detail.clone(),
        reason: line.reason.clone(),
        agent: line.agent.clone(),
        attempt: line.attempt,
        max_attempts: line.max_attempts,
        digest: line.digest.to_string(),
        waits_for: ids(&line.waits_for),
        source: source(&line.source),
        selected: line.selected,
    }
}

pub(super) fn ids(ids: &[TaskId]) -> Vec<String> {
    ids.iter().map(|id| id.to_string()).collect()
}

pub(super) fn source(source: &Source) -> SourceJson {
    SourceJson { file: source.file.clone(), line: source.line, column: source.column }
}

fn action(action: Action) -> ActionJson {
    match action {
        Action::Resume => ActionJson::Resume,
        Action::Create => ActionJson::Create,
        Action::Waiting => ActionJson::Waiting,
        Action::Retry => ActionJson::Retry,
        Action::Rerun => ActionJson::Rerun,
        Action::Keep => ActionJson::Keep,
        Action::Drop => ActionJson::Drop,
        Action::Leave => ActionJson::Leave,
        Action::Reverted => ActionJson::Reverted,
        Action::Failed => ActionJson::Failed,
        Action::Blocked => ActionJson::Blocked,
        Action::UpToDate => ActionJson::UpToDate,
    }
}

fn summary(s: &Summary) -> SummaryJson {
    SummaryJson {
        resume: s.resume,
        run: s.run,
        retry: s.retry,
        rerun: s.rerun,
        moved: s.moved,
        keep: s.keep,
        drop: s.drop,
        leave: s.leave,
        history: s.history,
        reverted: s.reverted,
        failed: s.failed,
        blocked: s.blocked,
        up_to_date: s.up_to_date,
        not_selected: s.not_selected,
    }
}

fn change(change: &Change) -> ChangeJson {
    match change {
        Change::Define { spec, rerun } => ChangeJson { kind: ChangeKind::Define, id: spec.id.to_string(), rerun: *rerun },
        Change::Renew { spec, .. } => ChangeJson { kind: ChangeKind::Define, id: spec.id.to_string(), rerun: true },
        Change::Move { spec, .. } => ChangeJson { kind: ChangeKind::Move, id: spec.id.to_string(), rerun: false },
        Change::Remove { task } => ChangeJson { kind: ChangeKind::Remove, id: task.to_string(), rerun: false },
    }
}

fn diagnostics(plan: &Plan) -> Vec<DiagnosticJson> {
    let plain = |severity, message: &String| DiagnosticJson { severity, message: message.clone(), flag: None, tasks: Vec::new() };
    let errors = plan.errors.iter().map(|e| plain(Severity::Error, e));
    let guards = plan.guards.iter().map(|g| DiagnosticJson {
        severity: Severity::Guard,
        message: g.message.clone(),
        flag: Some(g.flag.into()),
        tasks: ids(&g.tasks),
    });
    let notes = plan.notes.iter().map(|n| plain(Severity::Note, n));
    errors.chain(guards).chain(notes).collect()
}
