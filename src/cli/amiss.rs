//! What the record does not say and `status` is to: that the files are not taken over, that another branch is checked
//! out, that the target lost what had landed. Reads alone.

use std::collections::{BTreeMap, BTreeSet};

use super::args::Global;
use super::{context, running};
use crate::base::text::{count, one_line};
use crate::core::{Input, Selection, State, decide};
use crate::engine::driver::now;
use crate::files::{self, Project};
use crate::git::{Head, LineState, Repo};
use crate::plan::{self, Guarded, Request};
use crate::store::lock;

/// Each in lines: the first says what is so, the others what to do. `at_work` is whether a Drover is.
pub fn found(global: &Global, repo: &Repo, target: &str, state: &State, at_work: bool) -> Vec<String> {
    let away = branch(repo, target, at_work);
    let files = files(global, repo, state, at_work, away.is_some());
    stopped(repo).into_iter().chain(line(repo, target)).chain(away).chain(files).collect()
}

fn stopped(repo: &Repo) -> Option<String> {
    let pid = lock::stopped_holder(&repo.state_dir())?;
    Some(format!("the Drover at work here, process {pid}, is stopped\n  {}.", lock::go_on(pid)))
}

fn line(repo: &Repo, target: &str) -> Option<String> {
    match repo.look_at_line(target) {
        Ok(LineState::Rewound { published, .. }) => Some(running::rewound(target, &published)),
        Ok(LineState::NoTarget) => Some(format!("there is no branch `{target}` to land on\n  `git branch {target} COMMIT` makes it.")),
        _ => None,
    }
}

fn branch(repo: &Repo, target: &str, at_work: bool) -> Option<String> {
    let what = match repo.head().ok()? {
        Head::Branch { name, .. } if name == target => return None,
        Head::Branch { name, .. } => format!("`{}` is checked out", one_line(&name, 100)),
        Head::Detached => "no branch is checked out".to_owned(),
    };
    let watch = if at_work { "; a watch that was started there begins nothing until then" } else { "" };
    Some(format!("{what}, and work lands on `{target}`\n  `git switch {target}` shows what landed{watch}."))
}

/// Why the files are not what is carried out.
fn files(global: &Global, repo: &Repo, state: &State, at_work: bool, elsewhere: bool) -> Option<String> {
    let options = context::options(global);
    let loaded = files::load(repo.root(), &options);
    if let Some(why) = context::no_profile(options.profile.as_deref(), &loaded) {
        return Some(why);
    }
    match &loaded.project {
        None => {
            let mistakes = count(loaded.report.errors(), "mistake");
            Some(format!("the task files have {mistakes}: what they say is not taken over\n  `drover validate` shows what is wrong."))
        }
        // Those of another branch are of other tasks.
        Some(_) if elsewhere => None,
        Some(project) => refused(project, state, at_work),
    }
}

/// What of the files an apply would refuse: the same plan, without what history may have to add.
fn refused(project: &Project, recorded: &State, at_work: bool) -> Option<String> {
    let moves = plan::moves(&project.graph, recorded);
    let mut recorded = recorded.clone();
    drop(decide(&mut recorded, now(), &Input::Reconcile { policy: None, changes: moves.changes }));
    let plan = plan::diff(&Request {
        graph: &project.graph,
        policy: &project.policy,
        recorded: &recorded,
        moved: &moves.moved,
        rerun: &BTreeSet::new(),
        inputs: &BTreeMap::new(),
        selection: &Selection::All,
        now: now(),
    });
    if let Some(first) = plan.errors.first() {
        let more = if plan.errors.len() > 1 { format!(" (and {} more)", plan.errors.len() - 1) } else { String::new() };
        return Some(format!("what the task files say is refused: {first}{more}\n  `drover plan` shows all of it."));
    }
    // Beside a Drover at work a task that leaves the files is nothing to be asked about.
    let guards: Vec<_> = plan.guards.iter().filter(|guard| !(at_work && guard.what == Guarded::Running)).collect();
    let what: Vec<&str> = guards.iter().map(|guard| &*guard.message).collect();
    let flags: BTreeSet<&str> = guards.iter().map(|guard| guard.flag).collect();
    let flags: Vec<&str> = flags.into_iter().collect();
    let verb = if at_work { "sync" } else { "apply" };
    (!what.is_empty()).then(|| {
        format!(
            "what the task files say is not taken over, as it looks like a mistake: {}\n  If it is meant, say `drover {verb} {}`; if not, put it back.",
            what.join("; "),
            flags.join(" ")
        )
    })
}
