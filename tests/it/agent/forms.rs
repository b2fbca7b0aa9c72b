//! What is made of the output of agents other than Claude Code: streams recorded from the real
//! programs, and what could come instead.

use std::io::BufReader;

use drover::agent::{AgentEvent, Reader, goes_on, invoke, verdict};
use drover::base::{Aid, RunId};
use drover::core::{Conversation, Exit, FailureClass, Outcome, Thread, Usage};
use drover::model::{Action, AgentKind, AgentSpec, StepSpec};
use drover::process::Ended;

use super::{context, step, task};

fn agent(kind: AgentKind) -> AgentSpec {
    AgentSpec::new("it", kind)
}

fn at_work(kind: AgentKind) -> StepSpec {
    step("a", "A", Action::Prompt { text: String::new(), agent: agent(kind) })
}

fn of(kind: AgentKind, end: Ended, stdout: impl AsRef<[u8]>, stderr: &str) -> Exit {
    verdict(&at_work(kind), &end, stdout.as_ref(), stderr)
}

fn exited(code: i32) -> Ended {
    Ended::Exited { code }
}

fn recorded(kind: AgentKind, name: &str) -> String {
    let path = format!("{}/tests/fixtures/streams/{}/{name}.jsonl", env!("CARGO_MANIFEST_DIR"), kind.name());
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

const DRIVEN: [AgentKind; 5] = [AgentKind::Codex, AgentKind::Gemini, AgentKind::Opencode, AgentKind::Copilot, AgentKind::Qwen];

/// In one line, without what was said in passing.
fn said(exit: &Exit) -> String {
    match &exit.outcome {
        Outcome::Held(hold) => format!("{:?}: {}", hold.kind, hold.message),
        Outcome::Failed(failure) => format!("{:?}: {}", failure.class, failure.message),
        other => format!("{other:?}: {}", exit.summary),
    }
}

#[test]
fn recorded_successes_succeed_with_the_last_words_as_their_summary_and_what_was_used() {
    let lines: Vec<String> = DRIVEN
        .iter()
        .map(|kind| {
            let exit = of(*kind, exited(0), recorded(*kind, "success"), "");
            let used = exit.usage;
            let (tokens, cached) = ((used.input_tokens, used.output_tokens), used.cache_read_tokens);
            format!("{}: {}; {tokens:?} tokens, {cached} from a cache, {} turns", kind.name(), said(&exit), used.turns)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    codex: Succeeded: Built a hut.; (1800, 150) tokens, 1200 from a cache, 0 turns
    gemini: Succeeded: Built a hut.; (3000, 150) tokens, 0 from a cache, 0 turns
    opencode: Succeeded: Built a hut.; (3000, 150) tokens, 0 from a cache, 3 turns
    copilot: Succeeded: Built a hut.; (0, 0) tokens, 0 from a cache, 3 turns
    qwen: Succeeded: Built a hut.; (3000, 150) tokens, 0 from a cache, 3 turns
    "#);
}

#[test]
fn recorded_refusals_of_a_service_hold_the_agent_with_what_to_do() {
    let limits = [(AgentKind::Codex, "usage-limit"), (AgentKind::Codex, "rate-limited")];
    let cases = DRIVEN.map(|kind| (kind, "unauthorized")).into_iter().chain(limits);
    let lines: Vec<String> = cases
        .map(|(kind, name)| {
            let exit = of(kind, exited(1), recorded(kind, name), "");
            assert!(matches!(exit.outcome, Outcome::Held(_)), "{exit:?}");
            format!("{} {name}: {}", kind.name(), said(&exit))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    codex unauthorized: Authentication: unexpected status 401 Unauthorized: scripted invalid_api_key, url: http://127.0.0.1:1/v1/responses; log in with `codex login`, or set the key that its provider reads, and let `env_pass` name it
    gemini unauthorized: Authentication: [API Error: {"error":{"code":401,"message":"scripted UNAUTHENTICATED","status":"UNAUTHENTICATED"}}]; set GEMINI_API_KEY and let `env_pass` name it, or log in by running `gemini` once
    opencode unauthorized: Authentication: scripted invalid_api_key
    copilot unauthorized: Authentication: Authentication failed with provider at http://127.0.0.1:1/v1 (HTTP 401).   Check your COPILOT_PROVIDER_API_KEY, COPILOT_PROVIDER_API_KEY_COMMAND, or COPILOT_PROVIDER_BEARER_TOKEN.
    qwen unauthorized: Authentication: [API Error: 401 scripted invalid_api_key]; log in by running `qwen` once, or set OPENAI_API_KEY and let `env_pass` name it
    codex usage-limit: RateLimit: You’ve hit your usage limit. Visit https://chatgpt.com/settings/usage to purchase more credits or try again at Jan 1st, 2100 12:00 AM.
    codex rate-limited: RateLimit: exceeded retry limit, last status: 429 Too Many Requests
    "#);
}

#[test]
fn what_else_the_programs_were_seen_to_say_is_told_apart() {
    let codex = |text: &str| format!("{{\"type\":\"turn.failed\",\"error\":{{\"message\":{text:?}}}}}\n");
    let gemini =
        |text: &str| format!("{{\"type\":\"result\",\"status\":\"error\",\"error\":{{\"type\":\"unknown\",\"message\":{text:?}}}}}\n");
    let qwen = |text: &str| {
        format!("{{\"type\":\"result\",\"subtype\":\"error_during_execution\",\"is_error\":true,\"error\":{{\"message\":{text:?}}}}}\n")
    };
    let opencode = |name: &str, status: u16| {
        format!("{{\"type\":\"error\",\"error\":{{\"name\":\"{name}\",\"data\":{{\"message\":\"x\",\"statusCode\":{status}}}}}}}\n")
    };
    let copilot = |kind: &str, text: &str, status: u16| {
        let error =
            format!("{{\"type\":\"session.error\",\"data\":{{\"errorType\":\"{kind}\",\"message\":{text:?},\"statusCode\":{status}}}}}");
        format!("{error}\n{{\"type\":\"result\",\"exitCode\":1}}\n")
    };
    use AgentKind::*;
    let cases = [
        (Codex, codex("Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.")),
        (Codex, codex("Quota exceeded. Check your plan and billing details.")),
        (Codex, codex("Selected model is at capacity. Please try a different model.")),
        (Codex, codex("We're currently experiencing high demand, which may cause temporary errors.")),
        (Codex, codex("unexpected status 404 Not Found: x, url: http://127.0.0.1:1/v1/responses")),
        (Codex, codex("Missing environment variable: `OPENAI_API_KEY`.")),
        (Codex, codex("The model `x` does not exist")),
        (Gemini, gemini("[API Error: {\"error\":{\"code\":503,\"message\":\"x\",\"status\":\"UNAVAILABLE\"}}]")),
        (Gemini, gemini("[API Error: {\"error\":{\"code\":429,\"message\":\"x\"}}]")),
        (Qwen, qwen("[API Error: 500 x]")),
        (Qwen, qwen("[API Error: 400 x]")),
        (Qwen, qwen("[API Error: 404 x]")),
        (Opencode, opencode("APIError", 429)),
        (Opencode, opencode("APIError", 503)),
        (Opencode, opencode("APIError", 400)),
        (Opencode, opencode("ProviderAuthError", 400)),
        (Copilot, copilot("rate_limit", "retried 5 times. Last error: 429 x", 429)),
        (Copilot, copilot("query", "retried 5 times. Last error: 500 x", 500)),
        (Copilot, copilot("query", "Model 'x' not found on provider at http://127.0.0.1:1/v1 (HTTP 404).", 404)),
        (Copilot, copilot("query", "400 x", 400)),
    ];
    let lines: Vec<String> = cases.map(|(kind, out)| format!("{}: {}", kind.name(), said(&of(kind, exited(1), out, "")))).into();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    codex: ContextTooLong: agent `it` failed (`turn.failed`): Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.
    codex: Billing: Quota exceeded. Check your plan and billing details.; add credit to its account, or use another one
    codex: Overload: Selected model is at capacity. Please try a different model.
    codex: Overload: We're currently experiencing high demand, which may cause temporary errors.
    codex: Model: unexpected status 404 Not Found: x, url: http://127.0.0.1:1/v1/responses; correct `model` of this agent in drover.toml, or the address of its provider
    codex: Authentication: Missing environment variable: `OPENAI_API_KEY`.; set the key that its provider reads, and let `env_pass` name it
    codex: Agent: agent `it` failed (`turn.failed`): The model `x` does not exist
    gemini: Overload: [API Error: {"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]
    gemini: RateLimit: [API Error: {"error":{"code":429,"message":"x"}}]
    qwen: Overload: [API Error: 500 x]
    qwen: Agent: agent `it` failed (`error_during_execution`): [API Error: 400 x]
    qwen: Model: [API Error: 404 x]; correct `model` of this agent in drover.toml
    opencode: RateLimit: x
    opencode: Overload: x
    opencode: Agent: agent `it` failed (`APIError`): x
    opencode: Authentication: x
    copilot: RateLimit: retried 5 times. Last error: 429 x
    copilot: Overload: retried 5 times. Last error: 500 x
    copilot: Model: Model 'x' not found on provider at http://127.0.0.1:1/v1 (HTTP 404).; correct `model` of this agent in drover.toml, or COPILOT_MODEL
    copilot: Agent: agent `it` failed (`query`): 400 x
    "#);
}

#[test]
fn what_is_told_on_standard_error_alone_is_told_apart_too() {
    let cases = [
        (AgentKind::Copilot, exited(1), "Error: No authentication information found."),
        (AgentKind::Gemini, exited(41), "When using Gemini API, you must specify the GEMINI_API_KEY environment variable."),
        (AgentKind::Gemini, Ended::Stalled, "Attempt 4 failed\n{\n  status: 429\n}"),
        (AgentKind::Codex, exited(2), "error: unexpected argument '--no-such-flag' found"),
        (AgentKind::Opencode, exited(1), "Error: Session not found"),
    ];
    let lines: Vec<String> = cases.map(|(kind, end, err)| format!("{}: {}", kind.name(), said(&of(kind, end, "", err)))).into();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    copilot: Authentication: Error: No authentication information found.; set COPILOT_GITHUB_TOKEN, or log in by running `copilot` once
    gemini: Authentication: When using Gemini API, you must specify the GEMINI_API_KEY environment variable.; set GEMINI_API_KEY and let `env_pass` name it, or log in by running `gemini` once
    gemini: RateLimit: status: 429
    codex: Agent: agent `it` ended with exit code 2 and never said how it went
    see `args` of this agent in drover.toml, and whether `codex` is up to date
    opencode: Agent: agent `it` ended with exit code 1 and never said how it went
    "#);
}

#[test]
fn an_agent_that_goes_silent_over_its_network_is_held_and_one_that_works_is_not() {
    let waiting =
        "{\"type\":\"turn.started\"}\n{\"type\":\"error\",\"message\":\"Reconnecting... waiting for network (Connection failed)\"}\n";
    assert!(said(&of(AgentKind::Codex, Ended::Stalled, waiting, "")).starts_with("Network"));
    let went_on =
        format!("{waiting}{{\"type\":\"item.started\",\"item\":{{\"type\":\"command_execution\",\"command\":\"sleep 9999\"}}}}\n");
    assert!(said(&of(AgentKind::Codex, Ended::Stalled, went_on, "")).starts_with("Stall"));
}

#[test]
fn no_stream_that_was_cut_is_a_success_whatever_the_exit_code() {
    for kind in DRIVEN {
        let whole = recorded(kind, "success");
        let last = whole.trim_end().rfind('\n').unwrap();
        for cut in (0..=last).step_by(61).chain([last]) {
            let exit = of(kind, exited(0), &whole.as_bytes()[..cut], "");
            assert!(matches!(exit.outcome, Outcome::Failed(_)), "{} cut at {cut}: {exit:?}", kind.name());
        }
        // Nor is a success one that did not end well.
        assert!(said(&of(kind, exited(3), &whole, "")).contains("but ended with exit code 3"), "{}", kind.name());
        assert_eq!(of(kind, Ended::Interrupted, &whole[..last], "").outcome, Outcome::Interrupted, "{}", kind.name());
    }
}

#[test]
fn what_is_begun_after_a_good_end_has_to_end_well_too() {
    for (kind, begins) in
        [(AgentKind::Codex, "turn.started"), (AgentKind::Opencode, "step_start"), (AgentKind::Copilot, "assistant.turn_start")]
    {
        let stdout = format!("{}{{\"type\":\"{begins}\"}}\n", recorded(kind, "success"));
        assert!(said(&of(kind, exited(0), stdout, "")).contains("never said how it went"), "{}", kind.name());
    }
}

#[test]
fn an_answer_that_was_cut_short_is_no_success() {
    let line = r#"{"type":"step_finish","sessionID":"ses_1","part":{"id":"p","reason":"length","tokens":{"input":1,"output":2}}}"#;
    assert!(said(&of(AgentKind::Opencode, exited(0), line, "")).starts_with("Agent: agent `it` failed (`length`)"));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for kind in DRIVEN {
        let whole = recorded(kind, "success").into_bytes();
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..40) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let small = BufReader::with_capacity(random.usize(1..100), bytes.as_slice());
            Reader::new(kind, small).for_each(drop);
            of(kind, exited(0), &bytes, "");
        }
        for noise in
            [&b"\0\xff\n"[..], b"{\"type\":\"result\"}", b"{\"type\":\"error\"}", b"{\"type\":\"step_finish\",\"part\":7}", b"[]\n{}\nnull"]
        {
            assert!(!matches!(of(kind, exited(0), noise, "").outcome, Outcome::Succeeded), "{}: {noise:?}", kind.name());
        }
    }
}

fn aid() -> Aid {
    Aid::new(&RunId::parse("0192f0c1-run").unwrap(), 1)
}

fn talk(thread: Option<&str>) -> Conversation {
    let thread = thread.map(|id| Thread { id: id.into(), used: Usage::default() });
    Conversation { aid: aid(), n: 0, thread, agent: None }
}

#[test]
fn a_conversation_is_gone_on_with_under_the_name_that_the_agent_gave_it() {
    let exit = of(AgentKind::Codex, Ended::Interrupted, recorded(AgentKind::Codex, "success"), "");
    let thread = exit.thread.unwrap();
    assert_eq!(thread.used.input_tokens, 1800);
    let conversation = Conversation { thread: Some(*thread.clone()), ..talk(None) };
    assert_eq!(goes_on(&at_work(AgentKind::Codex), 0, &conversation), Some(thread.id.clone()));
    assert_eq!(goes_on(&at_work(AgentKind::Codex), 1, &conversation), None, "of another step");
    assert_eq!(goes_on(&at_work(AgentKind::Codex), 0, &talk(None)), None, "it never said its name");

    let mut agent = agent(AgentKind::Codex);
    agent.model = Some("m".into());
    agent.args = ["-c", "a.b=1"].map(str::to_owned).to_vec();
    let task = task("x", agent.clone());
    let mut cx = context(&task, 0);
    assert_eq!(
        invoke(&agent, "do it", &cx).unwrap().argv.join(" "),
        "codex exec --json --dangerously-bypass-approvals-and-sandbox --model m -c a.b=1"
    );
    (cx.resumes, cx.session) = (true, Some(thread.id.clone()));
    let call = invoke(&agent, "do it", &cx).unwrap();
    assert!(call.argv.join(" ").ends_with(&format!("-c a.b=1 resume {}", thread.id)), "{:?}", call.argv);
    assert_eq!(call.stdin, b"do it");
}

#[test]
fn a_conversation_that_would_go_on_in_its_old_directory_is_not_gone_on_with() {
    for kind in [AgentKind::Gemini, AgentKind::Opencode, AgentKind::Qwen, AgentKind::Amp] {
        assert_eq!(goes_on(&at_work(kind), 0, &talk(Some("ses_1"))), None, "{}", kind.name());
    }
    let copilot = agent(AgentKind::Copilot);
    let session = goes_on(&at_work(AgentKind::Copilot), 0, &talk(None)).unwrap();
    let task = task("x", copilot.clone());
    let cx = drover::agent::Context { resumes: true, session: Some(session.clone()), ..context(&task, 0) };
    assert!(invoke(&copilot, "", &cx).unwrap().argv.join(" ").ends_with(&format!(" --resume={session} -C .")));
}

#[test]
fn a_name_that_would_be_taken_for_something_else_is_none() {
    for name in ["--last", "", "a b", "x;y", "é", &"x".repeat(200)] {
        let line = serde_json::json!({ "type": "thread.started", "thread_id": name }).to_string();
        assert_eq!(of(AgentKind::Codex, Ended::Interrupted, line, "").thread, None, "{name}");
    }
}

#[test]
fn of_a_conversation_that_goes_on_only_what_is_new_counts() {
    let total = |input: u64| {
        format!(
            "{{\"type\":\"thread.started\",\"thread_id\":\"t-1\"}}\n{{\"type\":\"turn.completed\",\"usage\":{{\"input_tokens\":{input},\"cached_input_tokens\":100,\"output_tokens\":10}}}}\n"
        )
    };
    let first = of(AgentKind::Codex, exited(0), total(1000), "");
    assert_eq!((first.usage.input_tokens, first.usage.cache_read_tokens), (900, 100));
    let before = first.thread.unwrap().used;
    let mut second = of(AgentKind::Codex, exited(0), total(1700), "");
    second.since(before);
    assert_eq!((second.usage.input_tokens, second.usage.cache_read_tokens, second.usage.output_tokens), (700, 0, 0));
    let mut killed = of(AgentKind::Codex, Ended::Signaled { signal: 9 }, "{\"type\":\"thread.started\",\"thread_id\":\"t-1\"}\n", "");
    killed.since(before);
    assert_eq!((killed.usage, killed.thread.unwrap().used), (Usage::default(), before), "it never said");
}

#[test]
fn amp_is_read_as_claude_code_is() {
    let line = r#"{"type":"result","subtype":"success","is_error":false,"result":"Done.","session_id":"T-1"}"#;
    assert_eq!(said(&of(AgentKind::Amp, exited(0), line, "")), "Succeeded: Done.");
    let amp = agent(AgentKind::Amp);
    let task = task("x", amp.clone());
    assert_eq!(invoke(&amp, "", &context(&task, 0)).unwrap().argv.join(" "), "amp -x --stream-json --dangerously-allow-all");
}

#[test]
fn what_an_agent_does_is_shown_in_a_line_each() {
    let lines = DRIVEN.map(|kind| {
        let stdout = recorded(kind, "success");
        let doing = Reader::new(kind, stdout.as_bytes()).filter_map(|e| match e {
            AgentEvent::Activity(what) => Some(what.split("/home/").next().unwrap().to_owned()),
            _ => None,
        });
        format!("{}: {}", kind.name(), doing.collect::<Vec<_>>().join(" | "))
    });
    insta::assert_snapshot!(lines.join("\n"), @r#"
    codex: add /tmp/test | add /tmp/test | /bin/bash -lc 'echo with a door >>hut.txt' | /bin/bash -lc 'echo with a door >>hut.txt' | Built a hut.
    gemini: write_file /tmp/test | run_shell_command echo with a door >>hut.txt | Built a hut.
    opencode: write /tmp/test | bash echo with a door >>hut.txt | Built a hut.
    copilot: create /tmp/test | bash echo with a door >>hut.txt | Built a hut.
    qwen: write_file /tmp/test | run_shell_command echo with a door >>hut.txt | Built a hut.
    "#);
}

#[test]
fn a_task_that_failed_is_told_from_a_service_that_did() {
    let failed = of(AgentKind::Codex, exited(1), "{\"type\":\"turn.failed\",\"error\":{\"message\":\"it broke\"}}", "");
    assert!(
        matches!(&failed.outcome, Outcome::Failed(f) if f.class == FailureClass::Agent && f.message.contains("it broke")),
        "{failed:?}"
    );
}
