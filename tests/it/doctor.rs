//! `drover doctor`: what it looks at, what it says, and that it changes nothing.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::fixture::{CONFIG, Fixture, program, repo};

const TASK: &str = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ true\"\nallow_empty = true\n";

fn checks(it: &Fixture, code: i32) -> Vec<(String, String, String, String)> {
    let document = it.drover(&["doctor", "--format", "json"]).expect(code).json();
    assert_eq!((&document["format_version"], &document["ready"]), (&Value::from("1.0"), &Value::from(code == 0)), "{document}");
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let of = |c: &Value| (text(&c["name"]), text(&c["status"]), text(&c["message"]), text(&c["fix"]));
    document["checks"].as_array().unwrap().iter().map(of).collect()
}

fn check(it: &Fixture, code: i32, name: &str) -> (String, String, String) {
    let checks = checks(it, code);
    let found = checks.iter().find(|c| c.0 == name).unwrap_or_else(|| panic!("{name} is not among {checks:?}"));
    (found.1.clone(), found.2.clone(), found.3.clone())
}

/// A directory that holds git, sh and this program, for a PATH.
fn with_program(it: &Fixture, name: &str, text: &str) -> String {
    let bin = it.outside("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["git", "sh"] {
        symlink(which::which(program).unwrap(), bin.join(program)).ok();
    }
    program(&bin.join(name), text);
    bin.to_str().unwrap().to_owned()
}

#[test]
fn a_project_that_is_fit_is_ready_and_nothing_was_changed() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", TASK).commit("Start");
    let before = it.checkout();
    let ran = it.drover(&["doctor"]).expect(0);
    for said in ["ok       git: ", "ok       files: 1 task in 1 file", "ok       target: work lands on `main`", "agent sh: ", "\nReady: "] {
        assert!(ran.out.contains(said), "{said} is missing in:\n{}", ran.out);
    }
    let names: Vec<String> = checks(&it, 0).into_iter().map(|c| c.0).collect();
    for name in ["git", "repository", "files", "target", "state", "worktrees", "inotify", "record", "agent sh"] {
        assert!(names.iter().any(|n| n == name), "{name} is not among {names:?}");
    }
    assert_eq!(it.checkout(), before);
    assert!(!it.state_dir().exists(), "nothing was made");
}

#[test]
fn outside_a_repository_it_says_so_and_what_to_do() {
    let it = repo();
    fs::remove_dir_all(it.path(".git")).unwrap();
    let (status, says, fix) = check(&it, 78, "repository");
    assert_eq!(status, "error");
    assert!(says.contains("not in a git repository") && fix.contains("git init"), "{says} {fix}");
}

#[test]
fn mistakes_in_the_files_and_a_branch_without_commits_are_told_together() {
    let it = repo().file("drover.toml", "[run]\nworkers = 0\n");
    let (status, says, fix) = check(&it, 78, "files");
    assert_eq!((status.as_str(), says.as_str()), ("error", "the files have 1 mistake"));
    assert!(fix.contains("drover validate"), "{fix}");
    assert_eq!(check(&it, 78, "target").0, "error");
    assert_eq!(check(&it, 78, "git").0, "ok");
}

#[test]
fn an_agent_that_is_missing_is_named_with_the_line_that_installs_it() {
    let config = format!("{CONFIG}[agents.other]\nkind = \"codex\"\n[agents.idle]\nkind = \"gemini\"\n");
    let it = repo().file("drover.toml", &config).file("drover/t.toml", &format!("{TASK}agent = \"other\"\n")).commit("Start");
    let path = with_program(&it, "true", "#!/bin/sh\n");
    let it = it.env("PATH", &path);
    let (status, says, fix) = check(&it, 78, "agent other");
    assert_eq!((status.as_str(), fix.as_str()), ("error", "install it with `npm install -g @openai/codex`"));
    assert!(says.contains("agent `other` (codex) needs the program `codex`"), "{says}");
    assert_eq!(check(&it, 78, "agent idle").0, "warning", "no task uses it");
}

#[test]
fn an_agent_that_shows_no_login_is_a_warning_and_each_way_to_log_in_is_seen() {
    let config = format!("{CONFIG}[agents.other]\nkind = \"codex\"\n");
    let project = || repo().file("drover.toml", &config).file("drover/t.toml", &format!("{TASK}agent = \"other\"\n")).commit("Start");
    let refuses = "#!/bin/sh\ncase \"$*\" in --version) echo 'codex 1.2.3' ;; *) exit 1 ;; esac\n";
    let it = project();
    let path = with_program(&it, "codex", refuses);
    let it = it.env("PATH", &path);
    let (status, says, fix) = check(&it, 0, "agent other");
    assert_eq!(status, "warning");
    assert!(says.contains("codex codex 1.2.3 at ") && says.contains("no login was found") && fix.contains("codex login"), "{says} {fix}");

    let it = it.env("OPENAI_API_KEY", "k");
    assert!(check(&it, 0, "agent other").1.contains("logged in: OPENAI_API_KEY is set"));

    let it = project();
    let path = with_program(&it, "codex", "#!/bin/sh\n[ \"$*\" = 'login status' ] || echo 'codex 1.2.3'\n");
    let it = it.env("PATH", &path);
    assert!(check(&it, 0, "agent other").1.contains("logged in: its program says so"));

    let it = project();
    it.write("drover.toml", &config.replace("[defaults]\n", "[defaults]\nenv_pass = [\"PATH\", \"HOME\"]\n"));
    let path = with_program(&it, "codex", refuses);
    let it = it.env("PATH", &path).env("OPENAI_API_KEY", "k");
    let (_, says, fix) = check(&it, 0, "agent other");
    assert!(says.contains("OPENAI_API_KEY is set, and not passed on") && fix.contains("env_pass"), "{says} {fix}");
}

#[test]
fn a_lock_of_git_and_an_attempt_that_was_cut_short_are_named() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &TASK.replace("$ true", "$ touch $HOME/at-work; sleep 600"))
        .commit("Start");
    let mut child = it.spawn(&["apply"]);
    crate::fixture::until("it is at work", || it.home().join("at-work").exists());
    let (status, says, _) = check(&it, 0, "record");
    assert!(status == "warning" && says.contains("another Drover is at work"), "{says}");
    let shims = crate::kill::shims(&it);
    child.kill().unwrap();
    child.wait().unwrap();
    for shim in shims {
        rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL).ok();
    }
    let (status, says, fix) = check(&it, 0, "record");
    assert!(status == "warning" && says.contains("1 attempt was under way") && fix.contains("drover resume"), "{says} {fix}");
    fs::write(it.path(".git/index.lock"), "").unwrap();
    assert_eq!(check(&it, 0, "git lock").0, "warning");
    fs::remove_file(it.path(".git/index.lock")).unwrap();
    it.write("drover/t.toml", TASK);
    it.git(&["commit", "-qam", "Do less"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(check(&it, 0, "record").0, "ok");
}

#[test]
fn a_command_that_is_to_be_told_of_events_and_is_missing_is_named_wherever_it_is_to_be() {
    let events = "[[on_event]]\ncommand = [\"tools/told\"]\nevents = \"*\"\n[[on_event]]\ncommand = [\"/no/such/told\"]\n\
                  [[on_event]]\ncommand = [\"no-such-told\"]\n";
    let it = repo().file("drover.toml", &format!("{CONFIG}{events}")).file("drover/t.toml", "").commit("Files");
    for missing in ["tools/told", "/no/such/told", "no-such-told"] {
        let (status, why, fix) = check(&it, 0, &format!("on_event {missing}"));
        assert!(status == "warning" && why.contains("so it is told of nothing") && !fix.is_empty(), "{status} {why} {fix}");
    }
    fs::create_dir(it.path("tools")).unwrap();
    program(&it.path("tools/told"), "#!/bin/sh\n");
    assert_eq!(check(&it, 0, "on_event tools/told").0, "ok");
}
