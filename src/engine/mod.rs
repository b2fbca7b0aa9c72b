//! The only place where the core meets I/O: driver, effects, steps, signals, clock.
//!
//! Decides nothing: the core does. Knows no arguments, no exit codes and no terminal.

pub mod driver;
mod effects;
pub mod inputs;
pub mod machine;
pub mod orphans;
pub mod outward;
pub mod preflight;
pub mod recall;
pub mod room;
pub mod session;
pub mod slots;
mod steps;

pub use effects::{Reading, Workplace};
pub use steps::{Place, secrets, to_be_sent};
