//! Where each setting of one task comes from: `drover explain`.
//!
//! Looked for only when it is asked for, in the tables as they are written; what holds was decided
//! by `layer`, and this follows the same order: task, template, epic, `[defaults]`, built in.

use std::collections::BTreeMap;

use super::keys::AGENT;
use super::row::Row;
use super::shape::{Fallback, Kind, Shape};
use super::source::{SourceMap, Span};
use crate::base::TaskId;
use crate::base::text::one_line;

/// The most of a value that is shown, in characters.
const MAX_VALUE: usize = 120;

/// A setting that holds for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Such as `timeout`, or `retry.delay` inside a table.
    pub key: String,
    /// As it is written, on one line.
    pub value: String,
    /// The table that says it: `[[task]]`, `[templates.x]`, `[epic.defaults]`, `[defaults]`, `[agents.x]` or `built in`.
    pub from: String,
    /// File and line; none for what is built in.
    pub place: Option<(String, usize)>,
}

/// What a table says, by keys, those inside of tables with a dot.
pub type Written = BTreeMap<String, Said>;

#[derive(Clone, Debug)]
pub struct Said {
    value: String,
    file: String,
    line: usize,
}

/// What drover.toml says that tasks take over.
#[derive(Debug, Default)]
pub struct OfConfig {
    defaults: Written,
    templates: BTreeMap<String, Written>,
    agents: BTreeMap<String, Written>,
}

pub fn of_config(row: &Row<'_>, map: &SourceMap) -> OfConfig {
    let named = |key| row.named(key).into_iter().map(|(name, row)| (name.to_owned(), written(&row, map))).collect();
    OfConfig {
        defaults: row.table("defaults").map(|d| written(&d, map)).unwrap_or_default(),
        templates: named("templates"),
        agents: named("agents"),
    }
}

/// The settings of a task, if it stands in this file: the task itself, or one that a matrix makes of it.
/// With the length of the id as it is written.
pub fn of_task(file: &Row<'_>, wanted: &TaskId, config: &OfConfig, map: &SourceMap) -> Option<(usize, Vec<Setting>)> {
    let stands_for = |id: &str| wanted.as_str() == id || wanted.as_str().strip_prefix(id).is_some_and(|rest| rest.starts_with('.'));
    let length = |row: &Row<'_>| row.text("id").filter(|id| stands_for(id.value)).map(|id| id.value.len());
    let (length, task) = file.tables("task").into_iter().filter_map(|row| Some((length(&row)?, row))).max_by_key(|(n, _)| *n)?;
    let own = written(&task, map);
    let epic = file.table("epic").and_then(|e| e.table("defaults")).map(|d| written(&d, map)).unwrap_or_default();
    let template = task.string("extends").unwrap_or_default();
    let none = Written::new();
    let layers = [
        ("[[task]]".to_owned(), &own),
        (format!("[templates.{template}]"), config.templates.get(&template).unwrap_or(&none)),
        ("[epic.defaults]".to_owned(), &epic),
        ("[defaults]".to_owned(), &config.defaults),
    ];
    let mut keys: Vec<String> = Vec::new();
    named_keys(task.shape, &mut |key| keys.push(key));
    keys.extend(layers.iter().flat_map(|(_, said)| said.keys().cloned()));
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    let mut settings: Vec<Setting> = keys.into_iter().filter_map(|key| holds(key, &layers, task.shape)).collect();
    let agent = settings.iter().find(|s| s.key == "agent").map_or(AGENT.to_owned(), |s| s.value.trim_matches('"').to_owned());
    let details = config.agents.get(&agent).into_iter().flatten();
    settings.extend(details.map(|(key, said)| said.setting(format!("agents.{agent}.{key}"), format!("[agents.{agent}]"))));
    Some((length, settings))
}

impl Said {
    fn setting(&self, key: String, from: String) -> Setting {
        Setting { key, value: self.value.clone(), from, place: Some((self.file.clone(), self.line)) }
    }
}

/// The first layer that says it, or what is built in.
fn holds(key: String, layers: &[(String, &Written)], shape: &'static Shape) -> Option<Setting> {
    if let Some((from, said)) = layers.iter().find_map(|(from, written)| Some((from, written.get(&key)?))) {
        return Some(said.setting(key, from.clone()));
    }
    Some(Setting { value: built_in(shape, &key)?, key, from: "built in".into(), place: None })
}

/// The keys of a table that are no tables themselves, those inside of tables with a dot.
fn named_keys(shape: &'static Shape, take: &mut dyn FnMut(String)) {
    for key in shape.all() {
        match &key.kind {
            Kind::Table(inner) => inner.all().for_each(|k| take(format!("{}.{}", key.name, k.name))),
            Kind::Tables(_) | Kind::Env => {}
            _ => take(key.name.to_owned()),
        }
    }
}

fn built_in(shape: &'static Shape, key: &str) -> Option<String> {
    let known = match key.split_once('.') {
        None => shape.key(key)?,
        Some((table, inner)) => match &shape.key(table)?.kind {
            Kind::Table(shape) => shape.key(inner)?,
            _ => return None,
        },
    };
    let list = |texts: &[&str]| format!("[{}]", texts.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(", "));
    let value = match known.default {
        Fallback::None => return None,
        Fallback::Text(text) => format!("{text:?}"),
        Fallback::Bool(bool) => bool.to_string(),
        Fallback::Integer(number) => number.to_string(),
        Fallback::Texts(texts) => list(texts),
    };
    Some(one_line(&value, MAX_VALUE))
}

fn written(row: &Row<'_>, map: &SourceMap) -> Written {
    let said = |at: Span| {
        let place = map.place(at);
        Said { value: one_line(map.text(at), MAX_VALUE), file: place.file.to_owned(), line: place.line }
    };
    let mut all = Written::new();
    for key in row.shape.all() {
        let Some(at) = row.place(key.name) else { continue };
        match &key.kind {
            Kind::Table(_) | Kind::Env => all.extend(row.inside(key.name).map(|(name, at)| (format!("{}.{name}", key.name), said(at)))),
            Kind::Tables(_) => {}
            _ => drop(all.insert(key.name.to_owned(), said(at))),
        }
    }
    all
}
