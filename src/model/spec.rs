//! One task, frozen: what runs, how it is proved, how long it may take.
//!
//! Persisted as JSON inside the journal: fields are only ever added, each with a default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, EpicId, TaskId, sha256_hex, time::as_millis};

/// A task as approved at reconcile. Inheritance is resolved; texts still hold `${{ … }}`
/// names that only the run knows (see `subst`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub id: TaskId,
    pub title: String,
    pub epic: Option<EpicId>,
    /// Of the definition alone; see `digest`. A moved digest is what makes finished work stale.
    pub digest: Digest,
    /// Direct dependencies.
    pub depends_on: Vec<TaskId>,
    /// Higher first; decides only among ready tasks.
    pub priority: i64,
    pub labels: Vec<String>,
    pub groups: Vec<String>,
    /// Sub-tasks in file order, then the task's own work. Never empty; they share a worktree.
    pub steps: Vec<StepSpec>,
    /// Must pass on the tree that lands.
    pub verify: Vec<Check>,
    pub retry: Retry,
    pub on_change: OnChange,
    pub on_dependency: OnDependency,
    /// Whether an attempt that changed nothing counts as done.
    pub allow_empty: bool,
    /// Globs that a diff of this task must not touch.
    pub protect: Vec<String>,
    pub workspace: Workspace,
    /// Set for every command of the task.
    pub env: BTreeMap<String, String>,
    /// Names, or prefixes ending in `*`, of the variables inherited from Drover's environment.
    pub env_pass: Vec<String>,
    /// Where the task stands, for people.
    pub source: Source,
}

impl Spec {
    /// The agents, by their names in `drover.toml`, that this task uses.
    pub fn agents(&self) -> impl Iterator<Item = &AgentSpec> {
        self.steps.iter().filter_map(|s| match &s.action {
            Action::Prompt { agent, .. } => Some(agent),
            Action::Shell(_) => None,
        })
    }

    /// What must pass on the tree that step `n` left. The last step's tree is the task's own.
    pub fn checks_after(&self, n: usize) -> Vec<&Check> {
        let own = self.steps.get(n).map(|s| s.verify.as_slice()).unwrap_or_default();
        let whole = if n + 1 == self.steps.len() { self.verify.as_slice() } else { &[] };
        own.iter().chain(whole).collect()
    }
}

/// One sub-task, or the task's own work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The sub-task's full id, or the task's own.
    pub id: TaskId,
    pub title: String,
    pub action: Action,
    /// Checks of a sub-task, run on the tree it left. Empty for the task's own work: see `Spec::verify`.
    pub verify: Vec<Check>,
    #[serde(with = "as_millis")]
    pub timeout: Duration,
    /// No output for this long ends the step.
    #[serde(with = "as_millis")]
    pub stall_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Prompt {
        text: String,
        agent: AgentSpec,
    },
    /// A line for `sh -c`.
    Shell(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// The key under `[agents]`.
    pub name: String,
    pub kind: AgentKind,
    pub model: Option<String>,
    /// Appended to the command line.
    pub args: Vec<String>,
    /// For `AgentKind::Command`, what to run.
    pub command: Option<CommandLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    ClaudeCode,
    Command,
}

impl AgentKind {
    /// As it is written in `drover.toml`.
    pub fn name(self) -> &'static str {
        match self {
            AgentKind::ClaudeCode => "claude-code",
            AgentKind::Command => "command",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandLine {
    /// A program and its arguments, no shell.
    Argv(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
}

/// A command that must exit with 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: Option<String>,
    /// A line for `sh -c`.
    pub run: String,
    #[serde(with = "as_millis")]
    pub timeout: Duration,
}

impl Check {
    /// What it is called in messages.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.run)
    }
    /// Names the command in proofs: two checks that run the same line prove the same.
    pub fn key(&self) -> String {
        sha256_hex(self.run.as_bytes())[..16].to_owned()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// The first attempt counts too; at least 1.
    pub max_attempts: u32,
    pub backoff: Backoff,
    #[serde(with = "as_millis")]
    pub delay: Duration,
    #[serde(with = "as_millis")]
    pub max_delay: Duration,
    pub jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::Exponential,
            delay: Duration::from_secs(30),
            max_delay: Duration::from_secs(600),
            jitter: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    Exponential,
    Fixed,
}

/// What a moved digest means for a completed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    Rerun,
    Keep,
    Error,
}

/// What a dependency that ran again means for a completed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDependency {
    Rerun,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workspace {
    Worktree,
    /// In the user's checkout: no isolation, nothing committed, completion known to the store alone.
    Checkout,
}

/// A place in a task file; lines and columns count from 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Relative to the project's root.
    pub file: String,
    pub line: u32,
    pub column: u32,
}
