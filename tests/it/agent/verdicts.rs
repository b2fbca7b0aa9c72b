//! What is made of what agents print and how they end.

use std::io::{self, BufReader, Read};

use drover::agent::{AgentEvent, Reader, verdict};
use drover::base::Millis;
use drover::core::{Exit, Failure, FailureClass, Hold, Outcome, Usage};
use drover::model::{Action, AgentKind};
use drover::process::Ended;

use super::{argv, claude, command, step};

const SUCCESS: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"All done."}"#;
const ERROR: &str = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["it broke"]}"#;

fn recorded(name: &str) -> String {
    let path = format!("{}/tests/fixtures/streams/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn of_claude(end: Ended, stdout: impl AsRef<[u8]>, stderr: &str) -> Exit {
    verdict(&step("a", "A", Action::Prompt { text: String::new(), agent: claude() }), &end, stdout.as_ref(), stderr)
}

fn of_command(end: Ended, stdout: impl AsRef<[u8]>, stderr: &str) -> Exit {
    let agent = command(Some(argv(&["gen"])));
    verdict(&step("a", "A", Action::Prompt { text: String::new(), agent }), &end, stdout.as_ref(), stderr)
}

fn exited(code: i32) -> Ended {
    Ended::Exited { code }
}

fn failed(exit: Exit) -> Failure {
    match exit.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recorded_success_succeeds_with_the_last_words_as_its_summary() {
    let exit = of_claude(exited(0), recorded("write-file"), "");
    let usage = Usage { input_tokens: 2000, output_tokens: 100, cost_microusd: 10_000, turns: 2, ..Usage::default() };
    assert_eq!(
        exit,
        Exit { outcome: Outcome::Succeeded, summary: "Wrote the greeting.".into(), follow_up: Box::default(), usage, thread: None }
    );
}

#[test]
fn recorded_failures_fail_in_their_own_words() {
    let cases = [("max-turns", 1), ("too-long", 1), ("unknown-session", 1), ("interrupted", 0)];
    let lines: Vec<String> = cases
        .iter()
        .map(|(name, code)| {
            let failure = failed(of_claude(exited(*code), recorded(name), ""));
            format!("{name}: {:?}: {}", failure.class, failure.message)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    max-turns: TurnLimit: agent `claude` failed (`error_max_turns`): Reached maximum number of turns (1)
    too-long: ContextTooLong: agent `claude` failed (`prompt_too_long`): Prompt is too long · the request is ~250000 tokens (limit 200000) but this conversation is only ~2777 tokens — the rest is system prompt, tool definitions, and attachment content. A single-exchange conversation cannot be compacted; reduce attached files/tools or start with less context.
    unknown-session: Agent: agent `claude` failed (`error_during_execution`): No conversation found with session ID: 3f2a8b1c-0000-8000-8000-123456789abc
    interrupted: Agent: agent `claude` failed (`error_during_execution`): [ede_diagnostic] result_type=user last_content_type=n/a stop_reason=tool_use
    "#);
}

fn held(exit: Exit) -> Hold {
    match exit.outcome {
        Outcome::Held(hold) => hold,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_service_refuses_to_everybody_holds_the_agent_and_fails_nothing() {
    let cases =
        ["overloaded", "unauthorized", "rate-limited", "usage-limit", "server-error", "disconnected", "forbidden", "no-credit", "no-model"];
    let lines: Vec<String> = cases
        .iter()
        .map(|name| {
            let hold = held(of_claude(exited(1), recorded(name), ""));
            format!("{name}: {:?} {:?}: {}", hold.kind, hold.until.map(|Millis(at)| at), hold.message)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    overloaded: Overload None: API Error: 529 scripted overloaded_error. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:1).
    unauthorized: Authentication None: Failed to authenticate. API Error: 401 scripted authentication_error; set ANTHROPIC_API_KEY and let `env_pass` name it, or log in by running `claude` once
    rate-limited: RateLimit None: API Error: Request rejected (429) · scripted
    usage-limit: RateLimit Some(4102444800000): You've hit your 5-hour limit · resets Jan 1, 2100, 12am (UTC)
    server-error: Overload None: API Error: 500 scripted api_error. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:1).
    disconnected: Network None: API Error: Connection dropped (ECONNRESET). Check the gateway set in ANTHROPIC_BASE_URL, then try again.
    forbidden: Authentication None: Failed to authenticate. API Error: 403 scripted permission_error; its account may not do this: see which one ANTHROPIC_API_KEY or the login of `claude` is of
    no-credit: Billing None: Credit balance is too low; add credit to its account, or use another one
    no-model: Model None: There's an issue with the selected model (claude-opus-5-5). It may not exist or you may not have access to it. Run --model to pick a different model.; correct `model` of this agent in drover.toml
    "#);
    // Whoever ended it: that counts first.
    assert_eq!(of_claude(Ended::Interrupted, recorded("rate-limited"), "").outcome, Outcome::Interrupted);
    assert_eq!(failed(of_claude(Ended::TimedOut, recorded("rate-limited"), "")).class, FailureClass::Timeout);
}

#[test]
fn what_an_agent_used_is_counted_also_when_it_was_ended_in_the_middle() {
    let whole = recorded("write-file");
    let cut = of_claude(Ended::Signaled { signal: 9 }, &whole[..whole.trim_end().rfind('\n').unwrap()], "").usage;
    assert_eq!((cut.input_tokens, cut.output_tokens, cut.turns, cut.cost_microusd), (2000, 100, 2, 0), "no price without its last word");
    // What a resumed conversation cost before is in `total_cost_usd`, and not in this.
    let line = |cost: &str| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"","total_cost_usd":9,"model_usage_since_last_result":{{"m":{{"inputTokens":10,"outputTokens":5,"cacheReadInputTokens":7,"cacheCreationInputTokens":3,"costUSD":{cost}}}}}}}"#
        )
    };
    let usage = of_claude(exited(0), format!("{}\n{}\n", line("0.5"), line("0.25")), "").usage;
    assert_eq!(
        usage,
        Usage {
            input_tokens: 20,
            output_tokens: 10,
            cache_read_tokens: 14,
            cache_write_tokens: 6,
            cost_microusd: 750_000,
            ..Usage::default()
        }
    );
    for nonsense in ["-1", "1e300"] {
        of_claude(exited(0), line(nonsense), "");
    }
}

#[test]
fn a_success_in_which_tools_were_denied_says_so_in_the_summary() {
    let exit = of_claude(exited(0), recorded("denied"), "");
    assert_eq!(exit.outcome, Outcome::Succeeded);
    assert_eq!(exit.summary, "I could not write it.\n\n(The agent was denied: Write)");
}

#[test]
fn the_exit_code_alone_is_never_trusted() {
    let silent = failed(of_claude(exited(0), "", ""));
    assert_eq!(silent.message, "agent `claude` ended with exit code 0 and never said how it went");
    let denied = failed(of_claude(exited(3), SUCCESS, ""));
    assert_eq!(denied.message, "agent `claude` reported success, but ended with exit code 3");
    assert_eq!(failed(of_claude(exited(0), ERROR, "")).tail, "it broke");
}

#[test]
fn a_stream_cut_in_the_middle_is_no_success_whatever_the_exit_code() {
    let whole = recorded("write-file");
    for cut in (0..whole.trim_end().len()).step_by(97) {
        let part = &whole.as_bytes()[..cut];
        assert!(matches!(of_claude(exited(0), part, "").outcome, Outcome::Failed(_)), "cut at {cut}");
    }
    let message = failed(of_claude(exited(0), &whole[..whole.rfind("{\"").unwrap().min(whole.len() - 10)], "")).message;
    assert!(message.contains("; the last it did: "), "{message}");
}

#[test]
fn of_several_results_the_last_one_counts() {
    assert_eq!(of_claude(exited(0), format!("{ERROR}\n{SUCCESS}"), "").outcome, Outcome::Succeeded);
    failed(of_claude(exited(0), format!("{SUCCESS}\n{ERROR}\n"), ""));
    let unreadable = r#"{"type":"result","subtype":"success","is_error":false,"result":7}"#;
    failed(of_claude(exited(0), format!("{SUCCESS}\n{unreadable}\n"), ""));
}

#[test]
fn a_result_that_does_not_say_that_it_is_no_error_is_one() {
    for line in [r#"{"type":"result","subtype":"success"}"#, r#"{"type":"result","is_error":false}"#, r#"{"type":"result"}"#] {
        failed(of_claude(exited(0), line, ""));
    }
}

#[test]
fn how_the_process_ended_decides_before_what_was_said() {
    for ended in [Ended::Interrupted, Ended::TimedOut, Ended::Stalled] {
        let exit = of_claude(ended.clone(), SUCCESS, "");
        assert_eq!(exit.outcome, Outcome::Succeeded, "it had finished, and did not exit: {ended:?}");
        let goes_on = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"One more thing"}]}}"#;
        let exit = of_claude(ended.clone(), format!("{SUCCESS}\n{goes_on}\n"), "");
        assert!(!matches!(exit.outcome, Outcome::Succeeded), "it went on after that: {ended:?}");
    }
    for stdout in ["", ERROR] {
        assert_eq!(of_claude(Ended::Interrupted, stdout, "").outcome, Outcome::Interrupted);
        let timed_out = failed(of_claude(Ended::TimedOut, stdout, ""));
        assert_eq!(timed_out.class, FailureClass::Timeout);
        assert_eq!(timed_out.message, "agent `claude` was still at work after 45m00s, its `timeout`, and was ended");
        let stalled = failed(of_claude(Ended::Stalled, stdout, ""));
        assert_eq!(stalled.class, FailureClass::Stall);
        assert_eq!(stalled.message, "agent `claude` printed nothing for 10m00s, its `stall_timeout`, and was ended");
        let killed = failed(of_claude(Ended::Signaled { signal: 9 }, stdout, ""));
        assert!(killed.class == FailureClass::Agent && killed.message.contains("signal 9 (SIGKILL"), "{}", killed.message);
        let absent = failed(of_claude(Ended::NotStarted { why: "no such file\u{1b}[0m".into() }, stdout, ""));
        assert_eq!(absent.message, "agent `claude` could not be started: no such file[0m");
    }
}

#[test]
fn a_command_is_judged_by_its_exit_code_and_shows_the_end_of_both_outputs() {
    let done = of_command(exited(0), "building\nwrote 3 files\n", "a warning");
    assert_eq!(done, Exit { summary: "building\nwrote 3 files".into(), ..Exit::of(Outcome::Succeeded) });
    let failure = failed(of_command(exited(2), "building\n", "no input\n"));
    assert_eq!((failure.message.as_str(), failure.tail.as_str()), ("agent `gen` ended with exit code 2", "building\nno input"));
    // It does not speak Claude Code's language, whatever it prints.
    failed(of_command(exited(1), SUCCESS, ""));
}

#[test]
fn a_shell_line_has_no_words_for_the_commit() {
    let line = step("a", "A", Action::Shell("make docs".into()));
    let exit = verdict(&line, &exited(0), &b"lots of noise"[..], "");
    assert_eq!(exit, Exit { summary: String::new(), ..Exit::of(Outcome::Succeeded) });
    let failure = failed(verdict(&line, &exited(2), &b"lots of noise"[..], ""));
    assert_eq!((failure.message.as_str(), failure.tail.as_str()), ("the command ended with exit code 2", "lots of noise"));
}

#[test]
fn a_failure_that_is_known_says_what_to_do() {
    let message = failed(of_claude(exited(1), "", "--x cannot be used with root/sudo privileges for security reasons")).message;
    assert!(message.contains("IS_SANDBOX"), "{message}");
}

#[test]
fn words_are_bounded_and_safe_to_show() {
    let text = format!("Done\u{1b}]0;evil\u{7}\u{202e}.\r\n{}", "é".repeat(9000));
    let line = serde_json::json!({ "type": "result", "subtype": "success", "is_error": false, "result": text }).to_string();
    let summary = of_claude(exited(0), line, "").summary;
    assert!(summary.starts_with("Done]0;evil.\né") && summary.ends_with('…') && summary.len() <= 4096, "{summary}");

    let noise = format!("{}\n10%\r50%\r100%\r\nlast\0 line\n", "x".repeat(1 << 20));
    assert_eq!(of_command(exited(0), &noise, "").summary, "100%\nlast line");
    let failure = failed(of_command(exited(1), &noise, &"é\n".repeat(1 << 16)));
    assert!(failure.tail.len() < 9000 && failure.tail.contains("last line"), "{}", failure.tail);
}

#[test]
fn any_output_is_survived_and_a_result_after_it_still_read() {
    let long = format!("{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"{}\"}}", "x".repeat(1 << 20));
    let deep = format!("{{\"type\":\"assistant\",\"message\":{{\"content\":{}", "[".repeat(500_000));
    let deep_key = format!("{{\"x\":{}1{},\"type\":\"result\"", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, Vec<u8>); 9] = [
        ("a line too long", long.clone().into_bytes()),
        ("no newline for 4 MiB", vec![b'x'; 4 << 20]),
        ("NUL", b"\0{\"type\":\"result\"}\0".to_vec()),
        ("invalid UTF-8", b"\xff\xfe{\"type\":\"assistant\",\"message\":\xc3\x28}".to_vec()),
        ("deep JSON", deep.into_bytes()),
        ("deep JSON in what is not read", deep_key.into_bytes()),
        ("wrong types", br#"{"type":["result"],"subtype":{}}"#.to_vec()),
        ("a huge number", br#"{"type":"assistant","message":1e99999}"#.to_vec()),
        ("empty lines", b"\n\n\r\n \n".to_vec()),
    ];
    for (what, bytes) in cases {
        failed(of_claude(exited(0), &bytes, ""));
        let followed = [bytes.as_slice(), b"\n", SUCCESS.as_bytes()].concat();
        assert_eq!(of_claude(exited(0), followed, "").outcome, Outcome::Succeeded, "{what}");
        of_command(exited(0), &bytes, "");
    }
    let message = failed(of_claude(exited(0), long, "")).message;
    assert!(message.ends_with("; 1 line of its output too long to be read"), "{message}");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let whole = recorded("write-file").into_bytes();
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..40) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let small = BufReader::with_capacity(random.usize(1..100), bytes.as_slice());
        Reader::new(AgentKind::ClaudeCode, small).for_each(drop);
        of_claude(exited(0), &bytes, "");
    }
}

#[test]
fn a_reader_that_breaks_ends_the_output() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let stdout = BufReader::new(SUCCESS.as_bytes().chain(Broken));
    assert_eq!(Reader::new(AgentKind::ClaudeCode, stdout).count(), 1);
    let stdout = BufReader::new(Broken);
    assert_eq!(Reader::new(AgentKind::ClaudeCode, stdout).count(), 0);
}

#[test]
fn what_the_agent_does_is_shown_as_it_does_it() {
    let events: Vec<AgentEvent> = Reader::new(AgentKind::ClaudeCode, recorded("write-file").as_bytes()).collect();
    let shown: Vec<String> = events
        .into_iter()
        .filter_map(|e| match e {
            AgentEvent::Activity(line) => Some(line),
            AgentEvent::Result(report) => Some(format!("{report:?}")),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    Write /tmp/test/wt/greeting.txt
    Wrote the greeting.
    Report { succeeded: true, reason: "success", text: "Wrote the greeting.", denied: [], status: None, words: ["success", "completed"] }
    "#);
}
