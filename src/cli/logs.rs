//! `drover logs`: what the commands of an attempt wrote, and on as they write more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, StdoutLock, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::args::{Global, LogPhase, LogsArgs, Select};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::base::{Aid, TaskId, text};
use crate::core::{Fact, Selection, State};
use crate::git::Repo;
use crate::plan::select::Universe;
use crate::process::{self, Changes};
use crate::report::json::FORMAT_VERSION;
use crate::store::{lock, redb};

/// Looked again after this long, should a change have gone unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const PAGE: usize = 10_000;

/// What one command wrote to one of its streams.
struct Log {
    phase: LogPhase,
    label: String,
    stream: &'static str,
    path: PathBuf,
}

pub fn run(global: &Global, terminal: &Terminal, args: &LogsArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let reader = Reader { terminal, repo, target, args };
    let state = reader.state()?;
    let (id, step) = reader.task(&state)?;
    if args.follow {
        return reader.follow(&id, step);
    }
    let aid = reader.attempt(&state, &id)?;
    let logs = reader.logs(&state, &id, &aid, step);
    if terminal.json {
        let logs: Vec<_> = logs.iter().map(json).collect();
        terminal.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "task": id.as_str(), "attempt": aid.as_str(), "logs": logs }));
        return Ok(Exit::Done);
    }
    let mut printer = Printer::new(terminal);
    let _ = logs.iter().all(|log| printer.print(log));
    Ok(Exit::Done)
}

struct Reader<'a> {
    terminal: &'a Terminal,
    repo: Repo,
    target: String,
    args: &'a LogsArgs,
}

impl Reader<'_> {
    fn state(&self) -> Result<State, Failure> {
        let nothing = || Failure::unfit(format!("nothing is recorded for `{}` yet\n  Run `drover apply`.", self.target));
        redb::snapshot(&self.repo.state_dir(), &self.target)?.ok_or_else(nothing)
    }

    /// The task that is meant, and the step of it where a sub-task is.
    fn task(&self, state: &State) -> Result<(TaskId, Option<usize>), Failure> {
        let name = &self.args.task;
        for (id, task) in &state.tasks {
            if id.as_str() == name {
                return Ok((id.clone(), None));
            }
            if let Some(n) = task.spec.steps.iter().position(|s| s.id.as_str() == name) {
                return Ok((id.clone(), Some(n)));
            }
        }
        // No such id: a selector that means one task will do, and the error has the hint.
        let select = Select { select: vec![name.clone()], ..Select::default() };
        match context::selection(&select, &Universe::of_record(state))? {
            Selection::Only(ids) if ids.len() == 1 => Ok((ids.into_iter().next().expect("one"), None)),
            _ => Err(Failure::new(Exit::NoMatch, format!("`{name}` means more than one task\n  Name one: `drover status` lists them."))),
        }
    }

    /// The attempt that is asked for.
    fn attempt(&self, state: &State, id: &TaskId) -> Result<Aid, Failure> {
        let dir = self.repo.state_dir();
        let mut made: BTreeMap<TaskId, Vec<Aid>> = BTreeMap::new();
        let mut after = 0;
        loop {
            let records = redb::read_history(&dir, &self.target, after, PAGE)?;
            let Some(last) = records.last() else { break };
            after = last.seq;
            for record in records {
                match record.fact {
                    Fact::Claimed { task, aid, .. } => made.entry(task).or_default().push(aid),
                    // They are those of the new name now.
                    Fact::Moved { from, spec } => {
                        let moved = made.remove(&from).unwrap_or_default();
                        made.insert(spec.id.clone(), moved);
                    }
                    _ => {}
                }
            }
        }
        let aids = made.remove(id).unwrap_or_default();
        let found = match self.args.attempt {
            Some(n) => n.checked_sub(1).and_then(|i| aids.get(i)).cloned(),
            None => state.last_aid(id).filter(|aid| aids.contains(aid)).cloned().or_else(|| aids.last().cloned()),
        };
        let made = match aids.len() {
            0 => "no attempt at it was made in this repository".to_owned(),
            n => format!("it has had {}", text::count(n, "attempt")),
        };
        found.ok_or_else(|| Failure::new(Exit::NoMatch, format!("there is no such log of `{id}`: {made}")))
    }

    /// What the attempt's commands wrote, in the order in which they were started.
    fn logs(&self, state: &State, id: &TaskId, aid: &Aid, step: Option<usize>) -> Vec<Log> {
        let dir = self.repo.state_dir().join("attempts").join(aid.as_str());
        let mut found: Vec<(SystemTime, PathBuf, LogPhase, String)> = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((phase, label)) = what(state, id, &name, step) else { continue };
            let began = fs::metadata(entry.path().join("started")).and_then(|m| m.modified());
            if self.args.phase.is_none_or(|p| p == phase) {
                found.push((began.unwrap_or(SystemTime::UNIX_EPOCH), entry.path(), phase, label));
            }
        }
        found.sort();
        let streams = |(_, dir, phase, label): (SystemTime, PathBuf, LogPhase, String)| {
            let of = |stream, path: PathBuf| process::pieces(&path).map(move |path| (stream, path)).collect::<Vec<_>>();
            let all = [of("stdout", process::out_log(&dir)), of("stderr", process::err_log(&dir))].concat();
            all.into_iter().map(move |(stream, path)| Log { phase, label: label.clone(), stream, path })
        };
        found.into_iter().flat_map(streams).collect()
    }

    /// Prints on as the task's attempts write, until nobody is at work on it any more.
    fn follow(&self, id: &TaskId, step: Option<usize>) -> CliResult {
        let dir = self.repo.state_dir();
        let mut printer = Printer::new(self.terminal);
        let mut changes = Changes::default();
        loop {
            changes.add(&dir);
            // In this order: what was written before the task came to its end is read after it.
            let at_work = lock::is_held(&dir);
            let state = self.state()?;
            let task = state.tasks.get(id);
            let Some(aid) = task.and_then(|t| t.last_aid.clone()) else {
                if !at_work {
                    return Err(Failure::new(Exit::NoMatch, format!("no attempt at `{id}` was made, and no Drover is at work")));
                }
                changes.wait(LOOK_AGAIN);
                continue;
            };
            let attempt = dir.join("attempts").join(aid.as_str());
            changes.add(&attempt);
            for log in self.logs(&state, id, &aid, step) {
                if let Some(parent) = log.path.parent() {
                    changes.add(parent);
                }
                if !printer.print(&log) {
                    return Ok(Exit::Done);
                }
            }
            let settled = state.view(id).is_none_or(|v| v.is_settled());
            if settled || !at_work {
                return Ok(Exit::Done);
            }
            changes.wait(LOOK_AGAIN);
        }
    }
}

/// What a directory of an attempt holds the logs of, in words; `None` if of nothing asked for.
fn what(state: &State, id: &TaskId, name: &str, step: Option<usize>) -> Option<(LogPhase, String)> {
    let spec = &state.tasks.get(id)?.spec;
    if let Some(n) = name.strip_prefix("agent-").and_then(|n| n.parse::<usize>().ok()) {
        if step.is_some_and(|wanted| wanted != n) {
            return None;
        }
        let of = spec.steps.get(n).map_or(String::new(), |s| format!(" ({})", s.id));
        return Some((LogPhase::Agent, format!("step {} of {}{of}", n + 1, spec.steps.len().max(n + 1))));
    }
    if step.is_some() {
        return None;
    }
    if let Some(n) = name.strip_prefix("setup-") {
        return Some((LogPhase::Setup, format!("setup {n}")));
    }
    let key = name.strip_prefix("check-")?.split(['-', '.']).nth(1)?;
    let mut checks = spec.steps.iter().flat_map(|s| &s.verify).chain(&spec.verify).chain(&state.policy.merge.verify);
    let label = checks.find(|c| c.key() == key).map_or(key.to_owned(), |c| text::one_line(c.label(), 80));
    Some((LogPhase::Verify, format!("verify `{label}`")))
}

fn json(log: &Log) -> serde_json::Value {
    let phase = match log.phase {
        LogPhase::Setup => "setup",
        LogPhase::Agent => "agent",
        LogPhase::Verify => "verify",
    };
    let bytes = fs::metadata(&log.path).map_or(0, |m| m.len());
    serde_json::json!({ "phase": phase, "label": log.label, "stream": log.stream, "path": log.path.to_string_lossy(), "bytes": bytes })
}

/// Writes logs from where it left off, each under a heading when another one was written last.
struct Printer<'a> {
    terminal: &'a Terminal,
    /// By the file itself: a log that is full goes on under another name.
    read: BTreeMap<(u64, Option<SystemTime>), u64>,
    last: Option<(Option<PathBuf>, &'static str)>,
}

impl<'a> Printer<'a> {
    fn new(terminal: &'a Terminal) -> Self {
        Self { terminal, read: BTreeMap::new(), last: None }
    }

    /// False where nobody reads on.
    fn print(&mut self, log: &Log) -> bool {
        let terminal = self.terminal;
        terminal.answer(|out| self.write(log, out))
    }

    fn write(&mut self, log: &Log, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Ok(mut file) = File::open(&log.path) else { return Ok(()) };
        let meta = file.metadata()?;
        let from = self.read.entry((meta.ino(), meta.created().ok())).or_insert(0);
        if meta.len() <= *from {
            return Ok(());
        }
        let own = Some((log.path.parent().map(Path::to_owned), log.stream));
        if self.last != own {
            let gap = if self.last.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}==> {}, {}", log.label, log.stream)?;
            self.last = own;
        }
        file.seek(SeekFrom::Start(*from))?;
        copy(file.take(meta.len() - *from), out)?;
        *from = meta.len();
        Ok(())
    }
}

/// A terminal gets text that it cannot obey; a pipe or file what was written, byte for byte.
fn copy(from: impl Read, out: &mut StdoutLock<'_>) -> io::Result<()> {
    if !out.is_terminal() {
        return io::copy(&mut BufReader::new(from), out).map(drop);
    }
    let mut from = BufReader::new(from);
    loop {
        let mut piece = Vec::new();
        if from.by_ref().take(64 * 1024).read_until(b'\n', &mut piece)? == 0 {
            return Ok(());
        }
        out.write_all(text::block(&String::from_utf8_lossy(&piece)).as_bytes())?;
    }
}
