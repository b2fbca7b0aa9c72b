//! One attempt, step by step. Each effect looks before it acts, so that it may be started
//! again after a crash at any instant; none decides what comes next.

mod agent;
mod commit;
mod hooks;
mod land;
mod line;
mod listen;
mod logs;
mod outcome;
mod prepare;
mod push;
mod salvage;
mod scope;
mod slot;
mod sync;
mod told;
mod verify;
mod withdraw;

pub use agent::{Place, to_be_sent};
pub use line::look;
pub use logs::kept as secrets;
pub use slot::clear_orphans;

use super::effects::World;
use super::machine::{Job, Work};
use crate::core::{Answer, Command, Failure, FailureClass, Input};
use crate::fault;
use crate::git::GitError;

/// How a step can end other than well.
pub enum Ends {
    /// The attempt cannot succeed.
    Broken(Failure),
    /// Not the task's fault: later, again.
    Trouble(String),
    /// Not the task's fault either; git will not do it as things are.
    Refused(String),
    /// Nor will it, until a person has mended the repository.
    Lasting(String),
    /// Processes are being ended; the step is done again at the next start.
    CutShort,
    /// Git would run or obey what nobody accepted: a person has to look.
    Unaccepted(Vec<String>),
}

impl From<GitError> for Ends {
    fn from(error: GitError) -> Self {
        match error.is_trouble() {
            true => Ends::Trouble(error.to_string()),
            false if error.is_lasting() => Ends::Lasting(error.to_string()),
            false => Ends::Refused(error.to_string()),
        }
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

/// Nothing moves the line or the target while git would run what nobody accepted: to be asked
/// right before.
fn refuse_changes(world: &World) -> Result<(), Ends> {
    match world.repo.unaccepted() {
        found if found.is_empty() => Ok(()),
        found => Err(Ends::Unaccepted(found)),
    }
}

/// Carries out one command and says what it came to.
pub fn perform(world: &World, job: &Job) -> Vec<Input> {
    match (&job.command, &job.work) {
        (Command::SyncLine, _) => fault::around("line", || line::sync(world, job)),
        (Command::Publish, _) => fault::around("publish", || line::publish(world, job)),
        (Command::Push, _) => fault::around("push", || push::push(world, job)),
        (Command::Clean { aid }, _) => {
            line::notice(world, None);
            fault::around("clean", || vec![slot::clean(world, &job.policy.worktree, aid)])
        }
        (Command::WakeAt { .. }, _) => vec![Input::Tick],
        (_, None) => Vec::new(),
        (command, Some(work)) => {
            // What others have committed on the target is merged with, as far as the line can follow.
            let mut seen = matches!(command, Command::Merge { .. }).then(|| line::look(world, job.line.as_ref()));
            let shared = match command {
                Command::Land { .. } => push::before_landing(world, job, work),
                Command::Withdraw { .. } => push::before_the_end(world, job, work),
                _ => Vec::new(),
            };
            if matches!(command, Command::Snapshot { .. }) {
                line::notice(world, Some(&work.spec.id));
            }
            let result = step(world, job, command, work);
            let answer = match result {
                Ok(answer) => answer,
                Err(Ends::Broken(failure)) => Answer::Broken { failure },
                Err(Ends::Trouble(why) | Ends::Refused(why)) => Answer::Trouble { why },
                Err(Ends::Lasting(why)) => Answer::Broken { failure: lasting(&why, work) },
                Err(Ends::CutShort) => Answer::CutShort,
                // The step is not owed again until it is gone.
                Err(Ends::Unaccepted(found)) => return vec![Input::GitChanges { found }],
            };
            // Said before the answer, so that nothing is granted the lane in between.
            let changes = Input::GitChanges { found: world.repo.unaccepted() };
            if matches!(answer, Answer::Outdated) {
                seen = Some(line::look(world, job.line.as_ref()));
            }
            let answer = Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer: Box::new(answer) };
            // Where it could not be looked at, publishing says so.
            seen.into_iter().flatten().chain(shared).chain([changes, answer]).collect()
        }
    }
}

/// Neither waiting nor another attempt would come to anything else.
fn lasting(why: &str, work: &Work) -> Failure {
    // Which command it was matters less than what git said, and is longer.
    let said = why.split_once("failed, exit code ").and_then(|(_, rest)| rest.split_once(": ")).map_or(why, |(_, said)| said);
    let id = &work.spec.id;
    let message = format!("git cannot go on, and waiting does not mend that: {said}\nMend it, then run `drover apply --rerun {id}`");
    Failure::new(FailureClass::Poison, message)
}

fn step(world: &World, job: &Job, command: &Command, work: &Work) -> StepResult {
    match command {
        Command::Prepare { .. } => fault::around("prepare", || prepare::prepare(world, &job.policy, work)),
        Command::Agent { n, .. } => fault::around("agent", || agent::run(world, &job.policy, work, *n)),
        Command::Snapshot { n, .. } => fault::around("snapshot", || commit::snapshot(world, work, *n)),
        Command::Check { tree, check, nth, .. } => fault::around("check", || verify::check(world, &job.policy, work, tree, check, *nth)),
        Command::Compare { commit, check, .. } => fault::around("compare", || verify::compare(world, &job.policy, work, commit, check)),
        Command::Commit { .. } => fault::around("commit", || commit::commit(world, &job.policy, work)),
        Command::Merge { .. } => fault::around("merge", || land::merge(world, &job.policy, work)),
        Command::Land { .. } => fault::around("land", || land::land(world, work)),
        Command::Withdraw { .. } => fault::around("withdraw", || withdraw::withdraw(world, &job.policy, work)),
        Command::SyncLine | Command::Publish | Command::Push | Command::Clean { .. } | Command::WakeAt { .. } => {
            Err(Ends::stale("no step of an attempt"))
        }
    }
}
