//! `drover events`: the journal as JSON lines, and on as it grows. Reads beside a writer, one
//! short transaction at a time, so that nobody waits for a slow reader.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::args::{EventsArgs, Global};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::telling;
use super::terminal::Terminal;
use crate::base::Millis;
use crate::engine::driver::now;
use crate::process::Changes;
use crate::report::{Veil, events};
use crate::store::{Record, redb};

/// So many facts are read in one transaction.
const PAGE: usize = 1000;
/// Looked again after this long, should a change have gone unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub fn run(global: &Global, terminal: &Terminal, args: &EventsArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let dir = repo.state_dir();
    let mut veil = telling::veil();
    match redb::snapshot(&dir, &target)? {
        Some(state) => {
            veil.see(&state);
            if args.after > state.head.seq {
                terminal.warn(&made_anew(args.after, state.head.seq));
            }
        }
        None if args.follow => {}
        None => return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply`."))),
    }
    let oldest = args.since.map_or(Millis(0), |age| Millis(now().0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))));
    let first = redb::read_history(&dir, &target, 0, 1)?;
    let journal = first.first().map(|record| events::journal(&target, record.at));
    if !terminal.answer(|out| writeln!(out, "{}", events::version(journal.as_deref()))) {
        return Ok(Exit::Done);
    }
    let mut changes = Changes::default();
    let mut after = args.after;
    passed_over(&mut veil, &dir, &target, after)?;
    loop {
        // Before the look: what is written from here on ends the wait.
        if args.follow {
            changes.add(&dir);
        }
        after = match page(terminal, &mut veil, (&dir, &target), after, oldest)? {
            Some(read) if read > after => read,
            Some(_) if args.follow => {
                changes.wait(LOOK_AGAIN);
                after
            }
            // All is told, or nobody reads on.
            _ => return Ok(Exit::Done),
        };
    }
}

fn made_anew(after: u64, last: u64) -> String {
    format!(
        "nothing follows number {after}: the last one is {last}, so the record was made anew since\n  \
         Begin at its start: drover events --after 0"
    )
}

/// What is not told may say what is secret in what is.
fn passed_over(veil: &mut Veil, dir: &Path, target: &str, before: u64) -> Result<(), Failure> {
    let mut read = 0;
    while read < before {
        let records = redb::read_history(dir, target, read, PAGE)?;
        let Some(last) = records.last() else { break };
        read = last.seq;
        records.iter().filter(|record| record.seq <= before).for_each(|record| veil.hear(&record.fact));
    }
    Ok(())
}

/// Writes what follows `after`; the number of the last fact read, or `None` if nobody listens.
fn page(terminal: &Terminal, veil: &mut Veil, (dir, target): (&Path, &str), after: u64, oldest: Millis) -> Result<Option<u64>, Failure> {
    let records = redb::read_history(dir, target, after, PAGE)?;
    let last = records.last().map_or(after, |r| r.seq);
    let mut line = |r: &Record| {
        veil.hear(&r.fact);
        veil.line(r.seq, r.at, &r.fact).map_err(|e| Failure::internal(e.to_string()))
    };
    let lines: Vec<_> = records.iter().map(|r| Ok((r.at, line(r)?))).collect::<Result<_, Failure>>()?;
    let lines: Vec<_> = lines.into_iter().filter(|(at, _)| *at >= oldest).map(|(_, line)| line).collect();
    let heard = terminal.answer(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")));
    Ok(heard.then_some(last))
}
