//! `drover report`: how a run went, from the record: also one that is long over, or under way.

use std::path::{Path, PathBuf};

use super::args::{Global, ReportArgs};
use super::exit::{CliResult, Exit, Failure};
use super::output::Output;
use super::terminal::Terminal;
use super::{context, running, site};
use crate::base::text::one_line;
use crate::base::{Millis, RunId, TaskId};
use crate::core::Fact;
use crate::engine::driver::now;
use crate::git::Repo;
use crate::report::chronicle::{Book, Chronicle};
use crate::report::json::FORMAT_VERSION;
use crate::report::text::SummaryOptions;
use crate::report::{self, html};
use crate::store::{lock, redb};

/// So many facts are read in one transaction.
const PAGE: usize = 5000;
/// So many runs are named where none is meant.
const NAMED: usize = 10;

pub fn run(global: &Global, terminal: &Terminal, args: &ReportArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let run = found(&repo, &target, &args.run)?;
    let chronicle = chronicle(&repo, &target, run)?;
    match &args.html {
        None if terminal.json => terminal.json(&report::json::chronicle(&chronicle)),
        None => {
            let log = |id: &TaskId| running::log_of(&repo, &chronicle.state, id);
            let options = SummaryOptions {
                color: terminal.color_out,
                verbose: terminal.verbose > 0,
                quiet: terminal.quiet,
                tail: 0,
                log: &log,
                watch: None,
                unmet: None,
            };
            terminal.out(&report::text::chronicle(&chronicle, &options));
        }
        Some(file) if file.as_deref() == Some(Path::new("-")) => terminal.out(&html::page(&chronicle)),
        Some(file) => write(global, terminal, &chronicle, file.as_deref(), args.force)?,
    }
    Ok(Exit::Done)
}

fn write(global: &Global, terminal: &Terminal, chronicle: &Chronicle, file: Option<&Path>, force: bool) -> Result<(), Failure> {
    let name = PathBuf::from(format!("drover-report-{}.html", html::short(chronicle)));
    let path = site::absolute(&context::directory(global)?, file.unwrap_or(&name));
    let page = html::page(chronicle);
    Output { path: &path, text: &page, marker: html::MARKER, force }.put()?;
    let shown = path.display().to_string();
    match terminal.json {
        true => terminal.json(&serde_json::json!({
            "format_version": FORMAT_VERSION, "run": chronicle.run.as_str(), "file": shown, "bytes": page.len(),
        })),
        false => terminal.out(&format!("Wrote {}.", one_line(&shown, 1000))),
    }
    Ok(())
}

/// The run that is meant by its id, the beginning of it, or `last`.
fn found(repo: &Repo, target: &str, asked: &str) -> Result<RunId, Failure> {
    let runs: Vec<(RunId, Millis)> = redb::pick_history(&repo.state_dir(), target, |record| match record.fact {
        Fact::RunBegan { run, .. } => Some((run, record.at)),
        _ => None,
    })?;
    let Some((last, _)) = runs.last() else {
        return Err(Failure::unfit(format!("no run is recorded for `{target}` yet\n  Run `drover apply`.")));
    };
    if asked == "last" {
        return Ok(last.clone());
    }
    let exact = runs.iter().find(|(run, _)| run.as_str() == asked);
    let meant: Vec<&(RunId, Millis)> =
        exact.map_or_else(|| runs.iter().filter(|(run, _)| run.as_str().starts_with(asked)).collect(), |run| vec![run]);
    if let [(run, _)] = meant.as_slice() {
        return Ok(run.clone());
    }
    let (what, of) = match meant.is_empty() {
        true => ("no run", runs.iter().collect()),
        false => ("more than one run", meant),
    };
    let named = of.iter().rev().take(NAMED).map(|(run, began)| format!("\n  {run}, began {}", report::time(*began)));
    let message =
        format!("{what} has an id that begins with `{}`; the last of them are:{}", one_line(asked, 80), named.collect::<String>());
    Err(Failure::new(Exit::NoMatch, message))
}

fn chronicle(repo: &Repo, target: &str, run: RunId) -> Result<Chronicle, Failure> {
    let dir = repo.state_dir();
    // In this order: a run that ended before the look at the record is seen to have ended.
    let at_work = lock::is_held(&dir);
    let mut book = Book::of(run);
    let mut after = 0;
    while !book.is_full() {
        let records = redb::read_history(&dir, target, after, PAGE)?;
        let Some(last) = records.last() else { break };
        after = last.seq;
        for record in &records {
            book.enter(record.at, &record.fact).map_err(|e| Failure::internal(e.to_string()))?;
        }
    }
    book.close(target, now(), at_work).ok_or_else(|| Failure::internal("the run is not in the record any more"))
}
