//! The texts that diagnostics point into: one address space over all files, so that one
//! diagnostic can show several of them.
//!
//! Knows nothing of TOML. Every text is made safe to print before it is kept, byte for byte
//! in place, so that offsets into the file as read hold.

use std::sync::Arc;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::base::text::one_line;

/// A range of bytes in the address space of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

/// Where a span begins, for people: lines and columns (in characters) count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: usize,
    pub column: usize,
}

/// Longest stretch of one line that a label covers or that is shown around it, in bytes.
const MAX_SHOWN: usize = 300;

#[derive(Clone, Default)]
pub struct SourceMap {
    files: Vec<File>,
}

#[derive(Clone)]
struct File {
    name: String,
    text: Arc<str>,
    base: usize,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl SourceMap {
    /// Adds a file and returns where its first byte stands.
    pub fn add(&mut self, name: &str, text: &str) -> usize {
        let base = self.files.last().map_or(0, |f| f.base + f.text.len() + 1);
        let lines = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1)).collect();
        self.files.push(File { name: one_line(name, 300), text: printable(text).into(), base, lines });
        base
    }

    /// Where a span begins.
    pub fn place(&self, span: Span) -> Place<'_> {
        let Some(file) = self.file(span.start) else {
            return Place { file: "", line: 1, column: 1 };
        };
        let (line, column) = file.line_column(span.start - file.base);
        Place { file: &file.name, line: line + 1, column: column + 1 }
    }

    /// The part of a span on its first line, and not too much of that: a label on a long text
    /// names where it begins.
    pub fn first_line(&self, span: Span) -> Span {
        let Some(file) = self.file(span.start) else { return span };
        let from = (span.start - file.base).min(file.text.len());
        let end = (from + span.len.min(MAX_SHOWN)).min(file.text.len());
        let mut end = file.text[from..floor(&file.text, end).max(from)].find('\n').map_or(end, |n| from + n);
        if end > from && file.text.as_bytes()[end - 1] == b'\r' {
            end -= 1;
        }
        Span { start: span.start, len: floor(&file.text, end) - from }
    }

    /// What stands there, safe to show.
    pub fn text(&self, span: Span) -> &str {
        let file = self.file(span.start);
        file.and_then(|f| f.text.get(span.start - f.base..span.start - f.base + span.len)).unwrap_or_default()
    }

    /// Whether there is a text to show at that place.
    pub fn has_text(&self, span: Span) -> bool {
        self.file(span.start).is_some_and(|f| !f.text.is_empty())
    }

    fn file(&self, offset: usize) -> Option<&File> {
        let after = self.files.partition_point(|f| f.base <= offset);
        self.files[..after].last()
    }
}

impl File {
    /// Both from 0; the column in characters.
    fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        let end = floor(&self.text, offset.min(self.text.len()));
        (line, self.text[self.lines[line]..end].chars().count())
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// The same text with everything that a terminal would obey put out of action. Every
/// replacement is as long as what it replaces.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let safe = match c {
            ' '..='~' | '\n' | '\t' => true,
            '\r' => chars.peek() == Some(&'\n'),
            c if c.is_control() => false,
            c => c.is_whitespace() || !one_line(c.encode_utf8(&mut [0; 4]), 1).is_empty(),
        };
        if safe {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        }
    }
    out
}

impl SourceCode for SourceMap {
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let file = self.file(span.offset()).ok_or(MietteError::OutOfBounds)?;
        let start = span.offset() - file.base;
        let end = start + span.len();
        if end > file.text.len() {
            return Err(MietteError::OutOfBounds); // it ends in another file
        }
        let (line, column) = file.line_column(start);
        let first = line.saturating_sub(before);
        let (last, _) = file.line_column(end);
        let mut from = if before == 0 { start } else { file.lines[first] };
        let mut to = file.lines.get(last + after + 1).copied().unwrap_or(file.text.len());
        let mut shown_line = if before == 0 { line } else { first };
        if to - from > 8 * MAX_SHOWN {
            from = from.max(floor(&file.text, start.saturating_sub(MAX_SHOWN)));
            to = to.min(floor(&file.text, end + MAX_SHOWN)).max(end);
            shown_line = file.line_column(from).0;
        }
        let column = if before == 0 { column } else { 0 };
        let shown = SourceSpan::from((file.base + from, to - from));
        let bytes = &file.text.as_bytes()[from..to];
        let name = file.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, bytes, shown, shown_line, column, last + after + 1 - shown_line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_the_file_it_belongs_to() {
        let mut map = SourceMap::default();
        let one = map.add("one", "a\nbé c\n");
        let two = map.add("two", "x");
        assert_eq!(map.place(Span { start: one + 6, len: 1 }), Place { file: "one", line: 2, column: 4 });
        assert_eq!(map.place(Span { start: one + 7, len: 0 }), Place { file: "one", line: 2, column: 5 });
        assert_eq!(map.place(Span { start: two, len: 1 }), Place { file: "two", line: 1, column: 1 });
        assert!(map.read_span(&(one, two + 1).into(), 1, 1).is_err(), "a span over two files was read");
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced_in_place() {
        for text in ["a\u{1b}[31m\tb\r\n", "\u{202e}x\u{85}y\rz", "plain é\n", "\u{feff}a\u{a0}b"] {
            let safe = printable(text);
            assert_eq!(safe.len(), text.len());
            assert!(!safe.contains(['\u{1b}', '\u{202e}', '\u{85}', '\u{feff}']), "{safe:?}");
        }
        assert_eq!(printable("a\r\n\tb\rc"), "a\r\n\tb?c");
    }

    #[test]
    fn a_label_stays_on_one_line_and_is_never_endless() {
        let mut map = SourceMap::default();
        let long = "é".repeat(5000);
        let base = map.add("f", &format!("ab\r\ncd\n{long}"));
        assert_eq!(map.first_line(Span { start: base, len: 7 }).len, 2);
        let cut = map.first_line(Span { start: base + 7, len: 10_000 });
        assert!(cut.len <= MAX_SHOWN && cut.len > 0);
        let shown = map.read_span(&(cut.start, cut.len).into(), 1, 1).unwrap();
        assert!(shown.data().len() < 4 * MAX_SHOWN);
    }
}
