//! Lines and ends of what programs print: any bytes, bounded memory.

use std::io::{BufRead, ErrorKind};

/// The longest line that is looked at, in bytes; longer ones are skipped.
pub const MAX_LINE: usize = 1 << 20;

/// Line by line. A read error ends it like the end of the output.
pub(super) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    /// Lines passed over because they are longer than [`MAX_LINE`].
    pub skipped: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), skipped: 0 }
    }

    /// Gives the next line to `read`, an empty one where it was too long; None at the end.
    pub fn next<T>(&mut self, read: impl FnOnce(&str) -> T) -> Option<T> {
        self.fill().then(|| read(&String::from_utf8_lossy(&self.line)))
    }

    /// Fills `line`; false at the end.
    fn fill(&mut self) -> bool {
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
        let mut lines = Lines::new(Flood(32 << 20));
        assert_eq!((lines.next(str::to_owned), lines.next(str::to_owned), lines.skipped), (Some(String::new()), None, 1));
        assert!(lines.line.capacity() <= 2 * MAX_LINE, "{} bytes", lines.line.capacity());
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
