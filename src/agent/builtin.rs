//! What is known of each kind of agent: `builtin.toml`, as types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::AgentKind;

/// One kind of agent; `builtin.toml` says what each field means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builtin {
    pub program: Option<String>,
    pub install: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub model: Vec<String>,
    #[serde(default)]
    pub session: Vec<String>,
    pub output: Output,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub not_inherited: Vec<String>,
    #[serde(default, rename = "hint")]
    pub hints: Vec<Hint>,
}

/// How standard output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Text for people; the exit code is all there is to go by.
    Plain,
    /// JSON lines; the last one of type `result` says how it went.
    ClaudeStreamJson,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    pub says: String,
    pub hint: String,
}

static BUILTINS: LazyLock<BTreeMap<String, Builtin>> =
    LazyLock::new(|| toml::from_str(include_str!("builtin.toml")).expect("builtin.toml is part of the program, and a test reads it"));

/// What is known of a kind.
pub fn of(kind: AgentKind) -> &'static Builtin {
    BUILTINS.get(kind.name()).expect("a test finds a table for every kind")
}

/// Every kind, by its name.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Builtin)> {
    BUILTINS.iter().map(|(name, builtin)| (name.as_str(), builtin))
}

impl Builtin {
    /// What to do about a failure with these words, if that is known.
    pub fn hint(&self, words: &str) -> Option<&str> {
        let words = words.to_lowercase();
        self.hints.iter().find(|h| words.contains(&h.says.to_lowercase())).map(|h| h.hint.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_table_and_every_table_a_kind() {
        let kinds = [AgentKind::ClaudeCode, AgentKind::Command];
        for kind in kinds {
            of(kind);
        }
        assert_eq!(all().count(), kinds.len());
    }

    #[test]
    fn a_program_that_can_be_missing_says_how_it_is_installed() {
        for (name, builtin) in all() {
            assert_eq!(builtin.program.is_some(), builtin.install.is_some(), "{name}");
        }
    }

    #[test]
    fn a_hint_is_found_by_the_words_of_the_failure() {
        let claude = of(AgentKind::ClaudeCode);
        assert!(claude.hint("x API Error: 401 {}").is_some_and(|h| h.contains("ANTHROPIC_API_KEY")));
        assert_eq!(claude.hint("something else"), None);
    }
}
