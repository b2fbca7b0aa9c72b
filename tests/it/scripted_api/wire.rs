//! The protocols that agents speak to their services: what a request says, and one block of an
//! answer, each as a stream of server-sent events.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

/// When a limit is lifted that a refusal tells of: in 2100, in seconds.
const RESETS: u64 = 4_102_444_800;

#[derive(Clone, Copy, PartialEq)]
pub enum Wire {
    /// Anthropic's.
    Messages,
    /// OpenAI's newer one.
    Responses,
    /// OpenAI's older one, which most others speak too.
    Chat,
    /// Google's.
    Gemini,
}

/// What somebody said, without what tools answered.
pub struct Turn {
    pub is_user: bool,
    /// One answer of the model: words, or the use of a tool.
    pub is_assistant: bool,
    pub text: String,
}

impl Wire {
    /// By the path of the request.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.split('?').next()?;
        match () {
            _ if path.ends_with("/v1/messages") => Some(Wire::Messages),
            _ if path.ends_with("/responses") => Some(Wire::Responses),
            _ if path.ends_with("/chat/completions") => Some(Wire::Chat),
            _ if path.ends_with(":streamGenerateContent") || path.ends_with(":generateContent") => Some(Wire::Gemini),
            _ => None,
        }
    }

    /// A question beside the conversation, such as for a title: it comes without tools.
    pub fn is_aside(self, body: &Value) -> bool {
        self != Wire::Messages && body["tools"].as_array().is_none_or(Vec::is_empty)
    }

    pub fn turns(self, body: &Value) -> Vec<Turn> {
        let key = match self {
            Wire::Messages | Wire::Chat => "messages",
            Wire::Responses => "input",
            Wire::Gemini => "contents",
        };
        body[key].as_array().into_iter().flatten().map(|item| self.turn(item)).collect()
    }

    fn turn(self, item: &Value) -> Turn {
        let is_assistant = match self {
            Wire::Messages | Wire::Chat => item["role"] == "assistant",
            Wire::Responses => item["role"] == "assistant" || item["type"] == "function_call",
            Wire::Gemini => item["role"] == "model",
        };
        let parts = if self == Wire::Gemini { &item["parts"] } else { &item["content"] };
        Turn { is_user: item["role"] == "user", is_assistant, text: words(parts) }
    }

    /// Where the agent works, which it tells the model; of a conversation that moved, where it is now.
    pub fn working_directory(self, body: &Value, turns: &[Turn]) -> String {
        let system = words(&body["system"]);
        let texts = [system.as_str()].into_iter().chain(turns.iter().map(|t| t.text.as_str())).collect::<Vec<_>>().join("\n");
        // Claude Code says it itself; to the others Drover does.
        let (before, after) = match self {
            Wire::Messages => ("Primary working directory: ", " (was "),
            _ => ("Work only in ", ", your working directory"),
        };
        let rest = texts.split(before).skip(1).last().and_then(|rest| rest.lines().next());
        rest.and_then(|l| l.split(after).next()).unwrap_or("/the-agent-did-not-say-where-it-works").to_owned()
    }

    /// The body of a refusal.
    pub fn error(self, status: u16, error: &str, message: &str) -> Value {
        match self {
            Wire::Messages => json!({ "type": "error", "error": { "type": error, "message": message } }),
            Wire::Responses | Wire::Chat => {
                json!({ "error": { "type": error, "message": message, "plan_type": "pro", "resets_at": RESETS } })
            }
            Wire::Gemini => json!({ "error": { "code": status, "message": message, "status": error } }),
        }
    }

    pub fn say(self, stream: &TcpStream, body: &Value, n: usize, words: &str) -> std::io::Result<()> {
        match self {
            Wire::Messages => {
                let delta = json!({ "type": "text_delta", "text": words });
                message(stream, body, n, json!({ "type": "text", "text": "" }), delta, "end_turn")
            }
            Wire::Responses => response(stream, body, n, &spoken(n, words)),
            Wire::Chat => completion(stream, body, n, json!({ "role": "assistant", "content": words }), "stop"),
            Wire::Gemini => content(stream, json!({ "text": words })),
        }
    }

    /// `input` is JSON.
    pub fn use_tool(self, stream: &TcpStream, body: &Value, n: usize, tool: &str, input: &str) -> std::io::Result<()> {
        match self {
            Wire::Messages => {
                let start = json!({ "type": "tool_use", "id": format!("toolu_{n}"), "name": tool, "input": {} });
                message(stream, body, n, start, json!({ "type": "input_json_delta", "partial_json": input }), "tool_use")
            }
            Wire::Responses => response(stream, body, n, &called(n, tool, input)),
            Wire::Chat => {
                let call =
                    json!({ "index": 0, "id": format!("call_{n}"), "type": "function", "function": { "name": tool, "arguments": input } });
                completion(stream, body, n, json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
            }
            Wire::Gemini => {
                let args: Value = serde_json::from_str(input).unwrap();
                content(stream, json!({ "functionCall": { "name": tool, "args": args }, "thoughtSignature": "c2ln" }))
            }
        }
    }
}

/// The texts in a content, whatever it calls them.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        content => {
            let texts = content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

fn stream_of(mut stream: &TcpStream, events: &[(&str, Value)]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    for (name, event) in events {
        let name = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
        write!(stream, "{name}data: {event}\n\n")?;
    }
    stream.flush()
}

fn message(stream: &TcpStream, body: &Value, n: usize, start: Value, delta: Value, stop: &str) -> std::io::Result<()> {
    let usage = json!({ "input_tokens": 1000, "output_tokens": 50, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0 });
    let message = json!({
        "id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": body["model"], "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null }, "usage": { "output_tokens": 50 } }),
        json!({ "type": "message_stop" }),
    ];
    stream_of(stream, &typed(&events))
}

fn typed(events: &[Value]) -> Vec<(&str, Value)> {
    events.iter().map(|e| (e["type"].as_str().unwrap(), e.clone())).collect()
}

fn spoken(n: usize, words: &str) -> Value {
    let text = json!({ "type": "output_text", "text": words, "annotations": [] });
    json!({ "type": "message", "id": format!("msg_{n}"), "status": "completed", "role": "assistant", "content": [text] })
}

fn called(n: usize, tool: &str, input: &str) -> Value {
    let (id, call) = (format!("fc_{n}"), format!("call_{n}"));
    json!({ "type": "function_call", "id": id, "call_id": call, "name": tool, "arguments": input, "status": "completed" })
}

fn response(stream: &TcpStream, body: &Value, n: usize, item: &Value) -> std::io::Result<()> {
    let of = |status: &str, output: Value, usage: Value| {
        json!({
            "id": format!("resp_{n}"), "object": "response", "created_at": 1, "status": status, "model": body["model"], "output": output,
            "usage": usage, "error": null, "incomplete_details": null, "parallel_tool_calls": true, "tools": [], "tool_choice": "auto",
        })
    };
    let usage = json!({
        "input_tokens": 1000, "input_tokens_details": { "cached_tokens": 400 }, "output_tokens": 50,
        "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 1050,
    });
    let events = [
        json!({ "type": "response.created", "response": of("in_progress", json!([]), Value::Null) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": of("completed", json!([item]), usage) }),
    ];
    stream_of(stream, &typed(&events))
}

fn completion(stream: &TcpStream, body: &Value, n: usize, delta: Value, finish: &str) -> std::io::Result<()> {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": format!("chatcmpl-{n}"), "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices,
            "usage": usage,
        })
    };
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let usage = json!({ "prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050 });
    let events = [
        ("", chunk(choice(delta, Value::Null), Value::Null)),
        ("", chunk(choice(json!({}), json!(finish)), Value::Null)),
        ("", chunk(json!([]), usage)),
    ];
    stream_of(stream, &events)?;
    (&mut &*stream).write_all(b"data: [DONE]\n\n")
}

fn content(stream: &TcpStream, part: Value) -> std::io::Result<()> {
    let candidate = json!({ "content": { "role": "model", "parts": [part] }, "finishReason": "STOP", "index": 0 });
    let usage = json!({ "promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1050 });
    stream_of(stream, &[("", json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r" }))])
}
