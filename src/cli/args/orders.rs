//! The arguments of verbs by which a person acts on tasks.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The tasks; nothing they need is added
    #[arg(value_name = "ID", required = true)]
    pub tasks: Vec<String>,
    /// Only if this attempt is the one that waits, as `drover diff` names it
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
}

#[derive(Debug, Args)]
pub struct RejectArgs {
    /// The tasks; nothing they need is added
    #[arg(value_name = "ID", required = true)]
    pub tasks: Vec<String>,
    /// Only if this attempt is the one that waits, as `drover diff` names it
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// What is wrong with it: goes into the next attempt's prompt
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// The tasks; nothing they need is added
    #[arg(value_name = "SEL", required = true)]
    pub tasks: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The tasks; nothing they need is added
    #[arg(value_name = "SEL", required = true)]
    pub tasks: Vec<String>,
    /// Of these, only what has failed
    #[arg(long)]
    pub failed: bool,
    /// Allow over half of the completed tasks to be done again
    #[arg(long)]
    pub allow_reruns: bool,
    /// Only say what would be reset
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// The tasks; nothing they need is added
    #[arg(value_name = "SEL", required_unless_present = "all")]
    pub tasks: Vec<String>,
    /// Everything, also what the files have yet to bring
    #[arg(long, conflicts_with = "tasks")]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Where they are
    #[arg(value_enum)]
    pub state: Marked,
    /// The tasks; nothing they need is added
    #[arg(value_name = "SEL", required = true)]
    pub tasks: Vec<String>,
    /// Why: kept, and shown
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Allow over half of the completed tasks to be done again
    #[arg(long)]
    pub allow_reruns: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Marked {
    /// Done by hand: what needs it goes on, and nothing lands for it
    Completed,
    /// To be done
    Pending,
}

#[derive(Debug, Args)]
pub struct WorkersArgs {
    /// Attempts at a time, as long as that Drover is at work
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: u32,
}
