//! A plan as people read it.

use crate::base::Oid;
use crate::base::text::{count, one_line};
use crate::plan::{Action, Line, Moved, Plan, Summary};
use crate::report::style::{Hue, Paint, Row, table};
use crate::report::words::MESSAGE;

/// What a plan is about, for its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    pub project: String,
    /// The branch that work lands on.
    pub target: String,
    pub tip: Option<Oid>,
    pub tasks: usize,
    pub epics: usize,
    pub files: usize,
}

/// The most of a title or a change that is shown, in characters.
const DETAIL: usize = 44;

/// Changes, what will run, what needs a person. What is as it was is shown to the `verbose`.
pub fn plan(plan: &Plan, heading: &Heading, verbose: bool, color: bool) -> String {
    let mut out = format!("{}\n", head(heading));
    let lines = plan.lines.iter().filter(|l| verbose || !l.quiet).map(row);
    let rows: Vec<Row> = plan.moved.iter().map(moved).chain(lines).collect();
    out.push_str(&table(&rows, Paint { on: color }));
    if plan.policy_changed && !plan.first {
        out.push_str("  ~ project settings changed\n");
    }
    for note in &plan.notes {
        // What is to be pasted stands by itself.
        let mut lines = note.lines().map(|line| one_line(line, 400));
        out.push_str(&format!("note: {}\n", lines.next().unwrap_or_default()));
        out.extend(lines.map(|line| format!("    {line}\n")));
    }
    for error in &plan.errors {
        out.push_str(&format!("error: {}\n", one_line(error, 400)));
    }
    for guard in &plan.guards {
        out.push_str(&format!("needs {}: {}\n", guard.flag, one_line(&guard.message, 400)));
    }
    out.push_str(&totals(plan));
    out
}

pub fn head(h: &Heading) -> String {
    let tip = h.tip.as_ref().map(|t| format!(" @ {}", t.short())).unwrap_or_default();
    let mut counts = vec![count(h.tasks, "task")];
    if h.epics > 0 {
        counts.push(count(h.epics, "epic"));
    }
    counts.push(count(h.files, "file"));
    format!("{} · {}{tip} · {}", one_line(&h.project, 80), one_line(&h.target, 80), counts.join(", "))
}

fn row(line: &Line) -> Row {
    use Action::{Create, Rerun, Resume, Retry, Waiting};
    let runs = matches!(line.action, Create | Rerun | Resume | Retry | Waiting);
    let agent = line.agent.as_deref().filter(|_| runs).unwrap_or_default();
    let cells = vec![line.id.to_string(), one_line(&line.detail, DETAIL), one_line(agent, 24), one_line(&line.reason, MESSAGE + 80)];
    Row { hue: hue(line.action), sign: line.action.sign(), cells }
}

fn moved(moved: &Moved) -> Row {
    let at = format!("moved ({}:{})", one_line(&moved.source.file, 200), moved.source.line);
    Row { hue: Hue::Changed, sign: '>', cells: vec![format!("{} -> {}", moved.from, moved.to), String::new(), String::new(), at] }
}

fn hue(action: Action) -> Hue {
    match action {
        Action::Resume => Hue::Busy,
        Action::Create | Action::Waiting => Hue::Good,
        Action::Retry | Action::Rerun | Action::Keep => Hue::Changed,
        Action::Drop | Action::Leave | Action::Reverted | Action::Failed | Action::Blocked => Hue::Bad,
        Action::UpToDate => Hue::Plain,
    }
}

pub fn totals(plan: &Plan) -> String {
    let (moving, standing) = counts(&plan.summary);
    if !plan.is_pending() && moving.is_empty() && plan.errors.is_empty() {
        let rest = if standing.is_empty() { "no tasks".to_owned() } else { standing.join(", ") };
        return format!("No changes: {rest}.\n");
    }
    let moving = if moving.is_empty() { "nothing to run".to_owned() } else { moving.join(", ") };
    let standing = if standing.is_empty() { String::new() } else { format!("; {}", standing.join(", ")) };
    let mut out = format!("Plan: {moving}{standing}.\n");
    if plan.bounds.to_run > 0 {
        let path = count(plan.bounds.critical_path, "task");
        let cost = plan.bounds.cost_microusd.filter(|c| *c > 0).map(|c| format!("at most ${:.2}, ", c as f64 / 1e6)).unwrap_or_default();
        out.push_str(&format!("Bounds: {} at a time, {cost}critical path {path}.\n", plan.bounds.workers));
    }
    out
}

/// What is in motion, and what stands still.
fn counts(s: &Summary) -> (Vec<String>, Vec<String>) {
    let told = |counts: &[(usize, &str)]| counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let moving = [
        (s.resume, "to go on"),
        (s.run, "to run"),
        (s.retry, "to retry"),
        (s.rerun, "to run again"),
        (s.moved, "renamed"),
        (s.drop, "to drop"),
        (s.leave, "to finish and leave"),
    ];
    let standing = [
        (s.failed, "failed"),
        (s.reverted, "reverted"),
        (s.blocked, "blocked"),
        (s.keep, "kept as done"),
        (s.not_selected, "not selected"),
        (s.up_to_date, "up to date"),
    ];
    (told(&moving), told(&standing))
}
