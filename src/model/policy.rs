//! What holds for the whole project: limits, the landing lane, worktrees.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spec::Check;
use crate::base::time::as_millis;

/// Frozen at reconcile beside the specs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The project's name, for people and for directories.
    pub project: String,
    /// Goes into every agent's prompt.
    pub guidelines: String,
    /// Attempts at a time; at least 1.
    pub workers: u32,
    /// After the first task that fails for good, claim nothing more.
    pub fail_fast: bool,
    /// A run that lasts longer claims nothing more.
    pub max_time: Option<Millis64>,
    /// Between SIGTERM and SIGKILL.
    #[serde(with = "as_millis")]
    pub shutdown_grace: Duration,
    /// `[groups.*] max_parallel`.
    pub groups: BTreeMap<String, u32>,
    /// `[agents.*] max_parallel`, where stated.
    pub agents: BTreeMap<String, u32>,
    pub merge: MergePolicy,
    pub worktree: WorktreePolicy,
    /// As in `Spec`, for what is run for no task: `[defaults] env` and `env_pass`.
    pub env: BTreeMap<String, String>,
    pub env_pass: Vec<String>,
}

/// A duration in milliseconds.
pub type Millis64 = u64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergePolicy {
    /// Must pass on every tree that lands.
    pub verify: Vec<Check>,
    pub on_conflict: OnConflict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// A new attempt on the new tip, told of the conflict.
    Retry,
    /// Stop for a person.
    Block,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorktreePolicy {
    /// Where worktrees are made; empty for the default outside the checkout.
    pub dir: String,
    /// Lines for `sh -c`, run in order when a worktree is created.
    pub setup: Vec<Check>,
    /// A file in gitignore syntax naming the ignored files to copy in.
    pub include: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            project: "project".into(),
            guidelines: String::new(),
            workers: 4,
            fail_fast: false,
            max_time: None,
            shutdown_grace: Duration::from_secs(5),
            groups: BTreeMap::new(),
            agents: BTreeMap::new(),
            merge: MergePolicy { verify: Vec::new(), on_conflict: OnConflict::Retry },
            worktree: WorktreePolicy { dir: String::new(), setup: Vec::new(), include: ".worktreeinclude".into() },
            env: BTreeMap::new(),
            env_pass: Vec::new(),
        }
    }
}
