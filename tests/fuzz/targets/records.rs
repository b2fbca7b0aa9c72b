//! Fuzzes `records` of `src/entries.rs`.

#![no_main]

#[expect(dead_code, reason = "each target calls one of them")]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::records(data));
