//! The real Claude Code against a scripted API on loopback: what `builtin.toml` and the reader
//! assume of it, held against the program itself.
//!
//! With `RECORD_STREAMS=1` the streams that the other tests replay are written anew.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use drover::agent::{Invocation, detect, environment, invoke, prompt, verdict};
use drover::core::{Exit, Failure, FailureClass, HoldKind, Outcome, Usage};
use drover::model::{AgentSpec, Spec};
use drover::process::Ended;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use super::{claude, context, task};
use crate::scripted_api::{Reply, ScriptedApi};

const SESSION: &str = "3f2a8b1c-0000-8000-8000-123456789abc";
/// A program that is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

/// The installed program, or None and a word about it that no capture of output swallows.
pub fn installed(test: &str) -> Option<PathBuf> {
    let given = env::var_os("DROVER_TEST_CLAUDE").map(PathBuf::from);
    if let Some(path) = given {
        assert!(path.is_file(), "DROVER_TEST_CLAUDE names {}, which is no file", path.display());
        return Some(path);
    }
    let home = env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let path = cache.join("drover-tests/claude-code-2.1.330/node_modules/.bin/claude");
    if !path.is_file() {
        writeln!(io::stderr(), "SKIPPED: real Claude Code is not installed; run tests/install-claude ({test})").ok();
        return None;
    }
    Some(path)
}

/// A worktree and a configuration of its own for one run of the program.
struct World {
    dir: tempfile::TempDir,
    program: PathBuf,
    api: ScriptedApi,
}

impl World {
    /// None where the program is not installed. The script answers the prompt of `run`.
    fn new(test: &str, replies: Vec<Reply>) -> Option<Self> {
        let program = installed(test)?;
        let dir = tempfile::tempdir().unwrap();
        for name in ["wt", "config", "home"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Some(Self { dir, program, api: ScriptedApi::start(vec![("Write the greeting.", replies)]) })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn task(&self, agent: AgentSpec) -> Spec {
        let mut task = task("Write the greeting.", agent);
        task.env_pass = vec!["PATH".into(), "LANG".into()];
        task.env = BTreeMap::from([
            ("HOME".into(), self.path("home")),
            ("CLAUDE_CONFIG_DIR".into(), self.path("config")),
            ("ANTHROPIC_BASE_URL".into(), self.api.url()),
            ("ANTHROPIC_API_KEY".into(), "x".into()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC".into(), "1".into()),
            ("IS_SANDBOX".into(), "1".into()),
        ]);
        task
    }

    fn run(&self, args: &[&str]) -> Session {
        self.run_task(self.task(with(args)), |_| {})
    }

    /// Runs the task's first step the way the engine does; `meanwhile` sees the running program.
    fn run_task(&self, task: Spec, meanwhile: impl FnOnce(&Child)) -> Session {
        let worktree = self.path("wt");
        let mut cx = context(&task, 0);
        cx.worktree = &worktree;
        cx.session = Some(SESSION.into()).filter(|_| !task.agents().any(|a| a.args.contains(&"--resume".to_owned())));
        let agent = task.agents().next().unwrap();
        let call = invoke(agent, &prompt(&cx).unwrap(), &cx).unwrap();
        let child = self.start(&task, &call);
        meanwhile(&child);
        let output = wait(child);
        let end = match output.status.code() {
            Some(code) => Ended::Exited { code },
            None => Ended::Signaled { signal: std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap() },
        };
        let exit = verdict(&task.steps[0], &end, output.stdout.as_slice(), &String::from_utf8_lossy(&output.stderr));
        Session { exit, end, stdout: String::from_utf8(output.stdout).unwrap() }
    }

    fn start(&self, task: &Spec, call: &Invocation) -> Child {
        let mut child = Command::new(&self.program)
            .args(&call.argv[1..])
            .current_dir(self.path("wt"))
            .env_clear()
            .envs(environment(task, &call.env, env::vars()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&call.stdin).unwrap();
        child
    }

    /// Writes the stream for the other tests to replay, if asked to.
    fn record(&self, name: &str, ended: &Session) {
        if env::var_os("RECORD_STREAMS").is_none() {
            return;
        }
        let lines: Vec<String> = ended.stdout.lines().map(|l| self.anonymous(l)).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/streams/{name}.jsonl"));
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }

    /// A line without what differs from run to run and without the lists of the first one.
    fn anonymous(&self, line: &str) -> String {
        let line = line.replace(self.dir.path().to_str().unwrap(), "/tmp/test").replace(&self.api.url()["http://".len()..], "127.0.0.1:1");
        let mut value: serde_json::Value = serde_json::from_str(&line).unwrap();
        if let Some(map) = value.as_object_mut() {
            let noise = ["slash_commands", "terminal_slash_commands", "tools", "agents", "skills", "plugins", "usage", "modelUsage"];
            map.retain(|k, _| !noise.contains(&k.as_str()) && !k.ends_with("_ms") && k != "timestamp");
        }
        value.to_string()
    }
}

struct Session {
    exit: Exit,
    end: Ended,
    stdout: String,
}

impl Session {
    fn failure(&self) -> &Failure {
        match &self.exit.outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}\n{}", self.stdout),
        }
    }
    /// What keeps it from working, and until when.
    fn hold(&self) -> (HoldKind, Option<u64>) {
        match &self.exit.outcome {
            Outcome::Held(hold) => (hold.kind, hold.until.map(|at| at.0)),
            other => panic!("{other:?}\n{}", self.stdout),
        }
    }
}

fn with(args: &[&str]) -> AgentSpec {
    AgentSpec { args: args.iter().map(|a| (*a).to_owned()).collect(), ..claude() }
}

/// Waits for the end, and brings it about when it does not come.
fn wait(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (done, waiting) = mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill_process(pid, Signal::KILL).ok();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    guard.join().unwrap();
    output
}

#[test]
fn claude_code_writes_a_file_with_its_own_tool_and_says_so() {
    let replies = vec![Reply::write_file("greeting.txt", "hello\n"), Reply::say("Wrote the greeting.")];
    let Some(world) = World::new("writes a file", replies) else { return };
    let ended = world.run(&[]);
    let usage = Usage { input_tokens: 2000, output_tokens: 100, cost_microusd: 10_000, turns: 2, ..Usage::default() };
    assert_eq!(
        ended.exit,
        Exit { outcome: Outcome::Succeeded, summary: "Wrote the greeting.".into(), follow_up: Box::default(), usage, thread: None },
        "{}",
        ended.stdout
    );
    assert_eq!(fs::read_to_string(world.path("wt/greeting.txt")).unwrap(), "hello\n");
    let requests = world.api.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].session.as_deref(), Some(SESSION));
    assert!(requests[0].text.contains("Do not commit"), "{}", requests[0].text);
    world.record("write-file", &ended);
}

#[test]
fn claude_code_that_is_installed_is_found_with_its_version() {
    let Some(program) = installed("detect") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(program, dir.path().join("claude")).unwrap();
    let found = detect(Some(dir.path().as_os_str()));
    assert_eq!(found.len(), 1);
    assert!(found[0].version.as_deref().is_some_and(|v| v.contains("(Claude Code)")), "{found:?}");
}

#[test]
fn claude_code_gives_up_soon_on_an_api_that_refuses() {
    let Some(world) = World::new("overloaded", vec![Reply::refuse(529, "overloaded_error")]) else { return };
    let ended = world.run(&[]);
    assert_eq!(ended.end, Ended::Exited { code: 1 });
    assert_eq!(ended.hold(), (HoldKind::Overload, None));
    assert!(world.api.requests().len() <= 3, "{} requests", world.api.requests().len());
    world.record("overloaded", &ended);
}

#[test]
fn claude_code_with_a_bad_key_fails_and_the_failure_says_what_to_do() {
    let Some(world) = World::new("unauthorized", vec![Reply::refuse(401, "authentication_error")]) else { return };
    let ended = world.run(&[]);
    assert_eq!(ended.hold(), (HoldKind::Authentication, None));
    assert!(format!("{:?}", ended.exit).contains("set ANTHROPIC_API_KEY"), "{:?}", ended.exit);
    world.record("unauthorized", &ended);
}

/// In 2100, in seconds.
const RESET: &str = "4102444800";

#[test]
fn what_its_service_refuses_to_everybody_is_told_apart_from_what_the_task_did() {
    let limit = |headers: &[(&str, &str)]| Reply::refuse_with(429, "rate_limit_error", "scripted", headers);
    let used_up = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", RESET),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
        ("anthropic-ratelimit-unified-5h-status", "rejected"),
        ("anthropic-ratelimit-unified-5h-reset", RESET),
        ("anthropic-ratelimit-unified-5h-utilization", "1.0"),
    ];
    let invalid = |message: &str| Reply::refuse_with(400, "invalid_request_error", message, &[]);
    let cases = [
        ("rate-limited", limit(&[("retry-after", "90")]), HoldKind::RateLimit, None),
        ("usage-limit", limit(&used_up), HoldKind::RateLimit, Some(4_102_444_800_000)),
        ("server-error", Reply::refuse(500, "api_error"), HoldKind::Overload, None),
        ("disconnected", Reply::Drop, HoldKind::Network, None),
        ("forbidden", Reply::refuse(403, "permission_error"), HoldKind::Authentication, None),
        ("no-credit", invalid("Your credit balance is too low to access the Anthropic API."), HoldKind::Billing, None),
        ("no-model", Reply::refuse(404, "not_found_error"), HoldKind::Model, None),
    ];
    for (name, reply, kind, until) in cases {
        let Some(world) = World::new(name, vec![reply]) else { return };
        let mut task = world.task(claude());
        if name == "usage-limit" {
            // Only a subscription has one.
            task.env.remove("ANTHROPIC_API_KEY");
            task.env.insert("CLAUDE_CODE_OAUTH_TOKEN".into(), "sk-ant-oat01-x".into());
        }
        let ended = world.run_task(task, |_| {});
        assert_eq!(ended.hold(), (kind, until), "{name}: {}", ended.stdout);
        world.record(name, &ended);
    }
    let Some(world) = World::new("too long", vec![invalid("prompt is too long: 250000 tokens > 200000 maximum")]) else { return };
    let ended = world.run(&[]);
    assert_eq!(ended.failure().class, FailureClass::ContextTooLong, "{}", ended.stdout);
    world.record("too-long", &ended);
}

#[test]
fn claude_code_asked_for_an_unknown_session_fails_in_words() {
    let Some(world) = World::new("unknown session", vec![Reply::say("never asked")]) else { return };
    let ended = world.run(&["--resume", SESSION]);
    assert!(ended.failure().message.contains("No conversation found"), "{:?}", ended.failure());
    assert!(world.api.requests().is_empty());
    world.record("unknown-session", &ended);
}

#[test]
fn claude_code_refuses_a_session_that_is_in_use_and_the_words_are_kept() {
    let Some(world) = World::new("session in use", vec![Reply::say("Done.")]) else { return };
    assert_eq!(world.run(&[]).exit.outcome, Outcome::Succeeded);
    let again = world.run(&[]);
    assert!(again.failure().tail.contains("already in use"), "{:?}", again.failure());
}

#[test]
fn the_projects_own_arguments_win_and_what_was_denied_is_noted() {
    let replies = vec![Reply::write_file("greeting.txt", "hello\n"), Reply::say("I could not write it.")];
    let Some(world) = World::new("denied", replies) else { return };
    let ended = world.run(&["--permission-mode", "default"]);
    assert_eq!((&ended.exit.outcome, &ended.end), (&Outcome::Succeeded, &Ended::Exited { code: 0 }), "{}", ended.stdout);
    assert!(ended.exit.summary.contains("The agent was denied: Write"), "{}", ended.exit.summary);
    assert!(!Path::new(&world.path("wt/greeting.txt")).exists());
    world.record("denied", &ended);
}

#[test]
fn claude_code_out_of_turns_has_failed() {
    let replies = vec![Reply::write_file("a", "a"), Reply::write_file("b", "b"), Reply::say("Done.")];
    let Some(world) = World::new("max turns", replies) else { return };
    let ended = world.run(&["--max-turns", "1"]);
    assert!(ended.failure().message.contains("error_max_turns"), "{:?}", ended.failure());
    assert_eq!((ended.failure().class, ended.exit.usage.turns), (FailureClass::TurnLimit, 1));
    world.record("max-turns", &ended);
}

#[test]
fn claude_code_interrupted_in_mid_work_is_no_success_though_it_exits_with_0() {
    let sleep = Reply::use_tool("Bash", serde_json::json!({ "command": "echo x > ../started; sleep 600", "description": "wait" }));
    let Some(world) = World::new("interrupted", vec![sleep, Reply::Hang]) else { return };
    let started = pipe(&world.path("started"));
    let ended = world.run_task(world.task(claude()), |child| {
        started.recv_timeout(PATIENCE).unwrap();
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
    });
    assert_eq!(ended.end, Ended::Exited { code: 0 });
    ended.failure();
    world.record("interrupted", &ended);
}

#[test]
fn claude_code_killed_while_it_waits_for_the_api_has_failed() {
    let Some(world) = World::new("killed", vec![Reply::Hang]) else { return };
    let ended = world.run_task(world.task(claude()), |child| {
        world.api.wait_for("Write the greeting.");
        kill_process(Pid::from_child(child), Signal::KILL).unwrap();
    });
    assert_eq!(ended.end, Ended::Signaled { signal: 9 });
    ended.failure();
}

#[test]
fn claude_code_told_an_unknown_option_says_nothing_on_its_stream_and_has_failed() {
    let Some(world) = World::new("unknown option", vec![Reply::say("never asked")]) else { return };
    let ended = world.run(&["--no-such-option"]);
    assert!(ended.failure().message.contains("see `args` of this agent"), "{:?}", ended.failure());
    assert_eq!(ended.stdout, "");
}

#[test]
fn claude_code_as_root_outside_a_sandbox_fails_and_the_failure_says_what_to_do() {
    let Some(world) = World::new("root", vec![Reply::say("Done.")]) else { return };
    let mut task = world.task(claude());
    task.env.remove("IS_SANDBOX");
    let ended = world.run_task(task, |_| {});
    if rustix::process::geteuid().is_root() {
        assert!(ended.failure().message.contains("IS_SANDBOX"), "{:?}", ended.failure());
    } else {
        assert_eq!(ended.exit.outcome, Outcome::Succeeded);
    }
}

/// A named pipe, and a receiver that hears when somebody wrote to it.
fn pipe(path: &str) -> mpsc::Receiver<()> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (heard, hear) = mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || fs::read(path).is_ok_and(|_| heard.send(()).is_ok()));
    hear
}
