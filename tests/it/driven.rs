//! The real programs of other agents than Claude Code, driven by the real Drover against a
//! scripted API: a task that lands, a service that refuses, a crash in the middle.
//!
//! `sh tests/install-agents` installs them; where one is missing its tests say SKIPPED. With
//! `RECORD_STREAMS=1` the streams that `agent/forms.rs` replays are written anew.

mod programs;

use std::fs;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Fixture, Ran, program, repo, until};
use crate::kill::{shims, survivors};
use crate::scripted_api::{Reply, ScriptedApi};
use programs::{Program, installed};

const CONFIG: &str = r#"
[project]
name = "it"
target = "main"
[run]
workers = 4
shutdown_grace = "1s"
max_pause = "0s"
[defaults]
agent = "it"
retry = { max_attempts = 1 }
"#;

/// A project with one task, and an agent with a configuration of its own that talks to the script alone.
struct World {
    it: Fixture,
    api: ScriptedApi,
    program: &'static Program,
}

/// None where the program is not installed.
fn world(kind: &str, test: &str, more: &str, script: impl FnOnce(&'static Program) -> Vec<(&'static str, Vec<Reply>)>) -> Option<World> {
    let program = programs::of(kind);
    let path = installed(program, test)?;
    let api = ScriptedApi::start(script(program));
    let task = format!("[[task]]\nid = \"t\"\ntitle = \"The hut\"\nprompt = \"Build a hut.\"\n{more}\n");
    let config = format!("{CONFIG}[agents.it]\nkind = \"{kind}\"\n{}\n", program.settings);
    let it = repo().file("README.md", "# Shop\n").file("drover.toml", &config).file("drover/t.toml", &task).commit("Start");
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(path, bin.join(kind)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = (program.prepare)(it.env("PATH", &path), &api.url());
    Some(World { it, api, program })
}

impl World {
    fn start(&self, verb: &str) -> Child {
        self.it.drover_command(&[verb]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[track_caller]
    fn leaves_nothing_behind(&self) {
        assert!(survivors(&self.it).is_empty(), "{:?}", survivors(&self.it));
        assert_eq!(self.it.git(&["status", "--porcelain", "--ignored"]), "");
        assert!(self.it.standing().is_empty());
    }

    /// The one task, as `status` shows it.
    fn task(&self) -> serde_json::Value {
        self.it.drover(&["status", "--format", "json"]).expect(0).json()["tasks"][0].clone()
    }

    fn record(&self, name: &str) {
        if std::env::var_os("RECORD_STREAMS").is_some() {
            programs::record(&self.it, self.program, name, &self.api.url());
        }
    }
}

/// Ends Drover and every process that keeps an agent, all at once.
fn crash(it: &Fixture, child: &mut Child) {
    let shims = shims(it);
    assert!(!shims.is_empty(), "an agent is under way");
    child.kill().unwrap();
    child.wait().unwrap();
    for shim in shims {
        kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).ok();
    }
}

fn all(ran: &Ran) -> String {
    format!("{}\n{}", ran.out, ran.err)
}

/// A file by the agent's own tool, one line more by its shell, and words.
fn lands(kind: &str, tokens: (u64, u64)) {
    let script = |p: &'static Program| {
        vec![("Build a hut.", vec![(p.write)("hut.txt", "a hut\n"), (p.shell)("echo with a door >>hut.txt"), Reply::say("Built a hut.")])]
    };
    let Some(world) = world(kind, "lands", "verify = [\"grep -q door hut.txt\"]", script) else { return };
    world.it.drover(&["apply"]).expect(0);
    world.record("success");
    assert_eq!((world.it.landed(), world.it.read("hut.txt")), (vec!["t".to_owned()], "a hut\nwith a door\n".into()));
    let message = world.it.git(&["log", "main", "--no-merges", "--fixed-strings", "--grep=Drover-Task: t@", "--format=%s%n%b"]);
    assert!(message.starts_with("The hut\nBuilt a hut.\n\nDrover-Task: t@1:"), "{message}");
    assert!(message.contains(&format!("\nDrover-Agent: {kind}")), "{message}");
    assert_eq!(world.api.requests().len(), 3, "no turn was asked for twice");
    assert!(world.api.wait_for("Build a hut.").text.contains("Do not commit"));
    let usage = &world.task()["usage"];
    assert_eq!((usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64()), (Some(tokens.0), Some(tokens.1)), "{usage}");
    world.leaves_nothing_behind();
}

#[test]
fn codex_does_a_task_with_its_own_tools_and_it_lands() {
    // Of the 1000 tokens of a prompt 400 come from a cache.
    lands("codex", (1800, 150));
}

#[test]
fn gemini_does_a_task_with_its_own_tools_and_it_lands() {
    lands("gemini", (3000, 150));
}

#[test]
fn opencode_does_a_task_with_its_own_tools_and_it_lands() {
    lands("opencode", (3000, 150));
}

#[test]
fn copilot_does_a_task_with_its_own_tools_and_it_lands() {
    // It does not say what it used.
    lands("copilot", (0, 0));
}

#[test]
fn qwen_does_a_task_with_its_own_tools_and_it_lands() {
    lands("qwen", (3000, 150));
}

/// What the service refuses stops the agent, with what to do about it, and fails nothing.
fn is_stopped(kind: &str, name: &str, reply: Reply, words: &[&str]) {
    let Some(world) = world(kind, name, "", |_| vec![("Build a hut.", vec![reply])]) else { return };
    let ran = world.it.drover(&["apply"]).expect(5);
    world.record(name);
    for words in words {
        assert!(all(&ran).contains(words), "{words} is missing in:\n{}", all(&ran));
    }
    let task = world.task();
    assert_eq!((task["status"].as_str(), task["failures"].as_u64()), (Some("ready"), Some(0)), "{task}");
    assert!(world.it.landed().is_empty());
    world.leaves_nothing_behind();
}

const REFUSED: &str = "agent `it` is not logged in, or its key is refused";

#[test]
fn a_key_that_is_refused_stops_codex() {
    is_stopped("codex", "unauthorized", Reply::refuse(401, "invalid_api_key"), &[REFUSED, "codex login"]);
}

#[test]
fn a_key_that_is_refused_stops_gemini() {
    is_stopped("gemini", "unauthorized", Reply::refuse(401, "UNAUTHENTICATED"), &[REFUSED, "set GEMINI_API_KEY"]);
}

#[test]
fn a_key_that_is_refused_stops_opencode() {
    is_stopped("opencode", "unauthorized", Reply::refuse(401, "invalid_api_key"), &[REFUSED]);
}

#[test]
fn a_key_that_is_refused_stops_copilot() {
    is_stopped("copilot", "unauthorized", Reply::refuse(401, "invalid_api_key"), &[REFUSED, "COPILOT_PROVIDER_API_KEY"]);
}

#[test]
fn a_key_that_is_refused_stops_qwen() {
    is_stopped("qwen", "unauthorized", Reply::refuse(401, "invalid_api_key"), &[REFUSED, "set OPENAI_API_KEY"]);
}

#[test]
fn a_usage_limit_stops_codex_where_nobody_is_to_wait() {
    is_stopped("codex", "usage-limit", Reply::refuse(429, "usage_limit_reached"), &["agent `it` is rate limited", "hit your usage limit"]);
}

#[test]
fn a_rate_limit_stops_codex_where_nobody_is_to_wait() {
    is_stopped("codex", "rate-limited", Reply::refuse(429, "rate_limit_exceeded"), &["agent `it` is rate limited"]);
}

/// Half of the work, a crash, and the other half. Returns how often the service was asked.
fn is_killed(kind: &str) -> Option<World> {
    let script = |p: &'static Program| {
        let rest = vec![(p.shell)("echo with a door >>hut.txt"), Reply::say("Finished the hut.")];
        vec![("# Unfinished work", rest), ("Build a hut.", vec![(p.write)("hut.txt", "a hut\n"), Reply::Hang])]
    };
    let world = world(kind, "killed", "", script)?;
    let mut child = world.start("apply");
    until("the second turn", || world.api.requests().len() == 2);
    if kind == "copilot" {
        // It asks on before it has written down what there was.
        let kept = world.it.home().join(".copilot/session-state");
        let mut grep = || world.it.command("grep").args(["-rqF", "hut.txt"]).arg(&kept).output().unwrap().status.success();
        until("the conversation is on disk", &mut grep);
    }
    crash(&world.it, &mut child);
    world.it.drover(&["resume"]).expect(0);
    assert_eq!((world.it.landed(), world.it.read("hut.txt")), (vec!["t".to_owned()], "a hut\nwith a door\n".into()));
    assert_eq!(world.task()["failures"], 0, "an interruption is no failure");
    assert_eq!(world.api.requests().len(), 4, "no turn was asked for twice");
    world.leaves_nothing_behind();
    Some(world)
}

/// Names its conversation, works by half and waits; when it is asked to go on with that one, it does.
const NAMES_ITS_OWN: &str = r#"#!/bin/sh
case "$*" in
    "login status") exit 1 ;;
    *"resume thread-7") cat >>"$HOME/told"; echo whole >hut.txt ;;
    *) echo '{"type":"thread.started","thread_id":"thread-7"}'; echo half >hut.txt; : >"$HOME/at-work"; exec sleep 600 ;;
esac
echo '{"type":"thread.started","thread_id":"thread-7"}'
echo '{"type":"turn.completed","usage":{"input_tokens":500,"output_tokens":20}}'
"#;

#[test]
fn an_agent_that_names_its_conversations_itself_is_asked_for_that_name_after_a_crash() {
    let config = format!("{CONFIG}[agents.it]\nkind = \"codex\"\n");
    let task = "[[task]]\nid = \"t\"\ntitle = \"The hut\"\nprompt = \"Build a hut.\"\n";
    let it = repo().file("drover.toml", &config).file("drover/t.toml", task).commit("Start");
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    program(&bin.join("codex"), NAMES_ITS_OWN);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = it.env("PATH", &path);
    let mut child = it.spawn(&["apply"]);
    crate::kill::until_said(&mut child, "no login was found of agent `it`");
    until("it is at work", || it.home().join("at-work").exists());
    crash(&it, &mut child);
    it.drover(&["resume"]).expect(0);
    assert_eq!((it.landed(), it.read("hut.txt")), (vec!["t".to_owned()], "whole\n".into()));
    let told = fs::read_to_string(it.home().join("told")).unwrap();
    assert!(told.contains("This conversation holds what you were told") && !told.contains("Build a hut."), "{told}");
    let usage = it.drover(&["status", "--format", "json"]).expect(0).json()["tasks"][0]["usage"].clone();
    assert_eq!(usage["input_tokens"], 500, "{usage}");
}

#[test]
fn the_fallback_of_an_agent_that_is_refused_does_its_work() {
    let agents = "[agents.it]\nkind = \"codex\"\nfallback = \"sh\"\n[agents.sh]\nkind = \"command\"\n\
                  shell = '''sh -c \"$(sed -n 's/^[$] //p')\"'''\n";
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"{id}\"\nprompt = \"$ echo x >{id}.txt\"\n");
    let config = format!("{CONFIG}{agents}").replace("workers = 4", "workers = 1");
    let it = repo().file("drover.toml", &config).file("drover/t.toml", &(task("a") + &task("b"))).commit("Start");
    let refused = format!("{}/tests/fixtures/streams/codex/unauthorized.jsonl", env!("CARGO_MANIFEST_DIR"));
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    program(&bin.join("codex"), format!("#!/bin/sh\necho \"$1\" >>\"$HOME/asked\"\ncat '{refused}'\nexit 1\n"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = it.env("PATH", &path).env("OPENAI_API_KEY", "refused");
    let ran = it.drover(&["apply"]).expect(0);
    for said in ["agent `it` is not logged in, or its key is refused, not started any more in this run", "(sh for it, which is stopped)"] {
        assert!(ran.err.contains(said), "{said} is missing in:\n{}", ran.err);
    }
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, ["a", "b"]);
    assert_eq!(fs::read_to_string(it.home().join("asked")).unwrap(), "exec\n", "it is asked once, for all tasks");
    let agents = it.git(&["log", "main", "--no-merges", "--format=%(trailers:key=Drover-Agent,valueonly)"]);
    assert!(agents.contains("command") && !agents.contains("codex"), "{agents}");
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["failures"], 0, "{status}");
}

#[test]
fn an_agent_that_is_not_installed_keeps_a_run_from_beginning_and_is_named_with_the_line_that_installs_it() {
    for kind in ["codex", "gemini", "opencode", "copilot", "qwen", "amp"] {
        let config = format!("{CONFIG}[agents.it]\nkind = \"{kind}\"\n");
        let task = "[[task]]\nid = \"t\"\ntitle = \"The hut\"\nprompt = \"Build a hut.\"\n";
        let it = repo().file("drover.toml", &config).file("drover/t.toml", task).commit("Start");
        let bin = it.outside("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["git", "sh"] {
            std::os::unix::fs::symlink(which::which(program).unwrap(), bin.join(program)).unwrap();
        }
        let ran = it.env("PATH", bin.to_str().unwrap()).drover(&["apply"]).expect(78);
        let said = format!("agent `it` ({kind}) needs the program `{kind}`, which was not found in PATH; install it with `npm install -g ");
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
}

fn told_last(world: &World) -> String {
    world.api.wait_for("# Unfinished work").text
}

#[test]
fn codex_that_was_killed_goes_on_with_its_conversation_and_counts_no_token_twice() {
    let Some(world) = is_killed("codex") else { return };
    assert!(!told_last(&world).contains("Build a hut."), "the conversation holds it");
    let threads: Vec<Option<String>> = world.api.requests().into_iter().map(|r| r.session).collect();
    assert!(threads[0].is_some() && threads.iter().all(|t| *t == threads[0]), "{threads:?}");
    let usage = &world.task()["usage"];
    assert_eq!((usage["input_tokens"].as_u64(), usage["cache_read_tokens"].as_u64()), (Some(1800), Some(1200)), "{usage}");
}

#[test]
fn copilot_that_was_killed_goes_on_with_its_conversation_in_its_new_directory() {
    let Some(world) = is_killed("copilot") else { return };
    assert!(!told_last(&world).contains("Build a hut."), "the conversation holds it");
}

#[test]
fn agents_whose_conversations_belong_to_a_directory_begin_anew_with_the_files_as_they_were() {
    for kind in ["gemini", "opencode", "qwen"] {
        let Some(world) = is_killed(kind) else { continue };
        assert!(told_last(&world).contains("Build a hut."), "{kind} is told all");
    }
}
