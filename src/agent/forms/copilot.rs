//! Copilot CLI's `--output-format json`: events with their data, and a last line of type `result`.

use serde::Deserialize;

use super::{Form, ToolInput, kind};
use crate::agent::stream::{AgentEvent, Report, activity, conversation};
use crate::agent::usage::Used;
use crate::core::Usage;

pub struct Copilot;

impl Form for Copilot {
    fn events(&mut self, line: &str) -> Vec<AgentEvent> {
        match kind(line).as_str() {
            "assistant.turn_start" => vec![AgentEvent::Begins],
            "assistant.message" => serde_json::from_str::<MessageLine>(line).map(|l| message(l.data)).unwrap_or_default(),
            "session.error" => {
                vec![AgentEvent::Trouble(serde_json::from_str::<ErrorLine>(line).map_or_else(|_| Report::unreadable(), |l| failed(l.data)))]
            }
            "result" => serde_json::from_str(line).map_or_else(|_| vec![AgentEvent::Result(Report::unreadable())], result),
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct MessageLine {
    data: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: Option<String>,
    #[serde(default)]
    content: String,
    #[serde(default)]
    tool_requests: Vec<ToolRequest>,
    #[serde(default)]
    output_tokens: u64,
}

#[derive(Deserialize)]
struct ToolRequest {
    name: String,
    arguments: Option<ToolInput>,
}

#[derive(Deserialize)]
struct ErrorLine {
    data: Error,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Error {
    error_type: Option<String>,
    message: Option<String>,
    status_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Last {
    session_id: Option<String>,
    exit_code: i64,
}

fn message(message: Message) -> Vec<AgentEvent> {
    // Of an answer it says at most how long it was.
    let used = Usage { output_tokens: message.output_tokens, ..Usage::default() };
    let used = message.message_id.map(|id| AgentEvent::Used(Used::Answer(id, used)));
    let tools = message.tool_requests.into_iter().map(|t| t.arguments.unwrap_or_default().words(&t.name));
    let doing = tools.filter_map(|w| activity(&w)).next_back().or_else(|| activity(&message.content));
    let words = Some(message.content).filter(|c| !c.trim().is_empty()).map(AgentEvent::Words);
    used.into_iter().chain(doing).chain(words).collect()
}

fn failed(error: Error) -> Report {
    let reason = error.error_type.unwrap_or_else(|| "error".into());
    Report { status: error.status_code, words: vec![reason.clone()], ..Report::failure(reason, error.message.unwrap_or_default()) }
}

fn result(last: Last) -> Vec<AgentEvent> {
    let report = match last.exit_code {
        0 => Report::success("exit code 0", String::new()),
        code => Report::failure(format!("exit code {code}"), ""),
    };
    last.session_id.and_then(conversation).into_iter().chain([AgentEvent::Result(report)]).collect()
}
