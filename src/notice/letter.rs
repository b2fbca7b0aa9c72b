//! What a receiver is told of one fact: it comes from the journal, and from what a bookmark remembers of
//! it. Its id is the same on every try and after every crash; names are those of the day. Secrets are
//! told nobody.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{self, Body, FORMAT_VERSION};

use crate::base::text::one_line;
use crate::base::{RunId, TaskId, sha256_hex};
use crate::core::Fact;
use crate::report::{self, Veil};
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

/// Where it happens.
pub struct Scene {
    pub target: String,
    /// Knows the settings and the tasks, and keeps their secrets.
    pub veil: Veil,
    /// Once it is known.
    pub journal: Option<String>,
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
    pub fn new(receiver: &str, scene: &mut Scene, past: &Past, record: &Record) -> serde_json::Result<Self> {
        // Before anything is shortened: half a secret is one too.
        let line = scene.veil.line(record.seq, record.at, &record.fact)?;
        let event = record.fact.event();
        let run = past.run.as_ref().map_or("", RunId::as_str);
        // Not from what the fact says: a short secret could be guessed until it fits.
        let which = format!("{receiver}\0{}\0{run}\0{}\0{}\0{event}", scene.target, record.seq, record.at.0);
        let id = sha256_hex(which.as_bytes())[..32].to_owned();
        let task = record.fact.task().cloned();
        let title = task.as_ref().and_then(|id| Some(one_line(&scene.veil.title(id)?, MAX_TITLE)));
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
            project: &scene.veil.policy().project,
            target: &scene.target,
            journal: scene.journal.as_deref(),
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
        Ok(Self { id, event, task, project: scene.veil.policy().project.clone(), text, body })
    }
}

fn subject(scene: &Scene, task: Option<&TaskId>, title: Option<&str>) -> String {
    let project = &scene.veil.policy().project;
    match (task, title) {
        (Some(task), Some(title)) if title != task.as_str() => format!("{project} {task} ({title})"),
        (Some(task), _) => format!("{project} {task}"),
        (None, _) => project.clone(),
    }
}

/// Whether it is one of those that are asked for; `*` stands for all.
pub fn is_wanted(wanted: &[String], event: &str) -> bool {
    wanted.iter().any(|w| w == "*" || w == event)
}
