//! `[[moved]]`: what was recorded under one id belongs to another now. Chains are followed to
//! their end; what contradicts itself or the tasks is shown where it is written.

use std::collections::BTreeMap;

use super::diagnostic::{Code, Diagnostic, Findings, nearest, quote};
use super::link::Known;
use super::row::{At, Row};
use super::source::{SourceMap, Span};
use crate::base::TaskId;
use crate::model::{Graph, Move, Source};

/// A block as it is written.
#[derive(Debug)]
pub struct Moved {
    from: At<TaskId>,
    to: At<TaskId>,
    source: Source,
}

/// The blocks of a file. What is wrong with an id was reported.
pub fn read(file: &str, row: &Row<'_>, map: &SourceMap) -> Vec<Moved> {
    let id = |row: &Row<'_>, key| row.text(key).and_then(|At { value, at }| Some(At { value: TaskId::parse(value).ok()?, at }));
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let block = |row: Row<'_>| {
        let place = map.place(row.at);
        let source = Source { file: file.to_owned(), line: number(place.line), column: number(place.column) };
        Some(Moved { from: id(&row, "from")?, to: id(&row, "to")?, source })
    };
    row.tables("moved").into_iter().filter_map(block).collect()
}

/// All moves, each to the id of today.
pub fn resolve(blocks: &[Moved], graph: &Graph, known: &Known, findings: &mut Findings) -> Vec<Move> {
    let mut by_from: BTreeMap<&TaskId, &Moved> = BTreeMap::new();
    let mut by_to: BTreeMap<&TaskId, &Moved> = BTreeMap::new();
    for block in blocks {
        if let Some(first) = by_from.insert(&block.from.value, block) {
            let message = format!("`{}` is moved twice", block.from.value);
            findings.push(
                conflict(block.from.at, message, "and again here", "one task becomes one other: take out one of them")
                    .also(first.from.at, "first here"),
            );
        } else if let Some(first) = by_to.insert(&block.to.value, block) {
            let message = format!("two tasks are moved to `{}`", block.to.value);
            findings.push(
                conflict(block.to.at, message, "and this one", "a task has one record: take out one of them").also(first.to.at, "this one"),
            );
        }
        if graph.tasks().contains_key(&block.from.value) {
            let message = format!("`{}` is moved away, and still defined", block.from.value);
            findings.push(conflict(block.from.at, message, "moved away here", "take out the block, or give the task its new id"));
        }
    }
    let mut out = Vec::new();
    let mut in_circles: Vec<&TaskId> = Vec::new();
    for block in blocks.iter().filter(|block| !graph.tasks().contains_key(&block.from.value)) {
        match follow(block, &by_from) {
            None if in_circles.contains(&&block.from.value) => {}
            None => {
                in_circles.extend(circle(block, &by_from));
                let message = format!("`{}` is moved in a circle", block.from.value);
                findings.push(conflict(
                    block.from.at,
                    message,
                    "comes back to itself",
                    "the last `to` of a chain names a task that is defined",
                ));
            }
            Some((last, _)) if !graph.tasks().contains_key(&last.to.value) => {
                if !known.tasks.contains(&last.to.value) && std::ptr::eq(last, block) {
                    findings.push(nowhere(last, graph));
                }
            }
            Some((last, hops)) => {
                out.push(Move { from: block.from.value.clone(), to: last.to.value.clone(), hops, source: block.source.clone() })
            }
        }
    }
    out
}

fn conflict(at: Span, message: String, label: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::MovedConflict, at, message).label(label).help(help)
}

fn nowhere(block: &Moved, graph: &Graph) -> Diagnostic {
    let to = &block.to.value;
    let message = format!("`{}` is moved to `{to}`, which no file defines", block.from.value);
    let variant = graph.tasks().keys().find(|id| to.is_ancestor_of(id));
    let part = graph.tasks().values().any(|t| t.steps.iter().any(|s| s.id == *to));
    let near = || nearest(to.as_str(), graph.tasks().keys().map(TaskId::as_str)).map(|n| format!("did you mean {}?", quote(n)));
    let help = match variant {
        _ if part => Some(format!("`{to}` is a sub-task; only whole tasks have a record of their own")),
        Some(variant) => Some(format!("`{to}` stands for several tasks, of which one can have the record: name it, such as `{variant}`")),
        None => near(),
    };
    Diagnostic::error(Code::MovedConflict, block.to.at, message).label("no such task").maybe_help(help)
}

/// The last block of the chain that begins with this one, and how many there are; none if they go
/// in a circle.
fn follow<'a>(block: &'a Moved, by_from: &BTreeMap<&TaskId, &'a Moved>) -> Option<(&'a Moved, usize)> {
    let mut last = block;
    for hops in 1..=by_from.len() {
        match by_from.get(&last.to.value) {
            None => return Some((last, hops)),
            Some(next) => last = next,
        }
    }
    None
}

/// Every id that a chain without end passes.
fn circle<'a>(block: &'a Moved, by_from: &BTreeMap<&TaskId, &'a Moved>) -> Vec<&'a TaskId> {
    std::iter::successors(Some(block), |last| by_from.get(&last.to.value).copied()).take(by_from.len()).map(|b| &b.from.value).collect()
}
