//! The live account and the event file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use drover::base::Millis;
use drover::core::{Fact, Failure, FailureClass, Input, State};
use drover::model::{Graph, Spec};
use drover::process::Logs;
use drover::report::terminal::Options;
use drover::report::{Events, Level, Reporter, Reporters, Terminal, Veil};
use serde_json::Value;

use super::world::{Tweak, World, graph, id, ids, step, task};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader went away after some bytes.
struct Broken(usize);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(level: Level) -> Options {
    Options { level, color: false, log: Box::new(|task, aid| Some(format!("/logs/{task}/{aid}"))), live: None, fold: None }
}

fn eventful() -> (World, Graph) {
    let mut world = World::new();
    let failure = |message: &str, tail: &str| Failure { tail: tail.into(), ..Failure::new(FailureClass::Verify, message) };
    let tail: String = (1..=60).map(|n| format!("line {n}\u{1b}[2J\n")).collect();
    world.failures.insert(id("api"), [failure("`cargo test` exit 101\nsee the log", "one\ntwo")].into());
    world.failures.insert(id("billing"), [failure("no \u{1b}[31mluck", &tail)].into());
    let step_and_own = |s: &mut Spec| {
        let own = s.steps[0].action.clone();
        s.steps.insert(0, step("docs.intro", own));
    };
    let files = graph([
        task("schema").verify("cargo test"),
        task("api").needs("schema"),
        task("billing").attempts(1),
        task("invoice").needs("billing"),
        task("docs").with(step_and_own),
    ]);
    (world, files)
}

fn account(level: Level) -> String {
    let sink = Sink::default();
    let (mut world, files) = eventful();
    world.reporter = Some(Box::new(Terminal::new(Box::new(sink.clone()), options(level))));
    world.apply(&files);
    sink.text()
}

#[test]
fn the_account_has_a_line_for_each_transition() {
    insta::assert_snapshot!(account(Level::Normal), @r#"
         1s + billing  claimed, attempt 1 of 1 (claude): The task billing
         1s + schema   claimed, attempt 1 of 3 (claude): The task schema
         1s + docs     claimed, attempt 1 of 3 (claude): The task docs
         6s . billing  agent ended and failed
         7s . docs     step 1 of 2 (docs.intro): agent ended
         8s . schema   agent ended
         9s ! billing  failed for good (attempt 1 of 1), verify failed: no [31mluck
              | line 21[2J
              | line 22[2J
              | line 23[2J
              | line 24[2J
              | line 25[2J
              | line 26[2J
              | line 27[2J
              | line 28[2J
              | line 29[2J
              | line 30[2J
              | line 31[2J
              | line 32[2J
              | line 33[2J
              | line 34[2J
              | line 35[2J
              | line 36[2J
              | line 37[2J
              | line 38[2J
              | line 39[2J
              | line 40[2J
              | line 41[2J
              | line 42[2J
              | line 43[2J
              | line 44[2J
              | line 45[2J
              | line 46[2J
              | line 47[2J
              | line 48[2J
              | line 49[2J
              | line 50[2J
              | line 51[2J
              | line 52[2J
              | line 53[2J
              | line 54[2J
              | line 55[2J
              | line 56[2J
              | line 57[2J
              | line 58[2J
              | line 59[2J
              | line 60[2J
              log: /logs/billing/run1-1
        12s . docs     step 2 of 2: agent ended
        15s . schema   verify passed
        19s = docs     landed 00a11cb after 18s
        20s = published 00a11cb
        24s = schema   landed 00a11cd after 23s
        24s + api      claimed, attempt 1 of 3 (claude): The task api
        25s = published 00a11cd
        28s . api      agent ended and failed
        29s ^ api      verify failed (attempt 1 of 3), retry in 30s: `cargo test` exit 101
              see the log
      1m00s + api      claimed, attempt 2 of 3 (claude): The task api
      1m02s . api      agent ended
      1m06s = api      landed 00a11d4 after 6s
      1m07s = published 00a11d4
    "#);
}

#[test]
fn the_quiet_hear_of_failures_and_the_verbose_of_everything() {
    let quiet = account(Level::Quiet);
    assert!(quiet.contains("failed for good") && !quiet.contains("claimed"), "{quiet}");
    let verbose = account(Level::Verbose);
    for word in
        ["run run1 begins", "worktree ready", "check passed: cargo test", "merged as", "the wait is over", "| two", "log: /logs/api/run1-"]
    {
        assert!(verbose.contains(word), "{word}: {verbose}");
    }
}

#[test]
fn nothing_that_a_terminal_obeys_comes_through() {
    let text = account(Level::Verbose);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.contains("| line 60[2J") && text.contains("| line 21[2J") && !text.contains("| line 20[2J"), "the last 40 lines");
}

#[test]
fn interruptions_conflicts_and_publishing_are_told_in_words() {
    let sink = Sink::default();
    let mut world = World::new();
    world.policy.merge.on_conflict = drover::model::OnConflict::Block;
    world.interrupt = ids("a");
    world.conflict = ids("b");
    world.reporter = Some(Box::new(Terminal::new(Box::new(sink.clone()), options(Level::Normal))));
    world.reconcile(&graph([task("a"), task("b")]));
    world.run();
    world.input(Input::PublishHeld { why: "src/a.rs has changes".into() });
    let text = sink.text();
    for words in [
        "* a  interrupted; its work is kept",
        "claimed, attempt 1 of 3, goes on from the interrupted one (claude)",
        "! b  blocked: conflict with what landed, in src/a.rs",
        "! landed, but waiting for your checkout: src/a.rs has changes",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

/// There are no secrets here.
fn veil() -> Veil {
    Veil::new(|_, _| Logs::default(), BTreeMap::new())
}

#[test]
fn a_reader_that_went_away_is_a_warning_and_not_the_end_of_the_run() {
    let (mut world, files) = eventful();
    let reporters = Reporters(vec![
        Box::new(Terminal::new(Box::new(Broken(100)), options(Level::Verbose))),
        Box::new(Events::to(Box::new(Broken(500)), "-", veil())),
        Box::new(Events::append("/nowhere/at/all/events.jsonl".as_ref(), veil())),
    ]);
    world.reporter = Some(Box::new(reporters));
    world.apply(&files);
    let warning = world.reporter.unwrap().warning().unwrap();
    assert!(warning.contains("progress is not shown any more"), "{warning}");
}

#[test]
fn facts_about_tasks_that_are_gone_are_told_all_the_same() {
    let sink = Sink::default();
    let mut terminal = Terminal::new(Box::new(sink.clone()), options(Level::Verbose));
    let (mut world, files) = eventful();
    let seen = Arc::new(Mutex::new(Vec::new()));
    struct Collect(Arc<Mutex<Vec<Fact>>>);
    impl Reporter for Collect {
        fn fact(&mut self, _: &State, _: u64, _: Millis, fact: &Fact) {
            self.0.lock().unwrap().push(fact.clone());
        }
    }
    world.reporter = Some(Box::new(Collect(seen.clone())));
    world.apply(&files);
    let facts = seen.lock().unwrap().clone();
    let empty = State::default();
    facts.iter().for_each(|fact| terminal.fact(&empty, 1, Millis(5), fact));
    assert!(sink.text().lines().count() > facts.len() / 2);
}

#[test]
fn the_event_file_has_a_version_and_a_line_a_fact_and_is_only_ever_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    fs::write(&path, "{\"torn").unwrap();
    let (mut world, files) = eventful();
    world.reporter = Some(Box::new(Events::append(&path, veil())));
    world.apply(&files);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("{\"torn"));
    let lines: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines[0]["type"].as_str(), lines[0]["format_version"].as_str()), (Some("version"), Some("1.0")));
    let seqs: Vec<u64> = lines[1..].iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=world.state.head.seq).collect::<Vec<_>>());
    assert!(lines[1..].iter().all(|l| l["type"] == "fact" && l["at"].is_u64() && l["fact"].is_string()));
    assert!(lines.iter().any(|l| l["fact"] == "landed" && l["task"] == "schema"));
    // What stands beside a fact's own fields must not cover one of them.
    let folded = lines[1..].iter().map(|l| serde_json::from_value::<Fact>(l.clone()).unwrap());
    let mut state = State::default();
    for (fact, line) in folded.zip(&lines[1..]) {
        state.apply(Millis(line["at"].as_u64().unwrap()), &fact).unwrap();
    }
    assert!(state.same_record(&world.state));
}

#[test]
fn where_nothing_is_drawn_a_minute_of_silence_is_followed_by_a_sign_of_life() {
    let sink = Sink::default();
    let mut world = World::new();
    world.reporter = Some(Box::new(Terminal::new(Box::new(sink.clone()), options(Level::Normal))));
    world.hang = ids("schema docs");
    world.reconcile(&graph([task("schema"), task("docs")]));
    world.run();
    let (before, now) = (sink.text(), world.now);
    let mut reporter = world.reporter.take().unwrap();
    reporter.tick(&world.state, Millis(now.0 + 55_000));
    assert_eq!(sink.text(), before);
    reporter.tick(&world.state, Millis(now.0 + 61_000));
    let sign = sink.text()[before.len()..].to_owned();
    assert!(sign.contains("schema") && sign.contains("1m0") && sign.contains("2 under way, 0 of 2 completed"), "{sign}");
    reporter.tick(&world.state, Millis(now.0 + 62_000));
    assert_eq!(sink.text().len(), before.len() + sign.len(), "once a minute");
}
