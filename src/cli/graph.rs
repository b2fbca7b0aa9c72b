//! `drover graph`: the dependency graph of the files, with what is recorded of each task.

use super::args::{Global, GraphArgs, GraphForm};
use super::context;
use super::exit::{CliResult, Exit};
use super::terminal::Terminal;
use crate::plan::select::Universe;
use crate::report::graph::{self, Node};
use crate::store::redb;

pub fn run(global: &Global, terminal: &Terminal, args: &GraphArgs) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(global, &repo, Some(&project))?;
    let state = redb::snapshot(&repo.state_dir(), &target)?.unwrap_or_default();
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, &state))?;
    let recorded: std::collections::BTreeMap<_, _> = state.views().into_iter().map(|v| (v.id, v.status)).collect();
    let specs = project.graph.tasks().values().filter(|s| selection.holds(&s.id));
    let nodes: Vec<Node> = specs
        .map(|spec| Node {
            id: spec.id.clone(),
            title: spec.title.clone(),
            epic: spec.epic.clone(),
            status: recorded.get(&spec.id).copied(),
            needs: spec.depends_on.clone(),
        })
        .collect();
    match args.form {
        _ if terminal.json => terminal.json(&graph::json(&nodes)),
        GraphForm::Dot => terminal.out(&graph::dot(&nodes)),
        GraphForm::Mermaid => terminal.out(&graph::mermaid(&nodes)),
    }
    Ok(Exit::Done)
}
