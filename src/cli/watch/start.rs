//! What a watch begins with: no git in the middle of something, and files that are whole.

use std::time::Duration;

use super::tree;
use crate::cli::args::{Global, WatchArgs};
use crate::cli::context;
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::files::{self, Project};
use crate::git::{Head, Repo, UnderWay};
use crate::watch::{Interest, Watcher};

/// A git that writes files now, or whose person has something to finish, is waited for. What is there until then is not
/// what anybody wants. Says where HEAD is then.
pub fn once_git_is_through(terminal: &Terminal, repo: &Repo, poll: Option<Duration>) -> Result<Head, Failure> {
    let mut watcher = Watcher::new(poll);
    let (mut told, mut stuck) = (String::new(), false);
    while let Some(under_way) = repo.under_way() {
        let mut interest = Interest::default();
        repo.places("HEAD").into_iter().for_each(|place| interest.add(place, true));
        if watcher.follow(interest) {
            // It may have ended before it was followed.
            continue;
        }
        let why = tree::in_the_way(&under_way);
        let passing = matches!(under_way, UnderWay::Lock(_)) && !stuck;
        if !passing && told != why {
            terminal.warn(&why);
            told = why;
        }
        stuck = watcher.wait(Some(tree::PATIENCE)).is_none();
    }
    if !told.is_empty() {
        terminal.note("going on: git is through");
    }
    repo.head().map_err(|e| Failure::unfit(e.to_string()))
}

/// The files, once they are whole: a watch that is started in the middle of an edit waits for its end.
pub fn whole(global: &Global, terminal: &Terminal, repo: &Repo, args: &WatchArgs, home: &Head) -> Result<Project, Failure> {
    let broken = |failure: &Failure| failure.details.get("diagnostics").is_some();
    let failure = match context::project(global, terminal, repo) {
        Err(failure) if broken(&failure) => failure,
        result => return result,
    };
    terminal.warn(&format!("{}: nothing is begun until they are mended; Ctrl-C ends it", failure.message));
    let mut watcher = Watcher::new(args.poll);
    let mut shown = failure.details.get("diagnostics").cloned();
    let branch = if let Head::Branch { name, .. } = home { name } else { "HEAD" };
    loop {
        let loaded = files::load(repo.root(), &context::options(global));
        let mut interest = Interest::default();
        loaded.places().into_iter().for_each(|place| interest.add(place, false));
        repo.places(branch).into_iter().for_each(|place| interest.add(place, true));
        if watcher.follow(interest) {
            // It may have changed before it was followed.
            continue;
        }
        // On another branch they are not those that are meant.
        let at_home = repo.under_way().is_none() && repo.head().is_ok_and(|now| tree::strayed(home, &now).is_none());
        if loaded.project.is_some() && at_home {
            match context::project(global, terminal, repo) {
                Err(failure) if broken(&failure) => continue,
                result => return result,
            }
        }
        let now = loaded.report.json().get("diagnostics").cloned();
        if now != shown {
            terminal.diagnostics(&loaded.report.graphical(terminal.color_err, terminal.width));
        }
        shown = now;
        watcher.trouble().iter().for_each(|why| terminal.warn(why));
        watcher.wait(None);
    }
}
