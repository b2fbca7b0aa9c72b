//! Holds a parsed table against its shape and says everything that is wrong with it.
//!
//! One pass, never stopping at the first error. What passed is then read by `row`, which has
//! no errors left to report. Knows no key by name.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, Findings, nearest, nearest_or_list, quote};
use super::format::{Wrong, env_name};
use super::notice_keys::MAX_RECEIVERS;
use super::shape::{Format, Key, Kind, MAX_AXES, MAX_COMMANDS, MAX_DOLLARS, MAX_NAMES, MAX_TABLES, MAX_VARIANTS, MAX_WORDS, Needed, Shape};
use super::source::Span;
use crate::base::{format_duration, parse_duration, parse_size};
use crate::model::subst;

type Value<'i> = Spanned<DeValue<'i>>;

/// One file while it is checked and read.
pub struct Checker<'a> {
    /// Where the file stands in the address space of the source map.
    pub base: usize,
    /// As read, to find a place inside a string.
    pub text: &'a str,
    /// What is checked is laid over something else: nothing is missing in it.
    pub partial: bool,
    pub findings: &'a mut Findings,
}

impl Checker<'_> {
    pub fn span(&self, range: Range<usize>) -> Span {
        span_at(self.base, range)
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    /// Everything that is wrong with a table. `place` is its header.
    pub fn table(&mut self, shape: &'static Shape, table: &DeTable<'_>, place: Span) {
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            match shape.key(name) {
                Some(known) => self.value(known, value),
                None => self.unknown(shape, name, self.span(key.span())),
            }
        }
        for key in shape.all().filter(|k| k.required && !table.contains_key(k.name)) {
            self.missing(shape, table, key, place);
        }
        self.one_of(shape, table, place);
    }

    fn unknown(&mut self, shape: &'static Shape, name: &str, at: Span) {
        if shape.later.contains(&name) {
            let found = Diagnostic::error(Code::NotYet, at, format!("`{name}` is not supported by this version"));
            return self.push(found.label(format!("in {}", shape.what)).help("take it out: nothing in this version can do its work"));
        }
        let help = match shape.hint(name) {
            Some(hint) => hint.to_owned(),
            None => nearest_or_list(name, "known keys", shape.all().map(|k| k.name)),
        };
        let message = format!("unknown key {} in {}", quote(name), shape.what);
        self.push(Diagnostic::error(Code::UnknownKey, at, message).label("not a key that Drover knows").help(help));
    }

    fn missing(&mut self, shape: &'static Shape, table: &DeTable<'_>, key: &Key, place: Span) {
        // A misspelt key is reported as such; that it is missing too would be noise.
        if !self.partial && !misspelt(shape, table, &[key.name]) {
            let message = format!("{} has no `{}`", shape.what, key.name);
            self.push(Diagnostic::error(Code::MissingKey, place, message).label(format!("`{}` is required here", key.name)).help(key.doc));
        }
    }

    fn one_of(&mut self, shape: &'static Shape, table: &DeTable<'_>, place: Span) {
        let keys = shape.one_of.keys;
        let found: Vec<_> = table.keys().filter(|k| keys.contains(&k.get_ref().as_ref())).collect();
        let code = if keys.contains(&"prompt") { Code::PromptConflict } else { Code::KeyConflict };
        if let [first, second, ..] = found.as_slice() {
            let message = format!("{} has both `{}` and `{}`", shape.what, first.get_ref(), second.get_ref());
            let both = Diagnostic::error(code, self.span(second.span()), message).label("and this");
            self.push(both.also(self.span(first.span()), "this").help(format!("keep one of {}", keys.join(", "))));
        }
        let needed = match shape.one_of.needed {
            Needed::No => false,
            Needed::Yes => true,
            Needed::Unless(key) => table.get(key).is_none_or(|v| v.get_ref().as_array().is_some_and(|a| a.is_empty())),
        };
        if found.is_empty() && needed && !self.partial && !misspelt(shape, table, keys) {
            let message = format!("{} does not say what to do", shape.what);
            let help = format!("add one of {}", keys.join(", "));
            self.push(Diagnostic::error(Code::MissingKey, place, message).label("has no work").help(help));
        }
    }

    fn value(&mut self, key: &'static Key, value: &Value<'_>) {
        let at = self.span(value.span());
        match (&key.kind, value.get_ref()) {
            (Kind::Text(format), DeValue::String(text)) => self.text(key, *format, text, value.span()),
            (Kind::Texts { of, min, max }, DeValue::Array(items)) => self.texts(key, items, *of, (*min, *max), at),
            (Kind::Duration(least), DeValue::String(text)) => match parse_duration(text) {
                Ok(given) if given < *least => {
                    let least = format_duration(*least);
                    self.out_of_range(at, format!("`{}` must be at least {least}", key.name), "too short")
                }
                Ok(_) => {}
                Err(why) => self.out_of_range(at, format!("`{}`: {why}", key.name), "not a duration"),
            },
            (Kind::Size, DeValue::String(text)) => {
                if let Err(why) = parse_size(text) {
                    self.out_of_range(at, format!("`{}`: {why}", key.name), "not a size");
                }
            }
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                if !integer(number).is_some_and(|n| (*min..=*max).contains(&n)) {
                    self.out_of_range(at, format!("`{}` must be from {min} to {max}", key.name), "out of range");
                }
            }
            (Kind::Money, DeValue::Float(_) | DeValue::Integer(_)) => {
                if money(value.get_ref()).is_none() {
                    self.out_of_range(at, format!("`{}` must be from 0.01 to {MAX_DOLLARS}", key.name), "out of range");
                }
            }
            (Kind::Share, DeValue::Float(_) | DeValue::Integer(_)) => {
                if share(value.get_ref()).is_none() {
                    self.out_of_range(at, format!("`{}` must be from 0 to 1", key.name), "out of range");
                }
            }
            (Kind::Bool, DeValue::Boolean(_)) => {}
            (Kind::Choice { now, later }, DeValue::String(text)) => self.choice(key, text, now, later, at),
            (Kind::Commands(shape), DeValue::Array(items)) => self.commands(key, shape, items, at),
            (Kind::Table(shape), DeValue::Table(table)) => self.table(shape, table, at),
            (Kind::Words(words), DeValue::Array(items)) => self.words(key, words, items, at),
            (Kind::Words(_), DeValue::String(text)) if text == "*" => {}
            (Kind::Tables(shape), DeValue::Array(items)) => self.tables(key, shape, items, MAX_TABLES, at),
            (Kind::Receivers(shape), DeValue::Array(items)) => self.tables(key, shape, items, MAX_RECEIVERS, at),
            (Kind::Named(shape), DeValue::Table(table)) => self.named(key, shape, table, at),
            (Kind::Parts(shape), DeValue::Table(table)) => {
                let whole = std::mem::replace(&mut self.partial, true);
                self.named(key, shape, table, at);
                self.partial = whole;
            }
            (Kind::Env, DeValue::Table(table)) => self.env(key, table, at),
            (Kind::Axes, DeValue::Table(table)) => self.axes(key, table, at),
            (kind, found) => self.wrong_type(key, kind.wanted(), found, at),
        }
    }

    fn out_of_range(&mut self, at: Span, message: String, label: &str) {
        self.push(Diagnostic::error(Code::OutOfRange, at, message).label(label));
    }

    fn not_yet(&mut self, key: &Key, value: &str, at: Span) {
        let message = format!("`{}` = {} is not supported by this version", key.name, quote(value));
        self.push(Diagnostic::error(Code::NotYet, at, message).label("not yet"));
    }

    fn wrong_type(&mut self, key: &Key, wanted: &str, found: &DeValue<'_>, at: Span) {
        let help = match (&key.kind, found) {
            (Kind::Tables(_) | Kind::Receivers(_), DeValue::Table(_)) => {
                Some("write its header with two brackets on each side: `[[…]]`".into())
            }
            (Kind::Texts { .. } | Kind::Words(_) | Kind::Commands(_), DeValue::String(_)) => {
                Some(format!("put it in brackets: {} = [\"…\"]", key.name))
            }
            (Kind::Bool | Kind::Integer { .. } | Kind::Money | Kind::Share, DeValue::String(_)) => Some("write it without quotes".into()),
            (Kind::Duration(_), DeValue::Integer(_)) => Some("add a unit and quotes, such as \"90s\" or \"45m\"".into()),
            (Kind::Size, DeValue::Integer(_)) => Some("add a unit and quotes, such as \"20GiB\"".into()),
            (Kind::Env, _) => Some("values are strings: put them in quotes".into()),
            (Kind::Axes, _) => Some("write a list of values for each name: { name = [\"a\", \"b\"] }".into()),
            _ => None,
        };
        let message = format!("`{}` must be {wanted}", key.name);
        self.push(Diagnostic::error(Code::WrongType, at, message).label(format!("this is {}", article(found))).maybe_help(help));
    }

    fn choice(&mut self, key: &Key, text: &str, now: &[&str], later: &[&str], at: Span) {
        if now.contains(&text) {
            return;
        }
        if later.contains(&text) {
            return self.not_yet(key, text, at);
        }
        let message = format!("{} is not a value of `{}`", quote(text), key.name);
        let help = nearest_or_list(text, "values", now.iter().copied());
        self.push(Diagnostic::error(Code::OutOfRange, at, message).label("not one of its values").help(help));
    }

    fn text(&mut self, key: &Key, format: Format, text: &str, range: Range<usize>) {
        if let Err(wrong) = format.check(key.name, text) {
            return self.wrong(wrong, self.span(range));
        }
        if format.is_template() {
            let raw = self.text.get(range.clone()).unwrap_or_default();
            let base = self.base + range.start;
            for bad in bad_names(text, raw, base) {
                self.findings.push(bad);
            }
        }
    }

    pub fn wrong(&mut self, wrong: Wrong, at: Span) {
        self.push(Diagnostic::error(wrong.code, at, wrong.message).label("here").maybe_help(wrong.help));
    }

    fn texts(&mut self, key: &'static Key, items: &DeArray<'_>, of: Format, (min, max): (usize, usize), at: Span) {
        self.length(key, items.len(), (min, max), at);
        for item in items.iter().take(max) {
            match item.get_ref() {
                DeValue::String(text) => self.text(key, of, text, item.span()),
                other => self.wrong_type(key, "an array of strings", other, self.span(item.span())),
            }
        }
    }

    fn length(&mut self, key: &Key, found: usize, (min, max): (usize, usize), at: Span) {
        if found < min {
            self.out_of_range(at, format!("`{}` is empty", key.name), "needs at least one");
        } else if found > max {
            self.out_of_range(at, format!("`{}` has {found} entries, at most {max} are allowed", key.name), "too many");
        }
    }

    fn commands(&mut self, key: &'static Key, shape: &'static Shape, items: &DeArray<'_>, at: Span) {
        self.length(key, items.len(), (0, MAX_COMMANDS), at);
        for item in items.iter().take(MAX_COMMANDS) {
            let at = self.span(item.span());
            match item.get_ref() {
                DeValue::String(text) => self.text(key, Format::Command, text, item.span()),
                DeValue::Table(table) => self.table(shape, table, at),
                other => self.wrong_type(key, "an array of strings or of tables { name, run, timeout }", other, at),
            }
        }
    }

    fn words(&mut self, key: &'static Key, words: &[&str], items: &DeArray<'_>, at: Span) {
        self.length(key, items.len(), (1, MAX_WORDS), at);
        for item in items.iter().take(MAX_WORDS) {
            let at = self.span(item.span());
            match item.get_ref() {
                DeValue::String(text) if text == "*" => {}
                DeValue::String(text) => self.choice(key, text, words, &[], at),
                other => self.wrong_type(key, "an array of strings", other, at),
            }
        }
    }

    fn tables(&mut self, key: &'static Key, shape: &'static Shape, items: &DeArray<'_>, most: usize, at: Span) {
        self.length(key, items.len(), (0, most), at);
        for item in items.iter().take(most) {
            let at = self.span(item.span());
            match item.get_ref() {
                DeValue::Table(table) => self.table(shape, table, at),
                other => self.wrong_type(key, "an array of tables", other, at),
            }
        }
    }

    fn named(&mut self, key: &'static Key, shape: &'static Shape, table: &DeTable<'_>, at: Span) {
        self.length(key, table.len(), (0, MAX_NAMES), at);
        for (name, value) in table.iter().take(MAX_NAMES) {
            if let Err(wrong) = Format::Segment.check(key.name, name.get_ref()) {
                self.wrong(wrong, self.span(name.span()));
            }
            let at = self.span(value.span());
            match value.get_ref() {
                DeValue::Table(table) => self.table(shape, table, at),
                other => {
                    let (name, under) = (quote(name.get_ref()), key.name);
                    let found = Diagnostic::error(Code::WrongType, at, format!("{name} under `{under}` must be a table, {}", shape.what));
                    self.push(found.label(format!("this is {}", article(other))));
                }
            }
        }
    }

    fn axes(&mut self, key: &'static Key, table: &DeTable<'_>, at: Span) {
        self.length(key, table.len(), (1, MAX_AXES), at);
        for (name, value) in table.iter().take(MAX_AXES) {
            if let Err(wrong) = Format::Segment.check(key.name, name.get_ref()) {
                self.wrong(wrong, self.span(name.span()));
            }
            let at = self.span(value.span());
            match value.get_ref() {
                DeValue::Array(items) => self.texts(key, items, Format::Segment, (1, MAX_VARIANTS), at),
                other => self.wrong_type(key, "a table of arrays", other, at),
            }
        }
    }

    fn env(&mut self, key: &'static Key, table: &DeTable<'_>, at: Span) {
        self.length(key, table.len(), (0, MAX_NAMES), at);
        for (name, value) in table.iter().take(MAX_NAMES) {
            if let Err(wrong) = env_name(name.get_ref()) {
                self.wrong(wrong, self.span(name.span()));
            }
            let at = self.span(value.span());
            match value.get_ref() {
                DeValue::String(text) if !text.contains('\0') => {}
                DeValue::String(_) => self.out_of_range(at, "an environment variable cannot hold a NUL byte".into(), "here"),
                other => self.wrong_type(key, "a table of strings", other, at),
            }
        }
    }
}

/// Whether a table has an unknown key that is nearly one of these.
fn misspelt(shape: &Shape, table: &DeTable<'_>, keys: &[&'static str]) -> bool {
    let mut unknown = table.keys().map(|k| k.get_ref().as_ref()).filter(|n| shape.key(n).is_none());
    unknown.any(|n| nearest(n, keys.iter().copied()).is_some())
}

pub fn span_at(base: usize, range: Range<usize>) -> Span {
    Span { start: base + range.start, len: range.len() }
}

pub fn share(value: &DeValue<'_>) -> Option<f64> {
    number(value).filter(|share| (0.0..=1.0).contains(share))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
        DeValue::Integer(number) => Some(integer(number)? as f64),
        _ => None,
    }
}

/// Dollars, as millionths of one.
pub fn money(value: &DeValue<'_>) -> Option<u64> {
    let dollars = number(value)?;
    (0.01..=f64::from(MAX_DOLLARS)).contains(&dollars).then(|| (dollars * 1e6).round() as u64)
}

pub fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The most bad names reported of one text.
const MAX_BAD_NAMES: usize = 20;

/// What is wrong with the `${{ }}` of a text. `raw` is the text as it is written, with quotes and
/// escapes, and `base` where it stands: the place is exact unless escapes hide it.
pub fn bad_names(text: &str, raw: &str, base: usize) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for bad in subst::check(text).into_iter().take(MAX_BAD_NAMES) {
        let open = bad.name.is_empty() && !text[bad.at.clone()].ends_with("}}");
        let shown = if open { bad.at.start..bad.at.start + 3 } else { bad.at };
        let at = written_at(text, raw, shown).map_or(span_at(base, 0..raw.len()), |range| span_at(base, range));
        let known = subst::NAMES.iter().map(|n| format!("`${{{{ {n} }}}}`")).collect::<Vec<_>>().join(", ");
        let found = if open {
            Diagnostic::error(Code::BadSubstitution, at, "`${{` has no `}}` after it").label("opened here")
        } else {
            let message = format!("nothing is known by the name {}", quote(&bad.name));
            Diagnostic::error(Code::BadSubstitution, at, message).label("unknown name")
        };
        out.push(found.help(format!("known are {known}; write `$${{{{` for a literal `${{{{`")));
    }
    out
}

/// Where a part of a text stands in the text as written, if that can be told.
fn written_at(text: &str, raw: &str, part: Range<usize>) -> Option<Range<usize>> {
    let needle = &text[part.clone()];
    let before = text[..part.start].matches(needle).count();
    if raw.matches(needle).count() != text.matches(needle).count() {
        return None;
    }
    raw.match_indices(needle).nth(before).map(|(at, found)| at..at + found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_found_where_it_is_written() {
        let raw = "\"\"\"\n  ${{ x }} ok ${{ task.id }}\n  ${{ x }} ${{ \"\"\"";
        let text = "  ${{ x }} ok ${{ task.id }}\n  ${{ x }} ${{ ";
        let places: Vec<usize> = bad_names(text, raw, 100).iter().map(|d| d.labels[0].span.start - 100).collect();
        assert_eq!(places, [6, 35, 44]);
        assert_eq!(bad_names("${{ \t }}", "\"${{ \\t }}\"", 7)[0].labels[0].span, Span { start: 7, len: 11 });
    }
}
