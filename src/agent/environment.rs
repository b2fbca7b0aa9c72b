//! What a child inherits: an allow-list, so that a secret nobody named does not reach an agent.

use std::collections::BTreeMap;

use super::builtin;
use crate::model::Spec;

/// They point git elsewhere than the worktree, and stand in the environment of every git hook.
const GIT: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// The whole environment of a child of this task; nothing else may be inherited. Later wins: what
/// `env_pass` lets through of `inherited`, the agent's `additions`, the task's own `env`.
///
/// A name that would tie the child to where Drover was started (see `GIT`, and `not_inherited` in
/// `builtin.toml`) passes only when `env_pass` names it in full.
pub fn environment(
    task: &Spec,
    additions: &BTreeMap<String, String>,
    inherited: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let passed = inherited.filter(|(name, _)| task.env_pass.iter().any(|pattern| passes(pattern, name)));
    let added = additions.iter().chain(&task.env).map(|(k, v)| (k.clone(), v.clone()));
    passed.chain(added).collect()
}

fn passes(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix) && !ties(name),
        None => pattern == name,
    }
}

fn ties(name: &str) -> bool {
    GIT.contains(&name) || builtin::all().any(|(_, b)| b.not_inherited.iter().any(|n| n == name))
}
