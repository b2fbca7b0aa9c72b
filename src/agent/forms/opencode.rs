//! `opencode run --format json`: steps, each with an answer of the model. No line says that all is
//! done: the last step does, by why it ended.

use serde::Deserialize;

use super::{Form, ToolInput, kind};
use crate::agent::stream::{AgentEvent, Report, activity, conversation};
use crate::agent::usage::{Used, microusd};
use crate::core::Usage;

#[derive(Default)]
pub struct Opencode {
    /// Every line names the conversation; it is told once.
    named: bool,
}

impl Form for Opencode {
    fn events(&mut self, line: &str) -> Vec<AgentEvent> {
        let mut found: Vec<AgentEvent> = self.conversation(line).into_iter().collect();
        match kind(line).as_str() {
            "step_start" => found.push(AgentEvent::Begins),
            "text" => {
                let text = part(line).and_then(|p| p.text).unwrap_or_default();
                found.extend(activity(&text));
                found.push(AgentEvent::Words(text));
            }
            "tool_use" => found.extend(part(line).and_then(tool)),
            "step_finish" => found.extend(part(line).map_or_else(|| vec![AgentEvent::Result(Report::unreadable())], finished)),
            "error" => {
                let read = serde_json::from_str::<ErrorLine>(line).map_or_else(|_| Report::unreadable(), |l| failed(l.error));
                found.push(AgentEvent::Result(read));
            }
            _ => {}
        }
        found
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "sessionID")]
    session_id: String,
}

#[derive(Deserialize)]
struct PartLine {
    part: Part,
}

#[derive(Deserialize)]
struct Part {
    id: Option<String>,
    text: Option<String>,
    tool: Option<String>,
    state: Option<ToolState>,
    reason: Option<String>,
    tokens: Option<Tokens>,
    cost: Option<f64>,
}

#[derive(Deserialize)]
struct ToolState {
    input: Option<ToolInput>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input: u64,
    #[serde(default)]
    output: u64,
    #[serde(default)]
    reasoning: u64,
    #[serde(default)]
    cache: Cache,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cache {
    read: u64,
    write: u64,
}

#[derive(Deserialize)]
struct ErrorLine {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    name: Option<String>,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    message: Option<String>,
    #[serde(rename = "statusCode")]
    status: Option<u16>,
}

impl Opencode {
    fn conversation(&mut self, line: &str) -> Option<AgentEvent> {
        if self.named {
            return None;
        }
        let found = serde_json::from_str::<Named>(line).ok().and_then(|l| conversation(l.session_id));
        self.named = found.is_some();
        found
    }
}

fn part(line: &str) -> Option<Part> {
    serde_json::from_str::<PartLine>(line).ok().map(|l| l.part)
}

fn tool(part: Part) -> Option<AgentEvent> {
    let input = part.state.and_then(|s| s.input).unwrap_or_default();
    activity(&input.words(&part.tool.unwrap_or_default()))
}

fn finished(part: Part) -> Vec<AgentEvent> {
    let tokens = part.tokens.map(|t| Usage {
        input_tokens: t.input,
        output_tokens: t.output.saturating_add(t.reasoning),
        cache_read_tokens: t.cache.read,
        cache_write_tokens: t.cache.write,
        cost_microusd: microusd(part.cost.unwrap_or_default()),
        ..Usage::default()
    });
    let used = part.id.zip(tokens).map(|(id, tokens)| AgentEvent::Used(Used::Answer(id, tokens)));
    let reason = part.reason.unwrap_or_default();
    let result = match reason.as_str() {
        // It goes on with what the tools answer.
        "tool-calls" => None,
        "stop" => Some(Report::success("stop", String::new())),
        _ => Some(Report::failure(reason, "it stopped before it was done")),
    };
    used.into_iter().chain(result.map(AgentEvent::Result)).collect()
}

fn failed(error: Error) -> Report {
    let name = error.name.unwrap_or_else(|| "error".into());
    let (text, status) = error.data.map(|d| (d.message.unwrap_or_default(), d.status)).unwrap_or_default();
    Report { status, words: vec![name.clone()], ..Report::failure(name, text) }
}
