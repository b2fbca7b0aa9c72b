//! What brings a letter to its receiver.

use std::time::Duration;

use super::letter::Letter;

pub trait Carrier: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;
    /// One try; it takes as long as it may take, and no longer.
    fn deliver(&self, letter: &Letter) -> Outcome;
    /// What is under way is not worth waiting for any more.
    fn stop(&self) {}
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// It was brought there, and will not do, and why: no further try is made.
    Refused(String),
    /// It was not brought there, or that is not known; `wait` is what was asked for.
    Failed {
        why: String,
        wait: Duration,
    },
}
