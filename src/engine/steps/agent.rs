//! The agent's own step: started once under a shim, adopted after a crash, judged by what it
//! said and how it ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{Ends, StepResult};
use crate::agent;
use crate::core::{Answer, Exit, Failure, FailureClass, Outcome};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::model::{Action, Policy, StepSpec, Workspace};
use crate::process::{self, Completion, Ended, Launch, Probe};

/// How much of the output goes with a failure.
const TAIL_LINES: usize = 40;

pub fn run(world: &World, policy: &Policy, work: &Work, n: usize) -> StepResult {
    let step = work.spec.steps.get(n).ok_or_else(|| Ends::stale("agent"))?;
    let dir = world.attempt_dir(&work.attempt.aid).join(format!("agent-{n}"));
    let launch = launch(world, policy, work, n, step)?;
    if !world.attempt_dir(&work.attempt.aid).is_dir() {
        return forgotten(world, work, n, &dir);
    }
    tidy_up(world, work, n, &dir)?;
    let exit = match world.running.run(&dir, &launch) {
        None => return Err(Ends::CutShort),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(Completion::Lost)) => Exit { outcome: Outcome::Interrupted, summary: String::new() },
        Some(Ok(Completion::Finished(record))) => judge(step, &record.ended, &dir)?,
    };
    Ok(Answer::AgentEnded { n, exit })
}

/// Somebody deleted the records of the attempt: whether the agent runs, ran or never began is not
/// known. It must not run beside another, so what there is ends, and its files are kept.
fn forgotten(world: &World, work: &Work, n: usize, dir: &Path) -> StepResult {
    process::sweep(work.attempt.aid.as_str());
    std::fs::create_dir_all(dir)?;
    super::prepare::note_base(world, work)?;
    Ok(Answer::AgentEnded { n, exit: Exit { outcome: Outcome::Interrupted, summary: String::new() } })
}

/// A sub-task begins with what the one before it left, and not with what the checks of that one
/// did to the files. The first of an attempt finds them as they were prepared.
fn tidy_up(world: &World, work: &Work, n: usize, dir: &Path) -> Result<(), Ends> {
    let follows = n.checked_sub(1).is_some_and(|before| dir.with_file_name(format!("agent-{before}")).exists());
    if !follows || work.spec.workspace == Workspace::Checkout || !matches!(process::probe(dir)?, Probe::Fresh) {
        return Ok(());
    }
    let last = work.attempt.snaps.last().ok_or_else(|| Ends::stale("agent"))?;
    super::verify::set_files(world, work, &last.tree)
}

fn judge(step: &StepSpec, ended: &Ended, dir: &Path) -> io::Result<Exit> {
    let out = match File::open(process::out_log(dir)) {
        Ok(file) => Box::new(BufReader::new(file)) as Box<dyn BufRead>,
        // A command that was never started has no output.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        Err(e) => return Err(e),
    };
    Ok(agent::verdict(step, ended, out, &process::stderr_tail(dir, TAIL_LINES)))
}

fn launch(world: &World, policy: &Policy, work: &Work, n: usize, step: &StepSpec) -> Result<Launch, Ends> {
    let cwd = match work.spec.workspace {
        Workspace::Worktree => world.worktree(&work.attempt.aid)?.path(),
        Workspace::Checkout => world.repo.root().to_owned(),
    };
    let worktree = cwd.to_string_lossy().into_owned();
    let context = context(policy, work, step, &worktree, Some(agent::session_id(&work.attempt.aid, n)));
    let invocation = match &step.action {
        Action::Prompt { agent, .. } => agent::invoke(agent, &agent::prompt(&context), &context).map_err(Ends::Broken)?,
        Action::Shell(line) => agent::shell(line, &context),
    };
    Ok(Launch {
        aid: work.attempt.aid.to_string(),
        argv: invocation.argv,
        env: super::verify::environment(world, work, &worktree, &invocation.env),
        cwd,
        stdin: Some(invocation.stdin),
        timeout: step.timeout,
        stall_timeout: Some(step.stall_timeout),
        grace: policy.shutdown_grace,
    })
}

/// What the agent room may know of a step.
pub fn context<'a>(
    policy: &'a Policy,
    work: &'a Work,
    step: &'a StepSpec,
    worktree: &'a str,
    session: Option<String>,
) -> agent::Context<'a> {
    agent::Context {
        task: &work.spec,
        step,
        guidelines: &policy.guidelines,
        attempt: work.attempt.no,
        worktree,
        session,
        previous: work.previous.as_ref(),
        landed: work.landed.iter().map(|(id, l)| (id.clone(), l.title.clone())).collect(),
        restored: work.attempt.restore.is_some(),
    }
}

/// A failure that names where the output is kept.
pub fn with_output(class: FailureClass, message: String, dir: &Path) -> Failure {
    Failure { class, message, tail: process::tail(dir, TAIL_LINES) }
}
