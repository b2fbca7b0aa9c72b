//! Selectors: what they match, and what they say when they match nothing.

use std::collections::BTreeSet;

use drover::base::TaskId;
use drover::model::Graph;
use drover::plan::select::{Expr, SelectError, Universe, parse, resolve};

use super::world::{Tweak, World, graph, id, ids, step, task};

fn files() -> Graph {
    graph([
        task("auth-schema").epic("auth").with(|s| s.source.file = "drover/auth.toml".into()),
        task("auth-api").epic("auth").needs("auth-schema").with(|s| {
            s.source.file = "drover/auth.toml".into();
            s.labels = vec!["backend".into(), "a+b".into()];
            let own = s.steps[0].action.clone();
            s.steps.insert(0, step("auth-api.tokens", own));
        }),
        task("web").needs("auth-api").with(|s| s.groups = vec!["ui".into()]),
        task("docs").needs("web").with(|s| s.labels = vec!["backend".into()]),
        task("port.api").with(|s| s.source.file = "drover/deep/port.toml".into()),
        task("port.worker"),
    ])
}

fn exprs(texts: &[&str]) -> Result<Vec<Expr>, SelectError> {
    texts.iter().map(|t| parse(t)).collect()
}

fn select(texts: &[&str], exclude: &[&str]) -> Result<BTreeSet<TaskId>, SelectError> {
    let mut world = World::new();
    let files = files();
    world.fail("auth-api", 9, "no");
    world.apply(&files);
    resolve(&exprs(texts)?, &exprs(exclude)?, &Universe::of_files(&files, &world.state))
}

#[test]
fn every_base_and_every_reach_selects_what_it_says() {
    for (text, expected) in [
        ("web", "web"),
        ("auth-*", "auth-api auth-schema"),
        ("{web,docs}", "web docs"),
        ("epic:auth", "auth-api auth-schema"),
        ("label:backend", "auth-api docs"),
        ("label:a+b+0", "auth-api"),
        ("agent:cl*", "auth-schema auth-api web docs port.api port.worker"),
        ("group:ui", "web"),
        ("path:drover/*.toml", "auth-schema auth-api web docs port.worker"),
        ("path:./drover/**/port.toml", "port.api"),
        ("status:failed", "auth-api"),
        ("status:blocked", "web docs"),
        ("port", "port.api port.worker"),
        ("+web", "web auth-api auth-schema"),
        ("1+web", "web auth-api"),
        ("auth-schema+", "auth-schema auth-api web docs"),
        ("auth-schema+2", "auth-schema auth-api web"),
        ("1+auth-api+1", "auth-schema auth-api web"),
        ("0+web", "web"),
        ("label:backend,epic:auth", "auth-api"),
        ("auth-schema+,status:blocked,web", "web"),
    ] {
        assert_eq!(select(&[text], &[]), Ok(ids(expected)), "{text}");
    }
    assert_eq!(select(&["web", "port.api"], &[]), Ok(ids("web port.api")), "several are or");
    assert_eq!(select(&[], &["auth-schema+"]), Ok(ids("port.api port.worker")), "none at all is all");
}

#[test]
fn a_bare_word_brings_what_it_needs_unless_it_says_how_far_it_reaches() {
    let files = files();
    let world = World::new();
    let universe = Universe::of_files(&files, &world.state);
    let resolved = |text: &str| resolve(&[parse(text).unwrap().with_needs()], &[], &universe).unwrap();
    assert_eq!(resolved("web"), ids("web auth-api auth-schema"));
    assert_eq!(resolved("label:backend,epic:auth"), ids("auth-api auth-schema"), "what both say, and what that needs");
    assert_eq!(resolved("web+"), ids("web docs"));
}

#[test]
fn the_record_is_a_universe_without_what_left_the_files() {
    let mut world = World::new();
    world.apply(&files());
    world.apply(&graph([task("docs")]));
    let all = resolve(&[], &[], &Universe::of_record(&world.state)).unwrap();
    assert_eq!(all, ids("docs"));
}

#[test]
fn what_matches_nothing_is_an_error_with_a_hint() {
    for (text, message) in [
        ("auth-apl", "selector `auth-apl` matches no task; did you mean `auth-api`?"),
        ("zzzzzzzz", "selector `zzzzzzzz` matches no task"),
        ("epic:aut", "selector `epic:aut` matches no task; did you mean `epic:auth`?"),
        ("auth-api.tokens", "selector `auth-api.tokens` matches no task: it is a sub-task of `auth-api`, which runs as a whole"),
        ("status:claimed", "selector `status:claimed` matches no task"),
        ("web,docs", "selector `web,docs` matches no task: its parts match tasks, but none in common"),
        ("web,nope*", "selector `nope*` matches no task"),
        ("UPPER", "selector `UPPER` matches no task"),
    ] {
        let error = select(&[text], &[]).unwrap_err();
        assert!(matches!(error, SelectError::NoMatch { .. }));
        assert_eq!(error.to_string(), message);
    }
    assert!(matches!(select(&["web"], &["wbe"]), Err(SelectError::NoMatch { .. })), "a slip in an exclusion counts too");
    let none = select(&["web"], &["web"]).unwrap_err().to_string();
    assert_eq!(none, "selector `--exclude web` matches no task that is left over: it takes away all");
}

#[test]
fn what_cannot_be_understood_says_why() {
    for (text, part) in [
        ("", "a name is missing"),
        ("a,,b", "a name is missing"),
        ("+", "a name is missing"),
        ("epic:", "a name is missing after `epic:`"),
        ("labl:x", "did you mean `label:`?"),
        ("status:runing", "is not one of completed, in_progress"),
        ("99999999999+x", "too many levels"),
        ("[", "unclosed"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, SelectError::Syntax { .. }), "{text}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn no_text_makes_the_reader_panic() {
    let files = files();
    let world = World::new();
    let universe = Universe::of_files(&files, &world.state);
    let parts = [
        "+",
        "2",
        ",",
        "web",
        "auth",
        "*",
        "{",
        "}",
        "[",
        "]",
        "!",
        "\\",
        ":",
        "epic:",
        "path:",
        "status:",
        "é",
        "\u{1b}[",
        " ",
        "-",
        ".",
        "**/",
        "99999999999",
    ];
    let mut rng = fastrand::Rng::with_seed(7);
    let mut understood = 0;
    for _ in 0..20_000 {
        let text: String = (0..rng.usize(0..9)).map(|_| parts[rng.usize(0..parts.len())]).collect();
        if let Ok(expr) = parse(&text) {
            understood += 1;
            let found = resolve(&[expr.with_needs()], &[], &universe).unwrap_or_default();
            assert!(found.iter().all(|id| files.tasks().contains_key(id)));
        }
        let noise: String = (0..rng.usize(0..12)).map(|_| rng.char(..)).collect();
        parse(&noise).ok();
    }
    assert!(understood > 1000, "{understood}");
    assert!(parse(&"x".repeat(100_000)).is_err());
    assert!(files.tasks().contains_key(&id("web")));
}
