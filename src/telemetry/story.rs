//! From facts to spans: which step of which attempt began when, and what came of it.
//!
//! Only spans that have ended are told. What began in a process that was killed is told by the one
//! that takes it up, with the times and names that it has from the record.

use std::collections::BTreeMap;
use std::path::PathBuf;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;

use super::attempt::{Ended, Open, Outcome, Over};
use super::metrics::{self, Measure};
use super::spans::{self, Span, Trouble};
use super::{Place, Redact, Settings};
use crate::base::text::{count, some_of};
use crate::base::trace::{Context, Sampling, SpanId, TraceId};
use crate::base::{Aid, Millis, Oid, RunId, TaskId};
use crate::core::view::{Status, TaskView, Verdict};
use crate::core::{Exit, Fact, State, Usage};

/// How a run ended that was killed.
const CUT_SHORT: &str = "cut_short";

pub struct Story {
    project: String,
    target: String,
    runs: PathBuf,
    sampling: Sampling,
    /// What called Drover.
    caller: Option<Context>,
    redact: Redact,
    run: Option<Run>,
    attempts: BTreeMap<Aid, Open>,
    /// The time of the last thing on record.
    last: Millis,
    /// Since when each task could have begun, but for what it waits for.
    free: BTreeMap<TaskId, Millis>,
    told: Vec<Told>,
}

/// Something to be sent.
pub enum Told {
    Span(Box<SpanData>),
    Measure(Measure),
}

/// The run that is under way, or that was cut short.
struct Run {
    id: RunId,
    began: Millis,
    links: Vec<(Context, &'static str)>,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    claimed: i64,
    completed: i64,
    failed: i64,
    retried: i64,
    usage: Usage,
}

impl Story {
    pub fn new(state: &State, place: &Place, settings: &Settings, redact: Redact) -> Self {
        let run = state.head.run.as_ref();
        let began = run.map_or(Millis(0), |r| r.began);
        let last = state.tasks.values().map(|t| t.changed).fold(began, Millis::max);
        let unfinished = run.filter(|r| !r.ended);
        let under_way = state.active().chain(state.parked());
        let mut attempts = BTreeMap::new();
        for (task, attempt) in under_way {
            let open = Open::found(task, attempt, worker(&attempts));
            attempts.insert(attempt.aid.clone(), open);
        }
        Self {
            project: place.project.to_owned(),
            target: place.target.to_owned(),
            runs: place.runs.clone(),
            sampling: settings.sampling,
            caller: settings.parent,
            redact,
            run: unfinished.map(|r| Run { id: r.id.clone(), began: r.began, links: Vec::new(), totals: Totals::default() }),
            attempts,
            last,
            free: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// What has ended since it was last asked for.
    pub fn told(&mut self) -> std::vec::Drain<'_, Told> {
        self.told.drain(..)
    }

    pub fn fact(&mut self, state: &State, at: Millis, fact: &Fact) {
        match fact {
            Fact::RunBegan { run, continues, after, .. } => self.begin(at, run, continues.as_ref(), after.as_ref()),
            Fact::RunEnded { .. } => self.end_run(state, at),
            Fact::Claimed { task, aid, base } => self.claim(state, at, task, aid, base),
            _ => self.step(state, at, fact),
        }
        if let (Some(task), false) = (fact.task(), matches!(fact, Fact::Claimed { .. })) {
            self.free.insert(task.clone(), at);
            self.give_up(state, at, task);
        }
        self.last = at;
    }

    fn claim(&mut self, state: &State, at: Millis, task: &TaskId, aid: &Aid, base: &Oid) {
        self.totals(|totals| totals.claimed += 1);
        let Some(found) = state.tasks.get(task) else { return };
        let attempt = found.attempt().filter(|a| a.aid == *aid);
        let open = Open::claimed(found, attempt, at, base, worker(&self.attempts));
        self.measure(metrics::CLAIMED, 1.0, epic(&open));
        let landed = |id: &TaskId| state.tasks.get(id)?.completion.as_ref().map(|c| c.at);
        let began = self.run.as_ref().map(|run| run.began);
        let free = open.spec.depends_on.iter().filter_map(landed).chain(self.free.remove(task)).chain(began).max();
        self.measure(metrics::CLAIM, seconds(free.unwrap_or(at), at), Vec::new());
        self.attempts.insert(aid.clone(), open);
    }

    /// An attempt that waits for a person goes without a fact of its own where nobody wants it any more.
    fn give_up(&mut self, state: &State, at: Millis, task: &TaskId) {
        let stands = |aid: &Aid| state.tasks.get(task).and_then(|t| t.attempt()).is_some_and(|a| a.aid == *aid);
        let gone = self.attempts.iter().find(|(aid, open)| open.parked && open.spec.id == *task && !stands(aid));
        let Some(aid) = gone.map(|(aid, _)| aid.clone()) else { return };
        if let Some(open) = self.attempts.remove(&aid) {
            let trouble = Some(Trouble::new("task.superseded", "it waited for a person, and is not wanted any more", str::to_owned));
            self.end_attempt(at, &aid, open, Over { outcome: Outcome::SetAside, state: "ready", trouble });
        }
    }

    fn measure(&mut self, metric: &'static str, value: f64, attributes: Vec<KeyValue>) {
        self.told.push(Told::Measure(Measure { metric, value, attributes }));
    }

    /// What a step of an attempt adds to the metrics.
    fn measure_step(&mut self, at: Millis, fact: &Fact, open: &Open) {
        let took = seconds(open.since, at);
        let git = |operation: &'static str| vec![KeyValue::new("drover.git.operation", operation)];
        match fact {
            Fact::Prepared { .. } => self.measure(metrics::WORKTREE, took, Vec::new()),
            Fact::Snapshotted { .. } => self.measure(metrics::GIT, took, git("snapshot")),
            Fact::Committed { .. } => self.measure(metrics::GIT, took, git("commit")),
            Fact::Landed { .. } => self.measure(metrics::GIT, took, git("merge")),
            Fact::AgentEnded { n, exit, .. } => self.measure_agent(took, open, *n, exit),
            _ => {}
        }
    }

    fn measure_agent(&mut self, took: f64, open: &Open, n: usize, exit: &Exit) {
        let who = open.who(n);
        // The shim's own clock says it better than the time when Drover heard of it.
        let took = if exit.usage.millis > 0 { exit.usage.millis as f64 / 1e3 } else { took };
        self.measure(metrics::AGENT, took, who.clone());
        if open.is_prompt(n) {
            self.measure(metrics::PROMPTS, 1.0, who.clone());
        }
        if let Some(trouble) = Trouble::exit(exit, str::to_owned) {
            self.measure(metrics::ERRORS, 1.0, [who.clone(), vec![KeyValue::new("drover.error.type", trouble.class)]].concat());
        }
        let whose = [who, epic(open)].concat();
        let usage = &exit.usage;
        let tokens = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_creation", usage.cache_write_tokens),
        ];
        for (kind, count) in tokens.into_iter().filter(|(_, count)| *count > 0) {
            self.measure(metrics::TOKENS, count as f64, [whose.clone(), vec![KeyValue::new("gen_ai.token.type", kind)]].concat());
        }
        if usage.cost_microusd > 0 {
            self.measure(metrics::COST, usage.cost_microusd as f64 / 1e6, whose);
        }
    }

    /// Facts about an attempt that is under way.
    fn step(&mut self, state: &State, at: Millis, fact: &Fact) {
        let Some((_, aid)) = fact.attempt() else { return };
        let Some(mut open) = self.attempts.remove(aid) else { return };
        let spec = open.spec.clone();
        let redact = |text: &str| (self.redact)(Some(&spec), text);
        let over = open.over(fact, redact);
        let ended = open.ended(aid, at, fact, over.as_ref(), redact);
        let label = |open: &Open, key: &str| open.check(key, &state.policy.merge.verify).map(|c| spans::text(&redact(c.label())));
        let check = match fact {
            Fact::CheckPassed { check, .. } | Fact::CheckFailed { check, .. } | Fact::CheckExcused { check, .. } => label(&open, check),
            _ => None,
        };
        if let Fact::Delayed { why, .. } = fact {
            let why = spans::text(&redact(why));
            open.events.push(spans::event("drover.delayed", at, vec![KeyValue::new("drover.error.message", why)]));
        }
        self.measure_step(at, fact, &open);
        open.moved(at, fact, begins_at(state, fact), check);
        ended.into_iter().for_each(|step| self.tell_step(aid, &open, step));
        if let Fact::AgentEnded { exit, .. } = fact {
            open.usage += exit.usage;
            self.totals(|totals| totals.usage += exit.usage);
        }
        match over {
            Some(over) => self.end_attempt(at, aid, open, over),
            None => drop(self.attempts.insert(aid.clone(), open)),
        }
    }

    fn tell_step(&mut self, aid: &Aid, open: &Open, step: Ended) {
        let (trace, id) = (TraceId::of_attempt(aid), SpanId::of_step(aid, &step.id));
        let mut span = Span::new(step.name, trace, id, Some(SpanId::of_attempt(aid)), (step.since, step.end));
        (span.trouble, span.events) = (step.trouble, step.events);
        if step.name == spans::MERGE {
            span = span.with("drover.git.branch", self.target.clone());
        }
        self.tell(span.with_all(step.attributes).with_all(self.of_attempt(aid, open)));
    }

    fn end_attempt(&mut self, at: Millis, aid: &Aid, open: Open, over: Over) {
        let (trace, id) = (TraceId::of_attempt(aid), SpanId::of_attempt(aid));
        let root = SpanId::of(&aid.run());
        let mut span = Span::new(spans::ATTEMPT, trace, id, Some(root), (open.started, at));
        span = span.with_all(self.of_attempt(aid, &open)).with("drover.task.state", over.state).with_all(spans::used(&open.usage));
        self.measure(metrics::TASK, seconds(open.started, at), vec![KeyValue::new("drover.task.state", over.state)]);
        let why = over.trouble.as_ref().map(|t| KeyValue::new("drover.error.type", t.class.clone()));
        let attributes = epic(&open).into_iter().chain(why).collect();
        match over.outcome {
            Outcome::Completed => {
                self.totals(|totals| totals.completed += 1);
                self.measure(metrics::COMPLETED, 1.0, attributes);
            }
            Outcome::Failed => {
                self.totals(|totals| totals.failed += 1);
                self.measure(metrics::FAILED, 1.0, attributes);
            }
            Outcome::Retried => {
                self.totals(|totals| totals.retried += 1);
                self.measure(metrics::RETRIED, 1.0, attributes);
            }
            Outcome::SetAside => {}
        }
        (span.trouble, span.events) = (over.trouble, open.events);
        self.tell(span);
    }

    fn of_attempt(&self, aid: &Aid, open: &Open) -> Vec<KeyValue> {
        let redacted = |kv: KeyValue| match kv.key.as_str() {
            "drover.task.title" => KeyValue::new(kv.key, (self.redact)(Some(&open.spec), &kv.value.as_str())),
            _ => kv,
        };
        let run = KeyValue::new("drover.run.id", aid.run().to_string());
        open.attributes().into_iter().map(redacted).chain([run]).collect()
    }

    fn begin(&mut self, at: Millis, run: &RunId, continues: Option<&RunId>, after: Option<&RunId>) {
        // Killed before it could tell its own.
        if let Some(before) = self.run.take_if(|r| continues == Some(&r.id))
            && !self.is_told(&before.id)
        {
            let trouble = Trouble::new("infrastructure.interrupted", "it was cut short", str::to_owned);
            self.tell_run(before, self.last, CUT_SHORT, Some(trouble));
        }
        let earlier = [(continues, "continues"), (after, "after")];
        let sampled = |run: &RunId| self.sampling.takes(&TraceId::of(run));
        let mut links: Vec<_> = earlier.into_iter().filter_map(|(run, why)| Some((spans::root(run?, sampled(run?)), why))).collect();
        links.extend(self.caller.map(|caller| (caller, "caller")));
        self.run = Some(Run { id: run.clone(), began: at, links, totals: Totals::default() });
    }

    fn end_run(&mut self, state: &State, at: Millis) {
        let Some(run) = self.run.take() else { return };
        let redact = |text: &str| (self.redact)(None, text);
        let (outcome, trouble) = match state.verdict() {
            Verdict::Done => ("done", None),
            Verdict::Failed => ("failed", Some(Trouble { failed: true, ..Trouble::new("task.failed", &failed(state), redact) })),
            Verdict::Stopped(why) => ("stopped", Some(Trouble::new("task.stopped", &why, redact))),
        };
        self.tell_run(run, at, outcome, trouble);
    }

    fn tell_run(&mut self, run: Run, at: Millis, outcome: &'static str, trouble: Option<Trouble>) {
        let (trace, root) = (TraceId::of(&run.id), SpanId::of(&run.id));
        let Totals { claimed, completed, failed, retried, usage } = run.totals;
        let totals = Span::new(spans::TOTALS, trace, SpanId::of_totals(&run.id), Some(root), (at, at))
            .with("drover.run.id", run.id.to_string())
            .with("drover.tasks.claimed", claimed)
            .with("drover.tasks.completed", completed)
            .with("drover.tasks.failed", failed)
            .with("drover.tasks.retried", retried)
            .with_all(spans::used(&usage));
        let mut span = Span::new(spans::RUN, trace, root, None, (run.began, at)).with("drover.run.outcome", outcome);
        span = span.with("drover.run.id", run.id.to_string());
        (span.links, span.trouble) = (run.links, trouble);
        if outcome != CUT_SHORT {
            self.tell(totals);
        }
        self.tell(span);
    }

    /// What is under way ends with the session: it is taken up again, but the run's own account ends here.
    pub fn finish(&mut self) {
        if let Some(run) = self.run.take().filter(|run| !self.is_told(&run.id)) {
            // Whoever goes on with it does not tell it once more. If this cannot be written, it is told twice.
            let _ = std::fs::write(self.mark(&run.id), "");
            let trouble = Trouble::new("infrastructure.interrupted", "it was interrupted", str::to_owned);
            self.tell_run(run, self.last, "interrupted", Some(trouble));
        }
    }

    /// Stands where an account of a run was given that did not come to its end.
    fn mark(&self, run: &RunId) -> PathBuf {
        self.runs.join(run.as_str()).join("traced")
    }
    fn is_told(&self, run: &RunId) -> bool {
        self.mark(run).exists()
    }

    fn totals(&mut self, add: impl FnOnce(&mut Totals)) {
        if let Some(run) = &mut self.run {
            add(&mut run.totals);
        }
    }

    fn tell(&mut self, span: Span) {
        if self.sampling.takes(&span.trace) {
            let span = span.with("drover.project.id", self.project.clone()).data(true);
            self.told.push(Told::Span(Box::new(span)));
        }
    }
}

fn seconds(from: Millis, to: Millis) -> f64 {
    to.since(from).as_secs_f64()
}

fn epic(open: &Open) -> Vec<KeyValue> {
    open.spec.epic.iter().map(|epic| KeyValue::new("drover.epic.id", epic.to_string())).collect()
}

/// The first step that is not finished: an attempt may go on with those of an interrupted one.
fn begins_at(state: &State, fact: &Fact) -> usize {
    let attempt = fact.attempt().and_then(|(task, aid)| state.tasks.get(task)?.attempt().filter(|a| a.aid == *aid));
    attempt.map_or(0, |a| a.snaps.len())
}

/// The lowest number that no attempt under way has.
fn worker(attempts: &BTreeMap<Aid, Open>) -> usize {
    let busy: std::collections::BTreeSet<usize> = attempts.values().filter(|a| !a.parked).map(|a| a.worker).collect();
    (1..).find(|n| !busy.contains(n)).unwrap_or(1)
}

/// Which tasks a run failed for.
fn failed(state: &State) -> String {
    let views = state.views();
    let is_failed = |v: &&TaskView| state.selection.holds(&v.id) && v.status == Status::Failed;
    let ids: Vec<String> = views.iter().filter(is_failed).map(|v| v.id.to_string()).collect();
    match ids.len() {
        0 => "a task needs one that failed or is disabled".to_owned(),
        n => format!("{} failed: {}", count(n, "task"), some_of(&ids)),
    }
}
