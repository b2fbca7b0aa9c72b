//! The page that a job shows of a run.

use crate::base::Millis;
use crate::base::text::count;
use crate::core::State;
use crate::core::view::{Status, TaskView};
use crate::report::markdown::{Bounded, fenced, inline};
use crate::report::text::{last_lines, outcome, verdict};

/// The most lines of a message, and of the end of a log.
const LINES: usize = 40;
const CELL: usize = 300;

/// A table of all that was selected, what did not go well first, then the failures in full; in at most
/// so many bytes.
pub fn summary(state: &State, now: Millis, most: usize) -> String {
    let mut selected: Vec<TaskView> = state.views().into_iter().filter(|v| state.selection.holds(&v.id)).collect();
    let place = |v: &TaskView| [Status::Failed, Status::Blocked, Status::Cancelled].iter().position(|s| *s == v.status).unwrap_or(9);
    let head =
        format!("### Drover: {}\n\n{}\n", inline(&state.policy.project, 100), inline(&verdict(state, &selected, now, None, None), 1000));
    selected.sort_by_key(|v| (place(v), v.id.clone()));
    let mut out = Bounded::new(&head, most);
    let title = "\n| Task | Title | Status | |\n|---|---|---|---|\n";
    let mut left = selected.len();
    if left > 0 && out.add(title) {
        left -= selected.iter().take_while(|v| out.add(&row(state, v, now))).count();
    }
    if left > 0 {
        out.close(&format!("\n… and {} more\n", count(left, "task")));
    }
    for text in selected.iter().filter(|v| v.status == Status::Failed).filter_map(|view| details(state, view)) {
        // One that is too long leaves room for those that are not.
        out.add(&text);
    }
    out.text
}

fn row(state: &State, view: &TaskView, now: Millis) -> String {
    let (status, told) = outcome(state, view, now);
    format!(
        "| {} | {} | {} | {} |\n",
        inline(view.id.as_str(), CELL),
        inline(&view.title, CELL),
        inline(&status, CELL),
        inline(&told, CELL)
    )
}

fn details(state: &State, view: &TaskView) -> Option<String> {
    let failure = state.tasks.get(&view.id)?.last_failure.as_ref()?;
    let message = last_lines(&failure.message, LINES).join("\n");
    let tail = last_lines(&failure.tail, LINES).join("\n");
    let shown = if tail.is_empty() { message } else { format!("{message}\n\n{tail}") };
    Some(format!("\n<details><summary>{}</summary>\n\n{}\n</details>\n", view.id, fenced(&shown)))
}
