//! What holds for the whole project: limits, the landing lane, worktrees.

use std::collections::BTreeMap;
use std::time::Duration;

use globset::GlobSet;

use crate::base::EpicId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notices::Notices;
use super::spec::Check;
use super::telemetry::Telemetry;
use crate::base::time::as_millis;

/// Frozen at reconcile beside the specs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The project's name, for people and for directories.
    pub project: String,
    /// Goes into every agent's prompt.
    pub guidelines: String,
    /// The project's own templates of prompts.
    #[serde(default)]
    pub prompts: Prompts,
    /// Attempts at a time; at least 1.
    pub workers: u32,
    /// After the first task that fails for good, claim nothing more.
    pub fail_fast: bool,
    /// A run that lasts longer claims nothing more.
    pub max_time: Option<Millis64>,
    /// The longest wait for an agent that is rate limited, overloaded or cut off; 0 for none at all.
    #[serde(default = "max_pause")]
    pub max_pause: Millis64,
    /// What a run may use.
    #[serde(default)]
    pub budget: super::Budget,
    /// What all tasks of an epic may use together.
    #[serde(default)]
    pub epic_budgets: BTreeMap<EpicId, super::Budget>,
    /// Between SIGTERM and SIGKILL.
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub shutdown_grace: Duration,
    /// `[groups.*] max_parallel`.
    pub groups: BTreeMap<String, u32>,
    /// `[agents.*] max_parallel`, where stated.
    pub agents: BTreeMap<String, u32>,
    pub merge: MergePolicy,
    pub worktree: WorktreePolicy,
    #[serde(default)]
    pub logs: LogPolicy,
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Who outside is told.
    #[serde(default)]
    pub notices: Notices,
    /// As in `Spec`, for what is run for no task: `[defaults] env` and `env_pass`.
    pub env: BTreeMap<String, String>,
    pub env_pass: Vec<String>,
}

fn max_pause() -> Millis64 {
    6 * 3600 * 1000
}

/// What is kept of what commands print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogPolicy {
    /// In bytes: of each stream of a step twice as much is kept at most.
    pub max_size: u64,
    /// Globs for the names of variables whose values stand in no log.
    pub redact: Vec<String>,
}

/// Names that say what they hold.
pub const REDACT: &[&str] = &["*_KEY", "*_TOKEN", "*_SECRET", "*_PASSWORD", "*_CREDENTIALS"];
pub const MAX_LOG: &str = "64MiB";

impl LogPolicy {
    /// The names of variables whose values are shown nowhere.
    pub fn secret_names(&self) -> GlobSet {
        let mut set = GlobSet::builder();
        // The files were checked; what an old record holds that is no glob names nothing.
        for glob in self.redact.iter().filter_map(|glob| globset::Glob::new(glob).ok()) {
            set.add(glob);
        }
        set.build().unwrap_or_default()
    }
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self { max_size: 64 << 20, redact: REDACT.iter().map(|name| (*name).to_owned()).collect() }
    }
}

/// Templates in place of the built-in ones, frozen as they were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prompts {
    #[serde(default)]
    pub task: Option<Template>,
    #[serde(default)]
    pub resume: Option<Template>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Template {
    /// Where it is from, for people: relative to the project's root.
    pub file: String,
    pub text: String,
}

/// A duration in milliseconds.
pub type Millis64 = u64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MergePolicy {
    /// Must pass on every tree that lands.
    pub verify: Vec<Check>,
    pub on_conflict: OnConflict,
    /// A check that fails without the work too does not count, and one that fails is run again.
    #[serde(default)]
    pub baseline: bool,
    #[serde(default)]
    pub strategy: Strategy,
    /// Run the repository's commit hooks on each task's commit.
    #[serde(default)]
    pub hooks: bool,
    /// The remote that what lands is pushed to; empty for none.
    #[serde(default)]
    pub push: String,
    /// The longest that one push or fetch may take.
    #[serde(default = "push_timeout", with = "as_millis")]
    #[schemars(with = "u64")]
    pub push_timeout: Duration,
}

fn push_timeout() -> Duration {
    Duration::from_secs(60)
}

/// What a task's work looks like once it has landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A merge commit, with the attempt's commits below it.
    #[default]
    Merge,
    /// One commit.
    Squash,
    /// The attempt's commits, one by one.
    Rebase,
    /// As `Merge`, on the line alone: a branch of its own instead of the target shows the work.
    Branch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// A new attempt on the new tip, told of the conflict.
    Retry,
    /// Stop for a person.
    Block,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorktreePolicy {
    /// Where worktrees are made; empty for the default outside the checkout.
    pub dir: String,
    /// Lines for `sh -c`, run in order when a worktree is created.
    pub setup: Vec<Check>,
    /// Files that `setup` depends on, by their paths.
    #[serde(default)]
    pub setup_inputs: Vec<String>,
    /// A file in gitignore syntax naming the ignored files to copy in.
    pub include: String,
    /// Use the worktree of an attempt that has ended for the next one, git-ignored files and all.
    #[serde(default = "yes")]
    pub reuse: bool,
    /// In bytes: no attempt gets a worktree while all of them take as much, unless it is alone.
    #[serde(default)]
    pub max_disk: Option<u64>,
}

fn yes() -> bool {
    true
}

impl Default for WorktreePolicy {
    fn default() -> Self {
        let include = ".worktreeinclude".into();
        Self { dir: String::new(), setup: Vec::new(), setup_inputs: Vec::new(), include, reuse: true, max_disk: None }
    }
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self {
            verify: Vec::new(),
            on_conflict: OnConflict::Retry,
            baseline: false,
            strategy: Strategy::Merge,
            hooks: false,
            push: String::new(),
            push_timeout: push_timeout(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            project: "project".into(),
            guidelines: String::new(),
            prompts: Prompts::default(),
            workers: 4,
            fail_fast: false,
            max_time: None,
            max_pause: max_pause(),
            budget: Default::default(),
            epic_budgets: BTreeMap::new(),
            shutdown_grace: Duration::from_secs(5),
            groups: BTreeMap::new(),
            agents: BTreeMap::new(),
            merge: MergePolicy::default(),
            worktree: WorktreePolicy::default(),
            logs: LogPolicy::default(),
            telemetry: Telemetry::default(),
            notices: Notices::default(),
            env: BTreeMap::new(),
            env_pass: Vec::new(),
        }
    }
}
