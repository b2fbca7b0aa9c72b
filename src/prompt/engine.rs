//! The template language: strict, bounded, and with nothing in reach but the variables.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::vars::Vars;
use super::{Kind, bounds, sample};

/// What a template may do, in steps; a step also pays for 64 bytes that are made or looked at.
const FUEL: u64 = 1_000_000;
/// How deep templates, macros and blocks may call each other.
const DEPTH: usize = 50;
/// The longest prompt, in bytes: a task's own text and the guidelines have at most 1 MiB each.
const MAX_PROMPT: usize = 8 << 20;
/// The name of a project's own template in messages of the language; files have names of their own.
const OWN: &str = "this template";

/// Why a template will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    /// Counts from 1. Of the template itself; none where the mistake is not in it.
    pub line: Option<usize>,
    /// Bytes of the template.
    pub range: Option<Range<usize>>,
}

/// The prompt: the project's own template filled in, or the built-in one.
pub fn render(kind: Kind, own: Option<&str>, vars: &Vars) -> Result<String, Wrong> {
    let environment = environment();
    let text = own.unwrap_or(kind.built_in());
    bounds::hold(text)?;
    let said = environment
        .template_from_named_str(if own.is_some() { OWN } else { kind.name() }, text)
        .and_then(|template| template.render(Value::from(Serde(vars))))
        .map_err(|error| wrong(&error))?;
    if said.len() > MAX_PROMPT {
        return Err(Wrong { message: format!("it makes a prompt of more than {} MiB", MAX_PROMPT >> 20), line: None, range: None });
    }
    Ok(format!("{}\n", said.trim()))
}

/// What is wrong with a template, as far as that shows without a task: it is filled in with all
/// that there can be and with the least.
pub fn check(kind: Kind, text: &str) -> Result<(), Wrong> {
    sample::all(kind).iter().try_for_each(|vars| match render(kind, Some(text), vars)?.trim() {
        "" => Err(Wrong { message: "it makes an empty prompt".into(), line: None, range: None }),
        _ => Ok(()),
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    // Errors then know the place in the text.
    environment.set_debug(true);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are those of the language itself"));
    for kind in Kind::ALL {
        environment.add_template(kind.name(), kind.built_in()).expect("a test fills in each built-in template");
    }
    environment.add_filter("fenced", fenced);
    environment.add_filter("listed", listed);
    environment
}

/// `{{ text | fenced }}`, `{{ lines | fenced(more=3) }}`: a code block that what it holds cannot end.
fn fenced(value: Value, options: Kwargs) -> Result<String, Error> {
    let more: Option<usize> = options.get("more")?;
    options.assert_all_used()?;
    let mut lines: Vec<String> = match value.as_str() {
        Some(text) => vec![text.trim_end().to_owned()],
        None => value.try_iter()?.map(|line| line.to_string()).collect(),
    };
    lines.extend(more.filter(|n| *n > 0).map(|n| format!("and {n} more")));
    Ok(block(&lines.join("\n")))
}

/// `{{ change.files | listed(more=3) }}`: a line for each file, with how much of it changed.
fn listed(files: Value, options: Kwargs) -> Result<Vec<String>, Error> {
    let more: Option<usize> = options.get("more")?;
    options.assert_all_used()?;
    let mut lines = Vec::new();
    for file in files.try_iter()? {
        let (path, added, removed) = (file.get_attr("path")?, file.get_attr("added")?, file.get_attr("removed")?);
        lines.push(if added.is_none() { path.to_string() } else { format!("{path} +{added} -{removed}") });
    }
    lines.extend(more.filter(|n| *n > 0).map(|n| format!("and {n} more")));
    Ok(lines)
}

fn block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}\n{text}\n{fence}")
}

fn wrong(error: &Error) -> Wrong {
    // What went wrong in a template that another one extends or includes is told of that one.
    let innermost = std::iter::successors(Some(error), |e| std::error::Error::source(*e).and_then(|s| s.downcast_ref::<Error>()));
    let deepest = innermost.last().unwrap_or(error);
    let own = [deepest, error].into_iter().find(|e| e.name().is_none_or(|name| name == OWN));
    let mut message = match (deepest.kind(), deepest.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does not end within bounds".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    if let Some(other) = deepest.name().filter(|name| *name != OWN) {
        message += &format!(" (in `{other}`, line {})", deepest.line().unwrap_or(1));
    }
    Wrong { message, line: own.and_then(Error::line), range: own.and_then(Error::range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &str) -> Result<(), Wrong> {
        check(Kind::Task, text)
    }

    #[test]
    fn the_built_in_templates_pass_their_own_check() {
        for kind in Kind::ALL {
            assert_eq!(check(kind, kind.built_in()), Ok(()));
            assert_eq!(check(kind, &format!("{{% extends \"{}\" %}}", kind.name())), Ok(()));
        }
    }

    #[test]
    fn one_section_can_be_replaced_and_the_rest_kept() {
        let text = "{% extends \"drover/task\" %}\n{% block rules %}\nBe brief.\n{{ super() }}{% endblock %}\n";
        let said = render(Kind::Task, Some(text), &sample()).unwrap();
        assert!(said.contains("\n\nBe brief.\n# Rules\n\n- Work only in") && said.starts_with("# Guidelines"), "{said}");
    }

    #[test]
    fn a_mistake_is_found_where_it_stands() {
        let at = |text: &str| task(text).unwrap_err();
        let open = at("a\n{% if attempt %}\nb\n");
        assert!(open.line.is_some() && open.message.contains("unexpected"), "{open:?}");
        let unknown = at("a\n\n{{ task.titel }}");
        assert_eq!(unknown.line, Some(3), "{unknown:?}");
        assert!(unknown.message.contains("titel"), "{unknown:?}");
        // There is none on a first attempt.
        assert_eq!(at("x\n{{ previous.message }}").line, Some(2));
        assert_eq!(task("{% if previous %}{{ previous.message }}{% endif %}{{ step.text }}"), Ok(()));
        assert!(at("{{ 1 | fence }}").message.contains("fence"));
        assert!(at(" {# nothing #} ").message.contains("empty"));
    }

    #[test]
    fn no_template_reaches_a_file_or_the_environment_or_runs_for_ever() {
        for text in [
            "{% include \"/etc/passwd\" %}",
            "{% include \"drover.toml\" %}",
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{{ \"x\" * 100000000000 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% include \"this template\" %}",
            "{% set x = namespace(s=\"x\") %}{% for i in range(64) %}{% set x.s = x.s ~ x.s %}{% endfor %}",
            "{{ step.text | indent(1000000000000) }}",
            "{{ env.HOME }}",
        ] {
            assert!(task(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_block_cannot_be_ended_by_what_it_holds() {
        assert_eq!(block("a\n````\nb"), "`````\na\n````\nb\n`````");
        let said = render(Kind::Task, Some("{{ protect | fenced(more=2) }}"), &sample()).unwrap();
        assert_eq!(said, "```\ndrover.toml\ndrover/**\nand 2 more\n```\n");
    }
}
