//! `drover init`: a drover.toml and a first task file, for the agents that are installed.

use super::args::{Global, InitArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::agent;
use crate::files::scaffold::{self, Outcome};
use crate::git::Head;

pub fn run(global: &Global, terminal: &Terminal, args: &InitArgs) -> CliResult {
    let repo = context::repository(global)?;
    let directory_name = repo.root().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = args.name.clone().unwrap_or(directory_name);
    let target = match repo.head().map_err(|e| Failure::unfit(e.to_string()))? {
        Head::Branch { name, .. } => Some(name),
        Head::Detached => None,
    };
    let path = context::environment().into_iter().find(|(k, _)| k == "PATH").map(|(_, v)| std::ffi::OsString::from(v));
    let found = agent::detect(path.as_deref());
    // The agent of a kind is called after its program.
    let agents: Vec<String> = found.iter().filter_map(|f| f.path.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
    let request = scaffold::Request { name, target, agents };
    let outcomes = scaffold::write(repo.root(), &request).map_err(|e| Failure::unfit(format!("the first files cannot be written: {e}")))?;
    let wrote: Vec<String> =
        outcomes.iter().filter_map(|o| if let Outcome::Wrote(p) = o { Some(p.display().to_string()) } else { None }).collect();
    let left: Vec<String> =
        outcomes.iter().filter_map(|o| if let Outcome::Left(p) = o { Some(p.display().to_string()) } else { None }).collect();
    if terminal.json {
        let kinds: Vec<&str> = found.iter().map(|f| f.kind).collect();
        terminal.json(&serde_json::json!({ "format_version": "1.0", "wrote": wrote, "left": left, "agents": kinds }));
        return Ok(Exit::Done);
    }
    wrote.iter().for_each(|file| terminal.out(&format!("wrote {file}")));
    left.iter().for_each(|file| terminal.out(&format!("left  {file} as it was")));
    match found.as_slice() {
        [] => terminal
            .out("No agent was found. Install Claude Code (npm install -g @anthropic-ai/claude-code), or use a command of your own."),
        found => found.iter().for_each(|f| terminal.out(&format!("found {} at {}", f.kind, f.path.display()))),
    }
    terminal.out("Next: describe a task in drover/, commit the files, then `drover plan` and `drover apply`.");
    Ok(Exit::Done)
}
