//! Whether an agent is logged in, as far as that can be told without asking its service: by
//! what its program says, by keys in its environment, by files that a login leaves.

use std::collections::BTreeMap;
use std::path::Path;

use super::builtin;
use super::detect::answers;
use crate::model::AgentKind;

/// What was found. What is not found may still be there: providers are many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// In words: where.
    Found(String),
    /// A key is there, and is not let through to the agent.
    Withheld {
        variable: String,
    },
    NotFound {
        hint: &'static str,
    },
    /// It needs none, or none is known.
    Unknown,
}

/// `seen` is the environment that the agent will have, `own` that of Drover; `program` is where
/// the agent's program was found.
pub fn login(kind: AgentKind, program: &Path, seen: &BTreeMap<String, String>, own: &[(String, String)]) -> Login {
    let Some(known) = &builtin::of(kind).login else { return Login::Unknown };
    let is_set = |name: &&String| seen.get(*name).is_some_and(|value| !value.is_empty());
    if let Some(variable) = known.variables.iter().find(is_set) {
        return Login::Found(format!("{variable} is set"));
    }
    let home = seen.get("HOME").map(Path::new);
    let left = home.and_then(|home| known.files.iter().find(|file| home.join(file).is_file()));
    if let Some(file) = left {
        return Login::Found(format!("~/{file} is there"));
    }
    // The last, as it takes a while.
    if !known.check.is_empty() && answers(program, &known.check, seen) {
        return Login::Found("its program says so".into());
    }
    let withheld = known.variables.iter().find(|name| own.iter().any(|(own, value)| own == *name && !value.is_empty()));
    match withheld {
        Some(variable) => Login::Withheld { variable: variable.clone() },
        None => Login::NotFound { hint: &known.hint },
    }
}
