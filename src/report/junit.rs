//! How a run went, as a JUnit report: a suite an epic, a case a task.
//!
//! An attempt that failed before the one that succeeded is a flaky failure: readers of such reports
//! count the task as passed, and show what went wrong. What was not done is skipped, with its reason.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::account::{Account, Course, Failed};
use super::text::last_lines;
use super::words;
use crate::base::Millis;
use crate::base::text::one_line;
use crate::core::view::{Status, TaskView};
use crate::core::{Failure, State};
use crate::model::Spec;

/// The most lines of a message, and of the end of a log.
const LINES: usize = 40;
/// So many of the attempts that failed before the last one are told of.
const ATTEMPTS: usize = 20;
/// The longest text in an attribute, in characters.
const NAME: usize = 400;

/// Over the tasks that the run was to do. The error says why it cannot be written down.
pub fn junit(state: &State, account: &Account, now: Millis) -> Result<String, String> {
    let project = fit(&one_line(&state.policy.project, NAME));
    let mut suites: BTreeMap<String, Vec<TestCase>> = BTreeMap::new();
    for view in state.views().iter().filter(|v| state.selection.holds(&v.id)) {
        let Some(task) = state.tasks.get(&view.id) else { continue };
        let suite = task.spec.epic.as_ref().map_or_else(|| project.clone(), |epic| epic.to_string());
        let case = case(view, &task.spec, &suite, task.last_failure.as_ref(), account.of(&view.id), now);
        suites.entry(suite).or_default().push(case);
    }
    let mut report = Report::new(project);
    if let Some(run) = &state.head.run {
        report.set_time(now.since(run.began));
    }
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name);
        suite.set_time(cases.iter().filter_map(|case| case.time).sum()).add_test_cases(cases);
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|e| e.to_string())
}

fn case(view: &TaskView, spec: &Spec, suite: &str, last: Option<&Failure>, course: Option<&Course>, now: Millis) -> TestCase {
    let failed = course.map(|c| c.failed.as_slice()).unwrap_or_default();
    let mut out = None;
    let status = match view.status {
        Status::Completed => with_reruns(TestCaseStatus::success(), failed),
        Status::Failed => {
            // The last failure is the case's own, whether it is of this run or of an earlier one.
            let before = &failed[..failed.len().saturating_sub(1)];
            let mut status = with_reruns(TestCaseStatus::non_success(NonSuccessKind::Failure), before);
            if let Some(failure) = last {
                status.set_type(failure.class.name()).set_message(first_line(failure)).set_description(message(failure));
                out = Some(tail(failure)).filter(|tail| !tail.is_empty());
            }
            status
        }
        _ => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why_not(view, now));
            status
        }
    };
    let file = fit(&one_line(&spec.source.file, NAME));
    let mut case = TestCase::new(view.id.as_str(), status);
    case.set_classname(suite).set_time(course.map(|c| c.took).unwrap_or_default());
    case.add_property(("title", fit(&one_line(&view.title, NAME)).as_str()));
    if let Some(out) = out {
        case.set_system_out(out);
    }
    // Where readers look for the place of a case.
    case.extra.insert("file".into(), file.into());
    case.extra.insert("line".into(), spec.source.line.to_string().into());
    case
}

/// Without the last characters that XML has no way to write, beside those that were taken out already.
fn fit(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "")
}

/// Its status and the reason for it.
fn why_not(view: &TaskView, now: Millis) -> String {
    let reason = view.reason.as_ref().map(|reason| format!(": {}", words::reason(reason, now)));
    fit(&one_line(&format!("{}{}", words::status(view), reason.unwrap_or_default()), NAME))
}

/// The attempts that failed before the last one: of a success they are the flaky ones.
fn with_reruns(mut status: TestCaseStatus, failed: &[Failed]) -> TestCaseStatus {
    status.add_reruns(failed[failed.len().saturating_sub(ATTEMPTS)..].iter().map(rerun));
    status
}

fn rerun(failed: &Failed) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_type(failed.failure.class.name()).set_message(first_line(&failed.failure)).set_description(message(&failed.failure));
    rerun.set_time(failed.took).set_system_out(tail(&failed.failure));
    rerun
}

fn first_line(failure: &Failure) -> String {
    let first = failure.message.lines().next().unwrap_or_default();
    fit(&format!("{}: {}", words::failure(failure.class), one_line(first, NAME)))
}

fn message(failure: &Failure) -> String {
    fit(&last_lines(&failure.message, LINES).join("\n"))
}

fn tail(failure: &Failure) -> String {
    fit(&last_lines(&failure.tail, LINES).join("\n"))
}
