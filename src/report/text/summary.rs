//! How a run went.

use super::last_lines;
use crate::base::text::{count, one_line};
use crate::base::{Millis, TaskId, format_duration};
use crate::core::view::{Status, TaskView, Verdict};
use crate::core::{State, Task, Usage};
use crate::model::Strategy;
use crate::report::style::{Paint, Row, table};
use crate::report::words;

pub struct SummaryOptions<'a> {
    pub color: bool,
    /// Also what was done before the run began.
    pub verbose: bool,
    /// Only what failed, and the verdict.
    pub quiet: bool,
    /// How many of the last lines of output to show of each failed task.
    pub tail: usize,
    /// Where the output of a task's last attempt is kept.
    pub log: &'a dyn Fn(&TaskId) -> Option<String>,
    /// Nothing: it is of the last run.
    pub watch: Option<Watched>,
    /// Why what is recorded as done is not all.
    pub unmet: Option<&'a str>,
}

/// Where a watch began, whose runs are told of together.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    pub began: Millis,
    /// What all attempts had used by then.
    pub used: Usage,
}

impl SummaryOptions<'_> {
    fn what(&self) -> &'static str {
        if self.watch.is_some() { "watch" } else { "run" }
    }

    fn began(&self, state: &State) -> Option<Millis> {
        self.watch.map(|watch| watch.began).or(state.head.run.as_ref().map(|run| run.began))
    }
}

/// Every selected task with its end and the reason for it, what failed in full, the verdict.
pub fn summary(state: &State, now: Millis, options: &SummaryOptions) -> String {
    let selected: Vec<TaskView> = state.views().into_iter().filter(|v| state.selection.holds(&v.id)).collect();
    body(state, &selected, now, options) + &verdict(state, &selected, now, options.watch, options.unmet)
}

/// The same without the verdict.
pub(super) fn body(state: &State, selected: &[TaskView], now: Millis, options: &SummaryOptions) -> String {
    let began = options.began(state);
    let before = selected.iter().filter(|v| done_before(state, v, began)).count();
    let mut rows: Vec<(Option<usize>, Row)> = Vec::new();
    for view in selected.iter().filter(|v| options.verbose || !done_before(state, v, began)) {
        if !options.quiet || view.status == Status::Failed {
            rows.push((Status::ALL.iter().position(|s| *s == view.status), row(state, view, now)));
        }
    }
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let mut out = table(&rows, Paint { on: options.color });
    for view in selected.iter().filter(|v| v.status == Status::Failed) {
        out.extend(state.tasks.get(&view.id).map(|task| failed(&view.id, task, options)));
    }
    if !options.quiet {
        out.extend(selected.iter().filter(|v| !done_before(state, v, began)).filter_map(|v| follow_up(state, v)));
    }
    if before > 0 && !options.verbose && !options.quiet {
        out.push_str(&format!("  {before} done before this {}\n", options.what()));
    }
    out.extend(words::publish(state).into_iter().chain(words::push(state)).map(|line| format!("{line}\n")));
    out.extend(words::stopped(state).iter().map(|line| format!("{line}\n")));
    let of_run = state.head.run.as_ref().map(|run| run.usage);
    let used = options.watch.map(|watch| state.head.usage - watch.used).or(of_run).and_then(|used| words::usage(&used));
    out.extend(used.map(|used| format!("Used in this {}: {used}.\n", options.what())));
    out
}

fn follow_up(state: &State, view: &TaskView) -> Option<String> {
    words::follow_up(&view.id, &state.tasks.get(&view.id)?.follow_up)
}

fn done_before(state: &State, view: &TaskView, began: Option<Millis>) -> bool {
    let done = state.tasks.get(&view.id).filter(|t| t.is_completed()).and_then(|t| t.completion.as_ref());
    done.zip(began).is_some_and(|(done, began)| done.at < began)
}

fn row(state: &State, view: &TaskView, now: Millis) -> Row {
    let (hue, sign) = words::mark(view);
    let (status, told) = outcome(state, view, now);
    Row { hue, sign, cells: vec![view.id.to_string(), status, told] }
}

/// Its status, and what there is to say about it.
pub fn outcome(state: &State, view: &TaskView, now: Millis) -> (String, String) {
    let told = match view.status {
        Status::Completed if view.reason.is_some() => view.reason.as_ref().map(|r| words::reason(r, now)).unwrap_or_default(),
        Status::Completed => {
            let landed = view.commit.as_ref().map(|c| landed(state, view, c));
            landed.into_iter().chain(words::marked(view)).chain(words::blemishes(view)).collect::<Vec<_>>().join("; ")
        }
        Status::Failed => format!("after {}", count(view.failures as usize, "attempt")),
        Status::Claimed | Status::InProgress => "goes on with the next start".into(),
        _ => view.reason.as_ref().map(|r| words::reason(r, now)).unwrap_or_else(|| "not started".into()),
    };
    (words::status(view), told)
}

fn landed(state: &State, view: &TaskView, commit: &str) -> String {
    let short = commit.get(..7).unwrap_or(commit);
    match state.policy.merge.strategy {
        Strategy::Branch => format!("landed {short}, branch drover/{}", view.id),
        Strategy::Merge | Strategy::Squash | Strategy::Rebase => format!("landed {short}"),
    }
}

/// The message in full, the end of the output, and where the rest is.
fn failed(id: &TaskId, task: &Task, options: &SummaryOptions) -> String {
    let mut out = format!("{id} failed:\n");
    if let Some(failure) = &task.last_failure {
        let lines = last_lines(&failure.message, 40).into_iter().map(|l| format!("    {l}\n"));
        out.extend(lines);
        out.extend(last_lines(&failure.tail, options.tail).into_iter().map(|l| format!("    | {l}\n")));
    }
    out.extend((options.log)(id).map(|path| format!("    log: {}\n", one_line(&path, 1000))));
    out
}

pub fn verdict(state: &State, selected: &[TaskView], now: Millis, watch: Option<Watched>, unmet: Option<&str>) -> String {
    let counts = words::count_up(selected);
    let took = |began: Millis| format_duration(now.since(began));
    let took = match (watch, &state.head.run) {
        (Some(watch), _) => format!(" after {} of watching", took(watch.began)),
        (None, Some(run)) => format!(" in {}", took(run.began)),
        (None, None) => String::new(),
    };
    match words::verdict(state, unmet) {
        Verdict::Done => format!("Done{took}: {counts}.\n"),
        Verdict::Failed => format!("Failed{took}: {counts}.\n"),
        Verdict::Stopped(why) => format!("Stopped{took}: {}; {counts}.\n", one_line(&why, 400)),
    }
}
