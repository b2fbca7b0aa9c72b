//! The file format itself: every table and every key of `drover.toml`, and what task files share with it.
//!
//! What is written here, and in `task_keys`, is what the reader accepts, what the schemas say and what
//! `drover.toml.example` must show.

use std::time::Duration;

use super::inherited::ENV_PASS;
use super::shape::{Fallback, Format, Key, Kind, Needed, Shape};
use crate::model::policy::{MAX_LOG, REDACT};

/// Where task files are looked for.
pub const TASKS: &[&str] = &["drover/**/*.toml"];
pub const AGENT: &str = "claude";
pub const TIMEOUT: &str = "45m";
pub const STALL_TIMEOUT: &str = "10m";
pub const CHECK_TIMEOUT: &str = "30m";
pub const PROTECT: &[&str] = &["drover.toml", "drover/**"];

pub const SECOND: Duration = Duration::from_secs(1);
const COUNT: Kind = Kind::Integer { min: 1, max: 1_000_000_000_000 };
const MAX_PARALLEL: Kind = Kind::Integer { min: 1, max: 1024 };

pub static DROVER: Shape = Shape::new(
    "drover.toml",
    &[
        &[
            Key::new(
                "required_version",
                Kind::Text(Format::Version),
                "The versions of Drover that may read this project, such as \">=0.1\".",
            ),
            Key::new("profiles", Kind::Parts(&PROFILE), "Other settings, which `--profile` lays over these."),
        ],
        SETTINGS,
    ],
)
.hints(&[
    ("task", "tasks stand in task files; `project.tasks` says where these are"),
    ("epic", "an epic stands in a task file, beside its tasks"),
    ("moved", "a `[[moved]]` block stands in a task file"),
]);

static PROFILE: Shape = Shape::new("[profiles.NAME]", &[SETTINGS]).hints(&[
    ("required_version", "it stands at the top of drover.toml, and holds for every profile"),
    ("profiles", "one profile is chosen; they hold no others"),
]);

const SETTINGS: &[Key] = &[
    Key::new("project", Kind::Table(&PROJECT), "What is driven."),
    Key::new("run", Kind::Table(&RUN), "Limits of a run."),
    Key::new("merge", Kind::Table(&MERGE), "How finished work lands on the target branch."),
    Key::new("worktree", Kind::Table(&WORKTREE), "The working trees in which tasks run."),
    Key::new("logs", Kind::Table(&LOGS), "What is kept of what commands print."),
    Key::new("telemetry", Kind::Table(&TELEMETRY), "Whether and where it is told how runs go, by OpenTelemetry."),
    Key::new("defaults", Kind::Table(&DEFAULTS), "What holds for every task that does not say otherwise."),
    Key::new("agents", Kind::Named(&AGENT_TABLE), "The agents that tasks can name."),
    Key::new("groups", Kind::Named(&GROUP), "Groups of tasks that share something scarce."),
    Key::new("webhooks", Kind::Receivers(&super::notice_keys::WEBHOOK), "Who is told of events by HTTP: signed, in order, at least once."),
    Key::new("on_event", Kind::Receivers(&super::notice_keys::ON_EVENT), "Commands that are told of events, in order, at least once."),
    Key::new("prompts", Kind::Table(&super::prompts::PROMPTS), "Templates of your own for what agents are told."),
    Key::new("templates", Kind::Named(&TEMPLATE), "Settings that tasks can take over by `extends`."),
];

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
        Key::new(
            "max_pause",
            Kind::Duration(Duration::ZERO),
            "The longest wait for an agent that is rate limited, overloaded or cut off; `0s`: no waiting, the run stops.",
        )
        .or(Fallback::Text("6h")),
        Key::new("budget", Kind::Table(&BUDGET), "What a run may use; then it starts nothing more."),
        Key::new("notify", Kind::Bool, "Whether the desktop shows what failed or waits for a person, and that a run has ended.")
            .or(Fallback::Bool(false)),
        Key::new("shutdown_grace", Kind::Duration(Duration::ZERO), "How long a command that is told to stop has before it is killed.")
            .or(Fallback::Text("5s")),
    ]],
);

static MERGE: Shape = Shape::new(
    "[merge]",
    &[&[
        Key::new(
            "strategy",
            Kind::Choice { now: &["merge", "squash", "rebase", "branch"], later: &[] },
            "What a task's work becomes where it lands: a merge commit, one commit, its commits one by one; or a branch of its own.",
        )
        .or(Fallback::Text("merge")),
        Key::new("verify", Kind::Commands(&CHECK), "Must pass on the exact tree that is about to land.").or(Fallback::Texts(&[])),
        Key::new(
            "on_conflict",
            Kind::Choice { now: &["retry", "block"], later: &[] },
            "retry: a new attempt on the new tip, told of the conflict. block: stop for a person.",
        )
        .or(Fallback::Text("retry")),
        Key::new("baseline", Kind::Bool, "Whether a check that fails without the work too is passed over.").or(Fallback::Bool(false)),
        Key::new("push", Kind::Text(Format::Remote), "The remote that what lands is pushed to, such as \"origin\"; empty for none.")
            .or(Fallback::Text("")),
        Key::new("push_timeout", Kind::Duration(SECOND), "The longest that one push or fetch may take.").or(Fallback::Text("1m")),
        Key::new("hooks", Kind::Bool, "Whether the repository's commit hooks are run on each task's commit.").or(Fallback::Bool(false)),
    ]],
);

static WORKTREE: Shape = Shape::new(
    "[worktree]",
    &[&[
        Key::new("dir", Kind::Text(Format::Directory), "Where working trees are made; by default outside the checkout.")
            .or(Fallback::Text("")),
        Key::new(
            "reuse",
            Kind::Bool,
            "Whether the working tree of an attempt that has ended serves the next one, with what git ignores still in it.",
        )
        .or(Fallback::Bool(true)),
        Key::new("setup", Kind::Commands(&CHECK), "Run in order when a working tree is created.").or(Fallback::Texts(&[])),
        Key::new(
            "setup_inputs",
            Kind::Texts { of: Format::Inside, min: 0, max: 1000 },
            "Files that `setup` depends on: it is run again in a reused working tree where one of them has changed.",
        )
        .or(Fallback::Texts(&[])),
        Key::new(
            "include",
            Kind::Text(Format::Inside),
            "A file in the syntax of .gitignore that names the git-ignored files to copy into a working tree.",
        )
        .or(Fallback::Text(".worktreeinclude")),
        Key::new(
            "max_disk",
            Kind::Size,
            "No attempt gets a working tree while all of them take as much; idle ones go first. By default there is no limit.",
        ),
    ]],
);

static LOGS: Shape = Shape::new(
    "[logs]",
    &[&[
        Key::new(
            "max_size",
            Kind::Size,
            "How large a log may get: of what each command printed the last so much is kept, and as much again.",
        )
        .or(Fallback::Text(MAX_LOG)),
        Key::new(
            "redact",
            Kind::Texts { of: Format::Glob, min: 0, max: 1000 },
            "The names of variables, as globs, whose values are to stand in no log.",
        )
        .or(Fallback::Texts(REDACT)),
    ]],
);

static TELEMETRY: Shape = Shape::new(
    "[telemetry]",
    &[&[
        Key::new("enabled", Kind::Bool, "Whether traces, metrics and logs are sent.").or(Fallback::Bool(false)),
        Key::new(
            "endpoint",
            Kind::Text(Format::Endpoint),
            "Where a receiver of OTLP listens, such as \"https://otel.example.com:4317\"; by default the usual port of this machine.",
        )
        .or(Fallback::Text("")),
        Key::new(
            "protocol",
            Kind::Choice { now: &["grpc", "http/protobuf"], later: &[] },
            "How it is talked to. By default: gRPC, on port 4317; http/protobuf has port 4318.",
        )
        .or(Fallback::Text("grpc")),
        Key::new("sampling", Kind::Share, "The share of runs whose traces are sent, from 0 to 1.").or(Fallback::Integer(1)),
        Key::new(
            "prometheus",
            Kind::Text(Format::Listen),
            "Where metrics can be scraped while a run or a watch lasts: a port of this machine, or an address; empty for nowhere.",
        )
        .or(Fallback::Text("")),
        Key::new(
            "prometheus_hosts",
            Kind::Texts { of: Format::Host, min: 0, max: 100 },
            "Names of hosts that metrics may be asked for by, beside addresses and localhost.",
        )
        .or(Fallback::Texts(&[])),
    ]],
)
.hints(&[("headers", "they hold secrets, which are not committed: set OTEL_EXPORTER_OTLP_HEADERS")]);

static DEFAULTS: Shape = Shape::new("[defaults]", &[INHERITED, RESERVED_DEFAULTS]).later(LATER_INHERITED).hints(ONE_TEMPLATE);
pub static EPIC_DEFAULTS: Shape = Shape::new("[epic.defaults]", &[INHERITED, RESERVED_DEFAULTS]).later(LATER_INHERITED).hints(ONE_TEMPLATE);

static TEMPLATE: Shape = Shape::new("[templates.NAME]", &[INHERITED, RESERVED_DEFAULTS]).later(LATER_INHERITED).hints(ONE_TEMPLATE);

const ONE_TEMPLATE: &[(&str, &str)] = &[("extends", "a task takes over one template; templates take over nothing")];
const LATER_INHERITED: &[&str] = &["supervise"];
const RESERVED_DEFAULTS: &[Key] = &[Key::new(
    "sandbox",
    Kind::Choice { now: &["none"], later: &["auto", "bwrap", "landlock"] },
    "Reserved; must be \"none\": commands are not confined.",
)
.or(Fallback::Text("none"))];

/// What a task takes from its epic or from `[defaults]` unless it says otherwise.
pub const INHERITED: &[Key] = &[
    Key::new("agent", Kind::Text(Format::Segment), "Who does the work: a name under [agents].").or(Fallback::Text(AGENT)),
    Key::new("timeout", Kind::Duration(SECOND), "The longest that one step of a task may run.").or(Fallback::Text(TIMEOUT)),
    Key::new("stall_timeout", Kind::Duration(SECOND), "A step without output for this long is ended.").or(Fallback::Text(STALL_TIMEOUT)),
    Key::new("budget", Kind::Table(&BUDGET), "What all attempts at the task may use together."),
    Key::new("attempt_budget", Kind::Table(&BUDGET), "What each attempt at the task may use; then it fails."),
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
    Key::new(
        "approval",
        Kind::Choice { now: &["none", "required"], later: &[] },
        "required: verified work waits for `drover approve` before it lands.",
    )
    .or(Fallback::Text("none")),
    Key::new("protect", Kind::Texts { of: Format::Glob, min: 0, max: 1000 }, "Globs that the work must not touch.")
        .or(Fallback::Texts(PROTECT)),
    Key::new(
        "paths",
        Kind::Texts { of: Format::Glob, min: 0, max: 1000 },
        "Globs of all that the work may touch; tasks whose globs overlap do not run together. Empty for no limit.",
    )
    .or(Fallback::Texts(&[])),
    Key::new(
        "inputs",
        Kind::Texts { of: Format::Glob, min: 0, max: 1000 },
        "Globs of files: the task runs again when what is committed of them on the target has changed since it landed.",
    )
    .or(Fallback::Texts(&[])),
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

pub static BUDGET: Shape = Shape::new(
    "budget",
    &[&[
        Key::new("usd", Kind::Money, "Dollars, as far as agents say what they cost."),
        Key::new("tokens", COUNT, "Tokens, but for those read from a cache."),
        Key::new("turns", COUNT, "Answers of a model."),
        Key::new("time", Kind::Duration(SECOND), "How long agents and commands run, taken together."),
    ]],
);

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

pub static CHECK: Shape = Shape::new(
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
            Kind::Choice { now: &["claude-code", "codex", "gemini", "opencode", "copilot", "qwen", "amp", "command"], later: &[] },
            "The program, or `command` for one of your own.",
        )
        .required(),
        Key::new("model", Kind::Text(Format::Word), "The model to ask for; by default the agent's own choice."),
        Key::new("fallback", Kind::Text(Format::Segment), "The agent that does its work where it is stopped for the rest of a run."),
        Key::new(
            "fallback_model",
            Kind::Text(Format::Word),
            "For kind \"claude-code\": the model to turn to when the other is overloaded.",
        ),
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
