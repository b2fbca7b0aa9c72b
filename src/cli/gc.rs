//! `drover gc`: lets go of what attempts left, as far as it is proved to be kept elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::args::{GcArgs, Global};
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use super::{apply, context};
use crate::base::text::count;
use crate::base::{Millis, Oid};
use crate::engine::driver::now;
use crate::git::{AttemptRef, Repo};
use crate::report::json::FORMAT_VERSION;
use crate::store::Store;
use crate::store::redb::RedbStore;

/// What is to go, and what is not.
struct Found {
    kept: Vec<AttemptRef>,
    going: Vec<AttemptRef>,
    logs: Vec<PathBuf>,
}

pub fn run(global: &Global, terminal: &Terminal, args: &GcArgs) -> CliResult {
    let repo = context::repository(global)?;
    let _lock = apply::lock(&repo)?;
    apply::own(&repo)?;
    let cutoff = Millis(now().0.saturating_sub(u64::try_from(args.older_than.as_millis()).unwrap_or(u64::MAX)));
    let found = look(&repo, cutoff)?;
    if !args.dry_run {
        repo.delete_refs(&found.going).map_err(|e| Failure::unfit(format!("the refs could not be deleted: {e}")))?;
        for dir in &found.logs {
            fs::remove_dir_all(dir).map_err(|e| Failure::unfit(format!("{} could not be removed: {e}", dir.display())))?;
        }
    }
    if terminal.json {
        let names = |refs: &[AttemptRef]| refs.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
        let logs: Vec<String> = found.logs.iter().map(|d| d.display().to_string()).collect();
        terminal.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "dry_run": args.dry_run,
            "deleted": names(&found.going),
            "unmerged": names(&found.kept),
            "logs": logs,
        }));
    } else {
        terminal.out(&told(&found, args.dry_run));
    }
    Ok(Exit::Done)
}

fn look(repo: &Repo, cutoff: Millis) -> Result<Found, Failure> {
    let failed = |e: crate::git::GitError| Failure::unfit(format!("what attempts left could not be looked at: {e}"));
    let (standing, newest) = in_use(repo)?;
    let old = repo.attempt_refs().map_err(failed)?.into_iter();
    let old: Vec<AttemptRef> = old.filter(|r| r.made < cutoff && !standing.iter().any(|aid| r.is_of(aid))).collect();
    let commits: BTreeSet<Oid> = old.iter().map(|r| r.commit.clone()).collect();
    let proved = repo.proved_kept(&commits).map_err(failed)?;
    let (going, kept) = old.into_iter().partition::<Vec<_>, _>(|r| proved.contains(&r.commit));
    let left: Vec<AttemptRef> = repo.attempt_refs().map_err(failed)?.into_iter().filter(|r| !going.contains(r)).collect();
    let mut logs = Vec::new();
    for entry in fs::read_dir(repo.state_dir().join("attempts")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let changed = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let is_old = changed.is_some_and(|t| t.as_millis() < u128::from(cutoff.0));
        // Of the newest attempt at each task the output stays.
        if is_old && !standing.contains(&name) && !newest.contains(&name) && !left.iter().any(|r| r.is_of(&name)) {
            logs.push(entry.path());
        }
    }
    logs.sort();
    Ok(Found { kept, going, logs })
}

/// The attempts that may still be under way, and the newest one at each task; of all targets.
fn in_use(repo: &Repo) -> Result<(BTreeSet<String>, BTreeSet<String>), Failure> {
    let (mut standing, mut newest) = (BTreeSet::new(), BTreeSet::new());
    if !repo.state_dir().join(crate::store::redb::FILE).exists() {
        return Ok((standing, newest));
    }
    let mut store = RedbStore::open(&repo.state_dir())?;
    for target in store.targets()? {
        let state = store.load(&target)?;
        standing.extend(state.standing().iter().map(|aid| aid.to_string()));
        standing.extend(state.tasks.values().filter_map(|t| t.carry.as_ref()).map(|c| c.aid.to_string()));
        newest.extend(state.tasks.keys().filter_map(|id| state.last_aid(id)).map(|aid| aid.to_string()));
    }
    Ok((standing, newest))
}

fn told(found: &Found, dry_run: bool) -> String {
    let verb = if dry_run { "Would delete" } else { "Deleted" };
    let mut out = format!(
        "{verb} {}, whose work is on a branch or on the line, and the logs of {}.",
        count(found.going.len(), "ref"),
        count(found.logs.len(), "attempt")
    );
    if !found.kept.is_empty() {
        out.push_str(&format!("\nKept {}, whose work is nowhere else:", count(found.kept.len(), "ref")));
        for kept in &found.kept {
            out.push_str(&format!("\n  {} {}", kept.commit.short(), kept.name));
        }
    }
    out
}
