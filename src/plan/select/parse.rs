//! From text to an expression. Total: any text gives an expression or an error.

use globset::{GlobBuilder, GlobMatcher};

use super::SelectError;
use crate::base::text::{did_you_mean, one_line};
use crate::core::view::Status;

/// What a person may write before a colon.
const METHODS: &[&str] = &["epic", "label", "agent", "group", "path", "status"];
/// Longer selectors are refused: nobody writes them, and a glob costs memory.
const MAX_LENGTH: usize = 4096;

/// Terms that must all hold.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(super) text: String,
    pub(super) terms: Vec<Term>,
    pub(super) needs: bool,
}

impl Expr {
    /// The same with everything it needs, unless it says itself how far it reaches: what a
    /// bare `apply x` means.
    pub fn with_needs(mut self) -> Self {
        self.needs = self.terms.iter().all(|t| t.up.is_none() && t.down.is_none());
        self
    }
}

#[derive(Clone, Debug)]
pub struct Term {
    pub(super) text: String,
    pub base: Base,
    /// Towards what it needs.
    pub up: Option<Reach>,
    /// Towards what needs it.
    pub down: Option<Reach>,
}

/// How many levels; `None` for all.
pub type Reach = Option<u32>;

#[derive(Clone, Debug)]
pub enum Base {
    Id(String),
    Glob(GlobMatcher),
    /// One of `epic label agent group path`, what was written, and what matches it.
    Attribute {
        method: &'static str,
        name: String,
        matcher: GlobMatcher,
    },
    Status(Status),
}

/// Reads one expression.
pub fn parse(text: &str) -> Result<Expr, SelectError> {
    let bad = |why: String| SelectError::Syntax { expr: one_line(text, 80), why };
    if text.len() > MAX_LENGTH {
        return Err(bad(format!("it is longer than {MAX_LENGTH} bytes")));
    }
    let terms = split(text).into_iter().map(term).collect::<Result<Vec<Term>, String>>().map_err(bad)?;
    Ok(Expr { text: one_line(text, 80), terms, needs: false })
}

/// At commas, but not at those of a glob.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn term(text: &str) -> Result<Term, String> {
    let text = text.trim();
    let (up, rest) = leading(text)?;
    let (down, name) = trailing(rest)?;
    if name.is_empty() {
        return Err("a name is missing".into());
    }
    Ok(Term { text: one_line(text, 80), base: base(name)?, up, down })
}

/// `+x` and `2+x`.
fn leading(text: &str) -> Result<(Option<Reach>, &str), String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match text[digits..].strip_prefix('+') {
        Some(rest) => Ok((Some(levels(&text[..digits])?), rest)),
        None => Ok((None, text)),
    }
}

/// `x+` and `x+2`.
fn trailing(text: &str) -> Result<(Option<Reach>, &str), String> {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    match name.strip_suffix('+') {
        Some(rest) => Ok((Some(levels(&text[name.len()..])?), rest)),
        None => Ok((None, text)),
    }
}

fn levels(digits: &str) -> Result<Reach, String> {
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| format!("`{}` is too many levels", one_line(digits, 20)))
}

fn base(name: &str) -> Result<Base, String> {
    let Some((method, value)) = name.split_once(':') else {
        return if is_glob(name) { Ok(Base::Glob(glob(name, false)?)) } else { Ok(Base::Id(name.to_owned())) };
    };
    let Some(method) = METHODS.iter().find(|m| **m == method) else {
        let near = did_you_mean(method, METHODS.iter().copied()).map(|m| format!("; did you mean `{m}:`?")).unwrap_or_default();
        return Err(format!("`{}:` is not one of {}{near}", one_line(method, 40), METHODS.join(": ") + ":"));
    };
    if value.is_empty() {
        return Err(format!("a name is missing after `{method}:`"));
    }
    if *method == "status" {
        return status(value).map(Base::Status);
    }
    // `./drover/a.toml` is what a shell completes.
    let pattern = if *method == "path" { value.trim_start_matches("./") } else { value };
    Ok(Base::Attribute { method, name: value.to_owned(), matcher: glob(pattern, *method == "path")? })
}

fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

fn glob(pattern: &str, is_path: bool) -> Result<GlobMatcher, String> {
    let built = GlobBuilder::new(pattern).literal_separator(is_path).backslash_escape(true).build();
    built.map(|g| g.compile_matcher()).map_err(|e| one_line(&e.to_string(), 200))
}

fn status(value: &str) -> Result<Status, String> {
    let name = value.replace('-', "_");
    Status::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
        let near = did_you_mean(&name, Status::ALL.map(Status::name)).map(|m| format!("; did you mean `{m}`?")).unwrap_or_default();
        format!("`{}` is not one of {}{near}", one_line(value, 40), Status::ALL.map(Status::name).join(", "))
    })
}
