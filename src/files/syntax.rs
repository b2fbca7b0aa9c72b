//! TOML itself: a text to a table, with all its errors.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::span_at;
use super::diagnostic::{Code, Diagnostic};
use super::link::Known;
use super::source::Span;
use crate::base::text::one_line;
use crate::base::{EpicId, TaskId};

/// The most errors of one file that are shown: after the first ones the parser guesses.
const MAX_ERRORS: usize = 10;

pub struct Parsed<'t> {
    table: Spanned<DeTable<'t>>,
    pub errors: Vec<Diagnostic>,
}

impl<'t> Parsed<'t> {
    pub fn table(&self) -> &DeTable<'t> {
        self.table.get_ref()
    }
}

/// `base` is where the text stands in the source map.
pub fn parse(text: &str, base: usize) -> Parsed<'_> {
    let (table, errors) = DeTable::parse_recoverable(text);
    // The parser bounds the depth itself, and says so in words only. What it says after that is noise.
    let too_deep = errors.iter().find(|e| e.message().contains("recurs"));
    let errors = match too_deep {
        Some(error) => vec![Diagnostic::error(Code::TooDeep, place(error, base), "tables or arrays are nested too deeply").label("here")],
        None => errors.iter().take(MAX_ERRORS).map(|e| wrong(e, base)).collect(),
    };
    Parsed { table, errors }
}

/// A table with another laid over it: tables are merged key by key, everything else is replaced.
pub fn overlay<'t>(below: &DeTable<'t>, above: &DeTable<'t>) -> DeTable<'t> {
    let mut out = below.clone();
    for (key, value) in above.iter() {
        let merged = match (below.get(key.get_ref().as_ref()).map(Spanned::get_ref), value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => Spanned::new(value.span(), DeValue::Table(overlay(below, above))),
            _ => value.clone(),
        };
        out.insert(key.clone(), merged);
    }
    out
}

fn wrong(error: &toml::de::Error, base: usize) -> Diagnostic {
    Diagnostic::error(Code::TomlSyntax, place(error, base), one_line(error.message(), 300)).label("here")
}

fn place(error: &toml::de::Error, base: usize) -> Span {
    span_at(base, error.span().unwrap_or(0..0))
}

/// The ids that a text with errors in its syntax seems to define, so that others may name them.
pub fn ids(text: &str, known: &mut Known) {
    for line in text.lines() {
        let value = line.trim().strip_prefix("id").and_then(|rest| rest.trim_start().strip_prefix('='));
        let Some(value) = value.map(str::trim_start) else { continue };
        let id: &str = value.trim_start_matches(['"', '\'']).split(['"', '\'', ' ', '#']).next().unwrap_or_default();
        known.tasks.extend(TaskId::parse(id));
        known.epics.extend(EpicId::parse(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_text_is_found_with_its_place() {
        let parsed = parse("a = \nb = 1\nb = 2\nc = [1, }\n", 100);
        assert!(parsed.errors.len() >= 3, "{:?}", parsed.errors);
        assert!(parsed.errors.iter().all(|e| e.code == Code::TomlSyntax && e.labels[0].span.start >= 100));
    }

    #[test]
    fn ids_are_found_in_a_text_that_does_not_parse() {
        let mut known = Known::default();
        ids("[epic]\nid = \"e\"\n[[task]\n  id='a.b' # c\nid= \"x\nidle = \"no\"\nid = \"BAD\"", &mut known);
        let found: Vec<&str> = known.tasks.iter().map(TaskId::as_str).collect();
        assert_eq!(found, ["a.b", "e", "x"]);
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_the_end_of_the_process() {
        let n = 100_000;
        let deep = [
            format!("a = {}", "[".repeat(n)),
            format!("a = {}{}", "[".repeat(n), "]".repeat(n)),
            format!("a = {}", "{a=".repeat(n)),
            format!("{}a = 1", "a.".repeat(n)),
            format!("[{}a]", "a.".repeat(n)),
            format!("[[{}a]]", "a.".repeat(n)),
            format!("a = {{{}a = 1}}", "a.".repeat(n)),
        ];
        for text in deep {
            let found = parse(&text, 0);
            assert_eq!(found.errors.first().map(|e| e.code), Some(Code::TooDeep), "{}", &text[..20]);
        }
    }

    #[test]
    fn the_deepest_nesting_that_the_parser_lets_through_is_dropped_safely() {
        let keys = "a.".repeat(78);
        let text = format!("[{keys}a]\n{}1{}", format!("{keys}a = {{ ").repeat(78) + &keys + "a = ", "}".repeat(78));
        let parsed = parse(&text, 0);
        assert_eq!(parsed.errors, []);
    }
}
