//! `drover completions` and `drover man`: what shells and readers of manuals are told of the verbs.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::exit::{CliResult, Exit, Failure};
use super::output::Output;
use super::terminal::Terminal;
use crate::report::json::FORMAT_VERSION;

/// Stands at the head of each page of the manual.
const MARKER: &str = ".TH drover";

pub fn completions(terminal: &Terminal, args: &CompletionsArgs) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "drover", &mut script);
    terminal.out(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

pub fn man(terminal: &Terminal, args: &ManArgs) -> CliResult {
    let mut command = visible().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        terminal.out(&page(&command)?);
        return Ok(Exit::Done);
    };
    fs::create_dir_all(dir).map_err(|e| Failure::new(Exit::Usage, format!("{} cannot be used: {e}", dir.display())))?;
    let written = pages(&command, dir)?;
    match terminal.json {
        true => terminal.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "pages": written })),
        false => terminal.out(&format!("Wrote {} pages to {}.", written.len(), dir.display())),
    }
    Ok(Exit::Done)
}

/// The command line without what is for Drover itself.
fn visible() -> Command {
    let all = Cli::command();
    let about = all.get_about().cloned().unwrap_or_default();
    let after = all.get_after_help().cloned().unwrap_or_default();
    let verbs: Vec<Command> = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let options: Vec<clap::Arg> = all.get_arguments().cloned().collect();
    Command::new("drover").version(env!("CARGO_PKG_VERSION")).about(about).after_help(after).args(options).subcommands(verbs)
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command.clone()).render(&mut page);
    written.map_err(|e| Failure::internal(format!("the page cannot be made: {e}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A page for the command and one for each verb below it; their names.
fn pages(command: &Command, dir: &Path) -> Result<Vec<String>, Failure> {
    let name = format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name()));
    Output { path: &dir.join(&name), text: &page(command)?, marker: MARKER, force: false }.put()?;
    let mut names = vec![name];
    for verb in command.get_subcommands() {
        names.extend(pages(verb, dir)?);
    }
    Ok(names)
}
