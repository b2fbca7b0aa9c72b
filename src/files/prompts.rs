//! `[prompts]`: the project's own templates, read and tried out when the files are.

use super::diagnostic::{Code, Diagnostic, Findings, quote};
use super::disk::Disk;
use super::row::{At, Row};
use super::shape::{Format, Key, Kind as Holds, Shape};
use super::source::{SourceMap, Span};
use crate::model::{Prompts, Template};
use crate::prompt::{self, Kind};

/// The longest template, in bytes.
const MAX_TEMPLATE: u64 = 256 << 10;

pub static PROMPTS: Shape = Shape::new(
    "[prompts]",
    &[&[
        Key::new(
            "task",
            Holds::Text(Format::Path),
            "A file with the template of the prompt that an attempt begins with, relative to the project's root.",
        ),
        Key::new("resume", Holds::Text(Format::Path), "The same for what an agent is told that goes on after an interruption."),
    ]],
);

pub fn read(row: &Row<'_>, disk: &mut Disk, map: &mut SourceMap, findings: &mut Findings) -> Prompts {
    let Some(row) = row.table("prompts") else { return Prompts::default() };
    let mut template = |key, kind| row.text(key).and_then(|named| one(named, kind, disk, map, findings));
    Prompts { task: template("task", Kind::Task), resume: template("resume", Kind::Resume) }
}

fn one(named: At<&str>, kind: Kind, disk: &mut Disk, map: &mut SourceMap, findings: &mut Findings) -> Option<Template> {
    let At { value: file, at } = named;
    let path = disk.root().join(file);
    let text = match disk.read_inside(&path, MAX_TEMPLATE) {
        Ok(text) => text,
        Err(no) => {
            let message = format!("the template {} cannot be read: {}", quote(file), no.why);
            let help = "the path is relative to the project's root";
            findings.push(Diagnostic::error(no.code, at, message).label("named here").help(help));
            return None;
        }
    };
    if let Err(wrong) = prompt::check(kind, &text) {
        let base = map.add(&disk.name(&path), &text);
        let place = wrong.range.clone().or_else(|| wrong.line.map(|n| line(&text, n)));
        let span = place
            .filter(|r| text.get(r.clone()).is_some())
            .map_or(Span { start: base, len: 0 }, |r| Span { start: base + r.start, len: r.len() });
        let found = Diagnostic::error(Code::BadTemplate, span, format!("the template {} cannot be used: {}", quote(file), wrong.message));
        let help =
            "docs/prompts.md lists the variables; what can be none, such as `previous` on a first attempt, stands inside an `{% if %}`";
        findings.push(found.label("here").also(at, "named here").help(help));
    }
    Some(Template { file: file.to_owned(), text })
}

/// Where line `n` is, counted from 1.
fn line(text: &str, n: usize) -> std::ops::Range<usize> {
    let start = text.split_inclusive('\n').take(n.saturating_sub(1)).map(str::len).sum();
    start..start + text[start..].lines().next().map_or(0, str::len)
}
