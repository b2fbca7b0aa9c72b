//! `drover diff`: what an attempt at a task changed. Reads git and the journal, waits for nobody.

use std::io::{IsTerminal, Write};

use super::args::{DiffArgs, Global};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::base::text::{did_you_mean, one_line, visible};
use crate::base::{Aid, Oid, TaskId};
use crate::core::{Fact, State};
use crate::git::{FileChange, GitError, Repo};
use crate::report;
use crate::store::redb;

/// What is compared.
struct Compared {
    attempt: u32,
    aid: Aid,
    from: Oid,
    to: Oid,
}

pub fn run(global: &Global, terminal: &Terminal, args: &DiffArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let state = redb::snapshot(&repo.state_dir(), &target)?.unwrap_or_default();
    let task = TaskId::parse(&args.task).map_err(|why| Failure::new(Exit::Usage, format!("`{}`: {why}", one_line(&args.task, 80))))?;
    let attempts = attempts(&repo, &target, &task, &state)?;
    if attempts.is_empty() && !state.tasks.contains_key(&task) {
        let near = did_you_mean(task.as_str(), state.tasks.keys().map(TaskId::as_str));
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        return Err(Failure::new(Exit::NoMatch, format!("`{task}` matches no task{hint}")));
    }
    let compared = compared(&repo, &state, &task, &attempts, args.attempt)?;
    show(terminal, &repo, &task, &compared, args.stat).map_err(|e| Failure::unfit(e.to_string()))
}

/// Every attempt ever made at the task: its number, its id, its base.
fn attempts(repo: &Repo, target: &str, task: &TaskId, state: &State) -> Result<Vec<(u32, Aid, Oid)>, Failure> {
    let claimed = redb::pick_history(&repo.state_dir(), target, |record| match record.fact {
        Fact::Claimed { task: of, aid, base } if of == *task => Some((aid, base)),
        _ => None,
    })?;
    // A task that was dropped and came back counts from 1 again: numbers go back from the newest.
    let made = state.tasks.get(task).map_or(claimed.len(), |t| t.attempts as usize);
    let first = claimed.len().saturating_sub(made);
    let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    Ok(claimed.into_iter().skip(first).enumerate().map(|(n, (aid, base))| (number(n), aid, base)).collect())
}

fn compared(repo: &Repo, state: &State, task: &TaskId, attempts: &[(u32, Aid, Oid)], asked: Option<u32>) -> Result<Compared, Failure> {
    let unfit = |e: GitError| Failure::unfit(e.to_string());
    if let Some(no) = asked.filter(|no| !attempts.iter().any(|(n, _, _)| n == no)) {
        let there = match attempts.len() {
            0 => "no attempt at it is on record".into(),
            n => format!("it has attempts 1 to {n}"),
        };
        return Err(Failure::new(Exit::NoMatch, format!("`{task}` has no attempt {no}: {there}")));
    }
    for (attempt, aid, from) in attempts.iter().rev().filter(|(n, _, _)| asked.is_none_or(|no| no == *n)) {
        if let Some(to) = repo.left_by(aid.as_str()).map_err(unfit)? {
            return Ok(Compared { attempt: *attempt, aid: aid.clone(), from: from.clone(), to });
        }
    }
    // Found in history, or its refs are gone: what landed is what it changed.
    let landed = state.tasks.get(task).and_then(|t| t.completion.as_ref());
    if let Some((completion, commit)) = landed.and_then(|c| Some((c, c.commit.clone()?)))
        && asked.is_none_or(|no| attempts.iter().any(|(n, aid, _)| *n == no && *aid == completion.aid))
        && let Some(from) = repo.parents(&commit).map_err(unfit)?.into_iter().next()
    {
        let attempt = attempts.iter().find(|(_, aid, _)| *aid == completion.aid).map_or(1, |(n, _, _)| *n);
        return Ok(Compared { attempt, aid: completion.aid.clone(), from, to: commit });
    }
    let which = asked.map(|no| format!("attempt {no} at ")).unwrap_or_default();
    Err(Failure::new(Exit::NoMatch, format!("{which}`{task}` has left nothing in git yet")))
}

fn show(terminal: &Terminal, repo: &Repo, task: &TaskId, what: &Compared, stat: bool) -> Result<Exit, GitError> {
    let Compared { attempt, aid, from, to } = what;
    if terminal.json {
        let files = repo.file_changes(from, to)?;
        let patch = if stat { None } else { Some(repo.patch(from, to)?) };
        terminal.json(&serde_json::json!({
            "format_version": report::json::FORMAT_VERSION,
            "task": task.as_str(), "attempt": attempt, "attempt_id": aid.as_str(), "base": from.as_str(), "commit": to.as_str(),
            "files": files.iter().map(|f| serde_json::json!({ "path": f.path, "added": f.added, "removed": f.removed })).collect::<Vec<_>>(),
            "patch": patch.map(|p| String::from_utf8_lossy(&p).into_owned()),
        }));
        return Ok(Exit::Done);
    }
    terminal.note(&format!("{task}, attempt {attempt}: {} against its base {}", to.short(), from.short()));
    if stat {
        terminal.out(&stat_text(&repo.file_changes(from, to)?));
        return Ok(Exit::Done);
    }
    let patch = repo.patch(from, to)?;
    if terminal.color_out || std::io::stdout().is_terminal() {
        terminal.out(&painted(&visible(&String::from_utf8_lossy(&patch)), terminal.color_out));
    } else {
        // To a file or another program, byte for byte: a patch that can be applied.
        terminal.answer(|out| out.write_all(&patch));
    }
    Ok(Exit::Done)
}

fn stat_text(files: &[FileChange]) -> String {
    let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let lines: Vec<String> = files
        .iter()
        .map(|f| {
            format!(
                "{:>7} {:>7}  {}\n",
                format!("+{}", number(f.added)),
                format!("-{}", number(f.removed)),
                visible(&f.path).replace('\n', "<U+000A>")
            )
        })
        .collect();
    let sum = |of: fn(&FileChange) -> Option<u64>| files.iter().filter_map(of).sum::<u64>();
    format!("{}{}, +{} -{}", lines.concat(), crate::base::text::count(files.len(), "file"), sum(|f| f.added), sum(|f| f.removed))
}

fn painted(patch: &str, color: bool) -> String {
    if !color {
        return patch.to_owned();
    }
    let paint = |line: &str| {
        let code = match line.as_bytes().first() {
            _ if line.starts_with("+++") || line.starts_with("---") || line.starts_with("diff ") => "1",
            Some(b'+') => "32",
            Some(b'-') => "31",
            Some(b'@') => "36",
            _ => return format!("{line}\n"),
        };
        format!("\u{1b}[{code}m{line}\u{1b}[0m\n")
    };
    patch.lines().map(paint).collect()
}
