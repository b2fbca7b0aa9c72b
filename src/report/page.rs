//! A plan as a page in Markdown: the comment on a pull request.

use super::markdown::{Bounded, inline};
use super::text::{Heading, head, totals};
use crate::base::text::count;
use crate::plan::{Line, Plan};

/// What GitHub takes of a comment, in characters.
const MOST: usize = 65_536;
const CELL: usize = 200;
const NOTE: usize = 1000;

/// Changes, what will run, what needs a person. What is as it was is counted alone.
pub fn plan(plan: &Plan, heading: &Heading) -> String {
    let mut out = Bounded::new(&format!("### {}\n\n{}\n", inline(&head(heading), 400), inline(&totals(plan), 1000)), MOST);
    let moved = plan.moved.iter().map(|m| {
        let at = format!("moved ({}:{})", m.source.file, m.source.line);
        format!("| `>` | {} | | | {} |\n", inline(&format!("{} → {}", m.from, m.to), CELL), inline(&at, CELL))
    });
    let rows: Vec<String> = moved.chain(plan.lines.iter().filter(|line| !line.quiet).map(row)).collect();
    if !rows.is_empty() {
        out.add("\n| | Task | | Agent | Why |\n|---|---|---|---|---|\n");
        let shown = rows.iter().take_while(|row| out.add(row)).count();
        if shown < rows.len() {
            out.close(&format!("\n… and {} more\n", count(rows.len() - shown, "task")));
        }
    }
    let guards = plan.guards.iter().map(|g| format!("needs {}: {}", g.flag, g.message));
    let errors = plan.errors.iter().map(|e| format!("error: {e}"));
    let notes = plan.notes.iter().map(|n| format!("note: {n}"));
    let mut first = "\n";
    for note in errors.chain(guards).chain(notes) {
        if !out.add(&format!("{first}- {}\n", inline(&note, NOTE))) {
            break;
        }
        first = "";
    }
    out.text
}

fn row(line: &Line) -> String {
    let agent = line.agent.as_deref().unwrap_or_default();
    let cells = [line.id.as_str(), &line.detail, agent, &line.reason].map(|cell| inline(cell, CELL));
    format!("| `{}` | {} |\n", line.action.sign(), cells.join(" | "))
}
