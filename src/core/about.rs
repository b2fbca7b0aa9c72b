//! Which tasks and attempts a fact is about.

use std::collections::BTreeSet;

use super::fact::{Fact, Recalled};
use crate::base::{Aid, TaskId};

impl Fact {
    /// The task it is about, if it is about one.
    pub fn task(&self) -> Option<&TaskId> {
        use Fact::*;
        match self {
            Defined { spec, .. } | Moved { spec, .. } | Self::Recalled(self::Recalled { spec, .. }) => Some(&spec.id),
            Self::Hinted(super::hint::Hinted { task, .. })
            | Removed { task }
            | Due { task }
            | Reverted { task, .. }
            | Restored { task }
            | Self::Elsewhere { task, .. } => Some(task),
            Retried { task } | Reset { task } | Cancelled { task } | Suspended { task, .. } | Marked { task, .. } => Some(task),
            Claimed { task, .. }
            | Prepared { task, .. }
            | AgentEnded { task, .. }
            | Snapshotted { task, .. }
            | CheckPassed { task, .. }
            | CheckFailed { task, .. }
            | Compared { task, .. }
            | CheckExcused { task, .. }
            | Verified { task, .. }
            | Committed { task, .. }
            | ApprovalAsked { task, .. }
            | Approved { task, .. }
            | LaneTaken { task, .. }
            | LandIntent { task, .. }
            | LaneLost { task, .. }
            | Landed { task, .. }
            | Done { task, .. }
            | Delayed { task, .. }
            | Interrupted { task, .. }
            | Held { task, .. }
            | OverBudget { task, .. }
            | AttemptFailed { task, .. }
            | Superseded { task, .. }
            | EndAsked { task, .. }
            | Withdrawn { task, .. }
            | Blocked { task, .. }
            | BlockedExternally { task, .. } => Some(task),
            RunBegan { .. }
            | Limited(_)
            | Selected { .. }
            | AllSuspended { .. }
            | RunEnded { .. }
            | TimeUp
            | PauseMoved { .. }
            | PolicySet { .. }
            | LineSynced { .. }
            | Published { .. }
            | PublishHeld { .. }
            | GitChanged { .. }
            | PublishDue
            | PublishAsked { .. }
            | Pushed { .. }
            | PushHeld { .. }
            | PushDue
            | RemoteSeen { .. }
            | Cleaned { .. } => None,
        }
    }

    /// The attempt that it is a step or the end of; all but its claim are fenced by that.
    pub fn attempt(&self) -> Option<(&TaskId, &Aid)> {
        use Fact::*;
        match self {
            Prepared { task, aid }
            | AgentEnded { task, aid, .. }
            | Snapshotted { task, aid, .. }
            | CheckPassed { task, aid, .. }
            | CheckFailed { task, aid, .. }
            | CheckExcused { task, aid, .. }
            | Verified { task, aid, .. }
            | Committed { task, aid, .. }
            | ApprovalAsked { task, aid }
            | Approved { task, aid }
            | LaneTaken { task, aid }
            | LandIntent { task, aid, .. }
            | LaneLost { task, aid }
            | Landed { task, aid, .. }
            | Done { task, aid }
            | Delayed { task, aid, .. }
            | Interrupted { task, aid }
            | Held { task, aid, .. }
            | OverBudget { task, aid, .. }
            | AttemptFailed { task, aid, .. }
            | Superseded { task, aid }
            | EndAsked { task, aid, .. }
            | Withdrawn { task, aid }
            | Blocked { task, aid, .. }
            | BlockedExternally { task, aid, .. } => Some((task, aid)),
            _ => None,
        }
    }

    /// The tasks that a batch of facts touched.
    pub fn touched<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> BTreeSet<TaskId> {
        let before = |fact: &Fact| match fact {
            Fact::Moved { from, .. } => Some(from.clone()),
            _ => None,
        };
        facts.into_iter().flat_map(|f| f.task().cloned().into_iter().chain(before(f))).collect()
    }
}
