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
        assert!(self.it.standing().is_empty());
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

const SH: &str = r#"
[agents.sh]
kind = "command"
shell = '''sh -c "$(sed -n 's/^[$] //p')"'''
"#;

#[test]
fn a_key_that_the_api_refuses_stops_the_agent_at_once_and_tasks_of_others_go_on() {
    let other = task("other", "$ echo x >other.txt", "agent = \"sh\"");
    let tasks = [task("a", "Build a hut.", ""), task("b", "Build a hut.", "depends_on = [\"other\"]"), other].concat();
    let script = vec![("Build a hut.", vec![Reply::refuse(401, "authentication_error")])];
    let with_sh = || {
        let it = project(&tasks);
        // One after the other, so that `b` comes after the refusal.
        it.write("drover.toml", &format!("{CONFIG}{SH}").replace("workers = 4", "workers = 1"));
        it.commit("Another agent")
    };
    let Some(world) = world("bad key", with_sh, script) else { return };
    let ran = world.it.drover(&["apply"]).expect(5);
    assert!(ran.err.contains("agent `claude` is not logged in, or its key is refused, not started any more in this run"), "{}", ran.err);
    for words in ["API Error: 401", "set ANTHROPIC_API_KEY", "2 left to do"] {
        assert!(ran.out.contains(words), "{words} is missing in:\n{}", ran.out);
    }
    assert!(!all(&ran).contains("\"type\":"), "its words are shown, and not the stream that they came in:\n{}", all(&ran));
    assert_eq!(world.conversations().len(), 1, "b was not even tried");
    assert_eq!(world.it.landed(), ["other"]);
    let status = world.it.drover(&["status", "--format", "json"]).expect(0).json();
    let a = status["tasks"].as_array().unwrap().iter().find(|t| t["id"] == "a").unwrap();
    assert_eq!((a["status"].as_str(), a["failures"].as_u64()), (Some("ready"), Some(0)), "{a}");
    assert_eq!(a["reason"]["kind"], "held", "{a}");
    world.leaves_nothing_behind();
}

/// Waits for services, but not for long.
fn impatient(tasks: &str) -> Fixture {
    let it = project(tasks);
    it.write("drover.toml", &CONFIG.replace("workers = 4\n", "workers = 4\nmax_pause = \"1s\"\n"));
    it.commit("Do not wait for long")
}

fn rate_limit() -> Reply {
    Reply::refuse_with(429, "rate_limit_error", "scripted", &[("retry-after", "90")])
}

#[test]
fn a_rate_limit_is_a_pause_for_all_tasks_and_their_conversations_are_gone_on_with() {
    let once = "retry = { max_attempts = 1 }";
    let tasks = [task("a", "Build a hut.", once), task("b", "Build a barn.", once)].concat();
    let finish = "cat hut.txt >whole.txt; echo and a half >>whole.txt";
    let hut = vec![Reply::write_file("hut.txt", "half a hut\n"), Reply::after(1, rate_limit(), bash(finish)), Reply::say("Built a hut.")];
    let barn = vec![Reply::after(1, rate_limit(), Reply::write_file("barn.txt", "a barn\n")), Reply::say("Built a barn.")];
    let script = vec![("Build a hut.", hut), ("Build a barn.", barn)];
    let Some(world) = world("rate limit", || impatient(&tasks), script) else { return };
    let ran = world.it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("no attempt used: agent `claude` is rate limited, tried again in 1s"), "{}", ran.err);
    assert!(ran.err.contains("agent `claude` is tried again, with one task first"), "{}", ran.err);
    let mut landed = world.it.landed();
    landed.sort();
    assert_eq!(landed, ["a", "b"]);
    assert_eq!(world.it.read("whole.txt"), "half a hut\nand a half\n", "its files were carried over");
    assert_eq!(world.conversations().len(), 2, "no conversation was begun twice");
    assert_eq!(world.api.requests().len(), 4 + 3, "and no turn paid for twice");
    world.leaves_nothing_behind();
}

#[test]
fn an_overloaded_service_and_one_that_hangs_up_are_waited_for() {
    // It asks three times each before it gives up.
    let overloaded = Reply::after(3, Reply::refuse(529, "overloaded_error"), Reply::write_file("hut.txt", "a hut\n"));
    let hung_up = Reply::after(3, Reply::Drop, Reply::say("Built a hut."));
    let tasks = task("t", "Build a hut.", "retry = { max_attempts = 1 }");
    let Some(world) = world("overload", || impatient(&tasks), vec![("Build a hut.", vec![overloaded, hung_up])]) else { return };
    let ran = world.it.drover(&["apply"]).expect(0);
    for words in ["refused by a service that is overloaded, tried again in 1s", "cut off from its service, tried again in 1s"] {
        assert!(ran.err.contains(words), "{words} is missing in:\n{}", ran.err);
    }
    assert_eq!((world.it.landed(), world.api.requests().len()), (vec!["t".to_owned()], 8));
    world.leaves_nothing_behind();
}

#[test]
fn a_usage_limit_that_is_lifted_too_late_stops_the_run_and_the_next_one_goes_on() {
    let used_up = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", "4102444800"),
        ("anthropic-ratelimit-unified-representative-claim", "seven_day"),
        ("anthropic-ratelimit-unified-7d-status", "rejected"),
        ("anthropic-ratelimit-unified-7d-reset", "4102444800"),
        ("anthropic-ratelimit-unified-7d-utilization", "1.0"),
    ];
    let limited = Reply::refuse_with(429, "rate_limit_error", "scripted", &used_up);
    let script =
        vec![("Build a hut.", vec![Reply::write_file("hut.txt", "a hut\n"), Reply::after(1, limited, Reply::say("Built a hut."))])];
    let Some(mut world) = world("usage limit", || project(&task("t", "Build a hut.", "")), script) else { return };
    // Only a subscription has one.
    world.it = world.it.env("ANTHROPIC_API_KEY", "").env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-x");
    let ran = world.it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("agent `claude` is rate limited") && ran.out.contains("resets"), "{}", ran.out);
    world.it.drover(&["apply"]).expect(0);
    assert_eq!(world.it.read("hut.txt"), "a hut\n");
    assert_eq!((world.conversations().len(), world.api.requests().len()), (1, 3), "the conversation was gone on with");
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
fn with_the_shim_killed_too_nothing_of_claude_code_lives_on_and_its_conversation_is_gone_on_with() {
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
    assert_eq!(world.conversations().len(), 1);
    world.leaves_nothing_behind();
}

#[test]
fn arguments_of_ones_own_change_what_claude_code_may_do_and_add_to_what_it_is_told() {
    let args = r#"args = ["--permission-mode", "acceptEdits", "--append-system-prompt", "Speak of huts alone."]"#;
    let it = || {
        let it = project(&task("t", "Build a hut.", ""));
        it.write("drover.toml", &format!("{CONFIG}{args}\n"));
        it.commit("Ask before anything is run")
    };
    let script = vec![Reply::write_file("hut.txt", "a hut\n"), bash("mkfifo door && echo a door >>hut.txt"), Reply::say("Built it.")];
    let Some(world) = world("arguments", it, vec![("Build a hut.", script)]) else { return };
    world.it.drover(&["apply"]).expect(0);
    assert_eq!(world.it.read("hut.txt"), "a hut\n", "files may be edited, and commands are asked for");
    assert!(world.it.git(&["log", "-1", "--format=%b", "main^2"]).contains("was denied: Bash"));
    assert!(world.api.requests().iter().all(|r| r.system.contains("Speak of huts alone.")));
    world.leaves_nothing_behind();
}

#[test]
fn an_epics_budget_stops_its_tasks_and_an_attempts_budget_fails_the_attempt() {
    let build = || vec![Reply::write_file("hut.txt", "a hut\n"), bash("echo with a door >>hut.txt"), Reply::say("Built it.")];
    let epic = "[epic]\nid = \"huts\"\ntitle = \"Huts\"\nbudget = { usd = 0.05, tokens = 2000 }\n\n";
    let first = task("a", "Build a hut.", "");
    let second = task("b", "Build another.", "depends_on = [\"a\"]");
    let tasks = format!("{epic}{first}\n{second}");
    let Some(world) = world("epic's budget", || project(&tasks), vec![("Build a hut.", build())]) else { return };
    let plan = world.it.drover(&["plan"]).expect(0).out;
    assert!(plan.contains("at most $0.05"), "{plan}");
    let ran = world.it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("the budget of epic `huts` is used up"), "{}", all(&ran));
    world.leaves_nothing_behind();

    let each = task("a", "Build a hut.", "attempt_budget = { turns = 1 }\nretry = { max_attempts = 2, delay = \"0s\" }");
    let Some(world) = crate::claude::world("attempt's budget", || project(&each), vec![("Build a hut.", build())]) else { return };
    let ran = world.it.drover(&["apply"]).expect(1);
    let status = world.it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!((&status["tasks"][0]["failures"], &status["tasks"][0]["status"]), (&json!(2), &json!("failed")), "{status}\n{}", all(&ran));
    world.leaves_nothing_behind();
}

#[test]
fn a_budget_of_money_and_one_of_turns_stop_the_task_and_more_of_it_goes_on_with_the_conversation() {
    // Each answer costs half a cent and more, whatever the model.
    for (small, large) in [("usd = 0.01", "usd = 5"), ("turns = 1", "turns = 50")] {
        let defined = |budget: &str| task("t", "Build a hut.", &format!("budget = {{ {budget} }}"));
        let build = vec![
            Reply::write_file("hut.txt", "a hut\n"),
            bash("echo with a door >>hut.txt"),
            bash("echo and a window >>hut.txt"),
            bash("echo and a roof >>hut.txt"),
            Reply::say("Built it."),
        ];
        let Some(world) = world("budget", || project(&defined(small)), vec![("Build a hut.", build)]) else { return };
        let ran = world.it.drover(&["apply"]).expect(5);
        assert!(ran.out.contains("budget_exceeded: t: its budget is used up"), "{small}: {}", all(&ran));
        let status = world.it.drover(&["status", "--format", "json"]).expect(0).json();
        assert_eq!(
            (&status["tasks"][0]["reason"]["kind"], &status["tasks"][0]["failures"]),
            (&json!("budget_exceeded"), &json!(0)),
            "{status}"
        );
        let asked = world.api.requests().len();
        world.it.drover(&["apply"]).expect(5);
        assert_eq!(world.api.requests().len(), asked, "{small}: nothing is begun with nothing left");

        world.it.write("drover/t.toml", &defined(large));
        world.it.git(&["commit", "-qam", "Allow more"]);
        world.it.drover(&["apply"]).expect(0);
        // What it was about to do when it was ended is its own to do again: the script does not.
        assert!(world.it.read("hut.txt").starts_with("a hut\n"), "{small}");
        assert_eq!(world.conversations().len(), 1, "{small}");
        let status = world.it.drover(&["status", "--format", "json"]).expect(0).json();
        assert!(status["usage"]["cost_usd"].as_f64().unwrap() > 0.0, "{status}");
        assert!(status["usage"]["turns"].as_u64().unwrap() >= 5, "{status}");
        world.leaves_nothing_behind();
    }
}

/// Tasks `t0` to `t11`, each with the ones that it needs. While `t9` is at work nothing else is.
const TWELVE: [&[usize]; 12] = [&[], &[], &[0], &[0, 1], &[1], &[2], &[3, 4], &[5, 6], &[7], &[8], &[9], &[9]];

#[test]
fn a_graph_of_twelve_tasks_goes_through_a_rate_limit_and_a_kill_with_no_conversation_begun_twice() {
    let needs = |of: &[usize]| of.iter().map(|n| format!("\"t{n}\"")).collect::<Vec<_>>().join(", ");
    let defined = |(n, of): (usize, &&[usize])| {
        task(&format!("t{n}"), &format!("Build part {n}."), &format!("depends_on = [{}]\nretry = {{ max_attempts = 1 }}", needs(of)))
    };
    let tasks: String = TWELVE.iter().enumerate().map(defined).collect();
    let markers: Vec<String> = (0..TWELVE.len()).map(|n| format!("Build part {n}.")).collect();
    let more = "echo finished >>$DROVER_TASK.txt";
    let mut script = vec![("# Unfinished work", vec![bash(more), Reply::say("Finished it.")])];
    for (n, marker) in markers.iter().enumerate() {
        let second = match n {
            5 => Reply::after(1, rate_limit(), bash(more)),
            9 => Reply::Hang,
            _ => bash(more),
        };
        script.push((marker, vec![Reply::write_file(&format!("t{n}.txt"), "begun\n"), second, Reply::say(&format!("Built part {n}."))]));
    }
    let Some(world) = world("twelve tasks", || impatient(&tasks), script) else { return };
    let said = fs::File::create(world.it.outside("said")).unwrap();
    let mut child = world.it.drover_command(&["apply"]).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    until("the ninth is in the middle", || world.api.requests().iter().filter(|r| r.marker == markers[9]).count() == 2);
    kill(&mut child);
    for shim in shims(&world.it) {
        kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    }
    let first = fs::read_to_string(world.it.outside("said")).unwrap();
    let resumed = world.it.drover(&["resume"]).expect(0);

    let mut landed = world.it.landed();
    landed.sort();
    let mut every: Vec<String> = (0..TWELVE.len()).map(|n| format!("t{n}")).collect();
    every.sort();
    assert_eq!(landed, every);
    for id in &every {
        assert_eq!(world.it.read(&format!("{id}.txt")), "begun\nfinished\n", "{id}");
    }
    assert!(first.contains("agent `claude` is rate limited, tried again in 1s"), "{first}");
    assert!(resumed.err.contains("taking up 1 attempt"), "{}", resumed.err);
    let conversations = world.conversations();
    assert_eq!(conversations.len(), TWELVE.len(), "no conversation was begun twice");
    let status = world.it.drover(&["status", "--format", "json"]).expect(0).json();
    let cost = |of: &serde_json::Value| of["usage"]["cost_usd"].as_f64().unwrap();
    let each: Vec<f64> = status["tasks"].as_array().unwrap().iter().map(cost).collect();
    assert!(each.iter().all(|c| *c > 0.0) && (each.iter().sum::<f64>() - cost(&status)).abs() < 1e-6, "{status}");
    world.leaves_nothing_behind();

    eprintln!("$ drover apply\n{first}[killed, with everything that it had started]\n$ drover resume\n{}{}", resumed.err, resumed.out);
    for session in conversations {
        let of: Vec<_> = world.api.requests().into_iter().filter(|r| r.session.as_ref() == Some(&session)).collect();
        let markers: BTreeSet<&str> = of.iter().map(|r| r.marker.as_str()).collect();
        eprintln!("conversation {session}: {} requests, {markers:?}", of.len());
    }
    eprintln!("$ drover status\n{}", world.it.drover(&["status"]).expect(0).out);
}
