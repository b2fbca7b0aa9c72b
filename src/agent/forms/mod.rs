//! The forms in which agents print what they do: what one line of each tells. Each reads only
//! what it needs, from lines that may hold anything.

mod claude;
mod codex;
mod copilot;
mod gemini;
mod opencode;

use serde::Deserialize;

use super::builtin::Output;
use super::stream::AgentEvent;

/// One form of output, and what has to be remembered from line to line.
pub(super) trait Form {
    /// What the line tells; nothing if it is not understood.
    fn events(&mut self, line: &str) -> Vec<AgentEvent>;
}

/// None for text that tells nothing to a program.
pub(super) fn form(output: Output) -> Option<Box<dyn Form>> {
    match output {
        Output::Plain => None,
        Output::ClaudeStreamJson => Some(Box::new(claude::Claude::default())),
        Output::CodexJson => Some(Box::new(codex::Codex)),
        Output::GeminiStreamJson => Some(Box::new(gemini::Gemini::default())),
        Output::OpencodeJson => Some(Box::new(opencode::Opencode::default())),
        Output::CopilotJson => Some(Box::new(copilot::Copilot)),
    }
}

/// Which kind of line it is; the rest is read once that is known.
#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

fn kind(line: &str) -> String {
    serde_json::from_str::<Kind>(line).map(|k| k.r#type).unwrap_or_default()
}

/// What a tool is given.
#[derive(Deserialize, Default)]
struct ToolInput(serde_json::Value);

impl ToolInput {
    /// The tool, and what of its input says most in one line, whatever the agent calls it.
    fn words(self, tool: &str) -> String {
        let says = ["file_path", "filePath", "path", "command", "pattern", "url"];
        let on = says.iter().find_map(|key| self.0.get(key)?.as_str()).unwrap_or_default();
        format!("{tool} {on}")
    }
}
