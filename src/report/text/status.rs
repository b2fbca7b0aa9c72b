//! Where everything stands.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::text::one_line;
use crate::base::{Millis, TaskId, format_duration};
use crate::core::State;
use crate::core::view::{Status, TaskView};
use crate::report::style::{Paint, Row, table};
use crate::report::words::{self, MESSAGE};

#[derive(Clone, Copy, Debug, Default)]
pub struct StatusOptions {
    /// Tasks below what they wait for, instead of by status.
    pub tree: bool,
    /// The counts alone.
    pub oneline: bool,
    pub color: bool,
    /// No Drover is at work: a run that has not ended was cut short.
    pub deserted: bool,
}

pub fn status(state: &State, now: Millis, options: StatusOptions) -> String {
    let project = one_line(&state.policy.project, 80);
    let views = state.views();
    let tally = words::count_up(&views);
    if options.oneline {
        return format!("{project}: {tally}\n");
    }
    let rows = if options.tree { tree(state, &views, now) } else { list(views, now) };
    let mut out = format!("{project} · {}\n", run(state, now, options.deserted));
    out.push_str(&table(&rows, Paint { on: options.color }));
    out.push_str(&format!("{tally}.\n"));
    out.extend(words::publish(state).map(|line| format!("{line}\n")));
    out
}

fn run(state: &State, now: Millis, deserted: bool) -> String {
    match &state.head.run {
        None => "never run".into(),
        Some(run) if run.ended => format!("last run {}, began {} ago", run.id, format_duration(now.since(run.began))),
        Some(run) => {
            let began = format!("run {}, began {} ago", run.id, format_duration(now.since(run.began)));
            if deserted { format!("{began}, was cut short: `drover resume` goes on") } else { began }
        }
    }
}

fn list(mut views: Vec<TaskView>, now: Millis) -> Vec<Row> {
    let place = |s: Status| Status::ALL.iter().position(|other| *other == s);
    views.sort_by(|a, b| (place(a.status), &a.id).cmp(&(place(b.status), &b.id)));
    views.iter().map(|v| row(v, v.id.to_string(), now)).collect()
}

fn row(view: &TaskView, name: String, now: Millis) -> Row {
    let (hue, sign) = words::sign(view.status);
    Row { hue, sign, cells: vec![name, words::status(view), one_line(&view.title, 40), told(view, now)] }
}

/// The attempt, the reason, and for how long.
fn told(view: &TaskView, now: Millis) -> String {
    let since = format_duration(now.since(view.since));
    let attempt = format!("attempt {} of {}", view.failures.saturating_add(1).min(view.max_attempts), view.max_attempts);
    let reason = view.reason.as_ref().map(|r| words::reason(r, now));
    let failure = view.last_failure.as_deref().map(|m| one_line(m.lines().next().unwrap_or_default(), MESSAGE));
    match view.status {
        Status::Completed => match &view.commit {
            Some(commit) => format!("{}, {since} ago", commit.get(..7).unwrap_or(commit)),
            None => format!("{since} ago"),
        },
        Status::Claimed | Status::InProgress => join([Some(attempt), Some(since), reason]),
        Status::Failed => join([Some(format!("{since} ago")), failure, None]),
        Status::Ready | Status::Blocked if view.failures > 0 => join([Some(attempt), reason, failure]),
        Status::Ready | Status::Blocked | Status::Cancelled => join([reason, None, None]),
    }
}

fn join(parts: [Option<String>; 3]) -> String {
    parts.into_iter().flatten().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Deeper levels are drawn at this one: a chain may be as long as the project.
const DEEPEST: usize = 20;

/// Each task once, below the last of those it waits for; the reason names the others.
fn tree(state: &State, views: &[TaskView], now: Millis) -> Vec<Row> {
    let shown: BTreeMap<&TaskId, &TaskView> = views.iter().map(|v| (&v.id, v)).collect();
    let mut below: BTreeMap<&TaskId, Vec<&TaskView>> = BTreeMap::new();
    let mut stack: Vec<(&TaskView, usize)> = Vec::new();
    // Backwards, because the stack turns them round once more.
    for view in views.iter().rev() {
        let needs = state.tasks.get(&view.id).map(|t| t.spec.depends_on.as_slice()).unwrap_or_default();
        match needs.iter().rfind(|d| shown.contains_key(d)) {
            Some(above) => below.entry(above).or_default().push(view),
            None => stack.push((view, 0)),
        }
    }
    let mut drawn: BTreeSet<&TaskId> = BTreeSet::new();
    let mut rows = Vec::new();
    while let Some((view, depth)) = stack.pop() {
        drawn.insert(&view.id);
        rows.push(row(view, format!("{}{}", "  ".repeat(depth.min(DEEPEST)), view.id), now));
        stack.extend(below.get(&view.id).into_iter().flatten().map(|b| (*b, depth + 1)));
    }
    // An attempt under an old definition can close a circle for a while; nothing stays hidden.
    rows.extend(views.iter().filter(|v| !drawn.contains(&v.id)).map(|v| row(v, v.id.to_string(), now)));
    rows
}
