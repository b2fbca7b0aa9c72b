//! The command line, as data.

mod run;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::base::time::parse_duration;
pub use run::{ApplyArgs, CiName, Conduct, Limits, ResumeArgs, RunArgs, SyncArgs, Tell, WatchArgs};

mod orders;
mod telling;
mod writing;

pub use orders::{ApproveArgs, MarkArgs, Marked, OrderArgs, RejectArgs, ResetArgs, SuspendArgs, WorkersArgs};
pub use telling::{CompletionsArgs, ManArgs, ReportArgs};
pub use writing::{AddArgs, AddEpicArgs, EditArgs, EpicVerb, MvArgs, PlaceArgs};

/// Drives a project to completion with parallel AI coding agents, from task files in git.
#[derive(Debug, Parser)]
#[command(
    name = "drover",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 a task failed, 2 changes pending (plan --detailed-exitcode), 3 needs a flag, 4 a selector matched nothing, 5 stopped: run again to go on, 64 bad command line, 70 internal error, 75 in use by another process, 78 unfit configuration or repository, 130/143 interrupted, state saved."
)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Options of every verb")]
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
    /// Lay this profile of drover.toml over its other settings
    #[arg(long, value_name = "NAME", global = true, env = "DROVER_PROFILE")]
    pub profile: Option<String>,
    /// When to colour: also decided by NO_COLOR, CLICOLOR_FORCE and whether a person looks
    #[arg(long, value_enum, default_value_t = When::Auto, global = true, env = "DROVER_COLOR")]
    pub color: When,
    /// json prints one document on standard output, and nothing else there; markdown is for `plan`
    #[arg(long, value_enum, default_value_t = Format::Text, global = true, env = "DROVER_FORMAT")]
    pub format: Format,
    /// Report as this CI wants it, and tether what runs; by default where GITHUB_ACTIONS or GITLAB_CI says so
    #[arg(long, value_enum, value_name = "WHOSE", global = true, env = "DROVER_CI")]
    pub ci: Option<CiName>,
    /// Go on in a shallow clone, though what finished before it begins is not known and is done again
    #[arg(long, global = true, env = "DROVER_TRUST_SHALLOW")]
    pub trust_shallow: bool,
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
    Markdown,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write drover.toml and a first task file, for the agents that are installed
    Init(InitArgs),
    /// Make a throw-away repository with a small task graph, and apply it: needs no account or key
    Demo(DemoArgs),
    /// Write a task into a task file; what else is in it stays as it is
    Add(AddArgs),
    /// The epics
    Epic {
        #[command(subcommand)]
        verb: EpicVerb,
    },
    /// Give a task another id, wherever it is named, and keep what was done for it
    Mv(MvArgs),
    /// Open a task in your editor, and check the files after it
    Edit(EditArgs),
    /// Read and check the files, without store or network
    Validate,
    /// Show what an apply would do, and why
    Plan(PlanArgs),
    /// Reconcile with the files, then run every task to completion
    Apply(ApplyArgs),
    /// Apply, then again whenever the files change
    Watch(WatchArgs),
    /// Reconcile with the files, and run nothing
    Sync(SyncArgs),
    /// Run what the store holds, without reading the files
    Run(RunArgs),
    /// Go on after an interruption
    Resume(ResumeArgs),
    /// Show where everything stands; works beside a running apply
    Status(StatusArgs),
    /// Say how a run went, as text, as JSON or as a page
    Report(ReportArgs),
    /// Say why a task waits or would run, what changed in it, and where its settings come from
    Explain(ExplainArgs),
    /// Draw the dependency graph, with where each task stands
    Graph(GraphArgs),
    /// Print what the commands of a task's attempt wrote
    Logs(LogsArgs),
    /// Print the journal as JSON lines: everything that was decided, in order
    Events(EventsArgs),
    /// The store: show what is in it, or make it anew from history
    State {
        #[command(subcommand)]
        verb: StateVerb,
    },
    /// Let work that waits for approval land
    Approve(ApproveArgs),
    /// Send work that waits for approval back: the next attempt is told the reason
    Reject(RejectArgs),
    /// Give tasks that failed or are blocked all their attempts again
    Retry(OrderArgs),
    /// Forget what was done of tasks, so that it is done again
    Reset(ResetArgs),
    /// End what is under way of tasks, and start nothing more of them
    Cancel(OrderArgs),
    /// Begin nothing of tasks for a while; what is under way goes on
    Suspend(SuspendArgs),
    /// Begin suspended or cancelled tasks again
    Unsuspend(SuspendArgs),
    /// Say where tasks are: done by hand, or to be done after all
    Mark(MarkArgs),
    /// Change how many attempts at a time a running Drover makes
    Workers(WorkersArgs),
    /// Bring what landed to the target branch now, if that touches nothing of yours
    Publish(PublishArgs),
    /// Have something said to the next attempt at a task
    Hint(HintArgs),
    /// Print what an attempt at a task changed
    Diff(DiffArgs),
    /// The worktrees of attempts
    Worktree {
        #[command(subcommand)]
        verb: WorktreeVerb,
    },
    /// Let go of what old attempts left, as far as it is proved to be kept elsewhere
    Gc(GcArgs),
    /// Look at everything that a run needs here: git, files, disks, agents; each with what to do
    Doctor,
    /// Print a JSON Schema: drover, task, plan, status, report, event or outcome
    Schema {
        /// Which one
        #[arg(value_enum)]
        name: SchemaName,
    },
    /// Print what a shell needs to complete verbs and options
    Completions(CompletionsArgs),
    /// Print the manual's page of Drover, or write one for each verb
    Man(ManArgs),
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
    Event,
    Webhook,
    Report,
    Outcome,
}

#[derive(Debug, Subcommand)]
pub enum StateVerb {
    /// Where the store is, and what it holds
    Show,
    /// Keep the present store under another name, and make a new one from the commits of the target
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Also where the present store is whole: the new one knows nothing of attempts
    #[arg(long)]
    pub allow_loss: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum WorktreeVerb {
    /// Which there are: who has them, how large they are, where they stand
    List,
    /// Remove those that no attempt has
    Prune,
}

#[derive(Debug, Args)]
pub struct GcArgs {
    /// Spare what is younger than this
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = crate::base::parse_duration)]
    pub older_than: std::time::Duration,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
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

impl Select {
    /// Whether nothing is picked out.
    pub fn is_all(&self) -> bool {
        [&self.tasks, &self.select, &self.exclude, &self.epic].iter().all(|names| names.is_empty())
    }
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
pub struct GraphArgs {
    #[command(flatten)]
    pub select: Select,
    /// The language of the drawing; --format json gives tasks and edges instead
    #[arg(long = "as", value_enum, default_value_t = GraphForm::Dot)]
    pub form: GraphForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphForm {
    Dot,
    Mermaid,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The task, or one of its sub-tasks
    #[arg(value_name = "ID")]
    pub task: String,
    /// Go on as more is written, until the task is done with
    #[arg(short, long, conflicts_with = "attempt")]
    pub follow: bool,
    /// Which attempt, counted from 1; by default the newest
    #[arg(long, value_name = "N")]
    pub attempt: Option<usize>,
    /// Only what was written in this phase
    #[arg(long, value_enum)]
    pub phase: Option<LogPhase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogPhase {
    Setup,
    Agent,
    Verify,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on as more is decided, until you stop it
    #[arg(short, long)]
    pub follow: bool,
    /// Only what came after the event with this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub after: u64,
    /// Only what is not older than this, such as 30m
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    pub since: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show each task below its epic and what it waits for
    #[arg(long)]
    pub tree: bool,
    /// One line, for prompts of shells and status bars
    #[arg(long, conflicts_with = "tree")]
    pub oneline: bool,
    /// Show it anew whenever it changes, until you stop it
    #[arg(short, long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The task, or one of its sub-tasks
    #[arg(value_name = "ID")]
    pub task: String,
    /// Print instead exactly what its agent would be told
    #[arg(long)]
    pub prompt: bool,
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Bring back what the target lost by a reset or a force-push
    #[arg(long, conflicts_with = "let_go")]
    pub restore: bool,
    /// Let go of it: what only the line has is kept under refs/drover/kept/
    #[arg(long)]
    pub let_go: bool,
}

#[derive(Debug, Args)]
pub struct HintArgs {
    /// The task
    #[arg(value_name = "ID")]
    pub task: String,
    /// What to say: goes into the next attempt's prompt
    #[arg(required_unless_present = "clear")]
    pub text: Option<String>,
    /// Take back what was to be said
    #[arg(long, conflicts_with = "text")]
    pub clear: bool,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The task
    #[arg(value_name = "ID")]
    pub task: String,
    /// Of this attempt, counted from 1; by default the newest that left anything
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Only which files, and how much of them
    #[arg(long)]
    pub stat: bool,
}
