//! Who outside is told of what happens: webhooks, commands, the desktop.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::CommandLine;
use crate::base::sha256_hex;
use crate::base::time::as_millis;

const MAX_URL: usize = 2000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Notices {
    pub webhooks: Vec<Webhook>,
    pub commands: Vec<OnEvent>,
    /// Show on the desktop what a person waits for.
    pub desktop: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    pub to: Address,
    /// As in `core::events`.
    pub events: Vec<String>,
    /// The name of the variable that holds the key for signatures.
    pub secret_env: Option<String>,
    pub format: BodyFormat,
    /// Of one try.
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
    /// In a row, until it is left alone for the rest of the run.
    pub max_attempts: u32,
    /// Whether addresses of private networks will do.
    pub allow_private: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    Url(String),
    /// The name of the variable that holds it: the URLs of some services are secrets.
    Variable(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyFormat {
    /// The event, with where it happened and a line of words.
    #[default]
    Generic,
    /// A message for an incoming webhook of Slack, and of what understands the same.
    Slack,
}

/// A command of the project's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OnEvent {
    pub command: CommandLine,
    pub events: Vec<String>,
    #[serde(with = "as_millis")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
}

impl Webhook {
    /// What stays the same as long as it is the same receiver.
    pub fn identity(&self) -> String {
        let to = match &self.to {
            Address::Url(url) => format!("url {url}"),
            Address::Variable(name) => format!("variable {name}"),
        };
        format!("webhook-{}", &sha256_hex(format!("{:?} {to}", self.format).as_bytes())[..16])
    }
}

impl OnEvent {
    pub fn identity(&self) -> String {
        format!("command-{}", &sha256_hex(format!("{:?}", self.command).as_bytes())[..16])
    }
}

/// Where a URL leads, as far as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    /// This machine, by a name that can mean no other.
    pub to_self: bool,
}

/// Says why a webhook cannot have this URL. The words do not repeat it: it may be a secret.
pub fn place_of(url: &str) -> Result<Place, String> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it is not a URL with a scheme and a host")?;
    let bare = host.trim_matches(['[', ']']);
    let to_self = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    if url.len() > MAX_URL {
        return Err(format!("it is longer than {MAX_URL} bytes"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it has a name or password in it: put the whole URL into a variable, and name that by `url_env`".into());
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if to_self => {}
        Some("http") => return Err("http is for this machine alone (127.0.0.1, [::1], localhost); write https".into()),
        _ => return Err("it must begin with https://".into()),
    }
    Ok(Place { host: host.to_owned(), to_self })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_goes_by_https_or_stays_on_this_machine() {
        let to_self = |url: &str| place_of(url).unwrap().to_self;
        assert!(!to_self("https://hooks.example.com/a?b=c") && !to_self("https://10.0.0.1:8443/"));
        for here in ["http://127.0.0.1:80/x", "http://localhost", "https://[::1]:9/", "http://127.9.9.9/"] {
            assert!(to_self(here), "{here}");
        }
        for bad in [
            "",
            "x",
            "/path",
            "http://example.com/",
            "http://10.0.0.1/",
            "ftp://example.com/",
            "https://",
            "https://u:p@example.com/",
            "https://a b/",
            "https://example.com/\n",
            "http://localhost.example.com/",
            "file:///etc/passwd",
            "http://0x7f.1/",
        ] {
            assert!(place_of(bad).is_err(), "{bad:?}");
        }
        assert!(place_of(&format!("https://example.com/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn a_receiver_stays_the_same_whatever_it_is_told() {
        let hook = Webhook {
            to: Address::Url("https://example.com/".into()),
            events: vec!["landed".into()],
            secret_env: None,
            format: BodyFormat::Generic,
            timeout: Duration::from_secs(1),
            max_attempts: 1,
            allow_private: false,
        };
        let other = Webhook { events: vec!["*".into()], max_attempts: 9, ..hook.clone() };
        assert_eq!(hook.identity(), other.identity());
        assert_ne!(hook.identity(), Webhook { format: BodyFormat::Slack, ..hook.clone() }.identity());
        assert_ne!(hook.identity(), Webhook { to: Address::Variable("https://example.com/".into()), ..hook.clone() }.identity());
    }
}
