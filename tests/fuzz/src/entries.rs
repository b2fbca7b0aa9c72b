//! What is fuzzed: each function reads bytes as Drover would, and panics where something does not hold.
//! The fuzz targets and `tests/it/fuzz.rs` call the same ones.

use std::collections::BTreeSet;
use std::fs;

use drover::agent::{AgentEvent, Reader, said, verdict};
use drover::base::{Aid, Digest, Millis, Oid, TaskId};
use drover::core::{Fact, Input, State, decide};
use drover::files::{Options, load};
use drover::model::{Action, AgentKind, AgentSpec, Spec, StepSpec};
use drover::plan::select::{Universe, parse, resolve};
use drover::process::Ended;

/// Where one file ends and the next begins.
const NEXT: &str = "\n=====\n";

/// Nothing that a terminal obeys, and nothing that turns the order of what it shows.
fn is_safe(shown: &str) -> bool {
    shown.chars().all(|c| {
        c == '\n' || c == '\t' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c) && !('\u{2066}'..='\u{2069}').contains(&c)
    })
}

/// `drover.toml`, a task file and a prompt, as a project: it is one, or a report says why not.
pub fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, NEXT);
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a place to write");
    let names = ["drover.toml", "drover/t.toml", "drover/t.md"];
    fs::create_dir(dir.path().join("drover")).expect("it can be written");
    for (name, part) in names.iter().zip(parts.by_ref()) {
        fs::write(dir.path().join(name), part).expect("it can be written");
    }
    let loaded = load(dir.path(), &Options::default());
    assert_eq!(loaded.project.is_none(), loaded.report.has_errors(), "neither a project nor an error, or both");
    let shown = loaded.report.graphical(false, 80) + &loaded.report.short();
    assert!(is_safe(&shown), "{shown:?}");
    loaded.report.json();
    if let Some(project) = loaded.project {
        for (id, spec) in project.graph.tasks() {
            // What becomes the name of a ref, a directory or a trailer.
            assert!(TaskId::parse(id.as_str()).is_ok() && spec.steps.iter().all(|s| TaskId::parse(s.id.as_str()).is_ok()));
            assert!(spec.depends_on.iter().all(|d| project.graph.tasks().contains_key(d)), "{id} depends on what there is not");
        }
    }
}

/// What an agent of each kind prints, and what it writes into the file of its outcome. The first
/// byte says which kind, and how it ends.
pub fn agents(data: &[u8]) {
    let Some((first, output)) = data.split_first() else { return };
    let kind = AgentKind::ALL[usize::from(*first) % AgentKind::ALL.len()];
    for event in Reader::new(kind, output) {
        match event {
            AgentEvent::Activity(line) => assert!(is_safe(&line) && !line.contains('\n'), "{line:?}"),
            AgentEvent::Conversation(id) => assert!(!id.starts_with('-') && !id.contains(['/', ' ']), "{id:?}"),
            _ => {}
        }
    }
    let id = TaskId::parse("t").expect("a plain id");
    let minute = std::time::Duration::from_secs(60);
    let action = Action::Prompt { text: String::new(), agent: AgentSpec::new("a", kind) };
    let step = StepSpec { title: String::new(), id, action, verify: Vec::new(), timeout: minute, stall_timeout: minute };
    let ended = if *first < 128 { Ended::Exited { code: 0 } } else { Ended::Exited { code: 1 } };
    let exit = verdict(&step, &ended, output, &String::from_utf8_lossy(output));
    assert!(is_safe(&exit.summary), "{:?}", exit.summary);
    let _ = said(output).map(|found| found.map(|said| drover::agent::weigh(exit, said)));
}

/// A commit's message: of what it says, each is a plain id, and a record survives being written
/// below whatever the message is.
pub fn records(data: &[u8]) {
    let message = String::from_utf8_lossy(data);
    let commit = Oid::parse(&"f".repeat(40)).expect("a name");
    let marks = drover::git::marks_of(&commit, &message, &|hex| Oid::parse(hex));
    for mark in &marks {
        if let drover::git::Says::Landed { task, attempt, .. } = &mark.says {
            assert!(TaskId::parse(task.as_str()).is_ok() && Aid::parse(attempt.as_str()).is_ok());
        }
    }
    // The words of an agent neither forge a record nor take Drover's own away.
    let trailers = drover::git::trailers("t@1:00ff", "r-1", "r", "command");
    let (subject, body) = message.split_once('\n').unwrap_or((&message, ""));
    let own = drover::git::marks_of(&commit, &drover::git::message(subject, body, &trailers), &|_| None);
    let own: Vec<_> = own.iter().map(|m| &m.says).collect();
    let wanted = drover::git::Says::Landed {
        task: TaskId::parse("t").expect("a plain id"),
        digest: Digest::parse("1:00ff").expect("a digest"),
        attempt: Aid::parse("r-1").expect("a plain id"),
    };
    assert_eq!(own, [&wanted]);
}

/// A selector, and what it selects of three tasks.
pub fn selectors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(expr) = parse(&text) else { return };
    let mut state = State::default();
    let changes = ["a", "b.c", "d-1"].map(|id| {
        let spec = Spec::new(TaskId::parse(id).expect("a plain id"));
        drover::core::Change::Define { spec: spec.into(), rerun: false }
    });
    decide(&mut state, Millis(1), &Input::Reconcile { policy: None, changes: changes.into() });
    let universe = Universe::of_record(&state);
    let exprs = [expr];
    match resolve(&exprs, &[], &universe) {
        Ok(found) => {
            assert!(found.iter().all(|id| state.tasks.contains_key(id)));
            let without = resolve(&exprs, &exprs, &universe).unwrap_or_default();
            assert_eq!(without, BTreeSet::new(), "what is excluded is selected");
        }
        Err(error) => assert!(is_safe(&error.to_string()), "{error}"),
    }
}

/// A line that somebody sends to the socket of a running Drover.
pub fn control(data: &[u8]) {
    let Ok(request) = drover::control::request(data) else { return };
    let mut state = State::default();
    let spec = Spec::new(TaskId::parse("a").expect("a plain id"));
    let define = drover::core::Change::Define { spec: spec.into(), rerun: false };
    decide(&mut state, Millis(1), &Input::Reconcile { policy: None, changes: vec![define] });
    let before = state.clone();
    let (facts, _) = drover::control::carry_out(&mut state, Millis(2), &request, true);
    assert!(!request.rehearse || facts.is_empty() && state.same_record(&before), "a rehearsal changed something");
    // What is written down gives the same state again.
    let mut folded = before;
    facts.iter().for_each(|fact| folded.apply(Millis(2), fact).expect("its own facts"));
    assert!(folded.same_record(&state));
}

/// A journal, a fact a line, from a file that somebody may have written: each is taken or refused.
pub fn journal(data: &[u8]) {
    let mut state = State::default();
    for (at, line) in (1..).zip(data.split(|b| *b == b'\n')).take(200) {
        let Ok(fact) = serde_json::from_slice::<Fact>(line) else { continue };
        let again: Fact = serde_json::from_slice(&serde_json::to_vec(&fact).expect("it can be written")).expect("what was written is read");
        assert_eq!(again, fact);
        if state.apply(Millis(at), &fact).is_err() {
            return;
        }
        state.outstanding();
        state.views();
    }
    decide(&mut state, Millis(1000), &Input::Tick);
}
