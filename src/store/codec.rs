//! How a record becomes bytes: a version, a sum, and JSON.
//!
//! The sum is over the record's key and its JSON. A database that is opened for reading does
//! not check its pages, and what `status` and `plan` show must not come from a flipped bit.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The encoding written today. A reader knows this one and all before it.
pub const VERSION: u8 = 1;

const SUM: usize = size_of::<u64>();

pub fn encode<T: Serialize>(key: &[u64], value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![VERSION; 1 + SUM];
    serde_json::to_writer(&mut bytes, value)?;
    let sum = sum(key, &bytes[1 + SUM..]);
    bytes[1..=SUM].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// `name` says which record it is, should it not decode.
pub fn decode<T: DeserializeOwned>(key: &[u64], bytes: &[u8], name: impl Fn() -> String) -> Result<T, StoreError> {
    let (version, rest) = bytes.split_first().ok_or_else(|| StoreError::record(name(), "it is empty"))?;
    match *version {
        VERSION => {}
        0 => return Err(StoreError::record(name(), "it has no version")),
        found => return Err(StoreError::Newer { what: name(), found: found.into(), known: VERSION.into() }),
    }
    let (stored, body) = rest.split_first_chunk::<SUM>().ok_or_else(|| StoreError::record(name(), "it is cut short"))?;
    if u64::from_le_bytes(*stored) != sum(key, body) {
        return Err(StoreError::record(name(), "its checksum is wrong: the file was damaged"));
    }
    serde_json::from_slice(body).map_err(|e| StoreError::record(name(), e))
}

/// FNV-1a of 64 bits: every single changed byte changes it. Against accidents, not against malice.
fn sum(key: &[u64], body: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let start = key.iter().flat_map(|k| k.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |sum, byte| step(sum, &byte));
    body.iter().fold(start, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &[u64], bytes: &[u8]) -> Result<String, StoreError> {
        decode(key, bytes, || "the row of task a".into())
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let bytes = encode(&[1, 2], &"text").unwrap();
        assert_eq!(read(&[1, 2], &bytes).unwrap(), "text");
    }

    #[test]
    fn any_changed_bit_and_any_missing_byte_is_found_and_named() {
        let bytes = encode(&[1, 2], &"text").unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = read(&[1, 2], &changed).unwrap_err().to_string();
            assert!(error.contains("the row of task a"), "{error}");
        }
        for len in 0..bytes.len() {
            assert!(read(&[1, 2], &bytes[..len]).is_err());
        }
        assert!(read(&[2, 1], &bytes).is_err(), "a record under another's key was taken");
    }

    #[test]
    fn a_newer_encoding_is_told_from_a_damaged_one() {
        let mut bytes = encode(&[1], &"text").unwrap();
        bytes[0] = VERSION + 1;
        let error = read(&[1], &bytes).unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }));
        assert!(error.to_string().contains("written by a newer drover"), "{error}");
    }
}
