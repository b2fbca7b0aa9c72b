//! The file format itself: every table and every key of `drover.toml` and of a task file.
//!
//! What is written here is what the reader accepts, what the schemas say and what
//! `drover.toml.example` must show.

use std::time::Duration;

use super::shape::{Fallback, Format, Key, Kind, Needed, Shape};

/// Where task files are looked for.
pub const TASKS: &[&str] = &["drover/**/*.toml"];
pub const AGENT: &str = "claude";
pub const TIMEOUT: &str = "45m";
pub const STALL_TIMEOUT: &str = "10m";
pub const CHECK_TIMEOUT: &str = "30m";
pub const PROTECT: &[&str] = &["drover.toml", "drover/**"];
/// What a command inherits of the environment: what shells, the known agents and common tool
/// chains need, and nothing that happens to be set.
pub const ENV_PASS: &[&str] = &[
    "HOME",
    "PATH",
    "LANG",
    "LC_*",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "ANTHROPIC_*",
    "CLAUDE_*",
    "DISABLE_AUTOUPDATER",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOPATH",
    "JAVA_HOME",
    "NVM_DIR",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "IS_SANDBOX",
];

/// Agents that a later version will know.
pub const LATER_AGENTS: &[&str] = &["codex", "gemini", "opencode", "copilot", "qwen", "amp"];

const SECOND: Duration = Duration::from_secs(1);
const MAX_PARALLEL: Kind = Kind::Integer { min: 1, max: 1024 };

pub static DROVER: Shape = Shape::new(
    "drover.toml",
    &[&[
        Key::new("required_version", Kind::Text(Format::Version), "The versions of Drover that may read this project, such as \">=0.1\"."),
        Key::new("project", Kind::Table(&PROJECT), "What is driven."),
        Key::new("run", Kind::Table(&RUN), "Limits of a run."),
        Key::new("merge", Kind::Table(&MERGE), "How finished work lands on the target branch."),
        Key::new("worktree", Kind::Table(&WORKTREE), "The working trees in which tasks run."),
        Key::new("defaults", Kind::Table(&DEFAULTS), "What holds for every task that does not say otherwise."),
        Key::new("agents", Kind::Named(&AGENT_TABLE), "The agents that tasks can name."),
        Key::new("groups", Kind::Named(&GROUP), "Groups of tasks that share something scarce."),
    ]],
)
.later(&["templates", "profiles", "telemetry", "webhooks"])
.hints(&[
    ("task", "tasks stand in task files; `project.tasks` says where these are"),
    ("epic", "an epic stands in a task file, beside its tasks"),
    ("moved", "a `[[moved]]` block would stand in a task file"),
]);

static PROJECT: Shape = Shape::new(
    "[project]",
    &[&[
        Key::new("name", Kind::Text(Format::ProjectName), "The project's name; by default the name of its directory."),
        Key::new(
            "tasks",
            Kind::Texts { of: Format::Glob, min: 1, max: 100 },
            "Where the task files are: globs relative to the project's root.",
        )
        .or(Fallback::Texts(TASKS)),
        Key::new(
            "target",
            Kind::Text(Format::Branch),
            "The branch that finished work lands on; by default the branch that is checked out.",
        ),
        Key::new("guidelines", Kind::Text(Format::Free), "Goes into every agent's prompt.").or(Fallback::Text("")),
    ]],
);

static RUN: Shape = Shape::new(
    "[run]",
    &[&[
        Key::new("workers", MAX_PARALLEL, "How many tasks run at a time.").or(Fallback::Integer(4)),
        Key::new("fail_fast", Kind::Bool, "After the first task that fails for good, start nothing more.").or(Fallback::Bool(false)),
        Key::new("max_time", Kind::Duration(SECOND), "A run that lasts longer starts nothing more; by default there is no limit."),
        Key::new("shutdown_grace", Kind::Duration(Duration::ZERO), "How long a command that is told to stop has before it is killed.")
            .or(Fallback::Text("5s")),
    ]],
)
.later(&["budget"]);

static MERGE: Shape = Shape::new(
    "[merge]",
    &[&[
        Key::new("strategy", Kind::Choice { now: &["merge"], later: &["squash", "rebase", "branch"] }, "A merge commit for each task.")
            .or(Fallback::Text("merge")),
        Key::new("verify", Kind::Commands(&CHECK), "Must pass on the exact tree that is about to land.").or(Fallback::Texts(&[])),
        Key::new(
            "on_conflict",
            Kind::Choice { now: &["retry", "block"], later: &[] },
            "retry: a new attempt on the new tip, told of the conflict. block: stop for a person.",
        )
        .or(Fallback::Text("retry")),
        Key::new("baseline", Kind::OffOnly, "Reserved; must be false.").or(Fallback::Bool(false)),
        Key::new("push", Kind::EmptyOnly, "Reserved; must be empty.").or(Fallback::Text("")),
        Key::new("hooks", Kind::OffOnly, "Reserved; must be false: the repository's commit hooks are not run.").or(Fallback::Bool(false)),
    ]],
);

static WORKTREE: Shape = Shape::new(
    "[worktree]",
    &[&[
        Key::new("dir", Kind::Text(Format::Directory), "Where working trees are made; by default outside the checkout.")
            .or(Fallback::Text("")),
        Key::new("reuse", Kind::OffOnly, "Reserved; must be false: each attempt gets a fresh working tree.").or(Fallback::Bool(false)),
        Key::new("setup", Kind::Commands(&CHECK), "Run in order when a working tree is created.").or(Fallback::Texts(&[])),
        Key::new(
            "include",
            Kind::Text(Format::Inside),
            "A file in the syntax of .gitignore that names the git-ignored files to copy into a working tree.",
        )
        .or(Fallback::Text(".worktreeinclude")),
    ]],
)
.later(&["setup_inputs", "max_disk"]);

static DEFAULTS: Shape = Shape::new("[defaults]", &[INHERITED, RESERVED_DEFAULTS]).later(LATER_INHERITED);
static EPIC_DEFAULTS: Shape = Shape::new("[epic.defaults]", &[INHERITED, RESERVED_DEFAULTS]).later(LATER_INHERITED);

const LATER_INHERITED: &[&str] = &["approval", "budget", "extends", "inputs", "paths", "supervise"];
const RESERVED_DEFAULTS: &[Key] = &[Key::new(
    "sandbox",
    Kind::Choice { now: &["none"], later: &["auto", "bwrap", "landlock"] },
    "Reserved; must be \"none\": commands are not confined.",
)
.or(Fallback::Text("none"))];

/// What a task takes from its epic or from `[defaults]` unless it says otherwise.
const INHERITED: &[Key] = &[
    Key::new("agent", Kind::Text(Format::Segment), "Who does the work: a name under [agents].").or(Fallback::Text(AGENT)),
    Key::new("timeout", Kind::Duration(SECOND), "The longest that one step of a task may run.").or(Fallback::Text(TIMEOUT)),
    Key::new("stall_timeout", Kind::Duration(SECOND), "A step without output for this long is ended.").or(Fallback::Text(STALL_TIMEOUT)),
    Key::new("retry", Kind::Table(&RETRY), "How often a failed task is tried again, and when."),
    Key::new(
        "on_change",
        Kind::Choice { now: &["rerun", "keep", "error"], later: &[] },
        "What a changed definition means for a completed task: run it again, leave it, or refuse the plan.",
    )
    .or(Fallback::Text("rerun")),
    Key::new(
        "on_dependency",
        Kind::Choice { now: &["rerun", "keep"], later: &[] },
        "What a dependency that ran again means for a completed task.",
    )
    .or(Fallback::Text("keep")),
    Key::new(
        "allow_empty",
        Kind::Bool,
        "Whether an attempt that changed nothing counts as done; by default only where no agent is at work.",
    ),
    Key::new("protect", Kind::Texts { of: Format::Glob, min: 0, max: 1000 }, "Globs that the work must not touch.")
        .or(Fallback::Texts(PROTECT)),
    Key::new("env", Kind::Env, "Set for every command of the task."),
    Key::new(
        "env_pass",
        Kind::Texts { of: Format::EnvPattern, min: 0, max: 1000 },
        "Which variables commands inherit: names, or prefixes that end in `*`.",
    )
    .or(Fallback::Texts(ENV_PASS)),
    Key::new("verify", Kind::Commands(&CHECK), "Must pass before the work counts as done.").or(Fallback::Texts(&[])),
    Key::new("groups", Kind::Texts { of: Format::Segment, min: 0, max: 64 }, "Names under [groups]; each limits how many run at a time.")
        .or(Fallback::Texts(&[])),
    Key::new("labels", Kind::Texts { of: Format::Label, min: 0, max: 64 }, "For people, and to select tasks by.").or(Fallback::Texts(&[])),
    Key::new("priority", Kind::Integer { min: -1_000_000, max: 1_000_000 }, "Higher first; decides only among tasks that are ready.")
        .or(Fallback::Integer(0)),
    Key::new(
        "workspace",
        Kind::Choice { now: &["worktree", "checkout"], later: &[] },
        "worktree: a working tree of its own. checkout: in place, with no isolation and nothing committed.",
    )
    .or(Fallback::Text("worktree")),
];

static RETRY: Shape = Shape::new(
    "retry",
    &[&[
        Key::new("max_attempts", Kind::Integer { min: 1, max: 100 }, "The first attempt counts too.").or(Fallback::Integer(3)),
        Key::new("backoff", Kind::Choice { now: &["exponential", "fixed"], later: &[] }, "How the delay grows.")
            .or(Fallback::Text("exponential")),
        Key::new("delay", Kind::Duration(Duration::ZERO), "Before the second attempt.").or(Fallback::Text("30s")),
        Key::new("max_delay", Kind::Duration(Duration::ZERO), "The longest delay.").or(Fallback::Text("10m")),
        Key::new("jitter", Kind::Bool, "Vary the delay, so that tasks do not all come back at once.").or(Fallback::Bool(true)),
    ]],
);

static CHECK: Shape = Shape::new(
    "a command",
    &[&[
        Key::new("name", Kind::Text(Format::Title), "What it is called in messages."),
        Key::new("run", Kind::Text(Format::Command), "A line for `sh -c`; it must exit with 0.").required(),
        Key::new("timeout", Kind::Duration(SECOND), "The longest it may run.").or(Fallback::Text(CHECK_TIMEOUT)),
    ]],
);

static AGENT_TABLE: Shape = Shape::new(
    "[agents.NAME]",
    &[&[
        Key::new(
            "kind",
            Kind::Choice { now: &["claude-code", "command"], later: LATER_AGENTS },
            "The program, or `command` for one of your own.",
        )
        .required(),
        Key::new("model", Kind::Text(Format::Word), "The model to ask for; by default the agent's own choice."),
        Key::new("max_parallel", MAX_PARALLEL, "How many tasks use this agent at a time; by default no limit but `run.workers`."),
        Key::new("args", Kind::Texts { of: Format::Argument, min: 0, max: 1000 }, "Appended to the command line.").or(Fallback::Texts(&[])),
        Key::new(
            "command",
            Kind::Texts { of: Format::Argument, min: 1, max: 1000 },
            "For kind \"command\": a program and its arguments, no shell.",
        ),
        Key::new("shell", Kind::Text(Format::Command), "For kind \"command\": a line for `sh -c`."),
    ]],
)
.one_of(&["command", "shell"], Needed::No);

static GROUP: Shape = Shape::new(
    "[groups.NAME]",
    &[&[Key::new("max_parallel", MAX_PARALLEL, "How many tasks of the group run at a time.").or(Fallback::Integer(1))]],
);

pub static TASK_FILE: Shape = Shape::new(
    "a task file",
    &[&[
        Key::new("epic", Kind::Table(&EPIC), "What the tasks of this file belong to."),
        Key::new("task", Kind::Tables(&TASK), "The tasks."),
    ]],
)
.later(&["moved"])
.hints(&[
    ("tasks", "write `[[task]]`"),
    ("epics", "write `[epic]`; a file has at most one"),
    ("subtask", "a sub-task stands under its task: write `[[task.subtask]]`"),
    ("defaults", "write `[epic.defaults]` here, or `[defaults]` in drover.toml"),
]);

static EPIC: Shape = Shape::new(
    "[epic]",
    &[&[
        Key::new("id", Kind::Text(Format::Segment), "Its identity; `epic:ID` in `depends_on` stands for all its tasks.").required(),
        Key::new("title", Kind::Text(Format::Title), "One line for people.").required(),
        Key::new("description", Kind::Text(Format::Free), "More for people.").or(Fallback::Text("")),
        Key::new("defaults", Kind::Table(&EPIC_DEFAULTS), "What holds for every task of this file that does not say otherwise."),
    ]],
)
.later(&["depends_on"])
.hints(DEPENDS_ON);

const DEPENDS_ON_HINT: &str = "Drover spells this `depends_on`: the tasks that must be done before this one";
const DEPENDS_ON: &[(&str, &str)] = &[
    ("needs", DEPENDS_ON_HINT),
    ("deps", DEPENDS_ON_HINT),
    ("blocked_by", DEPENDS_ON_HINT),
    ("blocked-by", DEPENDS_ON_HINT),
    ("requires", DEPENDS_ON_HINT),
    ("dependsOn", DEPENDS_ON_HINT),
    ("depends-on", DEPENDS_ON_HINT),
    ("after", DEPENDS_ON_HINT),
];

/// The ways to say what the work is.
pub const WORK: &[&str] = &["prompt", "prompt_file", "run"];

static TASK: Shape = Shape::new("[[task]]", &[TASK_OWN, INHERITED])
    .one_of(WORK, Needed::Unless("subtask"))
    .later(&["matrix", "extends", "inputs", "enabled", "paths", "approval", "budget", "sandbox", "supervise"])
    .hints(DEPENDS_ON);

const TASK_OWN: &[Key] = &[
    Key::new("id", Kind::Text(Format::TaskId), "Its identity, in lower case.").required(),
    Key::new("title", Kind::Text(Format::Title), "One line for people; the subject of the commit.").required(),
    Key::new("prompt", Kind::Text(Format::Prompt), "What the agent is asked to do."),
    Key::new("prompt_file", Kind::Text(Format::Path), "A file that holds the prompt, relative to this file."),
    Key::new("run", Kind::Text(Format::Command), "A line for `sh -c` instead of an agent."),
    Key::new(
        "depends_on",
        Kind::Texts { of: Format::Dependency, min: 0, max: 10_000 },
        "The tasks that must be done before this one: ids, or `epic:ID` for all tasks of an epic.",
    )
    .or(Fallback::Texts(&[])),
    Key::new("subtask", Kind::Tables(&SUBTASK), "Steps in the task's working tree, run in this order before its own work."),
];

static SUBTASK: Shape = Shape::new(
    "[[task.subtask]]",
    &[&[
        Key::new("id", Kind::Text(Format::Segment), "Its identity inside the task: the full id is `task.subtask`.").required(),
        Key::new("title", Kind::Text(Format::Title), "One line for people.").required(),
        Key::new("prompt", Kind::Text(Format::Prompt), "What the agent is asked to do."),
        Key::new("prompt_file", Kind::Text(Format::Path), "A file that holds the prompt, relative to this file."),
        Key::new("run", Kind::Text(Format::Command), "A line for `sh -c` instead of an agent."),
        Key::new("agent", Kind::Text(Format::Segment), "Who does the work; by default the task's agent."),
        Key::new("verify", Kind::Commands(&CHECK), "Must pass on the tree that the sub-task left.").or(Fallback::Texts(&[])),
        Key::new("timeout", Kind::Duration(SECOND), "The longest it may run; by default as the task."),
        Key::new("stall_timeout", Kind::Duration(SECOND), "Without output for this long it is ended; by default as the task."),
    ]],
)
.one_of(WORK, Needed::Yes)
.hints(&[("depends_on", "sub-tasks run in the order of the file, inside their task: give `depends_on` to the task")]);
