//! Verbs by which a person acts on tasks: `approve`, `reject`, `retry`, `reset`, `cancel`, `suspend`,
//! `unsuspend`, `mark`; and on the whole: `workers`.

use std::path::Path;
use std::time::Duration;

use super::apply;
use super::args::{ApproveArgs, Global, HintArgs, MarkArgs, Marked, OrderArgs, RejectArgs, ResetArgs, SuspendArgs, WorkersArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::base::text::{block, one_line};
use crate::control::{self, Answered, Ask, Reply, Request};
use crate::core::{Act, Heed, Mark, Wish};
use crate::engine::driver::now;
use crate::engine::orphans;
use crate::git::Repo;
use crate::report;
use crate::store::lock::{self, ActiveLock, LockError};
use crate::store::{batch, redb};

/// Between two tries to reach the Drover at work.
const PAUSE: Duration = Duration::from_millis(50);
/// So long a Drover that was stopped may take to go on.
const STOPPED: Duration = Duration::from_secs(2);
/// The most of a reason that is kept, in characters.
const MAX_REASON: usize = 4000;

pub fn approve(global: &Global, terminal: &Terminal, args: &ApproveArgs) -> CliResult {
    one_attempt(&args.tasks, args.attempt)?;
    carry_out(global, terminal, Asking::of(&args.tasks, Act::Approve { attempt: args.attempt }))
}

pub fn reject(global: &Global, terminal: &Terminal, args: &RejectArgs) -> CliResult {
    one_attempt(&args.tasks, args.attempt)?;
    let reason = block(args.reason.trim()).chars().take(MAX_REASON).collect();
    carry_out(global, terminal, Asking::of(&args.tasks, Act::Reject { attempt: args.attempt, reason }))
}

pub fn retry(global: &Global, terminal: &Terminal, args: &OrderArgs) -> CliResult {
    carry_out(global, terminal, Asking::of(&args.tasks, Act::Retry))
}

pub fn reset(global: &Global, terminal: &Terminal, args: &ResetArgs) -> CliResult {
    let asking = Asking::of(&args.tasks, Act::Reset { failed: args.failed });
    carry_out(global, terminal, Asking { rehearse: args.dry_run, allow_reruns: args.allow_reruns, ..asking })
}

pub fn cancel(global: &Global, terminal: &Terminal, args: &OrderArgs) -> CliResult {
    carry_out(global, terminal, Asking::of(&args.tasks, Act::Cancel))
}

pub fn suspend(global: &Global, terminal: &Terminal, args: &SuspendArgs) -> CliResult {
    match args.all {
        true => carry_out(global, terminal, Asking::whole(Wish::Suspend)),
        false => carry_out(global, terminal, Asking::of(&args.tasks, Act::Suspend)),
    }
}

pub fn unsuspend(global: &Global, terminal: &Terminal, args: &SuspendArgs) -> CliResult {
    match args.all {
        true => carry_out(global, terminal, Asking::whole(Wish::Unsuspend)),
        false => carry_out(global, terminal, Asking::of(&args.tasks, Act::Unsuspend)),
    }
}

pub fn mark(global: &Global, terminal: &Terminal, args: &MarkArgs) -> CliResult {
    let reason: String = block(args.reason.trim()).chars().take(MAX_REASON).collect();
    if reason.is_empty() {
        return Err(Failure::new(Exit::Usage, "--reason says nothing: say why, for whoever looks at it later"));
    }
    let asking = Asking::of(&args.tasks, Act::Mark(Mark { completed: args.state == Marked::Completed, reason }));
    carry_out(global, terminal, Asking { allow_reruns: args.allow_reruns, ..asking })
}

pub fn workers(global: &Global, terminal: &Terminal, args: &WorkersArgs) -> CliResult {
    carry_out(global, terminal, Asking::whole(Wish::Workers { workers: args.workers }))
}

/// A request, but for the target.
struct Asking<'a> {
    select: &'a [String],
    act: Ask,
    rehearse: bool,
    allow_reruns: bool,
}

impl<'a> Asking<'a> {
    fn of(select: &'a [String], act: Act) -> Self {
        Self { select, act: Ask::Of(act), rehearse: false, allow_reruns: false }
    }
    fn whole(wish: Wish) -> Self {
        Self { select: &[], act: Ask::Whole { wish }, rehearse: false, allow_reruns: false }
    }
}

pub fn hint(global: &Global, terminal: &Terminal, args: &HintArgs) -> CliResult {
    let act = match &args.text {
        Some(text) if !args.clear => Act::Hint { text: block(text.trim()) },
        _ => Act::Unhint,
    };
    carry_out(global, terminal, Asking::of(std::slice::from_ref(&args.task), act))
}

/// Attempts of different tasks have nothing to do with each other.
fn one_attempt(tasks: &[String], attempt: Option<u32>) -> Result<(), Failure> {
    match attempt {
        Some(_) if tasks.len() > 1 => Err(Failure::new(Exit::Usage, "--attempt goes with one task")),
        _ => Ok(()),
    }
}

/// Lets the Drover that is at work carry it out; where none is, does so itself under the lock. One
/// that is just starting or ending is waited for.
fn carry_out(global: &Global, terminal: &Terminal, asking: Asking) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let dir = repo.state_dir();
    if redb::snapshot(&dir, &target)?.is_none() {
        return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply`.")));
    }
    let Asking { select, act, rehearse, allow_reruns } = asking;
    let request = Request { version: control::VERSION, target, select: select.to_vec(), act, rehearse, allow_reruns };
    match reach(&dir, &request)? {
        Reached::Nobody(lock) => answer(terminal, &request, alone(&repo, &request, lock)?),
        Reached::Drover(reply) => answer(terminal, &request, reply),
    }
}

/// Who carries a request out.
pub enum Reached {
    /// No Drover is at work, and as long as this lock is held none will be.
    Nobody(ActiveLock),
    /// One is, and said this.
    Drover(Reply),
}

pub fn reach(dir: &Path, request: &Request) -> Result<Reached, Failure> {
    let mut left = apply::LOCK_WAIT;
    loop {
        let holder = match lock::acquire(dir, Duration::ZERO) {
            Ok(lock) => return Ok(Reached::Nobody(lock)),
            Err(held @ LockError::Held { .. }) => held.to_string(),
            Err(error) => return Err(Failure::unfit(error.to_string())),
        };
        // Whoever is stopped would carry out later what nobody waits for any more: it is asked nothing.
        if let Some(pid) = lock::stopped_holder(dir) {
            if left + STOPPED <= apply::LOCK_WAIT {
                let go_on = lock::go_on(pid);
                let message =
                    format!("the Drover at work here, process {pid}, is stopped and does not answer\n  {go_on}; then say it again.");
                return Err(Failure::new(Exit::InUse, message));
            }
            std::thread::sleep(PAUSE);
            left -= PAUSE.min(left);
            continue;
        }
        let asked = control::ask(dir, request, &|| lock::stopped_holder(dir).is_some());
        if let Some(reply) = asked.map_err(|e| silent(dir, &e, &holder))? {
            return Ok(Reached::Drover(reply));
        }
        if left.is_zero() {
            return Err(Failure::new(Exit::InUse, holder));
        }
        let pause = PAUSE.min(left);
        std::thread::sleep(pause);
        left -= pause;
    }
}

/// Why a Drover that was asked does not answer, as far as that is known.
fn silent(dir: &Path, error: &std::io::Error, holder: &str) -> Failure {
    let go_on =
        lock::stopped_holder(dir).map(|pid| format!("\n  It is stopped: {}, and it does then what it was asked.", lock::go_on(pid)));
    Failure::new(Exit::InUse, format!("{error}: {holder}{}", go_on.unwrap_or_default()))
}

/// No Drover is at work: the same decision on the same record.
fn alone(repo: &Repo, request: &Request, lock: ActiveLock) -> Result<Reply, Failure> {
    let mut open = apply::open_with(repo, &request.target, lock)?;
    let at = now();
    let (facts, reply) = control::carry_out(&mut open.state, at, request, false);
    if !facts.is_empty() {
        open.store.commit(&request.target, &batch(&open.state, at, facts))?;
        // What outlived a Drover that was killed. The next one sees to the rest.
        let ending = open.state.active().filter(|(_, a)| a.is_ending());
        ending.for_each(|(_, a)| orphans::interrupt(&repo.state_dir(), &a.aid));
    }
    Ok(reply)
}

fn answer(terminal: &Terminal, request: &Request, reply: Reply) -> CliResult {
    match reply {
        Reply::Orders { orders, live } => Ok(told(terminal, request, &orders, live)),
        Reply::Whole { heed, live } => Ok(told_whole(terminal, &heed, live)),
        Reply::Guarded { why, flag } => Err(Failure::new(Exit::Refused, format!("{why}\n  If that is meant, say {flag}."))),
        Reply::NoMatch { why } => Err(Failure::new(Exit::NoMatch, why)),
        Reply::Misread { why } => Err(Failure::new(Exit::Usage, why)),
        Reply::Busy { why } => Err(Failure::new(Exit::InUse, why)),
        Reply::Refused { why } => Err(Failure::new(Exit::Refused, why)),
        Reply::Outward { .. } | Reply::Files { .. } => Err(Failure::internal("the Drover at work answered what was not asked")),
    }
}

fn told_whole(terminal: &Terminal, heed: &Heed, live: bool) -> Exit {
    if terminal.json {
        let mut document = serde_json::to_value(heed).unwrap_or_default();
        document["format_version"] = report::json::FORMAT_VERSION.into();
        document["live"] = live.into();
        terminal.json(&document);
    }
    match heed {
        Heed::Done(said) if !terminal.json => terminal.out(said),
        Heed::Unchanged(said) if !terminal.json => terminal.out(&format!("{said}; nothing changed")),
        Heed::Refused(said) if !terminal.json => terminal.error(said),
        _ => {}
    }
    if matches!(heed, Heed::Refused(_)) { Exit::Refused } else { Exit::Done }
}

fn told(terminal: &Terminal, request: &Request, orders: &[Answered], live: bool) -> Exit {
    if terminal.json {
        terminal.json(&serde_json::json!({ "format_version": report::json::FORMAT_VERSION, "orders": orders, "live": live, "dry_run": request.rehearse }));
    }
    for Answered { task, heed } in orders.iter().filter(|_| !terminal.json) {
        match heed {
            Heed::Done(said) if request.rehearse => terminal.out(&format!("{task}: would be {}", one_line(said, 400))),
            Heed::Done(said) => terminal.out(&format!("{task}: {}", one_line(said, 400))),
            Heed::Unchanged(said) => terminal.out(&format!("{task}: {}; nothing changed", one_line(said, 400))),
            Heed::Refused(said) => terminal.error(&format!("{task} {}", one_line(said, 400))),
        }
    }
    let at_once = matches!(request.act, Ask::Of(Act::Cancel | Act::Suspend | Act::Mark(Mark { completed: true, .. })));
    let later = !at_once && !request.rehearse;
    if !live && later && orders.iter().any(|o| matches!(o.heed, Heed::Done(_))) {
        terminal.note("No Drover is at work: it counts from the next `drover apply` or `drover run` on.");
    }
    let refused = orders.iter().any(|o| matches!(o.heed, Heed::Refused(_)));
    if refused { Exit::Refused } else { Exit::Done }
}
