//! The remote that the target is shared through: pushed to and fetched from, never forced.
//!
//! What the remote was last seen to have is kept in `refs/drover/remote/<remote>/<target>`. Of
//! the user's refs only those move that git itself moves along with a push or fetch, below
//! `refs/remotes/`.

use std::time::Duration;

use super::error::{GitError, Result};
use super::repo::Repo;
use super::run::Answer;
use crate::base::Oid;
use crate::base::text::one_line;
use crate::fault;

/// What a push came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The remote has it now.
    Done,
    /// The remote has commits that what is pushed lacks.
    Rejected,
    Failed(Trouble),
}

/// What a fetch came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    Tip(Oid),
    /// The remote has no such branch.
    Nothing,
    /// It lost what it was last seen to have: a reset or a force-push.
    Rewound {
        had: Oid,
    },
    Failed(Trouble),
}

/// Why a remote did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub why: String,
    /// It will not pass by itself.
    pub lasting: bool,
}

/// What git or the far end says (in `LC_ALL=C`) when waiting would not help.
const LASTING: &[&str] = &[
    "[remote rejected]",
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "Permission denied",
    "Host key verification failed",
    "does not appear to be a git repository",
    "repository not found",
    "Repository not found",
    "The requested URL returned error: 4",
    "terminal prompts disabled",
    "can't be combined",
    "SSL certificate problem",
];

/// How a push is answered that somebody was quicker than.
const OVERTAKEN: &[&str] =
    &["\t[rejected]", "(failed to update ref)", "cannot lock ref", "(incorrect old value provided)", "(failed to lock)"];

impl Repo {
    /// Where it is kept what a remote was last seen to have.
    pub fn remote_ref(remote: &str, target: &str) -> String {
        format!("refs/drover/remote/{remote}/{target}")
    }

    /// Whether a remote of that name is configured.
    pub fn has_remote(&self, name: &str) -> Result<bool> {
        match self.read()?.find_remote(name) {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.code(), git2::ErrorCode::NotFound | git2::ErrorCode::InvalidSpec) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes the remote's `target` the commit `tip`, if that only adds to what it has.
    pub fn push(&self, remote: &str, target: &str, tip: &Oid, limit: Duration) -> Result<Pushed> {
        let spec = format!("{tip}:refs/heads/{target}");
        let options = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-force-with-lease"];
        let Some(answer) = self.git_remote(options).arg(remote).arg(spec).run_remote(limit)? else {
            return Ok(Pushed::Failed(too_long(remote, limit)));
        };
        if answer.status.success() {
            fault::point("push.taken");
            self.move_ref(&Self::remote_ref(remote, target), tip)?;
            return Ok(Pushed::Done);
        }
        let told = String::from_utf8_lossy(&answer.stdout).into_owned();
        let rejected = told.lines().any(|l| l.starts_with("!\t") && OVERTAKEN.iter().any(|o| l.contains(o)));
        Ok(if rejected { Pushed::Rejected } else { Pushed::Failed(trouble(remote, &answer, &told)) })
    }

    /// Looks what the remote's `target` is, and brings it here.
    pub fn fetch(&self, remote: &str, target: &str, limit: Duration) -> Result<Fetched> {
        let kept = Self::remote_ref(remote, target);
        let spec = format!("refs/heads/{target}:{kept}");
        let options = ["fetch", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-gc"];
        let had = self.tip(&kept)?;
        let Some(answer) = self.git_remote(options).arg(remote).arg(spec).run_remote(limit)? else {
            return Ok(Fetched::Failed(too_long(remote, limit)));
        };
        if answer.status.success() {
            let tip = self.tip(&kept)?;
            return tip.map(Fetched::Tip).ok_or_else(|| GitError::trouble(format!("{kept} is gone right after a fetch")));
        }
        Ok(match had {
            _ if answer.stderr.contains("couldn't find remote ref") => Fetched::Nothing,
            Some(had) if answer.stderr.contains("(non-fast-forward)") => Fetched::Rewound { had },
            _ => Fetched::Failed(trouble(remote, &answer, "")),
        })
    }

    /// Moves the line from `line` to `tip`, which contains it. False if it has moved meanwhile.
    pub fn advance_line(&self, target: &str, line: &Oid, tip: &Oid) -> Result<bool> {
        match self.is_ancestor(line, tip)? {
            true => self.swap(&Self::line_ref(target), Some(line), tip),
            false => Err(GitError::bug(format!("the line is to follow {}, which does not contain {}", tip.short(), line.short()))),
        }
    }
}

fn too_long(remote: &str, limit: Duration) -> Trouble {
    let why = format!("`{remote}` did not answer within {} (`[merge] push_timeout`)", crate::base::format_duration(limit));
    Trouble { why, lasting: true }
}

fn trouble(remote: &str, answer: &Answer, told: &str) -> Trouble {
    let said = format!("{} {told}", answer.stderr);
    let lasting = LASTING.iter().any(|l| said.contains(l));
    let refused = told.lines().find_map(|l| l.strip_prefix("!\t")).unwrap_or_default();
    let words = [refused, answer.stderr.trim()].join(" ");
    Trouble { why: format!("`{remote}` could not be pushed to or fetched from: {}", one_line(words.trim(), 400)), lasting }
}
