//! Text for people: a plan, where everything stands, how a run went.

mod chronicle;
mod explain;
mod plan;
mod status;
mod summary;
mod tree;

pub use chronicle::chronicle;
pub use explain::explain;
pub use plan::{Heading, plan};
pub(super) use plan::{head, totals};
pub use status::{StatusOptions, status};
pub use summary::{SummaryOptions, Watched, summary};
pub(super) use summary::{outcome, verdict};

pub use super::words::reverted;
use crate::base::text::block;

/// The last `most` lines of a text, each safe to show and of bounded length. Of a line that
/// was written over (a progress bar) the last writing counts.
pub fn last_lines(text: &str, most: usize) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(most)..].iter().map(|line| shown(line)).collect()
}

/// The longest line that is shown whole, in characters.
const LONGEST: usize = 400;

fn shown(line: &str) -> String {
    let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let safe = block(last).replace('\t', "    ");
    match safe.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &safe[..cut]),
        None => safe.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_shown_without_what_a_terminal_would_obey() {
        assert_eq!(last_lines("a\nb\nc\n\n", 2), ["b", "c"]);
        assert_eq!(last_lines("10%\r20%\r\n  x\u{1b}]0;t\u{7}\ty", 9), ["20%", "  x]0;t    y"]);
        assert_eq!(last_lines("", 9), Vec::<String>::new());
        assert_eq!(last_lines(&"é".repeat(500), 1)[0].chars().count(), 401);
    }
}
