//! Claude Code's `stream-json`, which Qwen Code and Amp print too: the last line of type `result`
//! says how it went.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Form, ToolInput, kind};
use crate::agent::stream::{AgentEvent, Report, activity};
use crate::agent::usage::{Answer, OfModel, Used, of_models};
use crate::base::Millis;

#[derive(Default)]
pub struct Claude {
    /// What kind of error the last answer was, if it was one.
    error: Option<String>,
}

impl Form for Claude {
    fn events(&mut self, line: &str) -> Vec<AgentEvent> {
        match kind(line).as_str() {
            "assistant" => serde_json::from_str(line).map(|l| self.assistant(l)).unwrap_or_default(),
            "rate_limit_event" => serde_json::from_str(line).ok().and_then(resets).into_iter().collect(),
            // One that cannot be read still is the last word, and not a good one.
            "result" => serde_json::from_str(line).map_or_else(|_| vec![AgentEvent::Result(Report::unreadable())], |l| self.result(l)),
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Assistant {
    message: Message,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    usage: Option<Answer>,
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
    name: Option<String>,
    input: Option<ToolInput>,
}

#[derive(Deserialize)]
struct LimitLine {
    rate_limit_info: LimitInfo,
}

#[derive(Deserialize)]
struct LimitInfo {
    status: String,
    /// Seconds since 1970.
    #[serde(rename = "resetsAt")]
    resets_at: Option<u64>,
}

#[derive(Deserialize)]
struct Last {
    subtype: Option<String>,
    is_error: Option<bool>,
    result: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
    error: Option<Said>,
    api_error: Option<String>,
    api_error_status: Option<u16>,
    terminal_reason: Option<String>,
    usage: Option<Answer>,
    model_usage_since_last_result: Option<BTreeMap<String, OfModel>>,
    #[serde(default)]
    permission_denials: Vec<Denial>,
}

/// How Qwen Code gives the words of an error.
#[derive(Deserialize)]
struct Said {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Denial {
    tool_name: Option<String>,
}

impl Claude {
    fn assistant(&mut self, mut line: Assistant) -> Vec<AgentEvent> {
        self.error = line.error.take();
        let used = match (line.message.id.take(), line.message.usage.take(), &self.error) {
            (Some(id), Some(used), None) => Some(AgentEvent::Used(Used::Answer(id, used.into()))),
            _ => None,
        };
        used.into_iter().chain(doing(line.message)).collect()
    }

    fn result(&mut self, mut last: Last) -> Vec<AgentEvent> {
        // By model, with what it cost, or at least in tokens.
        let since = match (&last.model_usage_since_last_result, last.usage.take()) {
            (Some(models), _) => Some(of_models(models.values())),
            (None, tokens) => tokens.map(Into::into),
        };
        let used = since.map(|since| AgentEvent::Used(Used::Since(since)));
        let result = AgentEvent::Result(report(last, self.error.take()));
        used.into_iter().chain([result]).collect()
    }
}

fn resets(line: LimitLine) -> Option<AgentEvent> {
    let limit = line.rate_limit_info;
    let at = limit.resets_at.filter(|_| limit.status == "rejected")?;
    Some(AgentEvent::Resets(Millis(at.saturating_mul(1000))))
}

fn doing(message: Message) -> Option<AgentEvent> {
    let words = message.content.into_iter().filter_map(|block| match block.r#type.as_str() {
        "text" => block.text,
        "tool_use" => Some(block.input.unwrap_or_default().words(&block.name.unwrap_or_default())),
        _ => None,
    });
    words.filter_map(|w| activity(&w)).next_back()
}

fn report(last: Last, error: Option<String>) -> Report {
    let subtype = last.subtype.unwrap_or_default();
    let named = [Some(&subtype), error.as_ref(), last.api_error.as_ref(), last.terminal_reason.as_ref()];
    let words = named.into_iter().flatten().cloned().collect();
    let succeeded = subtype == "success" && last.is_error == Some(false);
    // An error of the API comes as `success` with `is_error`; what it was stands elsewhere.
    let reason = match subtype.as_str() {
        "success" if !succeeded => last.api_error.or(last.terminal_reason).unwrap_or_else(|| "error".into()),
        _ => subtype,
    };
    let mut denied: Vec<String> = last.permission_denials.into_iter().filter_map(|d| d.tool_name).collect();
    denied.sort();
    denied.dedup();
    let error = last.error.and_then(|e| e.message);
    let text = last.result.or(error).unwrap_or_else(|| last.errors.join("\n"));
    Report { succeeded, reason, text, denied, status: last.api_error_status, words }
}
