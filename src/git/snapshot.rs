//! The files of a worktree, kept in git, whatever an agent did to its HEAD, branch or index.

use super::error::{GitError, Result};
use super::nested::paths_of;
use super::own::Own;
use super::repo::Repo;
use super::worktree::Worktree;
use crate::base::{Millis, Oid};
use crate::fault;

/// The most changed paths that are listed.
const MAX_PATHS: usize = 100_000;

/// What `snapshot` kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub tree: Oid,
    pub commit: Oid,
    /// The tree is that of `base`.
    pub unchanged: bool,
    /// What differs from `base`, relative to the top; bytes that are no UTF-8 are replaced.
    pub paths_changed: Vec<String>,
    /// More paths changed than are listed.
    pub more_paths: bool,
    /// Repositories inside the worktree that are no submodules of `base`, and submodules that
    /// point at a commit only the worktree has. The files of the former are in the tree.
    pub nested: Vec<String>,
    /// What keeps submodules from landing, in words; what was made in them is kept in their stores.
    pub submodules: Vec<String>,
    /// What was done to the worktree's link to its repository, in words.
    pub tampered: Option<String>,
    /// Commits that the agent made itself.
    pub own: Own,
}

impl Repo {
    /// Keeps the files of a worktree: a tree, a commit of it on `parent` (or on what the agent
    /// committed on that), and `keep_ref` on that.
    /// Done again on the same files it gives the same answer, even under another identity; done
    /// again on other files, the earlier commit stays anchored beside the new one.
    pub fn snapshot(&self, wt: &Worktree, base: &Oid, parent: &Oid, message: &str, date: Millis, keep_ref: &str) -> Result<Snapshot> {
        let tampered = self.link_problem(wt);
        let (mut tree, mut nested) = self.write_files(wt, base)?;
        let mut changed = self.changed(base, &tree)?;
        let left = if nested.is_empty() { self.leftovers(wt, &changed.added)? } else { Vec::new() };
        if !left.is_empty() {
            tree = self.write_without(wt, left)?;
            changed = self.changed(base, &tree)?;
        }
        let (submodules, known) = self.keep_submodules(wt, base, &tree, keep_ref)?;
        for (path, commit) in changed.gitlinks {
            if !known.contains(std::path::Path::new(&path)) && !self.submodule_has(&path, &commit) {
                nested.push(path);
            }
        }
        let unchanged = self.tree_of(base)? == tree;
        let own = self.own_commits(wt, base, parent, keep_ref)?;
        if !unchanged || own.head.is_some() {
            // Objects that the agent's own git wrote are not written, nor synced, again.
            self.sync_objects()?;
        }
        let parents = self.parents_with(&own, parent)?;
        fault::point("snapshot.written");
        let commit = self.anchor_files(&tree, &parents, message, date, keep_ref)?;
        Ok(Snapshot { tree, commit, unchanged, paths_changed: changed.paths, more_paths: changed.more, nested, submodules, tampered, own })
    }

    /// Shows each path that differs between two trees, as the bytes that it is, however many.
    pub fn changed_paths(&self, old: &Oid, new: &Oid, mut visit: impl FnMut(&[u8])) -> Result<()> {
        self.each_change(old, new, |_, path| visit(path))
    }

    /// A renamed file is one that is gone and one that is new.
    fn each_change(&self, old: &Oid, new: &Oid, mut visit: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let args =
            ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none", old.as_str(), new.as_str()];
        let mut meta = Vec::new();
        self.git(args).each_record(|record| match record.first() {
            Some(b':') if meta.is_empty() => meta = record.to_vec(),
            _ => visit(&std::mem::take(&mut meta), record),
        })
    }

    /// What differs between a commit and the tree of an attempt that began there.
    fn changed(&self, base: &Oid, tree: &Oid) -> Result<Changed> {
        let mut changed = Changed::default();
        self.each_change(base, tree, |meta, path| changed.take(meta, path))?;
        Ok(changed)
    }

    /// The tree that was just written, without some of its files.
    fn write_without(&self, wt: &Worktree, paths: Vec<Vec<u8>>) -> Result<Oid> {
        let index = self.working_index(wt)?;
        let paths = [paths.join(&0), vec![0]].concat();
        self.git_on(wt, &wt.path(), &index, ["update-index", "--force-remove", "-z", "--stdin"]).input(paths).ok()?;
        let tree = self.git_on(wt, &wt.path(), &index, ["write-tree"]).oid()?;
        self.save_index(wt, &index)?;
        Ok(tree)
    }

    /// Writes everything in the worktree that is not ignored as a tree.
    fn write_files(&self, wt: &Worktree, base: &Oid) -> Result<(Oid, Vec<String>)> {
        if !wt.path().is_dir() {
            return Err(GitError::refused(format!("the worktree {} is gone", wt.path().display())));
        }
        match self.try_write_files(wt, base, true) {
            // The saved index may be what is broken: once more, without what it remembers.
            Err(e) if !e.is_trouble() => self.try_write_files(wt, base, false),
            done => done,
        }
    }

    fn try_write_files(&self, wt: &Worktree, base: &Oid, use_saved: bool) -> Result<(Oid, Vec<String>)> {
        let index = self.working_index(wt)?;
        if !use_saved {
            drop(std::fs::remove_file(&index));
        }
        if !index.is_file() {
            self.git_on(wt, &wt.path(), &index, ["read-tree", base.as_str()]).ok()?;
        }
        let nested = self.add_all(wt, &index)?;
        let tree = self.git_on(wt, &wt.path(), &index, ["write-tree"]).oid()?;
        if nested.is_empty() {
            self.save_index(wt, &index)?;
        } else {
            // In the index their files are files like others: the next look would not find them.
            drop(std::fs::remove_file(&index));
        }
        Ok((tree, paths_of(nested)))
    }

    /// A commit of the files on `parents`, anchored by `keep_ref`; the one that is there already
    /// if it says the same.
    fn anchor_files(&self, tree: &Oid, parents: &[Oid], message: &str, date: Millis, keep_ref: &str) -> Result<Oid> {
        let Some(has) = self.tip(keep_ref)? else {
            let commit = self.commit(tree, parents, message, date)?;
            self.keep(keep_ref, &commit)?;
            return Ok(commit);
        };
        if self.tree_of(&has)? == *tree && self.parents(&has)? == parents {
            return Ok(has);
        }
        let commit = self.commit(tree, parents, message, date)?;
        self.keep(&format!("{keep_ref}-was-{}", has.short()), &has)?;
        match self.swap(keep_ref, Some(&has), &commit)? {
            true => Ok(commit),
            false => Err(GitError::trouble(format!("{keep_ref} is being moved by somebody else"))),
        }
    }

    /// Makes sure that all objects written so far, by whomever, survive a power cut.
    pub fn sync_objects(&self) -> Result<()> {
        let objects = self.common_dir().join("objects");
        let synced = std::fs::File::open(&objects).and_then(|dir| Ok(rustix::fs::syncfs(dir)?));
        synced.map_err(|e| GitError::io("syncing", &objects, &e))
    }

    /// Whether the main store of a submodule has the commit it is to point at.
    fn submodule_has(&self, path: &str, commit: &Oid) -> bool {
        let store = self.common_dir().join("modules").join(path);
        let found = store.is_dir().then(|| self.git(["cat-file", "-e", commit.as_str()]).env("GIT_DIR", &store).run());
        found.is_some_and(|answer| answer.is_ok_and(|a| a.status.success()))
    }
}

#[derive(Default)]
struct Changed {
    paths: Vec<String>,
    more: bool,
    /// As they are, and all of them.
    added: Vec<Vec<u8>>,
    gitlinks: Vec<(String, Oid)>,
}

impl Changed {
    /// Takes `:<mode> <mode> <oid> <oid> <status>` and the path it is about.
    fn take(&mut self, meta: &[u8], path: &[u8]) {
        let meta = String::from_utf8_lossy(meta);
        let fields: Vec<&str> = meta.split(' ').collect();
        if fields.last() == Some(&"A") {
            self.added.push(path.to_vec());
        }
        let path = String::from_utf8_lossy(path).into_owned();
        if let [_, "160000", _, new, _] = fields[..] {
            self.gitlinks.extend(Oid::parse(new).map(|oid| (path.clone(), oid)));
        }
        match self.paths.len() < MAX_PATHS {
            true => self.paths.push(path),
            false => self.more = true,
        }
    }
}
