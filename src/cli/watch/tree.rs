//! The files and git, followed: when it is quiet, and no git is in the middle of something, they
//! are read, and what they say is put to the desk.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::{Desk, News};
use crate::base::Oid;
use crate::base::text::{count, one_line};
use crate::cli::context;
use crate::cli::terminal::Terminal;
use crate::control::{Ask, Asked, Reply};
use crate::engine::driver::Answered;
use crate::engine::session::Handle;
use crate::files::{self, Loaded, Options, Project};
use crate::git::{Head, Repo, UnderWay};
use crate::watch::{Interest, QUIET_LONG, Watcher};

/// A git that holds its lock for longer is spoken of.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// So often the files are read again because there were more places to follow.
const READINGS: usize = 16;

pub struct Tree {
    pub terminal: Terminal,
    pub repo: Repo,
    pub target: String,
    pub options: Options,
    pub watcher: Watcher,
    /// Where HEAD was at the start.
    pub home: Head,
    /// The last that was whole.
    pub project: Arc<Project>,
    /// What was said last of what is wrong with the files.
    pub shown: String,
    /// Runs that ended, and how many of them had when it was last looked.
    pub rounds: (Arc<Rounds>, u64),
    pub place: Option<Place>,
    /// Files of the user's that are in the way of publishing.
    pub held: Vec<PathBuf>,
    /// Why the files are not read now, as it was said.
    pub blocked: Option<String>,
    /// Why nothing is begun now.
    pub stands_by: Option<String>,
    pub desk: Arc<Desk>,
    /// What a person says of the files.
    pub asked: Receiver<Asked>,
    /// The same, not answered yet.
    pub open: Vec<Asked>,
    /// It was waited for something in the way, and nothing moved.
    pub stuck: bool,
}

/// Where git stands, as far as it is somebody's business that it moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    tip: Option<Oid>,
    /// When its index and its configuration were last written.
    written: [Option<std::time::SystemTime>; 2],
}

impl Place {
    fn of(repo: &Repo, target: &str) -> Self {
        let written = |file: PathBuf| std::fs::metadata(file).and_then(|m| m.modified()).ok();
        let written = [written(repo.index()), written(repo.common_dir().join("config"))];
        Self { tip: repo.branch_tip(target).ok().flatten(), written }
    }
}

/// Runs that ended, and where git stood when the last one did: what a run moved itself is no reason for another.
#[derive(Default)]
pub struct Rounds {
    ended: Mutex<(u64, Option<Place>)>,
    held: Mutex<Vec<PathBuf>>,
}

impl Rounds {
    /// These files of the user's are in the way of publishing. One that is not there is in it by that, and cannot go.
    pub fn held(&self, mut paths: Vec<PathBuf>) {
        paths.retain(|path| path.symlink_metadata().is_ok());
        *self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = paths;
    }

    fn all_held(&self) -> Vec<PathBuf> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Whether some of them went since it was last asked.
    fn is_freed(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = held.len();
        held.retain(|path| path.symlink_metadata().is_ok());
        held.len() < before
    }

    pub fn ended(&self, repo: &Repo, target: &str) {
        let place = Place::of(repo, target);
        let mut rounds = self.ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *rounds = (rounds.0 + 1, Some(place));
    }

    fn now(&self) -> (u64, Option<Place>) {
        self.ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// Whether the files may be read.
enum Gate {
    Open,
    /// Soon, and nothing is said of it yet.
    Busy,
    Shut,
}

impl Tree {
    /// Until the session is over.
    pub fn follow(mut self, handle: &Handle) {
        let mut waiting = false;
        // What changed since the files were first read was seen by nobody.
        while self.look(handle, &mut waiting) {
            self.watcher.trouble().iter().for_each(|why| self.terminal.warn(why));
            // What was said meanwhile may have woken nobody.
            if !self.hear() {
                let waiting = waiting || !self.open.is_empty();
                self.stuck = self.watcher.wait(waiting.then_some(PATIENCE)).is_none();
                self.hear();
            }
        }
    }

    /// Whether a person said more of the files. It is held against what is read after it.
    fn hear(&mut self) -> bool {
        let before = self.open.len();
        self.open.extend(self.asked.try_iter());
        self.open.len() > before
    }

    fn refuse(&mut self, why: &str) {
        self.open.drain(..).for_each(|asked| asked.answer(Reply::Refused { why: why.to_owned() }));
    }

    /// Those who mean the files as they were read now.
    fn meant(&mut self) -> Vec<Asked> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let now = self.project.fingerprint();
        let same = |asked: &Asked| matches!(&asked.request.act, Ask::Files { read, .. } if *read == now);
        let (meant, others) = std::mem::take(&mut self.open).into_iter().partition(same);
        self.open = others;
        self.refuse("the watch reads the files otherwise than they were read here: they have changed since, or it was started with another `--config` or `--profile`\n  Look at them, and say it again if it is still meant.");
        meant
    }

    /// Looks at everything once. False: nobody is there any more to hear of it. `waiting` is whether a
    /// lock of git's was in the way before, and whether one is now.
    fn look(&mut self, handle: &Handle, waiting: &mut bool) -> bool {
        if !self.repo.root().is_dir() || !self.repo.is_there() {
            // It is said on the other side what to do about that.
            return handle.news(|_, _| Answered::default());
        }
        let stood_by = self.stands_by.clone();
        self.held = self.rounds.0.all_held();
        let gate = self.gate(*waiting);
        *waiting = matches!(gate, Gate::Busy);
        let mut changed = false;
        if matches!(gate, Gate::Open) {
            let Some(loaded) = self.read() else {
                *waiting = true;
                return true;
            };
            match self.take(loaded) {
                Some(new) => changed = new,
                None => self.refuse("the files as the watch reads them have mistakes: mend them first"),
            }
        } else {
            // A lock that comes and goes, such as that of what is being published, keeps nobody from being heard.
            let passing = matches!(self.repo.under_way(), Some(UnderWay::Lock(_))) && !self.stuck;
            if matches!(gate, Gate::Shut) && !passing {
                self.refuse(&self.blocked.clone().unwrap_or_default());
            }
            let interest = self.interest(Vec::new());
            self.watcher.follow(interest);
        }
        let (rounds, at_end) = self.rounds.0.now();
        let ended = std::mem::replace(&mut self.rounds.1, rounds) != rounds;
        let place = self.standing();
        let before = self.place.replace(place.clone());
        let moved = if ended { at_end } else { before }.is_some_and(|before| before != place) | self.rounds.0.is_freed();
        let resumed = stood_by.is_some() && self.stands_by.is_none();
        let meant = if matches!(gate, Gate::Open) { self.meant() } else { Vec::new() };
        if !changed && !moved && !ended && stood_by == self.stands_by && meant.is_empty() {
            return true;
        }
        let news = News { project: self.project.clone(), changed, moved, resumed, ended, stands_by: self.stands_by.clone(), meant };
        let desk = self.desk.clone();
        handle.news(move |state, at_work| desk.take(news, state, at_work))
    }

    /// Whether the files may be taken for what is wanted, and says so where they may not.
    fn gate(&mut self, waited: bool) -> Gate {
        let under_way = self.repo.under_way();
        let away = self.away();
        self.stands_by = away.clone();
        let shut = match (&under_way, away) {
            (Some(UnderWay::Lock(_)), _) if !waited => return Gate::Busy,
            (Some(git @ UnderWay::Lock(_)), _) | (Some(git), None) => in_the_way(git),
            (Some(UnderWay::Operation(what)), Some(why)) => {
                format!("{what} is under way, and {why}: nothing more is begun until it is over")
            }
            (None, Some(why)) => format!("{why}: nothing more is begun and what runs may finish, until it is checked out again"),
            (None, None) => {
                if self.blocked.take().is_some() {
                    self.terminal.note("going on: git is through, and the branch is as it was at the start");
                }
                return Gate::Open;
            }
        };
        if self.blocked.replace(shut.clone()).as_ref() != Some(&shut) {
            self.terminal.warn(&shut);
        }
        Gate::Shut
    }

    /// Why the checkout is not the one that the watch began on.
    fn away(&self) -> Option<String> {
        strayed(&self.home, &self.repo.head().ok()?)
    }

    fn standing(&self) -> Place {
        Place::of(&self.repo, &self.target)
    }

    /// The files as they are while nothing changes. `None`: a git began something meanwhile, and what
    /// was read may be of another branch.
    fn read(&mut self) -> Option<Loaded> {
        let before = self.standing();
        let loaded = self.read_whole()?;
        (!self.is_git_at_work() && self.standing() == before).then_some(loaded)
    }

    fn is_git_at_work(&self) -> bool {
        self.repo.under_way().is_some() || self.away() != self.stands_by
    }

    fn read_whole(&mut self) -> Option<Loaded> {
        let mut loaded = self.read_once();
        for _ in 0..READINGS {
            if !self.loses(&loaded) {
                return Some(loaded);
            }
            // Some editors take a file away before they put the new one there, and git takes the
            // files of one branch away before it notes that it is on another.
            let quiet = self.watcher.is_quiet(QUIET_LONG);
            if self.is_git_at_work() {
                return None;
            }
            let again = self.read_once();
            let stands = quiet && again.project == loaded.project;
            loaded = again;
            if stands {
                break;
            }
        }
        Some(loaded)
    }

    /// Whether tasks are missing that were there before.
    fn loses(&self, loaded: &Loaded) -> bool {
        let Some(project) = &loaded.project else { return false };
        let there = project.graph.tasks();
        self.project.graph.tasks().keys().any(|id| !there.contains_key(id))
    }

    fn read_once(&mut self) -> Loaded {
        let mut loaded = files::load(self.repo.root(), &self.options);
        for _ in 0..READINGS {
            let interest = self.interest(loaded.places());
            if !self.watcher.follow(interest) {
                break;
            }
            loaded = files::load(self.repo.root(), &self.options);
        }
        loaded
    }

    fn interest(&self, places: Vec<files::Place>) -> Interest {
        let mut interest = if places.is_empty() { self.watcher.interest().clone() } else { Interest::default() };
        places.into_iter().for_each(|place| interest.add(place, false));
        self.repo.places(&self.target).into_iter().for_each(|place| interest.add(place, true));
        let named = |path: &PathBuf| Some((path.parent()?.to_owned(), Some(path.file_name()?.to_owned())));
        self.held.iter().filter_map(named).for_each(|place| interest.add(place, false));
        interest
    }

    /// Says what is wrong with the files; where they are whole, whether they say something new.
    fn take(&mut self, loaded: Loaded) -> Option<bool> {
        let shown =
            if loaded.report.is_empty() { String::new() } else { loaded.report.graphical(self.terminal.color_err, self.terminal.width) };
        let news = std::mem::replace(&mut self.shown, shown.clone()) != shown;
        self.desk.note_broken(None);
        if let Some(why) = context::no_profile(self.options.profile.as_deref(), &loaded) {
            self.desk.note_broken(Some(why.clone()));
            if std::mem::replace(&mut self.shown, why.clone()) != why {
                self.terminal.warn(&format!("{why}\n  What the files said before stays in force."));
            }
            return None;
        }
        let Some(project) = loaded.project else {
            let mistakes = format!("the files have {}", count(loaded.report.errors(), "mistake"));
            self.desk.note_broken(Some(mistakes.clone()));
            if news {
                self.terminal.diagnostics(&shown);
                self.terminal.warn(&format!("{mistakes}: what they said before stays in force until they are mended"));
            }
            return None;
        };
        if news && !shown.is_empty() {
            self.terminal.note(&shown);
        }
        if *self.project == project {
            if news && shown.is_empty() {
                self.terminal.note("the files are whole again, and say what they said before");
            }
            return Some(false);
        }
        self.project = Arc::new(project);
        Some(true)
    }
}

/// Why the files are not read now.
pub fn in_the_way(git: &UnderWay) -> String {
    match git {
        UnderWay::Lock(lock) => format!(
            "git is at work ({} is there): the files are read when it is through\n  If no git is running, it was killed: remove that file.",
            one_line(&lock.display().to_string(), 300)
        ),
        UnderWay::Operation(what) => format!("{what} is under way: the files are read when it is finished or aborted"),
    }
}

/// Why a checkout is not the one that it was.
pub fn strayed(home: &Head, now: &Head) -> Option<String> {
    let name = |name: &str| one_line(name, 100);
    match (home, now) {
        (Head::Branch { name: a, .. }, Head::Branch { name: b, .. }) if a == b => None,
        (Head::Detached, Head::Detached) => None,
        (Head::Branch { name: a, .. }, Head::Branch { name: b, .. }) => {
            Some(format!("`{}` is checked out instead of `{}`", name(b), name(a)))
        }
        (Head::Branch { name: a, .. }, Head::Detached) => Some(format!("`{}` is not checked out any more", name(a))),
        (Head::Detached, Head::Branch { name: b, .. }) => Some(format!("`{}` is checked out instead of a commit", name(b))),
    }
}
