//! Where everything stands.

use super::tree::tree;
use crate::base::text::one_line;
use crate::base::{Millis, format_duration};
use crate::core::State;
use crate::core::view::{Status, TaskView};
use crate::report::style::{Paint, Row, table};
use crate::report::words::{self, MESSAGE};

#[derive(Clone, Copy, Debug, Default)]
pub struct StatusOptions {
    /// Tasks below their epics and what they wait for, instead of by status.
    pub tree: bool,
    /// Where branches cannot be drawn.
    pub ascii: bool,
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
        return format!("{project}: {tally}{}\n", in_short(state, options.deserted));
    }
    let rows = if options.tree { tree(state, &views, now, options.ascii) } else { list(views, now) };
    let mut out = format!("{project} · {}\n", run(state, now, options.deserted));
    out.push_str(&table(&rows, Paint { on: options.color }));
    out.push_str(&format!("{tally}.\n"));
    out.extend(state.tasks.iter().filter(|(_, t)| !t.removed).filter_map(|(id, t)| words::follow_up(id, &t.follow_up)));
    out.extend(words::usage(&state.head.usage).map(|used| format!("Used so far: {used}.\n")));
    out.extend(words::publish(state).into_iter().chain(words::push(state)).map(|line| format!("{line}\n")));
    out.extend(words::stopped(state).iter().map(|line| format!("{line}\n")));
    out
}

/// What a glance should not miss beside the counts.
fn in_short(state: &State, deserted: bool) -> String {
    let under_way = state.head.run.as_ref().is_some_and(|run| !run.ended);
    let told = [
        (under_way && !deserted, "at work"),
        (under_way && deserted, "was cut short"),
        (state.is_landing_stopped(), "landing is stopped"),
        (words::publish(state).is_some(), "not yet published"),
        (words::push(state).is_some(), "not yet pushed"),
    ];
    told.iter().filter(|(so, _)| *so).map(|(_, what)| format!("; {what}")).collect()
}

fn run(state: &State, now: Millis, deserted: bool) -> String {
    match &state.head.run {
        None => "never run".into(),
        Some(run) if run.ended => {
            // Who is at work between two runs is a watch, or just coming or going.
            let rests = if deserted { "" } else { "; a Drover is there, and has nothing to do" };
            format!("last run {}, began {} ago{rests}", run.id, format_duration(now.since(run.began)))
        }
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

pub(super) fn row(view: &TaskView, name: String, now: Millis) -> Row {
    let (hue, sign) = words::mark(view);
    Row { hue, sign, cells: vec![name, words::status(view), one_line(&view.title, 40), told(view, now)] }
}

/// The attempt, the reason, and for how long.
fn told(view: &TaskView, now: Millis) -> String {
    let since = format_duration(now.since(view.since));
    let attempt = format!("attempt {} of {}", view.failures.saturating_add(1).min(view.max_attempts), view.max_attempts);
    let reason = view.reason.as_ref().map(|r| words::reason(r, now));
    let renewed =
        (!view.renewed.is_empty()).then(|| format!("runs again: {} changed", words::some(view.renewed.iter().map(String::as_str))));
    let reason = Some(join([renewed, reason, None])).filter(|words| !words.is_empty());
    let failure = view.last_failure.as_deref().map(|m| one_line(m.lines().next().unwrap_or_default(), MESSAGE));
    match view.status {
        Status::Completed => match &view.commit {
            Some(commit) => join([Some(format!("{}, {since} ago", commit.get(..7).unwrap_or(commit))), reason, words::blemishes(view)]),
            None => join([Some(format!("{since} ago")), words::marked(view), None]),
        },
        Status::Claimed | Status::InProgress => join([Some(attempt), Some(since), reason]),
        Status::Failed => join([Some(format!("{since} ago")), failure, None]),
        Status::Ready | Status::Blocked if view.failures > 0 => join([Some(attempt), reason, failure]),
        Status::Ready | Status::Blocked | Status::Cancelled => join([reason, words::marked(view), None]),
    }
}

fn join(parts: [Option<String>; 3]) -> String {
    parts.into_iter().flatten().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("; ")
}
