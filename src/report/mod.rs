//! Readers of plans, state and facts: text for people, JSON for programs, a live account of a
//! run, the event file, the page that a run is reported on.
//!
//! Nothing here decides or changes anything. What a reader fails at (a closed pipe, a full
//! disk) becomes one warning and never a broken run. Everything that came from files, agents
//! or git goes through `base::text` before it reaches a terminal.
//!
//! Must not know how facts are made or kept, nor read files, clocks or the environment:
//! whether to use colour is the caller's decision.

mod account;
pub mod chronicle;
pub mod ci;
pub mod events;
mod explain;
pub mod graph;
pub mod html;
pub mod json;
mod junit;
mod markdown;
pub mod page;
mod style;
pub mod terminal;
pub mod text;
mod veil;
mod words;

use crate::agent::Heard;
use crate::base::{Millis, TaskId};
use crate::core::{Fact, State};

pub use account::Account;
pub use events::Events;
pub use explain::Explained;
pub use junit::junit;
pub use terminal::{Level, Terminal, sentence};
pub use text::Heading;
pub use veil::{SecretsOf, Veil};
pub use words::time;

/// Hears of every fact once it is committed, in order. The state may already be further on
/// than the fact: facts are committed in batches.
pub trait Reporter: Send {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact);
    /// What an agent is doing just now. Not a fact: nobody keeps it.
    fn activity(&mut self, _state: &State, _at: Millis, _activity: &Activity) {}
    /// Whether [`tick`](Self::tick) is of any use.
    fn shows_time(&self) -> bool {
        false
    }
    /// A second has passed.
    fn tick(&mut self, _state: &State, _at: Millis) {}
    /// Nothing more is told, and the store is about to be closed. The state is that of the end; there is
    /// none where the session was stopped by trouble.
    fn end(&mut self, _state: Option<&State>) {}
    /// What went wrong with the reporting itself, if anything did.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// What an agent is doing.
#[derive(Clone, Debug)]
pub struct Activity {
    pub task: TaskId,
    pub heard: Heard,
}

/// Tells each of several reporters.
#[derive(Default)]
pub struct Reporters(pub Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Tells of what was committed without a run; `state` is that after the last fact.
    pub fn all(&mut self, state: &State, at: Millis, facts: &[Fact]) {
        let first = state.head.seq + 1 - facts.len() as u64;
        (first..).zip(facts).for_each(|(seq, fact)| self.fact(state, seq, at, fact));
    }
    pub fn warnings(&self) -> Vec<String> {
        self.0.iter().filter_map(|r| r.warning()).collect()
    }
}

impl Reporter for Reporters {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact) {
        self.0.iter_mut().for_each(|r| r.fact(state, seq, at, fact));
    }
    fn activity(&mut self, state: &State, at: Millis, activity: &Activity) {
        self.0.iter_mut().for_each(|r| r.activity(state, at, activity));
    }
    fn shows_time(&self) -> bool {
        self.0.iter().any(|r| r.shows_time())
    }
    fn tick(&mut self, state: &State, at: Millis) {
        self.0.iter_mut().for_each(|r| r.tick(state, at));
    }
    fn end(&mut self, state: Option<&State>) {
        self.0.iter_mut().for_each(|r| r.end(state));
    }
    fn warning(&self) -> Option<String> {
        let all = self.warnings();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
