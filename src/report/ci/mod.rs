//! What a runner of CI is told: in commands that it reads from the output, and in files that it names.
//!
//! Whatever is not Drover's own is escaped here as the runner wants it; that nothing else in the
//! output counts as a command is the caller's part.

mod github;
mod gitlab;
mod summary;

pub use github::{annotations, group, mask, outputs};
pub use gitlab::section;
pub use summary::summary;

use crate::base::text::{block, one_line};
use crate::core::State;
use crate::core::view::{Status, Verdict};
use crate::files::{self, Severity};
use crate::report::words;

/// Whose runner it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ci {
    Github,
    Gitlab,
}

/// Something that is shown beside a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub severity: Severity,
    /// File, line and column; nothing where it is about no file.
    pub place: Option<(String, usize, usize)>,
    pub title: String,
    pub message: String,
}

/// The longest message, in characters, and in lines.
const MESSAGE: usize = 4000;
const LINES: usize = 30;
const TITLE: usize = 200;

impl Annotation {
    pub fn new(severity: Severity, title: &str, message: &str) -> Self {
        let lines: Vec<String> = block(message).lines().take(LINES).map(|line| line.chars().take(400).collect()).collect();
        let message = lines.join("\n").chars().take(MESSAGE).collect();
        Self { severity, place: None, title: one_line(title, TITLE), message }
    }
}

/// What is wrong with the files. `prefix` leads from where the runner works to the project.
pub fn of_files(report: &files::Report, prefix: &str) -> Vec<Annotation> {
    let of = |found: files::Found<'_>| {
        let help = found.help.map(|help| format!("\n{help}")).unwrap_or_default();
        let annotation = Annotation::new(found.severity, found.code.as_str(), &format!("{}{help}", found.message));
        Annotation { place: Some((format!("{prefix}{}", one_line(found.file, 1000)), found.line, found.column)), ..annotation }
    };
    report.found().map(of).collect()
}

/// What failed, each at its task, and why the run stopped, if that is not the same.
pub fn of_run(state: &State, prefix: &str) -> Vec<Annotation> {
    let mut all = Vec::new();
    for view in state.views().iter().filter(|v| state.selection.holds(&v.id) && v.status == Status::Failed) {
        let Some(task) = state.tasks.get(&view.id) else { continue };
        let (word, message) = task.last_failure.as_ref().map_or(("failed", ""), |f| (words::failure(f.class), f.message.as_str()));
        let source = &task.spec.source;
        all.push(Annotation {
            place: Some((format!("{prefix}{}", one_line(&source.file, 1000)), source.line as usize, source.column as usize)),
            ..Annotation::new(Severity::Error, &format!("{} failed", view.id), &format!("{word}: {message}"))
        });
    }
    if let Verdict::Stopped(why) = state.verdict() {
        all.push(Annotation::new(Severity::Warning, "Drover stopped", &why));
    }
    all
}
