//! The arguments of the verbs that carry out work.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Reconcile, Select};
use crate::base::{format_duration, parse_duration};
use crate::watch;

#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub select: Select,
    #[command(flatten)]
    pub reconcile: Reconcile,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub tell: Tell,
    #[command(flatten)]
    pub conduct: Conduct,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub select: Select,
    /// For the files as they are at the start; what changes later is asked about again
    #[command(flatten)]
    pub reconcile: Reconcile,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub tell: Tell,
    #[command(flatten)]
    pub conduct: Conduct,
    /// Look so often whether anything changed, instead of being told by the system
    #[arg(long, value_name = "DURATION", value_parser = parse_poll, env = "DROVER_POLL")]
    pub poll: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub reconcile: Reconcile,
    #[command(flatten)]
    pub tell: Tell,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: Select,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub tell: Tell,
    #[command(flatten)]
    pub conduct: Conduct,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub tell: Tell,
    #[command(flatten)]
    pub conduct: Conduct,
}

/// Who is told besides the terminal.
#[derive(Clone, Debug, Default, Args)]
pub struct Tell {
    /// Append everything that is decided to this file, as JSON lines; `-`: print it, and nothing else
    #[arg(long, value_name = "FILE", env = "DROVER_EVENTS")]
    pub events: Option<PathBuf>,
}

/// Whose runner it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CiName {
    Github,
    Gitlab,
    None,
}

/// How a run is bound to what started it, and where its outcome is written to.
#[derive(Clone, Debug, Default, Args)]
pub struct Conduct {
    /// Write how each task went to a JUnit file when the run has ended; may be repeated
    #[arg(long = "report", value_name = "junit=FILE", value_parser = junit)]
    pub junit: Vec<PathBuf>,
    /// End what runs together with Drover, also when it is killed; a signal interrupts at once
    #[arg(long, env = "DROVER_TETHERED")]
    pub tethered: bool,
    /// Carry out task files though they are those of a stranger's pull request
    #[arg(long)]
    pub trust: bool,
}

fn junit(text: &str) -> Result<PathBuf, String> {
    match text.split_once('=') {
        Some(("junit", file)) if !file.is_empty() => Ok(file.into()),
        _ => Err("it is `junit=FILE`".into()),
    }
}

/// What a person says about git's configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct Consent {
    /// Accept the commands that git was given to run (hooks, filters, ...) while attempts ran
    #[arg(long)]
    pub accept_git_config: bool,
}

/// What this run alone does differently from drover.toml.
#[derive(Clone, Debug, Default, Args)]
pub struct Limits {
    /// Attempts at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), env = "DROVER_WORKERS")]
    pub workers: Option<u32>,
    /// After the first task that fails for good, claim nothing more
    #[arg(long, overrides_with = "keep_going")]
    pub fail_fast: bool,
    /// Go on with what does not depend on a failed task
    #[arg(long)]
    pub keep_going: bool,
}

/// How often is looked: often enough to be of use, and seldom enough to leave the machine to others.
fn parse_poll(text: &str) -> Result<Duration, String> {
    let every = parse_duration(text)?;
    let (shortest, longest) = (watch::QUIET, Duration::from_secs(3600));
    match every >= shortest && every <= longest {
        true => Ok(every),
        false => Err(format!("it is to be from {} to {}", format_duration(shortest), format_duration(longest))),
    }
}
