//! Whose task files are run, and with how much history.

use crate::fixture::{CONFIG, Fixture, repo, until};

const TASK: &str = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo ran >>$TMPDIR/ran; echo x >x\"\n";

fn project() -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", TASK).commit("Tasks")
}

fn event(name: &str, payload: &str) -> Fixture {
    let it = project();
    let file = it.outside("event.json");
    std::fs::write(&file, payload).unwrap();
    it.env("GITHUB_ACTIONS", "true").env("GITHUB_EVENT_NAME", name).env("GITHUB_EVENT_PATH", file.to_str().unwrap())
}

#[track_caller]
fn is_refused(it: &Fixture) {
    for verb in ["apply", "run", "resume", "watch"] {
        let ran = it.drover(&[verb]).expect(78);
        assert!(ran.err.contains("a stranger's code") && ran.err.contains("--trust"), "{}", ran.err);
        // Reporting is another matter.
        it.drover(&[verb, "--ci", "none"]).expect(78);
    }
    assert!(!it.outside("ran").exists());
    it.drover(&["validate"]).expect(0);
    it.drover(&["plan"]).expect(0);
    it.drover(&["apply", "--trust"]).expect(0);
    assert!(it.outside("ran").exists());
}

#[test]
fn task_files_of_a_strangers_pull_request_are_not_run_unasked() {
    let own = r#""repository": {"full_name": "me/shop", "fork": false}"#;
    let pull = |repo: &str| format!(r#"{{{own}, "pull_request": {{"head": {{"repo": {repo}}}}}}}"#);
    is_refused(&event("pull_request", &pull(r#"{"full_name": "you/shop", "fork": true}"#)));
    // The fork was deleted.
    is_refused(&event("pull_request", &pull("null")));
    is_refused(&event("pull_request_review", "no JSON"));
    is_refused(&event("pull_request_target", &pull(r#"{"full_name": "me/shop", "fork": false}"#)));
    is_refused(&event("workflow_run", &format!(r#"{{{own}, "workflow_run": {{"head_repository": {{"full_name": "you/shop"}}}}}}"#)));
    is_refused(&event("issue_comment", &format!(r#"{{{own}, "issue": {{"pull_request": {{}}}}}}"#)));
    let gitlab =
        |project: &str| project_env(&[("GITLAB_CI", "true"), ("CI_PROJECT_ID", "7"), ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", project)]);
    is_refused(&gitlab("8"));
    gitlab("7").drover(&["apply"]).expect(0);

    event("pull_request", &pull(r#"{"full_name": "me/shop", "fork": false}"#)).drover(&["apply"]).expect(0);
    event("push", "").drover(&["apply"]).expect(0);
    event("issue_comment", &format!(r#"{{{own}, "issue": {{}}}}"#)).drover(&["apply"]).expect(0);
    // A repository that is a fork itself has pull requests of its own.
    let fork = r#"{"repository": {"full_name": "me/shop", "fork": true}, "pull_request": {"head": {"repo": {"full_name": "me/shop", "fork": true}}}}"#;
    event("pull_request", fork).drover(&["apply"]).expect(0);
}

fn project_env(env: &[(&str, &str)]) -> Fixture {
    env.iter().fold(project(), |it, (name, value)| it.env(name, value))
}

#[test]
fn a_second_run_in_a_fresh_clone_redoes_nothing_and_a_shallow_clone_is_refused() {
    let it = project();
    let clones = it.outside("clones");
    it.drover(&["apply"]).expect(0);
    std::fs::write(it.path("more"), "").unwrap();
    it.git(&["add", "-A"]);
    it.git(&["commit", "-q", "-m", "More"]);
    let clone = |name: &str, depth: &[&str]| {
        let to = clones.join(name).display().to_string();
        let from = format!("file://{}", it.root().display());
        it.git(&[&["clone", "-q"], depth, &[&from, &to]].concat());
        to
    };
    let whole = clone("whole", &[]);
    it.drover(&["-C", &whole, "apply"]).expect(0);
    let shallow = clone("shallow", &["--depth=1"]);
    for verb in ["plan", "apply", "sync"] {
        let ran = it.drover(&["-C", &shallow, verb]).expect(78);
        assert!(ran.err.contains("fetch-depth: 0") && ran.err.contains("--trust-shallow"), "{}", ran.err);
    }
    assert_eq!(std::fs::read_to_string(it.outside("ran")).unwrap(), "ran\n", "done once, in all of them");
    it.drover(&["-C", &shallow, "--trust-shallow", "plan", "--detailed-exitcode"]).expect(2);
    it.git(&["-C", &shallow, "config", "user.name", "Ada"]);
    it.git(&["-C", &shallow, "config", "user.email", "ada@example.com"]);
    std::fs::write(it.outside("clones/shallow/drover/t.toml"), TASK.replace("echo x >x", "echo y >x")).unwrap();
    it.git(&["-C", &shallow, "commit", "-qam", "Other"]);
    it.drover(&["-C", &shallow, "apply", "--trust-shallow"]).expect(0);
    assert_eq!(std::fs::read_to_string(it.outside("ran")).unwrap(), "ran\nran\n");
}

#[test]
fn in_ci_what_runs_is_tethered_unasked() {
    let task = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ trap '' TERM; echo >$TMPDIR/ran; sleep 1000\"\n";
    let config = CONFIG.replace("shutdown_grace = \"1s\"", "shutdown_grace = \"1h\"");
    let it = repo().file("drover.toml", &config).file("drover/t.toml", task).commit("Tasks").env("GITLAB_CI", "true");
    let mut child = it.drover_command(&["apply", "-q"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    until("the agent runs", || it.outside("ran").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    until("it has ended", || crate::kill::survivors(&it).is_empty());
}
