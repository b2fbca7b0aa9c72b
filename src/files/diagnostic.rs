//! What can be wrong with a file, said with a code, a place and a way out.
//!
//! Knows nothing of how it is shown (`report`) or found.

use std::fmt;

use super::source::Span;
use crate::base::text::{did_you_mean, one_line};

macro_rules! codes {
    ($($name:ident = $text:literal,)*) => {
        /// The kind of a diagnostic: stable, so that a page can explain it and a script match it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($name,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => concat!("drover::", $text),)* }
            }
        }
    };
}

codes! {
    TomlSyntax = "toml_syntax",
    UnknownKey = "unknown_key",
    WrongType = "wrong_type",
    MissingKey = "missing_key",
    OutOfRange = "out_of_range",
    BadId = "bad_id",
    DuplicateId = "duplicate_id",
    DuplicateReceiver = "duplicate_receiver",
    UnknownDependency = "unknown_dependency",
    Cycle = "cycle",
    UnknownGroup = "unknown_group",
    UnknownAgent = "unknown_agent",
    UnknownTemplate = "unknown_template",
    PromptConflict = "prompt_conflict",
    KeyConflict = "key_conflict",
    MissingFile = "missing_file",
    BadSubstitution = "bad_substitution",
    BadTemplate = "bad_template",
    MovedConflict = "moved_conflict",
    VersionUnmet = "version_unmet",
    NotYet = "not_yet",
    Unreadable = "unreadable",
    BadGlob = "bad_glob",
    TooDeep = "too_deep",
    NoTasks = "no_tasks",
    DisabledDependency = "disabled_dependency",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    /// Nothing is refused for it.
    Warning,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// The most places one diagnostic points at.
pub const MAX_LABELS: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub level: Level,
    pub message: String,
    pub help: Option<String>,
    /// The first is where it stands; never empty.
    pub labels: Vec<Label>,
}

impl Diagnostic {
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        let labels = vec![Label { span, text: String::new() }];
        Self { code, level: Level::Error, message: message.into(), help: None, labels }
    }

    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, span, message) }
    }

    /// What is written at the place itself.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.labels[0].text = text.into();
        self
    }

    /// Another place that has to do with it. From some number on they are left out.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        if self.labels.len() < MAX_LABELS {
            self.labels.push(Label { span, text: text.into() });
        }
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    pub fn maybe_help(mut self, text: Option<String>) -> Self {
        self.help = text.or(self.help);
        self
    }
}

/// Diagnostics as they are found. From some number on they are only counted: whoever wrote
/// such a file needs no more of them, and a hostile file must not fill the memory.
#[derive(Default)]
pub struct Findings {
    pub kept: Vec<Diagnostic>,
    pub dropped: usize,
}

const MAX_KEPT: usize = 500;

impl Findings {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether what is pushed now is no longer shown, so that help on it is wasted work.
    pub fn full(&self) -> bool {
        self.kept.len() >= MAX_KEPT
    }
}

/// A name or text out of a file, fit for one line of a message.
pub fn quote(text: &str) -> String {
    format!("`{}`", one_line(text, 80))
}

/// "did you mean", or the list of what there is.
pub fn nearest_or_list<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {}?", quote(near)),
        None if known.is_empty() => format!("there are no {what}"),
        None => {
            let more = if known.len() > 30 { ", …" } else { "" };
            let names: Vec<String> = known.iter().take(30).map(|k| one_line(k, 80)).collect();
            format!("{what}: {}{more}", names.join(", "))
        }
    }
}

/// The nearest of many names, at a bounded price.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 200;
    const MOST: usize = 20_000;
    if name.len() > LONGEST {
        return None;
    }
    let near = |k: &&str| k.len().abs_diff(name.len()) <= (name.len() / 3).max(1);
    did_you_mean(name, known.into_iter().take(MOST).filter(near))
}
