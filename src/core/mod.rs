//! The scheduler: what was decided, what follows, what the world still owes.
//!
//! Pure and synchronous: no clock, no randomness, no I/O. Time comes in with each input.
//!
//! - [`decide`] turns one [`Input`] into [`Fact`]s, applying each as it goes.
//! - [`State::apply`] folds one fact into the state. It is the one place that changes a state,
//!   and the one that refuses an illegal transition.
//! - [`State::outstanding`] derives from the state alone which [`Command`]s the world owes an
//!   answer to. It is never stored, so that start-up and recovery are the same thing.
//! - [`view`] says what a person is shown.
//!
//! The caller commits the facts, and only then carries out what is outstanding.

mod apply;
mod decide;
mod fact;
mod index;
mod outstanding;
mod state;
mod task;
pub mod view;

pub use apply::Illegal;
pub use decide::{POISON, decide};
pub use fact::{Answer, Change, Exit, Fact, Failure, FailureClass, Input, Outcome, Recalled, Snap};
pub use outstanding::Command;
pub use state::{Attempt, Block, Carry, Completion, Due, Flow, Header, Limits, Line, Phase, Publish, Run, Selection, State, Step, Task};
