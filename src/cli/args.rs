//! The command line, as data.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Drives a project to completion with parallel AI coding agents, from task files in git.
#[derive(Debug, Parser)]
#[command(
    name = "drover",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 a task failed, 2 changes pending (plan --detailed-exitcode), 3 needs a flag, 4 a selector matched nothing, 5 stopped: run again to go on, 64 bad command line, 70 internal error, 75 in use by another process, 78 unfit configuration or repository, 130/143 interrupted, state saved."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Work as if started in this directory
    #[arg(short = 'C', value_name = "DIR", global = true, env = "DROVER_DIR")]
    pub directory: Option<PathBuf>,
    /// Read this file instead of drover.toml
    #[arg(long, value_name = "FILE", global = true, env = "DROVER_CONFIG")]
    pub config: Option<PathBuf>,
    /// When to colour: also decided by NO_COLOR, CLICOLOR_FORCE and whether a person looks
    #[arg(long, value_enum, default_value_t = When::Auto, global = true, env = "DROVER_COLOR")]
    pub color: When,
    /// json prints one document on standard output, and nothing else there
    #[arg(long, value_enum, default_value_t = Format::Text, global = true, env = "DROVER_FORMAT")]
    pub format: Format,
    /// Say less: only failures and the summary
    #[arg(short, long, global = true, action = ArgAction::SetTrue, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for every call of git
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write drover.toml and a first task file, for the agents that are installed
    Init(InitArgs),
    /// Make a throw-away repository with a small task graph, and apply it: needs no account or key
    Demo(DemoArgs),
    /// Read and check the files, without store or network
    Validate,
    /// Show what an apply would do, and why
    Plan(PlanArgs),
    /// Reconcile with the files, then run every task to completion
    Apply(ApplyArgs),
    /// Reconcile with the files, and run nothing
    Sync(SyncArgs),
    /// Run what the store holds, without reading the files
    Run(RunArgs),
    /// Go on after an interruption
    Resume,
    /// Show where everything stands; works beside a running apply
    Status(StatusArgs),
    /// Print a JSON Schema: drover, task, plan or status
    Schema {
        /// Which one
        #[arg(value_enum)]
        name: SchemaName,
    },
    /// A shim: runs one command of an attempt
    #[command(name = "__shim", hide = true)]
    Shim {
        /// The step's directory
        dir: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    Drover,
    Task,
    Plan,
    Status,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The project's name; by default the directory's
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to make the repository; it must not exist. By default a new temporary directory
    pub dir: Option<PathBuf>,
}

/// Which tasks. See the selectors in docs/format.md.
#[derive(Clone, Debug, Default, Args)]
pub struct Select {
    /// These tasks and what they need
    #[arg(value_name = "SEL")]
    pub tasks: Vec<String>,
    /// Exactly these, without what they need; may be repeated
    #[arg(short, long = "select", value_name = "SEL")]
    pub select: Vec<String>,
    /// Not these; may be repeated
    #[arg(long, value_name = "SEL")]
    pub exclude: Vec<String>,
    /// The tasks of this epic; may be repeated
    #[arg(long, value_name = "EPIC")]
    pub epic: Vec<String>,
}

/// What must be confirmed, and what is to run again.
#[derive(Clone, Debug, Default, Args)]
pub struct Reconcile {
    /// Run these again, whatever they came to; may be repeated
    #[arg(long, value_name = "SEL")]
    pub rerun: Vec<String>,
    /// Allow a running task, or over half of the unfinished ones, to be removed
    #[arg(long)]
    pub allow_removals: bool,
    /// Allow over half of the completed tasks to run again
    #[arg(long)]
    pub allow_reruns: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub select: Select,
    /// Run these again, whatever they came to; may be repeated
    #[arg(long, value_name = "SEL")]
    pub rerun: Vec<String>,
    /// Exit with 2 if an apply would do anything
    #[arg(long)]
    pub detailed_exitcode: bool,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub select: Select,
    #[command(flatten)]
    pub reconcile: Reconcile,
    #[command(flatten)]
    pub limits: Limits,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub reconcile: Reconcile,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: Select,
    #[command(flatten)]
    pub limits: Limits,
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

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show each task below what it waits for
    #[arg(long)]
    pub tree: bool,
    /// One line
    #[arg(long, conflicts_with = "tree")]
    pub oneline: bool,
}
