//! The only place where the core meets I/O: driver, effects, steps, signals, clock.
//!
//! Decides nothing: the core does. Knows no arguments, no exit codes and no terminal.

pub mod driver;
mod effects;
pub mod machine;
pub mod preflight;
pub mod session;
mod steps;
