//! One session from a plan to its end: what must hold before, who hears of it, and what is said
//! of it afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::apply::Open;
use super::ci;
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::reports::{Beside, Reports};
use super::repository;
use super::signals::{self, Told};
use super::telling;
use super::terminal::Terminal;
use crate::base::text::count;
use crate::base::{Aid, Millis, Oid, RunId, TaskId};
use crate::control::Asked;
use crate::core::{Fact, Input, Limits, Selection, State, view::Verdict};
use crate::engine;
use crate::engine::Workplace;
use crate::engine::driver::{Stay, Stopped, now};
use crate::engine::preflight::{self, Upcoming};
use crate::engine::session::{Handle, Session};
use crate::files::Project;
use crate::git::{self, LineState, Repo};
use crate::model::{Policy, Spec};
use crate::process;
use crate::report::text::{SummaryOptions, Watched};
use crate::report::{self, Events, Reporter};
use crate::telemetry::{self, Telemetry};

pub struct Start<'a> {
    pub terminal: &'a Terminal,
    pub repo: Repo,
    pub target: String,
    pub open: Open,
    pub project: Option<&'a Project>,
    pub selection: Selection,
    /// What comes before the run itself.
    pub first: Vec<Input>,
    pub limits: Limits,
    /// Whether whatever git would run is accepted.
    pub accept_git: bool,
    /// Those who hear of every fact besides the terminal.
    pub told: report::Reporters,
    /// Whether what runs ends with this process.
    pub tethered: bool,
    pub reports: Reports,
    /// Stays when its run is over, and is led by this.
    pub watch: Option<Lead<'a>>,
}

/// What goes on beside a session that stays.
pub struct Lead<'a> {
    /// Whether there is something to do at the start.
    pub begin: bool,
    pub start: Box<dyn FnOnce(Handle) + 'a>,
    /// Takes what a person says of the files.
    pub files: Box<dyn Fn(Asked)>,
    pub unmet: Unmet,
}

/// What the files say and is not in force, in words, and what the program ends with for that.
pub type Unmet = Arc<dyn Fn() -> Option<(Exit, String)>>;

pub fn run(start: Start<'_>) -> CliResult {
    let Start {
        terminal,
        repo,
        target,
        mut open,
        project,
        selection,
        mut first,
        limits,
        accept_git,
        tethered,
        mut reports,
        watch,
        told: others,
    } = start;
    for lock in repo.clear_stale_locks(&target).map_err(|e| Failure::unfit(e.to_string()))? {
        terminal.note(&format!("removed {}, left by a git that was killed", lock.display()));
    }
    refuse_rewound(&repo, &target, open.state.last_landed())?;
    let environment = context::environment();
    let policy = project.map_or(&*open.state.policy, |p| &p.policy);
    let worktrees = worktrees_root(&repo, policy, &environment);
    let upcoming = Upcoming::new(project.map(|p| &p.graph), &open.state, &selection);
    refuse_unfit(&unfit(&repo, policy, &worktrees, &upcoming, &environment))?;
    preflight::logins(&repo, &upcoming, &environment).iter().for_each(|note| terminal.note(&format!("note: {note}")));
    repository::ready(&repo, accept_git)?;
    let mut reporters = reporters(terminal, &repo);
    mask(terminal, policy, &environment);
    let telemetry = telemetry(terminal, &repo, &target, policy, &open.state, &environment);
    let tracing = telemetry.as_ref().and_then(Telemetry::tracing);
    reporters.0.extend(telemetry.as_ref().map(Telemetry::reporter));
    let answer = watch.as_ref().map_or(Answer::OfRun, |w| Answer::of_watch(&open.state, &w.unmet));
    let (lead, stay) = watch.map(|w| ((w.begin, w.start), Stay { new_run, limits, files: w.files })).unzip();
    if lead.as_ref().is_none_or(|(begin, _)| *begin) {
        first.push(Input::RunBegan { run: new_run(), selection });
        if limits != Limits::default() {
            first.push(Input::Limit(limits));
        }
    }
    open.lock.serves(&target, repo.root());
    let told = Told::default();
    reporters.0.extend(others.0);
    let mut herald = telling::herald(&repo, &target, policy, &open);
    let session = Session {
        workplace: Workplace { repo: repo.clone(), target, worktrees, inherited: environment, tracing, tethered, lock: open.lock },
        store: open.store,
        known: open.known,
        state: open.state,
        first,
        stay,
    };
    let (haste, words, for_signals) = (herald.haste(), terminal.clone(), told.clone());
    let control = |handle: Handle| {
        signals::listen(handle.clone(), haste, words, for_signals, tethered);
        lead.into_iter().for_each(|(_, start)| start(handle.clone()));
    };
    let mut beside = Beside { terminal, root: repo.root(), others: &mut reporters, reports: &mut reports, herald: &mut herald };
    let ended = session.run(&mut beside, control).map_err(|stopped| match stopped {
        Stopped::Away(_) => Failure::unfit(stopped.to_string()),
        _ => Failure::internal(stopped.to_string()),
    });
    let result = ended.and_then(|state| {
        reporters.warnings().iter().chain(&herald.warning()).for_each(|w| terminal.warn(w));
        finish(terminal, &repo, &state, &told, answer)
    });
    // The last: nobody waits for a receiver before he has his answer.
    telemetry.and_then(|t| t.finish()).iter().for_each(|w| terminal.warn(w));
    result
}

/// What Drover keeps out of its own logs is to stand in no other either.
fn mask(terminal: &Terminal, policy: &Policy, environment: &[(String, String)]) {
    if terminal.is_github() {
        let secrets = engine::secrets(policy, &environment.iter().cloned().collect());
        terminal.commands(&ci::masks(&secrets.secrets).unwrap_or_default());
    }
}

/// What tells of the run by OpenTelemetry, if anything is to. That it cannot be started is no reason not to run.
fn telemetry(
    terminal: &Terminal,
    repo: &Repo,
    target: &str,
    policy: &Policy,
    state: &State,
    environment: &[(String, String)],
) -> Option<Telemetry> {
    let settings = telemetry::Settings::of(&policy.telemetry, environment)?;
    settings.warnings.iter().for_each(|w| terminal.warn(w));
    let (redacted, inherited) = (policy.clone(), environment.iter().cloned().collect());
    let redact = move |spec: Option<&Spec>, text: &str| {
        // One name may hold two secrets: Drover's own, and that of the task.
        let own = spec.map(|s| s.env.clone()).unwrap_or_default();
        [&inherited, &own].iter().fold(text.to_owned(), |text, env| {
            let secrets = engine::secrets(&redacted, env);
            String::from_utf8_lossy(&process::redact(text.as_bytes(), &secrets)).into_owned()
        })
    };
    let place = telemetry::Place {
        project: &policy.project,
        target,
        runs: repo.state_dir().join("runs"),
        instance: new_run().to_string(),
        clock: now,
        logs: terminal.logs.clone(),
    };
    let started = Telemetry::start(&settings, state, place, Arc::new(redact));
    let telemetry = started.inspect_err(|why| terminal.warn(&format!("telemetry is off: {why}"))).ok()?;
    telemetry.trouble().iter().for_each(|why| terminal.warn(&format!("telemetry: {why}")));
    Some(telemetry)
}

fn refuse_unfit(problems: &[String]) -> Result<(), Failure> {
    if problems.is_empty() { Ok(()) } else { Err(Failure::unfit(problems.join("\n"))) }
}

/// What would keep tasks from running here, each with what to do about it.
pub fn unfit(repo: &Repo, policy: &Policy, worktrees: &Path, upcoming: &Upcoming, environment: &[(String, String)]) -> Vec<String> {
    let path = environment.iter().find(|(k, _)| k == "PATH").map(|(_, v)| std::ffi::OsString::from(v));
    let mut problems = preflight::check(repo, worktrees, upcoming, path.as_deref());
    problems.extend(preflight::landing(repo, policy, upcoming));
    problems
}

pub fn worktrees_root(repo: &Repo, policy: &Policy, environment: &[(String, String)]) -> PathBuf {
    let path = |name: &str| environment.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v));
    git::worktrees_root(&policy.worktree.dir, repo, &policy.project, path("XDG_STATE_HOME").as_deref(), path("HOME").as_deref())
}

/// A target that lost what was published to it was reset by a person: nothing brings undone
/// work back by itself.
pub fn refuse_rewound(repo: &Repo, target: &str, landed: Option<&Oid>) -> Result<(), Failure> {
    let unfit = |e: git::GitError| Failure::unfit(e.to_string());
    if let Some(landed) = landed {
        repo.restore_line(target, landed).map_err(unfit)?;
    }
    match repo.sync_line(target).map_err(unfit)? {
        LineState::Rewound { published, .. } => Err(Failure::new(Exit::Stopped, rewound(target, &published))),
        LineState::NoTarget => Err(Failure::unfit(format!("the target branch `{target}` does not exist"))),
        LineState::Tip(_) | LineState::Diverged { .. } => Ok(()),
    }
}

pub fn rewound(target: &str, published: &Oid) -> String {
    format!(
        "`{target}` no longer contains {}, which was published to it: somebody reset or force-pushed it\n  To bring the work back: drover publish --restore\n  To let it go: drover publish --let-go",
        published.short()
    )
}

fn new_run() -> RunId {
    let id = uuid::Uuid::now_v7().simple().to_string();
    RunId::parse(&id).expect("hexadecimal digits are a plain id")
}

fn reporters(terminal: &Terminal, repo: &Repo) -> report::Reporters {
    let level = match (terminal.quiet, terminal.verbose) {
        (true, _) => report::Level::Quiet,
        (false, 0) => report::Level::Normal,
        (false, _) => report::Level::Verbose,
    };
    let attempts = repo.state_dir().join("attempts");
    let log = Box::new(move |_: &TaskId, aid: &Aid| existing(attempts.join(aid.as_str())));
    let live = (terminal.live && level != report::Level::Quiet).then_some(Box::new(columns) as report::terminal::Columns);
    let console = terminal.console.clone();
    let fold: Option<report::terminal::Fold> = match console.ci {
        Some(_) => Some(Box::new(move |title, lines| console.fold(title, lines))),
        None => None,
    };
    let options = report::terminal::Options { level, color: terminal.color_err, log, live, fold };
    let live = report::Terminal::new(Box::new(terminal.console.clone()), options);
    let events = PerRun { dir: repo.state_dir().join("runs"), early: Vec::new(), events: None, over: false };
    report::Reporters(vec![Box::new(live), Box::new(events)])
}

/// How wide the terminal is now.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(80)
}

/// A file of events for each run. What is decided right before one begins stands in its file.
struct PerRun {
    dir: PathBuf,
    early: Vec<(u64, Millis, Fact)>,
    events: Option<Events>,
    over: bool,
}

impl Reporter for PerRun {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact) {
        if let Fact::RunBegan { run, .. } = fact {
            let dir = self.dir.join(run.as_str());
            // Where it cannot be made, the events say so themselves.
            let _ = std::fs::create_dir_all(&dir);
            let mut events = Events::append(&dir.join("events.jsonl"), telling::veil());
            self.early.drain(..).for_each(|(seq, at, fact)| events.fact(state, seq, at, &fact));
            (self.events, self.over) = (Some(events), false);
        }
        match self.events.as_mut().filter(|_| !self.over) {
            Some(events) => events.fact(state, seq, at, fact),
            None => self.early.push((seq, at, fact.clone())),
        }
        self.over |= matches!(fact, Fact::RunEnded { .. });
    }
}

/// That there was nothing to do.
pub fn nothing(state: &State) -> String {
    format!("Nothing to do: {} up to date.", count(state.views().len(), "task"))
}

/// What the answer is about.
pub enum Answer {
    /// There was nothing to do.
    Nothing,
    OfRun,
    OfWatch(Watched, Unmet),
}

impl Answer {
    fn of_watch(state: &State, unmet: &Unmet) -> Self {
        Self::OfWatch(Watched { began: now(), used: state.head.usage }, unmet.clone())
    }
}

/// The answer on standard output, and the exit code.
pub fn finish(terminal: &Terminal, repo: &Repo, state: &State, told: &Told, answer: Answer) -> CliResult {
    // What is done of the record is not all, where the files say more.
    let (watch, unmet) = if let Answer::OfWatch(watched, unmet) = &answer { (Some(*watched), unmet()) } else { (None, None) };
    let why = unmet.as_ref().map(|(_, why)| why.lines().next().unwrap_or_default());
    let verdict = state.verdict();
    if let Some(warning) = report::text::reverted(state) {
        terminal.warn(&warning);
    }
    if terminal.json {
        terminal.json(&report::json::run(state, now(), why));
    } else if matches!(answer, Answer::Nothing) {
        terminal.out(&nothing(state));
    } else {
        let log = |id: &TaskId| log_of(repo, state, id);
        let (verbose, quiet) = (terminal.verbose > 0, terminal.quiet);
        let options = SummaryOptions { color: terminal.color_out, verbose, quiet, tail: 0, log: &log, watch, unmet: why };
        terminal.out(&report::text::summary(state, now(), &options));
    }
    Ok(match (told.exit(), verdict) {
        (_, Verdict::Done) => unmet.map_or(Exit::Done, |(exit, _)| exit),
        (Some(exit), _) => exit,
        (None, Verdict::Failed) => Exit::Failed,
        (None, Verdict::Stopped(_)) => Exit::Stopped,
    })
}

/// Where the newest attempt of a task keeps its output.
pub fn log_of(repo: &Repo, state: &State, id: &TaskId) -> Option<String> {
    existing(repo.state_dir().join("attempts").join(state.last_aid(id)?.as_str()))
}

fn existing(dir: PathBuf) -> Option<String> {
    dir.is_dir().then(|| dir.display().to_string())
}
