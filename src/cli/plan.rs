//! `drover plan`: what an apply would do, and why. Writes nothing.

use super::args::{Global, PlanArgs};
use super::exit::{CliResult, Exit};
use super::recall::recall;
use super::terminal::Terminal;
use super::{apply, context};
use crate::engine::driver::now;
use crate::plan;
use crate::plan::select::Universe;
use crate::report;
use crate::store::redb;

pub fn run(global: &Global, terminal: &Terminal, args: &PlanArgs) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(&repo, Some(&project))?;
    let recorded = redb::snapshot(&repo.state_dir(), &target)?.unwrap_or_default();
    let recalled = recall(&repo, &target, &project.graph, &recorded)?;
    let state = apply::known(&recorded, recalled.as_ref());
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, &state))?;
    let rerun = apply::rerun(&args.rerun, &project, &state)?;
    let plan = plan::diff(&plan::Request {
        graph: &project.graph,
        policy: &project.policy,
        recorded: &state,
        rerun: &rerun,
        selection: &selection,
        now: now(),
    });
    let tip = repo.branch_tip(&target).ok().flatten();
    let header = report::Heading {
        project: project.name.clone(),
        target,
        tip,
        tasks: project.graph.tasks().len(),
        epics: project.graph.epics().len(),
        files: project.files,
    };
    if terminal.json {
        terminal.json(&report::json::plan(&plan, &header));
    } else {
        terminal.out(&report::text::plan(&plan, &header, terminal.verbose > 0, terminal.color_out));
    }
    if !plan.errors.is_empty() {
        return Ok(Exit::Refused);
    }
    Ok(if args.detailed_exitcode && plan.is_pending() { Exit::Pending } else { Exit::Done })
}
