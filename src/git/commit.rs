//! Making commits and merges without touching files.

use std::ffi::OsString;

use super::error::Result;
use super::repo::Repo;
use super::run::Call;
use crate::base::{Millis, Oid};

/// What merging two commits came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    Clean {
        tree: Oid,
    },
    /// The paths that do not merge, each once, in order.
    Conflict {
        paths: Vec<String>,
    },
}

impl Repo {
    /// A commit of `tree`. The same input gives the same commit: author and committer are who
    /// the configuration names (or Drover, if nobody), at `date`, UTC.
    pub fn commit(&self, tree: &Oid, parents: &[Oid], message: &str, date: Millis) -> Result<Oid> {
        self.commit_tree(tree, parents, message, date)?.oid()
    }

    /// The same, signed if the configuration asks for it. A signature may hold the time, so two
    /// calls may give two commits.
    pub fn commit_signed(&self, tree: &Oid, parents: &[Oid], message: &str, date: Millis) -> Result<Oid> {
        self.signed_commit(tree, parents, message, date)?.oid()
    }

    pub(super) fn signed_commit<'a>(&'a self, tree: &'a Oid, parents: &'a [Oid], message: &str, date: Millis) -> Result<Call<'a>> {
        let call = self.commit_tree(tree, parents, message, date)?;
        Ok(if self.signs()? { call.arg("-S") } else { call })
    }

    /// Signs something, if the configuration asks for signatures: a key that is missing or asks
    /// is found out before anything is spent on work that could not be committed.
    pub fn check_signing(&self) -> Result<()> {
        if self.signs()? {
            let empty = self.git(["hash-object", "-t", "tree", "-w", "--stdin"]).input("").oid()?;
            self.commit_signed(&empty, &[], "Can this be signed?\n", Millis(0))?;
        }
        Ok(())
    }

    pub(super) fn commit_tree<'a>(&'a self, tree: &'a Oid, parents: &'a [Oid], message: &str, date: Millis) -> Result<Call<'a>> {
        let date = format!("@{} +0000", date.0 / 1000);
        let args = ["commit-tree", tree.as_str(), "-F", "-"].into_iter();
        let parents = parents.iter().flat_map(|p| ["-p", p.as_str()]);
        let call = self.git(args.chain(parents)).config("i18n.commitEncoding=UTF-8").input(message.replace('\0', ""));
        let call = call.env("GIT_AUTHOR_DATE", date.clone()).env("GIT_COMMITTER_DATE", date);
        Ok(self.identity()?.iter().fold(call, |call, (key, value)| call.env(key, OsString::from(value))))
    }

    /// Variables that name Drover where the configuration names nobody.
    pub(super) fn identity(&self) -> Result<&[(&'static str, &'static str)]> {
        if let Some(known) = self.inner.identity.get() {
            return Ok(known);
        }
        let mut missing = Vec::new();
        for (who, name, email) in [
            ("GIT_AUTHOR_IDENT", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"),
            ("GIT_COMMITTER_IDENT", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
        ] {
            if !self.git(["var", who]).config("user.useConfigOnly=true").run()?.status.success() {
                missing.extend([(name, "Drover"), (email, "drover@localhost")]);
            }
        }
        Ok(self.inner.identity.get_or_init(|| missing))
    }

    /// Merges two commits in memory, by git's own merge with its renames, attributes and drivers.
    pub fn merge(&self, ours: &Oid, theirs: &Oid) -> Result<Merge> {
        self.merge_by(None, ours, theirs)
    }

    /// The same; what both are taken to come from can be given.
    pub(super) fn merge_by(&self, base: Option<&Oid>, ours: &Oid, theirs: &Oid) -> Result<Merge> {
        let mut call = self.git(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
        if let Some(base) = base {
            call = call.arg(format!("--merge-base={base}"));
        }
        // Attributes are those of our side, not of whatever the user has checked out.
        let answer = call.arg(ours.as_str()).arg(theirs.as_str()).env("GIT_ATTR_SOURCE", ours.as_str()).run()?;
        let mut records = answer.stdout.split(|b| *b == 0);
        let tree = records.next().and_then(|oid| Oid::parse(std::str::from_utf8(oid).ok()?));
        match (answer.code(), tree) {
            (Some(0), Some(tree)) => Ok(Merge::Clean { tree }),
            (Some(1), Some(_)) => {
                let mut paths: Vec<String> = records.filter(|p| !p.is_empty()).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
                paths.dedup();
                Ok(Merge::Conflict { paths })
            }
            _ => Err(answer.error()),
        }
    }
}
