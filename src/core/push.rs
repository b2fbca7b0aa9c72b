//! The line and the world outside: the remote that shares it, what others landed there, and
//! when a publishing or a push that did not go is tried again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::Decider;
use super::fact::{Fact, Recalled};
use super::state::{Due, State, Task};
use crate::base::{Aid, Digest, Oid, TaskId};
use crate::model::{OnChange, Strategy};

/// So often a push that failed for a passing reason is tried in a row.
const PUSHES: u32 = 4;
/// So often the same is done for publishing while nothing else is under way.
const PUBLISHES: u32 = 5;
/// So many of the files that are in the way are recorded.
const MOST_PATHS: usize = 1000;

/// The integration line and what reached the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Unknown until this run has looked.
    pub tip: Option<Oid>,
    pub publish: Publish,
    /// When a publishing that is held is tried again.
    #[serde(default)]
    pub again: Again,
    /// What a person asked for, while it is not carried out.
    #[serde(default)]
    pub asked: Asked,
    /// Where what lands is pushed to, if it is.
    #[serde(default)]
    pub remote: Remote,
}

/// A person wants what landed to be published now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// A try may have been under way, and have looked before they asked: it does not count.
    #[serde(default)]
    pub anew: bool,
    /// What the target lost is to come back.
    #[serde(default)]
    pub restore: bool,
}

/// Where what landed stands on its way out, for whoever asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outward {
    pub publish: Publish,
    /// Nothing where nothing is pushed.
    pub push: Option<Push>,
    /// The files of a checkout that it waits for.
    pub paths: Vec<String>,
    /// It is being tried, or tried again very soon.
    pub busy: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// Nothing known to be left.
    #[default]
    Done,
    Owed,
    /// Not now, and why; tried again after a while, after the next landing and at the next start.
    Held(String),
}

/// The remote's copy of the target, as far as this record knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    #[serde(default)]
    pub push: Push,
    /// Pushes in a row that failed.
    #[serde(default)]
    pub tries: u32,
    /// The push that is owed is not to be tried before this.
    #[serde(default)]
    pub due: Option<Due>,
    /// The commit of the remote up to which the records of others were read.
    #[serde(default)]
    pub seen: Option<Oid>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Push {
    /// Nothing known to be left.
    #[default]
    Done,
    Owed,
    /// Not now, and why; tried again after the next landing and at the next start.
    Held(String),
}

/// When a publishing that did not go is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Again {
    #[serde(default)]
    pub tries: u32,
    #[serde(default)]
    pub due: Option<Due>,
    /// What is in the way goes away by itself, and soon: worth waiting for with nothing else to do.
    #[serde(default)]
    pub passing: bool,
    /// The files in a checkout that are.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// A task that landed in another clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Elsewhere {
    pub task: TaskId,
    /// Of the definition that landed.
    pub digest: Digest,
    pub aid: Aid,
    pub commit: Oid,
}

impl Line {
    /// As a run that begins finds it: the world may have moved while nobody looked.
    pub(super) fn unknown(remote: &Remote) -> Self {
        let remote = Remote { push: Push::Owed, tries: 0, due: None, seen: remote.seen.clone() };
        Self { tip: None, publish: Publish::Owed, again: Again::default(), asked: Asked::default(), remote }
    }

    pub(super) fn published(&mut self) {
        self.again = Again::default();
        // Somebody may have reset the target, and asked for what it lost, right after it was published.
        if !std::mem::take(&mut self.asked.anew) {
            (self.publish, self.asked) = Default::default();
        }
    }

    pub(super) fn held(&mut self, why: &str) {
        let anew = std::mem::take(&mut self.asked.anew);
        self.publish = if anew { Publish::Owed } else { Publish::Held(why.to_owned()) };
        self.asked.restore &= anew || self.again.passing;
        if anew {
            self.again = Again::default();
        }
    }

    /// Something in the way goes away by itself, and is worth waiting for with nothing else to do.
    fn is_tried_soon(&self) -> bool {
        self.again.passing && self.again.tries < PUBLISHES
    }

    /// It moved: both the target and the remote lack something.
    pub(super) fn moved(&mut self, tip: &Oid) {
        self.tip = Some(tip.clone());
        self.again = Again::default();
        self.remote.push = Push::Owed;
        (self.remote.tries, self.remote.due) = (0, None);
    }
}

impl Task {
    /// Whether what landed elsewhere is what this task asks for. Its own work is not.
    pub(super) fn is_met_by(&self, found: &Elsewhere) -> bool {
        let spec = self.next.as_ref().unwrap_or(&self.spec);
        let own = self.completion.as_ref().is_some_and(|c| c.aid == found.aid);
        !self.is_completed() && !own && (spec.digest == found.digest || spec.on_change == OnChange::Keep)
    }
}

impl State {
    /// Whether what lands is to be pushed.
    pub fn pushes(&self) -> bool {
        // On the line alone there is nothing that others are to have.
        !self.policy.merge.push.is_empty() && self.policy.merge.strategy != Strategy::Branch
    }

    pub(super) fn owes_push(&self) -> bool {
        let remote = &self.head.line.remote;
        self.pushes() && remote.push == Push::Owed && remote.due.is_none() && !self.is_landing_stopped()
    }

    /// Where publishing stands.
    pub fn outward(&self) -> Outward {
        let Line { publish, again, remote, .. } = &self.head.line;
        let push = self.pushes().then(|| remote.push.clone());
        let stopped = self.is_landing_stopped();
        let soon = match publish {
            Publish::Done => push == Some(Push::Owed),
            Publish::Owed => true,
            Publish::Held(_) => again.due.is_some() && self.head.line.is_tried_soon(),
        };
        let publish = match publish {
            Publish::Owed if stopped => Publish::Held("git was given commands to run that nobody has accepted".into()),
            publish => publish.clone(),
        };
        Outward { publish, push, paths: again.paths.clone(), busy: soon && !stopped }
    }

    /// What the line waits for.
    pub(super) fn line_timers(&self) -> impl Iterator<Item = Due> {
        let Line { again, remote, .. } = &self.head.line;
        let push = remote.due.filter(|_| self.pushes() && remote.push == Push::Owed);
        let worth_it = self.head.line.is_tried_soon() || self.is_moving();
        let publish = again.due.filter(|_| worth_it && self.head.line.tip.is_some());
        push.into_iter().chain(publish)
    }

    pub(super) fn apply_push(&mut self, fact: &Fact) {
        let line = &mut self.head.line;
        match fact {
            Fact::Pushed { tip } => {
                line.remote.seen = Some(tip.clone());
                (line.remote.tries, line.remote.due) = (0, None);
                // Something may have landed while it was being pushed.
                if line.tip.as_ref() == Some(tip) {
                    line.remote.push = Push::Done;
                }
            }
            Fact::PushHeld { why, again } => {
                line.remote.push = if again.is_some() { Push::Owed } else { Push::Held(why.clone()) };
                line.remote.due = *again;
                line.remote.tries += 1;
            }
            Fact::PushDue => line.remote.due = None,
            Fact::RemoteSeen { tip } => {
                line.remote.seen = Some(tip.clone());
                line.publish = Publish::Owed;
            }
            Fact::PublishDue => {
                line.again.due = None;
                line.publish = Publish::Owed;
            }
            Fact::PublishAsked { restore } => {
                line.asked = Asked { anew: line.publish == Publish::Owed, restore: line.asked.restore || *restore };
                (line.publish, line.again) = (Publish::Owed, Again::default());
                let remote = &mut line.remote;
                if remote.push != Push::Done {
                    (remote.push, remote.tries, remote.due) = (Push::Owed, 0, None);
                }
            }
            _ => unreachable!("only facts about the remote and its timers come here"),
        }
    }
}

impl Decider<'_> {
    pub(super) fn push_held(&mut self, why: &str, lasting: bool) {
        let tries = self.state.head.line.remote.tries;
        let again = (!lasting && tries + 1 < PUSHES).then(|| Due::after(self.now, Duration::from_secs(1 << tries.min(6))));
        self.emit(Fact::PushHeld { why: why.to_owned(), again });
    }

    /// Something is in the way of publishing. It is looked at again later, in case nothing lands
    /// meanwhile; what passes by itself, such as a lock of git's, sooner.
    pub(super) fn publish_held(&mut self, why: &str, paths: &[String], passing: bool) {
        let tries = self.state.head.line.again.tries.min(6);
        let wait = Duration::from_secs(if passing { 1 << tries } else { 5 << tries });
        let again = self.state.head.line.tip.is_some().then(|| Due::after(self.now, wait));
        let paths = paths.iter().take(MOST_PATHS).cloned().collect();
        self.emit(Fact::PublishHeld { why: why.to_owned(), again, passing, paths });
    }

    /// A look at the line does not count if something moved the line while it was made. What such
    /// a look saw may be news all the same, so another is made: publishing begins with one.
    pub(super) fn line_seen(&mut self, was: Option<&Oid>, tip: &Oid) {
        let line = &self.state.head.line;
        if line.tip.as_ref() == Some(tip) {
            return;
        }
        if line.tip.as_ref() == was {
            self.emit(Fact::LineSynced { tip: tip.clone() });
        } else if line.tip.is_some() && line.publish != Publish::Owed {
            self.emit(Fact::PublishDue);
        }
    }

    pub(super) fn fire_line_timers(&mut self) {
        let line = &self.state.head.line;
        let over = |due: Option<Due>| due.is_some_and(|d| d.is_over(self.now));
        let (push, publish) = (over(line.remote.due), over(line.again.due));
        if push {
            self.emit(Fact::PushDue);
        }
        if publish {
            self.emit(Fact::PublishDue);
        }
    }

    /// The remote holds `tip`, the line contains it, and these are the records of others in it.
    pub(super) fn found(&mut self, tip: &Oid, found: &[Elsewhere]) {
        found.iter().for_each(|found| self.landed_elsewhere(found));
        if self.state.head.line.remote.seen.as_ref() != Some(tip) {
            self.emit(Fact::RemoteSeen { tip: tip.clone() });
        }
    }

    /// A task is done by what another clone landed. An attempt at it that is under way comes to
    /// its end first, and does not land.
    pub(super) fn landed_elsewhere(&mut self, found: &Elsewhere) {
        let Some(task) = self.state.tasks.get(&found.task).filter(|t| t.is_met_by(found)) else { return };
        // In the lane it is looked for by itself.
        let own = task.attempt().is_some_and(|a| a.aid == found.aid);
        if task.attempt().is_none() || own && task.is_idle() {
            let Elsewhere { digest, aid, commit, .. } = found.clone();
            self.emit(Fact::Recalled(Recalled { spec: task.spec.clone(), digest, aid, commit }));
        } else if !own && task.elsewhere.is_none() {
            self.emit(Fact::Elsewhere { task: found.task.clone(), found: found.clone() });
        }
    }

    /// The attempt of a task has ended: what was noted of it meanwhile holds now.
    pub(super) fn take_up_elsewhere(&mut self, id: &TaskId) {
        let found = self.state.tasks.get(id).filter(|t| t.attempt().is_none()).and_then(|t| t.elsewhere.clone());
        found.into_iter().for_each(|found| self.landed_elsewhere(&found));
    }
}
