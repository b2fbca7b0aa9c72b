//! Text from files, agents and git, made safe to show, and hints for the misspelt.

/// One line without control characters: what a terminal, a log or a commit subject may show.
/// Escape sequences, line breaks and bidirectional overrides become spaces or vanish.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for c in text.trim().chars() {
        if count == max_chars {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\t' | '\r' => out.push(' '),
            c if hidden(c) => continue,
            c => out.push(c),
        }
        count += 1;
    }
    out
}

/// Several lines without control characters other than line breaks and tabs.
pub fn block(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter(|c| matches!(c, '\n' | '\t') || !hidden(*c)).collect()
}

/// Like [`block`], but what a terminal would obey, or hide, is spelt out: for texts whose every
/// character matters.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if hidden(c) => out.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A text without the colours of a terminal, and with whatever else it may hold.
pub fn without_colors(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m').filter(|(style, _)| style.chars().all(|c| c.is_ascii_digit() || c == ';')) {
            Some((_, rest)) => out.push_str(rest),
            None => out.extend(["\u{1b}[", part]),
        }
    }
    out
}

fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The candidate nearest to `name`, if one is near enough to be what was meant.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(name, c), c))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, c)| c)
}

/// The first few names of a list, each on one line, and how many more there are.
pub fn some_of(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| one_line(name, 200)).collect();
    if names.len() > MOST {
        shown.push(format!("and {} more", names.len() - MOST));
    }
    shown.join(", ")
}

/// `1 task`, `3 tasks`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_never_reach_a_terminal() {
        assert_eq!(one_line("a\u{1b}[31mred\u{202e}\nb\0", 99), "a[31mred b");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(block("a\u{7}\r\nb"), "a\nb");
        assert_eq!(without_colors("\u{1b}[1;31mred\u{1b}[0m m"), "red m");
        assert_eq!(without_colors("a\u{1b}[2Jb \u{1b}[1"), "a\u{1b}[2Jb \u{1b}[1");
        assert_eq!(visible("a\u{1b}[2J\t\u{202e}\r\n"), "a<U+001B>[2J\t<U+202E><U+000D>\n");
    }

    #[test]
    fn a_hint_is_given_only_when_it_is_near() {
        assert_eq!(did_you_mean("titel", ["title", "prompt"]), Some("title"));
        assert_eq!(did_you_mean("zzz", ["title", "prompt"]), None);
    }
}
