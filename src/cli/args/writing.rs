//! Verbs that write task files.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("work").required(true).args(["prompt", "prompt_file", "run"])))]
pub struct AddArgs {
    /// The new task
    #[arg(value_name = "ID")]
    pub id: String,
    /// One line: what is done
    #[arg(long, allow_hyphen_values = true)]
    pub title: String,
    /// What the agent is asked to do; `-` reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// A file that holds the prompt
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// A line for `sh -c` instead of an agent
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    pub run: Option<String>,
    /// Make it a task of this epic
    #[arg(long, value_name = "EPIC", conflicts_with = "file")]
    pub epic: Option<String>,
    /// What it waits for: tasks, or epic:ID; may be repeated
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub after: Vec<String>,
    /// Who does the work
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// A label; may be repeated
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where it is written.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The task file to write it into; it is made where there is none
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only show what would be written, as a patch
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum EpicVerb {
    /// Write an epic into a task file of its own
    Add(AddEpicArgs),
}

#[derive(Debug, Args)]
pub struct AddEpicArgs {
    /// The new epic
    #[arg(value_name = "ID")]
    pub id: String,
    /// One line: what it is about
    #[arg(long, allow_hyphen_values = true)]
    pub title: String,
    #[command(flatten)]
    pub place: PlaceArgs,
}

#[derive(Debug, Args)]
pub struct MvArgs {
    /// The task as it is called now
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Its new id
    #[arg(value_name = "TO")]
    pub to: String,
    /// Only show what would be written, as a patch
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct EditArgs {
    /// The task, or one of its sub-tasks
    #[arg(value_name = "ID")]
    pub id: String,
}
