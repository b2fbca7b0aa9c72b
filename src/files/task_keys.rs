//! The file format of task files: every table and every key that `drover.toml` has not.

use super::keys::{BUDGET, CHECK, EPIC_DEFAULTS, INHERITED, SECOND};
use super::shape::{Fallback, Format, Key, Kind, Needed, Shape};

pub static TASK_FILE: Shape = Shape::new(
    "a task file",
    &[&[
        Key::new("epic", Kind::Table(&EPIC), "What the tasks of this file belong to."),
        Key::new("task", Kind::Tables(&TASK), "The tasks."),
        Key::new("moved", Kind::Tables(&MOVED), "Tasks that were given another id."),
    ]],
)
.hints(&[
    ("tasks", "write `[[task]]`"),
    ("epics", "write `[epic]`; a file has at most one"),
    ("subtask", "a sub-task stands under its task: write `[[task.subtask]]`"),
    ("defaults", "write `[epic.defaults]` here, or `[defaults]` in drover.toml"),
]);

static MOVED: Shape = Shape::new(
    "[[moved]]",
    &[&[
        Key::new("from", Kind::Text(Format::TaskId), "The id of before, which no task has any more.").required(),
        Key::new("to", Kind::Text(Format::TaskId), "The id of today, or the `from` of another block.").required(),
    ]],
);

static EPIC: Shape = Shape::new(
    "[epic]",
    &[&[
        Key::new("id", Kind::Text(Format::Segment), "Its identity; `epic:ID` in `depends_on` stands for all its tasks.").required(),
        Key::new("title", Kind::Text(Format::Title), "One line for people.").required(),
        Key::new("description", Kind::Text(Format::Free), "More for people.").or(Fallback::Text("")),
        Key::new(
            "depends_on",
            Kind::Texts { of: Format::Dependency, min: 0, max: 10_000 },
            "What must be done before any task of this epic: ids, or `epic:ID` for all tasks of another epic.",
        )
        .or(Fallback::Texts(&[])),
        Key::new("budget", Kind::Table(&BUDGET), "What all tasks of this epic may use together."),
        Key::new("defaults", Kind::Table(&EPIC_DEFAULTS), "What holds for every task of this file that does not say otherwise."),
    ]],
)
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
    .later(&["sandbox", "supervise"])
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
    Key::new("enabled", Kind::Bool, "false: the task is not run, and what depends on it waits.").or(Fallback::Bool(true)),
    Key::new("extends", Kind::Text(Format::Segment), "A name under [templates], whose settings hold where the task says nothing."),
    Key::new(
        "matrix",
        Kind::Axes,
        "One task for each combination of these values, named `id.value`; `${{ matrix.NAME }}` in its texts is the value.",
    ),
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
