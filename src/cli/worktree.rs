//! `drover worktree`: which worktrees there are, and taking away the idle ones.

use std::collections::BTreeMap;

use super::args::{Global, WorktreeVerb};
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use super::{apply, context};
use crate::base::text::count;
use crate::base::{Aid, TaskId};
use crate::engine::room::size;
use crate::engine::slots::{Slot, Slots, throw_away};
use crate::git::Repo;
use crate::report::json::FORMAT_VERSION;
use crate::store::redb;

pub fn run(global: &Global, terminal: &Terminal, verb: &WorktreeVerb) -> CliResult {
    let repo = context::repository(global)?;
    let slots = Slots::new(&repo.state_dir());
    let all = slots.all().map_err(|e| Failure::unfit(format!("the slots of worktrees could not be listed: {e}")))?;
    match verb {
        WorktreeVerb::List => list(terminal, &repo, &all),
        WorktreeVerb::Prune => prune(terminal, &repo, &slots),
    }
}

/// One line of the list.
struct Line<'a> {
    slot: &'a Slot,
    task: Option<TaskId>,
    state: &'static str,
    bytes: u64,
}

fn list(terminal: &Terminal, repo: &Repo, all: &[Slot]) -> CliResult {
    let active = active(repo)?;
    let lines: Vec<Line<'_>> = all
        .iter()
        .map(|slot| {
            let task = slot.owner.as_ref().and_then(|aid| active.get(aid)).cloned();
            let state = match (&slot.owner, &task) {
                (None, _) => "idle",
                (Some(_), Some(_)) => "in_use",
                (Some(_), None) => "ended",
            };
            Line { slot, task, state, bytes: size(&slot.root.join(slot.name())) }
        })
        .collect();
    if terminal.json {
        let json = |l: &Line<'_>| {
            serde_json::json!({
                "slot": l.slot.name(),
                "state": l.state,
                "attempt": l.slot.owner.as_ref().map(Aid::as_str),
                "task": l.task.as_ref().map(TaskId::as_str),
                "port": l.slot.port,
                "bytes": l.bytes,
                "path": l.slot.root.join(l.slot.name()).display().to_string(),
            })
        };
        terminal.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "worktrees": lines.iter().map(json).collect::<Vec<_>>() }));
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        terminal.out("There are no worktrees.");
        return Ok(Exit::Done);
    }
    let text = |l: &Line<'_>| {
        let who = l.task.as_ref().map(ToString::to_string).or(l.slot.owner.as_ref().map(ToString::to_string)).unwrap_or("-".into());
        let place = l.slot.root.join(l.slot.name()).display().to_string();
        format!(
            "{:<8}  {:<6}  {:>9}  {who}  {}",
            l.slot.name(),
            l.state.replace('_', " "),
            mib(l.bytes),
            crate::base::text::one_line(&place, 1000)
        )
    };
    let total: u64 = lines.iter().map(|l| l.bytes).sum();
    let shown: Vec<String> = lines.iter().map(text).collect();
    terminal.out(&format!("{}\n{}, {}", shown.join("\n"), count(lines.len(), "worktree"), mib(total)));
    Ok(Exit::Done)
}

fn prune(terminal: &Terminal, repo: &Repo, slots: &Slots) -> CliResult {
    let _lock = apply::lock(repo)?;
    apply::own(repo)?;
    let unfit = |e: std::io::Error| Failure::unfit(format!("the slots of worktrees could not be listed: {e}"));
    let (mut removed, mut kept, mut freed) = (Vec::new(), Vec::new(), 0);
    // Listed anew, now that no other Drover gives any away.
    let all = slots.all().map_err(unfit)?;
    for slot in all.iter().filter(|s| s.owner.is_none()) {
        let bytes = size(&slot.root.join(slot.name()));
        let found = throw_away(repo, slots, slot).map_err(|e| Failure::unfit(format!("{} was left alone: {e}", slot.name())))?;
        kept.extend(found);
        removed.push(slot.name());
        freed += bytes;
    }
    let owned = all.len() - removed.len();
    if terminal.json {
        terminal.json(
            &serde_json::json!({ "format_version": FORMAT_VERSION, "removed": removed, "bytes": freed, "kept": kept, "left": owned }),
        );
        return Ok(Exit::Done);
    }
    let mut out = format!("Removed {}, {}.", count(removed.len(), "idle worktree"), mib(freed));
    for name in kept {
        out.push_str(&format!("\nWhat somebody had changed in one is kept as {name}."));
    }
    if owned > 0 {
        out.push_str(&format!("\n{} of attempts that have not ended: `drover resume` goes on with them.", count(owned, "worktree")));
    }
    terminal.out(&out);
    Ok(Exit::Done)
}

/// The tasks that attempts are under way at, of all targets.
fn active(repo: &Repo) -> Result<BTreeMap<Aid, TaskId>, Failure> {
    let mut found = BTreeMap::new();
    if let Some(overview) = redb::overview(&repo.state_dir())? {
        for (_, state) in &overview.targets {
            found.extend(state.active().map(|(task, attempt)| (attempt.aid.clone(), task.spec.id.clone())));
        }
    }
    Ok(found)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
