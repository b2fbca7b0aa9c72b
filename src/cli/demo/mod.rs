//! `drover demo`: the whole loop in one command, in a repository that may be thrown away.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::{ApplyArgs, DemoArgs, Global, Limits, Reconcile, Select, StatusArgs};
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use super::{apply, status};
use crate::git;

const FILES: &[(&str, &str)] = &[
    ("README.md", "# Shop\n\nA pretend project: `drover demo` made it, and it may be deleted.\n"),
    ("agent.sh", include_str!("agent.sh")),
    ("drover.toml", include_str!("drover.toml")),
    ("drover/shop.toml", include_str!("shop.toml")),
    ("drover/docs.toml", include_str!("docs.toml")),
];

pub fn run(global: &Global, terminal: &Terminal, args: &DemoArgs) -> CliResult {
    let dir = directory(args)?;
    for (name, text) in FILES {
        write(&dir.join(name), text)?;
    }
    git::create(&dir, "main", "Start the shop, with its task files").map_err(|e| Failure::unfit(e.to_string()))?;
    terminal.note(&format!(
        "A repository with two epics and eight tasks, worked on by a small shell script as the agent:\n  {}\n",
        dir.display()
    ));
    let global = Global { directory: Some(dir.clone()), config: None, ..global.clone() };
    let apply = ApplyArgs {
        select: Select::default(),
        reconcile: Reconcile::default(),
        limits: Limits::default(),
        consent: Default::default(),
        tell: Default::default(),
        conduct: Default::default(),
    };
    let exit = apply::apply(&global, terminal, &apply)?;
    if !terminal.json {
        let repo = super::context::repository(&global)?;
        let log = repo.graph_log("main", 40).map_err(|e| Failure::internal(e.to_string()))?;
        terminal.out(&format!("\nWhat landed on main (git log --graph):\n{log}\nWhere it stands (drover status):"));
        status::run(&global, terminal, &StatusArgs { tree: false, oneline: false, watch: false })?;
        terminal.out(&format!("\nLook around: cd {} && git log --stat", dir.display()));
    }
    Ok(exit)
}

/// A directory that nobody else has: made here, never taken over.
fn directory(args: &DemoArgs) -> Result<PathBuf, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| {
        let unique = uuid::Uuid::now_v7().simple().to_string();
        std::env::temp_dir().join(format!("drover-demo-{}", &unique[20..]))
    });
    fs::create_dir_all(dir.parent().unwrap_or(Path::new("."))).map_err(|e| unusable(&dir, &e))?;
    fs::create_dir(&dir).map_err(|e| unusable(&dir, &e))?;
    dir.canonicalize().map_err(|e| unusable(&dir, &e))
}

fn unusable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Unfit,
        format!("the demo's directory {} cannot be made: {error}\n  Name one that does not exist yet: drover demo DIR", dir.display()),
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).and_then(|()| fs::write(path, text)).map_err(|e| Failure::internal(format!("{}: {e}", path.display())))
}
