//! When something is to happen.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Millis;

/// A time by the wall clock, and how far off it was when it was set: should the clock jump,
/// the wait is never longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Due {
    pub at: Millis,
    /// Milliseconds.
    pub length: u64,
}

impl Due {
    pub fn after(now: Millis, wait: Duration) -> Self {
        Self { at: now.after(wait), length: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
    }
    pub fn is_over(&self, now: Millis) -> bool {
        now >= self.at || self.at.0.saturating_sub(now.0) > self.length
    }
}
