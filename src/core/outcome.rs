//! What a step came to: how its process ended, the files it left, and why it did not succeed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pause::Hold;
use super::usage::Usage;
use crate::base::{Aid, Oid};

/// How a step's process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    pub outcome: Outcome,
    /// The agent's own words, bounded; goes into the commit's body.
    pub summary: String,
    /// Further work that it came upon; nobody acts on it but people.
    #[serde(default, skip_serializing_if = "<[FollowUp]>::is_empty")]
    pub follow_up: Box<[FollowUp]>,
    /// What it used, as far as it said.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// The conversation, where the agent itself named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Box<Thread>>,
}

/// A conversation by the name that the agent gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    pub id: String,
    /// What all of it used, with agents that say only that.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub used: Usage,
}

impl Exit {
    /// One without words.
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, summary: String::new(), follow_up: Box::default(), usage: Usage::default(), thread: None }
    }

    /// Of a conversation that was gone on with, and had used so much, only what is new counts.
    pub fn since(&mut self, before: Usage) {
        let Some(thread) = &mut self.thread else { return };
        match thread.used {
            // It was ended before it said so.
            used if used.is_zero() => thread.used = before,
            used => self.usage = used - before,
        }
    }
}

/// Work that is not part of a task, and that its agent found should be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowUp {
    pub title: String,
    #[serde(default)]
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed(Failure),
    /// Killed, rebooted, drained: uses no attempt.
    Interrupted,
    /// Its service would not have anybody work now: uses no attempt either.
    Held(Hold),
    /// It says that something outside keeps it from the task, and what: uses no attempt, and waits for a person.
    Blocked(String),
}

/// The files a step left, kept in git.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snap {
    pub tree: Oid,
    /// A commit of that tree, anchored by a ref of the attempt.
    pub commit: Oid,
    /// The tree is the one the attempt started from.
    pub unchanged: bool,
    /// What makes the tree unfit to land (a protected path, a tampered link).
    pub problem: Option<Failure>,
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub class: FailureClass,
    /// One or more lines: what happened, and where to look.
    pub message: String,
    /// The end of the output that shows it, for people and for the next attempt.
    #[serde(default)]
    pub tail: String,
    /// The paths it is about, where it is about paths; bounded.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Where the whole output is kept, below the state directory; empty for nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl Failure {
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), tail: String::new(), paths: Vec::new(), log: String::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The agent or command said so, by exit code or result.
    Agent,
    Timeout,
    Stall,
    Verify,
    /// Nothing was changed where a change was expected.
    Empty,
    Protected,
    /// It went beyond the task's `paths`.
    Scope,
    Tampered,
    NestedRepository,
    /// The repository's commit hooks refused it.
    Hook,
    Conflict,
    Setup,
    /// The project's template makes no prompt of it.
    Prompt,
    /// What it was told and did is more than its model can hold.
    ContextTooLong,
    /// It took as many turns as it may.
    TurnLimit,
    /// It said that something outside keeps it from the task. Never counted.
    External,
    /// A person looked at the work and did not want it.
    Rejected,
    /// It cost as much as it may.
    CostLimit,
    /// Interrupted or in trouble too often without progress.
    Poison,
    /// A bug of Drover's own.
    Bug,
}

impl FailureClass {
    /// As it is recorded, such as `verify`.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What an attempt that failed left in git, for the next one to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    pub aid: Aid,
    /// What it began from.
    pub base: Oid,
    /// Its last step that ended, and the commit of the files as it left them.
    pub n: usize,
    pub commit: Oid,
    /// The agents' own words.
    pub summary: String,
}

/// Work that was good by itself and did not merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflicted {
    pub aid: Aid,
    /// What it began from.
    pub base: Oid,
    pub commit: Oid,
    /// The agents' own words.
    pub summary: String,
    pub paths: Vec<String>,
}
