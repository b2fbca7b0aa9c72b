//! A change of a file, made in place: what is not changed stays byte for byte as it was.
//!
//! Knows texts and places in them, and no TOML.

use std::ops::Range;

/// How many lines are shown around what changes.
const CONTEXT: usize = 3;

/// Another text for a part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub at: Range<usize>,
    pub with: String,
}

/// A file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the project's root.
    pub name: String,
    /// What the file holds; none where there is no such file.
    pub old: Option<String>,
    /// By their places, none within another.
    edits: Vec<Edit>,
}

impl Change {
    pub fn new(name: &str, old: Option<String>, mut edits: Vec<Edit>) -> Self {
        edits.sort_by_key(|e| (e.at.start, e.at.end));
        Self { name: name.to_owned(), old, edits }
    }

    /// The file as it will be.
    pub fn text(&self) -> String {
        let old = self.old.as_deref().unwrap_or_default();
        self.within(0..old.len())
    }

    /// What a part of the file becomes.
    fn within(&self, part: Range<usize>) -> String {
        let old = self.old.as_deref().unwrap_or_default();
        let mut out = String::new();
        let mut at = part.start;
        for edit in self.edits.iter().filter(|e| e.at.start >= part.start && e.at.end <= part.end) {
            out.push_str(&old[at..edit.at.start]);
            out.push_str(&edit.with);
            at = edit.at.end;
        }
        out + &old[at..part.end]
    }

    /// As a patch, for people and for `git apply`.
    pub fn diff(&self) -> String {
        let old = self.old.as_deref().unwrap_or_default();
        let lines: Vec<&str> = old.split_inclusive('\n').collect();
        let mut out = match self.old {
            Some(_) => format!("--- a/{0}\n+++ b/{0}\n", self.name),
            None => format!("--- /dev/null\n+++ b/{}\n", self.name),
        };
        let mut moved_by = 0;
        for group in self.groups(&lines) {
            moved_by = self.hunk(&lines, &group, moved_by, &mut out);
        }
        out
    }

    /// The lines that change, of which those near to each other are shown together.
    fn groups(&self, lines: &[&str]) -> Vec<Vec<Range<usize>>> {
        let mut groups: Vec<Vec<Range<usize>>> = Vec::new();
        for lines in self.edits.iter().map(|e| lines_of(lines, &e.at)) {
            match groups.last_mut() {
                Some(group) => match group.last_mut() {
                    Some(last) if lines.start < last.end => last.end = last.end.max(lines.end),
                    Some(last) if lines.start <= last.end + 2 * CONTEXT => group.push(lines),
                    _ => groups.push(vec![lines]),
                },
                None => groups.push(vec![lines]),
            }
        }
        groups
    }

    /// Adds one hunk, and says by how many lines the new file is ahead of the old one after it.
    fn hunk(&self, lines: &[&str], group: &[Range<usize>], moved_by: isize, out: &mut String) -> isize {
        let offset = |line: usize| lines[..line].iter().map(|l| l.len()).sum::<usize>();
        let first = group[0].start.saturating_sub(CONTEXT);
        let end = group[group.len() - 1].end;
        let last = (end + CONTEXT).min(lines.len());
        let mut body = String::new();
        let (mut at, mut added) = (first, 0);
        for part in group {
            lines[at..part.start].iter().for_each(|l| line(&mut body, ' ', l));
            lines[part.clone()].iter().for_each(|l| line(&mut body, '-', l));
            let new = self.within(offset(part.start)..offset(part.end));
            for text in new.split_inclusive('\n') {
                line(&mut body, '+', text);
                added += 1;
            }
            at = part.end;
        }
        lines[at..last].iter().for_each(|l| line(&mut body, ' ', l));
        let removed: usize = group.iter().map(|part| part.len()).sum();
        let (before, after) = (last - first, last - first + added - removed);
        // A side without lines is named by the line before it.
        let start = |n: usize, from: usize| if n == 0 { from } else { from + 1 };
        let new_first = first.saturating_add_signed(moved_by);
        out.push_str(&format!("@@ -{},{before} +{},{after} @@\n{body}", start(before, first), start(after, new_first)));
        moved_by + added as isize - removed as isize
    }
}

fn line(out: &mut String, sign: char, text: &str) {
    out.push(sign);
    out.push_str(text);
    if !text.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

/// The lines that a place in the text touches; none at the end of a text whose last line is complete.
fn lines_of(lines: &[&str], at: &Range<usize>) -> Range<usize> {
    let mut from = 0;
    let mut out: Option<Range<usize>> = None;
    for (n, text) in lines.iter().enumerate() {
        let to = from + text.len();
        let touched = (at.start < to || (at.start == to && !text.ends_with('\n'))) && (at.end > from || at.start == from);
        if touched {
            out = Some(out.map_or(n, |o| o.start)..n + 1);
        }
        from = to;
    }
    out.unwrap_or(lines.len()..lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(at: Range<usize>, with: &str) -> Edit {
        Edit { at, with: with.into() }
    }

    #[test]
    fn only_the_edited_places_change_and_the_patch_shows_their_lines() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let change = Change::new("t", Some(old.clone()), vec![edit(old.len()..old.len(), "more\n"), edit(5..6, "one")]);
        assert_eq!(change.text(), old.replace("line 1\n", "line one\n") + "more\n");
        let shown = change.diff();
        assert!(shown.contains("@@ -1,4 +1,4 @@\n-line 1\n+line one\n line 2\n"), "{shown}");
        assert!(shown.ends_with("@@ -18,3 +18,4 @@\n line 18\n line 19\n line 20\n+more\n"), "{shown}");
    }

    #[test]
    fn a_last_line_without_an_end_is_shown_as_such() {
        let change = Change::new("t", Some("a = 1".into()), vec![edit(5..5, "\nb = 2\n")]);
        assert!(change.diff().ends_with("@@ -1,1 +1,2 @@\n-a = 1\n\\ No newline at end of file\n+a = 1\n+b = 2\n"), "{}", change.diff());
        let change = Change::new("t", None, vec![edit(0..0, "b = 2\n")]);
        assert_eq!(change.diff(), "--- /dev/null\n+++ b/t\n@@ -0,0 +1,1 @@\n+b = 2\n");
    }
}
