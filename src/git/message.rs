//! Commit messages and the records in them.
//!
//! A record is a line `Drover-<Key>: <value>`, indented or not: squash merges indent, and
//! git's own trailer parser would miss it. Whatever an agent wrote must never look like one.

use crate::base::text::{block, one_line};

/// The longest subject, in characters.
const SUBJECT: usize = 72;
/// The longest body, in characters.
const BODY: usize = 8000;
/// The longest value of a trailer, in characters.
const VALUE: usize = 200;
const PREFIX: &str = "drover-";

/// The trailers of a landed commit, a line each.
pub fn trailers(task_at_digest: &str, aid: &str, run: &str, agent: &str) -> String {
    let lines = [("Task", task_at_digest), ("Attempt", aid), ("Run", run), ("Agent", agent)];
    let lines = lines.into_iter().filter(|(_, value)| !value.trim().is_empty());
    lines.map(|(key, value)| format!("Drover-{key}: {}\n", one_line(value, VALUE))).collect()
}

/// A whole message: the subject in one line, the body without anything that looks like a
/// record, and the trailers as the last paragraph.
pub fn message(subject: &str, body: &str, trailers: &str) -> String {
    let mut subject = one_line(subject, SUBJECT);
    while is_record(&subject) {
        subject = subject.trim_start()[PREFIX.len()..].trim().to_owned();
    }
    if subject.is_empty() {
        "(no title)".clone_into(&mut subject);
    }
    let body = block(body);
    let lines: Vec<&str> = body.lines().filter(|line| !is_record(line)).map(str::trim_end).collect();
    let body: String = lines.join("\n").trim_matches('\n').chars().take(BODY).collect();
    let parts = [subject.as_str(), body.trim_end(), trailers.trim_end()];
    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    parts.join("\n\n") + "\n"
}

/// A message of somebody else's with the trailers added, in its own last paragraph if that
/// consists of trailers.
pub(super) fn with_trailers(message: &str, trailers: &str) -> String {
    let message = message.trim_end();
    let is_trailer = |line: &str| {
        let key = line.split_once(": ").map(|(key, _)| key);
        key.is_some_and(|k| !k.is_empty() && k.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
    };
    let ends_in_trailers = message.rsplit_once("\n\n").is_some_and(|(_, last)| last.lines().all(is_trailer));
    let between = if ends_in_trailers { "\n" } else { "\n\n" };
    let parts = [message, trailers.trim_end()];
    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    parts.join(between) + "\n"
}

/// Whether a line could be read as a record.
pub(super) fn is_record(line: &str) -> bool {
    line.trim_start().get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

/// The value of a line that is the record `Drover-<key>: <value>`.
pub(super) fn record_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix("Drover-")?.strip_prefix(key)?;
    Some(rest.strip_prefix(": ")?.trim())
}

/// The values of all records with that key.
pub(super) fn records_of<'a>(message: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    message.lines().filter_map(move |line| record_value(line, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_agent_writes_looks_like_a_record() {
        let forged = "fine\nDrover-Task: x@1:00\n  drover-attempt: a\r\n\u{1b}Drover-Run: r\nDro\u{0}ver-Run: r\n\u{a0}Drover-Agent: z\nsee Drover-Task: y";
        let text = message("Drover-Task: Drover-evil@1:0\nDrover-Run: q", forged, "Drover-Task: real@1:11\n");
        let records: Vec<&str> = text.lines().filter(|l| is_record(l)).collect();
        assert_eq!(records, ["Drover-Task: real@1:11"], "{text}");
        assert_eq!(text, "Task: Drover-evil@1:0 Drover-Run: q\n\nfine\nsee Drover-Task: y\n\nDrover-Task: real@1:11\n");
    }

    #[test]
    fn a_message_has_one_subject_line_and_the_trailers_last() {
        let last = trailers("a@1:0011", "r-1", "r", "claude-code/opus\nDrover-Task: b@1:22");
        let text = message(&"long ".repeat(40), "", &last);
        let (subject, rest) = text.split_once("\n\n").unwrap();
        assert!(subject.chars().count() <= SUBJECT + 1 && !subject.contains('\n'));
        assert_eq!(rest.lines().count(), 4, "{rest}");
        assert_eq!(records_of(&text, "Task").collect::<Vec<_>>(), ["a@1:0011"]);
        assert_eq!(message("", "", ""), "(no title)\n");
    }

    #[test]
    fn trailers_join_those_of_a_message_and_no_other_paragraph() {
        let told = |text| with_trailers(text, "Drover-Task: a@1:0\n");
        assert_eq!(told("Work: all of it\n"), "Work: all of it\n\nDrover-Task: a@1:0\n");
        assert_eq!(told("Work\n\nWhy: because\nand more"), "Work\n\nWhy: because\nand more\n\nDrover-Task: a@1:0\n");
        assert_eq!(told("Work\n\nCo-authored-by: A <a@b>\n\n"), "Work\n\nCo-authored-by: A <a@b>\nDrover-Task: a@1:0\n");
        assert_eq!(told(""), "Drover-Task: a@1:0\n");
    }
}
