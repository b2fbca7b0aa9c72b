//! What the history of the target and the line says of tasks, held against the record: what
//! landed that the record does not know of, what was reverted, what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Aid, Digest, Oid, TaskId};
use crate::core::{Elsewhere, Input, Recalled, State};
use crate::git::{Mark, Past, Repo, Result, Says};
use crate::model::Spec;

/// So many ids are spelt out.
const NAMED: usize = 5;

/// What follows from history for a record.
#[derive(Debug, Default)]
pub struct Recall {
    /// In this order; none where the record agrees with history.
    pub inputs: Vec<Input>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What only those want to know who ask for everything.
    pub asides: Vec<String>,
}

/// What the target's branch and its line say, and `others`, such as the tip of a remote.
pub fn read(repo: &Repo, target: &str, others: &[Oid]) -> Result<Past> {
    let own = [repo.branch_tip(target)?, repo.tip(&Repo::line_ref(target))?];
    let tips: Vec<Oid> = own.into_iter().flatten().chain(others.iter().cloned()).collect();
    repo.past(target, &tips)
}

/// Holds history against the record. `specs` are the tasks as they are to be; `now_called` is what
/// an id became by `[[moved]]`.
pub fn judge<'a>(past: &Past, specs: impl Iterator<Item = &'a Arc<Spec>>, now_called: &dyn Fn(&TaskId) -> TaskId, state: &State) -> Recall {
    let history = History::of(past, now_called);
    let mut found: Vec<(usize, Recalled)> = Vec::new();
    let mut reverts: Vec<(TaskId, Option<Oid>)> = Vec::new();
    let mut vanished = Vec::new();
    let mut wanted: BTreeSet<&TaskId> = BTreeSet::new();
    for spec in specs {
        wanted.insert(&spec.id);
        let known = state.tasks.get(&spec.id);
        let own = known.and_then(|t| t.attempt()).and_then(|a| history.landings.get(&a.aid));
        if let Some(newest) = own.or(history.newest(&spec.id)).filter(|newest| newest.is_news(known, spec)) {
            let recalled =
                Recalled { spec: spec.clone(), digest: newest.digest.clone(), aid: newest.attempt.clone(), commit: newest.commit.clone() };
            found.push((newest.place, recalled));
            reverts.extend(newest.reverted().map(|by| (spec.id.clone(), Some(by.clone()))));
            continue;
        }
        let Some(task) = known.filter(|t| t.is_completed()) else { continue };
        let Some(done) = task.completion.as_ref().filter(|c| c.commit.is_some()) else { continue };
        match history.landings.get(&done.aid) {
            Some(landing) if landing.reverted() != task.reverted.as_ref() => reverts.push((spec.id.clone(), landing.reverted().cloned())),
            Some(_) => {}
            // A person let it go.
            None if task.reverted.is_some() => {}
            None => vanished.push(&spec.id),
        }
    }
    // What landed last is recalled last, as if the record had seen it land.
    found.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    let found: Vec<Recalled> = found.into_iter().map(|(_, recalled)| recalled).collect();
    let unknown: Vec<&TaskId> = history.newest.keys().filter(|id| !wanted.contains(id) && !state.tasks.contains_key(*id)).collect();
    Recall {
        inputs: [
            (!found.is_empty()).then_some(Input::Recall { found }),
            (!reverts.is_empty()).then_some(Input::Reverts { found: reverts }),
        ]
        .into_iter()
        .flatten()
        .collect(),
        notes: gone_note(&vanished).into_iter().collect(),
        asides: unknown_note(&unknown).into_iter().collect(),
    }
}

/// What landed by commits that are new, and stands: of each task the newest.
pub fn landed(marks: Vec<Mark>) -> Vec<Elsewhere> {
    let past = Past { tips: Vec::new(), marks };
    let history = History::of(&past, &TaskId::clone);
    let newest = history.newest.iter().filter_map(|(task, aid)| Some((task, history.landings.get(aid)?)));
    let stands = newest.filter(|(_, landing)| landing.reverted().is_none());
    let told = stands.map(|(task, l)| Elsewhere {
        task: task.clone(),
        digest: l.digest.clone(),
        aid: l.attempt.clone(),
        commit: l.commit.clone(),
    });
    told.collect()
}

/// The landings that were ever reverted, each with the commit by which it is now.
pub fn reverts(past: &Past) -> Vec<(Aid, TaskId, Option<Oid>)> {
    let history = History::of(past, &TaskId::clone);
    let ever = history.landings.values().filter(|l| l.revert.is_some());
    ever.map(|l| (l.attempt.clone(), l.task.clone(), l.reverted().cloned())).collect()
}

fn gone_note(vanished: &[&TaskId]) -> Option<String> {
    let first = vanished.first()?;
    Some(format!(
        "history no longer holds what was landed for {}: it was rewritten, or reset. Counted as completed all the same; `drover apply --rerun {first}` does it again",
        some(vanished)
    ))
}

fn unknown_note(unknown: &[&TaskId]) -> Option<String> {
    unknown.first()?;
    Some(format!("history holds records of tasks that the files do not name, which are left alone: {}", some(unknown)))
}

fn some(ids: &[&TaskId]) -> String {
    let mut names: Vec<String> = ids.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
    if ids.len() > NAMED {
        names.push(format!("and {} more", ids.len() - NAMED));
    }
    names.join(", ")
}

/// One attempt that landed, wherever its record stands: on its commit, its merge, a squash, a
/// commit that was picked once more.
struct Landing<'a> {
    task: &'a TaskId,
    digest: &'a Digest,
    attempt: &'a Aid,
    /// The newest commit that holds its record.
    commit: &'a Oid,
    /// Places count from the newest: where that is.
    place: usize,
    /// The newest place of a record on a commit that nobody reverted.
    stands: Option<usize>,
    /// The newest revert of one of its commits.
    revert: Option<(usize, &'a Oid)>,
}

impl Landing<'_> {
    /// The commit that took it back, if nothing brought it again later.
    fn reverted(&self) -> Option<&Oid> {
        let (place, by) = self.revert?;
        self.stands.is_none_or(|stands| place < stands).then_some(by)
    }

    /// Whether the record is to learn of it: the task was never tried here, or the very
    /// definition that is wanted has landed by another hand, or the attempt that is under way has,
    /// as far as the record knows. What was reverted keeps no attempt of others from landing.
    fn is_news(&self, known: Option<&crate::core::Task>, spec: &Spec) -> bool {
        let Some(task) = known else { return true };
        let attempt = task.attempt().map(|a| &a.aid);
        let own = attempt == Some(self.attempt);
        let stands = attempt.is_none() || self.reverted().is_none();
        task.may_be_recalled(self.attempt) && (own || task.is_untouched() || stands && *self.digest == spec.digest)
    }
}

struct History<'a> {
    landings: BTreeMap<&'a Aid, Landing<'a>>,
    /// The attempt at each task that landed last.
    newest: BTreeMap<TaskId, &'a Aid>,
}

impl<'a> History<'a> {
    fn of(past: &'a Past, now_called: &dyn Fn(&TaskId) -> TaskId) -> Self {
        let undone = undone(&past.marks);
        let mut history = Self { landings: BTreeMap::new(), newest: BTreeMap::new() };
        for (place, mark) in past.marks.iter().enumerate() {
            let Says::Landed { task, digest, attempt } = &mark.says else { continue };
            history.newest.entry(now_called(task)).or_insert(attempt);
            let fresh = Landing { task, digest, attempt, commit: &mark.commit, place, stands: None, revert: None };
            let landing = history.landings.entry(attempt).or_insert(fresh);
            match mark.names().filter_map(|name| undone.get(name)).min() {
                None => landing.stands = landing.stands.or(Some(place)),
                Some(by) => landing.revert = landing.revert.into_iter().chain([*by]).min(),
            }
        }
        history
    }

    fn newest(&self, task: &TaskId) -> Option<&Landing<'a>> {
        self.landings.get(self.newest.get(task)?)
    }
}

/// The commits that were reverted by one that was not reverted itself, each with the place and the
/// name of the newest that did it. The newest come first, so a revert is known to be reverted
/// before its own turn comes.
fn undone(marks: &[Mark]) -> BTreeMap<&Oid, (usize, &Oid)> {
    let mut undone: BTreeMap<&Oid, (usize, &Oid)> = BTreeMap::new();
    for (place, mark) in marks.iter().enumerate() {
        let Says::Reverts { commit } = &mark.says else { continue };
        if mark.names().all(|name| !undone.contains_key(name)) {
            undone.entry(commit).or_insert((place, &mark.commit));
        }
    }
    undone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(c: char) -> Oid {
        Oid::parse(&c.to_string().repeat(40)).unwrap()
    }

    /// The newest first: `L a r-1` is a landing, `R 1` a revert of commit 1; before it stands the
    /// commit, and after a slash what it was squashed from.
    fn past(lines: &[&str]) -> Past {
        let mark = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut names = words[0].split('/').map(|n| oid(n.chars().next().unwrap()));
            let (commit, squashed) = (names.next().unwrap(), names.next());
            let says = match words[1] {
                "R" => Says::Reverts { commit: oid(words[2].chars().next().unwrap()) },
                _ => {
                    Says::Landed { task: TaskId::parse(words[2]).unwrap(), digest: Digest::v1(b""), attempt: Aid::parse(words[3]).unwrap() }
                }
            };
            Mark { commit, squashed, says }
        };
        Past { tips: Vec::new(), marks: lines.iter().map(mark).collect() }
    }

    fn reverted(lines: &[&str]) -> Option<String> {
        let past = past(lines);
        let history = History::of(&past, &TaskId::clone);
        history.newest(&TaskId::parse("a").unwrap()).unwrap().reverted().map(|c| c.short()[..1].to_owned())
    }

    #[test]
    fn a_revert_holds_until_it_is_reverted_or_the_work_lands_again() {
        let landed = ["2 L a r-1", "1 L a r-1"];
        let after = |newer: &[&str]| reverted(&[newer, &landed].concat());
        assert_eq!(after(&[]), None);
        assert_eq!(after(&["3 R 2"]).as_deref(), Some("3"), "its merge");
        assert_eq!(after(&["3 R 1"]).as_deref(), Some("3"), "its commit");
        assert_eq!(after(&["3 R 9"]), None, "another commit");
        assert_eq!(after(&["4 R 3", "3 R 2"]), None, "the revert was reverted");
        assert_eq!(after(&["5 R 4", "4 R 3", "3 R 2"]).as_deref(), Some("3"), "and that one too");
        assert_eq!(after(&["4 L a r-2", "3 R 2"]), None, "landed anew");
        assert_eq!(after(&["4 L a r-1", "3 R 2"]), None, "picked once more");
        assert_eq!(after(&["5 R 4", "4 L a r-1", "3 R 2"]).as_deref(), Some("5"), "and reverted again");
        assert_eq!(reverted(&["3 R 1", "2 L a r-2", "1 L a r-1"]), None, "what was reverted is not what stands");
    }

    #[test]
    fn a_squash_of_work_and_its_revert_leaves_it_reverted() {
        assert_eq!(reverted(&["5/2 R 1", "5/1 L a r-1"]).as_deref(), Some("5"));
        assert_eq!(reverted(&["6 R 5", "5/1 L a r-1"]).as_deref(), Some("6"), "the squash as a whole");
    }
}
