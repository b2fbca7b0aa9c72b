//! `drover mv`: a task gets another id, in all files or in none.

use super::args::{Global, MvArgs};
use super::exit::{CliResult, Exit, Failure};
use super::site::{Site, refused, show};
use super::terminal::Terminal;
use crate::base::TaskId;
use crate::base::text::{did_you_mean, one_line};
use crate::files::{self, Change};

pub fn run(global: &Global, terminal: &Terminal, args: &MvArgs) -> CliResult {
    let site = Site::open(global, terminal, args.dry_run)?;
    let to = TaskId::parse(&args.to)
        .map_err(|why| Failure::new(Exit::Usage, format!("`{}` cannot be the id of a task: {why}", one_line(&args.to, 80))))?;
    if args.from == args.to {
        return Err(Failure::new(Exit::Usage, format!("the task is called `{to}` already")));
    }
    let tasks = site.project.graph.tasks();
    let changes = files::rename(&site.project.root, &site.loaded.files, tasks.keys(), &args.from, to.as_str());
    if changes.is_empty() {
        return Err(unknown(&site, &args.from));
    }
    site.read_with(&changes)?;
    if !args.dry_run {
        files::put_all(&site.project.root, &changes).map_err(|(done, why)| partly(&changes, &done, refused(why)))?;
    }
    let names: Vec<&str> = changes.iter().map(|c| c.name.as_str()).collect();
    if terminal.json {
        let mut answer =
            serde_json::json!({ "format_version": "1.0", "from": args.from, "to": to.as_str(), "files": names, "written": !args.dry_run });
        if args.dry_run {
            answer["diff"] = changes.iter().map(Change::diff).collect::<String>().into();
        }
        terminal.json(&answer);
    } else if args.dry_run {
        show(terminal, &changes);
    } else {
        names.iter().for_each(|name| terminal.out(&format!("wrote {}", one_line(name, 300))));
    }
    Ok(Exit::Done)
}

/// Why there is nothing to rename.
fn unknown(site: &Site<'_>, id: &str) -> Failure {
    let tasks = site.project.graph.tasks();
    let shown = one_line(id, 80);
    let why = match TaskId::parse(id).ok() {
        Some(id) if tasks.contains_key(&id) => "it comes of a matrix: rename the task that has the matrix, or change the value".to_owned(),
        Some(id) if tasks.values().any(|t| t.steps.iter().any(|s| s.id == id)) => {
            "it is a sub-task; only whole tasks have a record".to_owned()
        }
        _ => match did_you_mean(id, tasks.keys().map(TaskId::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`drover status` lists the tasks that there are".to_owned(),
        },
    };
    Failure::new(Exit::NoMatch, format!("no file has a task `{shown}` that could be renamed\n  {why}"))
}

/// Says of each file what became of it, where not all were written.
fn partly(changes: &[Change], done: &[String], failure: Failure) -> Failure {
    if done.is_empty() {
        return Failure { message: format!("{}\n  No file was written.", failure.message), ..failure };
    }
    let left: Vec<&str> = changes.iter().map(|c| c.name.as_str()).filter(|name| !done.iter().any(|d| d == name)).collect();
    let message = format!("{}\n  Written already: {}. Not written: {}.", failure.message, done.join(", "), left.join(", "));
    Failure { message, ..failure }
}
