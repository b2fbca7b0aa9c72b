//! `drover watch`: apply, then again whenever the files change.
//!
//! `start` waits until there is something to begin with; `tree` follows the files and git and says when there is a new state of them to be looked at;
//! `desk` holds it against the record, on the driver's thread.

mod desk;
mod start;
mod tree;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::args::{Global, WatchArgs};
use super::exit::CliResult;
use super::reports::Reports;
use super::running::{self, Lead, Start};
use super::telling::Telling;
use super::terminal::Terminal;
use super::{apply, ci, context};
use crate::base::Millis;
use crate::base::text::count;
use crate::control::Asked;
use crate::core::view::Status;
use crate::core::{Fact, Input, State};
use crate::engine::session::Handle;
use crate::git::Repo;
use crate::plan::select::Universe;
use crate::report::Reporter;
use crate::watch::{Waker, Watcher};
use desk::Desk;
use tree::{Rounds, Tree};

pub fn run(global: &Global, terminal: &Terminal, args: &WatchArgs) -> CliResult {
    ci::refuse_untrusted(&args.conduct)?;
    let telling = Telling::new(global, terminal, &args.tell)?;
    let terminal = &telling.terminal.clone();
    let repo = context::repository(global)?;
    let home = start::once_git_is_through(terminal, &repo, args.poll)?;
    let project = start::whole(global, terminal, &repo, args, &home)?;
    let target = context::target(global, &repo, Some(&project))?;
    let open = apply::open(&repo, &target)?;
    let opening = apply::opened(terminal, &repo, &target, &project, &open.state)?;
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, &opening.state))?;
    let plan = apply::reconciled(&project, &opening, &selection, &args.reconcile)?;
    let same = plan.changes.is_empty() && !plan.policy_changed && opening.inputs.is_empty();
    let begin = !same || repo.is_watched() || !apply::is_settled(&repo, &target, &open.state, &selection);
    plan.notes.iter().for_each(|n| terminal.note(n));
    let reconcile = apply::reconcile_input(&project.policy, &plan);
    let first = match begin {
        true => opening.inputs.into_iter().chain([reconcile]).collect(),
        // It holds all the same for what comes: the last run may have been of other tasks.
        false => vec![Input::Select { selection: selection.clone() }],
    };
    let rounds = Arc::new(Rounds::default());
    let watcher = Watcher::new(args.poll);
    let rest =
        Rest { terminal: terminal.clone(), repo: repo.clone(), target: target.clone(), rounds: rounds.clone(), waker: watcher.waker() };
    if !begin {
        rest.say(&open.state);
    }
    let desk = Arc::new(Desk::new(terminal.clone(), repo.clone(), target.clone(), args.select.clone(), &project.policy));
    let (files, asked) = mailbox(watcher.waker());
    let tree = Tree {
        terminal: terminal.clone(),
        repo: repo.clone(),
        target: target.clone(),
        options: context::options(global),
        watcher,
        home,
        project: Arc::new(project.clone()),
        shown: String::new(),
        rounds: (rounds, 0),
        place: None,
        held: Vec::new(),
        blocked: None,
        stands_by: None,
        desk: desk.clone(),
        asked,
        open: Vec::new(),
        stuck: false,
    };
    // It ends with the process: nothing it does is unfinished business.
    let start = move |handle: Handle| drop(std::thread::spawn(move || tree.follow(&handle)));
    let mut told = telling.into_reporters();
    told.0.push(Box::new(rest));
    running::run(Start {
        terminal,
        repo,
        target,
        open,
        project: Some(&project),
        selection,
        first,
        limits: apply::limits(&args.limits),
        accept_git: args.consent.accept_git_config,
        told,
        tethered: args.conduct.tethered || terminal.console.ci.is_some(),
        reports: Reports::new(global, &args.conduct)?,
        watch: Some(Lead { begin, start: Box::new(start), files, unmet: Arc::new(move || desk.unmet()) }),
    })
}

/// Where what is said of the files is put in, and comes out.
fn mailbox(waker: Waker) -> (Box<dyn Fn(Asked)>, Receiver<Asked>) {
    let (said, asked) = channel();
    let put = move |of_files| {
        // Where nobody reads the files any more it is over, and whoever asks is hung up on.
        let _ = said.send(of_files);
        waker.wake();
    };
    (Box::new(put), asked)
}

/// Says when there is nothing left to do.
struct Rest {
    terminal: Terminal,
    repo: Repo,
    target: String,
    /// Runs that ended, and what is in the way of publishing.
    rounds: Arc<Rounds>,
    waker: Waker,
}

impl Rest {
    fn say(&self, state: &State) {
        let tally = state.tally();
        let of = |status: &Status| tally.get(status).map(|n| format!("{n} {}", status.name().replace('_', " ")));
        let all: Vec<String> = Status::ALL.iter().filter_map(of).collect();
        let all = if all.is_empty() { count(0, "task") } else { all.join(", ") };
        self.terminal.note(&format!("watching: {all}. Edits are taken up at once; Ctrl-C ends it"));
    }
}

impl Reporter for Rest {
    fn fact(&mut self, state: &State, _: u64, _: Millis, fact: &Fact) {
        match fact {
            Fact::PublishHeld { paths, .. } => self.rounds.held(paths.iter().map(|path| self.repo.root().join(path)).collect()),
            Fact::Published { .. } => self.rounds.held(Vec::new()),
            _ => {}
        }
        if matches!(fact, Fact::RunEnded { .. }) {
            self.rounds.ended(&self.repo, &self.target);
            // What was no reason while it lasted may be one now, and nothing else need move any more.
            self.waker.wake();
            if state.flow == crate::core::Flow::Running {
                self.say(state);
            }
        }
    }
}
