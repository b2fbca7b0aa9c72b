//! What agents used, as far as they say: tokens, turns and money. Only ever summed.

use std::ops::{AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Neither read from a cache nor written into one.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// Millionths of a dollar.
    pub cost_microusd: u64,
    /// Answers of the model.
    pub turns: u64,
    /// Milliseconds that it ran.
    pub millis: u64,
}

impl Usage {
    /// What counts against a budget: all but what was read from a cache, which costs next to nothing.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.cache_write_tokens)
    }
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let add = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        add(&mut self.input_tokens, other.input_tokens);
        add(&mut self.output_tokens, other.output_tokens);
        add(&mut self.cache_read_tokens, other.cache_read_tokens);
        add(&mut self.cache_write_tokens, other.cache_write_tokens);
        add(&mut self.cost_microusd, other.cost_microusd);
        add(&mut self.turns, other.turns);
        add(&mut self.millis, other.millis);
    }
}

impl Sub for Usage {
    type Output = Self;

    /// What came to it, never less than nothing.
    fn sub(self, before: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(before.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(before.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_sub(before.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_sub(before.cache_write_tokens),
            cost_microusd: self.cost_microusd.saturating_sub(before.cost_microusd),
            turns: self.turns.saturating_sub(before.turns),
            millis: self.millis.saturating_sub(before.millis),
        }
    }
}
