//! The files a user commits: found, read with spans, checked, all errors in one pass.
//!
//! Owns TOML, diagnostics, schemas and scaffolding. Knows nothing of runs, git or the store.
