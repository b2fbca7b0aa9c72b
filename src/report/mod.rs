//! Readers of plans, state and facts: text for people, JSON for programs, a live account of a
//! run, the event file.
//!
//! Nothing here decides or changes anything. What a reader fails at (a closed pipe, a full
//! disk) becomes one warning and never a broken run. Everything that came from files, agents
//! or git goes through `base::text` before it reaches a terminal.
//!
//! Must not know how facts are made or kept, nor read files, clocks or the environment:
//! whether to use colour is the caller's decision.

pub mod events;
pub mod json;
mod style;
pub mod terminal;
pub mod text;
mod words;

use crate::base::Millis;
use crate::core::{Fact, State};

pub use events::Events;
pub use terminal::{Level, Terminal};
pub use text::Heading;

/// Hears of every fact once it is committed, in order. The state may already be further on
/// than the fact: facts are committed in batches.
pub trait Reporter: Send {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact);
    /// What went wrong with the reporting itself, if anything did.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// Tells each of several reporters.
#[derive(Default)]
pub struct Reporters(pub Vec<Box<dyn Reporter>>);

impl Reporters {
    pub fn warnings(&self) -> Vec<String> {
        self.0.iter().filter_map(|r| r.warning()).collect()
    }
}

impl Reporter for Reporters {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact) {
        self.0.iter_mut().for_each(|r| r.fact(state, seq, at, fact));
    }
    fn warning(&self) -> Option<String> {
        let all = self.warnings();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
