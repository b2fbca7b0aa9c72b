//! Gemini CLI's `stream-json`: messages in pieces, tools, and a last line of type `result`.

use serde::Deserialize;

use super::{Form, ToolInput, kind};
use crate::agent::stream::{AgentEvent, Report, activity, conversation};
use crate::agent::usage::Used;
use crate::core::Usage;

/// The most of one message that is put together from its pieces, in bytes.
const MAX_MESSAGE: usize = 1 << 16;

#[derive(Default)]
pub struct Gemini {
    /// The message that is being given piece by piece.
    message: String,
}

impl Form for Gemini {
    fn events(&mut self, line: &str) -> Vec<AgentEvent> {
        match kind(line).as_str() {
            "init" => serde_json::from_str::<Init>(line).ok().and_then(|l| conversation(l.session_id)).into_iter().collect(),
            "message" => serde_json::from_str(line).ok().and_then(|l| self.message(l)).into_iter().collect(),
            "tool_use" => {
                self.message.clear();
                let on = serde_json::from_str::<ToolUse>(line).map(|l| l.parameters.unwrap_or_default().words(&l.tool_name));
                on.ok().and_then(|on| activity(&on)).into_iter().collect()
            }
            "error" => {
                let message = serde_json::from_str::<Error>(line).ok().and_then(|e| e.message).unwrap_or_default();
                vec![AgentEvent::Trouble(Report::failure("error", message))]
            }
            "result" => serde_json::from_str(line).map_or_else(|_| vec![AgentEvent::Result(Report::unreadable())], |l| self.result(l)),
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Init {
    session_id: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
    #[serde(default)]
    delta: bool,
}

#[derive(Deserialize)]
struct ToolUse {
    tool_name: String,
    parameters: Option<ToolInput>,
}

#[derive(Deserialize)]
struct Last {
    status: String,
    error: Option<Error>,
    stats: Option<Stats>,
}

#[derive(Deserialize, Default)]
struct Error {
    r#type: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Stats {
    /// What of the prompts did not come from a cache.
    #[serde(default)]
    input: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    output_tokens: u64,
}

impl Gemini {
    fn message(&mut self, line: Message) -> Option<AgentEvent> {
        if line.role != "assistant" {
            return None;
        }
        if !line.delta {
            self.message.clear();
        }
        if self.message.len() + line.content.len() <= MAX_MESSAGE {
            self.message += &line.content;
        }
        activity(&line.content)
    }

    fn result(&mut self, last: Last) -> Vec<AgentEvent> {
        let since = last.stats.map(|s| Usage {
            input_tokens: s.input,
            output_tokens: s.output_tokens,
            cache_read_tokens: s.cached,
            ..Usage::default()
        });
        let used = since.map(|since| AgentEvent::Used(Used::Since(since)));
        let report = match last.status.as_str() {
            "success" => Report::success("success", std::mem::take(&mut self.message)),
            status => {
                let error = last.error.unwrap_or_default();
                Report::failure(error.r#type.unwrap_or_else(|| status.to_owned()), error.message.unwrap_or_default())
            }
        };
        used.into_iter().chain([AgentEvent::Result(report)]).collect()
    }
}
