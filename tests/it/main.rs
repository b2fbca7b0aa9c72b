//! One binary for all integration tests: building is the slow part.

#![expect(clippy::disallowed_methods, reason = "tests read the environment, start programs and watch the clock")]

mod agent;
mod apply;
mod bad_input;
mod claude;
mod core;
mod docs;
mod durability;
mod examples;
mod files;
mod fixture;
mod git;
mod hostile;
mod kill;
mod process;
mod report;
mod scripted_api;
mod sim;
mod store;
mod sync;
#[path = "../tidy.rs"]
mod tidy;
