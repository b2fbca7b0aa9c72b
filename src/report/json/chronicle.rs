//! What came of one run, as JSON.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::plan::ids;
use super::state::{FailureJson, PublishJson, RunJson, TallyJson, TaskJson, failure, publish, push, run_json, tally, task};
use super::usage::{UsageJson, usage};
use super::{FORMAT_VERSION, value};
use crate::base::EpicId;
use crate::core::Selection;
use crate::core::view::Verdict;
use crate::report::chronicle::{Attempt, CameTo, Chronicle, End, Phase, Sum};
use crate::report::words;

pub fn chronicle(it: &Chronicle) -> Value {
    let state = &it.state;
    let views = it.selected();
    let epics: BTreeSet<&EpicId> = views.iter().filter_map(|v| it.epic(&v.id)).collect();
    let (came_to, why) = came_to(it);
    value(&ReportJson {
        format_version: FORMAT_VERSION.into(),
        project: state.policy.project.clone(),
        target: it.target.clone(),
        run: state.head.run.as_ref().map(run_json),
        until: it.until.0,
        came_to,
        why,
        settings: settings(it),
        publish: publish(&state.head.line.publish),
        push: state.pushes().then(|| push(&state.head.line.remote.push)),
        tasks: views.iter().map(|v| task(state, v, it.until)).collect(),
        attempts: it.attempts.iter().map(attempt).collect(),
        epics: epics.into_iter().map(|epic| EpicJson { id: epic.to_string(), sum: sum(&it.sum(|id| it.epic(id) == Some(epic))) }).collect(),
        critical_path: ids(&it.critical),
        sum: sum(&it.sum(|_| true)),
        tally: tally(&words::tally(&views)),
    })
}

/// What `drover report RUN --format json` prints. Times are milliseconds since 1970-01-01 UTC.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Drover report")]
pub(super) struct ReportJson {
    format_version: String,
    project: String,
    target: String,
    run: Option<RunJson>,
    /// When it ended, or something of it last happened.
    until: u64,
    came_to: CameToJson,
    /// Why it stopped.
    why: Option<String>,
    settings: SettingsJson,
    publish: PublishJson,
    /// Absent where nothing is to be pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PublishJson>,
    /// That the run was to do, as they stood at its end.
    tasks: Vec<TaskJson>,
    /// In the order in which they were begun.
    attempts: Vec<AttemptJson>,
    epics: Vec<EpicJson>,
    /// The chain of tasks, each waiting for the one before it, that ended last.
    critical_path: Vec<String>,
    /// Of all attempts in this run.
    sum: SumJson,
    tally: TallyJson,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CameToJson {
    Done,
    Failed,
    Stopped,
    /// Something ended Drover before the run was over.
    CutShort,
    UnderWay,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Settings")]
struct SettingsJson {
    /// Attempts at a time.
    workers: u32,
    fail_fast: bool,
    /// In milliseconds.
    max_time: Option<u64>,
    strategy: String,
    /// The remote, or nothing.
    push: Option<String>,
    /// The tasks; absent for all.
    selection: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Attempt")]
struct AttemptJson {
    task: String,
    id: String,
    /// Counts from 1 over all attempts at the task.
    number: u32,
    /// With their models, where these are stated; `sh` for a line for the shell.
    agents: Vec<String>,
    began: u64,
    ended: u64,
    /// As `landed`, `failed`, `interrupted`.
    came_to: String,
    /// Of one that landed.
    commit: Option<String>,
    failure: Option<FailureJson>,
    /// Another one follows one that failed.
    again: bool,
    phases: Vec<SpanJson>,
    usage: UsageJson,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Phase")]
struct SpanJson {
    phase: PhaseJson,
    /// Counts from 1: those of one worker do not overlap.
    worker: usize,
    from: u64,
    to: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PhaseJson {
    Prepare,
    Agent,
    Verify,
    Commit,
    Queue,
    Land,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Epic")]
struct EpicJson {
    id: String,
    sum: SumJson,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Sum")]
struct SumJson {
    attempts: usize,
    failed: usize,
    /// That they were under way, in milliseconds.
    took: u64,
    usage: UsageJson,
}

fn came_to(it: &Chronicle) -> (CameToJson, Option<String>) {
    match (it.end, it.state.verdict()) {
        (End::UnderWay, _) => (CameToJson::UnderWay, None),
        (End::CutShort, _) => (CameToJson::CutShort, None),
        (End::Ended, Verdict::Done) => (CameToJson::Done, None),
        (End::Ended, Verdict::Failed) => (CameToJson::Failed, None),
        (End::Ended, Verdict::Stopped(why)) => (CameToJson::Stopped, Some(why)),
    }
}

fn settings(it: &Chronicle) -> SettingsJson {
    let policy = &it.state.policy;
    SettingsJson {
        workers: it.workers(),
        fail_fast: it.fails_fast(),
        max_time: policy.max_time,
        strategy: words::strategy(policy.merge.strategy).into(),
        push: Some(policy.merge.push.clone()).filter(|remote| !remote.is_empty()),
        selection: match &it.state.selection {
            Selection::All => None,
            Selection::Only(tasks) => Some(tasks.iter().map(|id| id.to_string()).collect()),
        },
    }
}

fn attempt(attempt: &Attempt) -> AttemptJson {
    let spans = attempt.stints.iter().flat_map(|stint| stint.spans.iter().map(|span| (stint.lane + 1, span)));
    AttemptJson {
        task: attempt.task.to_string(),
        id: attempt.aid.to_string(),
        number: attempt.no,
        agents: attempt.agents.clone(),
        began: attempt.began.0,
        ended: attempt.ended.0,
        came_to: attempt.came_to.name().into(),
        commit: match &attempt.came_to {
            CameTo::Landed { commit } => Some(commit.to_string()),
            _ => None,
        },
        failure: match &attempt.came_to {
            CameTo::Failed { failure: why, .. } => Some(failure(why)),
            _ => None,
        },
        again: matches!(attempt.came_to, CameTo::Failed { again: true, .. }),
        phases: spans.map(|(worker, span)| SpanJson { phase: phase(span.phase), worker, from: span.from.0, to: span.to.0 }).collect(),
        usage: usage(&attempt.usage),
    }
}

fn phase(phase: Phase) -> PhaseJson {
    match phase {
        Phase::Prepare => PhaseJson::Prepare,
        Phase::Agent => PhaseJson::Agent,
        Phase::Verify => PhaseJson::Verify,
        Phase::Commit => PhaseJson::Commit,
        Phase::Queue => PhaseJson::Queue,
        Phase::Land => PhaseJson::Land,
    }
}

fn sum(sum: &Sum) -> SumJson {
    let took = u64::try_from(sum.took.as_millis()).unwrap_or(u64::MAX);
    SumJson { attempts: sum.attempts, failed: sum.failed, took, usage: usage(&sum.usage) }
}
