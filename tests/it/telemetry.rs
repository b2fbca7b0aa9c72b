//! What is told by OpenTelemetry, received over both transports from the real program.

mod receiver;

use std::fs;

use std::collections::{BTreeMap, BTreeSet};

use drover::telemetry::metrics::{Kind, METRICS};

use crate::claude;
use crate::docs::{first_column, page, quoted, section};
use crate::fixture::{CONFIG, Fixture, PATIENCE, free_port, program, repo, until};
use crate::scripted_api::Reply;
use receiver::{Certificates, Receiver, Span, Transport};

const BOTH: [Transport; 2] = [Transport::Grpc, Transport::Http];

pub fn project(config: &str, tasks: &str) -> Fixture {
    repo().file("drover.toml", &format!("{CONFIG}{config}")).file("drover/t.toml", tasks).commit("tasks")
}

/// A task whose agent carries out a line.
pub fn task(id: &str, line: &str, more: &str) -> String {
    let prompt = format!("\n$ {line}\n");
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Make {id}\"\nprompt = {prompt:?}\n{more}\n")
}

/// Names below each other, siblings in the order of their beginnings and names.
fn tree(spans: &[Span]) -> String {
    fn below(spans: &[Span], parent: &str, depth: usize, out: &mut String) {
        for span in spans.iter().filter(|s| s.parent == parent) {
            let of = span.attributes.get("drover.task.id").filter(|_| span.name == "drover.task.execute");
            let no = span.attributes.get("drover.task.attempt").map(String::as_str).unwrap_or_default();
            let of = of.map(|id| format!(" {id}/{no}")).unwrap_or_default();
            let failed = if span.failed { " !" } else { "" };
            out.push_str(&format!("{}{}{of}{failed}\n", "  ".repeat(depth), span.name));
            below(spans, &span.id, depth + 1, out);
        }
    }
    let mut out = String::new();
    below(spans, "", 0, &mut out);
    out
}

#[track_caller]
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|s| s.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {}", tree(spans));
    found[0]
}

#[test]
fn over_both_transports_a_run_is_told_as_one_trace_whose_steps_lie_in_their_attempt() {
    for transport in BOTH {
        let receiver = Receiver::start(transport);
        let it = project(&receiver.config(), &task("a", "env >env.txt; echo x >a.txt", "verify = [\"test -e a.txt\"]\npriority = 3"));
        let ran = it.drover(&["apply"]).expect(0);
        assert!(!ran.err.contains("telemetry"), "{}", ran.err);
        let spans = receiver.spans();
        let expected = "\
drover.workflow.run
  drover.task.execute a/1
    drover.git.worktree.create
    drover.agent.execute
    drover.verify
    drover.git.commit
    drover.git.merge
  drover.workflow.metrics
";
        assert_eq!(tree(&spans), expected);
        let (run, attempt) = (&spans[0], one(&spans, "drover.task.execute"));
        for span in &spans {
            let parent = spans.iter().find(|s| s.id == span.parent).unwrap_or(span);
            assert!(span.start <= span.end && parent.start <= span.start && span.end <= parent.end, "{span:#?} in {parent:#?}");
            assert_eq!((&span.trace, span.get("drover.run.id"), span.get("drover.project.id")), (&run.trace, run.trace.as_str(), "it"));
        }
        assert_eq!((run.get("drover.run.outcome"), run.links.len()), ("done", 0));
        let said = |key: &str| attempt.get(key);
        assert_eq!((said("drover.task.id"), said("drover.task.title"), said("drover.task.state")), ("a", "Make a", "completed"));
        assert_eq!((said("drover.task.priority"), said("drover.task.attempt"), said("drover.worker.id")), ("3", "1", "1"));
        let agent = one(&spans, "drover.agent.execute");
        assert_eq!(agent.get("drover.agent.type"), "command");
        let environment = it.git(&["show", "main:env.txt"]);
        let parent = format!("TRACEPARENT=00-{}-{}-01\n", run.trace, agent.id);
        assert!(environment.contains(&parent) && environment.contains("TRACESTATE=\n"), "{environment}");
        let merge = one(&spans, "drover.git.merge");
        assert_eq!((merge.get("drover.git.operation"), merge.get("drover.git.branch")), ("merge", "main"));
        assert_eq!(merge.get("drover.git.commit"), it.git(&["rev-parse", "main"]));
        let checks = &one(&spans, "drover.verify").events;
        assert_eq!(
            (checks.len(), checks[0].1["drover.check.name"].as_str(), checks[0].1["drover.check.result"].as_str()),
            (1, "test -e a.txt", "passed")
        );
        let resource = receiver.received(|r| receiver::attributes(&r.traces[0].resource_spans[0].resource.as_ref().unwrap().attributes));
        assert_eq!((resource["service.name"].as_str(), resource["drover.project.id"].as_str()), ("drover", "it"));
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn where_it_is_off_nothing_is_sent_and_agents_hear_nothing_of_traces() {
    let receiver = Receiver::start(Transport::Http);
    let it = project(&receiver.config().replace("true", "false"), &task("a", "env >env.txt", ""));
    it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.received(|r| r.requests), 0);
    assert!(!it.git(&["show", "main:env.txt"]).contains("TRACE"));
    let standard =
        it.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", receiver.at)).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    standard.write("drover/t.toml", &task("b", "env >env.txt", ""));
    standard.git(&["commit", "-qam", "b"]);
    standard.drover(&["apply"]).expect(0);
    assert_eq!(receiver.received(|r| r.requests), 0, "an address is no wish");
    let on = standard.env("DROVER_OTEL_ENABLED", "true").env("OTEL_SERVICE_NAME", "night").env("OTEL_RESOURCE_ATTRIBUTES", "team=core");
    let on =
        on.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k-123").env("TRACEPARENT", "00-0193f7a1b2c37d4e8f0123456789abcd-0001020304050607-01");
    on.write("drover/t.toml", &task("c", "env >env.txt", ""));
    on.git(&["commit", "-qam", "c"]);
    on.drover(&["apply"]).expect(0);
    let spans = receiver.spans();
    let run = one(&spans, "drover.workflow.run");
    let link = &run.links[0];
    assert_eq!((link.0.as_str(), link.1.as_str()), ("0193f7a1b2c37d4e8f0123456789abcd", "0001020304050607"));
    assert_eq!((run.parent.as_str(), link.2["drover.link"].as_str()), ("", "caller"));
    let resource = receiver.received(|r| receiver::attributes(&r.traces[0].resource_spans[0].resource.as_ref().unwrap().attributes));
    assert_eq!((resource["service.name"].as_str(), resource["team"].as_str()), ("night", "core"));
    assert!(receiver.received(|r| r.headers.iter().all(|h| h.contains("k-123"))));
}

#[test]
fn what_fails_says_what_it_was_and_whose_fault() {
    let receiver = Receiver::start(Transport::Grpc);
    let tasks = task("a", "echo a >a.txt; exit 3", "retry = { max_attempts = 2, delay = \"1ms\", jitter = false }")
        + &task("b", "echo b >b.txt", "verify = [\"false\"]\nretry = { max_attempts = 1 }");
    let it = project(&receiver.config(), &tasks);
    it.drover(&["apply"]).expect(1);
    let spans = receiver.spans();
    let attempts: Vec<&Span> = spans.iter().filter(|s| s.name == "drover.task.execute").collect();
    let mut told: Vec<_> = attempts
        .iter()
        .map(|s| (s.get("drover.task.id"), s.get("drover.task.attempt"), s.get("drover.task.state"), s.get("drover.error.type"), s.failed))
        .collect();
    told.sort();
    let expected =
        [("a", "1", "ready", "task.agent", true), ("a", "2", "failed", "task.agent", true), ("b", "1", "failed", "task.verify", true)];
    assert_eq!(told, expected);
    let steps = |of: &Span| {
        let below = spans.iter().filter(|s| s.parent == of.id);
        below.map(|s| format!("{}{}", s.name, if s.failed { " !" } else { "" })).collect::<Vec<_>>()
    };
    for attempt in attempts {
        let expected = match attempt.get("drover.task.id") {
            "a" => vec!["drover.git.worktree.create", "drover.agent.execute !"],
            _ => vec!["drover.git.worktree.create", "drover.agent.execute", "drover.verify !"],
        };
        assert_eq!(steps(attempt), expected);
        assert!(
            attempt.get("drover.error.message").contains(if expected.len() == 2 { "exit code 3" } else { "verify `false`" }),
            "{attempt:#?}"
        );
    }
    let totals = one(&spans, "drover.workflow.metrics");
    let counts = ["claimed", "completed", "failed", "retried"].map(|n| totals.get(&format!("drover.tasks.{n}")));
    assert_eq!((counts, spans[0].get("drover.run.outcome")), (["3", "0", "2", "1"], "failed"));
    let run = &spans[0];
    assert_eq!((run.failed, run.status.as_str(), run.get("drover.error.type")), (true, "2 tasks failed: a, b", "task.failed"));
    assert_eq!(run.get("drover.error.message"), run.status);
}

#[test]
fn a_run_that_is_stopped_or_interrupted_is_no_error_and_says_what_it_was() {
    let receiver = Receiver::start(Transport::Http);
    let it = project(&receiver.config(), &task("a", "echo x >a.txt", "approval = \"required\""));
    it.drover(&["apply"]).expect(5);
    let spans = receiver.spans();
    let run = one(&spans, "drover.workflow.run");
    assert_eq!((run.failed, run.get("drover.run.outcome"), run.get("drover.error.type")), (false, "stopped", "task.stopped"));
    assert_eq!(run.get("drover.error.message"), "waiting for approval: a");
    // What it takes up again and comes to its end says nothing of trouble.
    it.drover(&["approve", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    let spans = receiver.spans();
    let done = spans.iter().find(|s| s.attributes.get("drover.run.outcome").is_some_and(|o| o == "done")).unwrap();
    assert!(!done.failed && !done.attributes.contains_key("drover.error.type"), "{done:#?}");
}

#[test]
fn after_a_kill_the_trace_is_whole_under_the_same_names_and_the_next_run_leads_to_it() {
    let receiver = Receiver::start(Transport::Http);
    let it = project(&receiver.config(), "");
    let (begun, go) = (it.outside("begun"), it.outside("go"));
    let line = format!("echo $TRACEPARENT >{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >a.txt", begun.display(), go.display());
    it.write("drover/t.toml", &task("a", &line, ""));
    it.git(&["commit", "-qam", "a"]);
    let mut child = it.spawn(&["apply"]);
    until("the agent has begun", || fs::read_to_string(&begun).is_ok_and(|t| t.ends_with('\n')));
    until("what ended before is sent", || receiver.spans().iter().any(|s| s.name == "drover.git.worktree.create"));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&go, "").unwrap();
    it.drover(&["resume"]).expect(0);
    let spans = receiver.spans();
    let expected = "\
drover.workflow.run
  drover.task.execute a/1
    drover.git.worktree.create
    drover.agent.execute
    drover.verify
    drover.git.commit
    drover.git.merge
drover.workflow.run
  drover.workflow.metrics
";
    assert_eq!(tree(&spans), expected);
    let runs: Vec<&Span> = spans.iter().filter(|s| s.name == "drover.workflow.run").collect();
    assert_eq!((runs[0].get("drover.run.outcome"), runs[1].get("drover.run.outcome")), ("cut_short", "done"));
    let link = &runs[1].links[0];
    assert_eq!((&link.0, &link.1, link.2["drover.link"].as_str()), (&runs[0].trace, &runs[0].id, "continues"));
    let agent = one(&spans, "drover.agent.execute");
    let told = fs::read_to_string(&begun).unwrap();
    assert_eq!(told.trim(), format!("00-{}-{}-01", runs[0].trace, agent.id));
    assert!(
        spans.iter().filter(|s| s.name != "drover.workflow.run" && s.name != "drover.workflow.metrics").all(|s| s.trace == runs[0].trace)
    );
}

#[test]
fn a_run_that_was_interrupted_is_told_once_and_its_attempt_too() {
    let receiver = Receiver::start(Transport::Http);
    let it = project(&receiver.config(), "");
    let (begun, go) = (it.outside("begun"), it.outside("go"));
    let line = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done; echo x >a.txt", begun.display(), go.display());
    it.write("drover/t.toml", &task("a", &line, ""));
    it.git(&["commit", "-qam", "a"]);
    let mut child = it.spawn(&["apply"]);
    until("the agent has begun", || begun.exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    fs::write(&go, "").unwrap();
    it.drover(&["resume"]).expect(0);
    let spans = receiver.spans();
    let told: Vec<(&str, &str)> =
        spans.iter().filter(|s| s.parent.is_empty()).map(|s| (s.get("drover.run.outcome"), s.name.as_str())).collect();
    assert_eq!(told, [("interrupted", "drover.workflow.run"), ("done", "drover.workflow.run")], "{}", tree(&spans));
    assert_eq!((spans[0].failed, spans[0].get("drover.error.type")), (false, "infrastructure.interrupted"));
    let attempts: Vec<&str> = spans.iter().filter_map(|s| s.attributes.get("drover.task.state")).map(String::as_str).collect();
    assert_eq!(attempts, ["ready", "completed"]);
    let ids: BTreeSet<&str> = spans.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "each is told once");
}

/// The warnings about telemetry, each of which is one line.
fn warnings(err: &str) -> Vec<&str> {
    err.lines().filter(|l| l.contains("telemetry") || l.contains("OpenTelemetry")).collect()
}

#[test]
fn a_receiver_that_refuses_is_missing_or_mute_costs_its_spans_and_the_run_nothing() {
    for transport in BOTH {
        let refuses = Receiver::start(transport);
        refuses.refuse(503);
        // Takes connections, and never says a word.
        let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = |at: &dyn std::fmt::Display| {
            let all = refuses.config();
            all.replace(&refuses.at.to_string(), &at.to_string())
        };
        let tls = format!("https://{}", refuses.at);
        let cases: [(&str, String); 4] = [
            ("refuses", refuses.config()),
            ("gone", config(&format!("127.0.0.1:{}", free_port()))),
            ("mute", config(&mute.local_addr().unwrap())),
            ("no TLS there", config(&tls)),
        ];
        for (what, config) in cases {
            let it = project(&config, &task("a", "echo x >a.txt", "")).env(PATIENCE, "");
            let ran = it.drover(&["apply"]).expect(0);
            let said = warnings(&ran.err);
            assert_eq!(said.len(), 1, "{transport:?}, {what}: {}", ran.err);
            let lost = said[0].starts_with("warning: telemetry: 8 spans, ") && said[0].contains(" points did not arrive at http");
            assert!(lost, "{transport:?}, {what}: {}", said[0]);
            assert_eq!(it.landed(), ["a"]);
        }
        assert!(refuses.received(|r| r.requests > 0));
    }
}

#[test]
fn a_receiver_that_dies_in_mid_run_costs_what_it_was_to_be_told_from_then_on() {
    for transport in BOTH {
        let mut receiver = Receiver::start(transport);
        let it = project(&receiver.config(), "");
        let go = it.outside("go");
        let line = format!("while [ ! -e {} ]; do sleep 0.02; done; echo x >a.txt", go.display());
        it.write("drover/t.toml", &task("a", &line, ""));
        it.git(&["commit", "-qam", "a"]);
        let child = it.spawn(&["apply"]);
        until("something is told", || receiver.spans().len() == 1);
        receiver.die();
        fs::write(&go, "").unwrap();
        let ran = crate::fixture::ran(&child.wait_with_output().unwrap()).expect(0);
        let said = warnings(&ran.err);
        // The first may have come without an answer to it.
        let lost = ["telemetry: 7 spans, ", "telemetry: 8 spans, "].iter().any(|words| said[0].contains(words));
        assert!(said.len() == 1 && lost, "{transport:?}: {}", ran.err);
    }
}

#[test]
fn what_is_secret_is_in_nothing_that_is_sent() {
    let receiver = Receiver::start(Transport::Http);
    let canary = "canary-5c1f-\\\"x";
    let outcome = r#"printf '{"outcome": "blocked", "reason": "%s is refused"}' $OWN_TOKEN >$DROVER_OUTCOME"#;
    let more = "env = { OWN_TOKEN = \"canary-own-77\" }\nenv_pass = [\"PATH\", \"DEPLOY_TOKEN\"]";
    let tasks = task("a", &format!("echo $DEPLOY_TOKEN $OWN_TOKEN plain-words; echo $DEPLOY_TOKEN >&2; {outcome}"), more);
    let tasks = tasks.replace("Make a", "Use canary-own-77");
    let it = project(&receiver.config(), &tasks).env("DEPLOY_TOKEN", canary);
    it.drover(&["apply"]).expect(5);
    let sent = String::from_utf8_lossy(&receiver.bytes()).into_owned();
    assert!(sent.contains("*** is refused") && sent.contains("Use ***"), "{sent}");
    assert!(!sent.contains("canary"), "{sent}");
    assert!(!sent.contains("plain-words"), "neither prompts nor output: {sent}");
}

/// Two tasks: `a`, by what is taken for Claude Code, whose first attempt does not pass its check, and `b`,
/// whose command fails. Each has one thing that it alone shows.
pub fn eventful(telemetry: &str) -> Fixture {
    let used = r#""inputTokens":1200,"outputTokens":34,"cacheReadInputTokens":5000,"cacheCreationInputTokens":60,"costUSD":0.25"#;
    let result = format!(
        r#"{{"type":"result","subtype":"success","is_error":false,"result":"Built it.","model_usage_since_last_result":{{"opus":{{{used}}}}}}}"#
    );
    let it = repo();
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -p ] || exit 0\ncat >/dev/null\necho $DROVER_ATTEMPT_NUMBER >n.txt\necho '{{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s\"}}'\necho '{result}'\n"
    );
    program(&bin.join("claude"), script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let config = format!("{CONFIG}[agents.cc]\nkind = \"claude-code\"\nmodel = \"opus\"\n{telemetry}");
    let tasks = "[epic]\nid = \"e\"\ntitle = \"E\"\n\
        [[task]]\nid = \"a\"\ntitle = \"A\"\nagent = \"cc\"\nprompt = \"Do it.\"\nverify = [\"grep 2 n.txt\"]\n\
        [[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"exit 3\"\nretry = { max_attempts = 1 }\n\
        [[task]]\nid = \"c\"\ntitle = \"C\"\nrun = \"true\"\ndepends_on = [\"b\"]\n";
    it.env("PATH", &path).file("drover.toml", &config).file("drover/t.toml", tasks).commit("tasks")
}

#[test]
fn what_is_counted_and_measured_is_exactly_what_was_done() {
    for transport in BOTH {
        let receiver = Receiver::start(transport);
        eventful(&receiver.config()).drover(&["apply"]).expect(1);
        let points = |name: &str| receiver.points(name);
        let of =
            |attributes: &[(&str, &str)]| attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let counted = |name: &str, expected: &[(&[(&str, &str)], f64)]| {
            let mut found: Vec<_> = points(name).into_iter().map(|(attributes, value, _)| (attributes, value)).collect();
            let mut expected: Vec<_> = expected.iter().map(|(attributes, value)| (of(attributes), *value)).collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, expected, "{transport:?}: {name}");
        };
        let (epic, cc) = (("drover.epic.id", "e"), [("drover.agent.model", "opus"), ("drover.agent.type", "claude-code")]);
        let (shell, kind) = (("drover.agent.type", "shell"), "gen_ai.token.type");
        counted("drover.tasks.claimed", &[(&[epic], 3.0)]);
        counted("drover.tasks.completed", &[(&[epic], 1.0)]);
        counted("drover.tasks.failed", &[(&[epic, ("drover.error.type", "task.agent")], 1.0)]);
        counted("drover.tasks.retried", &[(&[epic, ("drover.error.type", "task.verify")], 1.0)]);
        counted("drover.agent.prompts", &[(&cc, 2.0)]);
        counted("drover.agent.errors", &[(&[shell, ("drover.error.type", "task.agent")], 1.0)]);
        counted("drover.agent.cost", &[(&[cc[0], cc[1], epic], 0.5)]);
        counted(
            "drover.agent.tokens",
            &[
                (&[cc[0], cc[1], epic, (kind, "input")], 2400.0),
                (&[cc[0], cc[1], epic, (kind, "output")], 68.0),
                (&[cc[0], cc[1], epic, (kind, "cache_read")], 10_000.0),
                (&[cc[0], cc[1], epic, (kind, "cache_creation")], 120.0),
            ],
        );
        let state = |state: &'static str| [("drover.task.state", state)];
        counted("drover.task.duration", &[(&state("completed"), 1.0), (&state("failed"), 1.0), (&state("ready"), 1.0)]);
        counted("drover.agent.duration", &[(&cc, 2.0), (&[shell], 1.0)]);
        counted("drover.claim.latency", &[(&[], 3.0)]);
        counted("drover.worktree.setup", &[(&[], 3.0)]);
        let git = |operation: &'static str| [("drover.git.operation", operation)];
        counted("drover.git.operation.duration", &[(&git("snapshot"), 3.0), (&git("commit"), 1.0), (&git("merge"), 1.0)]);
        // At the end: `c` waits for ever.
        counted("drover.workers.active", &[(&[], 0.0)]);
        counted("drover.tasks.in_progress", &[(&[], 0.0)]);
        counted("drover.tasks.pending", &[(&[], 1.0)]);
        // What is measured is what the spans say, but for the agents, whose own clock counts.
        let spans = receiver.spans();
        let sum = |name: &str| points(name).iter().map(|(_, _, sum)| sum).sum::<f64>();
        let told = |name: &str| spans.iter().filter(|s| s.name == name).map(|s| (s.end - s.start) as f64 / 1e9).sum::<f64>();
        assert!((sum("drover.task.duration") - told("drover.task.execute")).abs() < 1e-6);
        assert!((sum("drover.worktree.setup") - told("drover.git.worktree.create")).abs() < 1e-6);
        let agents = sum("drover.agent.duration");
        assert!(agents > 0.0 && agents <= told("drover.agent.execute"), "{agents}");
        assert!(sum("drover.claim.latency") <= told("drover.workflow.run") * 3.0);
    }
}

#[test]
fn the_page_names_exactly_what_is_exported() {
    let receiver = Receiver::start(Transport::Http);
    eventful(&receiver.config()).drover(&["apply"]).expect(1);
    let text = page("docs/telemetry.md");
    let spans = receiver.spans();
    let drawn = section(&text, "## Traces").split("```").nth(1).unwrap();
    let drawn: BTreeSet<&str> = drawn.split_whitespace().filter(|w| w.starts_with("drover.")).collect();
    assert_eq!(drawn, spans.iter().map(|s| s.name.as_str()).collect());
    let sent: BTreeSet<String> = spans.iter().flat_map(|s| s.attributes.keys().cloned()).collect();
    assert_eq!(first_column(section(&text, "## Traces")), sent);
    let said: BTreeSet<String> = quoted(&text).into_iter().collect();
    for (name, attributes) in spans.iter().flat_map(|s| &s.events) {
        assert!(said.contains(name) && attributes.keys().all(|key| said.contains(key)), "{name}: {attributes:?}");
    }
    let rows = section(&text, "## Metrics").lines().filter(|l| l.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let kind = |of: Kind| match of {
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
        Kind::Gauge => "gauge",
    };
    let known: Vec<Vec<&str>> = METRICS.iter().map(|m| vec![m.name, kind(m.kind), m.unit]).collect();
    assert_eq!(rows.iter().map(|r| r[..3].iter().map(|cell| cell.trim_matches('`')).collect::<Vec<_>>()).collect::<Vec<_>>(), known);
    for row in &rows {
        let points = receiver.points(row[0].trim_matches('`'));
        assert!(!points.is_empty(), "{} was not sent", row[0]);
        let sent: BTreeSet<String> = points.iter().flat_map(|(attributes, _, _)| attributes.keys().cloned()).collect();
        // What failed was a command, which has no model.
        let missing: BTreeSet<String> = quoted(row[3]).into_iter().filter(|name| !sent.contains(name)).collect();
        let expected = if row[0].contains("errors") { BTreeSet::from(["drover.agent.model".to_owned()]) } else { BTreeSet::new() };
        assert!(sent.iter().all(|name| quoted(row[3]).contains(name)) && missing == expected, "{row:?}: {sent:?}");
    }
}

#[test]
fn the_log_names_the_attempt_that_it_is_about() {
    for transport in BOTH {
        let receiver = Receiver::start(transport);
        let line = "echo x >a.txt; git checkout -q --orphan other; git add -A; git -c user.name=a -c user.email=a@b commit -qm x";
        let it = project(&receiver.config(), &task("a", line, ""));
        let ran = it.drover(&["apply"]).expect(0);
        assert!(ran.err.contains("WARN"), "it is on the terminal as well: {}", ran.err);
        let records = receiver.records();
        let (body, severity, trace, span) = &records[0];
        assert!(records.len() == 1 && body.contains("the commits that its agent made do not land"), "{records:?}");
        let spans = receiver.spans();
        let attempt = one(&spans, "drover.task.execute");
        assert_eq!((severity.as_str(), trace, span), ("WARN", &attempt.trace, &attempt.id));
    }
}

/// What stands at an address of this machine.
fn get(at: &str, path: &str) -> String {
    get_as(at, at, path)
}

/// The same for who takes it for another host.
fn get_as(host: &str, at: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn prometheus_finds_the_metrics_while_a_run_lasts_though_nothing_is_sent() {
    let at = format!("127.0.0.1:{}", free_port());
    let config = format!("[telemetry]\nprometheus = \"{at}\"\nprometheus_hosts = [\"build.example.com\"]\n");
    let it = project(&config, "").env("OTEL_RESOURCE_ATTRIBUTES", "a_b=2,a.b=1");
    let (begun, go) = (it.outside("begun"), it.outside("go"));
    let waits = format!("env >env.txt; touch {}; while [ ! -e {} ]; do sleep 0.02; done", begun.display(), go.display());
    let tasks = task("a", "echo x >a.txt", "") + &task("b", &waits, "depends_on = [\"a\"]") + &task("c", "true", "depends_on = [\"b\"]");
    it.write("drover/t.toml", &tasks);
    it.git(&["commit", "-qam", "tasks"]);
    let child = it.spawn(&["apply", "--exclude", "c"]);
    until("b is at work", || begun.exists());
    let expected = [
        "# TYPE drover_tasks_claimed_total counter\ndrover_tasks_claimed_total 2\n",
        "drover_tasks_completed_total 1\n",
        "drover_agent_prompts_total{drover_agent_type=\"command\"} 1\n",
        "# TYPE drover_task_duration_seconds histogram\n",
        "drover_task_duration_seconds_bucket{drover_task_state=\"completed\",le=\"+Inf\"} 1\n",
        "drover_task_duration_seconds_count{drover_task_state=\"completed\"} 1\n",
        "# TYPE drover_tasks_pending gauge\ndrover_tasks_pending 1\n",
        "drover_workers_active 1\n",
        "service_name=\"drover\"",
    ];
    // What is measured is a little behind what goes on.
    let mut text = String::new();
    until("everything is measured", || {
        text = get(&at, "/metrics");
        expected.iter().all(|line| text.contains(line))
    });
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(get(&at, "/").starts_with("HTTP/1.1 404"));
    assert!(text.contains(",a_b=\"1\",") || text.contains("{a_b=\"1\","), "{text}");
    assert_eq!(text.matches("a_b=").count(), 1, "Prometheus refuses a page with a label that is there twice: {text}");
    for (host, code) in
        [("localhost:1", 200), ("[::1]", 200), ("build.example.com", 200), ("evil.example.com", 403), ("127.0.0.1.evil", 403)]
    {
        let told = get_as(host, &at, "/metrics");
        assert!(told.starts_with(&format!("HTTP/1.1 {code}")) && told.contains("drover_") == (code == 200), "{host}: {told}");
    }
    fs::write(&go, "").unwrap();
    let ran = crate::fixture::ran(&child.wait_with_output().unwrap());
    assert_eq!(warnings(&ran.err), [] as [&str; 0]);
    assert!(!it.git(&["show", "main:env.txt"]).contains("TRACEPARENT"), "nothing is traced");
}

#[test]
fn where_the_port_is_taken_the_run_goes_on_and_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let it = project(&format!("[telemetry]\nprometheus = \"{port}\"\n"), &task("a", "echo x >a.txt", ""));
    let ran = it.drover(&["apply"]).expect(0);
    let said = warnings(&ran.err);
    assert!(said.len() == 1 && said[0].contains(&format!("metrics cannot be scraped at 127.0.0.1:{port}")), "{}", ran.err);
}

#[test]
fn the_spans_of_claude_code_hang_below_the_one_of_its_step() {
    let receiver = Receiver::start(Transport::Http);
    let env = [
        ("IS_SANDBOX", "1".to_owned()),
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "1".to_owned()),
        ("CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "1".to_owned()),
        ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.at)),
    ];
    let env = env.map(|(name, value)| format!("{name} = \"{value}\"")).join(", ");
    let config = format!("[project]\nname = \"it\"\ntarget = \"main\"\n[defaults]\nenv = {{ {env} }}\n{}", receiver.config());
    let tasks = "[[task]]\nid = \"hut\"\ntitle = \"Build a hut\"\nprompt = \"Build a hut.\"\n";
    let it = || repo().file("drover.toml", &config).file("drover/t.toml", tasks).commit("Start");
    let script = vec![("Build a hut.", vec![Reply::write_file("hut.txt", "a hut\n"), Reply::say("Built a hut.")])];
    let Some(world) = claude::world("spans of Claude Code", it, script) else { return };
    world.it.drover(&["apply"]).expect(0);
    let spans = receiver.spans();
    let agent = one(&spans, "drover.agent.execute");
    let below: Vec<&Span> = spans.iter().filter(|s| s.parent == agent.id).collect();
    assert!(!below.is_empty() && below.iter().all(|s| s.trace == agent.trace && !s.name.starts_with("drover.")), "{}", tree(&spans));
    assert_eq!(agent.get("drover.agent.type"), "claude-code");
    assert!(
        agent.attributes.contains_key("gen_ai.conversation.id") && agent.attributes.contains_key("gen_ai.usage.output_tokens"),
        "{agent:?}"
    );
}

#[test]
fn an_attempt_that_waits_for_a_person_is_told_when_it_is_let_through_or_not_wanted_any_more() {
    let receiver = Receiver::start(Transport::Http);
    let it = project(&receiver.config(), &task("a", "echo 1 >a.txt", "approval = \"required\""));
    let told = || -> Vec<(String, String, String)> {
        let spans = receiver.spans();
        let attempts = spans.iter().filter(|s| s.name == "drover.task.execute");
        let why = |s: &Span| s.attributes.get("drover.error.type").cloned().unwrap_or_default();
        attempts.map(|s| (s.get("drover.task.attempt").to_owned(), s.get("drover.task.state").to_owned(), why(s))).collect()
    };
    it.drover(&["apply"]).expect(5);
    assert_eq!(told(), []);
    it.write("drover/t.toml", &task("a", "echo 2 >a.txt", "approval = \"required\""));
    it.git(&["commit", "-qam", "other"]);
    it.drover(&["apply"]).expect(5);
    let superseded = ("1".to_owned(), "ready".to_owned(), "task.superseded".to_owned());
    assert_eq!(told(), std::slice::from_ref(&superseded));
    it.drover(&["approve", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(told(), [superseded, ("2".to_owned(), "completed".to_owned(), String::new())]);
}

/// What is there, by which variables, and the words of what is said of it.
type Case<'a> = (&'a str, Vec<(String, String)>, &'a [&'a str]);

#[test]
fn a_receiver_is_trusted_by_the_certificates_that_are_named_and_is_shown_drovers_own() {
    let Some(certificates) = Certificates::new() else { return eprintln!("SKIPPED: there is no openssl") };
    let path = |name: &str| certificates.path(name);
    let set = |name: &str, file: &str| (format!("OTEL_EXPORTER_OTLP_{name}"), path(file));
    let whole = || vec![set("CERTIFICATE", "ca.pem"), set("CLIENT_CERTIFICATE", "client.pem"), set("CLIENT_KEY", "client.key")];
    let other = |name: &str, file: &str| {
        let mut all = whole();
        all.retain(|(of, _)| !of.ends_with(&format!("_OTLP_{name}")));
        all.extend((!file.is_empty()).then(|| set(name, file)));
        all
    };
    let lost = "8 spans, ";
    for transport in BOTH {
        let cases: [Case; 7] = [
            ("all is there", whole(), &[]),
            ("nobody is trusted", other("CERTIFICATE", ""), &[lost]),
            ("the other one is trusted", other("CERTIFICATE", "client.pem"), &[lost]),
            ("nothing is shown", other("CLIENT_CERTIFICATE", ""), &["CLIENT_KEY", "is passed over: there is no CLIENT_CERTIFICATE", lost]),
            ("no file", other("CERTIFICATE", "nowhere"), &["_OTLP_CERTIFICATE", "is passed over: it cannot be read", lost]),
            ("no certificate", other("CERTIFICATE", "ca.key"), &["is passed over: there is no certificate in it", lost]),
            ("another key", other("CLIENT_KEY", "server.key"), &["is passed over: it does not go with its key", lost]),
        ];
        for (what, environment, words) in cases {
            let receiver = Receiver::guarded(transport, Some(&certificates));
            let config = receiver.config().replace(&format!("\"{}\"", receiver.at), &format!("\"https://{}\"", receiver.at));
            let it = project(&config, &task("a", "echo x >a.txt", ""));
            let it = environment.iter().fold(it, |it, (name, value)| it.env(name, value));
            let ran = it.drover(&["apply"]).expect(0);
            let said = warnings(&ran.err);
            assert!(words.iter().all(|words| ran.err.contains(words)), "{transport:?}, {what}: {}", ran.err);
            assert_eq!(said.len(), if words.len() > 1 { 2 } else { words.len() }, "{transport:?}, {what}: {}", ran.err);
            assert_eq!(receiver.spans().len(), if words.is_empty() { 8 } else { 0 }, "{transport:?}, {what}");
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
        // That of a kind of telemetry wins over that of all.
        let receiver = Receiver::guarded(transport, Some(&certificates));
        let config = receiver.config().replace(&format!("\"{}\"", receiver.at), &format!("\"https://{}\"", receiver.at));
        let it = project(&config, &task("a", "echo x >a.txt", ""));
        let it = other("CERTIFICATE", "client.pem").iter().fold(it, |it, (name, value)| it.env(name, value));
        let it = it.env("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &path("ca.pem"));
        let ran = it.drover(&["apply"]).expect(0);
        let said = warnings(&ran.err);
        assert!(said.len() == 1 && said[0].contains(" points") && !said[0].contains("spans"), "{transport:?}: {}", ran.err);
        assert_eq!(receiver.spans().len(), 8);
    }
}
