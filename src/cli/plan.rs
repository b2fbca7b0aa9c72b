//! `drover plan`: what an apply would do, and why. Writes nothing.

use std::collections::BTreeSet;

use super::args::{Format, Global, PlanArgs};
use super::exit::{CliResult, Exit};
use super::opening::{self, Opening};
use super::terminal::Terminal;
use super::{apply, context, settled};
use crate::base::{Millis, TaskId};
use crate::core::Selection;
use crate::engine::driver::now;
use crate::files::Project;
use crate::git::Repo;
use crate::plan::select::Universe;
use crate::plan::{self, Plan};
use crate::report::{self, Heading};
use crate::store::redb;

pub fn run(global: &Global, terminal: &Terminal, args: &PlanArgs) -> CliResult {
    if let Some(exit) = settled::planned(global, terminal, args) {
        return Ok(exit);
    }
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(global, &repo, Some(&project))?;
    let recorded = redb::snapshot(&repo.state_dir(), &target)?.unwrap_or_default();
    let opening = opening::of_files(&repo, &target, &project.graph, &recorded)?;
    opening.tell(terminal);
    let state = &opening.state;
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, state))?;
    let rerun = apply::rerun(&args.rerun, &project, state)?;
    let plan = of(&project, &opening, &selection, &rerun, now());
    let header = heading(&project, &repo, &target);
    if terminal.json {
        terminal.json(&report::json::plan(&plan, &header));
    } else if global.format == Format::Markdown {
        terminal.out(&report::page::plan(&plan, &header));
    } else {
        terminal.out(&report::text::plan(&plan, &header, terminal.verbose > 0, terminal.color_out));
    }
    if !plan.errors.is_empty() {
        return Ok(Exit::Refused);
    }
    Ok(if args.detailed_exitcode && plan.is_pending() { Exit::Pending } else { Exit::Done })
}

/// The files against what is recorded and what history says.
pub fn of(project: &Project, opening: &Opening, selection: &Selection, rerun: &BTreeSet<TaskId>, at: Millis) -> Plan {
    plan::diff(&plan::Request {
        graph: &project.graph,
        policy: &project.policy,
        recorded: &opening.state,
        moved: &opening.moved,
        rerun,
        inputs: &opening.inputs_changed,
        selection,
        now: at,
    })
}

pub fn heading(project: &Project, repo: &Repo, target: &str) -> Heading {
    Heading {
        project: project.name.clone(),
        target: target.to_owned(),
        tip: repo.branch_tip(target).ok().flatten(),
        tasks: project.graph.tasks().len(),
        epics: project.graph.epics().len(),
        files: project.files,
    }
}
