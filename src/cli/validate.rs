//! `drover validate`: read and check the files.

use super::args::Global;
use super::context;
use super::exit::{CliResult, Exit};
use super::terminal::Terminal;
use crate::base::text::count;

pub fn run(global: &Global, terminal: &Terminal) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let (tasks, epics) = (project.graph.tasks().len(), project.graph.epics().len());
    if terminal.json {
        terminal
            .json(&serde_json::json!({ "format_version": "1.0", "valid": true, "tasks": tasks, "epics": epics, "files": project.files }));
    } else {
        terminal.out(&format!(
            "{}: {}, {} in {}: valid",
            project.name,
            count(tasks, "task"),
            count(epics, "epic"),
            count(project.files, "file")
        ));
    }
    Ok(Exit::Done)
}
