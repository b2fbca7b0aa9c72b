//! What a person may want of the whole project, and what that comes to.

use serde::{Deserialize, Serialize};

use super::control::Heed;
use super::decide::Decider;
use super::fact::Fact;
use super::state::{Limits, State};
use crate::base::text::count;

/// The most attempts at a time.
const MAX_WORKERS: u32 = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// Begin nothing, whatever tasks there are and will be.
    Suspend,
    /// Nothing is suspended any more, neither the whole nor any task.
    Unsuspend,
    /// So many attempts at a time, as long as this Drover is at work.
    Workers { workers: u32 },
}

impl State {
    /// What a wish would come to; `live`: said to a Drover at work.
    pub fn consider_wish(&self, wish: &Wish, live: bool) -> Heed {
        let suspended = self.tasks.values().filter(|t| t.suspended).count();
        match wish {
            Wish::Suspend if self.head.suspended => Heed::Unchanged("everything is suspended already".into()),
            Wish::Suspend => Heed::Done("everything is suspended: what is under way goes on, and nothing is begun".into()),
            Wish::Unsuspend if !self.head.suspended && suspended == 0 => Heed::Unchanged("nothing is suspended".into()),
            Wish::Unsuspend => Heed::Done("nothing is suspended any more".into()),
            Wish::Workers { workers } if *workers == 0 || *workers > MAX_WORKERS => {
                Heed::Refused(format!("there can be 1 to {MAX_WORKERS} workers; `drover suspend --all` has nothing begun"))
            }
            Wish::Workers { .. } if !live => Heed::Refused(
                "no Drover is at work: say `drover apply --workers N`, or set `workers` under `[run]` in drover.toml for every run".into(),
            ),
            Wish::Workers { workers } => self.more_or_less(*workers),
        }
    }

    fn more_or_less(&self, workers: u32) -> Heed {
        let (now, then) = (self.workers(), workers as usize);
        let busy = self.active().count();
        match () {
            () if now == then => Heed::Unchanged(format!("there can be {} at a time already", count(then, "attempt"))),
            () if busy > then => {
                Heed::Done(format!("{} at a time instead of {now}: {busy} are under way, and go on to their end", count(then, "attempt")))
            }
            () => Heed::Done(format!("{} at a time instead of {now}", count(then, "attempt"))),
        }
    }
}

impl Decider<'_> {
    pub(super) fn wish(&mut self, wish: &Wish) {
        match wish {
            Wish::Suspend => self.suspend_all(true),
            Wish::Unsuspend => self.suspend_all(false),
            Wish::Workers { workers } => {
                let Some(run) = self.state.head.run.as_ref().filter(|r| !r.ended) else { return };
                let limits = Limits { workers: Some((*workers).clamp(1, MAX_WORKERS)), ..run.limits };
                if limits != run.limits {
                    self.emit(Fact::Limited(limits));
                }
            }
        }
    }
}
