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

mod about;
mod advance;
mod again;
mod answer;
mod apply;
mod approval;
mod budget;
mod control;
mod decide;
mod desired;
mod due;
pub mod events;
mod fact;
mod follow;
mod gate;
mod hint;
mod index;
mod mark;
mod next;
mod outcome;
mod outstanding;
mod pause;
mod push;
mod reverts;
mod selection;
mod stand_in;
mod state;
mod suspend;
mod task;
mod usage;
pub mod view;
mod wish;
mod withdraw;

pub use answer::Answer;
pub use apply::Illegal;
pub use control::{Act, Heed, Order};
pub use decide::{POISON, decide, decide_all};
pub use fact::{Change, Fact, Input, Recalled};
pub use gate::{Baseline, Blemishes, Excuse, Red};
pub use hint::{Hint, Hinted};
pub use mark::Mark;
pub use outcome::{Conflicted, Exit, Failure, FailureClass, FollowUp, Left, Outcome, Snap, Thread};
pub use outstanding::Command;
pub use pause::{Hold, HoldKind, Pause, Stage};
pub use push::{Again, Asked, Elsewhere, Line, Outward, Publish, Push, Remote};
pub use state::{Attempt, Block, Carry, Completion, Due, Flow, Header, Limits, Phase, Run, Selection, State, Step, Task};
pub use task::Conversation;
pub use usage::Usage;
pub use wish::Wish;
pub use withdraw::Ending;
