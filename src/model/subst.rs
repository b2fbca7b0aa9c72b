//! `${{ name }}` in texts. Checked when files are read, filled in when a step starts.
//! There is no access to the environment: a definition means the same everywhere.

use std::ops::Range;

/// The names that may be used.
pub const NAMES: &[&str] = &["task.id", "epic.id", "worktree", "port"];
/// What the names of a task's matrix begin with; they are filled in when the files are read.
pub const MATRIX: &str = "matrix.";

/// A use of a name that is not known, or of an opening without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    pub name: String,
    /// Bytes in the text.
    pub at: Range<usize>,
}

enum Piece<'a> {
    Text(&'a str),
    /// `$${{`, which stands for `${{`.
    Escape,
    Name(&'a str, Range<usize>),
    Open(Range<usize>),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("${{") {
        let start = from + found;
        // `$${{` stands for a literal `${{`.
        if start > from && text.as_bytes()[start - 1] == b'$' {
            out.push(Piece::Text(&text[from..start - 1]));
            out.push(Piece::Escape);
            from = start + 3;
            continue;
        }
        out.push(Piece::Text(&text[from..start]));
        let Some(end) = text[start..].find("}}").map(|e| start + e + 2) else {
            out.push(Piece::Open(start..text.len()));
            return out;
        };
        out.push(Piece::Name(text[start + 3..end - 2].trim(), start..end));
        from = end;
    }
    out.push(Piece::Text(&text[from..]));
    out
}

/// Every use that `fill` could not answer.
pub fn check(text: &str) -> Vec<BadName> {
    pieces(text)
        .into_iter()
        .filter_map(|p| match p {
            Piece::Name(name, at) if !NAMES.contains(&name) && axis(name).is_none() => Some(BadName { name: name.into(), at }),
            Piece::Open(at) => Some(BadName { name: String::new(), at }),
            _ => None,
        })
        .collect()
}

/// The names in a text that are of no matrix, known or not; an empty one for an opening without an end.
pub fn foreign(text: &str) -> Vec<String> {
    let name = |p| match p {
        Piece::Name(name, _) => axis(name).is_none().then(|| name.to_owned()),
        Piece::Open(_) => Some(String::new()),
        _ => None,
    };
    pieces(text).into_iter().filter_map(name).collect()
}

/// The part of a matrix that a name means.
fn axis(name: &str) -> Option<&str> {
    name.strip_prefix(MATRIX).filter(|axis| !axis.is_empty())
}

/// The parts of a matrix that a text asks for.
pub fn axes(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|p| match p {
        Piece::Name(name, _) => axis(name),
        _ => None,
    })
}

/// The text with the names of a matrix replaced by its values, and everything else as it was.
pub fn fill_axes(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    fill_pieces(text, "$${{", |name| value(axis(name)?))
}

/// The text with each name replaced by what `value` gives for it; one that it does not know stays.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    fill_pieces(text, "${{", value)
}

fn fill_pieces(text: &str, escape: &str, value: impl Fn(&str) -> Option<String>) -> String {
    pieces(text)
        .into_iter()
        .map(|p| match p {
            Piece::Text(t) => t.to_owned(),
            Piece::Escape => escape.to_owned(),
            Piece::Name(name, at) => value(name).unwrap_or_else(|| text[at].to_owned()),
            Piece::Open(at) => text[at].to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_an_escape_stays_literal() {
        let value = |n: &str| (n == "task.id").then(|| "a".to_owned());
        assert_eq!(fill("x ${{ task.id }} $${{ task.id }} ${{task.id}}", value), "x a ${{ task.id }} a");
    }

    #[test]
    fn filling_in_a_matrix_leaves_everything_else_for_later() {
        let value = |n: &str| (n == "x").then(|| "1".to_owned());
        assert_eq!(
            fill_axes("${{ matrix.x }} ${{ task.id }} $${{ matrix.x }} ${{ matrix.y }}", value),
            "1 ${{ task.id }} $${{ matrix.x }} ${{ matrix.y }}"
        );
        assert_eq!(axes("${{ matrix.x }} $${{ matrix.z }} ${{ task.id }}").collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn an_unknown_name_and_an_open_end_are_found_where_they_stand() {
        assert_eq!(check("ok ${{ task.id }}"), []);
        assert_eq!(check("a ${{ env.HOME }}"), [BadName { name: "env.HOME".into(), at: 2..17 }]);
        assert_eq!(check("${{ task.id"), [BadName { name: String::new(), at: 0..11 }]);
        assert_eq!(check("é$${{ ${{x}}").len(), 1);
    }
}
