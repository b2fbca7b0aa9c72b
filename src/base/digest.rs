//! Content digests, and git's object names.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A versioned digest of a task's definition, `1:` and 16 hexadecimal digits.
/// The version names the rule that says what goes in; older rules stay computable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(Arc<str>);

impl Digest {
    /// Version 1 over the given bytes.
    pub fn v1(bytes: &[u8]) -> Self {
        Self(format!("1:{}", &sha256_hex(bytes)[..16]).into())
    }
    /// As it stands in a trailer, of whatever version.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, hex) = text.split_once(':')?;
        let number = !version.is_empty() && version.len() <= 4 && version.bytes().all(|b| b.is_ascii_digit());
        let plain = !hex.is_empty() && hex.len() <= 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        (number && plain).then(|| Self(text.into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a git object: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Oid(Arc<str>);

impl Oid {
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && matches!(text.len(), 40 | 64)).then(|| Self(text.into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first 7 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}
impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Oid::parse(&text).ok_or_else(|| serde::de::Error::custom("not a git object name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lower_case_hex_is_an_object_name() {
        assert!(Oid::parse(&"a1".repeat(20)).is_some());
        assert!(Oid::parse(&"a1".repeat(32)).is_some());
        for bad in ["", "abc", &"A1".repeat(20), &"g1".repeat(20), "--upload-pack"] {
            assert!(Oid::parse(bad).is_none(), "{bad:?} was accepted");
        }
    }
}
