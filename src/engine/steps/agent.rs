//! The agent's own step: started once under a shim, adopted after a crash, judged by what it
//! said and how it ended.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::listen::listening;
use super::outcome;
use super::told::told;
use super::{Ends, StepResult};
use crate::agent;
use crate::base::Oid;
use crate::base::trace::{Context, SpanId, TraceId};
use crate::core::{Answer, Exit, Failure, FailureClass, Outcome};
use crate::engine::effects::{Reading, World};
use crate::engine::machine::Work;
use crate::model::{Action, Policy, StepSpec, Workspace};
use crate::process::{self, Completion, Ended, Launch, Probe};
use crate::report::Activity;

/// How much of the output goes with a failure.
const TAIL_LINES: usize = 40;

pub fn run(world: &World, policy: &Policy, work: &Work, n: usize) -> StepResult {
    let step = work.spec.steps.get(n).ok_or_else(|| Ends::stale("agent"))?;
    let dir = world.attempt_dir(&work.attempt.aid).join(format!("agent-{n}"));
    if !world.attempt_dir(&work.attempt.aid).is_dir() {
        return forgotten(world, work, n, &dir);
    }
    tidy_up(world, work, n, &dir)?;
    let before = work.attempt.conversation.as_ref();
    let resumed = before.and_then(|c| Some((c, agent::goes_on(step, n, c)?)));
    let mut exit = None;
    if let Some((before, session)) = &resumed {
        let talk = Talk { n, session: session.clone(), resumes: true, dir: &dir };
        let mut ended = one(world, work, &dir, step, &launch(world, policy, work, step, &talk)?)?;
        ended.since(before.thread.as_ref().map(|t| t.used).unwrap_or_default());
        exit = Some(ended).filter(|e| !agent::knows_no_conversation(step, e));
    }
    let exit = match exit {
        Some(exit) => exit,
        None => {
            // A step's directory serves one run: an agent that had nothing to go on with has used it.
            let dir = if resumed.is_some() { dir.with_file_name(format!("agent-{n}-anew")) } else { dir };
            let talk = Talk { n, session: agent::session_id(&work.attempt.aid, n), resumes: false, dir: &dir };
            one(world, work, &dir, step, &launch(world, policy, work, step, &talk)?)?
        }
    };
    Ok(Answer::AgentEnded { n, exit })
}

/// The session of an agent.
struct Talk<'a> {
    /// The step that it is about.
    n: usize,
    /// Where the records of the step are.
    dir: &'a Path,
    session: String,
    /// It began in an earlier attempt.
    resumes: bool,
}

/// Runs the agent, or takes it over, and judges how it ended.
fn one(world: &World, work: &Work, dir: &Path, step: &StepSpec, launch: &Launch) -> Result<Exit, Ends> {
    let tell = |heard| world.tell(Activity { task: work.spec.id.clone(), heard });
    match listening(step, dir, launch.grace, tell, || world.running.run(dir, launch)) {
        None => Err(Ends::CutShort),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(Completion::Lost)) => Ok(judge(step, &Ended::Interrupted, dir)?),
        Some(Ok(Completion::Finished(record))) => {
            let mut exit = outcome::heard(judge(step, &record.ended, dir)?, dir, &launch.logs)?;
            exit.usage.millis = record.duration_ms;
            Ok(exit)
        }
    }
}

/// Somebody deleted the records of the attempt: whether the agent runs, ran or never began is not
/// known. It must not run beside another, so what there is ends, and its files are kept.
fn forgotten(world: &World, work: &Work, n: usize, dir: &Path) -> StepResult {
    process::sweep(work.attempt.aid.as_str());
    std::fs::create_dir_all(dir)?;
    super::prepare::note_base(world, work)?;
    Ok(Answer::AgentEnded { n, exit: Exit::of(Outcome::Interrupted) })
}

/// A sub-task begins with what the one before it left, and not with what the checks of that one
/// did to the files. The first of an attempt finds them as they were prepared.
fn tidy_up(world: &World, work: &Work, n: usize, dir: &Path) -> Result<(), Ends> {
    let follows = n.checked_sub(1).is_some_and(|before| dir.with_file_name(format!("agent-{before}")).exists());
    if !follows || work.spec.workspace == Workspace::Checkout || !matches!(process::probe(dir)?, Probe::Fresh) {
        return Ok(());
    }
    let last = work.attempt.snaps.last().ok_or_else(|| Ends::stale("agent"))?;
    super::verify::set_files(world, work, &last.tree)?;
    Ok(world.repo.stand_at(&world.worktree(&work.attempt.aid)?, &last.commit)?)
}

fn judge(step: &StepSpec, ended: &Ended, dir: &Path) -> io::Result<Exit> {
    let mut exit = agent::verdict(step, ended, process::output(dir)?, &process::stderr_tail(dir, TAIL_LINES));
    if let Outcome::Failed(failure) = &mut exit.outcome {
        failure.log = log_of(dir);
    }
    Ok(exit)
}

fn launch(world: &World, policy: &Policy, work: &Work, step: &StepSpec, talk: &Talk) -> Result<Launch, Ends> {
    let cwd = match work.spec.workspace {
        Workspace::Worktree => world.worktree(&work.attempt.aid)?.path(),
        Workspace::Checkout => world.repo.root().to_owned(),
    };
    let worktree = cwd.to_string_lossy().into_owned();
    let place = Place { worktree: &worktree, port: world.port(&work.attempt.aid), resumes: talk.resumes };
    let context = agent::Context { session: Some(talk.session.clone()), ..context(policy, work, step, &place) };
    let invocation = match &step.action {
        Action::Prompt { agent, .. } => {
            let prompt = to_be_sent(world.reading(), policy, work, step, &place).or_else(|failure| sent_before(talk.dir, failure))?;
            agent::invoke(agent, &prompt, &context).map_err(Ends::Broken)?
        }
        Action::Shell(line) => agent::shell(line, &context),
    };
    let mut env = super::verify::environment(world, work, &worktree, &invocation.env);
    env.extend(parent(world, work, talk.n).into_iter().flatten());
    env.insert(outcome::VARIABLE.to_owned(), outcome::place(talk.dir)?.to_string_lossy().into_owned());
    Ok(Launch {
        aid: work.attempt.aid.to_string(),
        argv: invocation.argv,
        cwd,
        stdin: Some(invocation.stdin),
        timeout: work.budget.millis.map_or(step.timeout, |left| step.timeout.min(Duration::from_millis(left))),
        stall_timeout: Some(step.stall_timeout),
        grace: policy.shutdown_grace,
        tethered: world.tethered,
        logs: super::logs::kept(policy, &env),
        env,
    })
}

/// By what an agent that is traced itself hangs its own spans below that of its step. What the state of
/// another trace says is none of it.
fn parent(world: &World, work: &Work, n: usize) -> Option<[(String, String); 2]> {
    let (trace, span) = (TraceId::of_attempt(&work.attempt.aid), SpanId::of_agent(&work.attempt.aid, n));
    let sampled = world.tracing?.takes(&trace);
    Some([("TRACEPARENT".into(), Context { trace, span, sampled }.header()), ("TRACESTATE".into(), String::new())])
}

/// Where a step is carried out.
pub struct Place<'a> {
    pub worktree: &'a str,
    pub port: Option<u16>,
    /// By an agent that goes on with its conversation.
    pub resumes: bool,
}

/// The prompt of a step, byte for byte.
pub fn to_be_sent(reading: Reading, policy: &Policy, work: &Work, step: &StepSpec, place: &Place) -> Result<String, Failure> {
    let told = told(reading, work);
    let context = context(policy, work, step, place);
    agent::prompt(&agent::Context {
        landed: &told.landed,
        conflict: told.conflict.as_ref(),
        left: told.left.as_ref(),
        log: told.log.as_deref(),
        ..context
    })
}

/// A command that was started has read its prompt: that it can no longer be made does no harm.
fn sent_before(dir: &Path, failure: Failure) -> Result<String, Ends> {
    match process::probe(dir)? {
        Probe::Fresh => Err(Ends::Broken(failure)),
        Probe::Running { .. } | Probe::Finished(_) | Probe::Lost => Ok(String::new()),
    }
}

/// What the agent room may know of a step, but for what is read from git.
pub fn context<'a>(policy: &'a Policy, work: &'a Work, step: &'a StepSpec, place: &Place<'a>) -> agent::Context<'a> {
    agent::Context {
        task: &work.spec,
        step,
        guidelines: &policy.guidelines,
        prompts: &policy.prompts,
        attempt: work.attempt.no,
        worktree: place.worktree,
        port: place.port,
        session: None,
        resumes: place.resumes,
        budget: work.budget,
        renewed: &work.renewed,
        done_in: work.done_in.as_ref().map(Oid::short),
        previous: work.previous.as_ref(),
        left: None,
        log: None,
        conflict: None,
        landed: &[],
        hints: &work.attempt.hints,
        restored: work.attempt.restore.is_some(),
    }
}

/// A failure that names where the output is kept.
pub fn with_output(class: FailureClass, message: String, dir: &Path) -> Failure {
    Failure { tail: process::tail(dir, TAIL_LINES), log: log_of(dir), ..Failure::new(class, message) }
}

/// The whole of what a step's command wrote, below the state directory.
fn log_of(dir: &Path) -> String {
    let name = |path: Option<&Path>| path.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("attempts/{}/{}/out.log", name(dir.parent()), name(Some(dir)))
}
