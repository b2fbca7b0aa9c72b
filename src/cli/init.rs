//! `drover init`: a drover.toml and a first task file, for the agents that are installed.

use super::args::{Global, InitArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::agent;
use crate::files::scaffold;
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
    let kinds: Vec<&str> = found.iter().map(|f| f.kind).collect();
    let written = scaffold::write(repo.root(), &name, target.as_deref(), &kinds).map_err(|e| Failure::unfit(e.to_string()))?;
    if terminal.json {
        terminal.json(&serde_json::json!({ "format_version": "1.0", "written": written.written, "left": written.left, "agents": kinds }));
        return Ok(Exit::Done);
    }
    for file in &written.written {
        terminal.out(&format!("wrote {file}"));
    }
    for file in &written.left {
        terminal.out(&format!("left  {file} as it was"));
    }
    match found.as_slice() {
        [] => terminal.out("No agent was found. Install Claude Code (npm install -g @anthropic-ai/claude-code), or use a command of your own."),
        found => found.iter().for_each(|f| terminal.out(&format!("found {} at {}", f.kind, f.path.display()))),
    }
    terminal.out("Next: describe a task in drover/, commit the files, then `drover plan` and `drover apply`.");
    Ok(Exit::Done)
}
