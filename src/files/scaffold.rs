//! The first files of a project, for `drover init`.
//!
//! Overwrites nothing: what is already there is left as it is.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::CONFIG;
use super::format::project_name_for;
use crate::model::AgentKind;

/// What is known of the project before there are files.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// As people say it; made fit where it is not.
    pub name: String,
    /// The branch that work lands on; none for the one that is checked out.
    pub target: Option<String>,
    /// The agents found on this machine, such as `claude`.
    pub agents: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Wrote(PathBuf),
    /// Something was there already.
    Left(PathBuf),
}

/// How a task file begins.
pub(super) const TASK_HEAD: &str = "\
# Drover: tasks. For help in an editor, write the schema to a file with `drover schema task` and name
# that file in a first line that begins with #:schema
";

/// The task file that is written.
const EXAMPLE: &str = "drover/example.toml";

/// Writes `drover.toml` and a first task file where there are none. The paths that it
/// answers with are relative to `root`.
pub fn write(root: &Path, request: &Request) -> io::Result<Vec<Outcome>> {
    let files = [(CONFIG, config(request)), (EXAMPLE, example(request))];
    files.iter().map(|(path, text)| write_new(root, path, text)).collect()
}

fn write_new(root: &Path, path: &str, text: &str) -> io::Result<Outcome> {
    let target = root.join(path);
    if let Some(dir) = target.parent().filter(|d| *d != root) {
        // Task files behind a link are not found, and a link may lead anywhere.
        if fs::symlink_metadata(dir).is_ok_and(|m| m.is_symlink()) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is a symbolic link", dir.display())));
        }
        fs::create_dir_all(dir)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(&target) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| Outcome::Wrote(path.into())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Outcome::Left(path.into())),
        Err(error) => Err(error),
    }
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The kind of an agent that is called so on this machine.
fn kind(agent: &str) -> Option<&'static str> {
    match agent {
        "claude" => Some(AgentKind::ClaudeCode.name()),
        _ => AgentKind::ALL.into_iter().filter(|k| *k != AgentKind::Command).map(AgentKind::name).find(|name| *name == agent),
    }
}

/// The agent that tasks get: Claude Code where it is there.
fn main_agent(request: &Request) -> Option<&str> {
    let known = || request.agents.iter().map(String::as_str).filter(|a| kind(a).is_some());
    known().find(|a| *a == "claude").or_else(|| known().next())
}

fn agents(request: &Request) -> String {
    let Some(main) = main_agent(request) else {
        return "# No agent was found on this machine. Claude Code is used as soon as it is installed, with no entry\n\
         # here; any other program can be one:\n\
         #[agents.mine]\n#kind = \"command\"\n#command = [\"my-agent\", \"--yes\"]\n"
            .into();
    };
    let found = request.agents.iter().filter_map(|agent| Some((agent, kind(agent)?)));
    let tables = found.map(|(agent, kind)| format!("[agents.{agent}]\nkind = {}\n#model = \"…\"\n", quoted(kind)));
    let tables = tables.collect::<Vec<_>>().join("\n");
    match main {
        "claude" => tables,
        other => format!("[defaults]\nagent = {}\n\n{tables}", quoted(other)),
    }
}

fn config(request: &Request) -> String {
    let name = quoted(&project_name_for(&request.name));
    let target = match &request.target {
        Some(branch) => format!("target = {}\n", quoted(branch)),
        None => "#target = \"main\"   # the branch that finished work lands on; by default the one checked out\n".to_owned(),
    };
    let agents = agents(request);
    format!(
        "# Drover: the configuration of this project. All keys, with their defaults, are in drover.toml.example\n\
         # of Drover's source. For help in an editor, write the schema to a file with `drover schema drover`\n\
         # and name that file in a first line that begins with #:schema\n\
         \n[project]\nname = {name}\n{target}\
         \n[run]\nworkers = 4   # how many tasks run at a time\n\
         \n[merge]\n#verify = [\"make test\"]   # must pass on every tree that lands\n\
         \n{agents}"
    )
}

fn example(request: &Request) -> String {
    let work = if main_agent(request).is_some() {
        "prompt = \"\"\"\n\
         Write NOTES.md: in at most ten lines, what this repository is and how it is built and tested.\n\
         Read the code first. Change no other file.\n\
         \"\"\"\n\
         #verify = [\"test -s NOTES.md\"]   # must pass before the work counts as done\n"
    } else {
        "run = \"git log --oneline -10 > NOTES.md\"   # a line for `sh -c`; `prompt` gives the task to an agent instead\n"
    };
    format!(
        "{TASK_HEAD}\n[[task]]\nid = \"notes\"\ntitle = \"Describe the repository\"\n{work}\
         \n#[[task]]\n#id = \"next\"\n#title = \"What comes after it\"\n#depends_on = [\"notes\"]\n#prompt = \"…\"\n"
    )
}
