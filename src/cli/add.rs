//! `drover add` and `drover epic add`: a table at the end of a task file, once the whole project reads well with it.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::args::{AddArgs, AddEpicArgs, Global, PlaceArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::site::{Site, absolute, refused, show};
use super::terminal::Terminal;
use crate::base::text::one_line;
use crate::base::{EpicId, TaskId};
use crate::files::{self, Change, NewTask, Work};

/// The longest prompt that is read, and a little more.
const MAX_PROMPT: u64 = (1 << 20) + 1;

pub fn task(global: &Global, terminal: &Terminal, args: &AddArgs) -> CliResult {
    // Before others wait for it: who types may take their time.
    let typed = if args.prompt.as_deref() == Some("-") { Some(typed()?) } else { None };
    let site = Site::open(global, terminal, args.place.dry_run)?;
    let name = match (&args.epic, &args.place.file) {
        (Some(epic), _) => site.file_of_epic(epic)?,
        (None, file) => site.file(file.as_deref(), "tasks")?,
    };
    let new = NewTask {
        id: args.id.clone(),
        title: args.title.clone(),
        work: work(global, &site, args, &name, typed)?,
        depends_on: args.after.clone(),
        agent: args.agent.clone(),
        labels: args.label.clone(),
    };
    let (change, line) = files::append(&name, site.text(&name)?, &new.block());
    let after = site.read_with(std::slice::from_ref(&change))?;
    let epic = TaskId::parse(&args.id).ok().and_then(|id| after.graph.tasks().get(&id)?.epic.clone());
    if let Some(epic) = epic.filter(|_| args.epic.is_none() && args.place.file.is_none()) {
        let message = format!("{name} holds the epic `{epic}`, which the task would become one of");
        return Err(Failure::new(Exit::Usage, format!("{message}\n  Say `--epic {epic}`, or name another file with `--file`.")));
    }
    site.write(&change, &args.place, &args.id, line)
}

pub fn epic(global: &Global, terminal: &Terminal, args: &AddEpicArgs) -> CliResult {
    let site = Site::open(global, terminal, args.place.dry_run)?;
    // The name is part of a path: what is no id must not become one.
    let stem = EpicId::parse(&args.id).map_or("epic", |_| args.id.as_str());
    let name = site.file(args.place.file.as_deref(), stem)?;
    site.has_room_for(&args.id, &name)?;
    let (change, line) = files::append(&name, site.text(&name)?, &files::epic_block(&args.id, &args.title));
    site.read_with(std::slice::from_ref(&change))?;
    site.write(&change, &args.place, &args.id, line)
}

/// The prompt that comes by standard input.
fn typed() -> Result<String, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_PROMPT).read_to_end(&mut bytes);
    read.map_err(|e| usage(format!("the prompt cannot be read from standard input: {e}")))?;
    String::from_utf8(bytes).map_err(|_| usage("the prompt on standard input is not UTF-8".into()))
}

fn work(global: &Global, site: &Site<'_>, args: &AddArgs, name: &str, typed: Option<String>) -> Result<Work, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    if let Some(path) = &args.prompt_file {
        let path = absolute(&context::directory(global)?, path);
        let file = site.project.root.join(name);
        let path = relative(file.parent().unwrap_or(&site.project.root), &path);
        let text = path.to_str().ok_or_else(|| usage("--prompt-file: its name is not UTF-8".into()))?;
        return Ok(Work::PromptFile(text.to_owned()));
    }
    match (typed.as_ref().or(args.prompt.as_ref()), &args.run) {
        (Some(prompt), _) => Ok(Work::Prompt(prompt.clone())),
        (None, run) => Ok(Work::Run(run.clone().unwrap_or_default())),
    }
}

impl Site<'_> {
    fn write(&self, change: &Change, place: &PlaceArgs, id: &str, line: usize) -> CliResult {
        if !place.dry_run {
            files::put(&self.project.root, change).map_err(refused)?;
        }
        if self.terminal.json {
            let mut answer = serde_json::json!({
                "format_version": "1.0", "id": id, "file": change.name, "line": line, "written": !place.dry_run, "new_file": change.old.is_none(),
            });
            if place.dry_run {
                answer["diff"] = change.diff().into();
            }
            self.terminal.json(&answer);
        } else if place.dry_run {
            show(self.terminal, std::slice::from_ref(change));
        } else {
            self.terminal.out(&format!("{}:{line}", one_line(&change.name, 300)));
        }
        Ok(Exit::Done)
    }
}

/// The way from a directory to a path; both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}
