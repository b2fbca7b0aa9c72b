//! `drover publish`: brings what landed to the target now, beside a run or without one.

use std::time::Duration;

use super::apply::{self, Open};
use super::args::{Global, PublishArgs};
use super::control::{Reached, reach};
use super::exit::{CliResult, Exit, Failure};
use super::running::worktrees_root;
use super::terminal::Terminal;
use super::{context, repository};
use crate::base::text::{count, one_line};
use crate::base::{Aid, Oid, TaskId};
use crate::control::{self, Ask, Reply, Request};
use crate::core::{Input, Outward, Publish, Push, State, decide};
use crate::engine::driver::now;
use crate::engine::{self, Workplace};
use crate::git::{GitError, Lost, Repo};
use crate::report::json::FORMAT_VERSION;
use crate::store::lock::ActiveLock;
use crate::store::{batch, redb};

/// Between two looks at how far a running Drover has come.
const PAUSE: Duration = Duration::from_millis(50);
/// So many paths are named where people look.
const LISTED: usize = 20;

/// What the verb works on, and what it has found out.
struct Going {
    repo: Repo,
    target: String,
    /// Where the target was at the start.
    before: Option<Oid>,
    let_go: Option<LetGo>,
}

/// What was let go.
struct LetGo {
    kept: Vec<String>,
    tasks: Vec<TaskId>,
}

pub fn run(global: &Global, terminal: &Terminal, args: &PublishArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let before = repo.branch_tip(&target).map_err(unfit)?;
    let mut going = Going { repo, target, before, let_go: None };
    if redb::snapshot(&going.repo.state_dir(), &going.target)?.is_none_or(|state| state.tasks.is_empty()) {
        return going.unrecorded(terminal);
    }
    let ask = |look| Request {
        version: control::VERSION,
        target: going.target.clone(),
        select: Vec::new(),
        act: Ask::Publish { restore: args.restore },
        // Only to be told how far it is.
        rehearse: look,
        allow_reruns: false,
    };
    let (first, again) = (ask(args.let_go), ask(true));
    let dir = going.repo.state_dir();
    let mut reached = reach(&dir, &first)?;
    let (outward, live) = loop {
        match reached {
            Reached::Nobody(lock) => break (going.alone(args, lock)?, false),
            Reached::Drover(Reply::Outward { .. }) if args.let_go => {
                return Err(Failure::new(
                    Exit::InUse,
                    "a Drover is at work here, and what is let go may be what it builds on\n  Wait for its end, or stop it with Ctrl-C, and say it again.",
                ));
            }
            Reached::Drover(Reply::Outward { outward }) if outward.busy => std::thread::sleep(PAUSE),
            Reached::Drover(Reply::Outward { outward }) => break (outward, true),
            Reached::Drover(Reply::Busy { why }) => return Err(Failure::new(Exit::InUse, why)),
            Reached::Drover(other) => return Err(Failure::internal(format!("the Drover at work cannot publish: {other:?}"))),
        }
        // It may have ended meanwhile: then the rest is done here.
        reached = reach(&dir, &again)?;
    };
    going.tell(terminal, &outward, live)
}

impl Going {
    /// No Drover has worked here, or its record is gone.
    fn unrecorded(&self, terminal: &Terminal) -> CliResult {
        let line = self.repo.tip(&Repo::line_ref(&self.target)).map_err(unfit)?;
        let has = |line: &Oid| self.before.as_ref().map_or(Ok(false), |tip| self.repo.is_ancestor(line, tip));
        if line.as_ref().map_or(Ok(true), has).map_err(unfit)? {
            return self.tell(terminal, &Outward { publish: Publish::Done, push: None, paths: Vec::new(), busy: false }, false);
        }
        Err(Failure::unfit(format!(
            "nothing is recorded for `{}` yet, so it is not known how what landed is to be published\n  Run `drover sync` first.",
            self.target
        )))
    }

    /// No Drover is at work.
    fn alone(&mut self, args: &PublishArgs, lock: ActiveLock) -> Result<Outward, Failure> {
        let mut open = apply::open_with(&self.repo, &self.target, lock)?;
        self.repo.clear_stale_locks(&self.target).map_err(unfit)?;
        if let Some(landed) = open.state.last_landed() {
            self.repo.restore_line(&self.target, landed).map_err(unfit)?;
        }
        let watched = self.repo.is_watched();
        repository::ready(&self.repo, false)?;
        if args.let_go {
            self.let_go(&mut open)?;
        }
        let environment = context::environment();
        let outward = engine::outward::Outward {
            workplace: Workplace {
                tracing: None,
                tethered: false,
                repo: self.repo.clone(),
                target: self.target.clone(),
                worktrees: worktrees_root(&self.repo, &open.state.policy, &environment),
                inherited: environment,
                lock: open.lock,
            },
            store: open.store,
            state: open.state,
        };
        let state = outward.run(args.restore)?;
        // Where a run was cut short, what it had accepted still counts.
        if !watched && !state.is_landing_stopped() {
            self.repo.unwatch_git().map_err(unfit)?;
        }
        Ok(state.outward())
    }

    /// The record first: if that is all that is done, the next start finds the work on the line, and
    /// counts it as done again.
    fn let_go(&mut self, open: &mut Open) -> Result<(), Failure> {
        let Some(lost) = self.repo.lost(&self.target).map_err(unfit)? else { return Ok(()) };
        self.refuse_shared(&open.state, &lost)?;
        let done = |aid: &Aid| open.state.tasks.values().find(|t| t.completion.as_ref().is_some_and(|c| c.aid == *aid));
        let gone: Vec<TaskId> = lost.landed.iter().filter_map(|(_, aid)| Some(done(aid)?.spec.id.clone())).collect();
        let at = now();
        let facts = decide(&mut open.state, at, &Input::LetGo { tasks: gone.clone(), tip: lost.tip.clone() });
        if !facts.is_empty() {
            open.store.commit(&self.target, &batch(&open.state, at, facts))?;
        }
        let kept = self.repo.let_go(&self.target, &lost).map_err(unfit)?;
        self.let_go = Some(LetGo { kept, tasks: gone });
        Ok(())
    }

    /// What the remote still has would come back with the next look at it.
    fn refuse_shared(&self, state: &State, lost: &Lost) -> Result<(), Failure> {
        let (remote, target) = (&state.policy.merge.push, &self.target);
        let seen = Repo::remote_ref(remote, target);
        let (true, Some(has)) = (state.pushes(), self.repo.tip(&seen).map_err(unfit)?) else { return Ok(()) };
        if self.repo.is_ancestor(&has, &lost.tip).map_err(unfit)? {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            format!(
                "`{remote}` still has what is to be let go, as far as is known, and it would come back from there\n  Take it off there too: git push --force-with-lease {remote} {target}\n  Then have that seen: git fetch {remote} +refs/heads/{target}:{seen}"
            ),
        ))
    }

    fn tell(&self, terminal: &Terminal, outward: &Outward, live: bool) -> CliResult {
        let now = self.repo.branch_tip(&self.target).map_err(unfit)?;
        let landed = match (&self.before, &now) {
            (Some(before), Some(now)) if before != now => self.repo.landed_between(before, now).map_err(unfit)?,
            _ => 0,
        };
        let held = match (&outward.publish, &outward.push) {
            (Publish::Held(why), _) => Some(why.clone()),
            (Publish::Owed, _) => Some("it is still being tried".into()),
            (Publish::Done, Some(Push::Held(why))) => Some(format!("not yet pushed: {why}")),
            (Publish::Done, Some(Push::Owed)) => Some("not yet pushed: it is tried again soon".into()),
            (Publish::Done, None | Some(Push::Done)) => None,
        };
        if terminal.json {
            let let_go = self.let_go.as_ref().map(|l| serde_json::json!({ "kept": l.kept, "tasks": l.tasks }));
            terminal.json(&serde_json::json!({
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "tip": now,
                "published": landed,
                "state": if held.is_none() { "done" } else { "waiting" },
                "why": held,
                "paths": outward.paths,
                "let_go": let_go,
                "live": live,
            }));
        } else {
            terminal.out(&self.words(now.as_ref(), landed, held.as_deref(), outward));
        }
        Ok(if held.is_none() { Exit::Done } else { Exit::Stopped })
    }

    fn words(&self, now: Option<&Oid>, landed: usize, held: Option<&str>, outward: &Outward) -> String {
        let target = &self.target;
        let mut lines = Vec::new();
        if let Some(let_go) = &self.let_go {
            lines.push(format!("Let go of what `{target}` no longer has; it is kept as {}.", let_go.kept.join(" and ")));
            if let Some(first) = let_go.tasks.first() {
                let tasks: Vec<&str> = let_go.tasks.iter().map(TaskId::as_str).collect();
                lines.push(format!(
                    "  With it went the work of {}, which is not done again unasked. To have it done again: drover apply --rerun {first}",
                    tasks.join(", ")
                ));
            }
        }
        let tip = now.map(Oid::short).unwrap_or_default();
        if now != self.before.as_ref() {
            lines.push(format!("Published {tip} to `{target}`, with {} that had landed.", count(landed, "task")));
        }
        let Some(why) = held else {
            if now == self.before.as_ref() {
                lines.push(format!("Nothing to publish: `{target}` has all that has landed."));
            }
            return lines.join("\n");
        };
        lines.push(one_line(why, 1000));
        if !outward.paths.is_empty() {
            lines.extend(outward.paths.iter().take(LISTED).map(|path| format!("  {}", one_line(path, 200))));
            let more = outward.paths.len().saturating_sub(LISTED);
            lines.extend((more > 0).then(|| format!("  and {more} more")));
            lines.push("Commit, stash or move what is in the way, then run `drover publish` again.".into());
        }
        lines.join("\n")
    }
}

fn unfit(error: GitError) -> Failure {
    Failure::unfit(error.to_string())
}
