//! Commits that an agent made itself: kept always, and part of what lands where that is right.
//!
//! The files are what lands, whatever the commits say. Their history goes with them if it begins
//! at the attempt's base, is whole, and says nothing that could be taken for Drover's record.
//! What an agent did to HEAD, its log and its branches is read as hostile input.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{GitError, Result};
use super::message::is_record;
use super::refs::to_git2;
use super::repo::Repo;
use super::worktree::Worktree;
use crate::base::Oid;

/// The most commits of an attempt that land as they are.
const MAX_COMMITS: usize = 1000;
/// The most ends of history that are kept of one worktree.
const MAX_KEPT: usize = 100;
/// How much of the end of the log of HEAD is read, in bytes.
pub(super) const MAX_LOG: u64 = 4 << 20;
const MAX_HEAD: u64 = 4096;

/// What an agent committed itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The commit that its worktree stands at, if all that leads there may land as it is.
    pub head: Option<Oid>,
    /// Why commits that it made do not land as they are, in words.
    pub left_out: Option<String>,
    /// The refs that keep those.
    pub kept: Vec<String>,
}

impl Repo {
    /// Looks for commits that were made in a worktree since `base`, beside `known` and what it
    /// contains, and keeps those that do not become part of what lands, beside `keep_ref`.
    pub(super) fn own_commits(&self, wt: &Worktree, base: &Oid, known: &Oid, keep_ref: &str) -> Result<Own> {
        let head = self.head_of(wt).filter(|head| self.is_commit(head));
        let mut own = Own::default();
        let made = match &head {
            Some(head) => !self.contains(known, head)?,
            None => false,
        };
        if let Some(head) = head.as_ref().filter(|_| made) {
            own.left_out = match self.unfit(base, head) {
                Ok(why) => why,
                Err(trouble @ GitError::Trouble { .. }) => return Err(trouble),
                Err(error) => Some(format!("they cannot be read: {error}")),
            };
            own.head = own.left_out.is_none().then(|| head.clone());
        }
        let mut ends = self.log_of(wt);
        ends.extend(head.clone());
        for end in self.loose_ends(ends, base, known, own.head.as_ref())? {
            let name = format!("{}-made-{}", without_step(keep_ref), &end.as_str()[..12]);
            if self.is_whole(&end, base)? {
                self.keep(&name, &end)?;
                own.kept.push(name);
            }
        }
        if own.left_out.is_none() && !own.kept.is_empty() {
            own.left_out = Some("its HEAD does not lead to them".into());
        }
        Ok(own)
    }

    /// The parents of the commit that keeps the files: the history of the worktree goes on, and
    /// nothing of what was there before gets lost.
    pub(super) fn parents_with(&self, own: &Own, known: &Oid) -> Result<Vec<Oid>> {
        Ok(match &own.head {
            None => vec![known.clone()],
            Some(head) if self.contains(head, known)? => vec![head.clone()],
            Some(head) => vec![known.clone(), head.clone()],
        })
    }

    /// Makes a worktree stand at a commit whose files it holds, so that what is committed in it
    /// next follows on that. Of no weight for what lands: where it cannot be done, it is not.
    pub fn stand_at(&self, wt: &Worktree, commit: &Oid) -> Result<()> {
        if self.link_problem(wt).is_some() {
            return Ok(());
        }
        let admin = self.admin_dir(wt);
        for lock in ["HEAD.lock", "index.lock"] {
            // Everything that could hold it was ended.
            let _ = fs::remove_file(admin.join(lock));
        }
        for args in [["update-ref", "--no-deref", "HEAD"].as_slice(), &["read-tree"]] {
            match self.git_of(wt, args.iter().copied()).arg(commit.as_str()).ok() {
                Ok(_) => {}
                Err(trouble @ GitError::Trouble { .. }) => return Err(trouble),
                Err(error) => {
                    tracing::debug!("{} could not be made to stand at {}: {error}", wt.path().display(), commit.short());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Why the history of `head` cannot land as it is, if it cannot.
    fn unfit(&self, base: &Oid, head: &Oid) -> Result<Option<String>> {
        if !self.contains(head, base)? {
            return Ok(Some(format!("they do not follow on {}, which the attempt began at", base.short())));
        }
        let range = format!("{base}..{head}");
        let count = |option: &[&'static str]| -> Result<usize> {
            let call = self.git(["rev-list", "--count"].iter().chain(option).copied()).arg(&range);
            Ok(call.text()?.parse().unwrap_or(usize::MAX))
        };
        let all = count(&["--max-count=1001"])?;
        if all > MAX_COMMITS {
            return Ok(Some(format!("they are more than {MAX_COMMITS}")));
        }
        if count(&["--ancestry-path"])? != all {
            return Ok(Some(format!("they bring in commits that do not follow on {}", base.short())));
        }
        if !self.is_whole(head, base)? {
            return Ok(Some("objects of theirs are missing".into()));
        }
        let mut forged = None;
        self.walk(base, head, |commit, message| {
            if message.lines().any(is_record) {
                forged = Some(commit);
            }
            forged.is_none()
        })?;
        Ok(forged.map(|commit| format!("{} has a line that begins like Drover's own record", commit.short())))
    }

    /// Whether everything that `head` has and `base` has not is there.
    fn is_whole(&self, head: &Oid, base: &Oid) -> Result<bool> {
        let answer = self.git(["rev-list", "--objects", "--quiet"]).arg(head.as_str()).arg(format!("^{base}")).run()?;
        match answer.status.success() {
            true => Ok(true),
            false => match answer.error() {
                trouble @ GitError::Trouble { .. } => Err(trouble),
                _ => Ok(false),
            },
        }
    }

    /// Those of `tips` that are new and that none of the others contains, nor anything that
    /// Drover keeps already.
    fn loose_ends(&self, tips: BTreeSet<Oid>, base: &Oid, known: &Oid, landing: Option<&Oid>) -> Result<Vec<Oid>> {
        let mut input = String::new();
        for tip in tips.iter().filter(|tip| self.is_commit(tip)) {
            input.push_str(&format!("{tip}\n"));
        }
        if input.is_empty() {
            return Ok(Vec::new());
        }
        for seen in [Some(base), Some(known), landing].into_iter().flatten() {
            input.push_str(&format!("^{seen}\n"));
        }
        let answer = self.git(["rev-list", "--parents", "--stdin", "--not", "--glob=refs/drover/*"]).input(input).run()?;
        if !answer.status.success() {
            return match answer.error() {
                trouble @ GitError::Trouble { .. } => Err(trouble),
                // Something in them is broken: each is looked at by itself.
                _ => Ok(tips.into_iter().filter(|tip| self.is_commit(tip)).take(MAX_KEPT).collect()),
            };
        }
        let (mut found, mut inner) = (Vec::new(), BTreeSet::new());
        for line in String::from_utf8_lossy(&answer.stdout).lines() {
            let mut oids = line.split(' ').filter_map(Oid::parse);
            found.extend(oids.next());
            inner.extend(oids);
        }
        found.retain(|oid| !inner.contains(oid));
        found.truncate(MAX_KEPT);
        Ok(found)
    }

    fn contains(&self, tip: &Oid, commit: &Oid) -> Result<bool> {
        self.is_ancestor(commit, tip)
    }

    fn is_commit(&self, oid: &Oid) -> bool {
        let found = || -> Result<bool> { Ok(self.read()?.find_commit(to_git2(oid)?).is_ok()) };
        found().unwrap_or(false)
    }

    /// What HEAD of a worktree leads to, by its file, which may say anything.
    pub(super) fn head_of(&self, wt: &Worktree) -> Option<Oid> {
        let text = end_of(&self.admin_dir(wt).join("HEAD"), MAX_HEAD)?;
        match text.strip_prefix("ref:") {
            Some(name) => self.tip(name.trim()).ok().flatten(),
            None => Oid::parse(text.trim()),
        }
    }

    /// Everything that HEAD of a worktree led to, as far as its log goes.
    fn log_of(&self, wt: &Worktree) -> BTreeSet<Oid> {
        let text = end_of(&self.admin_dir(wt).join("logs/HEAD"), MAX_LOG).unwrap_or_default();
        text.lines().filter_map(|line| Oid::parse(line.split(' ').nth(1)?)).filter(|oid| oid.as_str().bytes().any(|b| b != b'0')).collect()
    }
}

/// `refs/drover/attempts/<attempt>` of `refs/drover/attempts/<attempt>-s<n>`.
fn without_step(keep_ref: &str) -> &str {
    let whole = |(rest, n): (_, &str)| (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())).then_some(rest);
    keep_ref.rsplit_once("-s").and_then(whole).unwrap_or(keep_ref)
}

/// The end of a file, if it is a plain one.
pub(super) fn end_of(path: &Path, limit: u64) -> Option<String> {
    let meta = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut file = fs::File::open(path).ok()?;
    file.seek(SeekFrom::Start(meta.len().saturating_sub(limit))).ok()?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
