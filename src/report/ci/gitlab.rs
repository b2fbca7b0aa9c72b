//! The sections of GitLab's job logs.

use crate::base::Millis;

/// What stands before and after lines that are folded away under a title. The name is unique in a log by
/// `nth`. Control characters make a section: lines without any cannot end this one or begin another.
pub fn section(title: &str, nth: usize, now: Millis) -> (String, String) {
    let seconds = now.0 / 1000;
    let begin = format!("\u{1b}[0Ksection_start:{seconds}:drover_{nth}[collapsed=true]\r\u{1b}[0K{title}\n");
    (begin, format!("\u{1b}[0Ksection_end:{seconds}:drover_{nth}\r\u{1b}[0K\n"))
}
