//! What is known of each kind of agent: `builtin.toml`, as types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::core::{FailureClass, HoldKind};
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
    pub fallback_model: Vec<String>,
    #[serde(default)]
    pub session: Vec<String>,
    #[serde(default)]
    pub resume: Vec<String>,
    pub no_conversation: Option<String>,
    #[serde(default)]
    pub max_cost: Vec<String>,
    #[serde(default)]
    pub max_turns: Vec<String>,
    pub output: Output,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub not_inherited: Vec<String>,
    pub login: Option<LoginSigns>,
    #[serde(default, rename = "sign")]
    pub signs: Vec<Sign>,
}

/// How standard output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Text for people; the exit code is all there is to go by.
    Plain,
    /// JSON lines; the last one of type `result` says how it went.
    ClaudeStreamJson,
    CodexJson,
    GeminiStreamJson,
    OpencodeJson,
    CopilotJson,
}

/// How it shows that somebody is logged in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginSigns {
    #[serde(default)]
    pub variables: Vec<String>,
    #[serde(default)]
    pub check: Vec<String>,
    #[serde(default)]
    pub files: Vec<String>,
    pub hint: String,
}

/// What the words of a failure mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    pub says: String,
    /// Its service refuses everybody.
    pub holds: Option<HoldKind>,
    /// The task's own trouble.
    pub fails: Option<FailureClass>,
    /// What to do about it.
    pub hint: Option<String>,
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
        self.signs(words).find_map(|s| s.hint.as_deref())
    }

    /// The signs in the words of a failure.
    pub fn signs(&self, words: &str) -> impl Iterator<Item = &Sign> {
        let words = words.to_lowercase();
        self.signs.iter().filter(move |s| words.contains(&s.says.to_lowercase()))
    }

    /// Whether the caller chooses the id of a conversation; else it is the agent's to choose.
    pub fn names_conversations(&self) -> bool {
        !self.session.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_table_and_every_table_a_kind() {
        for kind in AgentKind::ALL {
            of(kind);
        }
        assert_eq!(all().count(), AgentKind::ALL.len());
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
