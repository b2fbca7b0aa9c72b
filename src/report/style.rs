//! Colour and columns. A colour only ever repeats what a sign and a word say.

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    Good,
    Bad,
    Busy,
    Changed,
    Plain,
}

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub on: bool,
}

impl Paint {
    pub fn sign(self, hue: Hue, sign: char) -> String {
        let code = match hue {
            Hue::Good => "32",
            Hue::Bad => "31",
            Hue::Busy => "36",
            Hue::Changed => "33",
            Hue::Plain => return sign.to_string(),
        };
        if self.on { format!("\u{1b}[{code}m{sign}\u{1b}[0m") } else { sign.to_string() }
    }
}

/// One line of a table: a sign, and cells that were made safe to show.
pub struct Row {
    pub hue: Hue,
    pub sign: char,
    pub cells: Vec<String>,
}

/// No column is padded further than this; a longer cell pushes the rest of its line aside.
const WIDEST: usize = 44;

/// Lines with aligned columns, two blanks between them; a column that is empty in every row
/// takes no room.
pub fn table(rows: &[Row], paint: Paint) -> String {
    let columns = rows.iter().map(|r| r.cells.len()).max().unwrap_or(0);
    let chars = |row: &Row, c: usize| row.cells.get(c).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns).map(|c| rows.iter().map(|r| chars(r, c)).max().unwrap_or(0).min(WIDEST)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.cells.iter().zip(&widths).filter(|(_, w)| **w > 0) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(&format!("  {} {}\n", paint.sign(row.hue, row.sign), line.trim_end()));
    }
    out
}
