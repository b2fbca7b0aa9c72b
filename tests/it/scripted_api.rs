//! An API on loopback that answers from a script, for tests with real agents. It speaks the four
//! protocols that they do, see `wire`.
//!
//! Which reply a request gets depends on what is in it, never on the order of requests: the script
//! is chosen by a marker in the newest text of the user that holds one, and the reply by how many
//! turns the assistant has taken since. A request that is sent again gets the same reply again.

mod wire;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use wire::{Turn, Wire};

/// How long a test waits for a request before it fails, and a connection for its bytes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub enum Reply {
    /// Ends the agent's turn with these words.
    Say(String),
    /// Makes the agent use one of its tools. `{cwd}` in the input stands for its working directory.
    Use { tool: String, input: Value },
    /// An HTTP status other than 200, the error's type and message, and headers.
    Refuse { status: u16, error: String, message: String, headers: Vec<(String, String)> },
    /// The connection ends without a word.
    Drop,
    /// The first reply to so many requests, and then the other.
    Times { n: usize, first: Box<Reply>, then: Box<Reply> },
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
        Self::refuse_with(status, error, &format!("scripted {error}"), &[])
    }
    pub fn refuse_with(status: u16, error: &str, message: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Reply::Refuse { status, error: error.into(), message: message.into(), headers }
    }
    /// Refuses so many requests that should get the reply, and gives it to those after them.
    pub fn after(n: usize, first: Reply, then: Reply) -> Self {
        Reply::Times { n, first: Box::new(first), then: Box::new(then) }
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
    /// What the agent was told before that, as JSON.
    pub system: String,
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
    /// How often each reply of each script was asked for.
    asked: BTreeMap<(String, usize), usize>,
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

    /// Without a path: what follows is the agent's to say.
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
    let wire = line.strip_prefix("POST ").and_then(|rest| Wire::of(rest.split(' ').next()?));
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
    let (Some(wire), Ok(body)) = (wire, serde_json::from_slice::<Value>(&body)) else { return refuse(stream, 404, "not_found_error") };
    let session = session.or_else(|| body["prompt_cache_key"].as_str().map(str::to_owned));
    let asked = Asked { wire, turns: wire.turns(&body), body };
    // Names for conversations and the like are no turns.
    let reply = if wire.is_aside(&asked.body) { Some(Reply::say("ok")) } else { choose(shared, &asked, session) };
    perform(shared, stream, &asked, reply)
}

/// A request in the words of its protocol.
struct Asked {
    wire: Wire,
    body: Value,
    turns: Vec<Turn>,
}

fn perform(shared: &Shared, stream: &TcpStream, asked: &Asked, reply: Option<Reply>) -> std::io::Result<()> {
    match reply {
        Some(Reply::Held(reply)) => {
            let state = shared.state.lock().unwrap();
            let stopped = shared.changed.wait_while(state, |s| !s.released && !s.stopped).unwrap().stopped;
            if stopped { Ok(()) } else { perform(shared, stream, asked, Some(*reply)) }
        }
        Some(Reply::Refuse { status, error, message, headers }) => {
            refuse_with(stream, status, &asked.wire.error(status, &error, &message), &headers)
        }
        Some(Reply::Drop) => Ok(()),
        Some(Reply::Times { .. }) => unreachable!("it was chosen already"),
        Some(Reply::Hang) => {
            let state = shared.state.lock().unwrap();
            drop(shared.changed.wait_while(state, |s| !s.stopped).unwrap());
            Ok(())
        }
        Some(Reply::Say(words)) => asked.wire.say(stream, &asked.body, asked.turns.len(), &words),
        Some(Reply::Use { tool, input }) => {
            let input = input.to_string().replace("{cwd}", &asked.wire.working_directory(&asked.body, &asked.turns));
            asked.wire.use_tool(stream, &asked.body, asked.turns.len(), &tool, &input)
        }
        None => refuse(stream, 400, "no_script_for_this_prompt"),
    }
}

/// The reply that the script holds for this request; notes the request.
fn choose(shared: &Shared, asked: &Asked, session: Option<String>) -> Option<Reply> {
    let turns = &asked.turns;
    let (at, text, (marker, replies)) = turns.iter().enumerate().rev().find_map(|(at, turn)| {
        let text = Some(&turn.text).filter(|_| turn.is_user)?;
        let script = shared.script.iter().find(|(marker, _)| text.contains(marker.as_str()))?;
        Some((at, text, script))
    })?;
    let taken = turns[at..].iter().filter(|t| t.is_assistant).count();
    let mut state = shared.state.lock().unwrap();
    let system = asked.body["system"].to_string();
    state.requests.push(Request { session, marker: marker.clone(), text: text.clone(), system });
    let asked = state.asked.entry((marker.clone(), taken)).or_default();
    *asked += 1;
    let nth = *asked;
    drop(state);
    shared.changed.notify_all();
    match replies.get(taken).cloned().unwrap_or_else(|| Reply::say("The script is over.")) {
        Reply::Times { n, first, then } => Some(if nth <= n { *first } else { *then }),
        reply => Some(reply),
    }
}

fn refuse(stream: &TcpStream, status: u16, error: &str) -> std::io::Result<()> {
    refuse_with(stream, status, &Wire::Messages.error(status, error, &format!("scripted {error}")), &[])
}

fn refuse_with(mut stream: &TcpStream, status: u16, body: &Value, headers: &[(String, String)]) -> std::io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"
    )
}
