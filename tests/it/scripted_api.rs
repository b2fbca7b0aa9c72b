//! A Messages API on loopback that answers from a script, for tests with real agents.
//!
//! Which reply a request gets depends on what is in it, never on the order of requests: the script
//! is chosen by a marker in the newest text of the user that holds one, and the reply by how many
//! turns the assistant has taken since. A request that is sent again gets the same reply again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a test waits for a request before it fails, and a connection for its bytes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub enum Reply {
    /// Ends the agent's turn with these words.
    Say(String),
    /// Makes the agent use one of its tools. `{cwd}` in the input stands for its working directory.
    Use { tool: String, input: Value },
    /// An HTTP status other than 200 and the error's type.
    Refuse { status: u16, error: String },
    /// No reply for as long as the server lives.
    Hang,
    /// The reply, once it is released.
    Held(Box<Reply>),
}

impl Reply {
    pub fn say(words: &str) -> Self {
        Reply::Say(words.into())
    }
    pub fn use_tool(tool: &str, input: Value) -> Self {
        Reply::Use { tool: tool.into(), input }
    }
    /// Writes a file of the working directory with the agent's own tool.
    pub fn write_file(name: &str, content: &str) -> Self {
        Self::use_tool("Write", json!({ "file_path": format!("{{cwd}}/{name}"), "content": content }))
    }
    pub fn held(reply: Reply) -> Self {
        Reply::Held(Box::new(reply))
    }
    pub fn refuse(status: u16, error: &str) -> Self {
        Reply::Refuse { status, error: error.into() }
    }
}

/// One request, as far as tests ask.
#[derive(Clone, Debug)]
pub struct Request {
    /// The session it belongs to, as the agent says in a header.
    pub session: Option<String>,
    /// The marker that chose its script.
    pub marker: String,
    /// The whole of the user's text that holds the marker.
    pub text: String,
}

/// Listens on 127.0.0.1 until it is dropped.
pub struct ScriptedApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    script: Vec<(String, Vec<Reply>)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    released: bool,
    requests: Vec<Request>,
}

impl ScriptedApi {
    /// Of the markers in one text, the first in the script counts.
    pub fn start(script: Vec<(&str, Vec<Reply>)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let script = script.into_iter().map(|(marker, replies)| (marker.to_owned(), replies)).collect();
        let shared = Arc::new(Shared { script, state: Mutex::default(), changed: Condvar::new() });
        let inner = shared.clone();
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.state.lock().unwrap().stopped {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let inner = inner.clone();
                thread::spawn(move || {
                    // A client that went away is no concern of the script's.
                    answer(&inner, &stream).ok();
                    stream.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets go of every reply that is held, and of those to come.
    pub fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Blocks until a request with the marker came.
    pub fn wait_for(&self, marker: &str) -> Request {
        let state = self.shared.state.lock().unwrap();
        let seen = |s: &State| s.requests.iter().find(|r| r.marker == marker).cloned();
        let (state, _) = self.shared.changed.wait_timeout_while(state, PATIENCE, |s| seen(s).is_none()).unwrap();
        seen(&state).unwrap_or_else(|| panic!("no request with {marker:?} came in {PATIENCE:?}"))
    }
}

impl Drop for ScriptedApi {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopped = true;
        self.shared.changed.notify_all();
        // Wakes the acceptor.
        TcpStream::connect(self.address).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn answer(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut from = BufReader::new(stream);
    let mut line = String::new();
    from.read_line(&mut line)?;
    let post = line.starts_with("POST ") && line.contains("/v1/messages");
    let (mut length, mut session) = (0, None);
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "x-claude-code-session-id" => session = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return refuse(stream, 404, "not_found_error") };
    if !post {
        return refuse(stream, 404, "not_found_error");
    }
    let reply = choose(shared, &body, session);
    perform(shared, stream, &body, reply)
}

fn perform(shared: &Shared, stream: &TcpStream, body: &Value, reply: Option<Reply>) -> std::io::Result<()> {
    match reply {
        Some(Reply::Held(reply)) => {
            let state = shared.state.lock().unwrap();
            let stopped = shared.changed.wait_while(state, |s| !s.released && !s.stopped).unwrap().stopped;
            if stopped { Ok(()) } else { perform(shared, stream, body, Some(*reply)) }
        }
        Some(Reply::Refuse { status, error }) => refuse(stream, status, &error),
        Some(Reply::Hang) => {
            let state = shared.state.lock().unwrap();
            drop(shared.changed.wait_while(state, |s| !s.stopped).unwrap());
            Ok(())
        }
        Some(Reply::Say(words)) => {
            let delta = json!({ "type": "text_delta", "text": words });
            send(stream, body, json!({ "type": "text", "text": "" }), delta, "end_turn")
        }
        Some(Reply::Use { tool, input }) => {
            let input = input.to_string().replace("{cwd}", &working_directory(body));
            let start = json!({ "type": "tool_use", "id": format!("toolu_{}", turns(body).len()), "name": tool, "input": {} });
            send(stream, body, start, json!({ "type": "input_json_delta", "partial_json": input }), "tool_use")
        }
        None => refuse(stream, 400, "no_script_for_this_prompt"),
    }
}

/// The reply that the script holds for this request; notes the request.
fn choose(shared: &Shared, body: &Value, session: Option<String>) -> Option<Reply> {
    let turns = turns(body);
    let (at, text, (marker, replies)) = turns.iter().enumerate().rev().find_map(|(at, turn)| {
        let text = words(turn).filter(|_| turn["role"] == "user")?;
        let script = shared.script.iter().find(|(marker, _)| text.contains(marker.as_str()))?;
        Some((at, text, script))
    })?;
    let taken = turns[at..].iter().filter(|t| t["role"] == "assistant").count();
    shared.state.lock().unwrap().requests.push(Request { session, marker: marker.clone(), text });
    shared.changed.notify_all();
    Some(replies.get(taken).cloned().unwrap_or_else(|| Reply::say("The script is over.")))
}

fn turns(body: &Value) -> &[Value] {
    body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The text of a turn, without what tools answered.
fn words(turn: &Value) -> Option<String> {
    let blocks = match &turn["content"] {
        Value::String(text) => return Some(text.clone()),
        content => content.as_array()?,
    };
    let texts: Vec<&str> = blocks.iter().filter(|b| b["type"] == "text").filter_map(|b| b["text"].as_str()).collect();
    Some(texts.join("\n"))
}

/// Where the agent works, which it tells the model.
fn working_directory(body: &Value) -> String {
    let system = json!({ "content": body["system"] });
    let texts = turns(body).iter().chain([&system]).filter_map(words).collect::<Vec<_>>().join("\n");
    let rest = texts.split("Primary working directory: ").nth(1);
    rest.and_then(|r| r.lines().next()).unwrap_or("/the-agent-did-not-say-where-it-works").to_owned()
}

fn refuse(mut stream: &TcpStream, status: u16, error: &str) -> std::io::Result<()> {
    let body = json!({ "type": "error", "error": { "type": error, "message": format!("scripted {error}") } }).to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// One block of content, as a stream of server-sent events.
fn send(mut stream: &TcpStream, body: &Value, start: Value, delta: Value, stop: &str) -> std::io::Result<()> {
    let usage = json!({ "input_tokens": 1000, "output_tokens": 50, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0 });
    let message = json!({
        "id": format!("msg_{}", turns(body).len()), "type": "message", "role": "assistant", "model": body["model"], "content": [],
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
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    for event in events {
        write!(stream, "event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())?;
    }
    stream.flush()
}
