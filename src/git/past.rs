//! What history said when it was last read, so that only new commits are read the next time.
//!
//! A file in the state directory, one for each target: the tips that were read, and all that
//! their history said. It may be lost at any time. One that is damaged, or that knows of commits
//! which are not part of history any more, is thrown away and everything read anew.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{GitError, Result};
use super::records::Mark;
use super::repo::Repo;
use crate::base::{Oid, sha256_hex};

/// Changed whenever a reader of before would read it wrongly.
const MAGIC: &str = "drover history 1";

/// All that the history of some tips says, children before their parents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub tips: Vec<Oid>,
    pub marks: Vec<Mark>,
}

impl Repo {
    /// What the history of `tips` says. Reads what was kept for the target and the commits that
    /// are new since; writes nothing.
    pub fn past(&self, target: &str, tips: &[Oid]) -> Result<Past> {
        let mut tips = tips.to_vec();
        tips.sort();
        tips.dedup();
        let known = self.kept_past(target).filter(|known| self.still_holds(known, &tips)).unwrap_or_default();
        if known.tips == tips {
            return Ok(known);
        }
        let mut marks = self.marks(&tips, &known.tips)?;
        marks.extend(known.marks);
        Ok(Past { tips, marks })
    }

    /// What was kept for a target, if it is whole.
    pub fn kept_past(&self, target: &str) -> Option<Past> {
        let text = fs::read_to_string(self.past_file(target)).ok()?;
        let (head, body) = text.split_once('\n')?;
        (head == format!("{MAGIC} {}", sha256_hex(body.as_bytes()))).then(|| serde_json::from_str(body).ok())?
    }

    /// Keeps it for the next time, unless that is what is kept already. No lock and no sync: half a
    /// file, and one that two wrote into, is thrown away.
    pub fn keep_past(&self, target: &str, past: &Past) -> Result<()> {
        let file = self.past_file(target);
        if self.kept_past(target).is_some_and(|kept| kept.tips == past.tips) {
            return Ok(());
        }
        let body = serde_json::to_string(past).map_err(|e| GitError::bug(format!("what history says has no JSON: {e}")))?;
        let text = format!("{MAGIC} {}\n{body}", sha256_hex(body.as_bytes()));
        let new = file.with_extension("new");
        let dir = self.state_dir().join(DIR);
        let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&new, text)).and_then(|()| fs::rename(&new, &file));
        written.map_err(|e| GitError::io("writing", &file, &e))
    }

    fn past_file(&self, target: &str) -> PathBuf {
        self.state_dir().join(DIR).join(&sha256_hex(target.as_bytes())[..16])
    }

    /// Whether all that was read is still part of history: nothing was rewound or collected.
    fn still_holds(&self, known: &Past, tips: &[Oid]) -> bool {
        let reached = |old: &Oid| tips.contains(old) || tips.iter().any(|tip| self.is_ancestor(old, tip).unwrap_or(false));
        known.tips.iter().all(reached)
    }
}

/// In the state directory.
const DIR: &str = "history";
