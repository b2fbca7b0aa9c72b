//! Agents that nobody is to start for a while, or any more in this run. What a service refuses to
//! everybody is a pause and no failure: it is shared by all tasks of the agent and uses no attempt.
//!
//! After the wait one task tries first, then the rest.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::POISON;
use super::fact::Fact;
use super::state::{Due, State, Task};
use crate::base::Millis;

/// What kept an agent from working that is no fault of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub kind: HoldKind,
    /// When the service says that it goes again.
    #[serde(default)]
    pub until: Option<Millis>,
    /// What it said, and what to do about it.
    #[serde(default)]
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// Too much was asked for, or a quota is used up.
    RateLimit,
    /// The service cannot answer anybody right now.
    Overload,
    /// The service cannot be reached.
    Network,
    Authentication,
    Billing,
    /// The model that the agent is told to use does not exist, or is not for this account.
    Model,
}

impl HoldKind {
    /// As in "agent `claude` is …".
    pub fn words(self) -> &'static str {
        match self {
            HoldKind::RateLimit => "rate limited",
            HoldKind::Overload => "refused by a service that is overloaded",
            HoldKind::Network => "cut off from its service",
            HoldKind::Authentication => "not logged in, or its key is refused",
            HoldKind::Billing => "out of credit",
            HoldKind::Model => "told to use a model that it cannot get",
        }
    }

    /// The wait after the first time, and the longest; none where only a person can help.
    fn backoff(self) -> Option<(Duration, Duration)> {
        match self {
            HoldKind::RateLimit => Some((Duration::from_secs(30), Duration::from_secs(3600))),
            HoldKind::Overload | HoldKind::Network => Some((Duration::from_secs(5), Duration::from_secs(600))),
            HoldKind::Authentication | HoldKind::Billing | HoldKind::Model => None,
        }
    }
}

/// How it stands with an agent that could not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    pub kind: HoldKind,
    pub message: String,
    /// Pauses in a row, without an answer of the service between them.
    pub strikes: u32,
    pub stage: Stage,
}

impl Pause {
    /// When it is over, where that is a matter of time.
    pub fn until(&self) -> Option<Millis> {
        match self.stage {
            Stage::Waiting(due) => Some(due.at),
            Stage::Trying(_) | Stage::Open | Stage::Stopped => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody starts it before this.
    Waiting(Due),
    /// One task starts it; the others follow once that went well, or nothing was heard for so long.
    Trying(Due),
    /// All may start it, but it has not worked yet.
    Open,
    /// Nobody starts it any more in this run: a person has to do something.
    Stopped,
}

/// A service that refuses does so at once. One that says nothing for so long has let the first in.
const TRIAL: Duration = Duration::from_secs(30);

impl State {
    /// The pause that follows from a hold.
    pub(super) fn pause_after(&self, now: Millis, agent: &str, hold: &Hold) -> Pause {
        let before = self.head.pauses.get(agent);
        let strikes = match before.map(|p| (p.strikes, p.stage)) {
            // Others that were under way heard of the same trouble.
            Some((strikes, Stage::Waiting(_) | Stage::Stopped)) => strikes,
            Some((strikes, _)) => strikes.saturating_add(1),
            None => 1,
        };
        let stage = match (before.map(|p| p.stage), self.wait_after(now, strikes, hold)) {
            (Some(Stage::Stopped), _) | (_, None) => Stage::Stopped,
            (Some(Stage::Waiting(due)), Some(wait)) if due.at >= now.after(wait) => Stage::Waiting(due),
            (_, Some(wait)) => Stage::Waiting(Due::after(now, wait)),
        };
        Pause { kind: hold.kind, message: hold.message.clone(), strikes, stage }
    }

    /// How long to wait; none if waiting does not help, is not wanted, or has not helped so often.
    fn wait_after(&self, now: Millis, strikes: u32, hold: &Hold) -> Option<Duration> {
        let (first, longest) = hold.kind.backoff()?;
        let bound = Duration::from_millis(self.policy.max_pause);
        if bound.is_zero() || strikes > POISON {
            return None;
        }
        let growing = |n: u32| first.saturating_mul(1 << n.min(20)).min(longest).min(bound);
        let said = hold.until.map(|until| until.since(now)).filter(|wait| !wait.is_zero());
        match said {
            Some(wait) if wait > bound => None,
            // A time that proved too early is not believed again.
            Some(wait) => Some(wait.max(strikes.checked_sub(2).map(growing).unwrap_or_default())),
            None => Some(growing(strikes - 1)),
        }
    }

    /// Pauses whose time has come.
    pub(super) fn pauses_over(&self, now: Millis) -> Vec<Fact> {
        let next = |stage| match stage {
            Stage::Waiting(due) if due.is_over(now) => Some(Stage::Trying(Due::after(now, TRIAL))),
            Stage::Trying(due) if due.is_over(now) => Some(Stage::Open),
            _ => None,
        };
        let over = self.head.pauses.iter().filter_map(|(agent, pause)| Some((agent, next(pause.stage)?)));
        over.map(|(agent, stage)| Fact::PauseMoved { agent: agent.clone(), stage }).collect()
    }

    /// The earliest time that a pause waits for, if a task waits with it.
    pub(super) fn pause_timer(&self) -> Option<Due> {
        if self.head.pauses.is_empty() || !self.claims_go_on() {
            return None;
        }
        let due = |stage| match stage {
            Stage::Waiting(due) | Stage::Trying(due) => Some(due),
            Stage::Open | Stage::Stopped => None,
        };
        let timed = self.head.pauses.iter().filter_map(|(agent, pause)| Some((agent, due(pause.stage)?)));
        let waited_for = timed.filter(|(agent, _)| {
            self.index.queue().filter_map(|id| self.tasks.get(id)).any(|t| self.agents_of(t).any(|a| a.name == **agent))
        });
        waited_for.map(|(_, due)| due).min_by_key(|d| d.at)
    }

    /// The agent that keeps a task from starting, if one does.
    pub fn paused_for(&self, task: &Task) -> Option<(&str, &Pause)> {
        if self.head.pauses.is_empty() {
            return None;
        }
        let held = |agent: &str, pause: &Pause| match pause.stage {
            Stage::Waiting(_) | Stage::Stopped => true,
            Stage::Trying(_) => self.active().any(|(t, _)| self.agents_of(t).any(|a| a.name == agent)),
            Stage::Open => false,
        };
        self.agents_of(task)
            .find_map(|a| self.head.pauses.get_key_value(&a.name).filter(|(name, p)| held(name, p)))
            .map(|(n, p)| (n.as_str(), p))
    }

    /// Why the run leaves tasks undone, if that is an agent that was stopped.
    pub(super) fn stopped_agents(&self) -> Option<String> {
        let stopped = self.head.pauses.iter().filter(|(_, p)| p.stage == Stage::Stopped);
        let words: Vec<String> = stopped.map(|(agent, p)| format!("agent `{agent}` is {}: {}", p.kind.words(), p.message)).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// A new start tries once whatever was recorded: the account may be another, or the key.
    pub(super) fn renew_pauses(&mut self, at: Millis) {
        for pause in self.head.pauses.values_mut() {
            pause.strikes = 0;
            pause.stage = Stage::Trying(Due::after(at, TRIAL));
        }
    }
}
