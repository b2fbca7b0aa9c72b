//! Sends a letter by HTTP: signed, bounded in time and in what is read of the answer.

use std::io::Read as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use ureq::Agent;
use ureq::http::Response;
use ureq::unversioned::transport::DefaultConnector;

use super::address::{Guarded, Names};
use super::carrier::{Carrier, Outcome};
use super::letter::Letter;
use crate::base::Millis;
use crate::base::text::one_line;
use crate::model::notices::{Place, place_of};
use crate::model::{Address, BodyFormat, Webhook};

/// So much of an answer is read, so that the connection can be used again; the rest goes unread.
const MAX_ANSWER: u64 = 16 << 10;
/// The longest that a receiver can ask to be left alone.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub struct Post {
    agent: Agent,
    url: String,
    place: Place,
    secret: Option<Vec<u8>>,
    format: BodyFormat,
    now: fn() -> Millis,
}

impl Post {
    /// Says why it cannot be: nothing is sent unsigned where a signature is asked for.
    pub fn new(hook: &Webhook, environment: &[(String, String)], now: fn() -> Millis) -> Result<Self, String> {
        let (url, place) = resolved(hook, environment)?;
        let secret = hook.secret_env.as_ref().map(|name| variable(environment, name)).transpose()?;
        let config = Agent::config_builder()
            .timeout_global(Some(hook.timeout))
            .http_status_as_error(false)
            // Elsewhere nobody has looked where it leads.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy would look the name up itself.
            .proxy(None)
            .https_only(!place.to_self)
            .max_idle_connections(1)
            // One that the receiver has closed meanwhile would cost a try.
            .max_idle_age(Duration::from_secs(2))
            .max_response_header_size(16 << 10)
            .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
            .build();
        let guarded = Guarded { allow_private: hook.allow_private, to_self: place.to_self, names: Names::default() };
        let agent = Agent::with_parts(config, DefaultConnector::default(), guarded);
        Ok(Self { agent, url, place, secret: secret.map(String::into_bytes), format: hook.format, now })
    }

    fn body(&self, letter: &Letter) -> String {
        match self.format {
            BodyFormat::Generic => letter.body.to_string(),
            BodyFormat::Slack => json!({ "text": escaped(&letter.text) }).to_string(),
        }
    }

    /// What is said of an error must not say the URL, which may be a secret.
    fn words(&self, error: &ureq::Error) -> String {
        let said = error.to_string().replace(&self.url, "the URL");
        one_line(&said, 200)
    }
}

/// The URL of a webhook and where it leads.
pub fn resolved(hook: &Webhook, environment: &[(String, String)]) -> Result<(String, Place), String> {
    let url = match &hook.to {
        Address::Url(url) => url.clone(),
        Address::Variable(name) => variable(environment, name)?,
    };
    let place = place_of(&url).map_err(|why| match &hook.to {
        Address::Url(_) => why,
        Address::Variable(name) => format!("{name}: {why}"),
    })?;
    Ok((url, place))
}

pub fn variable(environment: &[(String, String)], name: &str) -> Result<String, String> {
    let found = environment.iter().find(|(key, value)| key == name && !value.trim().is_empty());
    found.map(|(_, value)| value.trim().to_owned()).ok_or_else(|| format!("the variable {name} is not set"))
}

impl Carrier for Post {
    fn name(&self) -> String {
        format!("webhook to {}", one_line(&self.place.host, 100))
    }

    fn deliver(&self, letter: &Letter) -> Outcome {
        let body = self.body(letter);
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("drover-event", &letter.event)
            .header("drover-delivery", &letter.id);
        if let Some(secret) = &self.secret {
            request = request.header("drover-signature", signature(secret, (self.now)().0 / 1000, &body));
        }
        match request.send(&body) {
            Ok(response) => judged(response),
            Err(error) => Outcome::Failed { why: self.words(&error), wait: Duration::ZERO },
        }
    }
}

/// `t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>", in hex>`.
fn signature(secret: &[u8], seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn judged(response: Response<ureq::Body>) -> Outcome {
    let status = response.status().as_u16();
    let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // What it says is of no interest; whether it can be read through neither.
    let _ = std::io::copy(&mut response.into_body().into_reader().take(MAX_ANSWER), &mut std::io::sink());
    match status {
        200..=299 => Outcome::Taken,
        // It got this one, and does not want it.
        400 | 413 | 415 | 422 => Outcome::Refused(format!("it answered {status}")),
        300..=399 => Outcome::Failed { why: format!("it answered {status}, and no redirect is followed"), wait: Duration::ZERO },
        _ => {
            let wait = asked.map_or(Duration::ZERO, Duration::from_secs).min(MAX_WAIT);
            Outcome::Failed { why: format!("it answered {status}"), wait }
        }
    }
}

/// Nothing in it calls anybody or leads anywhere: of Slack's markup only `<…>` does.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        // From `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`.
        let expected = "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(signature(b"key", 1_700_000_000, r#"{"a":1}"#), expected);
    }

    #[test]
    fn text_for_slack_calls_nobody() {
        assert_eq!(escaped("<!channel> & <@U1> <http://x|y>"), "&lt;!channel&gt; &amp; &lt;@U1&gt; &lt;http://x|y&gt;");
    }
}
