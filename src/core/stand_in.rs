//! Who does the work of an agent that is stopped: settled when an attempt is claimed, and kept for
//! as long as it lasts.

use std::collections::BTreeMap;

use super::pause::Stage;
use super::state::{Attempt, State, Task};
use crate::model::{Action, AgentSpec, Spec};

impl State {
    /// The agents that are at work on a task, or would be if it were claimed now.
    pub fn agents_of<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a AgentSpec> {
        task.spec.agents().map(|agent| match task.attempt() {
            Some(attempt) => attempt.agent(agent),
            None => self.in_place_of(agent),
        })
    }

    /// Itself, or the first in turn that is not stopped; itself where all are.
    fn in_place_of<'a>(&self, agent: &'a AgentSpec) -> &'a AgentSpec {
        let stopped = |a: &&AgentSpec| self.head.pauses.get(&a.name).is_some_and(|p| p.stage == Stage::Stopped);
        agent.in_turn().find(|a| !stopped(a)).unwrap_or(agent)
    }

    /// By the name of each agent that does not work itself, who does.
    pub(super) fn stand_ins(&self, spec: &Spec) -> BTreeMap<String, String> {
        let pairs = spec.agents().map(|agent| (agent, self.in_place_of(agent)));
        pairs.filter(|(agent, other)| agent.name != other.name).map(|(a, o)| (a.name.clone(), o.name.clone())).collect()
    }
}

impl Attempt {
    /// Who does that agent's work in this attempt.
    pub fn agent<'a>(&self, agent: &'a AgentSpec) -> &'a AgentSpec {
        let other = self.stand_ins.get(&agent.name).and_then(|name| agent.in_turn().find(|a| a.name == *name));
        other.unwrap_or(agent)
    }

    /// The task as this attempt works on it.
    pub fn working(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        for step in &mut spec.steps {
            if let Action::Prompt { agent, .. } = &mut step.action {
                *agent = self.agent(agent).clone();
            }
        }
        spec
    }
}

impl Task {
    /// The agent of a step, by its name in the files; of an attempt that is under way the one at work.
    pub(super) fn agent_at(&self, n: usize) -> Option<&str> {
        let Action::Prompt { agent, .. } = &self.spec.steps.get(n)?.action else { return None };
        Some(&self.attempt().map_or(agent, |attempt| attempt.agent(agent)).name)
    }
}
