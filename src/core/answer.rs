//! What an effect of an attempt's step came to.

use super::outcome::{Exit, Failure, Snap};
use super::push::Elsewhere;
use crate::base::Oid;

#[derive(Clone, Debug)]
pub enum Answer {
    Prepared,
    AgentEnded {
        n: usize,
        exit: Exit,
    },
    Snapshotted {
        n: usize,
        snap: Snap,
    },
    /// `nth` counts the runs of the check on that tree, from 0.
    CheckPassed {
        tree: Oid,
        check: String,
        nth: u32,
    },
    CheckFailed {
        tree: Oid,
        check: String,
        nth: u32,
        failure: Failure,
    },
    /// What the check comes to on a commit that the work is compared with.
    Compared {
        commit: Oid,
        check: String,
        green: bool,
    },
    Committed {
        commit: Oid,
    },
    Merged {
        old: Oid,
        new: Oid,
        tree: Oid,
    },
    Conflict {
        paths: Vec<String>,
    },
    /// `commit` carries the attempt's trailers; `tip` is the line's tip that contains it.
    Landed {
        commit: Oid,
        tip: Oid,
    },
    /// The same, and somebody reverted it since, with the commit `by`.
    TakenBack {
        commit: Oid,
        tip: Oid,
        by: Oid,
    },
    /// The line moved between the intent and the swap.
    LostRace,
    /// The base lacks what a dependency landed; the line has it.
    Outdated,
    /// The line has the task already, by another clone.
    Elsewhere(Elsewhere),
    /// The step cannot succeed, whatever is tried.
    Broken {
        failure: Failure,
    },
    /// Not the task's fault (disk full, a lock, a network): wait, then do the step again.
    Trouble {
        why: String,
    },
    /// The step was cut short by an interrupt; do it again at the next start.
    CutShort,
    /// Nothing of an attempt that was to end is under way, and it has not landed.
    Withdrawn,
}
