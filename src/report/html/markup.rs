//! Text as markup: well-formed as HTML and as XML, and never anything but text.

use crate::base::text::{block, one_line};

/// One line of text. What a reader would obey or hide is gone.
pub fn line(text: &str, most: usize) -> String {
    escaped(&one_line(text, most))
}

/// Several lines of text.
pub fn lines(text: &str) -> String {
    escaped(&block(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No characters at all, where XML is read.
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            line("<b a='1' c=\"2\">&amp;]]>\n\u{1b}[0m\u{0}\u{ffff}\u{202e}", 99),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;]]&gt; [0m"
        );
        assert_eq!(lines("a\r\n<\u{8}"), "a\n&lt;");
    }
}
