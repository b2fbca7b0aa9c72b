//! The simulated world: a git with commits and refs, worktrees, agents that outlive Drover.
//!
//! Effects here follow the same protocol as the real ones (probe, then act), and check what
//! must never happen while they do so.

use std::collections::{BTreeMap, BTreeSet};

use drover::base::{Aid, Digest, Oid, TaskId};
use drover::core::{Answer, Command, Exit, Failure, FailureClass, Input, Outcome, Snap, Step};
use drover::engine::machine::{Job, Work};

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
}

#[derive(Clone, Debug)]
pub struct Commit {
    pub parents: Vec<Oid>,
    pub tree: Oid,
    pub landed: Option<(TaskId, Aid)>,
}

/// The process tree of one agent step, as its shim would leave it.
#[derive(Clone, Debug)]
pub struct Agent {
    /// When it ends by itself.
    pub ends: u64,
    pub exit: Exit,
    pub gone: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub struct Landing {
    pub task: TaskId,
    pub digest: Digest,
    pub aid: Aid,
}

pub struct World {
    pub rng: fastrand::Rng,
    pub bug: Bug,
    pub now: u64,
    next: u64,
    pub commits: BTreeMap<Oid, Commit>,
    pub line: Oid,
    pub target: Oid,
    /// Where the line was when publishing began.
    seen: Oid,
    pub worktrees: BTreeSet<Aid>,
    pub agents: BTreeMap<(Aid, usize), Agent>,
    /// (tree, check) pairs that really passed.
    pub passed: BTreeSet<(Oid, String)>,
    pub landings: Vec<Landing>,
    /// The files of each worktree, as a tree.
    files: BTreeMap<Aid, Oid>,
    snaps: BTreeMap<(Aid, usize), Snap>,
    merges: BTreeMap<(Oid, Oid), Oid>,
    pub violations: Vec<String>,
    pub fail_percent: u32,
    pub trouble_percent: u32,
    pub quiet: bool,
}

impl World {
    pub fn new(seed: u64, bug: Bug) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let (fail_percent, trouble_percent) = (rng.u32(0..25), rng.u32(0..6));
        let root = oid(0);
        let commits = BTreeMap::from([(root.clone(), Commit { parents: vec![], tree: oid(0), landed: None })]);
        Self {
            rng,
            bug,
            now: 1_000_000,
            next: 1,
            commits,
            line: root.clone(),
            seen: root.clone(),
            target: root,
            worktrees: BTreeSet::new(),
            agents: BTreeMap::new(),
            passed: BTreeSet::new(),
            landings: Vec::new(),
            files: BTreeMap::new(),
            snaps: BTreeMap::new(),
            merges: BTreeMap::new(),
            violations: Vec::new(),
            fail_percent,
            trouble_percent,
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
        let done = match self.agents.get_mut(key) {
            Some(agent) if agent.gone.is_none() && agent.ends <= now => {
                agent.gone = Some(agent.exit.outcome.clone());
                true
            }
            _ => false,
        };
        if done {
            let tree = self.fresh();
            self.files.insert(key.0.clone(), tree);
        }
    }

    /// When an effect that was started now would be through.
    pub fn due(&mut self, command: &Command) -> u64 {
        match command {
            Command::WakeAt { at, length } => at.0.clamp(self.now, self.now + *length),
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
            self.seen = self.follow();
        }
        let Command::Agent { aid, n, .. } = &job.command else { return };
        let key = (aid.clone(), *n);
        if self.agents.contains_key(&key) && self.bug != Bug::NoAgentProbe {
            return;
        }
        let live = |w: &World| w.agents.iter().any(|((a, _), g)| a == aid && g.gone.is_none() && g.ends > w.now);
        if live(self) {
            self.violations.push(format!("two agents in the worktree of {aid}"));
        }
        if !self.worktrees.contains(aid) {
            self.violations.push(format!("an agent was started in a worktree that is not there: {aid}"));
        }
        let exit = self.exit();
        let ends = self.now + self.rng.u64(1..2000);
        self.agents.insert(key, Agent { ends, exit, gone: None });
    }

    fn exit(&mut self) -> Exit {
        let failed = self.chance(self.fail_percent);
        let outcome = if failed { Outcome::Failed(Failure::new(FailureClass::Agent, "exit 1")) } else { Outcome::Succeeded };
        Exit { outcome, summary: String::new() }
    }

    /// What an effect does to the world, and what it answers.
    pub fn perform(&mut self, job: &Job) -> Vec<Input> {
        match &job.command {
            Command::WakeAt { .. } => vec![Input::Tick],
            Command::SyncLine => vec![Input::LineSynced { was: job.line.clone(), tip: self.follow() }],
            Command::Publish => self.publish(job),
            Command::Clean { aid } => {
                if self.agents.iter().any(|((a, _), g)| a == aid && g.gone.is_none() && g.ends > self.now) {
                    self.violations.push(format!("the worktree of {aid} was removed under a live agent"));
                }
                self.worktrees.remove(aid);
                vec![Input::Cleaned { aid: aid.clone() }]
            }
            step => {
                let Some(work) = &job.work else { return vec![] };
                let seen = matches!(step, Command::Merge { .. }).then(|| self.follow());
                let answer = if self.chance(self.trouble_percent) && !matches!(step, Command::Agent { .. }) {
                    Answer::Trouble { why: "no space left".into() }
                } else {
                    self.step(step, work, job)
                };
                let answer = Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer };
                let synced = seen.map(|tip| Input::LineSynced { was: job.line.clone(), tip });
                synced.into_iter().chain([answer]).collect()
            }
        }
    }

    /// The line follows a target that is ahead.
    fn follow(&mut self) -> Oid {
        if self.is_ancestor(&self.line, &self.target) {
            self.line = self.target.clone();
        }
        self.line.clone()
    }

    /// The second half: something may have landed since the first.
    fn publish(&mut self, job: &Job) -> Vec<Input> {
        let synced = Input::LineSynced { was: job.line.clone(), tip: self.seen.clone() };
        if self.is_ancestor(&self.target, &self.line) {
            self.target = self.line.clone();
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
                let outcome = agent.gone.clone().unwrap_or(Outcome::Interrupted);
                Answer::AgentEnded { n: *n, exit: Exit { outcome, summary: String::new() } }
            }
            Command::Snapshot { aid, n, .. } => {
                let tree = self.files[aid].clone();
                let unchanged = self.commits[&attempt.base].tree == tree;
                let commit = self.snap_commit(attempt.base.clone(), &tree);
                let snap = Snap { tree, commit, unchanged, problem: None };
                self.snaps.insert((aid.clone(), *n), snap.clone());
                Answer::Snapshotted { n: *n, snap }
            }
            Command::Check { tree, check, .. } => {
                if let (Step::Land { .. }, Some(commit)) = (&attempt.step, self.found(&attempt.aid)) {
                    return Answer::Landed { commit, tip: self.line.clone() };
                }
                if self.chance(self.fail_percent / 2) {
                    return Answer::CheckFailed { tree: tree.clone(), failure: Failure::new(FailureClass::Verify, "red") };
                }
                self.passed.insert((tree.clone(), check.clone()));
                Answer::CheckPassed { tree: tree.clone(), check: check.clone() }
            }
            Command::Commit { .. } => {
                let tree = attempt.snaps.last().map(|s| s.tree.clone()).unwrap_or_else(|| oid(0));
                Answer::Committed { commit: self.snap_commit(attempt.base.clone(), &tree) }
            }
            Command::Merge { .. } => self.merge(work),
            Command::Land { .. } => self.land(work, job),
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
        if self.line != *old {
            return Answer::LostRace;
        }
        let tree = self.commits[new].tree.clone();
        for check in work.spec.verify.iter().chain(&job.policy.merge.verify) {
            if !self.passed.contains(&(tree.clone(), check.key())) {
                self.violations.push(format!("{} landed a tree that `{}` was not run on", work.spec.id, check.run));
            }
        }
        self.line = new.clone();
        self.landings.push(Landing { task: work.spec.id.clone(), digest: work.spec.digest.clone(), aid: work.attempt.aid.clone() });
        Answer::Landed { commit: new.clone(), tip: new.clone() }
    }
}

pub fn oid(n: u64) -> Oid {
    Oid::parse(&format!("{n:040x}")).unwrap()
}
