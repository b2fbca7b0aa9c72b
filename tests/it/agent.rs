//! Tests of the room `agent` from outside.

mod calls;
mod prompts;
pub mod real;
mod verdicts;

use std::collections::BTreeMap;
use std::time::Duration;

use drover::agent::Context;
use drover::base::{Digest, EpicId, TaskId};
use drover::model::{Action, AgentKind, AgentSpec, CommandLine, Retry, Spec, StepSpec};
use drover::model::{OnChange, OnDependency, Source, Workspace};

fn id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

fn claude() -> AgentSpec {
    AgentSpec { name: "claude".into(), kind: AgentKind::ClaudeCode, model: None, args: Vec::new(), command: None }
}

fn command(command: Option<CommandLine>) -> AgentSpec {
    AgentSpec { name: "gen".into(), kind: AgentKind::Command, model: None, args: Vec::new(), command }
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
        id: id("auth-api"),
        title: "Login endpoint".into(),
        epic: Some(EpicId::parse("auth").unwrap()),
        digest: Digest::v1(b"x"),
        depends_on: Vec::new(),
        priority: 0,
        labels: Vec::new(),
        groups: Vec::new(),
        steps: vec![step("auth-api", "Login endpoint", Action::Prompt { text: text.into(), agent })],
        verify: Vec::new(),
        retry: Retry::default(),
        on_change: OnChange::Rerun,
        on_dependency: OnDependency::Keep,
        allow_empty: false,
        protect: Vec::new(),
        workspace: Workspace::Worktree,
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        source: Source::default(),
    }
}

/// The first attempt at a step, with nothing before it.
fn context(task: &Spec, n: usize) -> Context<'_> {
    Context {
        task,
        step: &task.steps[n],
        guidelines: "",
        attempt: 1,
        worktree: "/wt/auth-api",
        session: None,
        previous: None,
        landed: Vec::new(),
        restored: false,
    }
}
