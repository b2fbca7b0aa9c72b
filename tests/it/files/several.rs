//! What makes several tasks of one, or takes settings from elsewhere: matrix, templates, epics.

use std::time::Duration;

use drover::base::TaskId;
use drover::files::{Code, Project};
use drover::model::{Action, Spec};

use super::Dir;

fn project(config: &str, tasks: &str) -> Project {
    Dir::new(&[("drover.toml", config), ("drover/a.toml", tasks)]).project()
}

fn spec(project: &Project, id: &str) -> Spec {
    (*project.graph.tasks()[&TaskId::parse(id).unwrap()]).clone()
}

fn ids(project: &Project) -> Vec<&str> {
    project.graph.tasks().keys().map(TaskId::as_str).collect()
}

const PORT: &str = r#"
[[task]]
id = "port"
title = "Port ${{ matrix.crate }}"
prompt = "Port ${{ matrix.crate }} in ${{ worktree }}, and say $${{ matrix.crate }}."
agent = "gen"
verify = ["test ${{ matrix.crate }}"]
matrix = { crate = ["api", "worker"] }
  [[task.subtask]]
  id = "plan"
  title = "Plan"
  run = "plan ${{ matrix.crate }}"

[[task]]
id = "all"
title = "All of it"
run = "true"
depends_on = ["port"]
"#;
const GEN: &str = "[agents.gen]\nkind = \"command\"\ncommand = [\"gen\", \"${{ matrix.crate }}\"]\n";

#[test]
fn a_matrix_stands_for_a_task_a_value_with_its_names_filled_in() {
    let project = project(GEN, PORT);
    assert_eq!(ids(&project), ["all", "port.api", "port.worker"]);
    let all: Vec<String> = spec(&project, "all").depends_on.iter().map(TaskId::to_string).collect();
    assert_eq!(all, ["port.api", "port.worker"]);
    let api = spec(&project, "port.api");
    assert_eq!((api.title.as_str(), api.verify[0].run.as_str()), ("Port api", "test api"));
    assert_eq!(api.steps[0].id.as_str(), "port.api.plan");
    assert_eq!(api.steps[0].action, Action::Shell("plan api".into()));
    let Action::Prompt { text, agent } = &api.steps[1].action else { panic!("{api:?}") };
    // What only the run knows, and what is not to be filled in at all, is left as it was.
    assert_eq!(text, "Port api in ${{ worktree }}, and say $${{ matrix.crate }}.");
    assert_eq!(format!("{:?}", agent.command), r#"Some(Argv(["gen", "api"]))"#);
    assert_ne!(api.digest, spec(&project, "port.worker").digest);
}

#[test]
fn a_task_of_a_matrix_has_the_digest_of_the_same_task_written_out() {
    let by_matrix =
        project("", "[[task]]\nid = \"a\"\ntitle = \"A ${{ matrix.x }}\"\nrun = \"make ${{ matrix.x }}\"\nmatrix = { x = [\"b\"] }\n");
    let by_hand = project("", "[[task]]\nid = \"a.b\"\ntitle = \"A b\"\nrun = \"make b\"\n");
    assert_eq!(spec(&by_matrix, "a.b").digest, spec(&by_hand, "a.b").digest);
}

#[test]
fn two_axes_make_every_combination_and_more_parts_than_an_id_has_are_an_error() {
    let task = "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"true\"\nmatrix = { os = [\"linux\", \"mac\"], arch = [\"arm\", \"x86\"] }\n";
    assert_eq!(ids(&project("", task)), ["t.linux.arm", "t.linux.x86", "t.mac.arm", "t.mac.x86"]);
    let deep = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &task.replace("id = \"t\"", "id = \"t.u\""))]);
    assert_eq!(deep.codes(), [Code::BadId; 4]);
    let many = Dir::new(&[
        ("drover.toml", ""),
        (
            "drover/a.toml",
            &format!(
                "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"true\"\nmatrix = {{ a = [{0}], b = [{0}] }}\n",
                (0..40).map(|n| format!("\"v{n}\",")).collect::<String>()
            ),
        ),
    ]);
    assert_eq!(many.codes(), [Code::OutOfRange]);
    for bad in
        ["{}", "{ a = [] }", "{ a = \"b\" }", "{ a = [\"B\"] }", "{ a = [1] }", "[\"a\"]", "{ a = [\"b\"], c = [\"d\"], e = [\"f\"] }"]
    {
        let text = format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"true\"\nmatrix = {bad}\n");
        let found = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &text)]).codes();
        assert!(matches!(found[..], [Code::OutOfRange | Code::WrongType | Code::BadId]), "{bad}: {found:?}");
    }
}

#[test]
fn a_template_stands_between_the_task_and_its_epic() {
    let config = "[defaults]\ntimeout = \"1m\"\nstall_timeout = \"1m\"\npriority = 1\n[templates.slow]\ntimeout = \"2h\"\nstall_timeout = \"2m\"\nretry = { max_attempts = 7 }\n";
    let tasks = "[epic]\nid = \"e\"\ntitle = \"E\"\n[epic.defaults]\nstall_timeout = \"3m\"\npriority = 2\nretry = { delay = \"1s\" }\n\n\
                 [[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"true\"\nextends = \"slow\"\ntimeout = \"5h\"\n\n[[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"true\"\n";
    let project = project(config, tasks);
    let (a, b) = (spec(&project, "a"), spec(&project, "b"));
    let minutes = |d: Duration| d.as_secs() / 60;
    assert_eq!((minutes(a.steps[0].timeout), minutes(a.steps[0].stall_timeout), a.priority), (300, 2, 2));
    assert_eq!((a.retry.max_attempts, a.retry.delay), (7, Duration::from_secs(1)));
    assert_eq!((minutes(b.steps[0].timeout), minutes(b.steps[0].stall_timeout), b.retry.max_attempts), (1, 3, 3));
}

#[test]
fn every_task_of_an_epic_waits_for_what_the_epic_waits_for() {
    let dir = Dir::new(&[
        ("drover.toml", ""),
        (
            "drover/a.toml",
            "[epic]\nid = \"a\"\ntitle = \"A\"\ndepends_on = [\"epic:b\", \"c\"]\n[[task]]\nid = \"a1\"\ntitle = \"A1\"\nrun = \"true\"\n[[task]]\nid = \"a2\"\ntitle = \"A2\"\nrun = \"true\"\ndepends_on = [\"a1\", \"c\"]\n",
        ),
        (
            "drover/b.toml",
            "[epic]\nid = \"b\"\ntitle = \"B\"\n[[task]]\nid = \"b1\"\ntitle = \"B1\"\nrun = \"true\"\n[[task]]\nid = \"b2\"\ntitle = \"B2\"\nrun = \"true\"\n",
        ),
        ("drover/c.toml", "[[task]]\nid = \"c\"\ntitle = \"C\"\nrun = \"true\"\n"),
    ]);
    let project = dir.project();
    let needs = |id| spec(&project, id).depends_on.iter().map(TaskId::to_string).collect::<Vec<_>>();
    assert_eq!(needs("a1"), ["b1", "b2", "c"]);
    assert_eq!(needs("a2"), ["a1", "c", "b1", "b2"]);
    let unknown = Dir::new(&[
        ("drover.toml", ""),
        (
            "drover/a.toml",
            "[epic]\nid = \"a\"\ntitle = \"A\"\ndepends_on = [\"nope\"]\n[[task]]\nid = \"a1\"\ntitle = \"A1\"\nrun = \"true\"\n[[task]]\nid = \"a2\"\ntitle = \"A2\"\nrun = \"true\"\n",
        ),
    ]);
    assert_eq!(unknown.codes(), [Code::UnknownDependency], "said once, not for each task");
}

#[test]
fn epics_that_wait_for_each_other_are_told_in_one_label_each() {
    let epic = |id: &str, other: &str| {
        let tasks = [1, 2].map(|n| format!("[[task]]\nid = \"{id}{n}\"\ntitle = \"T\"\nrun = \"true\"\n")).concat();
        format!("[epic]\nid = \"{id}\"\ntitle = \"E\"\ndepends_on = [\"epic:{other}\"]\n{tasks}")
    };
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &epic("a", "b")), ("drover/b.toml", &epic("b", "a"))]);
    assert_eq!(dir.codes(), [Code::Cycle]);
    let said = dir.load().report.graphical(false, 200);
    assert_eq!(said.matches("and 3 more such edges").count(), 2, "{said}");
    assert!(!said.contains("`a2` waits for"), "{said}");
}

#[test]
fn a_dependency_on_a_disabled_task_is_warned_of() {
    let tasks = "[[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"true\"\nenabled = false\n[[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"true\"\ndepends_on = [\"a\"]\n[[task]]\nid = \"c\"\ntitle = \"C\"\nrun = \"true\"\nenabled = false\ndepends_on = [\"a\"]\n";
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", tasks)]);
    assert_eq!(dir.codes(), [Code::DisabledDependency]);
    let project = dir.project();
    assert_eq!((spec(&project, "a").enabled, spec(&project, "b").enabled), (false, true));
}
