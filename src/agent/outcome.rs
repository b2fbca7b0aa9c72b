//! What an agent says of how it went in the file that `DROVER_OUTCOME` names. Hostile, like all
//! that an agent writes: bounded, read strictly, and made safe to show.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::base::text::{block, one_line};
use crate::core::{Exit, Failure, FailureClass, FollowUp, Outcome};

/// The longest file that is read, in bytes.
pub const MAX_OUTCOME: u64 = 64 << 10;
/// The most of each text, in characters, and of further tasks.
const MAX_REASON: usize = 1000;
const MAX_TITLE: usize = 200;
const MAX_TEXT: usize = 4000;
const MAX_FOLLOW_UP: usize = 20;

/// What an agent may write. Without the file, or with an empty one, the exit code is all there is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Drover: what an agent says of how it went, in the file that DROVER_OUTCOME names")]
pub struct Said {
    /// `done` if nothing is said: the exit code counts, and what it made is checked as ever.
    #[serde(default)]
    outcome: Word,
    /// Why; wanted with `blocked` and `failed`.
    #[serde(default)]
    reason: Option<String>,
    /// What was done, for the body of the commit message, in place of the agent's last words.
    #[serde(default)]
    summary: Option<String>,
    /// Work that is no part of the task. It is shown to people; nothing acts on it by itself.
    #[serde(default)]
    follow_up: Vec<Found>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Word {
    #[default]
    Done,
    /// Something outside keeps it from the task, such as a missing credential: another attempt would
    /// come to the same. The task waits for a person.
    Blocked,
    /// The attempt has failed, whatever the exit code.
    Failed,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FollowUp")]
struct Found {
    /// One line.
    title: String,
    #[serde(default)]
    description: String,
}

/// The schema of the file.
pub fn outcome_schema() -> serde_json::Value {
    let schema: Schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Said>();
    schema.to_value()
}

/// What the file says, or in words why it cannot be used.
pub fn said(bytes: &[u8]) -> Result<Option<Said>, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let said: Said = serde_json::from_slice(bytes).map_err(|e| one_line(&e.to_string(), MAX_TITLE))?;
    let reason = said.reason.as_deref().unwrap_or_default().trim();
    match said.outcome {
        Word::Blocked | Word::Failed if reason.is_empty() => Err("`reason` has to say why".into()),
        _ => Ok(Some(said)),
    }
}

/// How a step ended, in the light of what its command says. What was cut short, or refused by its
/// service, is done again: its words do not count. Nor can any words make good what went wrong.
pub fn weigh(exit: Exit, said: Said) -> Exit {
    if matches!(exit.outcome, Outcome::Interrupted | Outcome::Held(_)) {
        return exit;
    }
    let reason = bounded(said.reason.as_deref().unwrap_or_default(), MAX_REASON);
    // One that ran into a time-out or a limit was not stopped by what it names.
    let ended = match &exit.outcome {
        Outcome::Failed(failure) => failure.class == FailureClass::Agent,
        _ => true,
    };
    let outcome = match (said.outcome, exit.outcome) {
        (Word::Blocked, _) if ended => Outcome::Blocked(reason),
        (Word::Failed, Outcome::Succeeded) => Outcome::Failed(Failure::new(FailureClass::Agent, reason)),
        (_, outcome) => outcome,
    };
    let summary = said.summary.map(|text| bounded(&text, MAX_TEXT)).filter(|text| !text.is_empty()).unwrap_or(exit.summary);
    let found =
        said.follow_up.iter().map(|f| FollowUp { title: one_line(&f.title, MAX_TITLE), description: bounded(&f.description, MAX_TEXT) });
    let follow_up = found.filter(|f| !f.title.is_empty()).take(MAX_FOLLOW_UP).collect();
    Exit { outcome, summary, follow_up, usage: exit.usage, thread: exit.thread }
}

/// How a step ended whose command wrote something that cannot be used: what it meant is not known,
/// so it did not succeed.
pub fn misread(exit: Exit, why: &str) -> Exit {
    let message = format!("what it wrote to $DROVER_OUTCOME cannot be used: {why}; `drover schema outcome` says what can");
    match exit.outcome {
        Outcome::Succeeded => Exit { outcome: Outcome::Failed(Failure::new(FailureClass::Agent, message)), ..exit },
        _ => exit,
    }
}

fn bounded(text: &str, most: usize) -> String {
    block(text.trim()).chars().take(most).collect()
}
