//! How agents are called, what they inherit, whether they are there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use drover::agent::{detect, environment, invoke, missing, session_id, shell};
use drover::base::{Aid, RunId};
use drover::core::FailureClass;
use drover::model::CommandLine;

use crate::fixture;

use super::{argv, claude, command, context, task};

fn pairs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn program(dir: &Path, name: &str, text: &str) {
    fixture::program(&dir.join(name), text);
}

#[test]
fn claude_code_gets_the_prompt_on_stdin_and_the_projects_own_arguments_last() {
    let mut agent = claude();
    agent.model = Some("opus".into());
    agent.fallback_model = Some("sonnet".into());
    agent.args = ["--max-turns", "9", "--add-dir", "${{ worktree }}/x"].map(str::to_owned).to_vec();
    let task = task("x", agent.clone());
    let mut cx = context(&task, 0);
    cx.session = Some("11111111-2222-8333-8444-555555555555".into());
    let call = invoke(&agent, "do it", &cx).unwrap();
    insta::assert_snapshot!(call.argv.join(" "), @r#"claude -p --output-format stream-json --verbose --permission-mode bypassPermissions --model opus --fallback-model sonnet --max-turns 9 --add-dir /wt/auth-api/x --session-id 11111111-2222-8333-8444-555555555555"#);
    assert_eq!(call.stdin, b"do it");
    assert_eq!(call.env["CLAUDE_CODE_MAX_RETRIES"], "2");
    assert_eq!(call.env["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"], "1");
    assert_eq!(call.env["DISABLE_AUTOUPDATER"], "1");
}

#[test]
fn what_was_not_chosen_is_not_given() {
    let task = task("x", claude());
    let call = invoke(&claude(), "", &context(&task, 0)).unwrap();
    assert!(!call.argv.iter().any(|a| a == "--model" || a == "--session-id"), "{:?}", call.argv);
}

#[test]
fn a_command_gets_its_names_filled_in_and_no_shell_unless_asked() {
    let mut agent = command(Some(argv(&["python3", "gen.py", "${{ task.id }}", "$(touch x)"])));
    agent.args = vec!["--epic=${{ epic.id }}".into()];
    let task = task("x", agent.clone());
    let cx = context(&task, 0);
    let call = invoke(&agent, "the prompt", &cx).unwrap();
    assert_eq!(call.argv, ["python3", "gen.py", "auth-api", "$(touch x)", "--epic=auth"]);
    assert_eq!((call.stdin.as_slice(), call.env.len()), (&b"the prompt"[..], 0));

    let line = "cd '${{ worktree }}' && gen $${{ x }}";
    let agent = command(Some(CommandLine::Shell(line.into())));
    assert_eq!(invoke(&agent, "", &cx).unwrap().argv, ["sh", "-c", "cd '/wt/auth-api' && gen ${{ x }}"]);
    assert_eq!(shell(line, &cx).argv, invoke(&agent, "", &cx).unwrap().argv);
    assert!(shell(line, &cx).stdin.is_empty());
}

#[test]
fn a_command_agent_without_a_command_fails_with_the_place_to_correct() {
    let task = task("x", claude());
    for agent in [command(None), command(Some(argv(&[])))] {
        let failure = invoke(&agent, "", &context(&task, 0)).unwrap_err();
        assert_eq!(failure.class, FailureClass::Setup);
        assert!(failure.message.contains("[agents.gen]"), "{}", failure.message);
    }
}

#[test]
fn session_ids_are_uuids_that_differ_by_attempt_and_step() {
    let run = RunId::parse("0192f0c1-run").unwrap();
    let (a, b) = (Aid::new(&run, 1), Aid::new(&run, 2));
    let ids = [session_id(&a, 0), session_id(&a, 1), session_id(&b, 0)];
    assert_eq!(ids[0], session_id(&a, 0));
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    for id in ids {
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 8, "{id}");
    }
}

#[test]
fn only_what_is_named_is_inherited_and_the_tasks_own_words_win() {
    let mut task = task("x", claude());
    task.env_pass = ["HOME", "ANTHROPIC_*", "LC_*", "EMPTY"].map(str::to_owned).to_vec();
    task.env = pairs(&[("RUST_LOG", "info"), ("CLAUDE_CODE_MAX_RETRIES", "7")]);
    let inherited = pairs(&[
        ("HOME", "/h"),
        ("HOMEPAGE", "no"),
        ("ANTHROPIC_API_KEY", "k"),
        ("ANTHROPIC", "no"),
        ("AWS_SECRET", "no"),
        ("LC_ALL", "C"),
        ("EMPTY", ""),
        ("RUST_LOG", "no"),
    ]);
    let additions = pairs(&[("CLAUDE_CODE_MAX_RETRIES", "2"), ("DISABLE_AUTOUPDATER", "1"), ("LC_ALL", "C.UTF-8")]);
    let expected = [
        ("ANTHROPIC_API_KEY", "k"),
        ("CLAUDE_CODE_MAX_RETRIES", "7"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("EMPTY", ""),
        ("HOME", "/h"),
        ("LC_ALL", "C.UTF-8"),
        ("RUST_LOG", "info"),
    ];
    assert_eq!(environment(&task, &additions, inherited.into_iter()), pairs(&expected));
}

#[test]
fn a_wildcard_never_ties_a_child_to_where_drover_was_started() {
    let mut task = task("x", claude());
    let inherited = || pairs(&[("GIT_DIR", "/elsewhere"), ("GIT_AUTHOR_NAME", "me"), ("CLAUDECODE", "1"), ("CLAUDE_CONFIG_DIR", "/c")]);
    task.env_pass = vec!["*".into()];
    let seen = environment(&task, &BTreeMap::new(), inherited().into_iter());
    assert_eq!(seen, pairs(&[("GIT_AUTHOR_NAME", "me"), ("CLAUDE_CONFIG_DIR", "/c")]));
    task.env_pass = vec!["GIT_*".into(), "GIT_DIR".into()];
    assert_eq!(environment(&task, &BTreeMap::new(), inherited().into_iter())["GIT_DIR"], "/elsewhere");
}

#[test]
fn installed_agents_are_found_with_their_version() {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), "claude", "#!/bin/sh\n[ \"$1\" = --version ] && printf '9.8.7 (Claude Code)\\033[0m\\nmore\\n'\n");
    let found = detect(Some(dir.path().as_os_str()));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, found[0].path.as_path()), ("claude-code", dir.path().join("claude").as_path()));
    assert_eq!(found[0].version.as_deref(), Some("9.8.7 (Claude Code)[0m"));
}

#[test]
fn a_program_that_does_not_say_its_version_is_found_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), "claude", "#!/no/such/interpreter\n");
    assert_eq!(detect(Some(dir.path().as_os_str()))[0].version, None);
}

#[test]
fn nothing_is_found_where_nothing_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(detect(Some(dir.path().as_os_str())), []);
    assert_eq!(detect(Some(OsStr::new(""))), []);
    assert_eq!(detect(None), []);
}

#[test]
fn a_missing_program_is_told_with_the_line_that_installs_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().as_os_str());
    insta::assert_snapshot!(missing(&claude(), path, dir.path()).unwrap(), @r#"agent `claude` (claude-code) needs the program `claude`, which was not found in PATH; install it with `npm install -g @anthropic-ai/claude-code`"#);
    insta::assert_snapshot!(missing(&command(Some(argv(&["no-such-gen", "x"]))), path, dir.path()).unwrap(), @r#"agent `gen` (command) needs the program `no-such-gen`, which was not found in PATH; install it, or correct `command` of [agents.gen] in drover.toml"#);
    insta::assert_snapshot!(missing(&command(Some(argv(&["/no/such/gen"]))), path, dir.path()).unwrap(), @r#"agent `gen` (command) needs the program `/no/such/gen`, which was not found; install it, or correct `command` of [agents.gen] in drover.toml"#);
    program(dir.path(), "claude", "#!/bin/sh\n");
    assert_eq!(missing(&claude(), path, dir.path()), None);
}

#[test]
fn what_only_the_worktree_will_know_is_not_missed() {
    for line in [argv(&["./tools/gen"]), argv(&["tools/gen"]), argv(&["${{ worktree }}/gen"]), CommandLine::Shell("no-such-gen".into())] {
        assert_eq!(missing(&command(Some(line.clone())), None, Path::new("/")), None, "{line:?}");
    }
}
