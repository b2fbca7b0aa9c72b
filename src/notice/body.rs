//! What a receiver is sent of one event, as it goes over the line; and its schema.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::{RunId, TaskId};
use crate::core::Fact;
use crate::report::events;

/// Of the bodies; a minor version only adds.
pub const FORMAT_VERSION: &str = "1.0";

/// One event, as webhooks and commands are told of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Body<'a> {
    pub format_version: &'static str,
    /// The same whenever the same is delivered again.
    pub delivery: &'a str,
    pub project: &'a str,
    /// The branch that is landed on.
    pub target: &'a str,
    /// Which journal the number of the fact is from: another one where the record was made anew.
    pub journal: Option<&'a str>,
    /// The run that it happened in; null for what was decided before any.
    pub run: Option<&'a RunId>,
    /// Which event: the name of the fact, or `failed` for an `attempt_failed` that no other attempt follows.
    pub event: &'a str,
    /// The task's, where it is about one that has one.
    pub title: Option<&'a str>,
    /// One line for people, without control characters.
    pub text: &'a str,
    /// The line of the journal, with `***` for secrets; its outline where the body would be too long with it.
    #[schemars(with = "Told")]
    pub fact: Value,
    /// Only there, and true, where of the fact its outline is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortened: Option<bool>,
}

/// A line of the journal, or what is told of one that is too long. For the schema alone.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its shape is asked for")]
enum Told {
    Whole(Box<Fact>),
    Outline(Outline),
}

/// What is told of a fact that is too long.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is asked for")]
struct Outline {
    /// Which fact.
    fact: String,
    /// What it is about, if it is about a task.
    task: Option<TaskId>,
}

/// A line of the journal without what is particular to its fact.
pub fn outline(line: &Value, task: Option<&TaskId>) -> Value {
    json!({ "type": "fact", "fact": line["fact"], "seq": line["seq"], "at": line["at"], "task": task })
}

/// The schema of a body.
pub fn schema() -> Value {
    let mut schema = events::schema_with::<Body<'_>>(&["Fact", "Outline"]);
    schema["title"] = "Drover: what receivers of events are told".into();
    schema
}
