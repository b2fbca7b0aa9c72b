//! Where everything stands, and how a run went, as JSON.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::plan::{SourceJson, ids, source};
use super::reason::{ReasonJson, reason};
use super::usage::{UsageJson, usage};
use super::{FORMAT_VERSION, value};
use crate::base::Millis;
use crate::core::view::{Status, TaskView, Verdict};
use crate::core::{Failure, FollowUp, Publish, Push, Run, State};
use crate::report::words;

/// With `warnings`: what there is to be said beside the record.
pub fn status(state: &State, now: Millis, warnings: &[String]) -> Value {
    let views = state.views();
    value(&StatusJson {
        format_version: FORMAT_VERSION.into(),
        project: state.policy.project.clone(),
        seq: state.head.seq,
        run: state.head.run.as_ref().map(run_json),
        publish: publish(&state.head.line.publish),
        git_changes: state.head.unaccepted.clone(),
        usage: usage(&state.head.usage),
        push: state.pushes().then(|| push(&state.head.line.remote.push)),
        tasks: views.iter().map(|v| task(state, v, now)).collect(),
        tally: tally(&words::tally(&views)),
        warnings: warnings.to_vec(),
    })
}

/// Over the tasks that the run was to do. `unmet` is why what is recorded as done is not all.
pub fn run(state: &State, now: Millis, unmet: Option<&str>) -> Value {
    let views: Vec<TaskView> = state.views().into_iter().filter(|v| state.selection.holds(&v.id)).collect();
    let (verdict, why) = match words::verdict(state, unmet) {
        Verdict::Done => (VerdictJson::Done, None),
        Verdict::Failed => (VerdictJson::Failed, None),
        Verdict::Stopped(why) => (VerdictJson::Stopped, Some(why)),
    };
    value(&RunReportJson {
        format_version: FORMAT_VERSION.into(),
        project: state.policy.project.clone(),
        run: state.head.run.as_ref().map(run_json),
        verdict,
        why,
        publish: publish(&state.head.line.publish),
        git_changes: state.head.unaccepted.clone(),
        push: state.pushes().then(|| push(&state.head.line.remote.push)),
        tasks: views.iter().map(|v| task(state, v, now)).collect(),
        tally: tally(&words::tally(&views)),
    })
}

/// What `drover status --format json` prints. Times are milliseconds since 1970-01-01 UTC.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Drover status")]
pub(super) struct StatusJson {
    format_version: String,
    project: String,
    /// The number of the last fact that is in it.
    seq: u64,
    run: Option<RunJson>,
    publish: PublishJson,
    /// What git was given to run while attempts ran, and nobody accepted; nothing lands while there is any.
    git_changes: Vec<String>,
    /// What all attempts ever used.
    usage: UsageJson,
    /// Absent where nothing is to be pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PublishJson>,
    tasks: Vec<TaskJson>,
    tally: TallyJson,
    /// That files are not taken over, another branch is checked out than the target, or that lost what had landed: in
    /// words, with what to do.
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct RunReportJson {
    format_version: String,
    project: String,
    run: Option<RunJson>,
    verdict: VerdictJson,
    why: Option<String>,
    publish: PublishJson,
    /// What git was given to run while attempts ran, and nobody accepted; nothing lands while there is any.
    git_changes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PublishJson>,
    tasks: Vec<TaskJson>,
    tally: TallyJson,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum VerdictJson {
    Done,
    Failed,
    Stopped,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Run")]
pub(super) struct RunJson {
    id: String,
    began: u64,
    /// The run that was cut short before this one.
    continues: Option<String>,
    ended: bool,
    /// Its `max_time` is over.
    time_up: bool,
    /// What its attempts used, with those of the runs that it continues.
    usage: UsageJson,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Publish")]
pub(super) struct PublishJson {
    state: PublishState,
    /// Why it is held.
    why: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PublishState {
    Done,
    Owed,
    Held,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Task")]
pub(super) struct TaskJson {
    id: String,
    title: String,
    epic: Option<String>,
    labels: Vec<String>,
    depends_on: Vec<String>,
    source: SourceJson,
    status: StatusWord,
    /// Of a task in progress.
    phase: Option<PhaseWord>,
    reason: Option<ReasonJson>,
    /// The attempt to come or under way, counted under the definition in force.
    attempt: u32,
    max_attempts: u32,
    /// Attempts ever made, interrupted ones included.
    attempts_made: u32,
    failures: u32,
    /// When the task came to where it is.
    since: u64,
    /// Of a completed task.
    commit: Option<String>,
    /// The files whose change has a task run again that was done.
    inputs_changed: Vec<String>,
    /// Checks that failed and passed when they were run again.
    flaky: Vec<String>,
    /// Checks that fail without the task's work too, and were passed over.
    excused: Vec<String>,
    /// A person said where it is: the reason.
    marked: Option<String>,
    /// The last one, while the task is not completed.
    failure: Option<FailureJson>,
    /// Further work that the agents of its last attempt named.
    follow_up: Vec<FollowUpJson>,
    /// What its attempts under the definition in force used.
    usage: UsageJson,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Ready,
    Claimed,
    InProgress,
    Blocked,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PhaseWord {
    Prepare,
    Agent,
    Verify,
    Commit,
    Land,
    /// A person does not want it to go on.
    Ending,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Failure")]
pub(super) struct FailureJson {
    /// What kind of failure, as in the event log.
    class: String,
    message: String,
    /// The end of the output.
    tail: String,
}

/// Work that is no part of the task. Nothing acts on it but people.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "FollowUp")]
struct FollowUpJson {
    title: String,
    description: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Tally")]
pub(super) struct TallyJson {
    ready: usize,
    claimed: usize,
    in_progress: usize,
    blocked: usize,
    completed: usize,
    failed: usize,
    cancelled: usize,
}

pub(super) fn run_json(run: &Run) -> RunJson {
    RunJson {
        id: run.id.to_string(),
        began: run.began.0,
        continues: run.continues.as_ref().map(|r| r.to_string()),
        ended: run.ended,
        time_up: run.time_up,
        usage: usage(&run.usage),
    }
}

pub(super) fn publish(publish: &Publish) -> PublishJson {
    match publish {
        Publish::Done => PublishJson { state: PublishState::Done, why: None },
        Publish::Owed => PublishJson { state: PublishState::Owed, why: None },
        Publish::Held(why) => PublishJson { state: PublishState::Held, why: Some(why.clone()) },
    }
}

pub(super) fn push(push: &Push) -> PublishJson {
    match push {
        Push::Done => PublishJson { state: PublishState::Done, why: None },
        Push::Owed => PublishJson { state: PublishState::Owed, why: None },
        Push::Held(why) => PublishJson { state: PublishState::Held, why: Some(why.clone()) },
    }
}

pub(super) fn task(state: &State, view: &TaskView, now: Millis) -> TaskJson {
    let task = state.tasks.get(&view.id);
    let spec = task.map(|t| t.spec.clone());
    TaskJson {
        id: view.id.to_string(),
        title: view.title.clone(),
        epic: spec.as_ref().and_then(|s| s.epic.as_ref()).map(|e| e.to_string()),
        labels: spec.as_ref().map(|s| s.labels.clone()).unwrap_or_default(),
        depends_on: spec.as_ref().map(|s| ids(&s.depends_on)).unwrap_or_default(),
        source: source(&spec.map(|s| s.source.clone()).unwrap_or_default()),
        status: status_word(view.status),
        phase: view.phase.and_then(phase_word),
        reason: view.reason.as_ref().map(|r| reason(r, now)),
        attempt: view.failures.saturating_add(1).min(view.max_attempts),
        max_attempts: view.max_attempts,
        attempts_made: view.attempt,
        failures: view.failures,
        since: view.since.0,
        commit: view.commit.clone(),
        inputs_changed: view.renewed.clone(),
        flaky: view.blemishes.flaky.clone(),
        excused: view.blemishes.excused.clone(),
        marked: view.marked.as_ref().map(|m| m.reason.clone()),
        failure: task.filter(|t| !t.is_completed()).and_then(|t| t.last_failure.as_ref()).map(failure),
        follow_up: task.map(|t| t.follow_up.iter().map(follow_up).collect()).unwrap_or_default(),
        usage: usage(&task.map(|t| t.usage).unwrap_or_default()),
    }
}

fn follow_up(found: &FollowUp) -> FollowUpJson {
    FollowUpJson { title: found.title.clone(), description: found.description.clone() }
}

pub(super) fn failure(failure: &Failure) -> FailureJson {
    FailureJson { class: failure.class.name(), message: failure.message.clone(), tail: failure.tail.clone() }
}

fn status_word(status: Status) -> StatusWord {
    match status {
        Status::Ready => StatusWord::Ready,
        Status::Claimed => StatusWord::Claimed,
        Status::InProgress => StatusWord::InProgress,
        Status::Blocked => StatusWord::Blocked,
        Status::Completed => StatusWord::Completed,
        Status::Failed => StatusWord::Failed,
        Status::Cancelled => StatusWord::Cancelled,
    }
}

fn phase_word(phase: &str) -> Option<PhaseWord> {
    Some(match phase {
        "prepare" => PhaseWord::Prepare,
        "agent" => PhaseWord::Agent,
        "verify" => PhaseWord::Verify,
        "commit" => PhaseWord::Commit,
        "land" => PhaseWord::Land,
        "ending" => PhaseWord::Ending,
        _ => return None,
    })
}

pub(super) fn tally(tally: &BTreeMap<Status, usize>) -> TallyJson {
    let of = |status| tally.get(&status).copied().unwrap_or(0);
    TallyJson {
        ready: of(Status::Ready),
        claimed: of(Status::Claimed),
        in_progress: of(Status::InProgress),
        blocked: of(Status::Blocked),
        completed: of(Status::Completed),
        failed: of(Status::Failed),
        cancelled: of(Status::Cancelled),
    }
}
