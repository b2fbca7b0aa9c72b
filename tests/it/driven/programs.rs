//! What the tests know of each program: where it is, how it is told to talk to the script, what its
//! tools are called.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::scripted_api::Reply;

pub struct Program {
    pub kind: &'static str,
    /// The one that `tests/install-agents` installs.
    version: &'static str,
    /// More of its table in drover.toml.
    pub settings: &'static str,
    /// Tells it to talk to this address alone.
    pub prepare: fn(Fixture, &str) -> Fixture,
    /// Writes a file of the working directory.
    pub write: fn(&str, &str) -> Reply,
    pub shell: fn(&str) -> Reply,
    /// Of its lines only those of these types are recorded; all, if none is named.
    recorded: &'static [&'static str],
}

const PROGRAMS: [Program; 5] = [
    Program {
        kind: "codex",
        version: "0.169.0",
        settings: "",
        prepare: codex,
        write: |name, text| {
            let added: String = text.lines().map(|l| format!("+{l}\n")).collect();
            exec(&format!("apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {name}\n{added}*** End Patch\nEOF\n"))
        },
        shell: exec,
        recorded: &[],
    },
    Program {
        kind: "gemini",
        version: "0.61.0",
        // Its own choice of a model asks the service first.
        settings: "model = \"gemini-2.5-pro\"",
        prepare: gemini,
        write: |name, text| Reply::use_tool("write_file", json!({ "file_path": format!("{{cwd}}/{name}"), "content": text })),
        shell: |line| Reply::use_tool("run_shell_command", json!({ "command": line, "description": "Works on it" })),
        recorded: &[],
    },
    Program {
        kind: "opencode",
        version: "1.18.33",
        settings: "model = \"scripted/any\"",
        prepare: opencode,
        write: |name, text| Reply::use_tool("write", json!({ "filePath": format!("{{cwd}}/{name}"), "content": text })),
        shell: |line| Reply::use_tool("bash", json!({ "command": line, "description": "Works on it" })),
        recorded: &[],
    },
    Program {
        kind: "copilot",
        version: "1.0.102",
        settings: "",
        prepare: |it, url| {
            it.env("COPILOT_OFFLINE", "true")
                .env("COPILOT_PROVIDER_BASE_URL", &format!("{url}/v1"))
                .env("COPILOT_MODEL", "claude-sonnet-4.5")
        },
        write: |name, text| Reply::use_tool("create", json!({ "path": format!("{{cwd}}/{name}"), "file_text": text })),
        shell: |line| Reply::use_tool("bash", json!({ "command": line, "description": "Works on it" })),
        recorded: &["assistant.turn_start", "assistant.message", "assistant.turn_end", "session.error", "model.call_failure", "result"],
    },
    Program {
        kind: "qwen",
        version: "0.24.4",
        settings: "model = \"any\"\nargs = [\"--auth-type\", \"openai\"]",
        prepare: |it, url| it.env("OPENAI_API_KEY", "not a key").env("OPENAI_BASE_URL", &format!("{url}/v1")),
        write: |name, text| Reply::use_tool("write_file", json!({ "file_path": format!("{{cwd}}/{name}"), "content": text })),
        shell: |line| {
            Reply::use_tool("run_shell_command", json!({ "command": line, "description": "Works on it", "is_background": false }))
        },
        recorded: &["assistant", "user", "result"],
    },
];

pub fn of(kind: &str) -> &'static Program {
    static ALL: [Program; 5] = PROGRAMS;
    ALL.iter().find(|p| p.kind == kind).unwrap()
}

/// The installed program, or None and a word about it that no capture of output swallows.
pub fn installed(program: &Program, test: &str) -> Option<PathBuf> {
    let (kind, version) = (program.kind, program.version);
    let variable = format!("DROVER_TEST_{}", kind.to_uppercase());
    if let Some(path) = env::var_os(&variable).map(PathBuf::from) {
        assert!(path.is_file(), "{variable} names {}, which is no file", path.display());
        return Some(path);
    }
    let home = env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let path = cache.join(format!("drover-tests/{kind}-{version}/node_modules/.bin/{kind}"));
    if !path.is_file() {
        writeln!(io::stderr(), "SKIPPED: real {kind} is not installed; run `sh tests/install-agents {kind}` ({test})").ok();
        return None;
    }
    Some(path)
}

fn exec(line: &str) -> Reply {
    Reply::use_tool("exec_command", json!({ "cmd": line }))
}

fn codex(it: Fixture, url: &str) -> Fixture {
    let config = format!(
        "model_provider = \"scripted\"\nmodel = \"any\"\n[model_providers.scripted]\nname = \"scripted\"\nbase_url = \"{url}/v1\"\n\
         wire_api = \"responses\"\nenv_key = \"OPENAI_API_KEY\"\nrequest_max_retries = 1\nstream_max_retries = 1\n"
    );
    home_file(&it, ".codex/config.toml", &config);
    it.env("OPENAI_API_KEY", "not a key")
}

fn gemini(it: Fixture, url: &str) -> Fixture {
    home_file(&it, ".gemini/settings.json", r#"{"security":{"auth":{"selectedType":"gemini-api-key"}}}"#);
    it.env("GEMINI_API_KEY", "not a key").env("GOOGLE_GEMINI_BASE_URL", url)
}

fn opencode(it: Fixture, url: &str) -> Fixture {
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible", "name": "scripted", "options": { "baseURL": format!("{url}/v1"), "apiKey": "not a key" },
        "models": { "any": { "name": "any", "limit": { "context": 100_000, "output": 10_000 } } },
    });
    let config = json!({ "autoupdate": false, "share": "disabled", "provider": { "scripted": provider } });
    it.env("OPENCODE_CONFIG_CONTENT", &config.to_string()).env("OPENCODE_DISABLE_MODELS_FETCH", "1")
}

fn home_file(it: &Fixture, name: &str, text: &str) {
    let path = it.home().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes what the program printed, for others to replay.
pub fn record(it: &Fixture, program: &Program, name: &str, url: &str) {
    let attempts = fs::read_dir(it.state_dir().join("attempts")).unwrap().flatten();
    let logs: Vec<PathBuf> = attempts.map(|a| a.path().join("agent-0/out.log")).filter(|l| l.is_file()).collect();
    let [log] = logs.as_slice() else { panic!("{logs:?}") };
    let outside = it.root().parent().unwrap().display().to_string();
    let text = fs::read_to_string(log).unwrap().replace(&outside, "/tmp/test").replace(&url["http://".len()..], "127.0.0.1:1");
    let lines: Vec<String> = text.lines().filter_map(|line| anonymous(line, program.recorded)).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/streams/{}", program.kind));
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(format!("{name}.jsonl")), lines.join("\n") + "\n").unwrap();
}

/// A line without what differs from run to run; None where it is not to be kept.
fn anonymous(line: &str, kept: &[&str]) -> Option<String> {
    let mut value: Value = serde_json::from_str(line).unwrap();
    let map = value.as_object_mut()?;
    if !kept.is_empty() && !kept.iter().any(|k| map["type"] == *k) {
        return None;
    }
    map.retain(|k, _| !["timestamp", "uuid", "parentId"].contains(&k.as_str()) && !k.ends_with("_ms"));
    Some(value.to_string())
}
