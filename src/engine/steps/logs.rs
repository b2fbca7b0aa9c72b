//! How much is kept of what commands print, and what of it never is.

use std::collections::BTreeMap;

use crate::model::Policy;
use crate::process::Logs;

/// A value that is shorter is taken for a word like any other: with it the log could not be read.
const SHORTEST: usize = 6;

/// The secrets are those that the command itself is given.
pub fn kept(policy: &Policy, env: &BTreeMap<String, String>) -> Logs {
    let secret = policy.logs.secret_names();
    let values = env.iter().filter(|(name, _)| secret.is_match(name)).map(|(_, value)| value.trim());
    let mut secrets: Vec<String> = values.filter(|v| v.len() >= SHORTEST).map(str::to_owned).collect();
    // Agents print JSON, and a key of several lines looks different there.
    let escaped: Vec<String> = secrets.iter().map(|s| serde_json::Value::from(s.as_str()).to_string()).collect();
    secrets.extend(escaped.iter().map(|text| text[1..text.len() - 1].to_owned()));
    secrets.sort();
    secrets.dedup();
    Logs { max_size: policy.logs.max_size, secrets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_what_is_named_like_a_secret_are_secret() {
        let env = [("MY_API_KEY", "sk-123456"), ("PIN_TOKEN", "123"), ("PEM_SECRET", "one\ntwo\n"), ("PATH", "/usr/bin:/bin")];
        let env: BTreeMap<String, String> = env.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(kept(&Policy::default(), &env).secrets, ["one\ntwo", "one\\ntwo", "sk-123456"]);
        let none = Policy { logs: crate::model::LogPolicy { redact: vec![], ..Policy::default().logs }, ..Policy::default() };
        assert!(kept(&none, &env).secrets.is_empty());
    }
}
