//! One binary for all integration tests: building is the slow part.

mod agent;
mod files;
mod git;
mod process;
mod report;
mod scripted_api;
mod store;
#[path = "../tidy.rs"]
mod tidy;
