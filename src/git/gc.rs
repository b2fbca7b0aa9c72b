//! Letting go of what attempts left: refs whose work is kept by what stays.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Result;
use super::refs::ATTEMPTS;
use super::repo::Repo;
use crate::base::{Millis, Oid};

/// Refs that are never deleted here. What they reach is kept.
const STAY: &[&str] = &["refs/heads", "refs/drover/integration", "refs/drover/published", "refs/drover/kept"];

/// A ref below `refs/drover/attempts/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRef {
    pub name: String,
    pub commit: Oid,
    /// When the commit was made, as it says.
    pub made: Millis,
}

impl AttemptRef {
    /// The attempt that it is of: its id is what stands before `-s<n>`, `-land` and the like.
    pub fn is_of(&self, aid: &str) -> bool {
        let rest = self.name.strip_prefix(ATTEMPTS).and_then(|name| name.strip_prefix(aid));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-') && !rest[1..].starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl Repo {
    /// Every ref of an attempt.
    pub fn attempt_refs(&self) -> Result<Vec<AttemptRef>> {
        let list =
            self.git(["for-each-ref", "--format=%(refname) %(objectname) %(committerdate:unix)", ATTEMPTS.trim_end_matches('/')]).text()?;
        let read = |line: &str| {
            let mut fields = line.split(' ');
            let (name, commit, made) = (fields.next()?, Oid::parse(fields.next()?)?, fields.next()?.parse::<u64>().ok()?);
            Some(AttemptRef { name: name.to_owned(), commit, made: Millis(made.saturating_mul(1000)) })
        };
        Ok(list.lines().filter_map(read).collect())
    }

    /// Those of `commits` that are proved to be kept by refs that stay: reached by one, or with
    /// the files of a commit that is, on parents that are.
    pub fn proved_kept(&self, commits: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>> {
        let list = self.git(["for-each-ref", "--format=%(objectname)"]);
        let roots = STAY.iter().fold(list, |list, prefix| list.arg(prefix)).text()?;
        if roots.is_empty() || commits.is_empty() {
            return Ok(BTreeSet::new());
        }
        let wanted: Vec<&str> = commits.iter().map(Oid::as_str).collect();
        let excluded: Vec<String> = roots.lines().map(|root| format!("^{root}")).collect();
        let input = format!("{}\n{}\n", wanted.join("\n"), excluded.join("\n"));
        let apart = self.git(["rev-list", "--parents", "--stdin"]).input(input).text()?;
        let apart: BTreeMap<&str, Vec<&str>> =
            apart.lines().filter_map(|line| line.split_once(' ').or(Some((line, "")))).map(|(c, p)| (c, p.split(' ').collect())).collect();
        let mut kept: BTreeSet<Oid> = commits.iter().filter(|c| !apart.contains_key(c.as_str())).cloned().collect();
        // A snapshot is a commit of its own beside the one that landed, with the same files.
        let mut by_tree: BTreeMap<Oid, Vec<Oid>> = BTreeMap::new();
        for commit in commits.iter().filter(|c| apart.get(c.as_str()).is_some_and(|p| p.iter().all(|p| !apart.contains_key(p)))) {
            by_tree.entry(self.tree_of(commit)?).or_default().push(commit.clone());
        }
        if !by_tree.is_empty() {
            self.git(["log", "-z", "--format=%T", "--stdin"]).input(format!("{roots}\n")).each_record(|tree| {
                let found = std::str::from_utf8(tree).ok().and_then(|t| Oid::parse(t.trim())).and_then(|tree| by_tree.remove(&tree));
                kept.extend(found.into_iter().flatten());
            })?;
        }
        Ok(kept)
    }

    /// Deletes refs, each only while it is at the commit that was looked at.
    pub fn delete_refs(&self, refs: &[AttemptRef]) -> Result<()> {
        let lines: String = refs.iter().map(|r| format!("delete {} {}\n", r.name, r.commit)).collect();
        match refs {
            [] => Ok(()),
            _ => self.git(["update-ref", "--no-deref", "--stdin"]).input(lines).ok().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_of_the_attempt_that_it_names_and_of_no_other() {
        let named =
            |name: &str| AttemptRef { name: format!("{ATTEMPTS}{name}"), commit: Oid::parse(&"1".repeat(40)).unwrap(), made: Millis(0) };
        for (name, of) in [
            ("r-1", true),
            ("r-1-s0", true),
            ("r-1-land", true),
            ("r-1-s0-was-abc", true),
            ("r-12", false),
            ("r-12-s0", false),
            ("r", false),
        ] {
            assert_eq!(named(name).is_of("r-1"), of, "{name}");
        }
        assert!(!named("r-1-2").is_of("r-1"));
    }
}
