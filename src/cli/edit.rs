//! `drover edit`: a person's own editor at the line of a task, and what is wrong with the files after it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use super::args::{EditArgs, Global};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::base::text::one_line;
use crate::files;

pub fn run(global: &Global, terminal: &Terminal, args: &EditArgs) -> CliResult {
    let repo = context::repository(global)?;
    // Read leniently: what has mistakes is what one wants to edit.
    let read = files::load(repo.root(), &context::options(global)).files;
    let Some((name, line)) = place(repo.root(), &read, &args.id) else {
        // Mistakes in drover.toml keep task files from being found; they are shown then.
        context::project(global, terminal, &repo)?;
        let message = format!("no file has a task `{}`\n  `drover status` lists the tasks that there are.", one_line(&args.id, 80));
        return Err(Failure::new(Exit::NoMatch, message));
    };
    files::refuse_odd(repo.root(), &name).map_err(|why| Failure::unfit(why.to_string()))?;
    let editor = editor()?;
    let shown = one_line(&name, 300);
    if !std::io::stdin().is_terminal() {
        return Err(Failure::unfit(format!(
            "an editor needs a terminal, and standard input is none\n  `{}` is at {shown}:{line}.",
            one_line(&args.id, 80)
        )));
    }
    open(&editor, &repo.root().join(&name), line)?;
    context::project(global, terminal, &repo)?;
    if terminal.json {
        terminal.json(&serde_json::json!({ "format_version": "1.0", "id": args.id, "file": name, "line": line, "valid": true }));
    } else {
        terminal.out(&format!("{shown}: valid"));
    }
    Ok(Exit::Done)
}

/// Where a task is written: itself, or the one that it is a part of or comes of.
fn place(root: &Path, names: &[String], id: &str) -> Option<(String, usize)> {
    let written = |id: &str| files::place_of_task(root, names, id);
    written(id).or_else(|| id.rmatch_indices('.').find_map(|(end, _)| written(&id[..end])))
}

/// The line that starts the editor, as git reads it.
fn editor() -> Result<String, Failure> {
    let all = context::environment();
    let set = |name: &str| all.iter().find(|(n, value)| n == name && !value.trim().is_empty()).map(|(_, value)| value.clone());
    set("VISUAL")
        .or_else(|| set("EDITOR"))
        .ok_or_else(|| Failure::unfit("no editor is chosen\n  Set VISUAL or EDITOR, such as `EDITOR=vi drover edit …`."))
}

#[expect(clippy::disallowed_methods, reason = "the editor is a person's own program, on their terminal and no part of any task")]
fn open(editor: &str, path: &Path, line: usize) -> Result<(), Failure> {
    let shown = one_line(editor, 100);
    let ended = Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).args(arguments(editor, path, line)).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::unfit(format!(
            "the editor `{shown}` failed: {status}\n  The files are as it left them; `drover validate` checks them."
        ))),
        Err(error) => Err(Failure::unfit(format!("the editor `{shown}` cannot be started: {error}"))),
    }
}

/// How an editor is told of a line: most take `+LINE`.
fn arguments(editor: &str, path: &Path, line: usize) -> Vec<OsString> {
    let program = editor.split_whitespace().next().unwrap_or_default();
    let mut at = path.as_os_str().to_owned();
    at.push(format!(":{line}"));
    match program.rsplit('/').next().unwrap_or_default() {
        "code" | "code-insiders" | "codium" | "cursor" | "windsurf" => vec!["--goto".into(), at],
        "hx" | "helix" | "subl" | "zed" => vec![at],
        _ => vec![format!("+{line}").into(), path.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_is_told_of_the_line_in_its_own_way() {
        let told = |editor: &str| arguments(editor, Path::new("/p/a b.toml"), 7);
        assert_eq!(told("vim"), ["+7", "/p/a b.toml"]);
        assert_eq!(told("/usr/bin/code --wait"), ["--goto", "/p/a b.toml:7"]);
        assert_eq!(told("hx"), ["/p/a b.toml:7"]);
    }
}
