//! Where ids are written in task files, and how a task gets another one: everywhere it is named, and with a
//! `[[moved]]` that keeps its record.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::append::at_the_end;
use super::change::{Change, Edit};
use super::syntax;
use crate::base::{EpicId, TaskId};

type Value<'t> = Spanned<DeValue<'t>>;

/// The file that holds an epic.
pub fn file_of_epic<'f>(root: &Path, files: &'f [String], epic: &EpicId) -> Option<&'f String> {
    let holds = |text: &str| {
        let parsed = syntax::parse(text, 0);
        epic_of(parsed.table()).and_then(|t| t.get("id")?.get_ref().as_str()).is_some_and(|id| id == epic.as_str())
    };
    files.iter().find(|name| fs::read_to_string(root.join(name)).is_ok_and(|text| holds(&text)))
}

/// The file and the line that a task's id is written on, also where the files have mistakes.
pub fn place_of_task(root: &Path, files: &[String], id: &str) -> Option<(String, usize)> {
    files.iter().find_map(|name| {
        let text = fs::read_to_string(root.join(name)).ok()?;
        let parsed = syntax::parse(&text, 0);
        let at = tasks_of(parsed.table()).find_map(|task| id_of(task).filter(|v| v.get_ref().as_str() == Some(id)))?.span().start;
        Some((name.clone(), text.get(..at)?.matches('\n').count() + 1))
    })
}

/// The changes that give a task another id; none where no file has it. `tasks` are all that there are:
/// a matrix stands for several of them.
pub fn rename<'i>(root: &Path, files: &[String], tasks: impl Iterator<Item = &'i TaskId>, from: &str, to: &str) -> Vec<Change> {
    let texts: Vec<(&String, String)> = files.iter().filter_map(|name| Some((name, fs::read_to_string(root.join(name)).ok()?))).collect();
    let mut written = BTreeSet::new();
    let mut has_matrix = None;
    for (_, text) in &texts {
        let parsed = syntax::parse(text, 0);
        for (id, task) in tasks_of(parsed.table()).filter_map(|task| Some((id_of(task)?.get_ref().as_str()?, task))) {
            written.insert(id.to_owned());
            has_matrix = (id == from).then(|| task.contains_key("matrix")).or(has_matrix);
        }
    }
    let Some(has_matrix) = has_matrix else { return Vec::new() };
    let mut records: Vec<(String, String)> = vec![(from.to_owned(), to.to_owned())];
    if has_matrix {
        // A matrix has no record of its own, its tasks have.
        let variants = tasks.filter_map(|id| Some((id.as_str(), variant_of(id.as_str(), from, &written)?)));
        records = variants.map(|(id, values)| (id.to_owned(), format!("{to}{values}"))).collect();
    }
    let blocks: Vec<String> = records.iter().map(|(from, to)| format!("[[moved]]\nfrom = \"{from}\"\nto = \"{to}\"\n")).collect();
    let mut names: BTreeMap<String, String> = records.into_iter().collect();
    names.insert(from.to_owned(), to.to_owned());
    let changes = texts.into_iter().filter_map(|(name, text)| {
        let edits = edits(&text, from, &names, &blocks.join("\n"));
        (!edits.is_empty()).then(|| Change::new(name, Some(text), edits))
    });
    changes.collect()
}

/// What the matrix of `parent` added to its id to make this one; none of another task.
fn variant_of<'i>(id: &'i str, parent: &str, written: &BTreeSet<String>) -> Option<&'i str> {
    let values = id.strip_prefix(parent).filter(|rest| rest.starts_with('.'))?;
    let ends = id.match_indices('.').map(|(end, _)| end).chain([id.len()]);
    // The longest written id that it begins with is that of its task.
    ends.filter(|end| written.contains(&id[..*end])).max().filter(|end| *end == parent.len()).map(|_| values)
}

/// What changes in one file.
fn edits(text: &str, from: &str, names: &BTreeMap<String, String>, blocks: &str) -> Vec<Edit> {
    let parsed = syntax::parse(text, 0);
    let table = parsed.table();
    let renamed = |value: &Value<'_>| Some(other(text, value, names.get(value.get_ref().as_str()?)?));
    let needs = tasks_of(table).chain(epic_of(table)).filter_map(|t| t.get("depends_on")?.get_ref().as_array());
    let mut edits: Vec<Edit> = needs.flat_map(|needs| needs.iter()).filter_map(renamed).collect();
    let own = tasks_of(table).filter_map(id_of).find(|id| id.get_ref().as_str() == Some(from));
    if let Some(own) = own {
        edits.extend(renamed(own));
        edits.push(at_the_end(Some(text), blocks).0);
    }
    edits
}

/// Another id in the place of a text, in the quotes that it has.
fn other(text: &str, value: &Value<'_>, id: &str) -> Edit {
    let quote = if text[value.span()].starts_with('\'') { '\'' } else { '"' };
    Edit { at: value.span(), with: format!("{quote}{id}{quote}") }
}

fn tasks_of<'a, 't>(table: &'a DeTable<'t>) -> impl Iterator<Item = &'a DeTable<'t>> {
    let tasks = table.get("task").and_then(|t| t.get_ref().as_array());
    tasks.into_iter().flat_map(|tasks| tasks.iter()).filter_map(|t| t.get_ref().as_table())
}

fn epic_of<'a, 't>(table: &'a DeTable<'t>) -> Option<&'a DeTable<'t>> {
    table.get("epic").and_then(|e| e.get_ref().as_table())
}

fn id_of<'a, 't>(task: &'a DeTable<'t>) -> Option<&'a Value<'t>> {
    task.get("id")
}
