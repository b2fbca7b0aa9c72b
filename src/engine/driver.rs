//! The loop: one thread owns the state, a second one the store.
//!
//! Inputs are taken as a batch, decided on, and committed in one transaction; while that is
//! being made durable new inputs gather, so group commit falls out of it. Only when the store
//! has answered does the world hear of anything: reporters are told and effects started. So
//! the state in memory never runs ahead of the disk by more than the batch under way, and
//! what is started follows from what is durable.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::machine::{Done, Job, Machine};
use crate::base::Millis;
use crate::core::{Command, Fact, Flow, Input, State};
use crate::report::Reporter;
use crate::store::{Batch, Store, StoreError, batch};

/// Everything that reaches the driver.
#[derive(Debug)]
pub enum Message {
    /// An effect is through.
    Done(Done),
    /// A person or the environment wants something of this run.
    Signal(Input),
    /// The store has answered for the batch under way.
    Committed(Result<(), StoreError>),
}

/// Carries out commands. An implementation sends exactly one `Message::Done` for each job.
pub trait Effects {
    fn start(&mut self, job: Job);
    /// Ends the processes that are under way; their effects answer as usual, soon.
    fn interrupt(&mut self);
    /// Whether the state directory is still the one that this process holds the lock of.
    fn still_ours(&self) -> bool;
}

/// Why the driver stopped before the run was over.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error(
        "the store could not be written: {0}\n  Running agents go on under their shims; nothing that was reported is lost. Mend the cause and run `drover resume`."
    )]
    Store(StoreError),
    #[error("the runtime for effects could not be started: {0}")]
    Runtime(std::io::Error),
    #[error(
        "the state directory was replaced or deleted while Drover was running; nothing more is written to it.\n  Run `drover apply` again to go on from what has landed."
    )]
    NotOurs,
}

pub struct Driver<'a> {
    pub machine: Machine,
    pub target: String,
    pub inbox: Receiver<Message>,
    pub outbox: Sender<Message>,
    pub effects: &'a mut dyn Effects,
    pub reporter: &'a mut dyn Reporter,
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
                    let result = store.commit(&target, &batch);
                    if outbox.send(Message::Committed(result)).is_err() {
                        return;
                    }
                }
            });
            self.turn(&batches, first.into_iter().map(Message::Signal).collect())?;
            while !self.is_over() {
                let messages = self.gather();
                self.turn(&batches, messages)?;
            }
            if self.machine.state.flow == Flow::Running {
                self.turn(&batches, vec![Message::Signal(Input::RunEnds)])?;
            }
            drop(batches);
            Ok(self.machine.state)
        })
    }

    /// One batch: decide, commit, tell, start.
    fn turn(&mut self, batches: &Sender<Batch>, messages: Vec<Message>) -> Result<(), Stopped> {
        let at = now();
        let mut facts = Vec::new();
        let mut interrupted = false;
        for message in messages {
            match message {
                Message::Done(done) => facts.extend(self.machine.done(at, done)),
                Message::Signal(input) => {
                    interrupted |= matches!(input, Input::Interrupt);
                    facts.extend(self.machine.input(at, &input));
                }
                Message::Committed(_) => {}
            }
        }
        if !facts.is_empty() {
            self.commit(batches, at, facts)?;
        }
        if interrupted {
            self.effects.interrupt();
        }
        for job in self.machine.due() {
            self.effects.start(job);
        }
        Ok(())
    }

    fn commit(&mut self, batches: &Sender<Batch>, at: Millis, facts: Vec<Fact>) -> Result<(), Stopped> {
        if !self.effects.still_ours() {
            return Err(Stopped::NotOurs);
        }
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
