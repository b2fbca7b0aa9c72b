//! Which fact leads an attempt from which step to which.

use super::fact::Fact;
use super::outcome::{Exit, Snap};
use super::state::{Attempt, Step};

impl Attempt {
    /// Facts that only move the attempt on. False: it is not one of those.
    pub(super) fn advance(&mut self, fact: &Fact, policy: u64) -> Result<bool, &'static str> {
        if matches!(self.step, Step::Verify { .. } | Step::Land { .. }) && self.fold_gate(fact, policy) {
            return Ok(true);
        }
        let next = match (fact, &self.step) {
            (Fact::AgentEnded { n, exit, .. }, Step::Agent { n: at }) if n == at => Step::Snapshot { n: *n, exit: exit.clone() },
            (Fact::Snapshotted { n, snap, .. }, Step::Snapshot { n: at, exit }) if n == at => {
                let exit = exit.clone();
                self.keep(snap, &exit);
                Step::Verify { n: *n }
            }
            (Fact::Committed { commit, .. }, Step::Commit) => Step::Queued { commit: commit.clone() },
            (Fact::ApprovalAsked { .. }, Step::Queued { commit }) => Step::Approval { commit: commit.clone() },
            (Fact::Approved { .. }, Step::Approval { commit }) => Step::Approved { commit: commit.clone() },
            (Fact::LaneTaken { .. }, Step::Queued { commit } | Step::Approved { commit }) => Step::Merge { commit: commit.clone() },
            (Fact::LandIntent { old, new, tree, .. }, Step::Merge { commit }) => {
                Step::Land { commit: commit.clone(), old: old.clone(), new: new.clone(), tree: tree.clone() }
            }
            (Fact::LaneLost { .. }, Step::Land { commit, .. }) => Step::Merge { commit: commit.clone() },
            (Fact::Prepared { .. }, Step::Prepare) | (Fact::Verified { .. }, Step::Verify { .. }) => return Ok(false),
            (Fact::Landed { .. }, Step::Merge { .. } | Step::Land { .. }) => return Ok(false),
            (Fact::Done { .. } | Fact::Interrupted { .. } | Fact::Held { .. } | Fact::OverBudget { .. }, Step::Verify { .. }) => {
                return Ok(false);
            }
            (
                Fact::Superseded { .. },
                Step::Prepare
                | Step::Approval { .. }
                | Step::Approved { .. }
                | Step::Queued { .. }
                | Step::Merge { .. }
                | Step::Land { .. },
            ) => return Ok(false),
            (Fact::Blocked { .. }, Step::Merge { .. }) | (Fact::BlockedExternally { .. }, Step::Verify { .. }) => return Ok(false),
            (Fact::EndAsked { .. }, step) if !matches!(step, Step::Queued { .. }) && !self.is_parked() => return Ok(false),
            (Fact::Withdrawn { .. }, _) if self.is_ending() => return Ok(false),
            (Fact::AttemptFailed { .. } | Fact::Delayed { .. }, _) => return Ok(false),
            _ => return Err("the attempt is at another step"),
        };
        self.step = next;
        Ok(true)
    }

    fn keep(&mut self, snap: &Snap, exit: &Exit) {
        self.snaps.push(snap.clone());
        if !exit.summary.is_empty() {
            self.summary = exit.summary.clone();
        }
    }
}
