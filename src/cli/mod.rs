//! One file a verb: arguments to a request, errors to words and an exit code.
//!
//! The only room that reads the environment, the terminal and the arguments.

mod add;
mod amiss;
mod apply;
mod args;
mod ci;
mod completions;
mod console;
mod context;
mod control;
mod demo;
mod diff;
mod doctor;
mod edit;
mod events;
mod exit;
mod explain;
mod gc;
mod graph;
mod init;
mod logs;
mod opening;
mod output;
mod plan;
mod publish;
mod rename;
mod report;
mod reports;
mod repository;
mod running;
mod schema;
mod settled;
mod shared;
mod signals;
mod site;
mod state;
mod status;
mod sync;
mod telling;
mod terminal;
mod validate;
mod watch;
mod worktree;

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, EpicVerb, Format, Verb};
use exit::{CliResult, Exit, Failure};
use terminal::Terminal;

use crate::files::Severity;
use crate::process;
use crate::report::ci::{Annotation, annotations};

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(dir) = shim_dir() {
        return process::shim_main(&dir);
    }
    if !cfg!(target_os = "linux") {
        eprintln!("error: Drover runs on Linux only: the other systems are not tested yet");
        return Exit::Unfit.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            return match (error.use_stderr(), printed) {
                // Nothing can be said where nothing can be written.
                (true, _) => Exit::Usage.into(),
                (false, Err(e)) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                    eprintln!("error: the answer on standard output is not whole: {e}");
                    Exit::Internal.into()
                }
                (false, _) => Exit::Done.into(),
            };
        }
    };
    let terminal = Terminal::new(&cli.global);
    terminal.start_log();
    let result = catch_unwind(|| run(&cli, &terminal)).unwrap_or_else(|_| Err(Failure::internal("Drover has a bug: the panic above says where. State on disk is as it was last reported; `drover resume` goes on from it. Please report it.")));
    let exit = result.unwrap_or_else(|failure| {
        if terminal.json {
            terminal.json(&failure.json());
        }
        terminal.error(&failure.message);
        // What is wrong with the files stands at their lines already.
        if terminal.is_github() && failure.details.get("diagnostics").is_none() {
            let error = Annotation::new(Severity::Error, "Drover", &failure.message);
            terminal.commands(&annotations(&[error], ""));
        }
        failure.exit
    });
    let exit = told(exit, &terminal);
    terminal.end();
    exit.into()
}

/// Success is only what was also told: an answer that did not get out was asked for.
fn told(exit: Exit, terminal: &Terminal) -> Exit {
    let Some(why) = terminal.lost() else { return exit };
    terminal.error(&format!("the answer on standard output is not whole: {why}\n  What was to be done is done all the same; `drover status` says where everything stands."));
    match exit {
        Exit::Done | Exit::Pending => Exit::Internal,
        exit => exit,
    }
}

/// The shim does without everything else: it is small on purpose.
fn shim_dir() -> Option<std::ffi::OsString> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == process::SHIM_VERB).then(|| args.next().unwrap_or_default())
}

fn run(cli: &Cli, terminal: &Terminal) -> CliResult {
    if cli.global.format == Format::Markdown && !matches!(cli.verb, Verb::Plan(_)) {
        return Err(Failure::new(Exit::Usage, "only `drover plan` can be had as Markdown"));
    }
    match &cli.verb {
        Verb::Init(args) => init::run(&cli.global, terminal, args),
        Verb::Demo(args) => demo::run(&cli.global, terminal, args),
        Verb::Worktree { verb } => worktree::run(&cli.global, terminal, verb),
        Verb::Gc(args) => gc::run(&cli.global, terminal, args),
        Verb::Add(args) => add::task(&cli.global, terminal, args),
        Verb::Epic { verb: EpicVerb::Add(args) } => add::epic(&cli.global, terminal, args),
        Verb::Mv(args) => rename::run(&cli.global, terminal, args),
        Verb::Edit(args) => edit::run(&cli.global, terminal, args),
        Verb::Validate => validate::run(&cli.global, terminal),
        Verb::Plan(args) => plan::run(&cli.global, terminal, args),
        Verb::Apply(args) => apply::apply(&cli.global, terminal, args),
        Verb::Watch(args) => watch::run(&cli.global, terminal, args),
        Verb::Sync(args) => sync::run(&cli.global, terminal, args),
        Verb::Run(args) => apply::run(&cli.global, terminal, args),
        Verb::Resume(args) => apply::resume(&cli.global, terminal, args),
        Verb::Status(args) => status::run(&cli.global, terminal, args),
        Verb::Report(args) => terminal.quoted(|terminal| report::run(&cli.global, terminal, args)),
        Verb::Explain(args) => terminal.quoted(|terminal| explain::run(&cli.global, terminal, args)),
        Verb::Graph(args) => terminal.quoted(|terminal| graph::run(&cli.global, terminal, args)),
        Verb::Logs(args) => terminal.quoted(|terminal| logs::run(&cli.global, terminal, args)),
        Verb::Events(args) => terminal.quoted(|terminal| events::run(&cli.global, terminal, args)),
        Verb::State { verb } => state::run(&cli.global, terminal, verb),
        Verb::Approve(args) => control::approve(&cli.global, terminal, args),
        Verb::Reject(args) => control::reject(&cli.global, terminal, args),
        Verb::Retry(args) => control::retry(&cli.global, terminal, args),
        Verb::Reset(args) => control::reset(&cli.global, terminal, args),
        Verb::Cancel(args) => control::cancel(&cli.global, terminal, args),
        Verb::Suspend(args) => control::suspend(&cli.global, terminal, args),
        Verb::Unsuspend(args) => control::unsuspend(&cli.global, terminal, args),
        Verb::Mark(args) => control::mark(&cli.global, terminal, args),
        Verb::Workers(args) => control::workers(&cli.global, terminal, args),
        Verb::Publish(args) => publish::run(&cli.global, terminal, args),
        Verb::Hint(args) => control::hint(&cli.global, terminal, args),
        Verb::Diff(args) => terminal.quoted(|terminal| diff::run(&cli.global, terminal, args)),
        Verb::Doctor => doctor::run(&cli.global, terminal),
        Verb::Completions(args) => completions::completions(terminal, args),
        Verb::Man(args) => completions::man(terminal, args),
        Verb::Schema { name } => schema::run(terminal, *name),
        Verb::Shim { .. } => Err(Failure::new(Exit::Usage, "`__shim` is for Drover itself")),
    }
}
