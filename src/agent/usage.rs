//! What an agent used, from its own lines: exact where it sums up, and counted answer by answer
//! where it was ended before it could.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::core::Usage;

/// So many answers are told apart; those before count all the same.
const MAX_ANSWERS: usize = 4096;

/// The use of one answer, as the API says it.
#[derive(Deserialize, Default)]
pub(super) struct Answer {
    #[serde(default)]
    pub input_tokens: Option<u64>,
    #[serde(default)]
    pub output_tokens: Option<u64>,
    #[serde(default)]
    pub cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    pub cache_read_input_tokens: Option<u64>,
}

/// The use of one model since the last result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfModel {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: u64,
    #[serde(default, rename = "costUSD")]
    cost_usd: f64,
}

impl From<Answer> for Usage {
    fn from(answer: Answer) -> Self {
        Usage {
            input_tokens: answer.input_tokens.unwrap_or(0),
            output_tokens: answer.output_tokens.unwrap_or(0),
            cache_read_tokens: answer.cache_read_input_tokens.unwrap_or(0),
            cache_write_tokens: answer.cache_creation_input_tokens.unwrap_or(0),
            ..Usage::default()
        }
    }
}

impl From<&OfModel> for Usage {
    fn from(of: &OfModel) -> Self {
        Usage {
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
            cache_read_tokens: of.cache_read_input_tokens,
            cache_write_tokens: of.cache_creation_input_tokens,
            cost_microusd: microusd(of.cost_usd),
            ..Usage::default()
        }
    }
}

/// Nonsense costs nothing.
pub(super) fn microusd(usd: f64) -> u64 {
    // A cast of a float saturates, and takes what is no number for 0.
    (usd * 1e6).round() as u64
}

/// The sum over models.
pub(super) fn of_models<'a>(models: impl Iterator<Item = &'a OfModel>) -> Usage {
    models.fold(Usage::default(), |mut sum, of| {
        sum += of.into();
        sum
    })
}

/// What a line says was used.
#[derive(Clone, Debug, PartialEq)]
pub enum Used {
    /// By the answer of that id: it comes in several lines, which all say the same.
    Answer(String, Usage),
    /// Since the last result.
    Since(Usage),
    /// By the whole conversation, what was said before it was gone on with included.
    Total(Usage),
}

#[derive(Clone, Default)]
pub(super) struct Meter {
    done: Usage,
    /// Since the last result.
    open: BTreeMap<String, Usage>,
    total: Option<Usage>,
}

impl Meter {
    pub fn add(&mut self, used: Used) {
        match used {
            Used::Answer(id, usage) => {
                if self.open.len() == MAX_ANSWERS {
                    self.settle();
                }
                self.open.insert(id, Usage { turns: 1, ..usage });
            }
            // It sums up what was used since the one before it.
            Used::Since(usage) => {
                let turns = self.open.len() as u64;
                self.open.clear();
                self.done += Usage { turns, ..usage };
            }
            Used::Total(usage) => self.total = Some(usage),
        }
    }

    /// A result came: what it did not sum up counts as it was said.
    pub fn settle(&mut self) {
        for usage in std::mem::take(&mut self.open).into_values() {
            self.done += usage;
        }
    }

    /// Of the whole conversation, where that is what the agent says.
    pub fn conversation(&self) -> Option<Usage> {
        self.total
    }

    pub fn total(mut self) -> Usage {
        self.settle();
        self.total.unwrap_or(self.done)
    }
}
