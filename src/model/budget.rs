//! How much may be used: money, tokens, turns, time. What is not given is not limited.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Budget {
    /// Millionths of a dollar.
    pub cost_microusd: Option<u64>,
    /// All but what is read from a cache.
    pub tokens: Option<u64>,
    pub turns: Option<u64>,
    /// Milliseconds that agents and commands run.
    pub millis: Option<u64>,
}

impl Budget {
    /// Whatever of the two is less.
    pub fn least(self, other: Budget) -> Budget {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Budget {
            cost_microusd: least(self.cost_microusd, other.cost_microusd),
            tokens: least(self.tokens, other.tokens),
            turns: least(self.turns, other.turns),
            millis: least(self.millis, other.millis),
        }
    }

    /// What is not given here is as in `below`.
    pub fn over(self, below: &Budget) -> Budget {
        Budget {
            cost_microusd: self.cost_microusd.or(below.cost_microusd),
            tokens: self.tokens.or(below.tokens),
            turns: self.turns.or(below.turns),
            millis: self.millis.or(below.millis),
        }
    }
}
