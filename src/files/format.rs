//! What a text must look like, by its place in the format.
//!
//! Pure: no files, no spans.

use std::path::{Component, Path};

use globset::Glob;
use semver::VersionReq;

use super::diagnostic::{Code, quote};
use super::shape::Format;
use crate::base::{BadId, EpicId, TaskId};
use crate::model::notices::place_of;
use crate::model::{subst, telemetry};

/// The longest prompt, written down or in a file, in bytes.
pub const MAX_PROMPT: usize = 1 << 20;
const MAX_COMMAND: usize = 64 << 10;
const MAX_TITLE: usize = 200;

/// Why a text will not do.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
}

fn wrong(code: Code, message: impl Into<String>) -> Result<(), Wrong> {
    Err(Wrong { code, message: message.into(), help: None })
}

impl Format {
    /// `key` is what the text is called in messages.
    pub fn check(self, key: &str, text: &str) -> Result<(), Wrong> {
        match self {
            Format::Free => sized(key, text, MAX_PROMPT),
            Format::Title => title(key, text),
            Format::Prompt => sized(key, text, MAX_PROMPT).and_then(|()| not_blank(key, text)),
            Format::Command => command(key, text).and_then(|()| not_blank(key, text)),
            Format::Argument => command(key, text),
            Format::Word => word(key, text),
            Format::TaskId => TaskId::parse(text).map(drop).or_else(|why| bad_id("a task id", text, why)),
            Format::Segment => EpicId::parse(text).map(drop).or_else(|why| bad_id("an id or name", text, why)),
            Format::Dependency => dependency(text),
            Format::ProjectName => project_name(text),
            Format::Label => label(text),
            Format::Branch => branch(text),
            Format::Remote if text.is_empty() => Ok(()),
            Format::Remote => branch(text).or_else(|_| wrong(Code::OutOfRange, format!("{} is not the name of a remote", quote(text)))),
            Format::Endpoint => endpoint(key, text),
            Format::Listen if text.is_empty() || telemetry::listen(text).is_some() => Ok(()),
            Format::Listen => Err(Wrong {
                code: Code::OutOfRange,
                message: format!("`{key}`: {} is nothing to listen at", quote(text)),
                help: Some("write a port, or an address and a port, such as \"127.0.0.1:9464\"".into()),
            }),
            Format::Host => host(key, text),
            Format::WebhookUrl => webhook_url(key, text),
            Format::EnvName => env_name(text),
            Format::Line => command(key, text).and_then(|()| not_blank(key, text)),
            Format::Path => path(key, text).and_then(|()| not_blank(key, text)),
            Format::Inside => inside(key, text),
            Format::Directory => no_control(key, text),
            Format::Glob => glob(text).map(drop),
            Format::EnvPattern => env_pattern(text),
            Format::Version => VersionReq::parse(text)
                .map(drop)
                .or_else(|why| wrong(Code::OutOfRange, format!("{} is not a requirement on a version: {why}", quote(text)))),
        }
    }

    /// Whether `${{ }}` means something in it.
    pub fn is_template(self) -> bool {
        matches!(self, Format::Prompt | Format::Command | Format::Argument)
    }
}

fn sized(key: &str, text: &str, max: usize) -> Result<(), Wrong> {
    if text.len() > max {
        return wrong(Code::OutOfRange, format!("`{key}` is longer than {} KiB", max >> 10));
    }
    Ok(())
}

pub fn not_blank(key: &str, text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return wrong(Code::OutOfRange, format!("`{key}` is empty"));
    }
    Ok(())
}

fn no_control(key: &str, text: &str) -> Result<(), Wrong> {
    if text.chars().any(char::is_control) {
        return wrong(Code::OutOfRange, format!("`{key}` must be one line without control characters"));
    }
    Ok(())
}

fn title(key: &str, text: &str) -> Result<(), Wrong> {
    if text.chars().count() > MAX_TITLE {
        return wrong(Code::OutOfRange, format!("`{key}` is longer than {MAX_TITLE} characters"));
    }
    no_control(key, text)?;
    not_blank(key, text)
}

fn host(key: &str, text: &str) -> Result<(), Wrong> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if text.is_empty() || text.len() > 253 || !plain {
        let message = format!("`{key}`: {} is not the name of a host", quote(text));
        let help = Some("write the name alone, without a scheme and a port, such as \"build.example.com\"".into());
        return Err(Wrong { code: Code::OutOfRange, message, help });
    }
    Ok(())
}

fn command(key: &str, text: &str) -> Result<(), Wrong> {
    if text.contains('\0') {
        return wrong(Code::OutOfRange, format!("`{key}` holds a NUL byte, which no command line can"));
    }
    sized(key, text, MAX_COMMAND)
}

fn word(key: &str, text: &str) -> Result<(), Wrong> {
    let plain = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if text.is_empty() || !plain || text.starts_with('-') || text.len() > MAX_TITLE {
        return wrong(Code::OutOfRange, format!("`{key}` must be one word that does not start with `-`"));
    }
    Ok(())
}

fn bad_id(what: &str, text: &str, why: BadId) -> Result<(), Wrong> {
    let tidied: String = text.trim().to_lowercase().chars().map(|c| if c.is_whitespace() || c == '/' { '-' } else { c }).collect();
    let help = (tidied != text && TaskId::parse(&tidied).is_ok()).then(|| format!("for instance `{tidied}`"));
    Err(Wrong { code: Code::BadId, message: format!("{} is not {what}: {why}", quote(text)), help })
}

fn dependency(text: &str) -> Result<(), Wrong> {
    match text.strip_prefix("epic:") {
        Some(epic) => Format::Segment.check("depends_on", epic),
        None => Format::TaskId.check("depends_on", text),
    }
}

fn project_name(text: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 63 || !text.chars().all(plain) || text.starts_with(['.', '-']) {
        let message = format!("{} cannot name a project: a directory is named after it", quote(text));
        let help = Some("use up to 63 of a-z, A-Z, 0-9, `-`, `_` and `.`, and start with a letter or digit".into());
        return Err(Wrong { code: Code::BadId, message, help });
    }
    Ok(())
}

/// The nearest name for a project to a directory's name.
pub fn project_name_for(directory: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = directory.chars().map(plain).take(63).collect();
    let name = name.trim_start_matches(['.', '-', '_']);
    if name.is_empty() { "project".into() } else { name.into() }
}

fn label(text: &str) -> Result<(), Wrong> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != ',';
    if text.is_empty() || text.chars().count() > 64 || !text.chars().all(plain) {
        return wrong(Code::OutOfRange, format!("{} is not a label: up to 64 characters without blanks or commas", quote(text)));
    }
    Ok(())
}

fn webhook_url(key: &str, text: &str) -> Result<(), Wrong> {
    place_of(text).map(drop).or_else(|why| wrong(Code::OutOfRange, format!("`{key}` will not do: {why}")))
}

fn endpoint(key: &str, text: &str) -> Result<(), Wrong> {
    let help = "write a host and a port, or a URL, such as \"https://otel.example.com:4317\"";
    let bad = |message: String| Err(Wrong { code: Code::OutOfRange, message, help: Some(help.into()) });
    let Some(url) = telemetry::url(text) else { return Ok(()) };
    match url.parse::<http::Uri>() {
        Ok(url) if url.authority().is_some_and(|a| a.as_str().contains('@')) => bad(format!("`{key}` holds a user's name or a password")),
        Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|h| !h.is_empty()) => Ok(()),
        _ => bad(format!("`{key}`: {} is no address", quote(text))),
    }
}

/// The rules of `git check-ref-format --branch`.
fn branch(text: &str) -> Result<(), Wrong> {
    let bad_char = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let bad_part = |p: &str| p.is_empty() || p.starts_with('.') || p.ends_with(".lock");
    let bad = text.len() > MAX_TITLE
        || text.starts_with('-')
        || text.ends_with('.')
        || text == "@"
        || text == "HEAD"
        || text.contains("..")
        || text.contains("@{")
        || text.contains(bad_char)
        || text.split('/').any(bad_part);
    if bad {
        return wrong(Code::OutOfRange, format!("{} is not the name of a branch", quote(text)));
    }
    Ok(())
}

fn path(key: &str, text: &str) -> Result<(), Wrong> {
    no_control(key, text)?;
    if Path::new(text).is_absolute() || text.len() > 1000 {
        return wrong(Code::OutOfRange, format!("`{key}` must be a path relative to where it is written"));
    }
    Ok(())
}

fn inside(key: &str, text: &str) -> Result<(), Wrong> {
    path(key, text)?;
    if climbs(text) {
        return wrong(Code::OutOfRange, format!("`{key}` must stay inside the project"));
    }
    Ok(())
}

fn climbs(text: &str) -> bool {
    Path::new(text).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
}

/// A glob relative to the project's root; `*` does not match a `/`.
pub fn glob(text: &str) -> Result<Glob, Wrong> {
    // What a matrix fills in has the form of a part of an id.
    let filled = subst::fill_axes(text, |_| Some("x".into()));
    let text = if subst::axes(text).next().is_some() { &filled } else { text };
    let bad = |why: &str| Wrong {
        code: Code::BadGlob,
        message: format!("{} is not a glob: {why}", quote(text)),
        help: Some("globs are relative to the project's root, such as \"drover/**/*.toml\"".into()),
    };
    if text.is_empty() || text.len() > 1000 || text.contains('\0') {
        return Err(bad("it is empty or too long"));
    }
    if climbs(text) || text.starts_with("./") {
        return Err(bad("it must not start with `/` or `./`, nor hold `..`"));
    }
    crate::model::scope::glob(text).map_err(|why| bad(&why.kind().to_string()))
}

/// A name, or the beginning of names with a `*` after it.
fn env_pattern(text: &str) -> Result<(), Wrong> {
    if text == "*" { Ok(()) } else { env_name(text.strip_suffix('*').unwrap_or(text)) }
}

/// The name of an environment variable.
pub fn env_name(text: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.len() > MAX_TITLE || !text.chars().all(plain) || text.starts_with(|c: char| c.is_ascii_digit()) {
        return wrong(Code::OutOfRange, format!("{} is not the name of an environment variable", quote(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(format: Format, texts: &[&str]) {
        for text in texts {
            assert!(format.check("key", text).is_err(), "{format:?} accepted {text:?}");
        }
    }

    fn accepted(format: Format, texts: &[&str]) {
        for text in texts {
            assert_eq!(format.check("key", text), Ok(()), "{format:?} refused {text:?}");
        }
    }

    #[test]
    fn names_that_reach_git_or_the_file_system_are_narrow() {
        refused(Format::Branch, &["", "-f", "a b", "a..b", "a.lock", "a/.b", "/a", "a/", "@", "HEAD", "a\n", "a@{1}", "a~1", "a."]);
        accepted(Format::Branch, &["main", "feature/x", "v1.0", "é"]);
        refused(Format::ProjectName, &["", ".", "..", "a/b", "-x", "a b", "é"]);
        accepted(Format::ProjectName, &["shop", "My.Shop-2"]);
        refused(Format::Inside, &["../x", "/etc/passwd", "a/../../b", "a\0b"]);
        accepted(Format::Inside, &["", ".worktreeinclude", "a/b"]);
        refused(Format::Glob, &["", "/etc/*", "../*", "a/../b", "[", "{a", "./a"]);
        accepted(Format::Glob, &["drover/**/*.toml", "a.toml", "{a,b}/*.toml"]);
    }

    #[test]
    fn a_dependency_is_a_task_or_a_whole_epic() {
        accepted(Format::Dependency, &["a", "a.b", "epic:auth"]);
        refused(Format::Dependency, &["epic:", "epic:A", "epic:a.b", "task:a", ""]);
    }

    #[test]
    fn environment_patterns_end_in_a_star_or_name_one_variable() {
        accepted(Format::EnvPattern, &["HOME", "LC_*", "*", "_x"]);
        refused(Format::EnvPattern, &["", "**", "A*B", "1A", "A=B", "A B", "*A"]);
    }

    #[test]
    fn a_directory_always_gives_a_name_for_a_project() {
        for dir in ["shop", "", "..", "my shop", "é", "-", &"x".repeat(200)] {
            let name = project_name_for(dir);
            assert!(project_name(&name).is_ok(), "{dir:?} gave {name:?}");
        }
    }

    #[test]
    fn an_id_that_is_nearly_right_is_mended_in_the_help() {
        assert_eq!(Format::TaskId.check("id", "Auth API").unwrap_err().help, Some("for instance `auth-api`".into()));
    }
}
