//! Drover drives a project to completion with parallel AI coding agents.
//!
//! The rooms stand on floors; a room names only rooms below it (`tests/tidy.rs` holds that).
//! `docs/architecture.md` is the map.

pub mod agent;
pub mod base;
pub mod cli;
pub mod control;
pub mod core;
pub mod engine;
pub mod fault;
pub mod files;
pub mod git;
pub mod model;
pub mod notice;
pub mod plan;
pub mod process;
pub mod prompt;
pub mod report;
pub mod store;
pub mod telemetry;
pub mod watch;
