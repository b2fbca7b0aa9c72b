//! `drover apply`, and its halves: `sync` reconciles, `run` and `resume` run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::args::{self, ApplyArgs, Global, Reconcile, RunArgs, Select, SyncArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::recall::recall;
use super::signals::{self, Told};
use super::terminal::Terminal;
use crate::base::text::count;
use crate::base::{Aid, Oid, RunId, TaskId};
use crate::core::{Fact, Input, Limits, Selection, State, decide, view::Verdict};
use crate::engine::driver::now;
use crate::engine::preflight::{self, Upcoming};
use crate::engine::session::Session;
use crate::files::Project;
use crate::git::{self, LineState, Repo};
use crate::model::Policy;
use crate::plan::select::Universe;
use crate::plan::{self, Plan};
use crate::report;
use crate::report::text::SummaryOptions;
use crate::store::lock::{self, ActiveLock, LockError};
use crate::store::redb::RedbStore;
use crate::store::{Store, batch};

/// How long a second Drover waits for the first to end.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The store, open for writing, and the lock that makes this the one active Drover.
struct Open {
    state: State,
    /// The attempts that the records of all targets know of.
    known: BTreeSet<Aid>,
    // Closed before the lock is let go: whoever waits for the lock opens the store at once.
    store: Box<dyn Store>,
    lock: ActiveLock,
}

pub fn apply(global: &Global, terminal: &Terminal, args: &ApplyArgs) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(&repo, Some(&project))?;
    let open = open(&repo, &target)?;
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, &open.state))?;
    let recalled = recall(&repo, &target, &project.graph, &open.state)?;
    let plan = reconciled(&project, &known(&open.state, recalled.as_ref()), &selection, &args.reconcile)?;
    let same = plan.changes.is_empty() && !plan.policy_changed && recalled.is_none();
    let nothing = same && is_settled(&repo, &target, &open.state, &selection);
    if nothing {
        return finish(terminal, &repo, &settled(open.state, selection), &Told::default(), true);
    }
    plan.notes.iter().for_each(|n| terminal.note(n));
    let first = recalled.into_iter().chain([reconcile_input(&project.policy, &plan)]).collect();
    run_session(Start { terminal, repo, target, open, project: Some(&project), selection, first, limits: limits(&args.limits) })
}

pub fn sync(global: &Global, terminal: &Terminal, args: &SyncArgs) -> CliResult {
    let repo = context::repository(global)?;
    let project = context::project(global, terminal, &repo)?;
    let target = context::target(&repo, Some(&project))?;
    let mut open = open(&repo, &target)?;
    let recalled = recall(&repo, &target, &project.graph, &open.state)?;
    let plan = reconciled(&project, &known(&open.state, recalled.as_ref()), &Selection::All, &args.reconcile)?;
    let at = now();
    let inputs = recalled.into_iter().chain([reconcile_input(&project.policy, &plan)]);
    let facts: Vec<Fact> = inputs.flat_map(|input| decide(&mut open.state, at, &input)).collect();
    if !facts.is_empty() {
        open.store.commit(&target, &batch(&open.state, at, facts))?;
    }
    if terminal.json {
        let (changes, settings) = (plan.changes.len(), plan.policy_changed);
        terminal
            .json(&serde_json::json!({ "format_version": report::json::FORMAT_VERSION, "changes": changes, "settings_changed": settings }));
    } else {
        terminal.out(&synced(&plan));
    }
    Ok(Exit::Done)
}

pub fn run(global: &Global, terminal: &Terminal, args: &RunArgs) -> CliResult {
    from_store(global, terminal, |state| context::selection(&args.select, &Universe::of_record(state)), limits(&args.limits))
}

pub fn resume(global: &Global, terminal: &Terminal) -> CliResult {
    from_store(
        global,
        terminal,
        |state| {
            terminal.note(&recovered(state));
            Ok(state.selection.clone())
        },
        Limits::default(),
    )
}

fn from_store(global: &Global, terminal: &Terminal, select: impl Fn(&State) -> Result<Selection, Failure>, limits: Limits) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let open = open(&repo, &target)?;
    if open.state.tasks.is_empty() {
        return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply` or `drover sync` first.")));
    }
    let selection = select(&open.state)?;
    run_session(Start { terminal, repo, target, open, project: None, selection, first: Vec::new(), limits })
}

fn open(repo: &Repo, target: &str) -> Result<Open, Failure> {
    let dir = repo.state_dir();
    let lock = lock::acquire(&dir, LOCK_WAIT).map_err(|e| match e {
        LockError::Held { .. } => Failure::new(Exit::InUse, e.to_string()),
        _ => Failure::unfit(e.to_string()),
    })?;
    let mut store: Box<dyn Store> = Box::new(RedbStore::open(&dir)?);
    let state = store.load(target)?;
    let mut known = state.standing();
    for other in store.targets()?.iter().filter(|t| *t != target) {
        known.extend(store.load(other)?.standing());
    }
    Ok(Open { state, known, store, lock })
}

/// The record with what was recalled in it, for planning.
pub fn known(state: &State, recalled: Option<&Input>) -> State {
    let mut state = state.clone();
    recalled.into_iter().for_each(|input| drop(decide(&mut state, now(), input)));
    state
}

/// What the flags of this run ask for.
fn limits(args: &args::Limits) -> Limits {
    let fail_fast = if args.fail_fast { Some(true) } else { args.keep_going.then_some(false) };
    Limits { workers: args.workers, fail_fast }
}

/// The plan, if nothing forbids it.
fn reconciled(project: &Project, state: &State, selection: &Selection, args: &Reconcile) -> Result<Plan, Failure> {
    let rerun = rerun(&args.rerun, project, state)?;
    let plan = plan::diff(&plan::Request {
        graph: &project.graph,
        policy: &project.policy,
        recorded: state,
        rerun: &rerun,
        selection,
        now: now(),
    });
    if !plan.errors.is_empty() {
        return Err(Failure::new(Exit::Refused, plan.errors.join("\n")));
    }
    let allowed = |flag: &str| match flag {
        "--allow-removals" => args.allow_removals,
        "--allow-reruns" => args.allow_reruns,
        _ => false,
    };
    let refused = plan.guards.iter().filter(|g| !allowed(g.flag));
    let refused: Vec<String> = refused.map(|g| format!("{}\n  If that is meant, say {}.", g.message, g.flag)).collect();
    if !refused.is_empty() {
        return Err(Failure::new(Exit::Refused, refused.join("\n")));
    }
    Ok(plan)
}

/// The tasks that `--rerun` names.
pub fn rerun(exprs: &[String], project: &Project, state: &State) -> Result<BTreeSet<TaskId>, Failure> {
    if exprs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let select = Select { select: exprs.to_vec(), ..Select::default() };
    match context::selection(&select, &Universe::of_files(&project.graph, state))? {
        Selection::Only(ids) => Ok(ids),
        Selection::All => Ok(project.graph.tasks().keys().cloned().collect()),
    }
}

fn reconcile_input(policy: &Policy, plan: &Plan) -> Input {
    Input::Reconcile { policy: plan.policy_changed.then(|| policy.clone().into()), changes: plan.changes.clone() }
}

/// Whether everything selected is done and published, so that a run would find nothing.
fn is_settled(repo: &Repo, target: &str, state: &State, selection: &Selection) -> bool {
    let done = state.tasks.iter().all(|(id, t)| t.removed || !selection.holds(id) || t.is_completed());
    let quiet = state.head.garbage.is_empty() && state.head.run.as_ref().is_none_or(|r| r.ended);
    done && quiet && state.active().next().is_none() && is_published(repo, target)
}

/// The record of a settled project as this call sees it: what an earlier run selected, and what
/// kept it from publishing, is over.
fn settled(mut state: State, selection: Selection) -> State {
    state.selection = selection;
    state.head.line.publish = crate::core::Publish::Done;
    state
}

/// Whether the target holds all that has landed.
fn is_published(repo: &Repo, target: &str) -> bool {
    let tips = (repo.tip(&Repo::line_ref(target)), repo.branch_tip(target));
    matches!(tips, (Ok(Some(line)), Ok(Some(target))) if line == target)
}

struct Start<'a> {
    terminal: &'a Terminal,
    repo: Repo,
    target: String,
    open: Open,
    project: Option<&'a Project>,
    selection: Selection,
    /// What comes before the run itself.
    first: Vec<Input>,
    limits: Limits,
}

fn run_session(start: Start<'_>) -> CliResult {
    let Start { terminal, repo, target, open, project, selection, mut first, limits } = start;
    for lock in repo.clear_stale_locks(&target).map_err(|e| Failure::unfit(e.to_string()))? {
        terminal.note(&format!("removed {}, left by a git that was killed", lock.display()));
    }
    refuse_rewound(&repo, &target, open.state.last_landed())?;
    let environment = context::environment();
    let policy = project.map_or(&*open.state.policy, |p| &p.policy);
    let worktrees = worktrees_root(&repo, policy, &environment);
    let upcoming = Upcoming::new(project.map(|p| &p.graph), &open.state, &selection);
    let path = environment.iter().find(|(k, _)| k == "PATH").map(|(_, v)| std::ffi::OsString::from(v));
    let problems = preflight::check(&repo, &worktrees, &upcoming, path.as_deref());
    if !problems.is_empty() {
        return Err(Failure::unfit(problems.join("\n")));
    }
    let run = new_run();
    let mut reporters = reporters(terminal, &repo, &run);
    first.push(Input::RunBegan { run, selection });
    if limits != Limits::default() {
        first.push(Input::Limit(limits));
    }
    let told = Told::default();
    let (for_signals, words) = (told.clone(), terminal.clone());
    let session = Session {
        repo: repo.clone(),
        target,
        worktrees,
        inherited: environment,
        lock: open.lock,
        store: open.store,
        known: open.known,
        state: open.state,
        first,
    };
    let state = session
        .run(&mut reporters, |handle| signals::listen(handle, words, for_signals))
        .map_err(|stopped| Failure::internal(stopped.to_string()))?;
    reporters.warnings().iter().for_each(|w| terminal.warn(w));
    finish(terminal, &repo, &state, &told, false)
}

fn worktrees_root(repo: &Repo, policy: &Policy, environment: &[(String, String)]) -> PathBuf {
    let path = |name: &str| environment.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v));
    git::worktrees_root(&policy.worktree.dir, repo, &policy.project, path("XDG_STATE_HOME").as_deref(), path("HOME").as_deref())
}

/// A target that lost what was published to it was reset by a person: nothing brings undone
/// work back by itself.
fn refuse_rewound(repo: &Repo, target: &str, landed: Option<&Oid>) -> Result<(), Failure> {
    let unfit = |e: git::GitError| Failure::unfit(e.to_string());
    if let Some(landed) = landed {
        repo.restore_line(target, landed).map_err(unfit)?;
    }
    match repo.sync_line(target).map_err(unfit)? {
        LineState::Rewound { published, .. } => Err(Failure::new(
            Exit::Stopped,
            format!(
                "`{target}` no longer contains {}, which was published to it: somebody reset or force-pushed it\n  To bring the work back: git merge {}\n  To let it go: git update-ref {} {target} && git update-ref {} {target}",
                published.short(),
                Repo::line_ref(target),
                Repo::published_ref(target),
                Repo::line_ref(target)
            ),
        )),
        LineState::NoTarget => Err(Failure::unfit(format!("the target branch `{target}` does not exist"))),
        LineState::Tip(_) | LineState::Diverged { .. } => Ok(()),
    }
}

fn new_run() -> RunId {
    let id = uuid::Uuid::now_v7().simple().to_string();
    RunId::parse(&id).expect("hexadecimal digits are a plain id")
}

fn reporters(terminal: &Terminal, repo: &Repo, run: &RunId) -> report::Reporters {
    let level = match (terminal.quiet, terminal.verbose) {
        (true, _) => report::Level::Quiet,
        (false, 0) => report::Level::Normal,
        (false, _) => report::Level::Verbose,
    };
    let attempts = repo.state_dir().join("attempts");
    let log = Box::new(move |_: &TaskId, aid: &Aid| existing(attempts.join(aid.as_str())));
    let options = report::terminal::Options { level, color: terminal.color_err, log };
    let live = report::Terminal::new(Box::new(std::io::stderr()), options);
    let dir = repo.state_dir().join("runs").join(run.as_str());
    // Where it cannot be made, the events say so themselves.
    let _ = std::fs::create_dir_all(&dir);
    let events = report::Events::append(&dir.join("events.jsonl"));
    report::Reporters(vec![Box::new(live), Box::new(events)])
}

/// The answer on standard output, and the exit code.
fn finish(terminal: &Terminal, repo: &Repo, state: &State, told: &Told, nothing: bool) -> CliResult {
    let verdict = state.verdict();
    if terminal.json {
        terminal.json(&report::json::run(state, now()));
    } else if nothing {
        terminal.out(&format!("Nothing to do: {} up to date.", count(state.views().len(), "task")));
    } else {
        let log = |id: &TaskId| log_of(repo, state, id);
        let options =
            SummaryOptions { color: terminal.color_out, verbose: terminal.verbose > 0, quiet: terminal.quiet, tail: 0, log: &log };
        terminal.out(&report::text::summary(state, now(), &options));
    }
    Ok(match (told.exit(), verdict) {
        (_, Verdict::Done) => Exit::Done,
        (Some(exit), _) => exit,
        (None, Verdict::Failed) => Exit::Failed,
        (None, Verdict::Stopped(_)) => Exit::Stopped,
    })
}

/// Where the newest attempt of a task keeps its output.
fn log_of(repo: &Repo, state: &State, id: &TaskId) -> Option<String> {
    existing(repo.state_dir().join("attempts").join(state.last_aid(id)?.as_str()))
}

fn existing(dir: PathBuf) -> Option<String> {
    dir.is_dir().then(|| dir.display().to_string())
}

fn synced(plan: &Plan) -> String {
    match (plan.changes.len(), plan.policy_changed) {
        (0, false) => "Nothing changed: the record is as the files are.".into(),
        (0, true) => "Recorded the project's settings.".into(),
        (n, _) => format!("Recorded {}; `drover run` carries them out.", count(n, "change")),
    }
}

/// What an interruption left, in words.
fn recovered(state: &State) -> String {
    let Some(run) = state.head.run.as_ref().filter(|r| !r.ended) else {
        return "The last run came to its end; going on with what is left.".into();
    };
    let attempts: Vec<String> = state.active().map(|(t, a)| format!("  {} (attempt {}, {})", t.spec.id, a.no, a.step.name())).collect();
    match attempts.as_slice() {
        [] => format!("Run {} was cut short; no attempt was under way.", run.id),
        some => format!("Run {} was cut short; taking up {}:\n{}", run.id, count(some.len(), "attempt"), some.join("\n")),
    }
}
