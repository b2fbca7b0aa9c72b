//! What the files say, held against the record as it is at that moment: on the driver's thread.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::TaskId;
use crate::base::text::{one_line, some_of};
use crate::cli::apply::Refusal;
use crate::cli::args::Select;
use crate::cli::exit::{Exit, Failure};
use crate::cli::opening::{self, Opening};
use crate::cli::terminal::Terminal;
use crate::cli::{apply, context, running, shared};
use crate::control::{Ask, Asked, Reply};
use crate::core::view::Status;
use crate::core::{Act, Change, Input, Order, Selection, State};
use crate::engine::driver::Answered;
use crate::engine::preflight::Upcoming;
use crate::files::Project;
use crate::git::Repo;
use crate::model::Policy;
use crate::plan::select::Universe;
use crate::plan::{Guard, Guarded, Plan};

/// So many lines of what changed are shown.
const SHOWN: usize = 20;

pub struct Desk {
    terminal: Terminal,
    repo: Repo,
    target: String,
    /// What is to be done of what the files say.
    select: Select,
    worktrees: PathBuf,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    /// Why the files are not taken over.
    refused: Option<(Exit, String)>,
    /// The files have mistakes, in words.
    broken: Option<String>,
    notes: BTreeSet<String>,
    /// Tasks that ran again for their inputs since a person last changed anything.
    renewed: BTreeSet<TaskId>,
}

/// What may be new.
pub struct News {
    pub project: Arc<Project>,
    /// The files say something else than before.
    pub changed: bool,
    /// The target or the checkout moved.
    pub moved: bool,
    /// The branch of the start is back.
    pub resumed: bool,
    /// A run has ended.
    pub ended: bool,
    pub stands_by: Option<String>,
    /// A person says of these very files that they are meant.
    pub meant: Vec<Asked>,
}

/// What a person allows of what looks like a mistake.
#[derive(Clone, Copy, Default)]
struct Allowed {
    removals: bool,
    reruns: bool,
}

impl Allowed {
    fn by(asked: &[Asked]) -> Self {
        asked.iter().fold(Self::default(), |all, asked| match asked.request.act {
            Ask::Files { removals, reruns, .. } => Self { removals: all.removals || removals, reruns: all.reruns || reruns },
            _ => all,
        })
    }
}

/// What the files come to.
struct Judged {
    opening: Opening,
    plan: Plan,
    selection: Selection,
}

impl Desk {
    pub fn new(terminal: Terminal, repo: Repo, target: String, select: Select, policy: &Policy) -> Self {
        let worktrees = running::worktrees_root(&repo, policy, &context::environment());
        Self { terminal, repo, target, select, worktrees, said: Mutex::default() }
    }

    /// What follows from the news.
    pub fn take(&self, news: News, state: &State, at_work: bool) -> Answered {
        let mut answered = Answered::default();
        if state.stands_by != news.stands_by {
            answered.inputs.push(Input::StandBy { why: news.stands_by.clone() });
        }
        let (equal, within) = self.own(state);
        let same = !news.changed && !news.resumed;
        // Where nothing moved but the target, and that to where the run has the line, only inputs can be new.
        let own = same && if at_work { within } else { equal && !state.is_landing_stopped() };
        let nothing = news.meant.is_empty() && own && !(has_inputs(&news.project) && (at_work || news.ended));
        if news.stands_by.is_some() || nothing {
            return answered;
        }
        if news.changed || !within {
            self.locked().renewed.clear();
        }
        let reply = match self.judge(&news.project, state, at_work, Allowed::by(&news.meant)) {
            Ok(Judged { opening, plan, selection }) => {
                self.say(None);
                let unwanted = unwanted(&plan, state);
                self.show(&opening, &plan, &news.project.policy, &unwanted);
                let selected = selection != state.selection;
                let same = plan.changes.is_empty() && !plan.policy_changed && opening.inputs.is_empty() && !selected;
                self.locked().renewed.extend(plan.changes.iter().filter(|c| matches!(c, Change::Renew { .. })).map(named).cloned());
                let names_alone = !plan.says_more() && !plan.policy_changed && opening.inputs.is_empty() && !selected;
                answered.begin = !names_alone || (!same || news.moved || news.resumed) && (at_work || self.has_work(state));
                if !same {
                    answered.inputs.push(Input::Select { selection });
                    answered.inputs.extend(opening.inputs);
                    // Before they are gone from the record of what is wanted.
                    let end = |task: &TaskId| Order { task: task.clone(), act: Act::Reset { failed: false } };
                    answered.inputs.push(Input::Orders(unwanted.iter().map(end).collect()));
                    answered.inputs.push(apply::reconcile_input(&news.project.policy, &plan));
                }
                Reply::Files { changes: plan.changes.len(), settings: plan.policy_changed }
            }
            Err(failure) => {
                self.say(Some((failure.exit, failure.message.clone())));
                Reply::Refused { why: failure.message }
            }
        };
        answered.replies.extend(news.meant.into_iter().map(|asked| (asked, reply.clone())));
        answered
    }

    fn locked(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the target is where the line is, and whether that contains it: then nobody but Drover
    /// has moved it.
    fn own(&self, state: &State) -> (bool, bool) {
        let tip = self.repo.branch_tip(&self.target).ok().flatten();
        let (Some(tip), Some(line)) = (tip, &state.head.line.tip) else { return (false, false) };
        (tip == *line, tip == *line || self.repo.is_ancestor(&tip, line).unwrap_or(false))
    }

    /// Tasks that change each other's inputs would run by turns for as long as nobody looks.
    fn hold_back(&self, opening: &mut Opening) {
        let mut said = self.locked();
        let again: Vec<TaskId> = opening.inputs_changed.keys().filter(|id| said.renewed.contains(*id)).cloned().collect();
        for id in again {
            let paths = opening.inputs_changed.remove(&id).unwrap_or_default();
            let note = format!(
                "note: the inputs of `{id}` have changed once more since it ran again for them, by what landed: {}. It is not run a second time before somebody changes something",
                some_of(&paths)
            );
            if said.notes.insert(note.clone()) {
                self.terminal.note(&note);
            }
        }
    }

    /// Whether a run would find something to do though the files say what they said.
    fn has_work(&self, state: &State) -> bool {
        let unclaimed = |id: &TaskId| state.selection.holds(id) && state.view(id).is_some_and(|v| v.status == Status::Ready);
        state.is_landing_stopped()
            || !shared::is_published(&self.repo, &self.target, state.policy.merge.strategy)
            || !shared::is_pushed(&self.repo, &self.target, state)
            || state.tasks.keys().any(unclaimed)
    }

    /// What is selected of the files as they are now. A selector that matches nothing any more is passed over.
    fn selection(&self, project: &Project, state: &State) -> Result<Selection, Failure> {
        let universe = Universe::of_files(&project.graph, state);
        let matches = |select: Select| {
            let failure = context::selection(&select, &universe).err().filter(|failure| failure.exit == Exit::NoMatch);
            let note = failure.map(|failure| format!("note: {}. It selects nothing until something does", failure.message));
            if let Some(note) = note.as_ref().filter(|note| self.locked().notes.insert((*note).clone())) {
                self.terminal.note(note);
            }
            note.is_none()
        };
        let mut select = self.select.clone();
        let named = |text: &String| matches(Select { select: vec![text.clone()], ..Select::default() });
        [&mut select.tasks, &mut select.select, &mut select.exclude].into_iter().for_each(|list| list.retain(named));
        select.epic.retain(|epic| matches(Select { epic: vec![epic.clone()], ..Select::default() }));
        let left = select.tasks.len() + select.select.len() + select.epic.len();
        let asked = self.select.tasks.len() + self.select.select.len() + self.select.epic.len();
        if asked > 0 && left == 0 { Ok(Selection::Only(BTreeSet::new())) } else { context::selection(&select, &universe) }
    }

    fn judge(&self, project: &Project, state: &State, at_work: bool, allowed: Allowed) -> Result<Judged, Failure> {
        if let Some(target) = project.target.as_ref().filter(|target| **target != self.target) {
            let target = one_line(target, 100);
            return Err(Failure::unfit(format!(
                "drover.toml names `{target}` as its target now, and this watch lands on `{}`\n  End it and start it again to land there.",
                self.target
            )));
        }
        if !at_work {
            running::refuse_rewound(&self.repo, &self.target, state.last_landed())?;
        }
        let mut opening = opening::of_files(&self.repo, &self.target, &project.graph, state)?;
        self.hold_back(&mut opening);
        opening.keep(&self.repo, &self.target);
        let unfinished = state.tasks.values().any(|t| !t.removed && !t.is_completed());
        if project.files == 0 && unfinished && !allowed.removals {
            return Err(Failure::unfit(format!("there is no task file any more: taken for a mistake\n  {}", way("--allow-removals"))));
        }
        let allowed = |guard: &Guard| match guard.what {
            // A running task that left the files is nothing to be asked about here.
            Guarded::Running => true,
            Guarded::Removals => allowed.removals,
            Guarded::Reruns => allowed.reruns,
        };
        let selection = self.selection(project, &opening.state)?;
        let plan = apply::planned(project, &opening, &selection, &BTreeSet::new(), &allowed).map_err(refused)?;
        if !plan.changes.is_empty() || plan.policy_changed {
            let graph = Some(&project.graph);
            let problems = running::unfit(
                &self.repo,
                &project.policy,
                &self.worktrees,
                &Upcoming::new(graph, state, &selection),
                &context::environment(),
            );
            if !problems.is_empty() {
                return Err(Failure::unfit(format!("{}\n  What the files said before stays in force.", problems.join("\n"))));
            }
        }
        Ok(Judged { opening, plan, selection })
    }

    /// Why the files are not taken over, once.
    fn say(&self, refused: Option<(Exit, String)>) {
        let mut said = self.locked();
        match &refused {
            Some((_, why)) if said.refused != refused => self.terminal.warn(why),
            None if said.refused.is_some() => self.terminal.note("nothing is refused any more: what is said now is in force"),
            _ => {}
        }
        said.refused = refused;
    }

    /// Whether the files cannot be read for what is wanted, and why, in words.
    pub fn note_broken(&self, why: Option<String>) {
        self.locked().broken = why;
    }

    /// What the files say and is not in force: with it not all is done, whatever the record says.
    pub fn unmet(&self) -> Option<(Exit, String)> {
        let said = self.locked();
        said.broken.clone().map(|why| (Exit::Unfit, why)).or_else(|| said.refused.clone())
    }

    /// Settings that are not taken over while it runs.
    fn elsewhere(&self, policy: &Policy) -> Option<String> {
        let now = running::worktrees_root(&self.repo, policy, &context::environment());
        let shown = |path: &PathBuf| one_line(&path.display().to_string(), 200);
        (now != self.worktrees).then(|| {
            format!(
                "note: by `[worktree] dir` and `[project] name` of drover.toml worktrees are to be in {} now. That counts from the next start of Drover; until then they are made in {}",
                shown(&now),
                shown(&self.worktrees)
            )
        })
    }

    /// What is new in the files, a line each.
    fn show(&self, opening: &Opening, plan: &Plan, policy: &Policy, unwanted: &BTreeSet<TaskId>) {
        let notes = opening.notes().chain(plan.notes.iter().cloned()).chain(self.elsewhere(policy));
        let mut said = self.locked();
        for note in notes.filter(|note| said.notes.insert(note.clone())) {
            self.terminal.note(&note);
        }
        let changed: BTreeSet<&TaskId> = plan.changes.iter().map(named).collect();
        let mut lines: Vec<String> = Vec::new();
        for moved in &plan.moved {
            lines.push(format!("  > {} -> {}  moved", moved.from, moved.to));
        }
        for line in plan.lines.iter().filter(|line| changed.contains(&line.id) && !plan.cosmetic.contains(&line.id)) {
            let detail = one_line(&line.detail, 60);
            let reason = if unwanted.contains(&line.id) { "ended; its work is kept" } else { &line.reason };
            lines.push(format!("  {} {}  {detail}: {}", line.action.sign(), line.id, one_line(reason, 120)));
        }
        if lines.is_empty() && plan.policy_changed {
            lines.push("  ~ the project's settings".into());
        }
        if lines.is_empty() {
            if !changed.is_empty() {
                self.terminal.note("the files changed, but no task says anything else: nothing is to be done for that");
            }
            return;
        }
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
        self.terminal.note(&format!("the files changed:\n{}", lines.join("\n")));
    }
}

/// What looks like a mistake, with the way out.
fn refused(refusal: Refusal) -> Failure {
    let message = match &refusal {
        Refusal::Forbidden(errors) => format!("{}\n  What the files said before stays in force.", errors.join("\n")),
        Refusal::Guarded(guards) => {
            let (what, flags): (Vec<&str>, BTreeSet<&str>) = guards.iter().map(|g| (&*g.message, g.flag)).unzip();
            format!("{}\n  {}", what.join("\n"), way(&flags.into_iter().collect::<Vec<_>>().join(" ")))
        }
    };
    Failure { message, ..refusal.into() }
}

fn way(flags: &str) -> String {
    format!(
        "What the files said before stays in force. If that is meant, say `drover sync {flags}` beside this watch; if not, put it back."
    )
}

/// Tasks that left the files with something under way of them. What is about to land comes to its
/// end by itself; one that comes back before it has ended begins anew.
fn unwanted(plan: &Plan, state: &State) -> BTreeSet<TaskId> {
    let gone = plan.changes.iter().filter(|change| matches!(change, Change::Remove { .. })).map(named);
    let runs = |id: &&TaskId| state.tasks.get(*id).and_then(|t| t.attempt()).is_some_and(|a| !a.in_lane() && !a.awaits_approval());
    gone.filter(runs).cloned().collect()
}

fn has_inputs(project: &Project) -> bool {
    project.graph.tasks().values().any(|spec| !spec.inputs.is_empty())
}

fn named(change: &Change) -> &TaskId {
    match change {
        Change::Define { spec, .. } | Change::Renew { spec, .. } | Change::Move { spec, .. } => &spec.id,
        Change::Remove { task } => task,
    }
}
