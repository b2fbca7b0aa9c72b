//! One attempt, step by step. Each effect looks before it acts, so that it may be started
//! again after a crash at any instant; none decides what comes next.

mod agent;
mod commit;
mod land;
mod line;
mod prepare;
mod sync;
mod verify;

pub use prepare::clear_orphans;

use super::effects::World;
use super::machine::{Job, Work};
use crate::core::{Answer, Command, Failure, FailureClass, Input};
use crate::git::GitError;

/// How a step can end other than well.
pub enum Ends {
    /// The attempt cannot succeed.
    Broken(Failure),
    /// Not the task's fault: later, again.
    Trouble(String),
    /// Processes are being ended; the step is done again at the next start.
    CutShort,
}

impl From<GitError> for Ends {
    fn from(error: GitError) -> Self {
        Ends::Trouble(error.to_string())
    }
}

impl From<std::io::Error> for Ends {
    fn from(error: std::io::Error) -> Self {
        Ends::Trouble(error.to_string())
    }
}

impl Ends {
    /// The job does not fit the attempt that it came with.
    fn stale(what: &str) -> Self {
        Ends::Broken(Failure::new(FailureClass::Bug, format!("Drover has a bug: a step was started out of turn ({what})")))
    }
}

pub type StepResult = Result<Answer, Ends>;

/// Carries out one command and says what it came to.
pub fn perform(world: &World, job: &Job) -> Vec<Input> {
    match (&job.command, &job.work) {
        (Command::SyncLine, _) => line::sync(world, job.line.as_ref()),
        (Command::Publish, _) => line::publish(world, &job.policy, job.line.as_ref()),
        (Command::Clean { aid }, _) => vec![prepare::clean(world, aid)],
        (Command::WakeAt { .. }, _) => vec![Input::Tick],
        (_, None) => Vec::new(),
        (command, Some(work)) => {
            // What others have committed on the target is merged with, as far as the line can follow.
            let seen = matches!(command, Command::Merge { .. }).then(|| line::look(world, job.line.as_ref()));
            let result = step(world, job, command, work);
            let answer = result.unwrap_or_else(|ends| match ends {
                Ends::Broken(failure) => Answer::Broken { failure },
                Ends::Trouble(why) => Answer::Trouble { why },
                Ends::CutShort => Answer::CutShort,
            });
            let answer = Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer };
            // Where it could not be looked at, publishing says so.
            seen.into_iter().flatten().chain([answer]).collect()
        }
    }
}

fn step(world: &World, job: &Job, command: &Command, work: &Work) -> StepResult {
    match command {
        Command::Prepare { .. } => prepare::prepare(world, &job.policy, work),
        Command::Agent { n, .. } => agent::run(world, &job.policy, work, *n),
        Command::Snapshot { n, .. } => commit::snapshot(world, work, *n),
        Command::Check { tree, check, .. } => verify::check(world, &job.policy, work, tree, check),
        Command::Commit { .. } => commit::commit(world, work),
        Command::Merge { .. } => land::merge(world, work),
        Command::Land { .. } => land::land(world, work),
        Command::SyncLine | Command::Publish | Command::Clean { .. } | Command::WakeAt { .. } => Err(Ends::stale("no step of an attempt")),
    }
}
