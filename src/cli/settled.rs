//! The proof that nothing is left to do, kept from one call to the next: what was found when
//! everything was looked at, and all that it hangs on. Where a later call finds all of that as it
//! was, its answer is the same, and it has read, written and started nothing.
//!
//! A proof says "if everything is so, the answer is this", which stays true for ever. So it may be
//! lost, be half written or be of another time: then the call looks at everything, as if there
//! were none. Decides nothing itself: `apply` and `plan` say what is left to do.

mod shelf;

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::args::{ApplyArgs, Format, Global, PlanArgs};
use super::exit::Exit;
use super::terminal::Terminal;
use super::validate::Valid;
use super::{apply, context, opening, plan, running, validate};
use crate::base::text::{block, without_colors};
use crate::base::{Millis, sha256_hex};
use crate::core::{Selection, view::Verdict};
use crate::engine::driver::now;
use crate::files::{self, Loaded, Project, Seen};
use crate::git::{Program, Repo};
use crate::report;
use crate::store::{lock, redb};
use shelf::Shelf;

/// Changed whenever a reader of before would read it wrongly.
const MAGIC: &str = "drover settled 1";
/// Variables that a look at everything may hang on begin so, or are called so.
const ENVIRONMENT: &[&str] = &["DROVER_", "GIT_", "XDG_", "HOME"];
/// An answer that says how long something is ago is another one after this.
const LATER: u64 = 400 * 24 * 60 * 60 * 1000;

#[derive(Serialize, Deserialize)]
struct Proof {
    /// Of the program, the environment and the arguments.
    circumstances: String,
    seen: Seen,
    /// The target that the files name.
    named: Option<String>,
    target: String,
    remote: String,
    standing: String,
    record: String,
    answers: Answers,
}

/// What each verb says of it.
#[derive(PartialEq, Serialize, Deserialize)]
struct Answers {
    validate: Valid,
    apply: String,
    /// Without and with colours; none where it shows tasks one by one.
    plan: Option<[String; 2]>,
}

impl Answers {
    /// Whether there is nothing in it that a terminal obeys, but for colours: it comes from a file.
    fn are_plain(&self) -> bool {
        let is_plain = |text: &str| block(text) == text;
        let plan = self.plan.as_ref().is_none_or(|[plain, colored]| is_plain(plain) && without_colors(colored) == *plain);
        is_plain(&self.apply) && is_plain(self.validate.name()) && plan
    }
}

/// The answer of `drover apply`, if it is known to be that nothing is to be done.
pub fn applied(global: &Global, terminal: &Terminal, args: &ApplyArgs) -> Option<Exit> {
    let tells = args.tell.events.is_some() || !args.conduct.junit.is_empty();
    // A runner is told of each run, this one too.
    let tells = tells || terminal.console.ci.is_some();
    let asks = tells || terminal.json || !args.select.is_all() || !args.reconcile.rerun.is_empty();
    let answers = known(global, terminal).filter(|_| !asks)?;
    terminal.out(&answers.apply);
    Some(Exit::Done)
}

/// The same of `drover plan`.
pub fn planned(global: &Global, terminal: &Terminal, args: &PlanArgs) -> Option<Exit> {
    let asks = terminal.json || global.format == Format::Markdown || !args.select.is_all() || !args.rerun.is_empty();
    let [plain, colored] = known(global, terminal).filter(|_| !asks)?.plan?;
    terminal.out(if terminal.color_out { &colored } else { &plain });
    Some(Exit::Done)
}

/// The same of `drover validate`, which asks for the files alone.
pub fn validated(global: &Global, terminal: &Terminal) -> Option<Exit> {
    let call = Call::of(global)?;
    let proof = call.kept()?;
    proof.seen.holds().then(|| validate::tell(terminal, &proof.answers.validate))
}

fn known(global: &Global, terminal: &Terminal) -> Option<Answers> {
    // Who wants to know more is told more than is kept.
    let call = Call::of(global).filter(|_| terminal.verbose == 0)?;
    let proof = call.kept()?;
    // Whoever is at work is waited for.
    let holds = !lock::is_held(&call.repo.state_dir())
        && !call.repo.is_watched()
        && context::named_or_checked_out(proof.named.clone(), &call.repo).is_ok_and(|target| target == proof.target)
        && !call.repo.is_shallow()
        && call.repo.standing(&proof.target, &proof.remote).is_ok_and(|standing| standing == proof.standing)
        && call.record(&proof.target).is_some_and(|record| record == proof.record)
        && proof.seen.holds();
    holds.then_some(proof.answers)
}

/// Looks at everything once more, and keeps the proof if nothing is left to do. `loaded` is what
/// the files said the last time. Where it cannot be kept, the next call takes longer.
pub fn keep(global: &Global, loaded: &Loaded) {
    let Some(call) = Call::of(global) else { return };
    let Some(shelf) = Shelf::make(&call.repo.state_dir(), &call.name()) else { return };
    let kept = shelf.begin().and_then(|new| {
        let proof = call.prove(global, loaded, &new.metadata().ok()?)?;
        let body = serde_json::to_string(&proof).ok()?;
        shelf.put(new, &format!("{MAGIC} {}\n{body}", sha256_hex(body.as_bytes())))
    });
    if kept.is_none() {
        tracing::debug!("that nothing is left to do is not proved for the next time");
        shelf.give_up();
    }
}

/// What is asked, of what.
struct Call {
    repo: Repo,
    circumstances: String,
}

impl Call {
    fn of(global: &Global) -> Option<Self> {
        let dir = context::directory(global).ok()?;
        let program = Program::find().ok()?;
        let git = program.identity().ok()?;
        let repo = Repo::find(&dir, program).ok()?;
        if global.config.is_none() && files::find_root(&dir).as_deref() != Some(repo.root()) {
            return None;
        }
        let own = fs::metadata("/proc/self/exe").ok()?;
        let own = (env!("CARGO_PKG_VERSION"), own.dev(), own.ino(), own.len(), own.mtime(), own.mtime_nsec());
        let options = context::options(global);
        let config = options.config.map(|path| std::path::absolute(path).ok());
        let relevant = |name: &[u8]| ENVIRONMENT.iter().any(|start| name.starts_with(start.as_bytes()));
        let environment: BTreeSet<_> = context::variables().filter(|(name, _)| relevant(name.as_bytes())).collect();
        let all = format!("{own:?} {git} {:?} {config:?} {:?} {environment:?}", repo.root(), options.profile);
        Some(Self { repo, circumstances: sha256_hex(all.as_bytes()) })
    }

    /// One for each checkout.
    fn name(&self) -> String {
        sha256_hex(self.repo.root().as_os_str().as_bytes())[..16].to_owned()
    }

    /// The proof of an earlier call like this, if it is whole.
    fn kept(&self) -> Option<Proof> {
        let text = Shelf::open(&self.repo.state_dir(), &self.name())?.read()?;
        let (head, body) = text.split_once('\n')?;
        let whole = head == format!("{MAGIC} {}", sha256_hex(body.as_bytes()));
        let proof: Proof = whole.then(|| serde_json::from_str(body).ok())??;
        (proof.circumstances == self.circumstances && proof.answers.are_plain()).then_some(proof)
    }

    fn record(&self, target: &str) -> Option<String> {
        redb::mark(&self.repo.state_dir(), target).ok()?
    }

    /// Files outside of the project that say which files git ignores.
    fn also(&self) -> Vec<PathBuf> {
        let variable = |name: &str| self.repo.variable(name).map(PathBuf::from);
        let home = variable("HOME");
        let xdg = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let system = variable("GIT_CONFIG_SYSTEM").unwrap_or_else(|| "/etc/gitconfig".into());
        let own = ["config", "info/exclude"].map(|name| self.repo.common_dir().join(name));
        let others =
            [variable("GIT_CONFIG_GLOBAL"), home.map(|h| h.join(".gitconfig")), xdg.as_ref().map(|x| x.join("git/config")), Some(system)];
        let found = [files::ignored_everywhere(), Some(self.repo.root().join(".git"))];
        own.into_iter().chain(others.into_iter().flatten()).chain(found.into_iter().flatten()).collect()
    }

    /// Finds everything as it stands between two looks at it, which begin now by the clock of the disk: `just_now`
    /// is of a file that was written right before.
    fn prove(&self, global: &Global, loaded: &Loaded, just_now: &Metadata) -> Option<Proof> {
        let also = self.also();
        let before = Seen::of(loaded, &also, just_now)?;
        let options = context::options(global);
        let mut again = files::load(self.repo.root(), &options);
        let project = again.project.take().filter(|_| again.report.is_empty())?;
        context::no_profile(options.profile.as_deref(), &again).is_none().then_some(())?;
        let target = context::target(global, &self.repo, Some(&project)).ok()?;
        let remote = project.policy.merge.push.clone();
        let standing = self.repo.standing(&target, &remote).ok()?;
        let record = self.record(&target)?;
        let (at, later) = (now(), Millis(now().0 + LATER));
        let answers = self.answers(&project, &target, at)?;
        let same = Seen::of(&again, &also, just_now)? == before
            && self.standing_is(&target, &remote, &standing)
            && self.record(&target)? == record
            && self.answers(&project, &target, later)? == answers;
        let proof = Proof {
            circumstances: self.circumstances.clone(),
            seen: before,
            named: project.target,
            target,
            remote,
            standing,
            record,
            answers,
        };
        same.then_some(proof)
    }

    fn standing_is(&self, target: &str, remote: &str, standing: &str) -> bool {
        self.repo.standing(target, remote).is_ok_and(|now| now == standing)
    }

    /// What each verb would say, if that is all, and nothing is left to do.
    fn answers(&self, project: &Project, target: &str, at: Millis) -> Option<Answers> {
        let repo = &self.repo;
        let state = redb::snapshot(&repo.state_dir(), target).ok()??;
        let opening = opening::of_files(repo, target, &project.graph, &state).ok()?;
        let says_more = opening.notes().next().is_some() || !opening.inputs.is_empty();
        let plan = plan::of(project, &opening, &Selection::All, &BTreeSet::new(), at);
        let same = plan.changes.is_empty() && !plan.policy_changed && plan.moved.is_empty() && !plan.is_pending();
        let warned = !plan.guards.is_empty() || !plan.errors.is_empty() || !plan.notes.is_empty();
        if says_more || warned || !same || repo.is_watched() || !apply::is_settled(repo, target, &state, &Selection::All) {
            return None;
        }
        let settled = apply::settled(state, Selection::All);
        if settled.verdict() != Verdict::Done || report::text::reverted(&settled).is_some() {
            return None;
        }
        opening.keep(repo, target);
        let heading = plan::heading(project, repo, target);
        let text = |color| report::text::plan(&plan, &heading, false, color);
        Some(Answers {
            validate: Valid::of(project),
            apply: running::nothing(&settled),
            plan: plan.lines.iter().all(|line| line.quiet).then(|| [text(false), text(true)]),
        })
    }
}
