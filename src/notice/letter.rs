//! What a receiver is told of one fact: it comes from the journal, and from what a bookmark remembers of
//! it. Its id is the same on every try and after every crash; names are those of the day. Secrets are
//! told nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{self, Body, FORMAT_VERSION};

use crate::base::text::one_line;
use crate::base::{RunId, TaskId, sha256_hex};
use crate::core::Fact;
use crate::model::{Policy, Spec};
use crate::process::{self, Logs};
use crate::report;
use crate::store::Record;

/// The longest body, in bytes. Of a fact that makes it longer only the outline is told.
const MAX_BODY: usize = 256 << 10;
/// The longest text and title, in characters.
const MAX_TEXT: usize = 500;
const MAX_TITLE: usize = 200;

/// One fact on its way to one receiver.
#[derive(Debug)]
pub struct Letter {
    /// The same on every try.
    pub id: String,
    pub event: String,
    pub task: Option<TaskId>,
    pub project: String,
    /// One line for people, without control characters.
    pub text: String,
    pub body: Value,
}

/// What is kept of what a command with such an environment prints, and what of it never is.
pub type LogsOf = fn(&Policy, &BTreeMap<String, String>) -> Logs;

/// Where it happens.
pub struct Scene {
    pub target: String,
    pub policy: Arc<Policy>,
    pub tasks: BTreeMap<TaskId, Arc<Spec>>,
    pub logs: LogsOf,
    /// Drover's own, and those of the settings: what is to be told nobody, of whatever is told.
    secrets: Vec<String>,
}

impl Scene {
    pub fn new(target: &str, logs: LogsOf) -> Self {
        Self { target: target.to_owned(), policy: Arc::default(), tasks: BTreeMap::new(), logs, secrets: Vec::new() }
    }

    /// Other settings are in force.
    pub fn set(&mut self, policy: &Arc<Policy>, own: &BTreeMap<String, String>) {
        self.policy = policy.clone();
        self.secrets = [own, &policy.env].into_iter().flat_map(|env| (self.logs)(policy, env).secrets).collect();
    }

    /// What is not to be told of a fact: with what the task is given, and with what the fact itself says.
    fn secrets(&self, fact: &Fact) -> Logs {
        let task = fact.task().and_then(|id| self.tasks.get(id)).map(|spec| (&*self.policy, &spec.env));
        let said = match fact {
            Fact::Defined { spec, .. } | Fact::Moved { spec, .. } => Some((&*self.policy, &spec.env)),
            Fact::PolicySet { policy } => Some((&**policy, &policy.env)),
            _ => None,
        };
        let more = task.into_iter().chain(said).filter(|(_, env)| !env.is_empty());
        let more = more.flat_map(|(policy, env)| (self.logs)(policy, env).secrets);
        Logs { secrets: self.secrets.iter().cloned().chain(more).collect(), ..Logs::default() }
    }
}

/// What the facts before it say: kept in the bookmark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    pub run: Option<RunId>,
    landed: u32,
    failed: u32,
    blocked: u32,
    asks: u32,
    /// What was said last of what is in the way of publishing and of pushing.
    held: [Option<String>; 2],
}

impl Past {
    /// Takes one fact in; false if it only says once more what the one of its kind before it said.
    pub fn fold(&mut self, fact: &Fact) -> bool {
        match fact {
            Fact::RunBegan { run, continues: None, .. } => {
                *self = Self { run: Some(run.clone()), held: std::mem::take(&mut self.held), ..Self::default() };
            }
            Fact::RunBegan { run, .. } => self.run = Some(run.clone()),
            Fact::Landed { .. } | Fact::Done { .. } => self.landed += 1,
            Fact::AttemptFailed { retry: None, .. } => self.failed += 1,
            Fact::Blocked { .. } | Fact::BlockedExternally { .. } => self.blocked += 1,
            Fact::ApprovalAsked { .. } => self.asks += 1,
            Fact::Published { .. } => self.held[0] = None,
            Fact::Pushed { .. } => self.held[1] = None,
            Fact::PublishHeld { why, .. } => return self.is_new(0, why),
            Fact::PushHeld { why, .. } => return self.is_new(1, why),
            _ => {}
        }
        true
    }

    fn is_new(&mut self, which: usize, why: &str) -> bool {
        let why = one_line(why, MAX_TEXT);
        self.held[which].replace(why.clone()) != Some(why)
    }

    fn ended(&self) -> String {
        let of = |n: u32, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let counted =
            [of(self.landed, "landed"), of(self.failed, "failed"), of(self.blocked, "blocked"), of(self.asks, "asked for approval")];
        let counted: Vec<String> = counted.into_iter().flatten().collect();
        let counted = if counted.is_empty() { "nothing landed".to_owned() } else { counted.join(", ") };
        format!("the run has ended: {counted}")
    }
}

impl Letter {
    /// `past` has taken the record's fact in already.
    pub fn new(receiver: &str, scene: &Scene, past: &Past, record: &Record) -> serde_json::Result<Self> {
        let secrets = scene.secrets(&record.fact);
        // Before anything is shortened: half a secret is one too.
        let line = without(report::events::line(record.seq, record.at, &record.fact)?, &secrets);
        let event = record.fact.event();
        let run = past.run.as_ref().map_or("", RunId::as_str);
        // Not from what the fact says: a short secret could be guessed until it fits.
        let which = format!("{receiver}\0{}\0{run}\0{}\0{}\0{event}", scene.target, record.seq, record.at.0);
        let id = sha256_hex(which.as_bytes())[..32].to_owned();
        let task = record.fact.task().cloned();
        let title = task.as_ref().and_then(|id| scene.tasks.get(id)).map(|spec| one_line(&clean(&spec.title, &secrets), MAX_TITLE));
        let title = title.filter(|t| !t.is_empty());
        let said = match &record.fact {
            Fact::RunEnded { .. } => past.ended(),
            _ => {
                let fact = Fact::deserialize(&line).ok();
                fact.and_then(|fact| report::sentence(record.at, &fact)).unwrap_or_else(|| event.replace('_', " "))
            }
        };
        let text = one_line(&format!("{}: {said}", subject(scene, task.as_ref(), title.as_deref())), MAX_TEXT);
        let outline = body::outline(&line, task.as_ref());
        let mut body = Body {
            format_version: FORMAT_VERSION,
            delivery: &id,
            project: &scene.policy.project,
            target: &scene.target,
            run: past.run.as_ref(),
            event: &event,
            title: title.as_deref(),
            text: &text,
            fact: line,
            shortened: None,
        };
        if serde_json::to_string(&body)?.len() > MAX_BODY {
            (body.fact, body.shortened) = (outline, Some(true));
        }
        let body = serde_json::to_value(&body)?;
        Ok(Self { id, event, task, project: scene.policy.project.clone(), text, body })
    }
}

fn subject(scene: &Scene, task: Option<&TaskId>, title: Option<&str>) -> String {
    let project = &scene.policy.project;
    match (task, title) {
        (Some(task), Some(title)) if title != task.as_str() => format!("{project} {task} ({title})"),
        (Some(task), _) => format!("{project} {task}"),
        (None, _) => project.clone(),
    }
}

/// All texts of a document without the secrets; the names in it stay.
fn without(document: Value, secrets: &Logs) -> Value {
    match document {
        _ if secrets.secrets.is_empty() => document,
        Value::String(text) => clean(&text, secrets).into(),
        Value::Array(all) => all.into_iter().map(|one| without(one, secrets)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, one)| (key, without(one, secrets))).collect(),
        other => other,
    }
}

fn clean(text: &str, secrets: &Logs) -> String {
    String::from_utf8_lossy(&process::redact(text.as_bytes(), secrets)).into_owned()
}

/// Whether it is one of those that are asked for; `*` stands for all.
pub fn is_wanted(wanted: &[String], event: &str) -> bool {
    wanted.iter().any(|w| w == "*" || w == event)
}
