//! Brings a letter to a command, under a shim as all commands are: nothing of it outlives its time,
//! nor Drover. One that was cut short is run again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::carrier::{Carrier, Outcome};
use super::letter::Letter;
use crate::base::format_duration;
use crate::base::text::one_line;
use crate::process::{self, Completion, Ended, ExitRecord, Launch, Logs, Probe};

/// What is kept of its output while it runs.
const MAX_LOG: u64 = 1 << 20;
/// The longest that a notification may take.
const DESKTOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is run of a letter.
pub enum Form {
    /// The project's own: the letter on standard input, the gist of it in variables.
    Own(Vec<String>),
    /// A program that shows it on the desktop, by this name.
    Desktop(&'static str),
}

pub struct Command {
    pub form: Form,
    pub name: String,
    /// Each run has a directory of its own in it.
    pub dir: PathBuf,
    pub cwd: PathBuf,
    pub env: BTreeMap<String, String>,
    pub timeout: Duration,
    pub grace: Duration,
    pub logs: Logs,
    /// Where the one runs that is under way.
    pub under_way: Mutex<Option<PathBuf>>,
}

impl Command {
    /// Shows what is told on the desktop. Its program needs what the session's own environment says.
    pub fn desktop(program: &'static str, dir: PathBuf, cwd: PathBuf, env: BTreeMap<String, String>) -> Self {
        let (form, name) = (Form::Desktop(program), format!("desktop, by {program}"));
        let (timeout, grace, logs) = (DESKTOP_TIMEOUT, Duration::from_secs(1), Logs::default());
        Self { form, name, dir, cwd, env, timeout, grace, logs, under_way: Mutex::default() }
    }

    fn launch(&self, letter: &Letter) -> Launch {
        let (argv, stdin) = match &self.form {
            Form::Own(argv) => (argv.clone(), Some(letter.body.to_string().into_bytes())),
            Form::Desktop(program) => (shown(program, letter), None),
        };
        let mut env = self.env.clone();
        env.insert("DROVER_EVENT".into(), letter.event.clone());
        env.insert("DROVER_DELIVERY".into(), letter.id.clone());
        env.insert("DROVER_TEXT".into(), letter.text.clone());
        env.extend(letter.task.as_ref().map(|task| ("DROVER_TASK".to_owned(), task.to_string())));
        Launch {
            aid: format!("event-{}", letter.id),
            argv,
            cwd: self.cwd.clone(),
            env,
            stdin,
            timeout: self.timeout,
            stall_timeout: None,
            grace: self.grace,
            tethered: true,
            logs: Logs { max_size: self.logs.max_size.min(MAX_LOG), ..self.logs.clone() },
        }
    }

    fn judged(&self, done: std::io::Result<Completion>, dir: &Path) -> Outcome {
        let again = |why: &str| Outcome::Failed { why: why.to_owned(), wait: Duration::ZERO };
        let ended = match done {
            Ok(Completion::Finished(record)) => record.ended,
            Ok(Completion::Lost) => return again("it was killed together with its shim"),
            Err(error) => return again(&error.to_string()),
        };
        let how = match ended {
            Ended::Exited { code: 0 } => return Outcome::Taken,
            Ended::Interrupted => return again("it was interrupted"),
            Ended::Exited { code } => format!("it exited with {code}"),
            Ended::Signaled { signal } => format!("it was ended by signal {signal}"),
            Ended::TimedOut | Ended::Stalled => format!("it was ended after {}", format_duration(self.timeout)),
            Ended::NotStarted { why } => why,
        };
        let said = process::stderr_tail(dir, 1);
        let said = if said.trim().is_empty() { String::new() } else { format!(": {}", one_line(&said, 160)) };
        Outcome::Refused(format!("{}{said}", one_line(&how, 200)))
    }

    fn set_under_way(&self, dir: Option<PathBuf>) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = dir;
    }
}

impl Carrier for Command {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn deliver(&self, letter: &Letter) -> Outcome {
        let dir = self.dir.join(&letter.id);
        self.set_under_way(Some(dir.clone()));
        // What an earlier Drover had ended, or lost, has not run; what is just ending is waited for.
        if matches!(process::probe(&dir), Ok(Probe::Lost | Probe::Finished(ExitRecord { ended: Ended::Interrupted, .. }))) {
            process::sweep(&format!("event-{}", letter.id));
            discard(&dir);
        }
        let done = process::run(&dir, &self.launch(letter));
        self.set_under_way(None);
        let outcome = self.judged(done, &dir);
        discard(&dir);
        outcome
    }

    fn stop(&self) {
        let dir = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Err(error)) = dir.map(|dir| process::interrupt(&dir)) {
            tracing::warn!("{}: it may run on for {}: {error}", self.name, format_duration(self.timeout));
        }
    }
}

/// It holds nothing but one run, which is told or is to be had again.
fn discard(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        tracing::debug!("{}: {error}", dir.display());
    }
}

/// The programs that can show a notification, the first that is there counts.
pub const DESKTOP: &[&str] = &["notify-send", "osascript"];

/// The text stands in arguments alone, and is marked up for a program that takes it for that.
fn shown(program: &str, letter: &Letter) -> Vec<String> {
    let title = format!("Drover: {}", letter.project);
    let text = letter.text.strip_prefix(&letter.project).map_or(letter.text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    match program {
        "osascript" => {
            let script = ["on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run"];
            let script = script.iter().flat_map(|line| ["-e".to_owned(), (*line).to_owned()]);
            [program.to_owned()].into_iter().chain(script).chain([title, text.to_owned()]).collect()
        }
        _ => {
            let plain = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            [program, "--app-name=Drover", "--", &title, &plain].map(str::to_owned).to_vec()
        }
    }
}
