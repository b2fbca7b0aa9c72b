//! The loop: one thread owns the state, a second one the store.
//!
//! Inputs are taken as a batch, decided on, and committed in one transaction; while that is
//! being made durable new inputs gather, so group commit falls out of it. Only when the store
//! has answered does the world hear of anything: reporters are told and effects started. So
//! the state in memory never runs ahead of the disk by more than the batch under way, and
//! what is started follows from what is durable.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::machine::{Done, Job, Machine};
use crate::base::{Aid, Millis, Oid, RunId};
use crate::control::{self, Ask, Asked, Reply};
use crate::core::{Command, Fact, Flow, Heed, Input, Limits, State, Wish};
use crate::fault;
use crate::report::{Activity, Reporter};
use crate::store::{Batch, Store, StoreError, batch};

/// Everything that reaches the driver.
#[derive(Debug)]
pub enum Message {
    /// An effect is through.
    Done(Done),
    /// A person or the environment wants something of this run.
    Signal(Input),
    /// A verb beside this run wants something, and an answer.
    Asked(Asked),
    /// The files, or where git stands, may say something new.
    News(News),
    /// What an agent is doing.
    Activity(Activity),
    /// A second has passed: for those who show how long things take.
    Tick,
    /// The store has answered for the batch under way.
    Committed(Result<(), StoreError>),
}

/// A question to be put to the state as it is when its turn comes.
pub struct News(pub Question);

/// Is told besides whether a run is under way.
pub type Question = Box<dyn FnOnce(&State, bool) -> Answered + Send>;

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}

/// What news come to.
#[derive(Debug, Default)]
pub struct Answered {
    pub inputs: Vec<Input>,
    /// There is something to do: where no run is under way, one is begun.
    pub begin: bool,
    /// For those who asked for it, once it is durable.
    pub replies: Vec<(Asked, Reply)>,
}

/// How a session stays when nothing is left to do, and begins a run again later.
pub struct Stay {
    pub new_run: fn() -> RunId,
    /// What each run does otherwise than the policy says.
    pub limits: Limits,
    /// Whoever reads the files is handed what is said of them.
    pub files: Box<dyn Fn(Asked)>,
}

/// Carries out commands. An implementation sends exactly one `Message::Done` for each job.
pub trait Effects {
    fn start(&mut self, job: Job);
    /// Ends the processes that are under way; their effects answer as usual, soon.
    fn interrupt(&mut self);
    /// Ends what is under way of this attempt, and what may still be begun of it; answers as usual.
    fn end(&mut self, aid: &Aid);
    /// Whether the state directory is still the one that this process holds the lock of.
    fn still_ours(&self) -> bool;
    /// Whether the repository is still there.
    fn is_there(&self) -> bool;
    /// The checkout, if it is not where it was.
    fn away(&self) -> Option<PathBuf>;
    /// What there is to be told when nothing is under way any more.
    fn last_look(&self) -> Input;
    /// Where the line is, and with it what others have put on the target.
    fn look_at_line(&self, known: Option<&Oid>) -> Option<Input>;
    /// Nothing is under way until `wake`: nothing is to be looked at, and the repository is its
    /// owner's own, if nothing was found that is `stopped` for.
    fn rest(&mut self, stopped: bool);
    /// A run begins after a rest. Otherwise says what keeps it from that, in words.
    fn wake(&mut self) -> Result<(), Vec<String>>;
}

/// Why the driver stopped before the run was over.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error(
        "the store could not be written: {0}\n  Nothing that was reported is lost, and what agents had under way is taken up again. Mend the cause and run `drover resume`."
    )]
    Store(StoreError),
    #[error("the runtime for effects could not be started: {0}")]
    Runtime(std::io::Error),
    #[error(
        "the state directory was replaced or deleted while Drover was running; nothing more is written to it.\n  Run `drover apply` again to go on from what has landed."
    )]
    NotOurs,
    #[error(
        "the repository's objects were deleted while Drover was running; nothing more is written.\n  The worktrees of attempts stay as they are. Bring the objects back, from a clone or a backup, and run `drover resume`."
    )]
    Gone,
    #[error(
        "{} is not there any more: it was moved or deleted while Drover was at work in it; nothing more is written.\n  If it was moved, start Drover where it is now: what was under way is taken up there. If it was deleted, a clone has all that was published.",
        crate::base::text::one_line(&.0.display().to_string(), 300)
    )]
    Away(PathBuf),
}

pub struct Driver<'a> {
    pub machine: Machine,
    pub target: String,
    pub inbox: Receiver<Message>,
    pub outbox: Sender<Message>,
    pub effects: &'a mut dyn Effects,
    pub reporter: &'a mut dyn Reporter,
    /// Nothing: it ends with its run.
    pub stay: Option<Stay>,
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Driver<'_> {
    /// Runs until nothing is left to do, or until it is told to leave off. The state as it
    /// then stands is durable.
    pub fn run(mut self, mut store: Box<dyn Store>, first: Vec<Input>) -> Result<State, Stopped> {
        let (batches, committer_inbox) = channel::<Batch>();
        let outbox = self.outbox.clone();
        let target = self.target.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for batch in committer_inbox {
                    let result = fault::around("store.commit", || store.commit(&target, &batch));
                    if outbox.send(Message::Committed(result)).is_err() {
                        return;
                    }
                }
            });
            self.turn(&batches, first.into_iter().map(Message::Signal).collect())?;
            loop {
                self.work(&batches)?;
                if self.machine.state.is_through() {
                    self.turn(&batches, vec![Message::Signal(Input::RunEnds)])?;
                }
                if self.stay.is_none() || self.machine.state.flow != Flow::Running {
                    break;
                }
                self.rest(&batches)?;
            }
            drop(batches);
            Ok(self.machine.state)
        })
    }

    /// Until nothing is left of the run that is under way, if one is.
    fn work(&mut self, batches: &Sender<Batch>) -> Result<(), Stopped> {
        while self.is_at_work() {
            while !self.is_over() {
                let messages = self.gather();
                self.turn(batches, messages)?;
            }
            let last = self.effects.last_look();
            self.turn(batches, vec![Message::Signal(last)])?;
            // What was found may be gone again, and there is more to do.
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Until a run is under way again, or the session is to end.
    fn rest(&mut self, batches: &Sender<Batch>) -> Result<(), Stopped> {
        self.effects.rest(self.machine.state.is_landing_stopped());
        while !self.is_at_work() && self.machine.state.flow == Flow::Running {
            let messages = self.gather();
            self.turn(batches, messages)?;
        }
        Ok(())
    }

    fn is_at_work(&self) -> bool {
        self.machine.state.head.run.as_ref().is_some_and(|r| !r.ended)
    }

    /// What begins a run where the session rests.
    fn begin(&mut self) -> Vec<Input> {
        let Some(stay) = self.stay.as_ref().filter(|_| !self.is_at_work()) else { return Vec::new() };
        let mut inputs = vec![Input::Again { run: (stay.new_run)() }];
        if stay.limits != Limits::default() {
            inputs.push(Input::Limit(stay.limits));
        }
        if let Err(found) = self.effects.wake() {
            inputs = vec![Input::GitChanges { found }];
        }
        inputs
    }

    fn hear(&mut self, at: Millis, news: News, replies: &mut Vec<(Asked, Reply)>) -> Result<Vec<Fact>, Stopped> {
        self.is_ours()?;
        let Answered { mut inputs, begin, replies: more } = (news.0)(&self.machine.state, self.is_at_work());
        replies.extend(more);
        if begin && self.is_at_work() {
            // What is begun for these news is begun on what came with them.
            inputs.splice(0..0, self.effects.look_at_line(self.machine.state.head.line.tip.as_ref()));
        } else if begin {
            inputs.extend(self.begin());
        }
        Ok(self.machine.inputs(at, &inputs))
    }

    /// One batch: decide, commit, tell, start.
    fn turn(&mut self, batches: &Sender<Batch>, messages: Vec<Message>) -> Result<(), Stopped> {
        let at = now();
        let mut facts = Vec::new();
        let mut interrupted = false;
        let mut replies = Vec::new();
        for message in messages {
            match message {
                Message::Done(done) => facts.extend(self.machine.done(at, done)),
                Message::Signal(input) => {
                    interrupted |= matches!(input, Input::Interrupt);
                    facts.extend(self.machine.input(at, &input));
                }
                Message::Asked(asked) if self.is_of_files(&asked.request) => {
                    if let Some(stay) = &self.stay {
                        (stay.files)(asked);
                    }
                }
                Message::Asked(asked) => {
                    let (decided, answer) = self.decide_on(at, &asked.request);
                    if !decided.is_empty() {
                        facts.extend(decided);
                        let begin = self.begin();
                        facts.extend(self.machine.inputs(at, &begin));
                    }
                    replies.push((asked, answer));
                }
                Message::News(news) => facts.extend(self.hear(at, news, &mut replies)?),
                Message::Activity(activity) => self.reporter.activity(&self.machine.state, at, &activity),
                Message::Tick => self.reporter.tick(&self.machine.state, at),
                Message::Committed(_) => {}
            }
        }
        if !facts.is_empty() {
            self.commit(batches, at, facts)?;
        }
        // Only now: what a person is told is done must stay done. One that hung up asks again.
        replies.into_iter().for_each(|(asked, answer)| asked.answer(answer));
        fault::point("turn.told");
        if interrupted {
            self.effects.interrupt();
        }
        let jobs = self.machine.due();
        self.machine.unwanted().iter().for_each(|aid| self.effects.end(aid));
        jobs.into_iter().for_each(|job| self.effects.start(job));
        fault::point("turn.begun");
        Ok(())
    }

    /// Whether somebody else has to look at it first.
    fn is_of_files(&self, request: &control::Request) -> bool {
        matches!(request.act, Ask::Files { .. }) && request.target == self.target && self.stay.is_some()
    }

    fn decide_on(&mut self, at: Millis, request: &control::Request) -> (Vec<Fact>, Reply) {
        if request.target != self.target {
            let why = format!("the Drover that is at work here lands on `{}`, and `{}` is meant", self.target, request.target);
            return (Vec::new(), Reply::Busy { why });
        }
        let (facts, reply) = control::carry_out(&mut self.machine.state, at, request, true);
        if let (Ask::Whole { wish: Wish::Workers { workers } }, Reply::Whole { heed: Heed::Done(_), .. }, Some(stay)) =
            (&request.act, &reply, &mut self.stay)
        {
            stay.limits.workers = Some(*workers);
        }
        (facts, reply)
    }

    /// Whether what is to be written to is still what this process holds the lock of.
    fn is_ours(&self) -> Result<(), Stopped> {
        let (ours, there) = (self.effects.still_ours(), self.effects.is_there());
        match (ours && there, self.effects.away()) {
            (true, _) => Ok(()),
            (false, Some(root)) => Err(Stopped::Away(root)),
            (false, None) if !ours => Err(Stopped::NotOurs),
            (false, None) => Err(Stopped::Gone),
        }
    }

    fn commit(&mut self, batches: &Sender<Batch>, at: Millis, facts: Vec<Fact>) -> Result<(), Stopped> {
        self.is_ours()?;
        let first = self.machine.state.head.seq + 1 - facts.len() as u64;
        let batch = batch(&self.machine.state, at, facts.clone());
        // A committer that is gone has panicked; its answer would never come.
        if batches.send(batch).is_err() {
            return Err(Stopped::Store(gone()));
        }
        self.await_commit()?;
        for (seq, fact) in (first..).zip(&facts) {
            self.reporter.fact(&self.machine.state, seq, at, fact);
        }
        Ok(())
    }

    /// Waits for the store's answer; what else arrives meanwhile is put back in order.
    fn await_commit(&mut self) -> Result<(), Stopped> {
        let mut early = Vec::new();
        let result = loop {
            match self.inbox.recv() {
                Ok(Message::Committed(result)) => break result,
                Ok(other) => early.push(other),
                Err(_) => break Err(gone()),
            }
        };
        for message in early {
            // Sending to ourselves cannot fail while the inbox is held.
            let _ = self.outbox.send(message);
        }
        result.map_err(Stopped::Store)
    }

    /// Blocks for one message, then takes what else is there: the batch.
    fn gather(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.inbox.recv_timeout(Duration::from_secs(3600)) {
                Ok(message) => messages.push(message),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return messages,
            }
            messages.extend(self.inbox.try_iter());
            return messages;
        }
    }

    /// The run is over when nothing is owed; an interrupted one when nothing is under way.
    fn is_over(&self) -> bool {
        let busy = self.machine.busy().any(|c| !matches!(c, Command::WakeAt { .. }));
        match self.machine.state.flow {
            Flow::Interrupting => !busy,
            Flow::Running | Flow::Draining => !busy && self.machine.state.is_finished(),
        }
    }
}

/// The committer's thread is gone: it has panicked.
fn gone() -> StoreError {
    StoreError::Dead { why: "the thread that writes it is gone".into() }
}
