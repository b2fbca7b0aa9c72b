//! What was used, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::core::Usage;

/// As far as agents say it.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Usage")]
pub struct UsageJson {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    turns: u64,
    /// That agents and commands ran.
    seconds: f64,
    cost_usd: f64,
}

pub fn usage(usage: &Usage) -> UsageJson {
    UsageJson {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        turns: usage.turns,
        seconds: usage.millis as f64 / 1e3,
        cost_usd: usage.cost_microusd as f64 / 1e6,
    }
}
