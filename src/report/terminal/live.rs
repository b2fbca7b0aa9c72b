//! The block at the end of a terminal: a line for each task under way, and one for the whole.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::Heard;
use crate::base::text::one_line;
use crate::base::{Millis, TaskId, format_duration};
use crate::core::view::Status;
use crate::core::{State, Task, Usage};
use crate::report::{Activity, words};

/// From the beginning of the line to the end of the screen.
pub const CLEAR: &str = "\r\u{1b}[J";
/// No more lines than that: the rest is counted.
const MOST: usize = 12;

#[derive(Default)]
pub struct Live {
    heard: BTreeMap<TaskId, Heard>,
}

impl Live {
    pub fn hear(&mut self, activity: &Activity) {
        self.heard.insert(activity.task.clone(), activity.heard.clone());
    }

    /// Its lines, none longer than `columns`. Nothing where nothing is under way.
    pub fn block(&mut self, state: &State, at: Millis, began: Millis, columns: usize) -> Vec<String> {
        let at_work: Vec<(&TaskId, &Task)> = state.active().map(|(task, _)| (&task.spec.id, task)).collect();
        self.heard.retain(|id, _| at_work.iter().any(|(active, _)| *active == id));
        if at_work.is_empty() || state.head.run.as_ref().is_none_or(|run| run.ended) {
            return Vec::new();
        }
        let wide = at_work.iter().map(|(id, _)| id.as_str().len()).max().unwrap_or(0).min(super::WIDEST);
        let mut lines: Vec<String> = at_work.iter().take(MOST).map(|(id, task)| self.line(state, at, id, task, wide)).collect();
        if at_work.len() > MOST {
            lines.push(format!("and {} more", at_work.len() - MOST));
        }
        lines.push(self.whole(state, at, began, at_work.len()));
        lines.iter().map(|line| format!("  {}", one_line(line, columns.saturating_sub(3).max(20)))).collect()
    }

    fn line(&self, state: &State, at: Millis, id: &TaskId, task: &Task, wide: usize) -> String {
        let Some(attempt) = task.attempt() else { return String::new() };
        let phase = state.view(id).and_then(|view| view.phase).unwrap_or("waits");
        let heard = self.heard.get(id);
        let used = used(&heard.map_or(task.usage, |heard| heard.usage));
        let elapsed = format_duration(at.since(attempt.started));
        let doing = heard.map(|heard| heard.doing.as_str()).filter(|_| phase == "agent").unwrap_or_default();
        let again = if attempt.no > 1 { format!("  attempt {}", attempt.no) } else { String::new() };
        format!("{:<wide$}  {phase:<6}  {elapsed:>6}{again}{used}  {doing}", id.as_str()).trim_end().to_owned()
    }

    fn whole(&self, state: &State, at: Millis, began: Millis, at_work: usize) -> String {
        let status = |id: &TaskId| state.view(id).map(|view| view.status);
        let selected: Vec<Status> = state.tasks.keys().filter(|id| state.selection.holds(id)).filter_map(status).collect();
        let done = selected.iter().filter(|s| **s == Status::Completed).count();
        let landings = state.tasks.values().filter_map(|t| Some(t.completion.as_ref()?.at)).filter(|landed| *landed >= began);
        let (landed, last) = landings.fold((0, began), |(n, last), at| (n + 1, last.max(at)));
        let left = selected.iter().filter(|s| matches!(s, Status::Ready | Status::Claimed | Status::InProgress | Status::Blocked)).count();
        let mut used_here = state.head.run.as_ref().map(|run| run.usage).unwrap_or_default();
        // What has ended is counted already.
        let speaks = |id: &&TaskId| state.view(id).is_some_and(|view| view.phase == Some("agent"));
        self.heard.iter().filter(|(id, _)| speaks(id)).for_each(|(_, heard)| used_here += heard.usage);
        let left = estimate(last.since(began), at.since(last), landed, left);
        let left = left.map(|left| format!(", about {} left", format_duration(left))).unwrap_or_default();
        format!("{at_work} under way, {done} of {} completed{}{left}", selected.len(), used(&used_here))
    }
}

/// As many tasks as are left take as long as those did that landed in this run, of which `since` has
/// gone by. Nothing once that is over: nobody knows then.
fn estimate(took: Duration, since: Duration, landed: u32, left: usize) -> Option<Duration> {
    let each = took.checked_div(landed)?;
    each.checked_mul(u32::try_from(left).ok()?)?.checked_sub(since).filter(|left| !left.is_zero())
}

fn used(usage: &Usage) -> String {
    words::usage(usage).map(|words| format!("  {words}")).unwrap_or_default()
}

/// Lines, and the cursor back where the first one begins.
pub fn parked(lines: &[String]) -> String {
    match lines.len() {
        0 => String::new(),
        1 => format!("{}\r", lines[0]),
        n => format!("{}\r\u{1b}[{}A", lines.join("\n"), n - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_gets_less_while_time_goes_by() {
        let seconds = Duration::from_secs;
        let at = |since| estimate(seconds(20), seconds(since), 2, 3);
        assert_eq!((at(0), at(4)), (Some(seconds(30)), Some(seconds(26))));
        assert_eq!((at(30), at(99)), (None, None), "longer than thought");
        assert_eq!(estimate(seconds(0), seconds(5), 0, 3), None, "nothing has landed yet");
    }
}
