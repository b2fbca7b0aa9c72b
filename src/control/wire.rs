//! What is said over the socket.

use serde::{Deserialize, Serialize};

use crate::base::TaskId;
use crate::core::{Act, Heed, Outward, Wish};

/// Of requests and replies. Another one is refused with words that say so.
pub const VERSION: u32 = 1;
/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    /// The target branch whose record is meant.
    pub target: String,
    /// Selectors: exactly what they match is acted on. For what is of no task there are none.
    #[serde(default)]
    pub select: Vec<String>,
    pub act: Ask,
    /// Says what it would come to, and changes nothing.
    #[serde(default)]
    pub rehearse: bool,
    /// Also where so much is done anew that it is more likely a mistake.
    #[serde(default)]
    pub allow_reruns: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Ask {
    /// Publish what landed, with `restore` also what the target lost.
    Publish { restore: bool },
    /// Take the files over though they look like a mistake, if they are what was `read`.
    Files { read: String, removals: bool, reruns: bool },
    /// What is wanted of the whole project.
    Whole { wish: Wish },
    #[serde(untagged)]
    Of(Act),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// One for each task that was named. What is called done is durable.
    Orders {
        orders: Vec<Answered>,
        /// A running Drover said so, and acts on it.
        live: bool,
    },
    /// How far what landed has come on its way out.
    Outward {
        outward: Outward,
    },
    NoMatch {
        why: String,
    },
    /// The files were taken over: so many changes, and whether settings are among them.
    Files {
        changes: usize,
        settings: bool,
    },
    /// Nothing was done, and why.
    Refused {
        why: String,
    },
    /// To a wish. What is called done is durable.
    Whole {
        heed: Heed,
        live: bool,
    },
    /// Nothing was done: a person has to say that it is meant.
    Guarded {
        why: String,
        /// What says so, as on the command line.
        flag: String,
    },
    /// The selectors, or the line itself, cannot be read.
    Misread {
        why: String,
    },
    /// Not by this Drover, or not now.
    Busy {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub task: TaskId,
    #[serde(flatten)]
    pub heed: Heed,
}

/// A request from a line of anybody's.
pub fn request(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    // The version first: a later one may say other things in other words.
    let said: Version = serde_json::from_slice(line).map_err(|e| format!("not a request: {e}"))?;
    if said.version != VERSION {
        return Err(format!("the request is of version {}, and this Drover speaks {VERSION}: use the same program for both", said.version));
    }
    serde_json::from_slice(line).map_err(|e| format!("not a request: {e}"))
}

/// One line, its end included.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).expect("keys are strings and numbers are finite");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_as_it_was_meant() {
        let asked = Request {
            version: VERSION,
            target: "main".into(),
            select: vec!["a".into()],
            act: Ask::Of(Act::Approve { attempt: Some(2) }),
            rehearse: false,
            allow_reruns: true,
        };
        assert_eq!(request(&line(&asked)), Ok(asked.clone()));
        for act in [Ask::Publish { restore: true }, Ask::Files { read: "7f".into(), removals: true, reruns: false }] {
            let asked = Request { select: Vec::new(), act, ..asked.clone() };
            assert_eq!(request(&line(&asked)), Ok(asked));
        }
        let reply = Reply::Orders {
            orders: vec![Answered { task: TaskId::parse("a").unwrap(), heed: Heed::Done("approved\nit".into()) }],
            live: true,
        };
        let bytes = line(&reply);
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1, "one line, whatever the words");
        assert_eq!(serde_json::from_slice::<Reply>(&bytes).unwrap(), reply);
    }

    #[test]
    fn nonsense_and_later_versions_are_refused_in_words() {
        for bad in
            [&b""[..], b"\0\xff", b"{}", b"[[[[", b"{\"version\":1}", b"{\"version\":-1}", b"{\"version\":1,\"act\":{\"act\":\"fly\"}}"]
        {
            assert!(request(bad).unwrap_err().starts_with("not a request"), "{bad:?}");
        }
        assert!(request(b"{\"version\":2,\"new\":true}").unwrap_err().contains("of version 2"));
    }
}
