//! What keeps the language's own reader from running out of stack: it goes one call deeper for each
//! sign of a long expression, and for each branch of a long `if`.

use super::engine::Wrong;

/// The most words and signs between two delimiters; a text in quotes is one.
const WORDS: usize = 1000;
/// The most `elif` of a template.
const BRANCHES: usize = 200;

pub(super) fn hold(text: &str) -> Result<(), Wrong> {
    let (mut at, mut branches) = (0, 0);
    while let Some(open) = text[at..].find('{').map(|n| at + n) {
        let rest = &text[open..];
        at = match rest.as_bytes().get(1) {
            Some(b'#') => rest[2..].find("#}").map_or(text.len(), |n| open + n + 4),
            Some(b'{') => open + 2 + within(text, open, "}}")?,
            Some(b'%') => {
                let end = open + 2 + within(text, open, "%}")?;
                let inner = text[open + 2..end].trim_start_matches(['-', '+']).trim_start();
                branches += usize::from(inner.starts_with("elif"));
                if branches > BRANCHES {
                    return Err(wrong(text, open, format!("it has more than {BRANCHES} `elif`")));
                }
                match inner.trim_end_matches("%}").trim_end_matches(['-', '+']).trim_end() {
                    "raw" => end_of_raw(text, end),
                    _ => end,
                }
            }
            _ => open + 1,
        };
    }
    Ok(())
}

/// Where what stands for itself ends that begins there. What only looks like its end is in it.
fn end_of_raw(text: &str, from: usize) -> usize {
    let mut tags = text[from..].match_indices("{%").map(|(n, _)| from + n + 2);
    let ends = |at: &usize| {
        let inner = text[*at..].strip_prefix(['-', '+']).unwrap_or(&text[*at..]).trim_ascii_start();
        let rest = inner.strip_prefix("endraw").map(str::trim_ascii_start);
        rest.is_some_and(|rest| rest.strip_prefix(['-', '+']).unwrap_or(rest).starts_with("%}"))
    };
    tags.find(ends).unwrap_or(text.len())
}

/// How long it is from behind the delimiter at `open` to behind the one that closes it.
fn within(text: &str, open: usize, close: &str) -> Result<usize, Wrong> {
    let inner = &text[open + 2..];
    let (mut words, mut in_word, mut quote, mut escaped, mut brackets) = (0, false, None, false, 0_usize);
    for (n, c) in inner.char_indices() {
        if let Some(end) = quote {
            quote = (escaped || c != end).then_some(end);
            escaped = c == '\\' && !escaped;
            continue;
        }
        if brackets == 0 && inner[n..].starts_with(close) {
            return Ok(n + close.len());
        }
        match c {
            '(' | '[' | '{' => brackets += 1,
            ')' | ']' | '}' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        let is_word = c.is_alphanumeric() || c == '_';
        words += usize::from(!(c.is_whitespace() || is_word && in_word));
        in_word = is_word;
        quote = matches!(c, '"' | '\'').then_some(c);
        if words > WORDS {
            return Err(wrong(text, open, format!("an expression of more than {WORDS} words and signs")));
        }
    }
    Ok(inner.len())
}

fn wrong(text: &str, at: usize, message: String) -> Wrong {
    Wrong { message, line: Some(text[..at].matches('\n').count() + 1), range: Some(at..at + 2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Kind, check};

    #[test]
    fn no_expression_is_so_deep_that_it_cannot_be_read() {
        let long = |n: usize| {
            [
                format!("x{{{{ {}1 }}}}", "-".repeat(n)),
                format!("x{{{{ {}1 }}}}", "not ".repeat(n)),
                format!("x{{{{ 1{} }}}}", " + 1".repeat(n)),
                format!("x{{{{ task{} }}}}", ".a".repeat(n)),
                format!("x{{%- set y = 1{} %}}", " ~ 1".repeat(n)),
                format!("x{{% if 0 %}}{}{{% endif %}}", "{%- elif 0 %}".repeat(n)),
                format!("{{% raw %}}{{#{{% endraw %}}x{{{{ {}1 }}}}", "-".repeat(n)),
                format!("{{# {{% raw %}} #}}x{{{{ {}1 }}}}", "-".repeat(n)),
                format!("{{{{ '\\'}}}}' ~ {}1 }}}}", "-".repeat(n)),
                format!("x{{{{ {}1", "-".repeat(n)),
                format!("{{% raw %}}endraw{{#{{% endraw %}}x{{{{ {}1 }}}}", "-".repeat(n)),
                format!("{{#}}{{% raw %}}#}}x{{{{ {}1 }}}}", "-".repeat(n)),
                format!("{{{{ {{'a':{{'b':1}}}} or {}1 }}}}", "not ".repeat(n)),
            ]
        };
        for text in long(50_000) {
            let found = check(Kind::Task, &text).unwrap_err();
            assert!(found.message.contains("more than"), "{found:?}");
            assert_eq!((found.line, found.range.is_some()), (Some(1), true));
        }
        // As deep as they may be there is room: what comes of it does not matter.
        for n in [BRANCHES, WORDS / 2 - 10, WORDS - 10] {
            long(n).iter().for_each(|text| drop(check(Kind::Task, text)));
        }
    }

    #[test]
    fn what_is_only_long_is_no_matter() {
        let text = "word { ".repeat(3000);
        for text in [
            text.clone(),
            format!("{{# {text} #}}x"),
            format!("{{% raw %}}{{{{ {text} {{% endraw %}}"),
            format!("{{{{ \"{text}\" }}}}"),
            "{{ task.id }} é ".repeat(3000),
        ] {
            assert_eq!(hold(&text), Ok(()), "{}", &text[..40]);
        }
    }
}
