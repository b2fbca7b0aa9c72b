//! Why a task is where it is, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::plan::ids;
use crate::base::Millis;
use crate::core::view::Reason;
use crate::report::words;

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Reason")]
pub(super) struct ReasonJson {
    kind: ReasonKind,
    /// The same in words.
    text: String,
    /// The tasks it waits for, or that keep it from running.
    tasks: Vec<String>,
    /// The paths in conflict.
    paths: Vec<String>,
    /// Not before this time.
    at: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ReasonKind {
    DependencyPending,
    DependencyFailed,
    DependencyReverted,
    Reverted,
    LetGo,
    DependencyDisabled,
    DependencyCancelled,
    Disabled,
    Cancelled,
    Suspended,
    Conflict,
    External,
    ApprovalRequired,
    NotBefore,
    BudgetExceeded,
    Held,
    PathsBusy,
    NoWorker,
    NotSelected,
    Draining,
    Removed,
}

pub(super) fn reason(reason: &Reason, now: Millis) -> ReasonJson {
    let text = words::reason(reason, now);
    let plain = |kind| ReasonJson { kind, text: text.clone(), tasks: Vec::new(), paths: Vec::new(), at: None };
    match reason {
        Reason::DependencyPending { tasks } => ReasonJson { tasks: ids(tasks), ..plain(ReasonKind::DependencyPending) },
        Reason::DependencyFailed { task } => ReasonJson { tasks: vec![task.to_string()], ..plain(ReasonKind::DependencyFailed) },
        Reason::DependencyReverted { task } => ReasonJson { tasks: vec![task.to_string()], ..plain(ReasonKind::DependencyReverted) },
        Reason::Reverted { .. } => plain(ReasonKind::Reverted),
        Reason::LetGo => plain(ReasonKind::LetGo),
        Reason::DependencyDisabled { task } => ReasonJson { tasks: vec![task.to_string()], ..plain(ReasonKind::DependencyDisabled) },
        Reason::DependencyCancelled { task } => ReasonJson { tasks: vec![task.to_string()], ..plain(ReasonKind::DependencyCancelled) },
        Reason::Disabled => plain(ReasonKind::Disabled),
        Reason::Cancelled => plain(ReasonKind::Cancelled),
        Reason::Suspended => plain(ReasonKind::Suspended),
        Reason::Conflict { paths, .. } => ReasonJson { paths: paths.clone(), ..plain(ReasonKind::Conflict) },
        Reason::External { .. } => plain(ReasonKind::External),
        Reason::ApprovalRequired => plain(ReasonKind::ApprovalRequired),
        Reason::NotBefore { at } => ReasonJson { at: Some(at.0), ..plain(ReasonKind::NotBefore) },
        Reason::BudgetExceeded { .. } => plain(ReasonKind::BudgetExceeded),
        Reason::Paused { until, .. } => ReasonJson { at: until.map(|at| at.0), ..plain(ReasonKind::Held) },
        Reason::Held { .. } => plain(ReasonKind::Held),
        Reason::PathsBusy { task } => ReasonJson { tasks: vec![task.to_string()], ..plain(ReasonKind::PathsBusy) },
        Reason::NoWorker => plain(ReasonKind::NoWorker),
        Reason::NotSelected => plain(ReasonKind::NotSelected),
        Reason::Draining => plain(ReasonKind::Draining),
        Reason::Removed => plain(ReasonKind::Removed),
    }
}
