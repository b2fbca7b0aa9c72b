//! Drover in CI: the real program under the environment, the signals and the files of a runner.

mod plans;
mod reporting;
mod reports;
mod runner;
mod tethered;
mod trust;
mod workflows;
mod xml;
mod yaml;
