//! Newtypes that every other room speaks in: ids, times, digests, and text made safe to show.
//!
//! Knows nothing of tasks, git or files. No I/O, no clock: whoever needs the time is handed it.

pub mod digest;
pub mod id;
mod size;
pub mod text;
pub mod time;
pub mod trace;

pub use digest::{Digest, Oid, sha256_hex};
pub use id::{Aid, BadId, EpicId, RunId, TaskId};
pub use size::{format_size, parse_size};
pub use time::{Millis, format_duration, parse_duration};
