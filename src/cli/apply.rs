//! `drover apply`, and its half that runs: `run` and `resume`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::args::{self, ApplyArgs, Conduct, Global, Reconcile, ResumeArgs, RunArgs, Select, Tell};
use super::ci;
use super::exit::{CliResult, Exit, Failure};
use super::opening::{self, Opening};
use super::reports::Reports;
use super::running::{self, Start};
use super::shared::{is_published, is_pushed};
use super::signals::Told;
use super::telling::{self, Telling};
use super::terminal::Terminal;
use super::{context, settled};
use crate::base::text::count;
use crate::base::{Aid, TaskId};
use crate::core::{Input, Limits, Selection, State};
use crate::engine::driver::now;
use crate::engine::slots::Slots;
use crate::fault;
use crate::files::Project;
use crate::git::Repo;
use crate::model::{Notices, Policy};
use crate::plan::select::Universe;
use crate::plan::{Guard, Guarded, Plan};
use crate::store::lock::{self, ActiveLock, LockError};
use crate::store::redb::RedbStore;
use crate::store::{Store, home};

/// How long a second Drover waits for the first to end.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The store, open for writing, and the lock that makes this the one active Drover.
pub struct Open {
    pub state: State,
    /// The attempts that the records of all targets know of.
    pub known: BTreeSet<Aid>,
    // Closed before the lock is let go: whoever waits for the lock opens the store at once.
    pub store: Box<dyn Store>,
    pub lock: ActiveLock,
}

pub fn apply(global: &Global, terminal: &Terminal, args: &ApplyArgs) -> CliResult {
    ci::refuse_untrusted(&args.conduct)?;
    if let Some(exit) = settled::applied(global, terminal, args) {
        return Ok(exit);
    }
    let telling = Telling::new(global, terminal, &args.tell)?;
    let repo = context::repository(global)?;
    let (project, loaded) = context::loaded(global, &telling.terminal, &repo, context::options(global))?;
    let exit = apply_all(global, telling, args, repo, &project)?;
    // Where somebody is told of events, something may be left to be delivered.
    if exit == Exit::Done && args.select.is_all() && project.policy.notices == Notices::default() {
        settled::keep(global, &loaded);
    }
    Ok(exit)
}

fn apply_all(global: &Global, telling: Telling, args: &ApplyArgs, repo: Repo, project: &Project) -> CliResult {
    let terminal = &telling.terminal.clone();
    let target = context::target(global, &repo, Some(project))?;
    let open = open(&repo, &target)?;
    let opening = opened(terminal, &repo, &target, project, &open.state)?;
    let selection = context::selection(&args.select, &Universe::of_files(&project.graph, &opening.state))?;
    let mut reports = Reports::new(global, &args.conduct)?;
    let plan = reconciled(project, &opening, &selection, &args.reconcile)?;
    let same = plan.changes.is_empty() && !plan.policy_changed && opening.inputs.is_empty();
    let nothing = same && !repo.is_watched() && is_settled(&repo, &target, &open.state, &selection);
    if nothing {
        let open = Open { state: settled(open.state, selection), ..open };
        reports.close(terminal, repo.root(), &open.state);
        telling::catch_up(terminal, &repo, &target, &project.policy, &open);
        return running::finish(terminal, &repo, &open.state, &Told::default(), running::Answer::Nothing);
    }
    plan.notes.iter().for_each(|n| terminal.note(n));
    let first = opening.inputs.into_iter().chain([reconcile_input(&project.policy, &plan)]).collect();
    running::run(Start {
        terminal,
        repo,
        target,
        open,
        project: Some(project),
        selection,
        first,
        limits: limits(&args.limits),
        accept_git: args.consent.accept_git_config,
        told: telling.into_reporters(),
        tethered: args.conduct.tethered || terminal.console.ci.is_some(),
        reports,
        watch: None,
    })
}

pub fn run(global: &Global, terminal: &Terminal, args: &RunArgs) -> CliResult {
    from_store(
        global,
        terminal,
        |state| context::selection(&args.select, &Universe::of_record(state)),
        limits(&args.limits),
        args.consent.accept_git_config,
        &args.tell,
        &args.conduct,
    )
}

pub fn resume(global: &Global, terminal: &Terminal, args: &ResumeArgs) -> CliResult {
    from_store(
        global,
        terminal,
        |state| {
            terminal.note(&recovered(state));
            Ok(state.selection.clone())
        },
        Limits::default(),
        false,
        &args.tell,
        &args.conduct,
    )
}

fn from_store(
    global: &Global,
    terminal: &Terminal,
    select: impl Fn(&State) -> Result<Selection, Failure>,
    limits: Limits,
    accept_git: bool,
    tell: &Tell,
    conduct: &Conduct,
) -> CliResult {
    ci::refuse_untrusted(conduct)?;
    let telling = Telling::new(global, terminal, tell)?;
    let terminal = &telling.terminal.clone();
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let open = open(&repo, &target)?;
    if open.state.tasks.is_empty() {
        return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply` or `drover sync` first.")));
    }
    let opening = opening::of_record(&repo, &target, &open.state)?;
    opening.tell(terminal);
    opening.keep(&repo, &target);
    let selection = select(&opening.state)?;
    let (first, told) = (opening.inputs, telling.into_reporters());
    let (reports, tethered) = (Reports::new(global, conduct)?, conduct.tethered || terminal.console.ci.is_some());
    let (project, watch) = (None, None);
    running::run(Start { terminal, repo, target, open, project, selection, first, limits, accept_git, told, tethered, reports, watch })
}

/// Makes this the one active Drover.
pub fn lock(repo: &Repo) -> Result<ActiveLock, Failure> {
    lock::acquire(&repo.state_dir(), LOCK_WAIT).map_err(|e| match e {
        LockError::Held { .. } => Failure::new(Exit::InUse, e.to_string()),
        _ => Failure::unfit(e.to_string()),
    })
}

pub fn open(repo: &Repo, target: &str) -> Result<Open, Failure> {
    open_with(repo, target, lock(repo)?)
}

/// Sees to it, under the lock, that what the state directory says is this repository's. A copy keeps the record, and
/// forgets the worktrees: unless attempts were under way, whose agents and files the other one has.
pub fn own(repo: &Repo) -> Result<(), Failure> {
    let dir = repo.state_dir();
    if let Some(original) = home::original(&dir)? {
        let slots = Slots::new(&dir);
        let all = slots.all().map_err(|e| Failure::unfit(format!("the slots of worktrees could not be listed: {e}")))?;
        let under_way: Vec<String> = all.into_iter().filter_map(|s| s.owner).map(|aid| aid.to_string()).collect();
        if !under_way.is_empty() {
            let original = original.parent().unwrap_or(&original).display();
            return Err(Failure::unfit(format!(
                "this repository is a copy of {original}, made while attempts were under way there, whose agents and worktrees are that one's: {}\n  \
                 Have them end there (`drover resume`) and copy it again; or say `drover state rebuild --allow-loss` here, which makes a record of its own from history.",
                under_way.join(", ")
            )));
        }
        disown(repo)?;
    }
    Ok(home::note(&dir)?)
}

/// Forgets the worktrees of the repository that this one is a copy of.
pub fn disown(repo: &Repo) -> Result<(), Failure> {
    Slots::new(&repo.state_dir()).disown().map_err(|e| Failure::unfit(format!("the slots of worktrees could not be forgotten: {e}")))?;
    repo.disown_worktrees().map_err(|e| Failure::unfit(e.to_string()))
}

/// The store, under a lock that is held already.
pub fn open_with(repo: &Repo, target: &str, lock: ActiveLock) -> Result<Open, Failure> {
    let dir = repo.state_dir();
    fault::point("lock.taken");
    own(repo)?;
    let mut store: Box<dyn Store> = Box::new(RedbStore::open(&dir)?);
    fault::point("store.opened");
    let state = store.load(target)?;
    let mut known = state.standing();
    for other in store.targets()?.iter().filter(|t| *t != target) {
        known.extend(store.load(other)?.standing());
    }
    Ok(Open { state, known, store, lock })
}

/// The record as history has it, told and kept.
pub fn opened(terminal: &Terminal, repo: &Repo, target: &str, project: &Project, state: &State) -> Result<Opening, Failure> {
    let opening = opening::of_files(repo, target, &project.graph, state)?;
    opening.tell(terminal);
    fault::point("history.read");
    opening.keep(repo, target);
    Ok(opening)
}

/// What the flags of this run ask for.
pub fn limits(args: &args::Limits) -> Limits {
    let fail_fast = if args.fail_fast { Some(true) } else { args.keep_going.then_some(false) };
    Limits { workers: args.workers, fail_fast }
}

/// The plan, if nothing forbids it.
pub fn reconciled(project: &Project, opening: &Opening, selection: &Selection, args: &Reconcile) -> Result<Plan, Failure> {
    let rerun = rerun(&args.rerun, project, &opening.state)?;
    let allowed = |guard: &Guard| match guard.what {
        Guarded::Running | Guarded::Removals => args.allow_removals,
        Guarded::Reruns => args.allow_reruns,
    };
    Ok(planned(project, opening, selection, &rerun, &allowed)?)
}

/// The same with these tasks to run again, and a word on each guard.
pub fn planned(
    project: &Project,
    opening: &Opening,
    selection: &Selection,
    rerun: &BTreeSet<TaskId>,
    allowed: &dyn Fn(&Guard) -> bool,
) -> Result<Plan, Refusal> {
    let plan = super::plan::of(project, opening, selection, rerun, now());
    if !plan.errors.is_empty() {
        return Err(Refusal::Forbidden(plan.errors));
    }
    let (allowed, refused): (Vec<Guard>, Vec<Guard>) = plan.guards.into_iter().partition(|g| allowed(g));
    if !refused.is_empty() {
        return Err(Refusal::Guarded(refused));
    }
    Ok(Plan { guards: allowed, ..plan })
}

/// Why a plan is not carried out.
pub enum Refusal {
    /// By what the files say themselves.
    Forbidden(Vec<String>),
    /// A person has to say that it is meant.
    Guarded(Vec<Guard>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let lines = match refusal {
            Refusal::Forbidden(errors) => errors,
            Refusal::Guarded(guards) => guards.iter().map(|g| format!("{}\n  If that is meant, say {}.", g.message, g.flag)).collect(),
        };
        Failure::new(Exit::Refused, lines.join("\n"))
    }
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

pub fn reconcile_input(policy: &Policy, plan: &Plan) -> Input {
    Input::Reconcile { policy: plan.policy_changed.then(|| policy.clone().into()), changes: plan.changes.clone() }
}

/// Whether everything selected is done and published, so that a run would find nothing.
pub fn is_settled(repo: &Repo, target: &str, state: &State, selection: &Selection) -> bool {
    let done = state.tasks.iter().all(|(id, t)| t.removed || !selection.holds(id) || t.is_completed() || t.is_disabled());
    let quiet = state.head.garbage.is_empty() && state.head.run.as_ref().is_none_or(|r| r.ended);
    done && quiet
        && state.active().next().is_none()
        && state.parked().all(|(_, a)| a.awaits_approval())
        && is_published(repo, target, state.policy.merge.strategy)
        && is_pushed(repo, target, state)
}

/// The record of a settled project as this call sees it: what an earlier run selected, and what
/// kept it from publishing, is over.
pub fn settled(mut state: State, selection: Selection) -> State {
    state.selection = selection;
    state.head.line.publish = crate::core::Publish::Done;
    state.head.line.remote.push = crate::core::Push::Done;
    state
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
