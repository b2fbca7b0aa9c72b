//! `codex exec --json`: a thread with turns, and items in them.

use serde::Deserialize;

use super::{Form, kind};
use crate::agent::stream::{AgentEvent, Report, activity, conversation};
use crate::agent::usage::Used;
use crate::core::Usage;

pub struct Codex;

impl Form for Codex {
    fn events(&mut self, line: &str) -> Vec<AgentEvent> {
        match kind(line).as_str() {
            "thread.started" => serde_json::from_str::<Started>(line).ok().and_then(|l| conversation(l.thread_id)).into_iter().collect(),
            "turn.started" => vec![AgentEvent::Begins],
            "item.started" | "item.completed" => serde_json::from_str::<ItemLine>(line).map(|l| item(l.item)).unwrap_or_default(),
            "error" => serde_json::from_str::<Error>(line).map(|e| vec![trouble(e)]).unwrap_or_default(),
            "turn.completed" => completed(serde_json::from_str::<Completed>(line).unwrap_or_default()),
            "turn.failed" => vec![AgentEvent::Result(serde_json::from_str::<Failed>(line).map_or_else(|_| Report::unreadable(), failed))],
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Started {
    thread_id: String,
}

#[derive(Deserialize)]
struct ItemLine {
    item: Item,
}

#[derive(Deserialize)]
struct Item {
    r#type: String,
    text: Option<String>,
    command: Option<String>,
    changes: Option<Vec<Change>>,
    tool: Option<String>,
    query: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Error {
    message: String,
}

#[derive(Deserialize)]
struct Failed {
    error: Error,
}

#[derive(Deserialize, Default)]
struct Completed {
    usage: Option<Tokens>,
}

/// Of the whole thread. What came from a cache or went into one is part of the input.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    cached_input_tokens: u64,
    #[serde(default)]
    cache_write_input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

fn item(item: Item) -> Vec<AgentEvent> {
    let doing = match item.r#type.as_str() {
        "agent_message" => {
            let text = item.text.unwrap_or_default();
            return activity(&text).into_iter().chain([AgentEvent::Words(text)]).collect();
        }
        "command_execution" => item.command.unwrap_or_default(),
        "file_change" => {
            let changes = item.changes.unwrap_or_default();
            changes.iter().map(|c| format!("{} {}", c.kind.as_deref().unwrap_or("change"), c.path)).collect::<Vec<_>>().join(", ")
        }
        "mcp_tool_call" => item.tool.unwrap_or_default(),
        "web_search" => format!("search {}", item.query.unwrap_or_default()),
        _ => return Vec::new(),
    };
    activity(&doing).into_iter().collect()
}

fn trouble(error: Error) -> AgentEvent {
    AgentEvent::Trouble(Report::failure("error", error.message))
}

fn completed(line: Completed) -> Vec<AgentEvent> {
    let total = line.usage.map(|u| Usage {
        input_tokens: u.input_tokens.saturating_sub(u.cached_input_tokens).saturating_sub(u.cache_write_input_tokens),
        output_tokens: u.output_tokens,
        cache_read_tokens: u.cached_input_tokens,
        cache_write_tokens: u.cache_write_input_tokens,
        ..Usage::default()
    });
    let used = total.map(|total| AgentEvent::Used(Used::Total(total)));
    used.into_iter().chain([AgentEvent::Result(Report::success("turn.completed", String::new()))]).collect()
}

fn failed(line: Failed) -> Report {
    Report::failure("turn.failed", line.error.message)
}
