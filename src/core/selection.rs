//! What a run is limited to.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::TaskId;

/// Which tasks a run may claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    #[default]
    All,
    Only(BTreeSet<TaskId>),
}

impl Selection {
    pub fn holds(&self, task: &TaskId) -> bool {
        match self {
            Selection::All => true,
            Selection::Only(set) => set.contains(task),
        }
    }
}
