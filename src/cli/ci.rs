//! The CI that Drover runs in, as its environment says: whose runner it is, where it wants to be
//! told things, and whether what is built is a stranger's.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::args::{CiName, Conduct, Global};
use super::context::environment;
use super::exit::Failure;
use crate::base::text::one_line;
use crate::report::ci::{self, Ci};

/// The most that is written to a summary: the runner drops one that is larger than 1 MiB.
const MOST: usize = 900 << 10;

pub fn variable(name: &str) -> Option<String> {
    environment().into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value == "true")
}

/// As told, or as found.
pub fn of(global: &Global) -> Option<Ci> {
    match global.ci {
        Some(CiName::Github) => Some(Ci::Github),
        Some(CiName::Gitlab) => Some(Ci::Gitlab),
        Some(CiName::None) => None,
        None if is_on("GITHUB_ACTIONS") => Some(Ci::Github),
        None if is_on("GITLAB_CI") => Some(Ci::Gitlab),
        None => None,
    }
}

/// What leads from the directory that the runner works in to the project: empty, or with a slash at its end.
pub fn prefix(root: &Path) -> String {
    let workspace = variable("GITHUB_WORKSPACE").and_then(|dir| PathBuf::from(dir).canonicalize().ok());
    let inside = workspace.and_then(|dir| Some(root.strip_prefix(dir).ok()?.display().to_string()));
    inside.filter(|path| !path.is_empty()).map(|path| format!("{path}/")).unwrap_or_default()
}

/// Adds to one of the runner's files, if it has named it. The error says why that could not be.
pub fn append(variable_name: &str, text: impl FnOnce(usize) -> String) -> Result<(), String> {
    let Some(file) = variable(variable_name) else { return Ok(()) };
    let there = fs::metadata(&file).map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
    let mut out = OpenOptions::new().create(true).append(true).open(&file).map_err(|e| format!("{variable_name}: {e}"))?;
    out.write_all(text(MOST.saturating_sub(there)).as_bytes()).map_err(|e| format!("{variable_name}: {e}"))
}

/// Has the runner hide secrets. They are said to nobody but a runner: standard error must be the very pipe
/// that the shell of the step has, for another one may lead into a file that is kept.
pub fn masks(secrets: &[String]) -> Option<String> {
    let is_pipe = fs::metadata("/proc/self/fd/2").is_ok_and(|m| m.file_type().is_fifo());
    let parent = rustix::process::getppid().map(|pid| format!("/proc/{}/fd/2", pid.as_raw_nonzero()));
    let same = |theirs: &str| {
        let id = |path: &str| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        id(theirs).is_some() && id(theirs) == id("/proc/self/fd/2")
    };
    let straight = is_on("GITHUB_ACTIONS") && is_pipe && parent.is_some_and(|parent| same(&parent));
    (straight && !secrets.is_empty()).then(|| secrets.iter().map(|secret| ci::mask(secret)).collect())
}

/// Task files are code: agents do what they say, with what the job may do. Those of a stranger are run only
/// where somebody says so.
pub fn refuse_untrusted(conduct: &Conduct) -> Result<(), Failure> {
    let Some(why) = untrusted(&environment().into_iter().collect()).filter(|_| !conduct.trust) else { return Ok(()) };
    Err(Failure::unfit(format!(
        "{why}: its task files are a stranger's code, and agents would carry them out with all that this job may do\n  \
         Read them first. `drover validate` and `drover plan` run nothing. To run them all the same, say `--trust`."
    )))
}

fn untrusted(env: &BTreeMap<String, String>) -> Option<String> {
    let of = |name: &str| env.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if of("GITHUB_ACTIONS") == Some("true") {
        return untrusted_event(of("GITHUB_EVENT_NAME")?, of("GITHUB_EVENT_PATH"));
    }
    let source = of("CI_MERGE_REQUEST_SOURCE_PROJECT_ID").filter(|_| of("GITLAB_CI") == Some("true"))?;
    let foreign = of("CI_PROJECT_ID") != Some(source);
    foreign.then(|| "this is a merge request of another project".to_owned())
}

/// Events by which somebody outside can have a workflow run on what they wrote.
fn untrusted_event(name: &str, payload: Option<&str>) -> Option<String> {
    let shown = one_line(name, 60);
    let payload: Option<Value> = payload.and_then(|file| serde_json::from_slice(&fs::read(file).ok()?).ok());
    let unread = || Some(format!("this is `{shown}`, and where it is from cannot be read from GITHUB_EVENT_PATH"));
    let head = match name {
        "pull_request_target" => return Some("this is `pull_request_target`, which runs with the secrets of the repository".into()),
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => "/pull_request/head/repo",
        "workflow_run" => "/workflow_run/head_repository",
        "issue_comment" => {
            let Some(event) = payload else { return unread() };
            let on_pull = event.pointer("/issue/pull_request").is_some();
            return on_pull.then(|| "this is a comment on a pull request, which anybody may write".into());
        }
        _ => return None,
    };
    let Some(event) = payload else { return unread() };
    let full = |at: &str| event.pointer(&format!("{at}/full_name")).and_then(Value::as_str);
    let own = full(head).is_some() && full(head) == full("/repository");
    let fork = event.pointer(&format!("{head}/fork")).and_then(Value::as_bool) == Some(true);
    // A repository that is itself a fork of another has pull requests of its own.
    let whole = event.pointer("/repository/fork").and_then(Value::as_bool) == Some(true);
    (!own || fork && !whole).then(|| format!("this is `{shown}` of a fork"))
}
