//! Reads what an agent prints, whatever that is: bounded memory, no panic, no trust.

use std::io::{BufRead, ErrorKind};

use serde::Deserialize;

use crate::base::text::one_line;

/// The longest line that is looked at, in bytes; longer ones are skipped.
pub const MAX_LINE: usize = 1 << 20;
/// How much of one activity is shown, in characters.
const MAX_ACTIVITY: usize = 200;

/// What a line of the output tells.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// What the agent says or does, in one line that is safe to show.
    Activity(String),
    /// How it went. Several can come; the last one counts.
    Result(Report),
}

/// The agent's own account of how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub succeeded: bool,
    /// Why it stopped, in the program's own terms: `success`, `error_max_turns`, `api_error`, …
    pub reason: String,
    /// Its words to people. Neither bounded nor safe to show.
    pub text: String,
    /// The names of the tools that it was denied, each once.
    pub denied: Vec<String>,
}

/// The events in the JSON lines of Claude Code. What is no JSON, not known or too long is passed
/// over; a read error ends it like the end of the output.
pub struct Reader<R> {
    from: R,
    line: Vec<u8>,
    /// Lines passed over because they are longer than [`MAX_LINE`].
    pub skipped: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), skipped: 0 }
    }

    /// Fills `line`; false at the end.
    fn next_line(&mut self) -> bool {
        self.line.clear();
        let (mut any, mut long) = (false, false);
        loop {
            let chunk = chunk(&mut self.from);
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|b| *b == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            long |= self.line.len() + piece.len() > MAX_LINE;
            if !long {
                self.line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.from.consume(used);
            if end.is_some() {
                break;
            }
        }
        if long {
            self.line.clear();
            self.skipped += 1;
        }
        any
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = AgentEvent;

    fn next(&mut self) -> Option<AgentEvent> {
        while self.next_line() {
            if let Some(event) = event(&String::from_utf8_lossy(&self.line)) {
                return Some(event);
            }
        }
        None
    }
}

/// The end of a text output, at most `max` bytes and from the start of a line where it was cut.
pub(super) fn tail(mut from: impl BufRead, max: usize) -> String {
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let chunk = chunk(&mut from);
        if chunk.is_empty() {
            return end_of(&String::from_utf8_lossy(&kept), max).to_owned();
        }
        kept.extend_from_slice(chunk);
        let used = chunk.len();
        from.consume(used);
        // One byte more than is kept tells that something stood before.
        kept.drain(..kept.len().saturating_sub(max + 1));
    }
}

/// The last `max` bytes of a text, from the start of a line where there is one in them.
pub(super) fn end_of(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let from = (text.len() - max..=text.len()).find(|n| text.is_char_boundary(*n)).unwrap_or(text.len());
    let end = &text[from..];
    let whole = text[..from].ends_with('\n');
    match end.find('\n') {
        Some(n) if !whole && n + 1 < end.len() => &end[n + 1..],
        _ => end,
    }
}

/// What can be read now; empty at the end and on an error.
fn chunk(from: &mut impl BufRead) -> &[u8] {
    loop {
        match from.fill_buf() {
            Ok(_) => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return &[],
        }
    }
    from.fill_buf().unwrap_or_default()
}

/// Which kind of line it is; the rest is read once that is known.
#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Assistant {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
    name: Option<String>,
    input: Option<ToolInput>,
}

/// What of a tool's input says most in one line.
#[derive(Deserialize)]
struct ToolInput {
    file_path: Option<String>,
    command: Option<String>,
}

#[derive(Deserialize)]
struct Last {
    subtype: Option<String>,
    is_error: Option<bool>,
    result: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
    api_error: Option<String>,
    terminal_reason: Option<String>,
    #[serde(default)]
    permission_denials: Vec<Denial>,
}

#[derive(Deserialize)]
struct Denial {
    tool_name: Option<String>,
}

fn event(line: &str) -> Option<AgentEvent> {
    let kind: Kind = serde_json::from_str(line).ok()?;
    match kind.r#type.as_str() {
        "assistant" => activity(serde_json::from_str(line).ok()?).map(AgentEvent::Activity),
        // One that cannot be read still is the last word, and not a good one.
        "result" => Some(AgentEvent::Result(serde_json::from_str(line).map_or_else(|_| unreadable(), report))),
        _ => None,
    }
}

fn activity(line: Assistant) -> Option<String> {
    let words = line.message.content.into_iter().filter_map(|block| match block.r#type.as_str() {
        "text" => block.text,
        "tool_use" => {
            let on = block.input.and_then(|i| i.file_path.or(i.command)).unwrap_or_default();
            Some(format!("{} {on}", block.name.unwrap_or_default()))
        }
        _ => None,
    });
    words.map(|w| one_line(&w, MAX_ACTIVITY)).rfind(|w| !w.is_empty())
}

fn report(last: Last) -> Report {
    let subtype = last.subtype.unwrap_or_default();
    let succeeded = subtype == "success" && last.is_error == Some(false);
    // An error of the API comes as `success` with `is_error`; what it was stands elsewhere.
    let reason = match subtype.as_str() {
        "success" if !succeeded => last.api_error.or(last.terminal_reason).unwrap_or_else(|| "error".into()),
        _ => subtype,
    };
    let mut denied: Vec<String> = last.permission_denials.into_iter().filter_map(|d| d.tool_name).collect();
    denied.sort();
    denied.dedup();
    Report { succeeded, reason, text: last.result.unwrap_or_else(|| last.errors.join("\n")), denied }
}

fn unreadable() -> Report {
    Report { succeeded: false, reason: "unreadable".into(), text: "its last result could not be read".into(), denied: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::*;

    /// So many bytes without a newline, in pieces.
    struct Flood(usize);

    impl Read for Flood {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("it is read by pieces")
        }
    }
    impl BufRead for Flood {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            Ok(&[b'x'; 1 << 16][..self.0.min(1 << 16)])
        }
        fn consume(&mut self, n: usize) {
            self.0 -= n;
        }
    }

    #[test]
    fn memory_stays_bounded_however_long_a_line_is() {
        let mut reader = Reader::new(Flood(32 << 20));
        assert_eq!((reader.next(), reader.skipped), (None, 1));
        assert!(reader.line.capacity() <= 2 * MAX_LINE, "{} bytes", reader.line.capacity());
        assert_eq!(tail(Flood(32 << 20), 10), "xxxxxxxxxx");
    }

    #[test]
    fn the_end_of_a_text_starts_with_a_whole_line_where_one_fits() {
        assert_eq!(end_of("ab\ncd\nef", 99), "ab\ncd\nef");
        assert_eq!(end_of("ab\ncd\nef", 5), "cd\nef");
        assert_eq!(end_of("ab\ncd\nef", 4), "ef");
        assert_eq!(end_of("abcdef\n", 3), "ef\n");
        assert_eq!(end_of("éé", 3), "é");
        assert_eq!(end_of("éé", 1), "");
    }
}
