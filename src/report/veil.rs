//! Facts as they may be told to others: without the secrets that commands are given, and that task files and
//! settings say.
//!
//! What was a secret once stays one: a text that was written under an earlier definition may still hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::events;
use crate::base::{Millis, TaskId};
use crate::core::{Fact, State};
use crate::model::{Policy, Spec};
use crate::process::{Logs, Mask};

/// What is kept of what a command with such an environment prints, and what of it never is.
pub type SecretsOf = fn(&Policy, &BTreeMap<String, String>) -> Logs;

pub struct Veil {
    secrets_of: SecretsOf,
    /// Drover's own environment.
    own: BTreeMap<String, String>,
    policy: Arc<Policy>,
    specs: BTreeMap<TaskId, Arc<Spec>>,
    /// Those of Drover and of all settings: told nobody, whatever is told.
    common: BTreeSet<String>,
    mask: Mask,
    /// Those of a task by all definitions of it.
    particular: BTreeMap<TaskId, BTreeSet<String>>,
    /// The environment that was looked at last: many tasks have the same.
    last: (BTreeMap<String, String>, BTreeSet<String>),
}

impl Veil {
    pub fn new(secrets_of: SecretsOf, own: BTreeMap<String, String>) -> Self {
        let mut veil = Self {
            secrets_of,
            own,
            policy: Arc::default(),
            specs: BTreeMap::new(),
            common: BTreeSet::new(),
            mask: Mask::default(),
            particular: BTreeMap::new(),
            last: Default::default(),
        };
        veil.set(&Arc::default());
        veil
    }

    /// The settings in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a task is called now.
    pub fn title(&mut self, task: &TaskId) -> Option<String> {
        let spec = self.specs.get(task)?.clone();
        Some(self.mask_of(Some(task)).text(&spec.title))
    }

    /// Takes in what is on record.
    pub fn see(&mut self, state: &State) {
        self.set(&state.policy);
        state.tasks.values().for_each(|task| self.define(&task.spec));
    }

    /// Other settings are in force.
    pub fn set(&mut self, policy: &Arc<Policy>) {
        (self.policy, self.last) = (policy.clone(), Default::default());
        self.learn(policy);
        let specs: Vec<_> = self.specs.values().cloned().collect();
        specs.iter().for_each(|spec| self.learn_of(spec));
    }

    /// Takes in what a fact says, which holds from now on.
    pub fn hear(&mut self, fact: &Fact) {
        match fact {
            Fact::PolicySet { policy } => self.set(policy),
            Fact::Defined { spec, .. } | Fact::Moved { spec, .. } => self.define(spec),
            _ => {}
        }
    }

    /// A fact as a line of the events, whether what it says holds or has held before.
    pub fn line(&mut self, seq: u64, at: Millis, fact: &Fact) -> serde_json::Result<Value> {
        match fact {
            Fact::PolicySet { policy } => self.learn(policy),
            Fact::Defined { spec, .. } | Fact::Moved { spec, .. } => self.learn_of(spec),
            _ => {}
        }
        Ok(without(events::line(seq, at, fact)?, &self.mask_of(fact.task())))
    }

    fn define(&mut self, spec: &Arc<Spec>) {
        self.learn_of(spec);
        self.specs.insert(spec.id.clone(), spec.clone());
    }

    fn learn(&mut self, policy: &Policy) {
        let known = self.common.len();
        for env in [&self.own, &policy.env] {
            self.common.extend((self.secrets_of)(policy, env).secrets);
        }
        if self.common.len() > known {
            self.mask = Mask::new(&self.common);
        }
    }

    fn learn_of(&mut self, spec: &Spec) {
        if spec.env.is_empty() {
            return;
        }
        if self.last.0 != spec.env {
            self.last = (spec.env.clone(), (self.secrets_of)(&self.policy, &spec.env).secrets.into_iter().collect());
        }
        if !self.last.1.is_subset(&self.common) {
            self.particular.entry(spec.id.clone()).or_default().extend(self.last.1.iter().cloned());
        }
    }

    /// For what is told of this task, or of none.
    fn mask_of(&self, task: Option<&TaskId>) -> Mask {
        match task.and_then(|id| self.particular.get(id)) {
            Some(more) => Mask::new(&self.common.union(more).cloned().collect()),
            None => self.mask.clone(),
        }
    }
}

/// All texts of a document without the secrets; the names in it stay.
fn without(document: Value, mask: &Mask) -> Value {
    match document {
        _ if mask.is_empty() => document,
        Value::String(text) => mask.text(&text).into(),
        Value::Array(all) => all.into_iter().map(|one| without(one, mask)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, one)| (key, without(one, mask))).collect(),
        other => other,
    }
}
