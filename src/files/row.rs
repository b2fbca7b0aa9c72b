//! Reads values out of a table that was held against its shape.
//!
//! Whatever is not as it should be was reported by `check`; here it reads as not given.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{integer, money, share, span_at};
use super::keys::CHECK_TIMEOUT;
use super::shape::{Kind, Shape};
use super::source::Span;
use crate::base::{parse_duration, parse_size};
use crate::model::{Budget, Check};

/// A value and where it is written.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub at: Span,
}

#[derive(Clone, Copy)]
pub struct Row<'t> {
    pub shape: &'static Shape,
    table: &'t DeTable<'t>,
    base: usize,
    /// The table's header.
    pub at: Span,
}

impl<'t> Row<'t> {
    /// `base` is where the file stands in the source map.
    pub fn new(shape: &'static Shape, table: &'t DeTable<'t>, base: usize, at: Span) -> Self {
        Self { shape, table, base, at }
    }

    fn get(&self, key: &'static str) -> Option<(&'t Spanned<DeValue<'t>>, &'static Kind)> {
        let known = self.shape.key(key);
        debug_assert!(known.is_some(), "`{key}` is read from {}, which has no such key", self.shape.what);
        Some((self.table.get(key)?, &known?.kind))
    }

    fn span(&self, value: &Spanned<DeValue<'_>>) -> Span {
        span_at(self.base, value.span())
    }

    /// Where the value of a key is written.
    pub fn place(&self, key: &'static str) -> Option<Span> {
        self.get(key).map(|(value, _)| self.span(value))
    }

    pub fn text(&self, key: &'static str) -> Option<At<&'t str>> {
        let (value, _) = self.get(key)?;
        Some(At { value: value.get_ref().as_str()?, at: self.span(value) })
    }

    pub fn string(&self, key: &'static str) -> Option<String> {
        self.text(key).map(|t| t.value.to_owned())
    }

    pub fn texts(&self, key: &'static str) -> Option<Vec<At<&'t str>>> {
        let (value, _) = self.get(key)?;
        let items = value.get_ref().as_array()?.iter();
        Some(items.filter_map(|v| Some(At { value: v.get_ref().as_str()?, at: self.span(v) })).collect())
    }

    pub fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        Some(self.texts(key)?.into_iter().map(|t| t.value.to_owned()).collect())
    }

    /// Without what is said twice.
    pub fn set(&self, key: &'static str) -> Option<Vec<String>> {
        let mut seen = std::collections::BTreeSet::new();
        Some(self.strings(key)?.into_iter().filter(|s| seen.insert(s.clone())).collect())
    }

    /// The words of a `Kind::Words`.
    pub fn words(&self, key: &'static str) -> Option<Vec<String>> {
        self.set(key).or_else(|| Some(vec![self.string(key)?]))
    }

    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        parse_duration(self.text(key)?.value).ok()
    }

    /// In bytes.
    pub fn size(&self, key: &'static str) -> Option<u64> {
        parse_size(self.text(key)?.value).ok()
    }

    pub fn integer(&self, key: &'static str) -> Option<i64> {
        integer(self.get(key)?.0.get_ref().as_integer()?)
    }

    /// A number that the shape keeps small.
    pub fn number(&self, key: &'static str) -> Option<u32> {
        u32::try_from(self.integer(key)?).ok()
    }

    /// Dollars, as millionths of one.
    fn money(&self, key: &'static str) -> Option<u64> {
        money(self.get(key)?.0.get_ref())
    }

    pub fn share(&self, key: &'static str) -> Option<f64> {
        share(self.get(key)?.0.get_ref())
    }

    /// What a table of a budget allows.
    pub fn budget(&self) -> Budget {
        let count = |key| self.integer(key).and_then(|n| u64::try_from(n).ok());
        let millis = self.duration("time").and_then(|d| u64::try_from(d.as_millis()).ok());
        Budget { cost_microusd: self.money("usd"), tokens: count("tokens"), turns: count("turns"), millis }
    }

    pub fn bool(&self, key: &'static str) -> Option<bool> {
        self.get(key)?.0.get_ref().as_bool()
    }

    /// One of the words of a `Kind::Choice`, as the model's own type.
    pub fn choice<T: DeserializeOwned>(&self, key: &'static str) -> Option<T> {
        T::deserialize(StrDeserializer::<Error>::new(self.text(key)?.value)).ok()
    }

    pub fn table(&self, key: &'static str) -> Option<Row<'t>> {
        match self.get(key)? {
            (value, Kind::Table(shape)) => Some(Row::new(shape, value.get_ref().as_table()?, self.base, self.span(value))),
            _ => None,
        }
    }

    pub fn tables(&self, key: &'static str) -> Vec<Row<'t>> {
        let Some((value, Kind::Tables(shape) | Kind::Receivers(shape))) = self.get(key) else { return Vec::new() };
        let items = value.get_ref().as_array().into_iter().flat_map(|a| a.iter());
        items.filter_map(|v| Some(Row::new(shape, v.get_ref().as_table()?, self.base, self.span(v)))).collect()
    }

    /// The tables of a `Kind::Named` by their names.
    pub fn named(&self, key: &'static str) -> Vec<(&'t str, Row<'t>)> {
        let Some((value, Kind::Named(shape))) = self.get(key) else { return Vec::new() };
        let items = value.get_ref().as_table().into_iter().flat_map(|t| t.iter());
        items.filter_map(|(k, v)| Some((k.get_ref().as_ref(), Row::new(shape, v.get_ref().as_table()?, self.base, self.span(v))))).collect()
    }

    /// The names and values of a `Kind::Axes`, each value once.
    pub fn axes(&self, key: &'static str) -> Vec<(&'t str, Vec<At<&'t str>>)> {
        let table = self.get(key).and_then(|(v, _)| v.get_ref().as_table());
        let items = table.into_iter().flat_map(|t| t.iter());
        items
            .filter_map(|(name, values)| {
                let mut seen = std::collections::BTreeSet::new();
                let values = values.get_ref().as_array()?.iter();
                let values = values.filter_map(|v| Some(At { value: v.get_ref().as_str()?, at: self.span(v) }));
                Some((name.get_ref().as_ref(), values.filter(|v| seen.insert(v.value)).collect()))
            })
            .collect()
    }

    /// What stands in a table of any kind, and where.
    pub fn inside(&self, key: &'static str) -> impl Iterator<Item = (&'t str, Span)> {
        let table = self.get(key).and_then(|(v, _)| v.get_ref().as_table());
        let base = self.base;
        table.into_iter().flat_map(|t| t.iter()).map(move |(name, value)| (name.get_ref().as_ref(), span_at(base, value.span())))
    }

    pub fn env(&self, key: &'static str) -> BTreeMap<String, String> {
        let table = self.get(key).and_then(|(v, _)| v.get_ref().as_table());
        let items = table.into_iter().flat_map(|t| t.iter());
        items.filter_map(|(k, v)| Some((k.get_ref().to_string(), v.get_ref().as_str()?.to_owned()))).collect()
    }

    pub fn commands(&self, key: &'static str) -> Option<Vec<Check>> {
        let Some((value, Kind::Commands(shape))) = self.get(key) else { return None };
        let items = value.get_ref().as_array()?.iter();
        Some(items.filter_map(|v| self.command(shape, v)).collect())
    }

    fn command(&self, shape: &'static Shape, value: &'t Spanned<DeValue<'t>>) -> Option<Check> {
        let timeout = parse_duration(CHECK_TIMEOUT).expect("the default is a duration");
        match value.get_ref() {
            DeValue::String(run) => Some(Check { name: None, run: run.to_string(), timeout }),
            DeValue::Table(table) => {
                let row = Row::new(shape, table, self.base, self.span(value));
                Some(Check { name: row.string("name"), run: row.string("run")?, timeout: row.duration("timeout").unwrap_or(timeout) })
            }
            _ => None,
        }
    }
}
