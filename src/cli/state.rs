//! `drover state`: the store as a whole, and making it anew from history.

use super::args::{Global, RebuildArgs, Reconcile, StateVerb};
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use super::{apply, context};
use crate::base::text::count;
use crate::core::{Fact, Selection, State, decide, view::Status};
use crate::engine::driver::now;
use crate::engine::orphans;
use crate::git::{Past, Repo, Says};
use crate::report::json::FORMAT_VERSION;
use crate::store::redb::{self, Overview, RedbStore};
use crate::store::{Store, batch, home};

pub fn run(global: &Global, terminal: &Terminal, verb: &StateVerb) -> CliResult {
    match verb {
        StateVerb::Show => show(global, terminal),
        StateVerb::Rebuild(args) => rebuild(global, terminal, args),
    }
}

fn show(global: &Global, terminal: &Terminal) -> CliResult {
    let repo = context::repository(global)?;
    let dir = repo.state_dir();
    let Some(found) = redb::overview(&dir)? else {
        let place = dir.join(redb::FILE);
        return Err(Failure::unfit(format!("there is no store at {} yet\n  Run `drover apply`.", place.display())));
    };
    if terminal.json {
        terminal.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "path": found.path.display().to_string(),
            "bytes": found.bytes,
            "layout": found.layout,
            "records": found.records,
            "targets": found.targets.iter().map(|(name, state)| target_json(&repo, name, state)).collect::<Vec<_>>(),
        }));
    } else {
        terminal.out(&told(&repo, &found));
    }
    Ok(Exit::Done)
}

fn target_json(repo: &Repo, name: &str, state: &State) -> serde_json::Value {
    let past = repo.kept_past(name).unwrap_or_default();
    serde_json::json!({
        "target": name,
        "facts": state.head.seq,
        "tasks": state.views().len(),
        "completed": completed(state),
        "attempts": state.head.claims,
        "history": { "tips": past.tips, "landings": landings(&past), "reverts": past.marks.len() - landings(&past) },
    })
}

fn told(repo: &Repo, found: &Overview) -> String {
    let mut out = format!(
        "{}\n  {} bytes, tables of version {}, records of version {}\n",
        found.path.display(),
        found.bytes,
        found.layout,
        found.records
    );
    for (name, state) in &found.targets {
        let tasks = count(state.views().len(), "task");
        let (facts, attempts) = (count(usize::try_from(state.head.seq).unwrap_or(usize::MAX), "fact"), state.head.claims);
        out.push_str(&format!("{name}\n  {tasks}, {} completed; {attempts} attempts; {facts}\n", completed(state)));
        let history = match repo.kept_past(name) {
            None => "not read yet".into(),
            Some(past) => {
                let tips: Vec<&str> = past.tips.iter().map(|t| t.short()).collect();
                let reverts = past.marks.len() - landings(&past);
                format!("read up to {}: {} of landings, {} of reverts", tips.join(" and "), count(landings(&past), "record"), reverts)
            }
        };
        out.push_str(&format!("  history {history}\n"));
    }
    out
}

fn completed(state: &State) -> usize {
    state.tally().get(&Status::Completed).copied().unwrap_or(0)
}

fn landings(past: &Past) -> usize {
    past.marks.iter().filter(|m| matches!(m.says, Says::Landed { .. })).count()
}

fn rebuild(global: &Global, terminal: &Terminal, args: &RebuildArgs) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(global, &repo, Some(&project))?;
    let dir = repo.state_dir();
    let _lock = apply::lock(&repo)?;
    // Whatever can go wrong does so before the present store is touched.
    let mut state = State::default();
    let opening = apply::opened(terminal, &repo, &target, &project, &state)?;
    let plan = apply::reconciled(&project, &opening, &Selection::All, &Reconcile::default())?;
    let kept = match dir.join(redb::FILE).exists() {
        false => None,
        true if !redb::is_whole(&dir)? => Some(redb::set_aside(&dir, "corrupt")?),
        true if args.allow_loss => Some(redb::set_aside(&dir, "old")?),
        true => {
            return Err(Failure::new(
                Exit::Refused,
                "the store is whole, and a new one knows less: nothing of attempts, of failures, of other targets, of tasks in the checkout, nor of what a person said of tasks\n  If that is meant, say --allow-loss.",
            ));
        }
    };
    // What a copy says that runs, runs for the repository that it was copied from.
    let ended = match home::original(&dir)? {
        None => orphans::end_all(&dir),
        Some(_) => apply::disown(&repo).map(|()| Vec::new())?,
    };
    home::note(&dir)?;
    let mut store = RedbStore::open(&dir)?;
    let at = now();
    let inputs = opening.inputs.into_iter().chain([apply::reconcile_input(&project.policy, &plan)]);
    let facts: Vec<Fact> = inputs.flat_map(|input| decide(&mut state, at, &input)).collect();
    store.commit(&target, &batch(&state, at, facts))?;
    let kept = kept.map(|path| path.display().to_string());
    let ended: Vec<String> = ended.iter().map(|aid| aid.to_string()).collect();
    let (tasks, done) = (state.views().len(), completed(&state));
    if terminal.json {
        terminal.json(
            &serde_json::json!({ "format_version": FORMAT_VERSION, "kept": kept, "ended": ended, "tasks": tasks, "completed": done }),
        );
        return Ok(Exit::Done);
    }
    let kept = kept.map(|path| format!("The store of before is kept as {path}.\n")).unwrap_or_default();
    let ended = match ended.as_slice() {
        [] => String::new(),
        some => {
            format!("Ended {} that no record knows of: {}. The next run keeps the work.\n", count(some.len(), "attempt"), some.join(", "))
        }
    };
    terminal.out(&format!("{kept}{ended}Made a new one from history: {done} of {} completed.", count(tasks, "task")));
    Ok(Exit::Done)
}
