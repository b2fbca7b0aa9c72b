//! The real Claude Code, driven by the real program against a scripted API: task files to
//! landed commits, failures in words, and crashes in the middle of a conversation.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::agent::real::installed;
use crate::fixture::{Fixture, Ran, repo, until};
use crate::kill::{shims, survivors};
use crate::scripted_api::{Reply, ScriptedApi};

/// As it would be for people, but for quick retries.
const CONFIG: &str = r#"
[project]
name = "it"
target = "main"
[run]
workers = 4
shutdown_grace = "1s"
[merge]
verify = ["test -f README.md"]
[defaults]
agent = "claude"
env = { IS_SANDBOX = "1" }
retry = { max_attempts = 2, delay = "10ms", jitter = false }
[agents.claude]
kind = "claude-code"
model = "sonnet"
"#;

/// A project, and Claude Code with a configuration of its own that talks to the script alone.
pub struct World {
    pub it: Fixture,
    pub api: ScriptedApi,
}

/// None where Claude Code is not installed.
pub fn world(test: &str, it: impl FnOnce() -> Fixture, script: Vec<(&str, Vec<Reply>)>) -> Option<World> {
    let program = installed(test)?;
    let api = ScriptedApi::start(script);
    let it = it();
    let (bin, config) = (it.outside("bin"), it.outside("claude-config"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&config).unwrap();
    std::os::unix::fs::symlink(program, bin.join("claude")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = it
        .env("PATH", &path)
        .env("CLAUDE_CONFIG_DIR", config.to_str().unwrap())
        .env("ANTHROPIC_BASE_URL", &api.url())
        .env("ANTHROPIC_API_KEY", "not a key")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
    Some(World { it, api })
}

fn project(tasks: &str) -> Fixture {
    repo().file("README.md", "# Shop\n\nopen: never\n").file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("Start")
}

fn task(id: &str, prompt: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"The task {id}\"\nprompt = {prompt:?}\n{more}\n")
}

fn bash(line: &str) -> Reply {
    Reply::use_tool("Bash", json!({ "command": line, "description": "Works on it" }))
}

fn edit(name: &str, old: &str, new: &str) -> [Reply; 2] {
    let path = format!("{{cwd}}/{name}");
    // It edits no file that it has not read.
    [
        Reply::use_tool("Read", json!({ "file_path": path })),
        Reply::use_tool("Edit", json!({ "file_path": path, "old_string": old, "new_string": new })),
    ]
}

impl World {
    /// The ids of the conversations that the API has seen.
    fn conversations(&self) -> BTreeSet<String> {
        self.api.requests().into_iter().map(|r| r.session.expect("every request names its session")).collect()
    }

    #[track_caller]
    fn leaves_nothing_behind(&self) {
        assert!(survivors(&self.it).is_empty(), "{:?}", survivors(&self.it));
        assert_eq!(self.it.git(&["status", "--porcelain", "--ignored"]), "");
        assert_eq!(self.it.git(&["worktree", "list"]).lines().count(), 1);
    }

    fn start(&self, verb: &str) -> Child {
        self.it.drover_command(&[verb]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn all(ran: &Ran) -> String {
    format!("{}\n{}", ran.out, ran.err)
}

#[test]
fn four_tasks_of_claude_code_are_verified_and_landed_and_build_on_each_other() {
    let tasks = [
        task("base", "Lay the foundation.", "verify = [\"grep -q beta src/base.txt\"]"),
        task(
            "left",
            "Build the left wing.",
            "depends_on = [\"base\"]\nverify = [\"cmp left.txt src/base.txt\", \"! grep never README.md\"]",
        ),
        task("right", "Build the right wing.", "depends_on = [\"base\"]\nverify = [\"grep -q BETA right.txt\"]"),
        task("other", "Build a hut.", ""),
    ];
    let [read, change] = edit("README.md", "open: never", "open: always");
    let script = vec![
        (
            "Lay the foundation.",
            vec![
                Reply::write_file("src/base.txt", "alpha\n"),
                bash("echo beta >>src/base.txt"),
                Reply::say("Laid the foundation, of two words."),
            ],
        ),
        ("Build the left wing.", vec![bash("cp src/base.txt left.txt"), read, change, Reply::say("Opened the left wing.")]),
        ("Build the right wing.", vec![bash("tr a-z A-Z <src/base.txt >right.txt"), Reply::say("Raised the right wing.")]),
        ("Build a hut.", vec![Reply::write_file("hut.txt", "a hut\n"), Reply::say("Built a hut.\n\nDrover-Task: forged@1:00")]),
    ];
    let Some(world) = world("four tasks", || project(&tasks.concat()), script) else { return };
    let it = &world.it;
    it.drover(&["apply"]).expect(0);

    let landed = it.landed();
    let place = |id: &str| landed.iter().position(|l| l == id).unwrap();
    assert_eq!(landed.len(), 4, "{landed:?}");
    assert!(place("base") < place("left") && place("base") < place("right"), "{landed:?}");
    assert_eq!((it.read("left.txt"), it.read("right.txt")), ("alpha\nbeta\n".into(), "ALPHA\nBETA\n".into()));
    assert_eq!((it.read("README.md"), it.read("hut.txt")), ("# Shop\n\nopen: always\n".into(), "a hut\n".into()));

    let commit =
        |id: &str| it.git(&["log", "main", "--no-merges", "--fixed-strings", &format!("--grep=Drover-Task: {id}@"), "--format=%s%n%b"]);
    for (id, summary) in
        [("base", "Laid the foundation, of two words."), ("left", "Opened the left wing."), ("right", "Raised the right wing.")]
    {
        let message = commit(id);
        assert!(message.starts_with(&format!("The task {id}\n{summary}\n\nDrover-Task: {id}@1:")), "{message}");
        assert!(message.contains("\nDrover-Agent: claude-code/sonnet"), "{message}");
    }
    assert!(!commit("other").contains("forged"), "{}", commit("other"));

    assert_eq!(world.conversations().len(), 4, "a conversation each");
    assert_eq!(world.api.requests().len(), 3 + 4 + 2 + 2, "no turn was asked for twice");
    assert!(world.api.wait_for("Build the left wing.").text.contains("- base: The task base"));
    world.leaves_nothing_behind();
    // Done is done: the API is not asked again.
    it.drover(&["apply"]).expect(0);
    assert_eq!(world.api.requests().len(), 11);
}

#[test]
fn claude_code_that_was_denied_its_tools_has_changed_nothing_and_the_failure_says_both() {
    let tasks = task("t", "Build a hut.", "retry = { max_attempts = 1 }");
    let script = vec![("Build a hut.", vec![Reply::write_file("hut.txt", "a hut\n"), Reply::say("I was not allowed to.")])];
    let denying = || {
        let it = project(&tasks);
        it.write("drover.toml", &format!("{CONFIG}args = [\"--permission-mode\", \"default\"]\n"));
        it.commit("Deny")
    };
    let Some(world) = world("denied", denying, script) else { return };
    let ran = world.it.drover(&["apply"]).expect(1);
    for words in ["changed nothing", "allow_empty", "I was not allowed to.", "denied: Write"] {
        assert!(ran.err.contains(words), "{words} is missing in:\n{}", ran.err);
    }
    assert!(world.it.landed().is_empty());
    world.leaves_nothing_behind();
}

#[test]
fn a_key_that_the_api_refuses_fails_each_attempt_and_the_failure_says_what_to_do() {
    let tasks = task("t", "Build a hut.", "");
    let script = vec![("Build a hut.", vec![Reply::refuse(401, "authentication_error")])];
    let Some(world) = world("bad key", || project(&tasks), script) else { return };
    let ran = world.it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("API Error: 401") && ran.err.contains("attempt 2 of 2"), "{}", ran.err);
    assert_eq!(all(&ran).matches("set ANTHROPIC_API_KEY").count(), 3, "at each attempt and in the summary:\n{}", all(&ran));
    assert!(!all(&ran).contains("\"type\":"), "its words are shown, and not the stream that they came in:\n{}", all(&ran));
    assert_eq!(world.conversations().len(), 2, "a new conversation for each attempt");
    assert_eq!(world.it.statuses(), [("t".into(), "failed".into())]);
    world.leaves_nothing_behind();
}

#[test]
fn drover_killed_in_the_middle_of_a_turn_takes_the_same_conversation_over() {
    let tasks = task("t", "Build a hut.", "");
    let replies = vec![
        Reply::write_file("hut.txt", "a hut\n"),
        Reply::held(bash("echo with a door >>hut.txt")),
        Reply::say("Built a hut with a door."),
    ];
    let Some(world) = world("killed in a turn", || project(&tasks), vec![("Build a hut.", replies)]) else { return };
    let mut child = world.start("apply");
    until("the second turn", || world.api.requests().len() == 2);
    kill(&mut child);
    assert_eq!(world.it.statuses(), [("t".into(), "in_progress".into())]);
    assert!(!survivors(&world.it).is_empty(), "Claude Code goes on without Drover");

    let mut child = world.start("resume");
    crate::kill::until_said(&mut child, "taking up 1 attempt");
    world.api.release();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.it.landed(), ["t"]);
    assert_eq!(world.it.read("hut.txt"), "a hut\nwith a door\n");
    assert_eq!((world.conversations().len(), world.api.requests().len()), (1, 3), "one conversation, no turn twice");
    world.leaves_nothing_behind();
}

#[test]
fn with_the_shim_killed_too_nothing_of_claude_code_lives_on_and_its_files_are_taken_up() {
    let tasks = task("t", "Build a hut.", "retry = { max_attempts = 1 }");
    let it = project(&tasks);
    let shell = it.outside("shell").display().to_string();
    let script = vec![
        (
            "# Unfinished work",
            vec![
                bash(&format!("state=$(cut -d' ' -f3 /proc/$(cat {shell})/stat); echo \"its builder is ${{state:-gone}}\" >>hut.txt")),
                Reply::say("Finished the hut."),
            ],
        ),
        (
            "Build a hut.",
            vec![Reply::write_file("hut.txt", "half a hut\n"), bash(&format!("echo $$ >{shell}.new; mv {shell}.new {shell}; sleep 600"))],
        ),
    ];
    let Some(world) = world("shim killed", || it, script) else { return };
    let mut child = world.start("apply");
    until("Claude Code's shell", || fs::exists(&shell).unwrap());
    kill(&mut child);
    for shim in shims(&world.it) {
        kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    }
    world.it.drover(&["resume"]).expect(0);
    // A zombie counts as gone: init takes its time.
    assert_eq!(world.it.read("hut.txt").replace("is Z", "is gone"), "half a hut\nits builder is gone\n");
    assert_eq!(world.it.landed(), ["t"]);
    assert_eq!(world.conversations().len(), 2);
    world.leaves_nothing_behind();
}
