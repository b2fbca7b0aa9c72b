//! The account at the end: the state is that of one apply of the last files, where nothing was ever done,
//! and history holds each task as often as that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::Session;
use super::desired::{Desired, Kind};
use crate::fixture::{CONFIG, Fixture, repo};

/// How often a version of a task came to be what is wanted, by its title.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub shown: BTreeMap<(String, u32), u32>,
    /// A person had it done again.
    pub again: BTreeMap<String, u32>,
}

impl Asked {
    pub fn show(&mut self, desired: &Desired) {
        for task in desired.tasks.values() {
            self.shown.entry((task.title.clone(), task.version)).or_insert(1);
        }
    }
}

/// Id, digest, what an apply would do, status and reason.
fn stands(it: &Fixture) -> BTreeSet<[String; 5]> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let list = |v: &serde_json::Value| v["tasks"].as_array().unwrap().clone();
    let plan = it.drover(&["plan", "-v", "--format", "json"]).expect(0).json();
    let planned: BTreeMap<String, (String, String)> =
        list(&plan).iter().map(|t| (text(&t["id"]), (text(&t["digest"]), text(&t["action"])))).collect();
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let one = |t: &serde_json::Value| {
        let (digest, action) = planned.get(&text(&t["id"])).cloned().unwrap_or_default();
        [text(&t["id"]), digest, action, text(&t["status"]), text(&t["reason"]["kind"])]
    };
    list(&status).iter().map(one).collect()
}

/// What the target holds of what tasks make: path and content.
fn made(it: &Fixture) -> BTreeMap<String, String> {
    let paths = it.git(&["ls-tree", "-r", "--name-only", "main", "made/"]);
    paths.lines().map(|p| (p.trim_start_matches("made/").to_owned(), it.git(&["show", &format!("main:{p}")]) + "\n")).collect()
}

/// The last files, where nothing was ever done; with the word of the person who approves.
fn fresh(session: &Session) -> (Fixture, Option<i32>) {
    let (it, desired) = (&session.it, &session.desired);
    let fresh = repo().file("drover.toml", &super::config()).file(".gitignore", &it.read(".gitignore"));
    for file in &desired.files {
        fresh.write(&format!("drover/{file}"), &it.read(&format!("drover/{file}")));
    }
    for (n, source) in desired.sources.iter().enumerate() {
        fresh.write(&format!("src/{n}"), &format!("{source}\n"));
    }
    let fresh = fresh.commit("the last files");
    fresh.drover(&["apply"]);
    let waiting: Vec<&str> = desired.tasks.iter().filter(|(_, t)| t.kind == Kind::Approval && t.enabled).map(|(id, _)| &**id).collect();
    if !waiting.is_empty() {
        fresh.drover(&[&["approve"], &*waiting].concat()).expect(0);
    }
    let code = fresh.drover(&["apply"]).code;
    (fresh, code)
}

/// Landings by title and version: told from the records in history, and what landed.
fn landings(it: &Fixture, titles: &BTreeMap<String, String>) -> BTreeMap<(String, u32), BTreeSet<String>> {
    let format = "--format=%H %(trailers:key=Drover-Task,valueonly,separator=%x2C) %(trailers:key=Drover-Attempt,valueonly,separator=%x2C)";
    let mut found: BTreeMap<(String, u32), BTreeSet<String>> = BTreeMap::new();
    for line in it.git(&["log", format, "main"]).lines() {
        let mut words = line.split_whitespace();
        let (Some(commit), Some(task), Some(aid)) = (words.next(), words.next(), words.next()) else { continue };
        let title = &titles[task.split('@').next().unwrap()];
        let text = it.git(&["show", &format!("{commit}:made/{title}")]);
        let version = text.lines().last().unwrap().parse().unwrap();
        found.entry((title.clone(), version)).or_default().insert(aid.to_owned());
    }
    found
}

/// Everything that must hold, with nobody at work any more.
pub fn settle(session: &Session) {
    let (it, desired, done) = (&session.it, &session.desired, &session.done);
    let code = it.drover(&["apply"]).code;
    let tip = it.git(&["rev-parse", "main"]);
    let (fresh, fresh_code) = fresh(session);
    assert_eq!((code, stands(it)), (fresh_code, stands(&fresh)), "\n{done:#?}");
    assert_eq!(it.git(&["rev-parse", "main"]), tip, "an apply more changes nothing\n{done:#?}");
    tree(session, &fresh);
    counts(session);
    assert_eq!(it.git(&["for-each-ref", "--format=%(objectname)", "refs/drover/integration/main"]), tip, "all is published");
    for (path, text) in super::OWN {
        assert_eq!(it.read(path), *text, "{path} is the user's\n{done:#?}");
    }
    let expected: BTreeMap<String, Option<String>> =
        desired.files.iter().enumerate().map(|(n, f)| (f.clone(), Some(desired.text(n)))).collect();
    let there: BTreeMap<String, Option<String>> =
        desired.files.iter().map(|f| (f.clone(), std::fs::read_to_string(it.path(&format!("drover/{f}"))).ok())).collect();
    assert_eq!(there, expected, "the task files are as the person left them\n{done:#?}");
    assert_eq!(it.standing(), Vec::<String>::new(), "attempts that still have a worktree\n{done:#?}");
    it.drover(&["worktree", "prune"]).expect(0);
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1, "{}", it.git(&["worktree", "list"]));
    it.git(&["fsck", "--no-dangling"]);
    let locks = it.command("find").args([".git", "-name", "*.lock"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&locks.stdout), "", "stale locks\n{done:#?}");
    assert!(crate::kill::survivors(it).is_empty() && crate::kill::shims(it).is_empty(), "{:?}", crate::kill::survivors(it));
}

/// What is there of the last tasks is what they make, and what else is there was made once by a task
/// that was wanted then.
fn tree(session: &Session, fresh: &Fixture) {
    let (desired, done) = (&session.desired, &session.done);
    let (here, there) = (made(&session.it), made(fresh));
    for task in desired.tasks.values() {
        let title = &task.title;
        if desired.standing(task) == "completed" {
            assert_eq!((here.get(title), there.get(title)), (Some(&desired.made(task)), Some(&desired.made(task))), "{title}\n{done:#?}");
        }
    }
    let strange: Vec<_> = here.keys().filter(|path| !session.titles.values().any(|t| t == *path)).collect();
    assert!(strange.is_empty(), "{strange:?}\n{done:#?}");
    let rest = |it: &Fixture| it.git(&["ls-tree", "-r", "main", "--", "src/", ".gitignore"]);
    assert_eq!(rest(&session.it), rest(fresh), "{done:#?}");
}

fn counts(session: &Session) {
    let (it, desired, asked, done) = (&session.it, &session.desired, &session.asked, &session.done);
    let landings = landings(it, &session.titles);
    let landed = |title: &str, version: u32| landings.get(&(title.to_owned(), version)).map_or(0, BTreeSet::len);
    let total = |title: &str| landings.iter().filter(|((t, _), _)| t == title).map(|(_, aids)| aids.len()).sum::<usize>();
    for ((title, version), aids) in &landings {
        let shown = *asked.shown.get(&(title.clone(), *version)).unwrap_or(&0) as usize;
        let again = *asked.again.get(title).unwrap_or(&0) as usize;
        let with = match session.kinds.get(title) {
            Some(Kind::After(before)) => total(before),
            Some(Kind::Reads(_)) => desired.sources.iter().map(|s| *s as usize).sum(),
            _ => 0,
        };
        let most = if shown == 0 { 0 } else { shown + again + with };
        assert!(aids.len() <= most, "version {version} of {title} landed {} times, and {most} were asked for\n{done:#?}", aids.len());
    }
    for task in desired.tasks.values().filter(|t| desired.standing(t) == "completed") {
        assert!(landed(&task.title, task.version) >= 1, "{} has not landed\n{done:#?}", task.title);
    }
}

pub fn config() -> String {
    CONFIG.replace("[defaults]", "[defaults]\nallow_empty = true")
}
