//! What is to become the line's new tip: an attempt's work put onto the old one.
//!
//! Nothing here touches files or refs. Whatever the strategy, the old tip is the first parent of
//! what is made, or of the first commit of what is made, and the last commit carries the record.

use super::commit::Merge;
use super::error::Result;
use super::message::with_trailers;
use super::refs::to_git2;
use super::repo::Repo;
use crate::base::{Millis, Oid};
use crate::model::Strategy;

/// The oldest git whose `merge-tree` can be told what to merge by.
const MIN_REBASE: &str = "2.40";

/// Finished work, and what is said of it where it lands.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The task's commit: the verified files, with the record of what it is.
    pub commit: &'a Oid,
    pub base: &'a Oid,
    /// The commits below it that Drover made, one for each sub-task.
    pub steps: &'a [Oid],
    /// Of a merge commit.
    pub message: &'a str,
    pub trailers: &'a str,
    pub date: Millis,
}

/// What putting work onto a tip came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Onto {
    Made { new: Oid, tree: Oid },
    Conflict { paths: Vec<String> },
}

/// A commit that is to be made once more, on another parent.
#[derive(Clone, Debug)]
struct Original {
    oid: Oid,
    tree: Oid,
    parents: Vec<Oid>,
    name: String,
    email: String,
    /// As git reads it: seconds and time zone.
    date: String,
    message: String,
    /// The message is no longer that of the commit.
    told_more: bool,
}

impl Repo {
    /// Puts finished work onto `tip`, as the strategy has it.
    pub fn put_onto(&self, strategy: Strategy, tip: &Oid, work: &Finished) -> Result<Onto> {
        if strategy == Strategy::Rebase
            && let Some(originals) = self.originals(work)?
            && let Some((new, tree)) = self.pick(tip, originals, work.date)?
        {
            return Ok(Onto::Made { new, tree });
        }
        // What cannot be picked one by one may well fit as a whole.
        let tree = match self.merge(tip, work.commit)? {
            Merge::Conflict { paths } => return Ok(Onto::Conflict { paths }),
            Merge::Clean { tree } => tree,
        };
        let new = match strategy {
            Strategy::Merge | Strategy::Branch => {
                self.commit_signed(&tree, &[tip.clone(), work.commit.clone()], work.message, work.date)?
            }
            Strategy::Squash | Strategy::Rebase => {
                self.commit_signed(&tree, std::slice::from_ref(tip), &self.message(work.commit)?, work.date)?
            }
        };
        Ok(Onto::Made { new, tree })
    }

    /// Whether `new` stands on `old`: going from first parent to first parent leads there.
    pub fn stands_on(&self, new: &Oid, old: &Oid) -> Result<bool> {
        let (repo, old) = (self.read()?, to_git2(old)?);
        let mut at = repo.find_commit(to_git2(new)?)?;
        while let Ok(parent) = at.parent_id(0) {
            if parent == old {
                return Ok(true);
            }
            if !repo.graph_descendant_of(parent, old)? {
                return Ok(false);
            }
            at = repo.find_commit(parent)?;
        }
        Ok(false)
    }

    /// Why work cannot be picked commit by commit with this git, if it cannot.
    pub fn cannot_rebase(&self) -> Option<String> {
        let version = self.inner.program.version().ok()?;
        let old = !super::run::at_least(&version, MIN_REBASE);
        old.then(|| format!("git {version} is too old for `[merge] strategy = \"rebase\"`: {MIN_REBASE} or newer is needed"))
    }

    /// Every commit of the work, oldest first, if they are a chain that stands on its base and can
    /// be made once more.
    fn originals(&self, work: &Finished) -> Result<Option<Vec<Original>>> {
        let format = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%B%x00";
        let range = format!("{}..{}", work.base, work.commit);
        let args = ["rev-list", "--reverse", "--topo-order", "--no-commit-header", "--date=raw", "--encoding=UTF-8", format];
        let mut fields = Vec::new();
        let mut found = Vec::new();
        self.git(args).arg(range).each_record(|field| {
            fields.push(String::from_utf8_lossy(field).into_owned());
            if fields.len() == 7 {
                found.push(std::mem::take(&mut fields));
            }
        })?;
        let originals: Option<Vec<Original>> = found.into_iter().map(original).collect();
        let Some(mut originals) = originals else { return Ok(None) };
        let before = std::iter::once(work.base).chain(originals.iter().map(|o| &o.oid));
        let is_chain = originals.iter().zip(before).all(|(o, before)| o.parents == [before.clone()]);
        if originals.is_empty() || !is_chain {
            return Ok(None);
        }
        fold_record(&mut originals, work);
        Ok(Some(originals))
    }

    /// Makes each commit once more, on the tip and on each other; `None` where one does not fit.
    /// One whose change is there already is left out, unless it carries the record.
    fn pick(&self, tip: &Oid, originals: Vec<Original>, date: Millis) -> Result<Option<(Oid, Oid)>> {
        let (mut at, mut at_tree) = (tip.clone(), self.tree_of(tip)?);
        let last = originals.len() - 1;
        for (n, original) in originals.into_iter().enumerate() {
            let parent = &original.parents[0];
            if at == *parent && !original.told_more {
                (at, at_tree) = (original.oid, original.tree);
                continue;
            }
            let tree = match self.merge_by(Some(parent), &at, &original.oid)? {
                Merge::Clean { tree } => tree,
                Merge::Conflict { .. } => return Ok(None),
            };
            if n < last && tree == at_tree {
                continue;
            }
            (at, at_tree) = (self.commit_again(&tree, &at, &original, date)?, tree);
        }
        Ok(Some((at, at_tree)))
    }

    fn commit_again(&self, tree: &Oid, parent: &Oid, original: &Original, date: Millis) -> Result<Oid> {
        let call = self.signed_commit(tree, std::slice::from_ref(parent), &original.message, date)?;
        let call = call.env("GIT_AUTHOR_NAME", original.name.clone()).env("GIT_AUTHOR_EMAIL", original.email.clone());
        call.env("GIT_AUTHOR_DATE", original.date.clone()).oid()
    }
}

/// Where the commit with the record changes nothing, because an agent had committed everything
/// itself, the record goes to the agent's last commit.
fn fold_record(originals: &mut Vec<Original>, work: &Finished) {
    let [.., before, last] = originals.as_mut_slice() else { return };
    if before.tree != last.tree || work.steps.contains(&before.oid) {
        return;
    }
    before.message = with_trailers(&before.message, work.trailers);
    before.told_more = true;
    originals.pop();
}

/// One commit, if it can be made once more: git makes none without a name of its author.
fn original(fields: Vec<String>) -> Option<Original> {
    let [oid, tree, parents, name, email, date, message] = <[String; 7]>::try_from(fields).ok()?;
    Some(Original {
        oid: Oid::parse(oid.trim())?,
        tree: Oid::parse(&tree)?,
        parents: parents.split(' ').filter_map(Oid::parse).collect(),
        name: (!name.trim().is_empty()).then_some(name)?,
        email,
        date: format!("@{date}"),
        message,
        told_more: false,
    })
}
