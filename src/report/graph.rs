//! The dependency graph as drawings and as JSON: who waits for whom, and where each stands.
//!
//! Edges point from what is needed to what needs it, the way the work flows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::json::FORMAT_VERSION;
use super::words;
use crate::base::text::one_line;
use crate::base::{EpicId, TaskId};
use crate::core::view::Status;

/// The most of a title that is drawn, in characters.
const TITLE: usize = 48;

/// One task of the graph.
pub struct Node {
    pub id: TaskId,
    pub title: String,
    pub epic: Option<EpicId>,
    /// Absent for a task that is not on record yet.
    pub status: Option<Status>,
    pub needs: Vec<TaskId>,
}

impl Node {
    fn status(&self) -> &'static str {
        self.status.map_or("new", Status::name)
    }
}

/// Edges whose two ends are drawn.
fn edges(nodes: &[Node]) -> impl Iterator<Item = (&TaskId, &TaskId)> {
    let drawn: BTreeSet<&TaskId> = nodes.iter().map(|n| &n.id).collect();
    nodes.iter().flat_map(|n| n.needs.iter().map(move |d| (d, &n.id))).filter(move |(d, _)| drawn.contains(d))
}

/// The tasks of each epic, those of none first.
fn by_epic(nodes: &[Node]) -> Vec<(Option<&EpicId>, Vec<&Node>)> {
    let epics: BTreeSet<Option<&EpicId>> = nodes.iter().map(|n| n.epic.as_ref()).collect();
    epics.into_iter().map(|epic| (epic, nodes.iter().filter(|n| n.epic.as_ref() == epic).collect())).collect()
}

/// As Graphviz reads it.
pub fn dot(nodes: &[Node]) -> String {
    let mut out = String::from("digraph drover {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n");
    for (n, (epic, tasks)) in by_epic(nodes).into_iter().enumerate() {
        if let Some(epic) = epic {
            out.push_str(&format!("  subgraph cluster_{n} {{\n    label=\"{epic}\";\n"));
        }
        for node in tasks {
            let title = one_line(&node.title, TITLE).replace('\\', "\\\\").replace('"', "\\\"");
            let (id, status, color) = (&node.id, node.status(), color(node.status));
            out.push_str(&format!("    \"{id}\" [label=\"{id}\\n{title}\\n{status}\", fillcolor=\"{color}\"];\n"));
        }
        if epic.is_some() {
            out.push_str("  }\n");
        }
    }
    edges(nodes).for_each(|(from, to)| out.push_str(&format!("  \"{from}\" -> \"{to}\";\n")));
    out.push_str("}\n");
    out
}

/// As Mermaid reads it, and with it Markdown pages of many forges.
pub fn mermaid(nodes: &[Node]) -> String {
    let mut out = String::from("flowchart LR\n");
    let name = |id: &TaskId| format!("t_{}", id.as_str().replace('-', "__").replace('.', "_o_"));
    for (n, (epic, tasks)) in by_epic(nodes).into_iter().enumerate() {
        if let Some(epic) = epic {
            out.push_str(&format!("  subgraph e{n}[\"{epic}\"]\n"));
        }
        for node in tasks {
            // Entities: a quote, a bracket or a tag in a title must not end the label.
            let title: String = one_line(&node.title, TITLE).chars().map(entity).collect();
            let (sign, status) = (node.status.map_or('+', |s| words::sign(s).1), node.status());
            out.push_str(&format!("    {}[\"{}<br/>{title}<br/>#{}; {status}\"]:::{status}\n", name(&node.id), node.id, sign as u32));
        }
        if epic.is_some() {
            out.push_str("  end\n");
        }
    }
    edges(nodes).for_each(|(from, to)| out.push_str(&format!("  {} --> {}\n", name(from), name(to))));
    let shown: BTreeSet<Option<Status>> = nodes.iter().map(|n| n.status).collect();
    for status in shown {
        out.push_str(&format!("  classDef {} fill:{}\n", status.map_or("new", Status::name), color(status)));
    }
    out
}

fn entity(c: char) -> String {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | ',' => c.to_string(),
        c if c.is_alphabetic() => c.to_string(),
        c => format!("#{};", c as u32),
    }
}

fn color(status: Option<Status>) -> &'static str {
    match status {
        None | Some(Status::Ready) => "#ffffff",
        Some(Status::Claimed | Status::InProgress) => "#cfe8ff",
        Some(Status::Completed) => "#d3f2d3",
        Some(Status::Blocked) => "#fff2c8",
        Some(Status::Failed) => "#ffd0d0",
        Some(Status::Cancelled) => "#dddddd",
    }
}

pub fn json(nodes: &[Node]) -> Value {
    let tasks: Vec<Value> = nodes
        .iter()
        .map(|n| {
            json!({
                "id": n.id.as_str(),
                "title": n.title,
                "epic": n.epic.as_ref().map(EpicId::as_str),
                "status": n.status.map(Status::name),
            })
        })
        .collect();
    let edges: Vec<Value> = edges(nodes).map(|(from, to)| json!({ "from": from.as_str(), "to": to.as_str() })).collect();
    json!({ "format_version": FORMAT_VERSION, "tasks": tasks, "edges": edges })
}
