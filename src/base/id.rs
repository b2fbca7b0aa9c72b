//! Ids. A task's id is its identity: it names refs, directories and trailers, so what may
//! stand in it is narrow, and nothing but `parse` makes one from text.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest segment of an id, in characters.
pub const MAX_SEGMENT: usize = 63;
/// The most segments an id has: `task.subtask` and one more for a matrix.
pub const MAX_SEGMENTS: usize = 3;

/// Why a text is no id, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadId(pub String);

fn check(text: &str) -> Result<(), BadId> {
    let segments: Vec<&str> = text.split('.').collect();
    if segments.len() > MAX_SEGMENTS {
        return Err(BadId(format!("an id has at most {MAX_SEGMENTS} parts joined by `.`")));
    }
    for segment in &segments {
        check_segment(segment)?;
    }
    // A ref name may not end in `.lock`, and ids become ref names.
    if segments.len() > 1 && segments.last() == Some(&"lock") {
        return Err(BadId("the last part of an id must not be `lock`: git refuses such a ref".into()));
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), BadId> {
    let Some(first) = segment.bytes().next() else {
        return Err(BadId("an id, or a part of it between dots, is empty".into()));
    };
    if segment == "lock" {
        return Err(BadId("`lock` is reserved: git refuses refs that end in it".into()));
    }
    if segment.len() > MAX_SEGMENT {
        return Err(BadId(format!("a part of an id has at most {MAX_SEGMENT} characters")));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !plain(first) {
        return Err(BadId("an id starts with a-z or 0-9".into()));
    }
    if !segment.bytes().all(|b| plain(b) || b == b'-' || b == b'_') {
        return Err(BadId("an id holds only a-z, 0-9, `-` and `_`; `.` joins its parts".into()));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The one way from text to an id.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                let check: fn(&str) -> Result<(), BadId> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// `auth-api`, or `auth-api.tokens` for a sub-task. Unique in a project.
    TaskId,
    check
);
id!(
    /// One segment; named as `epic:ID` in a dependency or a selector.
    EpicId,
    check_segment
);
id!(
    /// One start of Drover: time-ordered, unique, 16 to 40 characters of a-z, 0-9 and `-`.
    RunId,
    check_segment
);
id!(
    /// One attempt at a task. Never used again: it names the attempt's directory, worktree and refs.
    Aid,
    check_segment
);

impl TaskId {
    /// The id of a sub-task of this task.
    pub fn child(&self, segment: &str) -> Result<Self, BadId> {
        Self::parse(&format!("{self}.{segment}"))
    }

    /// Whether `self` stands above `other` in the hierarchy of ids.
    pub fn is_ancestor_of(&self, other: &TaskId) -> bool {
        other.0.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl Aid {
    /// The `n`th attempt that is claimed under `run`'s store. Unique because the run's id is.
    pub fn new(run: &RunId, n: u64) -> Self {
        Self(format!("{run}-{n}").into())
    }

    /// The run that claimed it.
    pub fn run(&self) -> RunId {
        RunId(self.0.rsplit_once('-').map_or(&*self.0, |(run, _)| run).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_climb_out_or_upset_git_are_refused() {
        for bad in ["", ".", "..", "a..b", "A", "a/b", "-a", "_a", "a.lock", "lock", "a b", "a.b.c.d", "é", "a\n"] {
            assert!(TaskId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(TaskId::parse(&"a".repeat(64)).is_err());
        for good in ["a", "0", "auth-api", "auth-api.tokens", "a_b.c-d.e", &"a".repeat(63)] {
            assert!(TaskId::parse(good).is_ok(), "{good:?} was refused");
        }
        assert!(EpicId::parse("a.b").is_err());
    }

    #[test]
    fn an_ancestor_is_told_by_whole_segments() {
        let id = |s| TaskId::parse(s).unwrap();
        assert!(id("a").is_ancestor_of(&id("a.b")));
        assert!(!id("a").is_ancestor_of(&id("ab")));
        assert!(!id("a.b").is_ancestor_of(&id("a")));
    }
}
