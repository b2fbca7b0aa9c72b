//! `drover validate`: read and check the files.

use serde::{Deserialize, Serialize};

use super::args::Global;
use super::exit::{CliResult, Exit};
use super::terminal::Terminal;
use super::{context, settled};
use crate::base::text::count;
use crate::files::Project;

/// What is said of files that have no mistake.
#[derive(PartialEq, Serialize, Deserialize)]
pub struct Valid {
    name: String,
    tasks: usize,
    epics: usize,
    files: usize,
}

impl Valid {
    pub fn of(project: &Project) -> Self {
        let graph = &project.graph;
        Self { name: project.name.clone(), tasks: graph.tasks().len(), epics: graph.epics().len(), files: project.files }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

pub fn run(global: &Global, terminal: &Terminal) -> CliResult {
    if let Some(exit) = settled::validated(global, terminal) {
        return Ok(exit);
    }
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    Ok(tell(terminal, &Valid::of(&project)))
}

pub fn tell(terminal: &Terminal, valid: &Valid) -> Exit {
    let Valid { name, tasks, epics, files } = valid;
    if terminal.json {
        terminal.json(&serde_json::json!({ "format_version": "1.0", "valid": true, "tasks": tasks, "epics": epics, "files": files }));
    } else {
        let (tasks, epics, files) = (count(*tasks, "task"), count(*epics, "epic"), count(*files, "file"));
        terminal.out(&format!("{name}: {tasks}, {epics} in {files}: valid"));
    }
    Exit::Done
}
