//! The words in which the file format is written down: tables, keys, and what stands behind a key.
//!
//! One description (in `keys`) drives the reader (`check`), the JSON Schemas (`schema`) and the
//! test of the example file. Knows nothing of any particular key.

use std::time::Duration;

/// A table, closed: a key that is not named here is an error.
pub struct Shape {
    /// As people name it in messages, such as `[[task]]`.
    pub what: &'static str,
    /// In groups, so that tables can share some.
    pub keys: &'static [&'static [Key]],
    /// Of these at most one stands in a table, and how many must.
    pub one_of: OneOf,
    /// Keys that a later version will know.
    pub later: &'static [&'static str],
    /// What to say of keys that people write by mistake.
    pub hints: &'static [(&'static str, &'static str)],
}

pub struct OneOf {
    pub keys: &'static [&'static str],
    pub needed: Needed,
}

pub enum Needed {
    No,
    Yes,
    /// Unless this key is there.
    Unless(&'static str),
}

pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub default: Fallback,
    pub doc: &'static str,
}

pub enum Kind {
    Text(Format),
    Texts {
        of: Format,
        min: usize,
        max: usize,
    },
    /// A text such as `45m`, at least this long.
    Duration(Duration),
    /// A text such as `20GiB`.
    Size,
    Integer {
        min: i64,
        max: i64,
    },
    /// Dollars: a number, at least a cent.
    Money,
    /// A number from 0 to 1.
    Share,
    Bool,
    /// Some of these words, or `*`.
    Words(&'static [&'static str]),
    /// One of these words; `later` are the ones of a later version.
    Choice {
        now: &'static [&'static str],
        later: &'static [&'static str],
    },
    /// Commands: texts, or tables of the given shape.
    Commands(&'static Shape),
    Table(&'static Shape),
    Tables(&'static Shape),
    /// The same, few of them.
    Receivers(&'static Shape),
    /// Tables under names that the user gives.
    Named(&'static Shape),
    /// The same with parts of what the shape describes: nothing in them is required.
    Parts(&'static Shape),
    /// Texts under the names of environment variables.
    Env,
    /// Lists of values under the names of what varies.
    Axes,
}

/// What a text must look like; see `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Anything, up to a length.
    Free,
    /// Not blank, one line.
    Title,
    /// Not blank; `${{ }}` is looked at.
    Prompt,
    /// A line for `sh -c`; `${{ }}` is looked at.
    Command,
    /// An argument of a program; `${{ }}` is looked at.
    Argument,
    /// An argument that is passed on as it stands.
    Word,
    TaskId,
    /// One part of an id; also the form of the names of agents and groups.
    Segment,
    /// A task id, or `epic:` and an epic's id.
    Dependency,
    ProjectName,
    Label,
    Branch,
    /// The name of a remote; may be empty.
    Remote,
    /// A host and a port, or a URL of http or https; may be empty.
    Endpoint,
    /// A port, or an address and a port; may be empty.
    Listen,
    /// The name of a host, without a port.
    Host,
    /// Of https, or of http on this machine.
    WebhookUrl,
    /// Relative to some directory.
    Path,
    /// Relative to the project's root and inside it; may be empty.
    Inside,
    /// Anywhere; may be empty.
    Directory,
    Glob,
    EnvPattern,
    EnvName,
    /// Not blank, passed on as it stands.
    Line,
    Version,
}

/// What holds where a key is not given, for schemas and people.
#[derive(Clone, Copy)]
pub enum Fallback {
    None,
    Text(&'static str),
    Bool(bool),
    Integer(i64),
    Texts(&'static [&'static str]),
}

/// The largest budget.
pub const MAX_DOLLARS: u32 = 1_000_000;

/// The most tables under one key, and the most environment variables.
pub const MAX_TABLES: usize = 100_000;
pub const MAX_NAMES: usize = 1_000;
/// The most axes of a matrix: an id has at most three parts.
pub const MAX_AXES: usize = 2;
/// The most values of an axis, and tasks that one matrix stands for.
pub const MAX_VARIANTS: usize = 1_000;
/// The most words in a list of them.
pub const MAX_WORDS: usize = 100;
/// The most commands in a list.
pub const MAX_COMMANDS: usize = 100;

impl Shape {
    pub const fn new(what: &'static str, keys: &'static [&'static [Key]]) -> Self {
        Self { what, keys, one_of: OneOf { keys: &[], needed: Needed::No }, later: &[], hints: &[] }
    }
    pub const fn one_of(mut self, keys: &'static [&'static str], needed: Needed) -> Self {
        self.one_of = OneOf { keys, needed };
        self
    }
    pub const fn later(mut self, later: &'static [&'static str]) -> Self {
        self.later = later;
        self
    }
    pub const fn hints(mut self, hints: &'static [(&'static str, &'static str)]) -> Self {
        self.hints = hints;
        self
    }

    pub fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().copied().flatten()
    }
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|k| k.name == name)
    }
    pub fn hint(&self, name: &str) -> Option<&'static str> {
        self.hints.iter().find(|(n, _)| *n == name).map(|(_, hint)| *hint)
    }
}

impl Key {
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, default: Fallback::None, doc }
    }
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub const fn or(mut self, default: Fallback) -> Self {
        self.default = default;
        self
    }
}

impl Kind {
    /// What a value of it is called.
    pub fn wanted(&self) -> &'static str {
        match self {
            Kind::Text(_) | Kind::Choice { .. } => "a string",
            Kind::Texts { .. } => "an array of strings",
            Kind::Words(_) => "an array of strings, or \"*\"",
            Kind::Duration(_) => "a string such as \"45m\"",
            Kind::Size => "a string such as \"20GiB\"",
            Kind::Integer { .. } => "an integer",
            Kind::Money => "a number of dollars",
            Kind::Share => "a number from 0 to 1",
            Kind::Bool => "`true` or `false`",
            Kind::Commands(_) => "an array of commands",
            Kind::Table(_) | Kind::Named(_) | Kind::Parts(_) | Kind::Env | Kind::Axes => "a table",
            Kind::Tables(_) | Kind::Receivers(_) => "an array of tables",
        }
    }
}
