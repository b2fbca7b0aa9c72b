//! What history says of tasks: the records that landed commits carry, and the reverts that take
//! commits back.
//!
//! Read from every line of every message, not from trailers alone: after an ordinary merge or a
//! pull the records stand on second parents, and a squash merge holds those of several commits,
//! indented. So a record must be whole to count: `Drover-Task` with an id and a digest, directly
//! below it `Drover-Attempt` with an attempt's id, and below that no run but that attempt's. A
//! line that is quoted in prose is none. A whole record that a person copies is taken at their
//! word: a squash looks just like it.

use serde::{Deserialize, Serialize};

use super::error::{GitError, Result};
use super::message::record_value;
use super::refs::{from_git2, to_git2};
use super::repo::Repo;
use crate::base::{Aid, Digest, Oid, TaskId};

/// One thing that a commit's message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub commit: Oid,
    /// The commit that a squash merge took it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squashed: Option<Oid>,
    pub says: Says,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// An attempt at a task landed with it.
    Landed { task: TaskId, digest: Digest, attempt: Aid },
    /// It takes back what that commit did.
    Reverts { commit: Oid },
}

impl Mark {
    /// What a revert may call it.
    pub fn names(&self) -> impl Iterator<Item = &Oid> {
        std::iter::once(&self.commit).chain(&self.squashed)
    }
}

const REVERTS: &str = "This reverts commit ";
/// The shortest abbreviation of a commit's name that is looked up.
const SHORTEST: usize = 7;

impl Repo {
    /// Everything that the commits say which any of `tips` contains and none of `seen` does;
    /// children before their parents.
    pub fn marks(&self, tips: &[Oid], seen: &[Oid]) -> Result<Vec<Mark>> {
        let repo = self.read()?;
        let mut walk = repo.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
        tips.iter().try_for_each(|t| walk.push(to_git2(t)?).map_err(GitError::from))?;
        seen.iter().try_for_each(|s| walk.hide(to_git2(s)?).map_err(GitError::from))?;
        let whole = |hex: &str| match Oid::parse(hex) {
            Some(oid) => Some(oid),
            None => repo.find_commit_by_prefix(hex).ok().map(|c| from_git2(c.id())),
        };
        let mut out = Vec::new();
        for oid in walk {
            let oid = oid?;
            let commit = repo.find_commit(oid)?;
            let message = String::from_utf8_lossy(commit.message_bytes());
            if message.contains("Drover-Task: ") || message.contains(REVERTS) {
                out.extend(marks_of(&from_git2(oid), &message, &whole));
            }
        }
        Ok(out)
    }
}

/// What a message says. `whole` gives the full name of a commit from the beginning of it.
pub fn marks_of(commit: &Oid, message: &str, whole: &dyn Fn(&str) -> Option<Oid>) -> Vec<Mark> {
    let mut out = Vec::new();
    let mut squashed = None;
    let mut open = None;
    let mut begun = None;
    for line in message.lines() {
        let mark = |says| Mark { commit: commit.clone(), squashed: squashed.clone(), says };
        // What counts only directly below the line before it.
        let (above, attempt) = (Option::take(&mut open), Option::take(&mut begun));
        if let Some(name) = line.strip_prefix("commit ").and_then(|rest| Oid::parse(rest.split(' ').next()?)) {
            squashed = Some(name);
        } else if let Some(task) = record_value(line, "Task") {
            open = task.split_once('@').and_then(|(id, digest)| Some((TaskId::parse(id).ok()?, Digest::parse(digest)?)));
        } else if let (Some(aid), Some((task, digest))) = (record_value(line, "Attempt"), above) {
            let found = Aid::parse(aid).ok().filter(|_| run_of(aid).is_some());
            begun = found.clone();
            out.extend(found.map(|attempt| mark(Says::Landed { task, digest, attempt })));
        } else if let (Some(run), Some(attempt)) = (record_value(line, "Run"), attempt) {
            if run_of(attempt.as_str()) != Some(run) {
                out.pop();
            }
        } else if let Some(rest) = line.trim_start().strip_prefix(REVERTS) {
            let hex = rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default();
            let reverted = (hex.len() >= SHORTEST).then(|| whole(hex)).flatten();
            out.extend(reverted.map(|commit| mark(Says::Reverts { commit })));
        }
    }
    distrust(&mut out);
    out
}

/// The words of a commit that landed an agent's work are the agent's: none of them takes anything
/// back.
fn distrust(out: &mut Vec<Mark>) {
    let landed: Vec<Option<Oid>> = out.iter().filter(|m| matches!(m.says, Says::Landed { .. })).map(|m| m.squashed.clone()).collect();
    out.retain(|mark| matches!(mark.says, Says::Landed { .. }) || !landed.contains(&mark.squashed));
}

/// The run in the id of an attempt: `<run>-<n>`.
fn run_of(aid: &str) -> Option<&str> {
    let (run, n) = aid.rsplit_once('-')?;
    (!run.is_empty() && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(c: &str) -> Oid {
        Oid::parse(&c.repeat(40)).unwrap()
    }

    fn told(message: &str) -> Vec<String> {
        let out = marks_of(&oid("f"), message, &|hex| Oid::parse(hex).or_else(|| (hex == "abcdef1").then(|| oid("a"))));
        let words = |mark: &Mark| {
            let from = mark.squashed.as_ref().map(|s| format!(" of {}", s.short())).unwrap_or_default();
            match &mark.says {
                Says::Landed { task, digest, attempt } => format!("{task} {digest} {attempt}{from}"),
                Says::Reverts { commit } => format!("reverts {}{from}", commit.short()),
            }
        };
        out.iter().map(words).collect()
    }

    #[test]
    fn a_record_counts_only_where_it_is_whole() {
        let whole = "Drover-Task: a.b@1:00ff\nDrover-Attempt: r-1\nDrover-Run: r\nDrover-Agent: x\n";
        assert_eq!(told(whole), ["a.b 1:00ff r-1"]);
        assert_eq!(told(&format!("T\n\n    {}", whole.replace('\n', "\n    "))), ["a.b 1:00ff r-1"], "indented by a squash");
        assert_eq!(told("T\r\n\r\nDrover-Task: a@1:00\r\nDrover-Attempt: r-1\r\n"), ["a 1:00 r-1"]);
        for prose in [
            "Explain the trailer\n\nDrover-Task: a@1:00\nsays which task it was.",
            "The line `Drover-Task: a@1:00` and\nDrover-Attempt: r-1\nbelong together",
            "> Drover-Task: a@1:00\n> Drover-Attempt: r-1",
            "Drover-Task: a@1:00\n\nDrover-Attempt: r-1",
            "Drover-Task: a\nDrover-Attempt: r-1",
            "Drover-Task: A@1:00\nDrover-Attempt: r-1",
            "Drover-Task: ../a@1:00\nDrover-Attempt: r-1",
            "Drover-Task: a@x\nDrover-Attempt: r-1",
            "Drover-Task: a@1:00\nDrover-Attempt: ../r-1",
            "Drover-Task: a@1:00\nDrover-Attempt: r",
            "Drover-Task: a@1:00\nDrover-Attempt: r-1\nDrover-Run: another",
            "Drover-Attempt: r-1\nDrover-Run: r",
            "drover-task: a@1:00\ndrover-attempt: r-1",
        ] {
            assert_eq!(told(prose), Vec::<String>::new(), "{prose:?}");
        }
    }

    #[test]
    fn a_squash_of_several_tasks_holds_a_record_of_each_and_says_whose_it_was() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let message = format!(
            "Squashed commit of the following:\n\ncommit {two}\nAuthor: A\n\n    Two\n\n    Drover-Task: b@1:02\n    Drover-Attempt: r-2\n    Drover-Run: r\n\ncommit {one}\nAuthor: A\n\n    One\n\n    Drover-Task: a@1:01\n    Drover-Attempt: r-1\n"
        );
        assert_eq!(told(&message), ["b 1:02 r-2 of 2222222", "a 1:01 r-1 of 1111111"]);
    }

    #[test]
    fn a_revert_is_read_in_all_the_ways_that_git_writes_it() {
        let full = "1".repeat(40);
        assert_eq!(told(&format!("Revert \"x\"\n\nThis reverts commit {full}.\n")), ["reverts 1111111"]);
        assert_eq!(told(&format!("R\n\nThis reverts commit {full}, reversing\nchanges made to {full}.\n")), ["reverts 1111111"]);
        assert_eq!(told("R\n\nThis reverts commit abcdef1 (x, 2026-01-01).\n"), ["reverts aaaaaaa"]);
        for other in [
            "This reverts commit abc.",
            "This reverts commit --upload-pack",
            "see: This reverts commit abcdef1",
            "This reverts commit abcdef2",
        ] {
            assert_eq!(told(other), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn what_an_agent_says_takes_nothing_back() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let landed = format!("Title\n\nThis reverts commit {one}.\n\nDrover-Task: a@1:01\nDrover-Attempt: r-1\nDrover-Run: r\n");
        assert_eq!(told(&landed), ["a 1:01 r-1"]);
        let squash =
            format!("Squash\n\ncommit {two}\n\n    This reverts commit {one}.\n\ncommit {one}\n\n    {}", landed.replace('\n', "\n    "));
        assert_eq!(told(&squash), ["reverts 1111111 of 2222222", "a 1:01 r-1 of 1111111"], "a person's revert beside it counts");
    }
}
