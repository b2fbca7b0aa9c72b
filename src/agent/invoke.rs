//! From a step to a command line. Runs nothing.

use std::collections::BTreeMap;

use super::builtin;
use super::conflict::Conflict;
use super::work::{Landed, Left};
use crate::base::{Aid, sha256_hex};
use crate::core::{Conversation, Failure, FailureClass};
use crate::model::{Action, AgentKind, AgentSpec, Budget, CommandLine, Prompts, Spec, StepSpec, subst};

/// What is known when a step starts.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    pub task: &'a Spec,
    /// One of the task's steps.
    pub step: &'a StepSpec,
    /// The project's, for every prompt.
    pub guidelines: &'a str,
    /// The project's own templates.
    pub prompts: &'a Prompts,
    /// Counts from 1.
    pub attempt: u32,
    /// An absolute path; the working directory of the step.
    pub worktree: &'a str,
    /// The first of the ports that are the attempt's.
    pub port: Option<u16>,
    /// The session it speaks in: chosen for it, see [`session_id`], or found to go on with, see [`goes_on`].
    pub session: Option<String>,
    /// What it may use.
    pub budget: Budget,
    /// The session is there already, and the agent is to go on with it.
    pub resumes: bool,
    /// The inputs that have changed since it was done, and the commit that it was done in.
    pub renewed: &'a [String],
    pub done_in: Option<&'a str>,
    /// Why the last attempt failed.
    pub previous: Option<&'a Failure>,
    /// What it left, and where the whole output is that shows why.
    pub left: Option<&'a Left>,
    pub log: Option<&'a str>,
    /// What it conflicted with, if that was why.
    pub conflict: Option<&'a Conflict>,
    /// What the task's dependencies landed.
    pub landed: &'a [Landed],
    /// What people have to say to it.
    pub hints: &'a [String],
    /// The files of an interrupted attempt are in place.
    pub restored: bool,
}

impl Context<'_> {
    /// The text with its `${{ … }}` names filled in. A task outside any epic has an empty `epic.id`.
    pub(super) fn fill(&self, text: &str) -> String {
        subst::fill(text, |name| match name {
            "task.id" => Some(self.step.id.to_string()),
            "epic.id" => Some(self.task.epic.as_ref().map(ToString::to_string).unwrap_or_default()),
            "worktree" => Some(self.worktree.to_owned()),
            "port" => self.port.map(|port| port.to_string()),
            _ => None,
        })
    }
}

/// A program to start in the worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Never empty. A program without a `/` is looked up in the `PATH` of the child.
    pub argv: Vec<String>,
    /// Written to standard input, which is closed after it.
    pub stdin: Vec<u8>,
    /// Set for the program unless the task's own `env` says otherwise: see `environment`.
    pub env: BTreeMap<String, String>,
}

/// How the agent is called. Fails when the agent's definition names no program, whatever the task.
pub fn invoke(agent: &AgentSpec, prompt: &str, cx: &Context) -> Result<Invocation, Failure> {
    let known = builtin::of(agent.kind);
    let mut argv = match (&known.program, &agent.command) {
        (Some(program), _) => vec![program.clone()],
        (None, Some(CommandLine::Argv(argv))) if !argv.is_empty() => filled(argv, cx),
        (None, Some(CommandLine::Shell(line))) => shell(line, cx).argv,
        (None, _) => return Err(no_command(agent)),
    };
    argv.extend(known.args.iter().cloned());
    argv.extend(with(&known.model, agent.model.as_deref()));
    argv.extend(with(&known.fallback_model, agent.fallback_model.as_deref()));
    // Nothing is begun with nothing left, so the least that can be said is more than that.
    let dollars = cx.budget.cost_microusd.map(|c| format!("{:.4}", c.max(100) as f64 / 1e6));
    argv.extend(with(&known.max_cost, dollars.as_deref()));
    let turns = cx.budget.turns.map(|n| n.max(1).to_string());
    argv.extend(with(&known.max_turns, turns.as_deref()));
    argv.extend(filled(&agent.args, cx));
    // The last, as with some agents it is a command of its own.
    argv.extend(with(if cx.resumes { &known.resume } else { &known.session }, cx.session.as_deref()));
    Ok(Invocation { argv, stdin: prompt.as_bytes().to_vec(), env: known.env.clone() })
}

/// How a shell line is called: the task's `run`, a check, a line of the worktree's setup. Names are
/// filled in as they are, so a line puts `"${{ worktree }}"` between quotes.
pub fn shell(line: &str, cx: &Context) -> Invocation {
    let argv = ["sh", "-c", &cx.fill(line)].map(str::to_owned).to_vec();
    Invocation { argv, stdin: Vec::new(), env: BTreeMap::new() }
}

/// The session in which the step's agent can go on with a conversation that was cut short, if it can:
/// under the id that was chosen for it, or the one that the agent chose itself.
pub fn goes_on(step: &StepSpec, n: usize, before: &Conversation) -> Option<String> {
    let Action::Prompt { agent, .. } = &step.action else { return None };
    let known = builtin::of(agent.kind);
    let session = match known.names_conversations() {
        true => Some(session_id(&before.aid, n)),
        false => before.thread.as_ref().map(|t| t.id.clone()),
    };
    session.filter(|_| before.n == n && !known.resume.is_empty())
}

/// The id of the session that step `n` of an attempt speaks in: a UUID that is known before the
/// agent starts and, as an attempt's id is never used again, is never in use already.
pub fn session_id(aid: &Aid, n: usize) -> String {
    let hex = sha256_hex(format!("drover session {aid} {n}").as_bytes());
    // Version 8 (made by a rule of one's own), variant 10.
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

fn filled(argv: &[String], cx: &Context) -> Vec<String> {
    argv.iter().map(|a| cx.fill(a)).collect()
}

fn with<'a>(template: &'a [String], value: Option<&'a str>) -> impl Iterator<Item = String> + 'a {
    value.into_iter().flat_map(move |v| template.iter().map(move |t| t.replace("{}", v)))
}

fn no_command(agent: &AgentSpec) -> Failure {
    let (name, kind) = (&agent.name, AgentKind::Command.name());
    let message = format!("agent `{name}` of kind `{kind}` says no command; give [agents.{name}] a `command` or `shell` in drover.toml");
    Failure::new(FailureClass::Setup, message)
}
