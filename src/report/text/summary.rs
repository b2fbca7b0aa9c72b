//! How a run went.

use super::last_lines;
use crate::base::text::{count, one_line};
use crate::base::{Millis, TaskId, format_duration};
use crate::core::view::{Status, TaskView, Verdict};
use crate::core::{State, Task};
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
}

/// Every selected task with its end and the reason for it, what failed in full, the verdict.
pub fn summary(state: &State, now: Millis, options: &SummaryOptions) -> String {
    let selected: Vec<TaskView> = state.views().into_iter().filter(|v| state.selection.holds(&v.id)).collect();
    let before = selected.iter().filter(|v| done_before(state, v)).count();
    let mut rows: Vec<(Option<usize>, Row)> = Vec::new();
    for view in selected.iter().filter(|v| options.verbose || !done_before(state, v)) {
        if !options.quiet || view.status == Status::Failed {
            rows.push((Status::ALL.iter().position(|s| *s == view.status), row(view, now)));
        }
    }
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let mut out = table(&rows, Paint { on: options.color });
    for view in selected.iter().filter(|v| v.status == Status::Failed) {
        out.extend(state.tasks.get(&view.id).map(|task| failed(&view.id, task, options)));
    }
    if before > 0 && !options.verbose && !options.quiet {
        out.push_str(&format!("  {before} done before this run\n"));
    }
    out.extend(words::publish(state).map(|line| format!("{line}\n")));
    out.push_str(&verdict(state, &selected, now));
    out
}

fn done_before(state: &State, view: &TaskView) -> bool {
    let began = state.head.run.as_ref().map(|r| r.began);
    let done = state.tasks.get(&view.id).filter(|t| t.is_completed()).and_then(|t| t.completion.as_ref());
    done.zip(began).is_some_and(|(done, began)| done.at < began)
}

fn row(view: &TaskView, now: Millis) -> Row {
    let (hue, sign) = words::sign(view.status);
    let told = match view.status {
        Status::Completed => view.commit.as_ref().map(|c| format!("landed {}", c.get(..7).unwrap_or(c))).unwrap_or_default(),
        Status::Failed => format!("after {}", count(view.failures as usize, "attempt")),
        Status::Claimed | Status::InProgress => "goes on with the next start".into(),
        _ => view.reason.as_ref().map(|r| words::reason(r, now)).unwrap_or_else(|| "not started".into()),
    };
    Row { hue, sign, cells: vec![view.id.to_string(), words::status(view), told] }
}

/// The message in full, the end of the output, and where the rest is.
fn failed(id: &TaskId, task: &Task, options: &SummaryOptions) -> String {
    let mut out = format!("{id} failed:\n");
    if let Some(failure) = &task.last_failure {
        let lines = last_lines(&failure.message, 40).into_iter().map(|l| format!("    {l}\n"));
        out.extend(lines);
        out.extend(last_lines(&failure.tail, options.tail).into_iter().map(|l| format!("    | {l}\n")));
    }
    if let Some(path) = (options.log)(id) {
        out.push_str(&format!("    log: {}\n", one_line(&path, 1000)));
    }
    out
}

fn verdict(state: &State, selected: &[TaskView], now: Millis) -> String {
    let counts = words::count_up(selected);
    let took = state.head.run.as_ref().map(|r| format!(" in {}", format_duration(now.since(r.began)))).unwrap_or_default();
    match state.verdict() {
        Verdict::Done => format!("Done{took}: {counts}.\n"),
        Verdict::Failed => format!("Failed{took}: {counts}.\n"),
        Verdict::Stopped(why) => format!("Stopped{took}: {}; {counts}.\n", one_line(&why, 400)),
    }
}
