//! A day at a watch, in a minute: edits, broken ones, renames, branches, pulls, stashes, kills, and what a
//! person says beside it. What it comes to is what one apply of the last files comes to.
//!
//! `DROVER_WATCH_STEPS` does more of it, `DROVER_WATCH_SEED` other courses, by their numbers with commas between
//! them, and `DROVER_WATCH_ROUNDS` as many courses one after the other. Days in which something was found: 101, 213,
//! 215 and 602.

mod account;
mod desired;
mod git;
mod orders;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use super::Watch;
use crate::fixture::{Fixture, Ran, repo, until};
use crate::kill::number;
use account::{Asked, config};
use desired::{Desired, Kind, Wanted};

/// What a person has lying about in the checkout; nobody touches it.
const OWN: &[(&str, &str)] = &[("users-own.txt", "changed, not committed\n"), ("notes/untracked.txt", "not added\n")];
/// As many steps at most before it is waited for what they come to.
const TOGETHER: usize = 6;
/// What a person does in a day, where nobody asks for more.
const STEPS: u64 = 110;
/// While nothing moves it is looked again after so long.
const LOOK: Duration = Duration::from_millis(500);

struct Session {
    it: Fixture,
    rng: fastrand::Rng,
    desired: Desired,
    /// As the target has it, as far as a person committed it.
    committed: Desired,
    /// Whatever was ever called so.
    titles: BTreeMap<String, String>,
    kinds: BTreeMap<String, Kind>,
    asked: Asked,
    next: u32,
    version: u32,
    watch: Option<Watch>,
    /// To how many refusals of it a person has said that it is meant.
    heeded: usize,
    done: Vec<String>,
}

impl Session {
    fn new(it: Fixture, seed: u64) -> Self {
        let it = it.file("drover.toml", &config()).file(".gitignore", "*.tmp\n*~\n").file("users-own.txt", "committed\n");
        let files = ["a/0.toml", "a/1.toml", "b/2.toml", "b/3.toml"].map(str::to_owned).to_vec();
        let desired = Desired { files, sources: vec![0, 0], ..Desired::default() };
        let mut session = Self {
            it,
            rng: fastrand::Rng::with_seed(seed),
            committed: desired.clone(),
            desired,
            titles: BTreeMap::new(),
            kinds: BTreeMap::new(),
            asked: Asked::default(),
            next: 0,
            version: 0,
            watch: None,
            heeded: 0,
            done: vec![format!("seed {seed}")],
        };
        (0..2).for_each(|n| session.it.write(&format!("src/{n}"), "0\n"));
        let first = [Kind::Plain, Kind::Plain, Kind::Plain, Kind::Plain, Kind::Plain, Kind::Slow, Kind::Slow, Kind::Second, Kind::Approval];
        let more = [Kind::Fails, Kind::After("t0".into()), Kind::After("t5".into()), Kind::After("t10".into()), Kind::Reads(0)];
        first.into_iter().chain(more).for_each(|kind| drop(session.add(kind)));
        session.it.git(&["add", "users-own.txt", ".gitignore", "drover.toml"]);
        session.commit_all();
        OWN.iter().for_each(|(path, text)| session.it.write(path, text));
        session
    }

    /// A task more is wanted; not written yet.
    fn add(&mut self, kind: Kind) -> String {
        let id = format!("t{}", self.next);
        self.next += 1;
        let file = self.rng.usize(0..self.desired.files.len());
        self.wanted(&id, file, kind);
        id
    }

    fn wanted(&mut self, id: &str, file: usize, kind: Kind) {
        self.titles.insert(id.to_owned(), id.to_owned());
        self.kinds.insert(id.to_owned(), kind.clone());
        let version = self.newer();
        self.desired.tasks.insert(id.to_owned(), Wanted { file, title: id.to_owned(), version, kind, enabled: true });
    }

    fn newer(&mut self) -> u32 {
        self.version += 1;
        self.version
    }

    fn save_all(&mut self) {
        self.desired.save_all(&self.it, &mut self.rng);
        self.asked.show(&self.desired);
    }

    fn save(&mut self, file: usize) {
        let text = self.desired.text(file);
        self.desired.save(&self.it, &mut self.rng, file, &text);
        self.asked.show(&self.desired);
    }

    fn some(&mut self, which: impl Fn(&Desired, &Wanted) -> bool) -> Option<String> {
        let fit: Vec<&String> = self.desired.tasks.iter().filter(|(_, t)| which(&self.desired, t)).map(|(id, _)| id).collect();
        let n = self.rng.usize(0..fit.len().max(1));
        fit.get(n).map(|id| (*id).clone())
    }

    fn start(&mut self, args: &[&str]) {
        self.watch = Some(Watch::start(&self.it, args));
        self.heeded = 0;
    }

    fn said(&self) -> String {
        self.watch.as_ref().map(Watch::said).unwrap_or_default()
    }

    /// One thing that a person does.
    fn step(&mut self) {
        if self.watch.is_none() {
            self.start(&[]);
        }
        let name = match self.rng.u8(0..100) {
            0..30 => self.edit(),
            30..52 => self.rename(),
            52..70 => self.with_git(),
            70..80 => self.kill(),
            _ => self.order(),
        };
        self.done.push(name);
    }

    fn edit(&mut self) -> String {
        match self.rng.u8(0..10) {
            0 => {
                let file = self.rng.usize(0..self.desired.files.len());
                let text = self.desired.text(file);
                let cut = self.rng.usize(0..=text.len());
                self.desired.save(&self.it, &mut self.rng, file, &format!("{}\nid = [", &text[..cut]));
                self.desired.broken.insert(file);
                format!("break {}", self.desired.files[file])
            }
            1 => {
                let kind = match self.rng.u8(0..4) {
                    0 => Kind::Slow,
                    1 => Kind::Second,
                    2 => {
                        let before = self.some(|d, t| d.dependents(&t.title) == 0).unwrap();
                        Kind::After(self.titles[&before].clone())
                    }
                    _ => Kind::Plain,
                };
                let id = self.add(kind);
                self.desired.tasks.get_mut(&id).unwrap().enabled = self.rng.u8(0..3) > 0;
                self.save(self.desired.tasks[&id].file);
                format!("add {id} {:?}", self.desired.tasks[&id].kind)
            }
            2 if self.desired.tasks.len() > 12 => {
                let id = self.some(|d, t| d.dependents(&t.title) == 0).unwrap();
                self.desired.tasks.remove(&id);
                let mut gone = vec![id.clone()];
                while let Some(n) = self.desired.moved.iter().position(|(_, to, _)| gone.contains(to)) {
                    gone.push(self.desired.moved.remove(n).0);
                }
                self.save_all();
                format!("remove {id}")
            }
            3 => {
                let id = self.some(|_, t| !t.enabled || matches!(t.kind, Kind::Plain | Kind::Fails)).unwrap();
                let version = self.newer();
                let task = self.desired.tasks.get_mut(&id).unwrap();
                task.version = version;
                match task.kind {
                    Kind::Plain if task.enabled => task.kind = Kind::Fails,
                    Kind::Fails if task.enabled => task.kind = Kind::Plain,
                    _ => task.enabled = true,
                }
                let said = format!("make {id} {:?}", task.kind);
                self.save(self.desired.tasks[&id].file);
                said
            }
            _ => {
                let id = self.some(|_, _| true).unwrap();
                let version = self.newer();
                let task = self.desired.tasks.get_mut(&id).unwrap();
                task.version = version;
                self.save(self.desired.tasks[&id].file);
                format!("edit {id}: {version}")
            }
        }
    }

    /// The same under other names, or elsewhere.
    fn rename(&mut self) -> String {
        let drover = self.it.path("drover");
        match self.rng.u8(0..8) {
            0..2 => {
                let id = self.some(|_, _| true).unwrap();
                self.desired.tasks.get_mut(&id).unwrap().file = self.rng.usize(0..self.desired.files.len());
                self.save_all();
                format!("move {id} to another file")
            }
            2..4 => {
                let id = self.some(|_, _| true).unwrap();
                let to = self.call(&id);
                let file = self.desired.tasks[&to].file;
                self.desired.moved.push((id.clone(), to.clone(), file));
                self.save_all();
                format!("call {id} {to}")
            }
            4 => {
                let file = self.rng.usize(0..self.desired.files.len());
                let to = format!("c/{file}-{}.toml", self.newer());
                fs::create_dir_all(drover.join("c")).unwrap();
                fs::rename(drover.join(&self.desired.files[file]), drover.join(&to)).unwrap();
                format!("rename {} {to}", std::mem::replace(&mut self.desired.files[file], to.clone()))
            }
            5..7 => {
                let file = self.rng.usize(0..self.desired.files.len());
                let dir = self.desired.files[file].split('/').next().unwrap().to_owned();
                let to = format!("d{}", self.newer());
                fs::rename(drover.join(&dir), drover.join(&to)).unwrap();
                let moved = |f: &String| f.strip_prefix(&format!("{dir}/")).map(|rest| format!("{to}/{rest}"));
                self.desired.files.iter_mut().for_each(|f| *f = moved(f).unwrap_or_else(|| f.clone()));
                format!("rename {dir}/ {to}/")
            }
            _ => {
                fs::rename(&drover, self.it.path("away.tmp")).unwrap();
                fs::rename(self.it.path("away.tmp"), &drover).unwrap();
                "away and back".into()
            }
        }
    }

    /// A task is called otherwise from now on.
    fn call(&mut self, id: &str) -> String {
        let to = format!("r{}", self.next);
        self.next += 1;
        let task = self.desired.tasks.remove(id).unwrap();
        self.titles.insert(to.clone(), task.title.clone());
        self.desired.tasks.insert(to.clone(), task);
        to
    }

    /// At any instant. What comes then finds no Drover at work, or an apply that ends in the same way.
    fn kill(&mut self) -> String {
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..400)));
        drop(self.watch.take());
        let mut said = "kill".to_owned();
        match self.rng.u8(0..4) {
            0 => {
                let mut apply = self.it.spawn(&["apply", "--allow-reruns", "--allow-removals"]);
                std::thread::sleep(Duration::from_millis(self.rng.u64(0..600)));
                apply.kill().unwrap();
                apply.wait().unwrap();
                said += ", apply, kill";
            }
            1 => said += &format!(", {}", self.order()),
            2 => said += &format!(", {}", self.edit()),
            _ => {}
        }
        self.start(&[]);
        said
    }

    /// Until everything is as the files say, with nothing left of what a person said meanwhile.
    fn settle(&mut self) {
        self.save_all();
        if self.watch.is_none() {
            self.start(&[]);
        }
        let expected = self.desired.standings();
        let begun = Instant::now();
        loop {
            let then = self.moved();
            let status = self.it.drover(&["status", "--format", "json"]);
            let wrong = self.wrong(&expected, &status);
            if wrong.is_empty() {
                break;
            }
            let late = begun.elapsed() > Duration::from_secs(180);
            assert!(!late, "{wrong:#?}\n{:#?}\n{}\n{}", self.done, self.said(), self.it.drover(&["status"]).out);
            self.insist(&status);
            self.lull(then);
        }
        self.done.push("settled".into());
    }

    /// What moves when anything does: the record, and what is said.
    fn moved(&self) -> (Option<SystemTime>, usize) {
        (fs::metadata(self.it.state_dir().join("store.redb")).and_then(|m| m.modified()).ok(), self.said().len())
    }

    /// Until something has moved since then, and a moment nothing did: to look costs more than what goes on meanwhile.
    fn lull(&self, then: (Option<SystemTime>, usize)) {
        let (mut last, begun) = (then, Instant::now());
        while begun.elapsed() < LOOK {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.moved();
            if now != then && now == last {
                return;
            }
            last = now;
        }
    }

    /// What is not as it is to be.
    fn wrong(&self, expected: &[(String, String)], status: &Ran) -> Vec<String> {
        let of = |(id, task): (&String, &Wanted)| {
            if self.desired.standing(task) != "completed" {
                return None;
            }
            let (found, made) =
                (fs::read_to_string(self.it.path(&format!("made/{}", task.title))).unwrap_or_default(), self.desired.made(task));
            (found != made).then(|| format!("{id} made {found:?}, and is to make {made:?}"))
        };
        let wrong: Vec<String> = self.desired.tasks.iter().filter_map(of).collect();
        if !wrong.is_empty() {
            return wrong;
        }
        let status = if status.code == Some(0) { status.json() } else { return vec![status.err.clone()] };
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let tasks = status["tasks"].as_array().unwrap().iter();
        let stand: Vec<(String, String)> = tasks.map(|t| (text(&t["id"]), text(&t["status"]))).collect();
        let differ = |(a, b): (&(String, String), &(String, String))| (a != b).then(|| format!("{a:?}, and is to be {b:?}"));
        let mut wrong: Vec<String> = stand.iter().zip(expected).filter_map(differ).collect();
        if stand.len() != expected.len() {
            wrong.push(format!("{stand:?}, and are to be {expected:?}"));
        }
        if status["run"]["ended"] != true {
            wrong.push("the run has not ended".into());
        }
        wrong
    }
}

/// One day, and the account at its end.
fn day(mut session: Session, steps: u64) {
    session.settle();
    let mut open = 0;
    for _ in 0..steps {
        session.step();
        open += 1;
        if open >= TOGETHER || session.rng.usize(0..TOGETHER * 2) == 0 {
            session.settle();
            open = 0;
        }
    }
    session.settle();
    let watch = session.watch.take().unwrap();
    // One that was begun a moment ago does not listen to signals yet.
    watch.rests(1);
    watch.signal(rustix::process::Signal::INT);
    let short = session.desired.tasks.values().any(|t| t.enabled && session.desired.standing(t) != "completed");
    watch.ends(i32::from(short));
    account::settle(&session);
    until("the socket is gone", || !session.it.state_dir().join("control").exists());
}

#[test]
fn a_day_of_edits_branches_kills_and_orders_at_a_watch_ends_as_one_apply_of_the_last_files() {
    let days = seeds().into_iter().flat_map(|seed| seed..seed + number("DROVER_WATCH_ROUNDS", 1));
    days.for_each(|seed| day(Session::new(repo(), seed), number("DROVER_WATCH_STEPS", STEPS)));
}

fn seeds() -> Vec<u64> {
    let said = std::env::var("DROVER_WATCH_SEED").unwrap_or_else(|_| "1".into());
    said.split(',').map(|seed| seed.trim().parse().expect("numbers with commas between them")).collect()
}

#[test]
fn a_day_where_the_system_announces_nothing_ends_in_the_same_way() {
    let steps = number("DROVER_WATCH_STEPS", STEPS) / 5;
    day(Session::new(repo().env("DROVER_POLL", "50ms"), seeds()[0]), steps);
}
