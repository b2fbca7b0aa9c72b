//! Named instants at which the program can be told to die, for the tests that kill it there, and the
//! patience that they ask of it. A release build has none of them.
//!
//! Owns how such an instant is named and counted. Must not know what goes on there.

/// Carries out an effect; the program can be told to die right before it and right after it.
pub fn around<T>(name: &'static str, act: impl FnOnce() -> T) -> T {
    come_by(name, ".before");
    let done = act();
    come_by(name, ".after");
    done
}

/// An instant in the middle of an effect.
pub fn point(name: &'static str) {
    come_by(name, "");
}

/// An instant at which a test can have the program wait. That it dies there shows nothing.
pub fn pause(name: &'static str) {
    come_by(name, "");
}

#[cfg(not(debug_assertions))]
fn come_by(_: &'static str, _: &'static str) {}

/// How long somebody outside is waited for. Tests have it be longer, or what they see would hang on how
/// busy their machine is.
#[cfg(not(debug_assertions))]
pub fn patience(usual: std::time::Duration) -> std::time::Duration {
    usual
}

#[cfg(debug_assertions)]
use armed::come_by;
#[cfg(debug_assertions)]
pub use armed::{handed_down, patience};

/// `DROVER_FAULT=<point>:<n>` kills the process that comes by that point for the n-th time, as
/// SIGKILL does. `DROVER_FAULT_TOLD=<file>` has it make that file first, and live on where the file
/// is there already: of several processes one dies. `DROVER_FAULT_GATE=<file>` has it wait for that
/// file instead of dying; there may be several points then, with commas between them.
/// `DROVER_FAULT_PATIENCE=<seconds>` is how long it waits for those outside.
#[cfg(debug_assertions)]
mod armed {
    #![expect(clippy::disallowed_methods, reason = "the tests' own switch, in no release build")]

    use std::fs::OpenOptions;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    const VARIABLES: [&str; 2] = ["DROVER_FAULT", "DROVER_FAULT_TOLD"];
    const GATE: &str = "DROVER_FAULT_GATE";
    const PATIENCE: &str = "DROVER_FAULT_PATIENCE";
    const POLL: Duration = Duration::from_millis(10);

    /// A point, at which of its turns something is to happen, and how often it was come by.
    type Fault = (String, u32, AtomicU32);

    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();

    fn read() -> Vec<Fault> {
        let asked = std::env::var(VARIABLES[0]).unwrap_or_default();
        let fault = |one: &str| {
            let (name, nth) = one.rsplit_once(':')?;
            Some((name.to_owned(), nth.parse().ok()?, AtomicU32::new(0)))
        };
        asked.split(',').filter_map(fault).collect()
    }

    pub fn come_by(name: &'static str, when: &'static str) {
        let mut faults = FAULTS.get_or_init(read).iter();
        let Some((_, nth, seen)) = faults.find(|(wanted, ..)| wanted.strip_prefix(name) == Some(when)) else { return };
        if seen.fetch_add(1, Ordering::SeqCst) + 1 != *nth {
            return;
        }
        if let Ok(told) = std::env::var(VARIABLES[1])
            && OpenOptions::new().write(true).create_new(true).open(told).is_err()
        {
            return;
        }
        if let Ok(gate) = std::env::var(GATE) {
            while !Path::new(&gate).exists() {
                std::thread::sleep(POLL);
            }
            return;
        }
        // One that cannot be killed goes on, and the test says that it did.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }

    pub fn patience(usual: Duration) -> Duration {
        std::env::var(PATIENCE).ok().and_then(|seconds| seconds.parse().ok()).map_or(usual, Duration::from_secs)
    }

    /// What a process that starts with an empty environment has to be given, to be killed too.
    pub fn handed_down() -> Vec<(&'static str, String)> {
        VARIABLES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect()
    }
}
