//! The simulated world: a git with commits and refs, worktrees, agents that outlive Drover.
//!
//! Effects here follow the same protocol as the real ones (probe, then act), and check what
//! must never happen while they do so.

use std::collections::{BTreeMap, BTreeSet};

use drover::base::{Aid, Digest, Millis, Oid, TaskId};
use drover::core::{Answer, Command, Elsewhere, Exit, Failure, FailureClass, Hold, HoldKind, Input, Outcome, Snap, Step};
use drover::engine::machine::{Job, Work};
use drover::model::Action;

/// A fault put into the world's protocol on purpose, to prove that the checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// Landing does not look whether it has already happened.
    NoLandProbe,
    /// An agent is started without looking for one that runs or ran.
    NoAgentProbe,
    /// The merged tree lands though it was not verified as it is.
    UnverifiedMerge,
    /// What lands is on the line before the remote is asked.
    PushesLater,
    /// A merge does not look whether another clone has landed the task.
    NoElsewhereProbe,
    /// Nobody looks whether what landed was taken back.
    NoLookForReverts,
    /// Landing does not look at what git would run.
    NoLookAtGit,
    /// An agent whose service refuses is told as one that failed.
    LimitsAreFailures,
    /// Work that must wait for a person goes to the lane by itself.
    LandsUnapproved,
    /// An approval does not say of which attempt it is.
    ApprovesBlindly,
    /// A check counts as failing without the work, and was not run there.
    BlindExcuse,
    /// A person is told that it is done before it is on record.
    AnswersTooSoon,
    /// What history says of a task is taken from any of its landings, not from the last.
    RecallsAnyLanding,
    /// An attempt that is to end is not asked whether it has landed.
    NoLookBeforeTheEnd,
    /// After a crash the agent of an attempt that is to end is started all the same.
    StartsTheUnwanted,
    /// That a task is suspended, or marked, is told and not written down.
    SuspendsInMemory,
    MarksInMemory,
    /// Publishing brings back what a person took off the target, asked or not.
    BringsBackUnasked,
    /// A second Drover is let in.
    NoLock,
    /// The line is moved wherever it stands.
    BlindRefSet,
    /// An agent whose time is over counts as ended, and is not.
    TimesOutWithoutEnding,
    /// A lost store is made again, and what ran goes on.
    RebuildsWithoutEnding,
    /// A timer that runs waits for a time of the clock, however that is set.
    WakesByClock,
    /// A task is begun whatever it depends on.
    DependsOnNothing,
    /// An approval is told and not written down.
    ApprovesInMemory,
    /// What pauses an agent for one task is not heard of by the others.
    PausesAlone,
}

/// The message of that.
pub const LIMITED: &str = "the service refuses";

#[derive(Clone, Debug)]
pub struct Commit {
    pub parents: Vec<Oid>,
    pub tree: Oid,
    pub landed: Option<(TaskId, Aid)>,
}

/// The process tree of one agent step, as its shim would leave it.
#[derive(Clone, Debug)]
pub struct Agent {
    /// When it ends by itself, or is to be ended.
    pub ends: u64,
    /// Until when it goes on where nobody ends it.
    pub lives_until: u64,
    pub exit: Exit,
    pub gone: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub struct Landing {
    pub task: TaskId,
    pub digest: Digest,
    pub aid: Aid,
    pub commit: Oid,
    /// How often the task had been reset by then.
    pub round: u32,
}

pub struct World {
    pub rng: fastrand::Rng,
    pub bug: Bug,
    pub now: u64,
    /// How far the clock on the wall is off.
    pub shift: i64,
    next: u64,
    pub commits: BTreeMap<Oid, Commit>,
    pub line: Oid,
    pub target: Oid,
    /// What line and target last had in common, and whether a person wants back what the target lost of it.
    published: Oid,
    pub wanted_back: bool,
    /// A person asked for publishing, and no try has begun since.
    pub asked: bool,
    /// What lands is pushed, and another clone does the same.
    pub shared: bool,
    pub remote: Oid,
    /// What the remote was last seen to have.
    known: Oid,
    /// The process dies in the middle of the effect that is under way.
    pub dies: bool,
    others: u64,
    counted: BTreeSet<Oid>,
    /// Where the line was when publishing began.
    seen: Oid,
    pub worktrees: BTreeSet<Aid>,
    pub agents: BTreeMap<(Aid, usize), Agent>,
    /// (tree, check) pairs that really passed.
    pub passed: BTreeSet<(Oid, String)>,
    /// How often a check failed on a tree, and the commits that it fails on without the work.
    pub failed: BTreeMap<(Oid, String), u32>,
    pub red: BTreeSet<(Oid, String)>,
    /// Checks that fail on everything.
    pub broken: BTreeSet<String>,
    pub landings: Vec<Landing>,
    /// How often each task was reset, and the attempts at it that had landed by then.
    pub rounds: BTreeMap<TaskId, u32>,
    pub forgotten: BTreeSet<Aid>,
    /// Attempts that this process was told to end; those that are to end, on record; those that did.
    pub told: BTreeSet<Aid>,
    pub unwanted: BTreeSet<Aid>,
    pub withdrawn: BTreeSet<Aid>,
    /// Tasks whose landed work a person has reverted.
    pub taken_back: BTreeSet<TaskId>,
    /// The files of each worktree, as a tree.
    files: BTreeMap<Aid, Oid>,
    snaps: BTreeMap<(Aid, usize), Snap>,
    merges: BTreeMap<(Oid, Oid), Oid>,
    /// Attempts that a person has approved, or was told to have rejected.
    pub approved: BTreeSet<Aid>,
    pub rejected: BTreeSet<Aid>,
    pub violations: Vec<String>,
    /// What an agent gave git to run, and nobody has removed.
    pub tampered: Vec<String>,
    pub fail_percent: u32,
    pub trouble_percent: u32,
    pub limit_percent: u32,
    pub quiet: bool,
}

impl World {
    pub fn new(seed: u64, bug: Bug) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let (fail_percent, trouble_percent) = (rng.u32(0..25), rng.u32(0..6));
        let limit_percent = if rng.bool() { rng.u32(0..20) } else { 0 };
        let shared = rng.bool();
        let root = oid(0);
        let commits = BTreeMap::from([(root.clone(), Commit { parents: vec![], tree: oid(0), landed: None })]);
        Self {
            rng,
            bug,
            now: 1_000_000,
            shift: 1_790_000_000_000,
            next: 1,
            commits,
            line: root.clone(),
            seen: root.clone(),
            target: root.clone(),
            published: root.clone(),
            wanted_back: false,
            asked: false,
            shared,
            remote: root.clone(),
            known: root,
            dies: false,
            others: 0,
            counted: BTreeSet::new(),
            worktrees: BTreeSet::new(),
            agents: BTreeMap::new(),
            passed: BTreeSet::new(),
            failed: BTreeMap::new(),
            red: BTreeSet::new(),
            broken: BTreeSet::new(),
            landings: Vec::new(),
            rounds: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            told: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            files: BTreeMap::new(),
            snaps: BTreeMap::new(),
            merges: BTreeMap::new(),
            approved: BTreeSet::new(),
            rejected: BTreeSet::new(),
            violations: Vec::new(),
            tampered: Vec::new(),
            fail_percent,
            trouble_percent,
            limit_percent,
            quiet: false,
        }
    }

    fn fresh(&mut self) -> Oid {
        self.next += 1;
        oid(self.next)
    }

    fn chance(&mut self, percent: u32) -> bool {
        !self.quiet && self.rng.u32(0..100) < percent
    }

    pub fn is_ancestor(&self, old: &Oid, new: &Oid) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack = vec![new.clone()];
        while let Some(oid) = stack.pop() {
            if oid == *old {
                return true;
            }
            if seen.insert(oid.clone()) {
                stack.extend(self.commits[&oid].parents.iter().cloned());
            }
        }
        false
    }

    /// A person commits on the target.
    pub fn person_commits(&mut self) {
        let new = self.fresh();
        let tree = self.fresh();
        self.commits.insert(new.clone(), Commit { parents: vec![self.target.clone()], tree, landed: None });
        self.target = new;
    }

    /// A person resets the target to where it was before.
    pub fn person_rewinds(&mut self) {
        if let Some(before) = self.commits[&self.target].parents.first() {
            self.target = before.clone();
            self.wanted_back = false;
        }
    }

    /// The target lost what was published.
    pub fn is_rewound(&self) -> bool {
        !self.is_ancestor(&self.published, &self.target)
    }

    /// The machine goes down: nothing runs any more.
    pub fn reboot(&mut self) {
        for agent in self.agents.values_mut() {
            if agent.gone.is_none() {
                agent.gone = Some(Outcome::Interrupted);
            }
        }
    }

    /// Time passed: agents whose time has come have left their record.
    fn settle_agent(&mut self, key: &(Aid, usize)) {
        let now = self.now;
        if let Some(mut agent) = self.agents.get(key).filter(|a| a.gone.is_none() && a.ends <= now).cloned() {
            match agent.lives_until > agent.ends {
                true => self.time_out(&mut agent),
                false => agent.gone = Some(agent.exit.outcome.clone()),
            }
            self.agents.insert(key.clone(), agent);
            let tree = self.fresh();
            self.files.insert(key.0.clone(), tree);
        }
    }

    /// When an effect that was started now would be through.
    pub fn due(&mut self, command: &Command) -> u64 {
        match command {
            Command::WakeAt { at, length } => {
                let left = at.since(self.wall()).as_millis() as u64;
                self.now + left.min(*length)
            }
            Command::Agent { aid, n, .. } if self.agents.contains_key(&(aid.clone(), *n)) => {
                self.agents[&(aid.clone(), *n)].ends.max(self.now)
            }
            _ => self.now + self.rng.u64(1..50),
        }
    }

    /// The first half of an agent's effect: look, adopt or start; and of publishing: look where the
    /// line is. Others have only one half.
    pub fn begin(&mut self, job: &Job) {
        if job.command == Command::Publish {
            self.asked = false;
            self.seen = self.follow();
        }
        let Command::Agent { aid, n, .. } = &job.command else { return };
        let key = (aid.clone(), *n);
        if self.agents.contains_key(&key) && self.bug != Bug::NoAgentProbe {
            return;
        }
        let live = |w: &World| w.agents.iter().any(|((a, _), g)| a == aid && g.gone.is_none() && g.lives_until > w.now);
        if live(self) {
            self.violations.push(format!("two agents in the worktree of {aid}"));
        }
        if !self.worktrees.contains(aid) {
            self.violations.push(format!("an agent was started in a worktree that is not there: {aid}"));
        }
        if self.told.contains(aid) && self.bug != Bug::StartsTheUnwanted {
            let never =
                Agent { ends: self.now, lives_until: self.now, exit: Exit::of(Outcome::Interrupted), gone: Some(Outcome::Interrupted) };
            self.agents.insert(key, never);
            return;
        }
        if self.unwanted.contains(aid) {
            self.violations.push(format!("an agent was started for {aid}, which is to end"));
        }
        let exit =
            self.exit(job.work.as_ref().and_then(|w| w.spec.steps.get(*n)).is_some_and(|s| matches!(s.action, Action::Prompt { .. })));
        let ends = self.now + self.rng.u64(1..2000);
        let agent = match self.hangs() {
            Some(ends) => {
                let exit = Exit::of(Outcome::Failed(Failure::new(FailureClass::Timeout, "it ran too long")));
                Agent { ends, lives_until: ends + 3_600_000, exit, gone: None }
            }
            None => Agent { ends, lives_until: ends, exit, gone: None },
        };
        self.agents.insert(key, agent);
    }

    /// The agents of an attempt get a signal.
    pub fn end(&mut self, aid: &Aid) {
        self.told.insert(aid.clone());
        let now = self.now;
        for (_, agent) in self.agents.iter_mut().filter(|((a, _), g)| a == aid && g.gone.is_none() && g.lives_until > now) {
            agent.gone = Some(Outcome::Interrupted);
        }
    }

    fn exit(&mut self, agent: bool) -> Exit {
        if agent && self.chance(self.limit_percent) {
            let kinds = [HoldKind::RateLimit, HoldKind::RateLimit, HoldKind::Overload, HoldKind::Network, HoldKind::Authentication];
            let kind = kinds[self.rng.usize(0..kinds.len())];
            let until = self.rng.bool().then(|| Millis(self.wall().0 + self.rng.u64(1..100_000)));
            return Exit::of(match self.bug {
                Bug::LimitsAreFailures => Outcome::Failed(Failure::new(FailureClass::Agent, LIMITED)),
                _ => Outcome::Held(Hold { kind, until, message: LIMITED.into() }),
            });
        }
        if agent && !self.quiet && self.chance(1) {
            return Exit::of(Outcome::Blocked("no key".into()));
        }
        let failed = self.chance(self.fail_percent);
        let outcome = if failed { Outcome::Failed(Failure::new(FailureClass::Agent, "exit 1")) } else { Outcome::Succeeded };
        Exit::of(outcome)
    }

    /// What an effect does to the world, and what it answers.
    pub fn perform(&mut self, job: &Job) -> Vec<Input> {
        match &job.command {
            Command::WakeAt { .. } => vec![Input::Tick],
            Command::SyncLine => {
                self.follow();
                let found = self.catch_up(job);
                found.into_iter().chain([Input::LineSynced { was: job.line.clone(), tip: self.line.clone() }]).collect()
            }
            Command::Publish => self.publish(job),
            Command::Push => self.push(job),
            Command::Clean { aid } => {
                if self.agents.iter().any(|((a, _), g)| a == aid && g.gone.is_none() && g.lives_until > self.now) {
                    self.violations.push(format!("the worktree of {aid} was removed under a live agent"));
                }
                self.worktrees.remove(aid);
                vec![Input::Cleaned { aid: aid.clone() }]
            }
            step => {
                let Some(work) = &job.work else { return vec![] };
                let seen = matches!(step, Command::Merge { .. }).then(|| self.follow());
                if self.is_refused() && matches!(step, Command::Merge { .. } | Command::Land { .. }) {
                    return vec![Input::GitChanges { found: self.tampered.clone() }];
                }
                let mut shared = Vec::new();
                if matches!(step, Command::Land { .. }) && self.bug != Bug::PushesLater {
                    shared = self.before_landing(work, job);
                    if self.dies {
                        return Vec::new();
                    }
                }
                if matches!(step, Command::Withdraw { .. }) && self.shared && work.attempt.in_lane() && self.bug != Bug::NoLookBeforeTheEnd
                {
                    let found = self.catch_up(job);
                    shared = [Input::LineSynced { was: job.line.clone(), tip: self.line.clone() }].into_iter().chain(found).collect();
                }
                let answer = if self.chance(self.trouble_percent) && !matches!(step, Command::Agent { .. }) {
                    Answer::Trouble { why: "no space left".into() }
                } else {
                    self.step(step, work, job)
                };
                let seen = if matches!(answer, Answer::Outdated) { Some(self.line.clone()) } else { seen };
                let answer = Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer: Box::new(answer) };
                let synced = seen.map(|tip| Input::LineSynced { was: job.line.clone(), tip });
                let changes = Input::GitChanges { found: self.tampered.clone() };
                synced.into_iter().chain(shared).chain([changes, answer]).collect()
            }
        }
    }

    /// An agent that is running gives git something to run.
    pub fn agent_tampers(&mut self) {
        let live =
            self.agents.iter().find(|(_, agent)| agent.gone.is_none() && agent.lives_until > self.now).map(|((aid, _), _)| aid.clone());
        if let Some(aid) = live.filter(|_| self.chance(3)) {
            self.tampered.push(format!("core.hookspath of {aid}"));
        }
    }

    /// Whether nothing may land or be published.
    fn is_refused(&self) -> bool {
        !self.tampered.is_empty() && self.bug != Bug::NoLookAtGit
    }

    /// The line follows a target that is ahead.
    fn follow(&mut self) -> Oid {
        if self.is_ancestor(&self.line, &self.target) {
            self.line = self.target.clone();
            self.published = self.line.clone();
        }
        self.line.clone()
    }

    /// Another clone lands a task that is not on the remote yet: it plays by the same rules.
    pub fn another_clone_lands(&mut self, task: &TaskId, digest: &Digest) {
        let there = self.reachable(&self.remote);
        if !self.shared || there.iter().any(|oid| self.commits[oid].landed.as_ref().is_some_and(|(t, _)| t == task)) {
            return;
        }
        self.others += 1;
        let aid = Aid::parse(&format!("other-{}", self.others)).unwrap();
        let (new, tree) = (self.fresh(), self.fresh());
        let landed = Some((task.clone(), aid.clone()));
        self.commits.insert(new.clone(), Commit { parents: vec![self.remote.clone()], tree, landed });
        self.remote = new.clone();
        self.counts(task, digest, aid, new);
    }

    fn reachable(&self, tip: &Oid) -> BTreeSet<Oid> {
        let mut seen = BTreeSet::new();
        let mut stack = vec![tip.clone()];
        while let Some(oid) = stack.pop() {
            if seen.insert(oid.clone()) {
                stack.extend(self.commits[&oid].parents.iter().cloned());
            }
        }
        seen
    }

    /// The records of others in `tip` and not in `seen`.
    fn elsewhere(&self, tip: &Oid, seen: &Oid) -> Vec<Elsewhere> {
        let hidden = self.reachable(seen);
        let new = self.reachable(tip).into_iter().filter(|oid| !hidden.contains(oid));
        let record = |commit: Oid| {
            let (task, aid) = self.commits[&commit].landed.clone()?;
            let digest = self.landings.iter().find(|l| l.aid == aid)?.digest.clone();
            Some(Elsewhere { task, digest, aid, commit })
        };
        new.filter_map(record).collect()
    }

    fn by_others(&self, work: &Work) -> Option<Elsewhere> {
        if self.bug == Bug::NoElsewhereProbe {
            return None;
        }
        let found = self.elsewhere(&self.line, &work.attempt.base);
        found.into_iter().find(|f| f.task == work.spec.id && f.digest == work.spec.digest && f.aid != work.attempt.aid)
    }

    /// Fetches and brings what is new into the line; the records that were not read yet.
    fn catch_up(&mut self, job: &Job) -> Option<Input> {
        if !self.shared {
            return None;
        }
        self.known = self.remote.clone();
        if self.is_ancestor(&self.line, &self.known) {
            self.line = self.known.clone();
        } else if !self.is_ancestor(&self.known, &self.line) {
            let (new, tree) = (self.fresh(), self.fresh());
            let parents = vec![self.line.clone(), self.known.clone()];
            self.commits.insert(new.clone(), Commit { parents, tree, landed: None });
            self.line = new;
        }
        self.unread(job)
    }

    fn unread(&mut self, job: &Job) -> Option<Input> {
        if job.seen.as_ref() == Some(&self.known) || !self.is_ancestor(&self.known, &self.line) {
            return None;
        }
        let seen = job.seen.clone().unwrap_or_else(|| oid(0));
        let found = self.elsewhere(&self.known, &seen);
        self.taken_back.retain(|task| found.iter().all(|f| f.task != *task));
        Some(Input::Found { tip: self.known.clone(), found })
    }

    /// The remote takes what only adds to it.
    fn accepts(&mut self, new: &Oid) -> bool {
        let accepted = self.is_ancestor(&self.remote, new);
        if accepted {
            (self.remote, self.known) = (new.clone(), new.clone());
        }
        accepted
    }

    /// It counts from where others can have it.
    fn landed(&mut self, work: &Work, job: &Job, new: &Oid) {
        let (task, digest, aid) = (work.spec.id.clone(), work.spec.digest.clone(), work.attempt.aid.clone());
        self.taken_back.remove(&task);
        if self.counted.insert(new.clone()) {
            self.check_proofs(work, job);
            self.counts(&task, &digest, aid, new.clone());
        }
    }

    fn counts(&mut self, task: &TaskId, digest: &Digest, aid: Aid, commit: Oid) {
        let round = self.rounds.get(task).copied().unwrap_or_default();
        self.landings.push(Landing { task: task.clone(), digest: digest.clone(), aid, commit, round });
    }

    fn before_landing(&mut self, work: &Work, job: &Job) -> Vec<Input> {
        let Step::Land { old, new, .. } = &work.attempt.step else { return Vec::new() };
        if !self.shared || self.line != *old {
            return Vec::new();
        }
        if self.accepts(new) {
            self.landed(work, job, new);
            self.dies = !self.quiet && self.rng.u8(0..10) == 0;
            return Vec::new();
        }
        let found = self.catch_up(job);
        self.dies = !self.quiet && self.rng.u8(0..10) == 0;
        let synced = Input::LineSynced { was: job.line.clone(), tip: self.line.clone() };
        [synced].into_iter().chain(found).collect()
    }

    fn push(&mut self, job: &Job) -> Vec<Input> {
        if self.chance(10) {
            return vec![Input::PushHeld { why: "no network".into(), lasting: self.rng.bool() }];
        }
        let mut inputs = Vec::new();
        if !self.accepts(&self.line.clone()) {
            let found = self.catch_up(job);
            inputs.push(Input::LineSynced { was: job.line.clone(), tip: self.line.clone() });
            inputs.extend(found);
            self.accepts(&self.line.clone());
        }
        inputs.push(Input::Pushed { tip: self.line.clone() });
        inputs
    }

    /// The second half: something may have landed since the first.
    fn publish(&mut self, job: &Job) -> Vec<Input> {
        let synced = Input::LineSynced { was: job.line.clone(), tip: self.seen.clone() };
        if self.is_refused() {
            return vec![synced, Input::GitChanges { found: self.tampered.clone() }];
        }
        if self.is_rewound() && !job.restore && self.bug != Bug::BringsBackUnasked {
            return vec![synced, Input::PublishHeld { why: "it was reset".into() }];
        }
        if self.is_ancestor(&self.target, &self.line) {
            if self.is_rewound() && !self.wanted_back {
                self.violations.push("what a person took off the target came back unasked".into());
            }
            self.target = self.line.clone();
            self.published = self.line.clone();
        } else if !self.is_ancestor(&self.line, &self.target) {
            return vec![synced, Input::PublishHeld { why: "diverged".into() }];
        }
        vec![synced, Input::Published { tip: self.line.clone() }]
    }

    fn step(&mut self, command: &Command, work: &Work, job: &Job) -> Answer {
        let attempt = &work.attempt;
        match command {
            Command::Prepare { aid, .. } => {
                for (id, landed) in &work.landed {
                    let Some(commit) = &landed.commit else { continue };
                    if !self.is_ancestor(commit, &attempt.base) && self.shared && self.is_ancestor(commit, &self.line) {
                        return Answer::Outdated;
                    }
                    if !self.is_ancestor(commit, &attempt.base) {
                        self.violations.push(format!("{} starts from a base without {id}", work.spec.id));
                    }
                }
                self.worktrees.insert(aid.clone());
                let files = attempt.restore.clone().unwrap_or_else(|| self.commits[&attempt.base].tree.clone());
                self.files.insert(aid.clone(), files);
                Answer::Prepared
            }
            Command::Agent { aid, n, .. } => {
                let key = (aid.clone(), *n);
                self.settle_agent(&key);
                let agent = &self.agents[&key];
                let outcome = match &agent.gone {
                    Some(outcome) => outcome.clone(),
                    // Ended as far as anybody looks.
                    None if agent.ends <= self.now => agent.exit.outcome.clone(),
                    None => Outcome::Interrupted,
                };
                Answer::AgentEnded { n: *n, exit: Exit::of(outcome) }
            }
            Command::Snapshot { aid, n, .. } => {
                let tree = self.files[aid].clone();
                let unchanged = self.commits[&attempt.base].tree == tree;
                let commit = self.snap_commit(attempt.base.clone(), &tree);
                let snap = Snap { tree, commit, unchanged, problem: None };
                self.snaps.insert((aid.clone(), *n), snap.clone());
                Answer::Snapshotted { n: *n, snap }
            }
            Command::Check { tree, check, nth, .. } => {
                if let Some(answer) = self.landed_before(work, job) {
                    return answer;
                }
                let (tree, check, nth) = (tree.clone(), check.clone(), *nth);
                if self.broken.contains(&check) || self.chance(self.fail_percent / 2) {
                    *self.failed.entry((tree.clone(), check.clone())).or_default() += 1;
                    return Answer::CheckFailed { tree, check, nth, failure: Failure::new(FailureClass::Verify, "red") };
                }
                self.passed.insert((tree.clone(), check.clone()));
                Answer::CheckPassed { tree, check, nth }
            }
            Command::Compare { commit, check, .. } => {
                if let Some(answer) = self.landed_before(work, job) {
                    return answer;
                }
                let red = self.broken.contains(check) || self.chance(self.fail_percent / 2);
                if red {
                    self.red.insert((commit.clone(), check.clone()));
                }
                let green = !red && self.bug != Bug::BlindExcuse;
                Answer::Compared { commit: commit.clone(), check: check.clone(), green }
            }
            Command::Commit { .. } => {
                let tree = attempt.snaps.last().map(|s| s.tree.clone()).unwrap_or_else(|| oid(0));
                Answer::Committed { commit: self.snap_commit(attempt.base.clone(), &tree) }
            }
            Command::Merge { .. } => self.merge(work),
            Command::Land { .. } => self.land(work, job),
            Command::Withdraw { aid, .. } => match self.found(aid) {
                Some(commit) if self.bug != Bug::NoLookBeforeTheEnd => Answer::Landed { commit, tip: self.line.clone() },
                _ => Answer::Withdrawn,
            },
            _ => Answer::CutShort,
        }
    }

    fn snap_commit(&mut self, base: Oid, tree: &Oid) -> Oid {
        let key = (base.clone(), tree.clone());
        if let Some(commit) = self.merges.get(&key) {
            return commit.clone();
        }
        let commit = self.fresh();
        self.commits.insert(commit.clone(), Commit { parents: vec![base], tree: tree.clone(), landed: None });
        self.merges.insert(key, commit.clone());
        commit
    }

    /// Whether the attempt is on the line already, and by which commit.
    fn found(&self, aid: &Aid) -> Option<Oid> {
        if self.bug == Bug::NoLandProbe {
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut stack = vec![self.line.clone()];
        while let Some(oid) = stack.pop() {
            if !seen.insert(oid.clone()) {
                continue;
            }
            let commit = &self.commits[&oid];
            if commit.landed.as_ref().is_some_and(|(_, a)| a == aid) {
                return Some(oid);
            }
            stack.extend(commit.parents.iter().cloned());
        }
        None
    }

    fn merge(&mut self, work: &Work) -> Answer {
        let Step::Merge { commit } = &work.attempt.step else { return Answer::CutShort };
        if let Some(commit) = self.found(&work.attempt.aid) {
            return Answer::Landed { commit, tip: self.line.clone() };
        }
        if let Some(found) = self.by_others(work) {
            return Answer::Elsewhere(found);
        }
        if self.line != work.attempt.base && self.chance(8) {
            return Answer::Conflict { paths: vec!["shared.txt".into()] };
        }
        let tree = if self.line == work.attempt.base { self.commits[commit].tree.clone() } else { self.fresh() };
        let new = self.fresh();
        let landed = Some((work.spec.id.clone(), work.attempt.aid.clone()));
        self.commits.insert(new.clone(), Commit { parents: vec![self.line.clone(), commit.clone()], tree: tree.clone(), landed });
        // The fault: to take the merged tree for the one that was verified before the merge.
        let told = if self.bug == Bug::UnverifiedMerge { self.commits[commit].tree.clone() } else { tree };
        Answer::Merged { old: self.line.clone(), new, tree: told }
    }

    fn land(&mut self, work: &Work, job: &Job) -> Answer {
        let Step::Land { old, new, .. } = &work.attempt.step else { return Answer::CutShort };
        if let Some(commit) = self.found(&work.attempt.aid) {
            return Answer::Landed { commit, tip: self.line.clone() };
        }
        if self.line != *old && self.bug != Bug::BlindRefSet {
            return Answer::LostRace;
        }
        if !self.tampered.is_empty() {
            self.violations.push(format!("{} landed while git had commands to run that nobody accepted", work.spec.id));
        }
        self.check_wanted(&work.spec.id, &work.attempt.aid);
        self.check_approval(&work.spec.id, &work.attempt.aid, work.spec.approval);
        if !self.is_ancestor(&self.line, new) {
            self.violations.push(format!("the line lost what it had when {} landed", work.spec.id));
        }
        self.line = new.clone();
        self.landed(work, job, new);
        Answer::Landed { commit: new.clone(), tip: new.clone() }
    }
    /// What lands was proved, or excused.
    fn check_proofs(&mut self, work: &Work, job: &Job) {
        let Step::Land { old, new, .. } = &work.attempt.step else { return };
        let tree = self.commits[new].tree.clone();
        for check in work.spec.verify.iter().chain(&job.policy.merge.verify) {
            let (at, key) = ((tree.clone(), check.key()), check.key());
            if self.passed.contains(&at) {
                continue;
            }
            // Passed over only if it failed twice, and fails on what this lands on as well: it was run
            // there, or on that very tree before it landed, here or by way of the remote.
            let twice = |tree: &Oid| self.failed.get(&(tree.clone(), key.clone())).is_some_and(|n| *n >= 2);
            let there = self.red.contains(&(old.clone(), key.clone())) || twice(&self.commits[old].tree);
            if !(job.policy.merge.baseline && twice(&tree) && there) {
                self.violations.push(format!("{} landed a tree that `{}` was not run on", work.spec.id, check.run));
            }
        }
    }

    /// It is on the line, or others have it and it only has to land here as well, whatever has to pass by now.
    fn landed_before(&mut self, work: &Work, job: &Job) -> Option<Answer> {
        let Step::Land { new, .. } = &work.attempt.step else { return None };
        if let Some(commit) = self.found(&work.attempt.aid) {
            return Some(Answer::Landed { commit, tip: self.line.clone() });
        }
        let has = self.shared && self.commits.contains_key(new) && self.is_ancestor(new, &self.known);
        has.then(|| if self.is_refused() { Answer::CutShort } else { self.land(work, job) })
    }
}

pub fn oid(n: u64) -> Oid {
    Oid::parse(&format!("{n:040x}")).unwrap()
}
