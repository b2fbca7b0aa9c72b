//! The format of those who are told of events: `[[webhooks]]` and `[[on_event]]`.

use std::time::Duration;

use super::shape::{Fallback, Format, Key, Kind, Needed, Shape};
use crate::core::events::{NAMES, NEWS};

pub const WEBHOOK_TIMEOUT: &str = "10s";
pub const WEBHOOK_ATTEMPTS: i64 = 5;
pub const COMMAND_TIMEOUT: &str = "30s";

const SECOND: Duration = Duration::from_secs(1);
/// Each has a thread of its own.
pub const MAX_RECEIVERS: usize = 20;

const EVENTS: Key = Key::new("events", Kind::Words(NAMES), "Which events are told; `*` stands for all.").or(Fallback::Texts(NEWS));

pub static WEBHOOK: Shape = Shape::new(
    "[[webhooks]]",
    &[&[
        Key::new("url", Kind::Text(Format::WebhookUrl), "Where events are sent by POST: https, or http to this machine."),
        Key::new("url_env", Kind::Text(Format::EnvName), "The variable that holds the URL, where that is a secret itself."),
        EVENTS,
        Key::new(
            "secret_env",
            Kind::Text(Format::EnvName),
            "The variable that holds the key for signatures; without one nothing is signed.",
        ),
        Key::new(
            "format",
            Kind::Choice { now: &["generic", "slack"], later: &[] },
            "generic: the event as JSON. slack: a message for an incoming webhook of Slack.",
        )
        .or(Fallback::Text("generic")),
        Key::new("timeout", Kind::Duration(SECOND), "The longest that one try may take, at most 1m.").or(Fallback::Text(WEBHOOK_TIMEOUT)),
        Key::new(
            "max_attempts",
            Kind::Integer { min: 1, max: 20 },
            "So many tries in a row, at growing distances; then it is left alone until another run begins.",
        )
        .or(Fallback::Integer(WEBHOOK_ATTEMPTS)),
        Key::new("allow_private", Kind::Bool, "Whether it may lead to an address of a private network.").or(Fallback::Bool(false)),
    ]],
)
.one_of(&["url", "url_env"], Needed::Yes)
.hints(&[
    ("secret", "a key is not for a file that is committed: put it into a variable, and name that by `secret_env`"),
    ("headers", "only the signature says who sends it: see `secret_env`"),
]);

pub static ON_EVENT: Shape = Shape::new(
    "[[on_event]]",
    &[&[
        Key::new("run", Kind::Text(Format::Line), "A line for `sh -c`; the event is on its standard input."),
        Key::new("command", Kind::Texts { of: Format::Line, min: 1, max: 1000 }, "Instead: a program and its arguments, no shell."),
        EVENTS,
        Key::new("timeout", Kind::Duration(SECOND), "The longest that it may run, at most 10m.").or(Fallback::Text(COMMAND_TIMEOUT)),
    ]],
)
.one_of(&["run", "command"], Needed::Yes);
