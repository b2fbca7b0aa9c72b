//! The names of events: what a webhook or a command can ask for.

use super::fact::Fact;

/// All of them.
pub const NAMES: &[&str] = &[
    "agent_ended",
    "all_suspended",
    "approval_asked",
    "approved",
    "attempt_failed",
    "blocked",
    "blocked_externally",
    "cancelled",
    "check_excused",
    "check_failed",
    "check_passed",
    "claimed",
    "cleaned",
    "committed",
    "compared",
    "defined",
    "delayed",
    "done",
    "due",
    "elsewhere",
    "end_asked",
    FAILED,
    "git_changed",
    "held",
    "hinted",
    "interrupted",
    "land_intent",
    "landed",
    "lane_lost",
    "lane_taken",
    "limited",
    "line_synced",
    "marked",
    "moved",
    "over_budget",
    "pause_moved",
    "policy_set",
    "prepared",
    "publish_asked",
    "publish_due",
    "publish_held",
    "published",
    "push_due",
    "push_held",
    "pushed",
    "recalled",
    "remote_seen",
    "removed",
    "reset",
    "restored",
    "retried",
    "reverted",
    "run_began",
    "run_ended",
    "selected",
    "snapshotted",
    "superseded",
    "suspended",
    "time_up",
    "verified",
    "withdrawn",
];

/// An attempt that failed and is the last one.
pub const FAILED: &str = "failed";

/// What is told unless something else is asked for: what is done, and what waits for a person.
pub const NEWS: &[&str] = &[
    "landed",
    "done",
    FAILED,
    "blocked",
    "blocked_externally",
    "approval_asked",
    "over_budget",
    "publish_held",
    "push_held",
    "git_changed",
    "run_ended",
];

/// What a desktop shows.
pub const DESKTOP: &[&str] = &[FAILED, "blocked", "blocked_externally", "approval_asked", "over_budget", "git_changed", "run_ended"];

impl Fact {
    /// Which event it is: the fact's own name, but for an attempt that failed and is not followed by another.
    pub fn event(&self) -> String {
        if matches!(self, Fact::AttemptFailed { retry: None, .. }) {
            return FAILED.to_owned();
        }
        let value = serde_json::to_value(self).ok();
        let name = value.as_ref().and_then(|v| v.get("fact")).and_then(serde_json::Value::as_str);
        name.unwrap_or_default().to_owned()
    }
}
