//! Budgets against what was used. Nothing is begun for what has used up its budget; what runs when
//! that happens is told its limit where it can keep to one, and is set aside without counting.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outcome::{Failure, FailureClass};
use super::state::{State, Task};
use super::usage::Usage;
use crate::base::{EpicId, format_duration};
use crate::model::{AgentKind, Budget, Policy};

impl Usage {
    /// What of a budget is used up, in words.
    fn spends(&self, budget: &Budget) -> Option<String> {
        let money = |microusd: u64| format!("${:.2}", microusd as f64 / 1e6);
        let time = |millis: u64| format_duration(Duration::from_millis(millis));
        let count = |noun: &'static str| move |n: u64| format!("{n} {noun}");
        let spent = |used: u64, limit: Option<u64>, words: &dyn Fn(u64) -> String| {
            limit.filter(|limit| used >= *limit).map(|limit| format!("{} of {}", words(used), words(limit)))
        };
        spent(self.cost_microusd, budget.cost_microusd, &money)
            .or_else(|| spent(self.tokens(), budget.tokens, &count("tokens")))
            .or_else(|| spent(self.turns, budget.turns, &count("turns")))
            .or_else(|| spent(self.millis, budget.millis, &time))
    }

    /// What it leaves of a budget.
    fn leaves(&self, budget: &Budget) -> Budget {
        let left = |used: u64, limit: Option<u64>| limit.map(|limit| limit.saturating_sub(used));
        Budget {
            cost_microusd: left(self.cost_microusd, budget.cost_microusd),
            tokens: left(self.tokens(), budget.tokens),
            turns: left(self.turns, budget.turns),
            millis: left(self.millis, budget.millis),
        }
    }
}

impl State {
    /// What of the run's budget is used up, if anything is.
    pub fn run_spent(&self) -> Option<String> {
        let run = self.head.run.as_ref()?;
        run.usage.spends(&self.policy.budget).map(|what| format!("the run's budget is used up: {what}"))
    }

    /// What of a task's own budget, or of its epic's, is used up, if anything is.
    pub fn task_spent(&self, task: &Task) -> Option<String> {
        let own = task.usage.spends(&task.spec.budget).map(|what| format!("its budget is used up: {what}"));
        own.or_else(|| {
            let (epic, budget) = self.epic_budget(task)?;
            self.epic_usage(epic).spends(budget).map(|what| format!("the budget of epic `{epic}` is used up: {what}"))
        })
    }

    fn epic_budget<'a>(&'a self, task: &'a Task) -> Option<(&'a EpicId, &'a Budget)> {
        let epic = task.spec.epic.as_ref()?;
        Some((epic, self.policy.epic_budgets.get(epic)?))
    }

    /// What the tasks of an epic have used, all their attempts together.
    pub fn epic_usage(&self, epic: &EpicId) -> Usage {
        let mut all = Usage::default();
        let tasks = self.tasks.values().filter(|t| !t.removed && t.spec.epic.as_ref() == Some(epic));
        tasks.for_each(|t| all += t.usage);
        all
    }

    /// What a step that begins now may use.
    pub fn budget_left(&self, task: &Task) -> Budget {
        let of_run = self.head.run.as_ref().map(|r| r.usage.leaves(&self.policy.budget)).unwrap_or_default();
        let of_attempt = task.attempt().map(|a| a.usage.leaves(&task.spec.attempt_budget)).unwrap_or_default();
        let of_epic = self.epic_budget(task).map(|(epic, budget)| self.epic_usage(epic).leaves(budget)).unwrap_or_default();
        task.usage.leaves(&task.spec.budget).least(of_attempt).least(of_epic).least(of_run)
    }

    /// What these tasks can come to cost by their budgets and those of the policy, in millionths of
    /// a dollar. None where one of them is not limited. An agent of a kind that never says what it
    /// costs is taken to cost nothing.
    pub fn cost_bound<'a>(&self, policy: &Policy, tasks: impl Iterator<Item = &'a Task>) -> Option<u64> {
        let mut by_epic: BTreeMap<Option<&EpicId>, Option<u64>> = BTreeMap::new();
        for task in tasks {
            let sum = by_epic.entry(task.spec.epic.as_ref()).or_insert(Some(0));
            *sum = sum.zip(self.task_bound(task)).map(|(a, b)| a.saturating_add(b));
        }
        let epics = by_epic.into_iter().map(|(epic, sum)| {
            let budget = epic.and_then(|epic| Some(self.epic_usage(epic).leaves(policy.epic_budgets.get(epic)?)));
            sum.into_iter().chain(budget.and_then(|b| b.cost_microusd)).min()
        });
        let all = epics.reduce(|a, b| a.zip(b).map(|(a, b)| a.saturating_add(b))).unwrap_or(Some(0));
        all.into_iter().chain(policy.budget.cost_microusd).min()
    }

    fn task_bound(&self, task: &Task) -> Option<u64> {
        let spec = &task.spec;
        if spec.agents().all(|a| a.kind == AgentKind::Command) {
            return Some(0);
        }
        let attempts = u64::from(spec.retry.max_attempts.saturating_sub(task.failures));
        let each = spec.attempt_budget.cost_microusd.map(|each| each.saturating_mul(attempts));
        task.usage.leaves(&spec.budget).cost_microusd.into_iter().chain(each).min()
    }

    /// What of the budget of each attempt the one under way has used up, if anything is.
    pub(super) fn attempt_spent(&self, task: &Task) -> Option<String> {
        task.attempt()?.usage.spends(&task.spec.attempt_budget).map(|what| format!("it used up what an attempt may use: {what}"))
    }

    /// Why an attempt goes no further, if that is because of a budget.
    pub(super) fn spent(&self, task: &Task) -> Option<String> {
        self.task_spent(task).or_else(|| self.run_spent())
    }

    /// A step that was ended at a limit has not failed if that limit is a budget's.
    pub(super) fn ended_by_budget(&self, task: &Task, failure: &Failure) -> Option<String> {
        let limits = matches!(failure.class, FailureClass::TurnLimit | FailureClass::CostLimit | FailureClass::Timeout);
        self.spent(task).filter(|_| limits)
    }
}
