//! A text that takes the place of the one before it, from the top of the screen on.

/// Draws over what stands there. The terminal is left as it is found, so that whoever draws may be
/// ended at any time: no other screen, no hidden cursor, no mode that has to be lifted.
pub fn frame(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
    // The last row is the cursor's: a line end there would move everything up.
    let room = rows.saturating_sub(1).max(4);
    let mut shown: Vec<String> = Vec::new();
    if lines.len() <= room {
        shown.extend(lines.iter().map(|line| clipped(line, columns)));
    } else {
        // What is done stands first, what is to be looked at last.
        let hidden = lines.len() + 1 - room;
        shown.push(clipped(lines[0], columns));
        shown.push(clipped(&format!("  … {hidden} lines more"), columns));
        shown.extend(lines[1 + hidden..].iter().map(|line| clipped(line, columns)));
    }
    // It ends with a line, so that it is written in one piece: whoever is ended leaves all of it or nothing.
    format!("\u{1b}[H{}\u{1b}[J\r\n", shown.join("\u{1b}[K\r\n"))
}

/// What stands on the screen goes up, so that it can be scrolled back to.
pub fn make_room(rows: usize) -> String {
    format!("\r{}", "\n".repeat(rows.saturating_sub(1)))
}

/// One line in place of the one before it.
pub fn line(text: &str, columns: usize) -> String {
    format!("\r{}\u{1b}[K", clipped(text.trim_end_matches('\n'), columns))
}

/// The part of a line that a terminal shows in one row. Colours take no room, and stay whole.
fn clipped(line: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1).max(20);
    let (mut out, mut taken, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\u{1b}' || escape {
            escape = c != 'm';
            out.push(c);
            continue;
        }
        taken += if is_wide(c) { 2 } else { 1 };
        if taken > room {
            out.push_str("\u{1b}[0m");
            break;
        }
        out.push(c);
    }
    out
}

/// Whether terminals give it two columns.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen_and_leaves_out_what_stands_first() {
        let text: String = (0..30).map(|n| format!("line {n}\n")).collect();
        let drawn = frame(&text, 10, 80);
        let lines: Vec<&str> = drawn.split("\u{1b}[K\r\n").collect();
        assert_eq!(lines.len(), 9, "{drawn:?}");
        assert_eq!((lines[0], lines[1], lines[2]), ("\u{1b}[Hline 0", "  … 22 lines more", "line 23"));
        assert_eq!(lines[8], "line 29\u{1b}[J\r\n");
    }

    #[test]
    fn a_line_is_cut_where_the_row_ends_and_its_colour_with_it() {
        assert_eq!(clipped(&"x".repeat(99), 30), format!("{}\u{1b}[0m", "x".repeat(29)));
        assert_eq!(clipped(&"語".repeat(99), 30), format!("{}\u{1b}[0m", "語".repeat(14)));
        let coloured = format!("\u{1b}[32m={}", "x".repeat(28));
        assert_eq!(clipped(&coloured, 30), coloured);
        assert_eq!(line("a\n", 30), "\ra\u{1b}[K");
    }
}
