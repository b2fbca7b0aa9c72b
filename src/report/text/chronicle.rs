//! What came of one run, for people: the summary that it ended with, and where its time went.

use super::summary::{SummaryOptions, body, verdict};
use crate::base::text::one_line;
use crate::base::{TaskId, format_duration};
use crate::report::chronicle::{Chronicle, End};
use crate::report::words;

pub fn chronicle(it: &Chronicle, options: &SummaryOptions) -> String {
    let selected = it.selected();
    let project = one_line(&it.state.policy.project, 80);
    let took = format_duration(it.took());
    let mut out = format!("{project} · {} · run {}, began {}\n", one_line(&it.target, 80), it.run, words::time(it.began));
    out += &body(&it.state, &selected, it.until, options);
    let steps: Vec<&str> = it.critical.iter().map(TaskId::as_str).collect();
    if steps.len() > 1 {
        let work = it.sum(|id| it.critical.contains(id)).took;
        out += &format!("Critical path: {}; {} of {took}.\n", steps.join(" -> "), format_duration(work));
    }
    out + &match it.end {
        End::Ended => verdict(&it.state, &selected, it.until, None, None),
        End::CutShort => format!("Cut short after {took}: {}.\n", words::count_up(&selected)),
        End::UnderWay => format!("Under way for {took}: {}.\n", words::count_up(&selected)),
    }
}
