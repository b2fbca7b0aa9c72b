//! `drover sync`: reconciles, and runs nothing. Beside a watch it is how a person says that an edit is
//! meant which the watch takes for a mistake.

use super::apply::{self, Open};
use super::args::{Global, SyncArgs};
use super::context;
use super::control::{self, Reached};
use super::exit::{CliResult, Exit, Failure};
use super::telling::Telling;
use super::terminal::Terminal;
use crate::base::text::count;
use crate::control::{Ask, Reply, Request, VERSION};
use crate::core::{Fact, Selection, decide};
use crate::engine::driver::now;
use crate::files::Project;
use crate::git::Repo;
use crate::report;
use crate::store::batch;

pub fn run(global: &Global, terminal: &Terminal, args: &SyncArgs) -> CliResult {
    let telling = Telling::new(global, terminal, &args.tell)?;
    let terminal = &telling.terminal.clone();
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(global, &repo, Some(&project))?;
    let mut open = match reach(&repo, &target, &project, args)? {
        To::Record(open) => open,
        To::Watch { changes, settings } => {
            say(terminal, changes, settings, true);
            return Ok(Exit::Done);
        }
    };
    let opening = apply::opened(terminal, &repo, &target, &project, &open.state)?;
    let plan = apply::reconciled(&project, &opening, &Selection::All, &args.reconcile)?;
    let at = now();
    let inputs = opening.inputs.into_iter().chain([apply::reconcile_input(&project.policy, &plan)]);
    let facts: Vec<Fact> = inputs.flat_map(|input| decide(&mut open.state, at, &input)).collect();
    if !facts.is_empty() {
        open.store.commit(&target, &batch(&open.state, at, facts.clone()))?;
    }
    telling.into_reporters().all(&open.state, at, &facts);
    say(terminal, plan.changes.len(), plan.policy_changed, false);
    Ok(Exit::Done)
}

/// Who takes the files over.
enum To {
    /// This process: no other is at work.
    Record(Box<Open>),
    /// A watch has done so, by a person's word.
    Watch { changes: usize, settings: bool },
}

/// A watch is told only that something is meant: what is no mistake it has taken over already.
fn reach(repo: &Repo, target: &str, project: &Project, args: &SyncArgs) -> Result<To, Failure> {
    let said = &args.reconcile;
    if !(said.allow_removals || said.allow_reruns) || !said.rerun.is_empty() {
        return Ok(To::Record(Box::new(apply::open(repo, target)?)));
    }
    let act = Ask::Files { read: project.fingerprint(), removals: said.allow_removals, reruns: said.allow_reruns };
    let request = Request { version: VERSION, target: target.into(), select: Vec::new(), act, rehearse: false, allow_reruns: false };
    match control::reach(&repo.state_dir(), &request)? {
        Reached::Nobody(lock) => Ok(To::Record(Box::new(apply::open_with(repo, target, lock)?))),
        Reached::Drover(Reply::Files { changes, settings }) => Ok(To::Watch { changes, settings }),
        Reached::Drover(Reply::Refused { why }) => Err(Failure::new(Exit::Refused, why)),
        // It is none that reads the files: it is waited for.
        Reached::Drover(_) => Ok(To::Record(Box::new(apply::open(repo, target)?))),
    }
}

fn say(terminal: &Terminal, changes: usize, settings: bool, live: bool) {
    if terminal.json {
        let version = report::json::FORMAT_VERSION;
        terminal.json(&serde_json::json!({ "format_version": version, "changes": changes, "settings_changed": settings, "live": live }));
        return;
    }
    let who = if live { "the Drover at work carries them out" } else { "`drover run` carries them out" };
    terminal.out(&match (changes, settings) {
        (0, false) => "Nothing changed: the record is as the files are.".to_owned(),
        (0, true) => "Recorded the project's settings.".to_owned(),
        (n, _) => format!("Recorded {}; {who}.", count(n, "change")),
    });
}
