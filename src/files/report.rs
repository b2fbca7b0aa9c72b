//! What was found in the files, ready to be shown: with excerpts, one line each, or as JSON.
//!
//! Prints nothing itself.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};
use serde_json::{Value, json};

use super::diagnostic::{Code, Diagnostic, Findings, Level};
use super::source::SourceMap;
use crate::base::text::{block, count, one_line};

/// The most diagnostics shown with excerpts.
const MAX_GRAPHICAL: usize = 100;

/// Everything found in one pass over all files, sorted by place.
#[derive(Clone, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
    map: SourceMap,
}

/// One of the things that were found; line and column count from 1.
pub struct Found<'a> {
    pub severity: Level,
    pub code: Code,
    pub file: &'a str,
    pub line: usize,
    pub column: usize,
    pub message: &'a str,
    pub help: Option<&'a str>,
}

impl Report {
    pub(super) fn new(findings: Findings, map: SourceMap) -> Self {
        let mut diagnostics = findings.kept;
        for label in diagnostics.iter_mut().flat_map(|d| &mut d.labels) {
            label.span = map.first_line(label.span);
        }
        diagnostics.sort_by_key(|d| (d.labels[0].span, d.code));
        diagnostics.dedup();
        let map = if diagnostics.is_empty() { SourceMap::default() } else { map };
        Self { diagnostics, dropped: findings.dropped, map }
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub fn errors(&self) -> usize {
        self.count(Level::Error) + self.dropped
    }

    pub fn warnings(&self) -> usize {
        self.count(Level::Warning)
    }

    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The code of each diagnostic, in their order.
    pub fn codes(&self) -> impl Iterator<Item = Code> {
        self.diagnostics.iter().map(|d| d.code)
    }

    /// Each with its place, in their order.
    pub fn found(&self) -> impl Iterator<Item = Found<'_>> {
        self.diagnostics.iter().map(|d| {
            let place = self.map.place(d.labels[0].span);
            let (message, help) = (d.message.as_str(), d.help.as_deref());
            Found { severity: d.level, code: d.code, file: place.file, line: place.line, column: place.column, message, help }
        })
    }

    fn count(&self, level: Level) -> usize {
        self.diagnostics.iter().filter(|d| d.level == level).count()
    }

    /// With excerpts of the files, for a terminal `width` columns wide.
    pub fn graphical(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width.max(40)).with_context_lines(1).with_links(false);
        let mut out = String::new();
        for diagnostic in self.diagnostics.iter().take(MAX_GRAPHICAL) {
            let shown = handler.render_report(&mut out, &Shown { diagnostic, map: &self.map });
            if shown.is_err() {
                out.push_str(&self.line(diagnostic));
            }
            out.push('\n');
        }
        let hidden = self.diagnostics.len().saturating_sub(MAX_GRAPHICAL) + self.dropped;
        if hidden > 0 {
            out.push_str(&format!("… and {} not shown\n", count(hidden, "more problem")));
        }
        out
    }

    /// `file:line:column: error[code]: message`, a line each.
    pub fn short(&self) -> String {
        let mut out: String = self.diagnostics.iter().map(|d| self.line(d)).collect();
        if self.dropped > 0 {
            out.push_str(&format!("… and {} not shown\n", count(self.dropped, "more problem")));
        }
        out
    }

    fn line(&self, d: &Diagnostic) -> String {
        let place = self.map.place(d.labels[0].span);
        let message = one_line(&d.message, 1000);
        format!("{}:{}:{}: {}[{}]: {message}\n", place.file, place.line, place.column, d.level.name(), d.code)
    }

    pub fn json(&self) -> Value {
        let diagnostics: Vec<Value> = self.diagnostics.iter().map(|d| self.json_of(d)).collect();
        json!({
            "format_version": "1.0",
            "errors": self.errors(),
            "warnings": self.warnings(),
            "not_shown": self.dropped,
            "diagnostics": diagnostics,
        })
    }

    fn json_of(&self, d: &Diagnostic) -> Value {
        let labels = d.labels.iter().map(|label| {
            let place = self.map.place(label.span);
            json!({ "file": place.file, "line": place.line, "column": place.column, "length": label.span.len, "text": label.text })
        });
        json!({
            "code": d.code.as_str(),
            "level": d.level.name(),
            "message": d.message,
            "help": d.help,
            "labels": labels.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// One diagnostic beside the texts it points into, as miette wants it.
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    map: &'a SourceMap,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&block(&self.diagnostic.message))
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(match self.diagnostic.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_deref().map(|h| Box::new(block(h)) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        // A file that could not be read has no text: its message names it.
        self.map.has_text(self.diagnostic.labels[0].span).then_some(self.map as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.diagnostic.labels.iter().enumerate().map(|(i, label)| {
            let text = (!label.text.is_empty()).then(|| one_line(&label.text, 200));
            let span = (label.span.start, label.span.len);
            if i == 0 { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
        });
        Some(Box::new(labels))
    }
}
