//! Text in Markdown, for job summaries and comments: what is from files or agents is shown, and makes
//! no markup, mentions nobody, and leads nowhere.

use crate::base::text::{block, one_line};

/// A text within a line or a cell.
pub fn inline(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in one_line(text, most).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Read once more after the markup: a space without width keeps it from being a mention or a reference.
            '@' | '#' => out.extend([c, '\u{200b}']),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

/// Lines as they are, between fences that none of them can be.
pub fn fenced(text: &str) -> String {
    let text = block(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// A text that grows up to so many bytes.
pub struct Bounded {
    pub text: String,
    most: usize,
}

/// Left for what closes it.
const RESERVE: usize = 200;

impl Bounded {
    /// Nothing of `head` where there is no room for all of it.
    pub fn new(head: &str, most: usize) -> Self {
        let mut bounded = Self { text: String::new(), most };
        bounded.close(head);
        bounded
    }

    /// Adds what fits; false where it does not.
    pub fn add(&mut self, more: &str) -> bool {
        let fits = self.text.len() + more.len() + RESERVE <= self.most;
        if fits {
            self.text.push_str(more);
        }
        fits
    }

    /// Says, in few words, what did not fit; it may take what is reserved.
    pub fn close(&mut self, words: &str) {
        if self.text.len() + words.len() <= self.most {
            self.text.push_str(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_makes_no_markup() {
        let shown = inline("a|b <img src=x> @all #1 [x](https://evil) **b** `c` \u{1b}[31m", 99);
        assert_eq!(shown, "a\\|b &lt;img src=x&gt; @\u{200b}all #\u{200b}1 \\[x\\]\\(https:\u{200b}//evil\\) \\*\\*b\\*\\* \\`c\\` \\[31m");
        assert_eq!(fenced("a\n````\nb\u{7}\n"), "`````text\na\n````\nb\n`````\n");
    }
}
