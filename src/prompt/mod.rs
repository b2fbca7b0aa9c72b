//! Templates of prompts: which there are, what they may use, and how they are filled in.
//!
//! Owns the template language and the built-in templates; `files` checks a project's own
//! templates by it when they are read, `agent` fills them in. A template comes from a file of
//! somebody's: it reaches nothing but the variables, ends within bounds, and is held to names
//! that there are. Must not know where a template or a value is from.

mod bounds;
mod engine;
mod sample;
mod vars;

pub use engine::{Wrong, check, render};
pub use sample::sample;
pub use vars::{Change, Commit, Conflict, File, Landed, Left, Named, Previous, Renewed, Step, Task, Vars};

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The prompt that a conversation begins with.
    Task,
    /// What an agent is told that goes on with a conversation which was cut short.
    Resume,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Task, Kind::Resume];

    /// What the built-in template is called in `{% extends %}`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Task => "drover/task",
            Kind::Resume => "drover/resume",
        }
    }

    /// The built-in template.
    pub fn built_in(self) -> &'static str {
        match self {
            Kind::Task => include_str!("task.jinja"),
            Kind::Resume => include_str!("resume.jinja"),
        }
    }
}
