//! The commands and files of GitHub Actions.

use super::Annotation;
use crate::core::State;
use crate::core::view::Status;
use crate::files::Severity;
use crate::report::{Account, words};

/// A step may have ten of each kind; the tenth points at the rest.
const SHOWN: usize = 9;

/// As many as a step may have, a line each; `rest` says where the others are.
pub fn annotations(all: &[Annotation], rest: &str) -> String {
    let mut out = String::new();
    for severity in [Severity::Error, Severity::Warning] {
        let of_kind: Vec<&Annotation> = all.iter().filter(|a| a.severity == severity).collect();
        out.extend(of_kind.iter().take(SHOWN).map(|a| annotation(a)));
        if let Some(more) = of_kind.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            out.push_str(&annotation(&Annotation::new(severity, &format!("and {more} more"), rest)));
        }
    }
    out
}

fn annotation(it: &Annotation) -> String {
    let word = match it.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = it.place.as_ref().map(|(file, line, column)| format!("file={},line={line},col={column},", property(file)));
    format!("::{word} {}title={}::{}\n", place.unwrap_or_default(), property(&it.title), data(&it.message))
}

/// A text as the value of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text as a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What stands before and after lines that are folded away under a title.
pub fn group(title: &str) -> (String, &'static str) {
    (format!("::group::{}\n", data(title)), "::endgroup::\n")
}

/// Has the runner show `***` in its place from now on. A value of several lines also by each of them.
pub fn mask(secret: &str) -> String {
    let lines = secret.lines().filter(|line| line.len() > 3 && line.len() < secret.len());
    std::iter::once(secret).chain(lines).map(|text| format!("::add-mask::{}\n", data(text))).collect()
}

/// The outputs of the step: no value has a line break.
pub fn outputs(state: &State, account: &Account) -> String {
    let views: Vec<_> = state.views().into_iter().filter(|v| state.selection.holds(&v.id)).collect();
    let tally = words::tally(&views);
    let count = |status| tally.get(&status).copied().unwrap_or(0);
    let run = state.head.run.as_ref().map(|run| run.id.to_string()).unwrap_or_default();
    format!(
        "run_id={run}\ncompleted={}\nfailed={}\nblocked={}\nchanged={}\n",
        count(Status::Completed),
        count(Status::Failed),
        count(Status::Blocked),
        account.done() > 0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_holds_is_no_command_and_no_property() {
        let hostile = Annotation {
            place: Some(("a:b,c.toml".into(), 3, 1)),
            ..Annotation::new(Severity::Error, "x::y,line=9", "100%\r\n::set-output name=a::b\u{1b}[0m")
        };
        let shown = annotations(&[hostile], "");
        assert_eq!(shown, "::error file=a%3Ab%2Cc.toml,line=3,col=1,title=x%3A%3Ay%2Cline=9::100%25%0A::set-output name=a::b[0m\n");
        assert_eq!(mask("one 1\ntwo%2\n"), "::add-mask::one 1%0Atwo%252%0A\n::add-mask::one 1\n::add-mask::two%252\n");
    }

    #[test]
    fn the_tenth_points_at_the_rest() {
        let all: Vec<Annotation> = (0..25).map(|n| Annotation::new(Severity::Error, &format!("t{n}"), "x")).collect();
        let shown = annotations(&all, "see the summary");
        assert_eq!(shown.lines().count(), 10);
        assert!(shown.ends_with("::error title=and 16 more::see the summary\n"), "{shown}");
        assert_eq!(annotations(&all[..9], "").lines().count(), 9);
    }
}
