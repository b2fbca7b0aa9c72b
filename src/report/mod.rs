//! Readers of state and events: terminal, JSON. A broken reader is a warning, never a broken run.
