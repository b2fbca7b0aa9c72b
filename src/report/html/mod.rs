//! A run as one page that needs nothing else: no script, no network, every text inert.
//!
//! It tells titles, states, failures and the ends of their output; no prompt, no file.

mod gantt;
mod markup;
mod tables;

use std::time::Duration;

use super::chronicle::{Chronicle, End, Sum};
use super::words;
use crate::base::format_duration;
use crate::base::text::count;
use crate::core::view::{Status, TaskView, Verdict};
use markup::line;

/// Stands near the beginning of each report: by this a file is known to be one.
pub const MARKER: &str = "<meta name=\"generator\" content=\"drover report\"/>";
/// Nothing is loaded and nothing runs, whatever stands in the page.
const CONTENT: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// The longest title, in characters.
const TITLE: usize = 200;

pub fn page(it: &Chronicle) -> String {
    let views = it.selected();
    let project = line(&it.state.policy.project, TITLE);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n{MARKER}\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{CONTENT}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta name=\"referrer\" content=\"no-referrer\"/>\n<title>{project}: run {}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        short(it),
        include_str!("page.css"),
    );
    out += &head(it, &project);
    out += &tiles(it, &views);
    out += &gantt::timeline(it);
    out += &tables::epics(it, &views);
    out += &tables::tasks(it, &views);
    out += &tables::failures(it);
    out += &tables::settings(it);
    let version = env!("CARGO_PKG_VERSION");
    out += &format!(
        "<footer>Made by drover {version} from the record of run {}. Times are UTC.</footer>\n</main>\n</body>\n</html>\n",
        it.run
    );
    out
}

/// The beginning of the run's id: enough to tell it from others.
pub fn short(it: &Chronicle) -> &str {
    it.run.as_str().get(..12).unwrap_or(it.run.as_str())
}

fn head(it: &Chronicle, project: &str) -> String {
    let (class, word, why) = verdict(it);
    let why = why.map(|why| format!("<p class=\"why\">{}</p>\n", line(&why, 1000))).unwrap_or_default();
    let before = it.state.head.run.as_ref().and_then(|run| run.continues.as_ref());
    let before = before.map(|run| format!(" · goes on from {run}")).unwrap_or_default();
    format!(
        "<header>\n<p class=\"eyebrow\">Run {} · {}{before}</p>\n<h1>{project} <span class=\"pill {class}\">{word}</span></h1>\n\
         <p class=\"when\">{} → {} · {}</p>\n{why}</header>\n",
        it.run,
        line(&it.target, 200),
        words::time(it.began),
        words::time(it.until),
        format_duration(it.took()),
    )
}

fn verdict(it: &Chronicle) -> (&'static str, &'static str, Option<String>) {
    match (it.end, it.state.verdict()) {
        (End::UnderWay, _) => ("busy", "under way", None),
        (End::CutShort, _) => ("warn", "cut short", Some("Something ended Drover before the run was over; drover resume goes on.".into())),
        (End::Ended, Verdict::Done) => ("good", "done", None),
        (End::Ended, Verdict::Failed) => ("bad", "failed", None),
        (End::Ended, Verdict::Stopped(why)) => ("warn", "stopped", Some(why)),
    }
}

/// The few numbers that are looked for first.
fn tiles(it: &Chronicle, views: &[TaskView]) -> String {
    let Sum { attempts, failed, took, usage } = it.sum(|_| true);
    let of = |status: Status| views.iter().filter(|v| v.status == status).count();
    let not_done = |status: Status, word: &str| Some(of(status)).filter(|n| *n > 0).map(|n| format!("{n} {word}"));
    let left = [
        not_done(Status::Failed, "failed"),
        not_done(Status::Blocked, "blocked"),
        not_done(Status::Ready, "ready"),
        not_done(Status::Cancelled, "cancelled"),
    ];
    let left: Vec<String> = left.into_iter().flatten().collect();
    let mut tiles = vec![
        ("Completed", format!("{} of {}", of(Status::Completed), views.len()), left.join(", ")),
        ("Attempts", attempts.to_string(), if failed > 0 { format!("{failed} failed") } else { String::new() }),
        ("Time", format_duration(it.took()), at_a_time(it, took)),
    ];
    if usage.cost_microusd > 0 {
        tiles.push(("Cost", words::money(usage.cost_microusd), String::new()));
    }
    if let Some(all) = words::tokens(&usage) {
        tiles.push(("Tokens", all, count(usage.turns as usize, "turn")));
    }
    let tile = |(name, value, more): &(&str, String, String)| {
        format!("<div><dt>{name}</dt><dd>{value}<small>{}</small></dd></div>\n", line(more, 200))
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

fn at_a_time(it: &Chronicle, work: Duration) -> String {
    let most = if it.lanes > 1 { format!(", up to {} at a time", it.lanes) } else { String::new() };
    format!("{} of work{most}", format_duration(work))
}
