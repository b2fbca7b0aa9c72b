//! The tables of the page: epics, tasks, failures, settings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::TITLE;
use super::markup::{line, lines};
use crate::base::text::count;
use crate::base::{EpicId, TaskId, format_duration};
use crate::core::view::{Status, TaskView};
use crate::core::{Failure, Selection, Usage};
use crate::report::chronicle::{Attempt, CameTo, Chronicle, Sum};
use crate::report::style::Hue;
use crate::report::text::last_lines;
use crate::report::words;

/// The most failures that are told in full, and the most lines of each message and each tail.
const FAILURES: usize = 200;
const MESSAGE: usize = 20;
const TAIL: usize = 40;
/// The most tasks of a selection that are named.
const NAMED: usize = 50;

/// By epic, those of none last.
fn by_epic<'a>(it: &'a Chronicle, views: &'a [TaskView]) -> Vec<(Option<&'a EpicId>, Vec<&'a TaskView>)> {
    let mut found: BTreeMap<Option<&EpicId>, Vec<&TaskView>> = BTreeMap::new();
    views.iter().for_each(|view| found.entry(it.epic(&view.id)).or_default().push(view));
    let none = found.remove(&None).map(|views| (None, views));
    found.into_iter().chain(none).collect()
}

/// The columns that tell what attempts took, those of agents only where these said anything.
struct Columns {
    used: bool,
}

impl Columns {
    fn of(it: &Chronicle) -> Self {
        Self { used: words::usage(&it.sum(|_| true).usage).is_some() }
    }

    fn head(&self) -> String {
        let names: &[&str] = if self.used { &["Attempts", "Time", "Tokens", "Cost"] } else { &["Attempts", "Time"] };
        names.iter().map(|name| format!("<th class=\"n\">{name}</th>")).collect()
    }

    fn cells(&self, sum: &Sum) -> String {
        let attempts = if sum.attempts > 0 { sum.attempts.to_string() } else { String::new() };
        let took = if sum.took > Duration::ZERO { format_duration(sum.took) } else { String::new() };
        let mut cells = vec![attempts, took];
        if self.used {
            let cost = if sum.usage.cost_microusd > 0 { words::money(sum.usage.cost_microusd) } else { String::new() };
            cells.extend([words::tokens(&sum.usage).unwrap_or_default(), cost]);
        }
        cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect()
    }

    /// With those of a task beside them.
    fn all(&self) -> usize {
        if self.used { 7 } else { 5 }
    }
}

pub fn epics(it: &Chronicle, views: &[TaskView]) -> String {
    let groups = by_epic(it, views);
    if groups.iter().all(|(epic, _)| epic.is_none()) {
        return String::new();
    }
    let columns = Columns::of(it);
    let row = |(epic, views): &(Option<&EpicId>, Vec<&TaskView>)| {
        let done = views.iter().filter(|v| v.status == Status::Completed).count();
        let name = epic.map_or("<i>no epic</i>".to_owned(), |epic| epic.to_string());
        let share = done as f64 / views.len().max(1) as f64 * 100.0;
        let meter = format!(
            "<svg class=\"meter\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" xmlns=\"http://www.w3.org/2000/svg\"><rect class=\"all\" width=\"100\" height=\"6\"/><rect class=\"done\" width=\"{share:.1}\" height=\"6\"/></svg>"
        );
        let sum = it.sum(|id| it.epic(id) == *epic);
        format!("<tr><td>{name}</td><td class=\"share\">{meter}<span>{done} of {}</span></td>{}</tr>\n", views.len(), columns.cells(&sum))
    };
    let rows: String = groups.iter().map(row).collect();
    format!(
        "<section>\n<h2>Epics</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>Epic</th><th>Completed</th>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        columns.head()
    )
}

pub fn tasks(it: &Chronicle, views: &[TaskView]) -> String {
    let columns = Columns::of(it);
    let mut body = String::new();
    for (epic, views) in by_epic(it, views) {
        if let Some(epic) = epic {
            body += &format!("<tr class=\"group\"><th colspan=\"{}\">{epic}</th></tr>\n", columns.all());
        }
        body.extend(views.iter().map(|view| task(it, view, &columns)));
    }
    format!(
        "<section>\n<h2>Tasks</h2>\n<div class=\"wide\"><table class=\"tasks\">\n<thead><tr><th>Task</th><th>State</th>{}<th>Result</th></tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n</section>\n",
        columns.head()
    )
}

fn task(it: &Chronicle, view: &TaskView, columns: &Columns) -> String {
    let (hue, sign) = words::mark(view);
    let class = match hue {
        Hue::Good => "good",
        Hue::Bad => "bad",
        Hue::Busy => "busy",
        Hue::Changed => "warn",
        Hue::Plain => "plain",
    };
    let critical = if it.critical.contains(&view.id) { " <abbr title=\"on the critical path\">◆</abbr>" } else { "" };
    format!(
        "<tr id=\"task-{0}\"><td><b>{0}</b>{critical}<br/><small>{1}</small></td><td><span class=\"state {class}\">{sign} {2}</span></td>{3}<td>{4}</td></tr>\n",
        view.id,
        line(&view.title, TITLE),
        words::status(view),
        columns.cells(&it.sum(|id| *id == view.id)),
        result(it, view),
    )
}

/// Why a task stands where it stands.
fn result(it: &Chronicle, view: &TaskView) -> String {
    let reason = view.reason.as_ref().map(|reason| words::reason(reason, it.until));
    let failure = view.last_failure.as_ref().map(|message| message.lines().next().unwrap_or_default().to_owned());
    let told = match view.status {
        Status::Completed => {
            let before = done_before(it, &view.id).then(|| "done before this run".to_owned());
            let landed = view.commit.as_ref().map(|commit| format!("landed {}", commit.get(..7).unwrap_or(commit)));
            [reason, landed, before, words::marked(view), words::blemishes(view)]
        }
        Status::Failed => [failure, None, None, None, None],
        _ => [reason, failure, words::marked(view), None, None],
    };
    let told: Vec<String> = told.into_iter().flatten().filter(|words| !words.is_empty()).collect();
    line(&told.join("; "), 400)
}

fn done_before(it: &Chronicle, id: &TaskId) -> bool {
    let done = it.state.tasks.get(id).and_then(|t| t.completion.as_ref());
    done.is_some_and(|done| done.at < it.began)
}

pub fn failures(it: &Chronicle) -> String {
    let all: Vec<(&Attempt, &Failure, bool)> = it
        .attempts
        .iter()
        .filter_map(|attempt| match &attempt.came_to {
            CameTo::Failed { failure, again } => Some((attempt, &**failure, *again)),
            _ => None,
        })
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let shown: String = all.iter().take(FAILURES).map(|(attempt, why, again)| failure(it, attempt, why, *again)).collect();
    let more = all.len().saturating_sub(FAILURES);
    let more = if more > 0 { format!("<p>And {}.</p>\n", count(more, "more failure")) } else { String::new() };
    format!("<section>\n<h2>Failures</h2>\n{shown}{more}</section>\n")
}

fn failure(it: &Chronicle, attempt: &Attempt, why: &Failure, again: bool) -> String {
    let message = lines(&last_lines(&why.message, MESSAGE).join("\n"));
    let tail = last_lines(&why.tail, TAIL);
    let tail = match tail.is_empty() {
        true => String::new(),
        false => format!("<details><summary>The end of its output</summary><pre>{}</pre></details>\n", lines(&tail.join("\n"))),
    };
    let after = format_duration(attempt.ended.since(attempt.began));
    let then = if again { "tried again" } else { "not tried again" };
    format!(
        "<article>\n<h3><a href=\"#task-{0}\">{0}</a>, attempt {1}: {2}</h3>\n<p class=\"when\">{3} · after {after} · {then}</p>\n<pre class=\"message\">{message}</pre>\n{tail}</article>\n",
        attempt.task,
        attempt.no,
        words::failure(why.class),
        line(it.title(&attempt.task), TITLE),
    )
}

pub fn settings(it: &Chronicle) -> String {
    let policy = &it.state.policy;
    let agents: std::collections::BTreeSet<&str> = it.attempts.iter().flat_map(|a| a.agents.iter().map(String::as_str)).collect();
    let agents: Vec<&str> = agents.into_iter().collect();
    let budget = Usage { cost_microusd: policy.budget.cost_microusd.unwrap_or_default(), ..Usage::default() };
    let rows = [
        ("Target", it.target.clone()),
        ("Attempts at a time", it.workers().to_string()),
        ("After a failure", if it.fails_fast() { "begin nothing more" } else { "go on with what does not need it" }.to_owned()),
        ("Longest", policy.max_time.map_or("not limited".into(), |ms| format_duration(Duration::from_millis(ms)))),
        ("Budget", if budget.cost_microusd > 0 { words::money(budget.cost_microusd) } else { "no sum of money".into() }),
        ("Landing", words::strategy(policy.merge.strategy).into()),
        ("Pushed to", if policy.merge.push.is_empty() { "nowhere".into() } else { policy.merge.push.clone() }),
        ("Agents", agents.join(", ")),
        ("Selected", selected(&it.state.selection)),
    ];
    let row = |(name, value): &(&str, String)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", line(value, 4000));
    format!(
        "<section>\n<h2>Settings</h2>\n<div class=\"wide\"><table class=\"settings\">\n<tbody>\n{}</tbody>\n</table></div>\n</section>\n",
        rows.iter().map(row).collect::<String>()
    )
}

fn selected(selection: &Selection) -> String {
    match selection {
        Selection::All => "all tasks".into(),
        Selection::Only(tasks) => {
            let named: Vec<&str> = tasks.iter().take(NAMED).map(TaskId::as_str).collect();
            let more = tasks.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}: {}{more}", count(tasks.len(), "task"), named.join(", "))
        }
    }
}
