//! What an agent is told: the values that the templates of the room `prompt` are filled in with.
//!
//! Texts of the user's own are given in full; the rest is bounded and made safe to show.

use super::conflict;
use super::invoke::Context;
use super::work;
use crate::base::text::{block, one_line};
use crate::core::{Failure, FailureClass};
use crate::model::{Action, Spec, StepSpec, Template, Workspace};
use crate::prompt::{self, Kind, Named, Previous, Renewed, Step, Task, Vars, Wrong};

/// The most of a failure's message, in characters, and of the output that shows it, in bytes.
const MAX_MESSAGE: usize = 2000;
const MAX_TAIL: usize = 8192;
const MAX_LOG: usize = 4096;
/// The most dependencies that are named, and of each title how much, in characters.
const MAX_LANDED: usize = 50;
pub(super) const MAX_TITLE: usize = 200;

/// The whole prompt of a step, as the project's template has it or the built-in one.
///
/// # Errors
/// Where the project's own template cannot be filled in.
pub fn prompt(cx: &Context) -> Result<String, Failure> {
    let (kind, own) = if cx.resumes { (Kind::Resume, &cx.prompts.resume) } else { (Kind::Task, &cx.prompts.task) };
    let text = own.as_ref().map(|template| template.text.as_str());
    prompt::render(kind, text, &vars(cx)).map_err(|wrong| unfit(cx, own.as_ref(), wrong))
}

fn unfit(cx: &Context, own: Option<&Template>, Wrong { message, line, .. }: Wrong) -> Failure {
    let place = own.map_or("the built-in template", |template| &template.file);
    let line = line.map(|n| format!(":{n}")).unwrap_or_default();
    let said = format!("the prompt of `{}` cannot be made from {}{line}: {}", cx.step.id, one_line(place, MAX_TITLE), block(&message));
    Failure::new(FailureClass::Prompt, said.chars().take(MAX_MESSAGE).collect::<String>())
}

fn vars(cx: &Context) -> Vars {
    let text = match &cx.step.action {
        Action::Prompt { text, .. } => cx.fill(text),
        Action::Shell(line) => cx.fill(line),
    };
    let is_subtask = cx.step.id != cx.task.id;
    Vars {
        guidelines: cx.guidelines.trim().to_owned(),
        task: task(cx.task),
        step: Step { id: cx.step.id.to_string(), title: cx.step.title.clone(), text: text.trim().to_owned(), is_subtask },
        attempt: cx.attempt,
        worktree: cx.worktree.to_owned(),
        port: cx.port,
        renewed: renewed(cx),
        landed: cx.landed.iter().take(MAX_LANDED).map(work::landed).collect(),
        more_landed: cx.landed.len().saturating_sub(MAX_LANDED),
        earlier_steps: earlier_steps(cx),
        previous: cx.previous.map(|failure| previous(cx, failure)),
        conflict: cx.conflict.map(conflict::vars),
        // Of people: in full.
        hints: cx.hints.iter().map(|text| block(text).replace('\n', "\n  ")).collect(),
        restored: cx.restored,
        protect: cx.task.protect.clone(),
        paths: cx.task.paths.clone(),
        checks: checked(cx.task, cx.step).into_iter().map(|run| cx.fill(run)).collect(),
    }
}

fn task(task: &Spec) -> Task {
    let workspace = match task.workspace {
        Workspace::Worktree => "worktree",
        Workspace::Checkout => "checkout",
    };
    Task {
        id: task.id.to_string(),
        title: task.title.clone(),
        epic: task.epic.as_ref().map(ToString::to_string),
        labels: task.labels.clone(),
        workspace: workspace.to_owned(),
    }
}

/// The steps of the task that came before, whose work is in the files but in no commit.
fn earlier_steps(cx: &Context) -> Vec<Named> {
    let before = cx.task.steps.iter().take_while(|s| s.id != cx.step.id);
    before.map(|s| Named { id: s.id.to_string(), title: one_line(&s.title, MAX_TITLE) }).collect()
}

fn renewed(cx: &Context) -> Option<Renewed> {
    (!cx.renewed.is_empty()).then(|| Renewed {
        commit: cx.done_in.map(|commit| one_line(commit, 40)),
        inputs: cx.renewed.iter().take(conflict::MAX_PATHS).map(|p| one_line(p, MAX_TITLE)).collect(),
        more_inputs: cx.renewed.len().saturating_sub(conflict::MAX_PATHS),
    })
}

fn previous(cx: &Context, failure: &Failure) -> Previous {
    Previous {
        class: failure.class.name(),
        why: words(failure.class).to_owned(),
        message: block(failure.message.trim()).chars().take(MAX_MESSAGE).collect(),
        paths: failure.paths.iter().take(conflict::MAX_PATHS).map(|p| one_line(p, MAX_TITLE)).collect(),
        more_paths: failure.paths.len().saturating_sub(conflict::MAX_PATHS),
        output: block(super::lines::end_of(failure.tail.trim(), MAX_TAIL)),
        log: cx.log.map(|path| one_line(path, MAX_LOG)),
        left: cx.left.map(work::left),
    }
}

fn words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Agent => "the agent or command itself failed",
        FailureClass::Timeout => "it took too long",
        FailureClass::Stall => "it went silent for too long",
        FailureClass::Verify => "a check did not pass on what it made",
        FailureClass::Empty => "it changed no file where a change was expected",
        FailureClass::Protected => "it changed files that this task must not touch",
        FailureClass::Scope => "it changed files outside of what this task may touch",
        FailureClass::Tampered => "it changed git's own files or settings",
        FailureClass::Hook => "the repository's commit hooks refused it",
        FailureClass::NestedRepository => "it left a git repository inside the worktree",
        FailureClass::Conflict => "what it made conflicts with work that landed meanwhile",
        FailureClass::Setup => "its worktree could not be set up",
        FailureClass::Prompt => "its prompt could not be made",
        FailureClass::ContextTooLong => "what it read and was told was more than its model can hold",
        FailureClass::CostLimit => "it cost as much as it may",
        FailureClass::TurnLimit => "it took as many turns as it may",
        FailureClass::External => "it was blocked by something outside, which a person has looked at since",
        FailureClass::Rejected => "a person looked at what it made and rejected it",
        FailureClass::Poison => "it was interrupted too often",
        FailureClass::Bug => "Drover itself failed",
    }
}

fn checked<'a>(task: &'a Spec, step: &StepSpec) -> Vec<&'a str> {
    let n = task.steps.iter().position(|s| s.id == step.id);
    n.map(|n| task.checks_after(n)).unwrap_or_default().into_iter().map(|c| c.run.as_str()).collect()
}
