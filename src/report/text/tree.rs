//! Tasks as a tree: epics, their tasks, and below each task what waits for it.

use std::collections::{BTreeMap, BTreeSet};

use super::status::row;
use crate::base::{EpicId, Millis, TaskId};
use crate::core::State;
use crate::core::view::{Status, TaskView};
use crate::report::style::{Hue, Row};
use crate::report::words;

/// What branches are drawn with, all of one width.
struct Branches {
    more: &'static str,
    last: &'static str,
    beside: &'static str,
    below: &'static str,
}

const DRAWN: Branches = Branches { more: "├─ ", last: "└─ ", beside: "│  ", below: "   " };
const ASCII: Branches = Branches { more: "|- ", last: "`- ", beside: "|  ", below: "   " };

/// Deeper levels are drawn at this one: a chain may be as long as the project.
const DEEPEST: usize = 20;

/// A task that is yet to be drawn.
struct Place<'a> {
    view: &'a TaskView,
    /// What stands before its id.
    before: String,
    /// What stands before what is below it.
    beneath: String,
    depth: usize,
}

/// Which tasks stand where.
struct Forest<'a> {
    below: BTreeMap<&'a TaskId, Vec<&'a TaskView>>,
    roots: BTreeMap<Option<&'a EpicId>, Vec<&'a TaskView>>,
    /// All of each epic.
    members: BTreeMap<&'a EpicId, Vec<&'a TaskView>>,
}

/// Each task once, below the last of those of its epic that it waits for; the reason names the others.
pub fn tree(state: &State, views: &[TaskView], now: Millis, ascii: bool) -> Vec<Row> {
    let branches = if ascii { &ASCII } else { &DRAWN };
    let forest = Forest::of(state, views);
    let mut drawn: BTreeSet<&TaskId> = BTreeSet::new();
    let mut rows = Vec::new();
    // Those of no epic come last.
    let epics = forest.roots.iter().filter(|(epic, _)| epic.is_some()).chain(forest.roots.iter().filter(|(epic, _)| epic.is_none()));
    for (epic, roots) in epics {
        if let Some(epic) = epic {
            rows.push(heading(epic, &forest.members[epic]));
        }
        let mut stack = placed(roots, "", usize::from(epic.is_some()), branches);
        while let Some(place) = stack.pop() {
            if !drawn.insert(&place.view.id) {
                continue;
            }
            rows.push(row(place.view, format!("{}{}", place.before, place.view.id), now));
            let below = forest.below.get(&place.view.id).map(Vec::as_slice).unwrap_or_default();
            stack.extend(placed(below, &place.beneath, place.depth + 1, branches));
        }
    }
    // An attempt under an old definition can close a circle for a while; nothing stays hidden.
    rows.extend(views.iter().filter(|v| !drawn.contains(&v.id)).map(|v| row(v, v.id.to_string(), now)));
    rows
}

fn of<'a>(state: &'a State, id: &TaskId) -> Option<&'a EpicId> {
    state.tasks.get(id).and_then(|t| t.spec.epic.as_ref())
}

impl<'a> Forest<'a> {
    fn of(state: &'a State, views: &'a [TaskView]) -> Self {
        let shown: BTreeSet<&TaskId> = views.iter().map(|v| &v.id).collect();
        let mut forest = Self { below: BTreeMap::new(), roots: BTreeMap::new(), members: BTreeMap::new() };
        for view in views {
            let epic = of(state, &view.id);
            epic.into_iter().for_each(|epic| forest.members.entry(epic).or_default().push(view));
            let needs = state.tasks.get(&view.id).map(|t| t.spec.depends_on.as_slice()).unwrap_or_default();
            match needs.iter().rfind(|d| shown.contains(d) && of(state, d) == epic) {
                Some(above) => forest.below.entry(above).or_default().push(view),
                None => forest.roots.entry(epic).or_default().push(view),
            }
        }
        forest
    }
}

/// Tasks beside each other, the first of them last: for a stack.
fn placed<'a>(views: &[&'a TaskView], before: &str, depth: usize, branches: &Branches) -> Vec<Place<'a>> {
    let place = |(n, view): (usize, &&'a TaskView)| {
        let (own, beneath) = match (depth, n + 1 == views.len()) {
            (0, _) => ("", ""),
            (_, true) => (branches.last, branches.below),
            (_, false) => (branches.more, branches.beside),
        };
        let beneath = if depth < DEEPEST { format!("{before}{beneath}") } else { before.to_owned() };
        Place { view, before: format!("{before}{own}"), beneath, depth }
    };
    views.iter().enumerate().map(place).rev().collect()
}

/// The line of an epic: how much of it is done, and the sign of what stands worst.
fn heading(epic: &EpicId, own: &[&TaskView]) -> Row {
    let any = |status: Status| own.iter().any(|v| v.status == status);
    let worst = [Status::Failed, Status::InProgress, Status::Claimed, Status::Blocked, Status::Ready, Status::Cancelled];
    let (hue, sign) = worst.into_iter().find(|s| any(*s)).map_or((Hue::Good, '='), words::sign);
    let done = own.iter().filter(|v| v.status == Status::Completed).count();
    Row { hue, sign, cells: vec![epic.to_string(), format!("{done} of {}", own.len()), String::new(), String::new()] }
}
