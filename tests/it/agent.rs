//! Tests of the room `agent` from outside.

mod calls;
mod forms;
mod prompts;
pub mod real;
mod verdicts;

use std::time::Duration;

use drover::agent::Context;
use drover::base::{Digest, EpicId, TaskId};
use drover::model::{Action, AgentKind, AgentSpec, CommandLine, Prompts, Spec, StepSpec};

fn id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

fn claude() -> AgentSpec {
    AgentSpec::new("claude", AgentKind::ClaudeCode)
}

fn command(command: Option<CommandLine>) -> AgentSpec {
    AgentSpec { command, ..AgentSpec::new("gen", AgentKind::Command) }
}

fn argv(words: &[&str]) -> CommandLine {
    CommandLine::Argv(words.iter().map(|w| (*w).to_owned()).collect())
}

fn step(id_: &str, title: &str, action: Action) -> StepSpec {
    let (timeout, stall_timeout) = (Duration::from_secs(2700), Duration::from_secs(600));
    StepSpec { id: id(id_), title: title.into(), action, verify: Vec::new(), timeout, stall_timeout }
}

/// A task of one step with this prompt.
fn task(text: &str, agent: AgentSpec) -> Spec {
    Spec {
        title: "Login endpoint".into(),
        epic: Some(EpicId::parse("auth").unwrap()),
        digest: Digest::v1(b"x"),
        steps: vec![step("auth-api", "Login endpoint", Action::Prompt { text: text.into(), agent })],
        ..Spec::new(id("auth-api"))
    }
}

static PROMPTS: Prompts = Prompts { task: None, resume: None };

/// The first attempt at a step, with nothing before it.
fn context(task: &Spec, n: usize) -> Context<'_> {
    Context {
        task,
        step: &task.steps[n],
        guidelines: "",
        prompts: &PROMPTS,
        attempt: 1,
        worktree: "/wt/auth-api",
        resumes: false,
        port: Some(20_010),
        budget: Default::default(),
        session: None,
        renewed: &[],
        done_in: None,
        previous: None,
        left: None,
        log: None,
        conflict: None,
        landed: &[],
        hints: &[],
        restored: false,
    }
}
