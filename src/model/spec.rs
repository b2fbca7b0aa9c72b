//! One task, frozen: what runs, how it is proved, how long it may take.
//!
//! Persisted as JSON inside the journal: fields are only ever added, each with a default.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Budget;
use crate::base::{Digest, EpicId, TaskId, sha256_hex, time::as_millis};

/// A task as approved at reconcile. Inheritance is resolved; texts still hold `${{ … }}`
/// names that only the run knows (see `subst`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// What its attempts may use together.
    #[serde(default)]
    pub budget: Budget,
    /// What each of them may use.
    #[serde(default)]
    pub attempt_budget: Budget,
    /// Whether an attempt that changed nothing counts as done.
    pub allow_empty: bool,
    /// Whether a person has to look at the work before it lands.
    #[serde(default)]
    pub approval: Approval,
    /// Globs that a diff of this task must not touch.
    pub protect: Vec<String>,
    /// Globs of all that a diff of this task may touch; empty for anything.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Globs of files whose content on the target, once it is another than the task landed on, makes
    /// it run again.
    #[serde(default)]
    pub inputs: Vec<String>,
    pub workspace: Workspace,
    /// Otherwise the task is not run, and what waits for it is held up.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Set for every command of the task.
    pub env: BTreeMap<String, String>,
    /// Names, or prefixes ending in `*`, of the variables inherited from Drover's environment.
    pub env_pass: Vec<String>,
    /// Where the task stands, for people.
    pub source: Source,
}

fn yes() -> bool {
    true
}

impl Spec {
    /// A task of that id with nothing to do, and in everything else as if its file said nothing.
    pub fn new(id: TaskId) -> Self {
        Self {
            id,
            title: String::new(),
            epic: None,
            digest: Digest::v1(b""),
            depends_on: Vec::new(),
            priority: 0,
            labels: Vec::new(),
            groups: Vec::new(),
            steps: Vec::new(),
            verify: Vec::new(),
            retry: Retry::default(),
            on_change: OnChange::Rerun,
            on_dependency: OnDependency::Keep,
            budget: Budget::default(),
            attempt_budget: Budget::default(),
            allow_empty: false,
            approval: Approval::None,
            protect: Vec::new(),
            paths: Vec::new(),
            inputs: Vec::new(),
            workspace: Workspace::Worktree,
            enabled: true,
            env: BTreeMap::new(),
            env_pass: Vec::new(),
            source: Source::default(),
        }
    }

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepSpec {
    /// The sub-task's full id, or the task's own.
    pub id: TaskId,
    pub title: String,
    pub action: Action,
    /// Checks of a sub-task, run on the tree it left. Empty for the task's own work: see `Spec::verify`.
    pub verify: Vec<Check>,
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
    /// No output for this long ends the step.
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub stall_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Prompt {
        text: String,
        agent: AgentSpec,
    },
    /// A line for `sh -c`.
    Shell(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSpec {
    /// The key under `[agents]`.
    pub name: String,
    pub kind: AgentKind,
    pub model: Option<String>,
    /// Appended to the command line.
    pub args: Vec<String>,
    /// For `AgentKind::Command`, what to run.
    pub command: Option<CommandLine>,
    /// What its program turns to by itself when the model cannot answer.
    #[serde(default)]
    pub fallback_model: Option<String>,
    /// Who does its work where it is stopped.
    #[serde(default)]
    pub fallback: Option<Box<AgentSpec>>,
}

impl AgentSpec {
    /// One with nothing said about it.
    pub fn new(name: impl Into<String>, kind: AgentKind) -> Self {
        Self { name: name.into(), kind, model: None, args: Vec::new(), command: None, fallback_model: None, fallback: None }
    }

    /// It, and those that do its work in turn.
    pub fn in_turn(&self) -> impl Iterator<Item = &AgentSpec> {
        std::iter::successors(Some(self), |agent| agent.fallback.as_deref())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    ClaudeCode,
    Codex,
    Gemini,
    Opencode,
    Copilot,
    Qwen,
    Amp,
    Command,
}

impl AgentKind {
    pub const ALL: [Self; 8] =
        [Self::ClaudeCode, Self::Codex, Self::Gemini, Self::Opencode, Self::Copilot, Self::Qwen, Self::Amp, Self::Command];

    /// As it is written in `drover.toml`.
    pub fn name(self) -> &'static str {
        match self {
            AgentKind::ClaudeCode => "claude-code",
            AgentKind::Codex => "codex",
            AgentKind::Gemini => "gemini",
            AgentKind::Opencode => "opencode",
            AgentKind::Copilot => "copilot",
            AgentKind::Qwen => "qwen",
            AgentKind::Amp => "amp",
            AgentKind::Command => "command",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommandLine {
    /// A program and its arguments, no shell.
    Argv(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
}

/// A command that must exit with 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub name: Option<String>,
    /// A line for `sh -c`.
    pub run: String,
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    /// The first attempt counts too; at least 1.
    pub max_attempts: u32,
    pub backoff: Backoff,
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub delay: Duration,
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    Exponential,
    Fixed,
}

/// What a moved digest means for a completed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    Rerun,
    Keep,
    Error,
}

/// What a dependency that ran again means for a completed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDependency {
    Rerun,
    Keep,
}

/// Whether verified work waits for a person before it lands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    #[default]
    None,
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workspace {
    Worktree,
    /// In the user's checkout: no isolation, nothing committed, completion known to the store alone.
    Checkout,
}

/// A place in a task file; lines and columns count from 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Relative to the project's root.
    pub file: String,
    pub line: u32,
    pub column: u32,
}
