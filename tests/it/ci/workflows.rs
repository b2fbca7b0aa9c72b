//! The workflows of `examples/` cannot rot: their steps are run just as they are written, in a clone
//! of a bare remote, with the environment, the shell and the signals of the runner.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::yaml::{self, Yaml};
use crate::examples::copy_of;
use crate::fixture::{Fixture, program, until};
use crate::kill::survivors;

/// A remote that holds the example, what a runner makes of it, and programs that a step finds there.
struct Runner {
    it: Fixture,
    env: BTreeMap<String, String>,
}

impl Runner {
    fn new(example: &str) -> Self {
        let it = copy_of(example.as_ref());
        let (remote, work, bin) = (it.outside("remote.git"), it.outside("work"), it.outside("bin"));
        let text = |path: &std::path::Path| path.display().to_string();
        it.git(&["clone", "-q", "--bare", ".", &text(&remote)]);
        it.git(&["clone", "-q", &text(&remote), &text(&work)]);
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_drover"), bin.join("drover")).unwrap();
        program(&bin.join("gh"), "#!/bin/sh\necho \"$@\" >\"$TMPDIR/gh\"\ncat \"$7\" >>\"$TMPDIR/gh\"\n");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { env: BTreeMap::from([("PATH".into(), path)]), it }
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.insert(name.into(), value.into());
    }

    fn git(&self, args: &[&str]) -> String {
        self.it.git(&[&["-C", self.it.outside("work").to_str().unwrap()], args].concat())
    }

    /// As GitHub runs a step: `bash -e` on a file with its lines. GitLab's differs in nothing that matters here.
    fn step(&self, lines: &str) -> Command {
        let script = self.it.outside("step.sh");
        fs::write(&script, lines).unwrap();
        let mut command = self.it.command("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(script);
        command.current_dir(self.it.outside("work")).envs(&self.env);
        command
    }

    #[track_caller]
    fn run(&self, lines: &str) {
        crate::fixture::ran(&self.step(lines).output().unwrap()).expect(0);
    }

    /// What landed on the remote's main, oldest first.
    fn pushed(&self) -> Vec<String> {
        let format = "--format=%(trailers:key=Drover-Task,valueonly,separator=%x2C)";
        let log =
            self.it.git(&["-C", self.it.outside("remote.git").to_str().unwrap(), "log", "--reverse", "--first-parent", format, "main"]);
        let mut all: Vec<String> = log.lines().filter(|l| !l.is_empty()).map(|l| l.split('@').next().unwrap().to_owned()).collect();
        all.sort();
        all
    }
}

fn github(workflow: &str) -> (Runner, Yaml) {
    let file = format!("examples/github-actions/.github/workflows/{workflow}");
    let mut runner = Runner::new("examples/github-actions");
    let temp = runner.it.outside("runner-temp");
    fs::create_dir(&temp).unwrap();
    for (name, value) in [("GITHUB_ACTIONS", "true"), ("CI", "true"), ("GITHUB_EVENT_NAME", "push"), ("GITHUB_BASE_REF", "main")] {
        runner.set(name, value);
    }
    for name in ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"] {
        let file = runner.it.outside(name).display().to_string();
        runner.set(name, file);
    }
    runner.set("RUNNER_TEMP", temp.display().to_string());
    runner.set("GITHUB_WORKSPACE", runner.it.outside("work").display().to_string());
    (runner, yaml::read(&fs::read_to_string(file).unwrap()))
}

/// The steps of the only job; that they take no more than they need is asserted.
fn steps(workflow: &Yaml) -> Vec<Yaml> {
    let permissions = workflow.at("permissions").map();
    assert!(permissions.values().all(|v| v.text() == "read" || v.text() == "write"), "{permissions:?}");
    let jobs = workflow.at("jobs").map();
    assert_eq!(jobs.len(), 1);
    let job = jobs.values().next().unwrap();
    assert!(job.at("timeout-minutes").text().parse::<u32>().is_ok());
    let steps = job.at("steps").list().to_vec();
    for uses in steps.iter().filter_map(|s| s.get("uses")) {
        let (action, version) = uses.text().split_once('@').expect("an action is pinned");
        assert!(action.starts_with("actions/") && version.starts_with('v') && version[1..].parse::<u32>().is_ok(), "{action}@{version}");
    }
    let checkout = steps.iter().find(|s| s.get("uses").is_some_and(|u| u.text().starts_with("actions/checkout@"))).unwrap();
    assert_eq!(checkout.at("with").at("fetch-depth").text(), "0");
    steps
}

fn runs(steps: &[Yaml]) -> Vec<String> {
    steps.iter().filter_map(|s| s.get("run")).map(|run| run.text().to_owned()).collect()
}

#[test]
fn the_workflow_for_pull_requests_comments_the_plan_and_runs_nothing() {
    let (mut runner, workflow) = github("plan.yml");
    assert_eq!(workflow.at("permissions").map().keys().collect::<Vec<_>>(), ["contents", "pull-requests"]);
    // A pull request is checked out without a branch.
    runner.git(&["checkout", "-q", "--detach"]);
    runner.git(&["branch", "-q", "-D", "main"]);
    runner.set("GITHUB_EVENT_NAME", "pull_request");
    runner.set("NUMBER", "7");
    let steps = steps(&workflow);
    for run in runs(&steps) {
        runner.run(&run);
    }
    let comment = fs::read_to_string(runner.it.outside("gh")).unwrap();
    assert!(comment.starts_with("pr comment 7 ") && comment.contains("| `+` | index |"), "{comment}");
    assert!(runner.pushed().is_empty());
    // The only word of the expression language that a step needs is its environment's.
    assert!(runs(&steps).iter().all(|run| !run.contains("${{")), "an expression in a script is an injection");
}

#[test]
fn the_workflow_for_main_applies_and_pushes_and_the_next_one_goes_on_where_a_cancelled_one_ended() {
    let (mut runner, workflow) = github("apply.yml");
    assert_eq!(workflow.at("permissions").map().keys().collect::<Vec<_>>(), ["contents"]);
    assert_eq!(workflow.at("concurrency").at("cancel-in-progress").text(), "false");
    let runs = runs(&steps(&workflow));
    assert!(runs.iter().all(|run| !run.contains("${{")), "an expression in a script is an injection");
    let (apply, before) = runs.split_last().unwrap();
    // The guide takes its time: its job is cancelled in the middle.
    let gate = runner.it.outside("gate").display().to_string();
    let tasks = fs::read_to_string("examples/github-actions/drover/pages.toml").unwrap();
    let slow = tasks.replace(
        "run = \"mkdir -p pages && echo 'First",
        "run = \"touch $TMPDIR/slow; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done; mkdir -p pages && echo 'First",
    );
    assert_ne!(slow, tasks);
    fs::write(runner.it.outside("work/drover/pages.toml"), slow).unwrap();
    runner.git(&["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qam", "Slow"]);
    runner.git(&["push", "-q", "origin", "main"]);
    before.iter().for_each(|run| runner.run(run));
    let mut step = runner.step(apply).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the guide is written and the start has landed", || runner.it.outside("slow").exists() && runner.pushed() == ["start"]);
    kill_process(Pid::from_child(&step), Signal::INT).unwrap();
    assert_eq!(step.wait().unwrap().code(), Some(130));
    until("what was tethered has ended", || survivors(&runner.it).is_empty());

    // The next job has a machine of its own.
    fs::write(gate, "").unwrap();
    fs::remove_dir_all(runner.it.outside("work")).unwrap();
    fs::remove_dir_all(runner.it.home().join(".local")).unwrap();
    runner.it.git(&["clone", "-q", runner.it.outside("remote.git").to_str().unwrap(), runner.it.outside("work").to_str().unwrap()]);
    runner.set("GITHUB_OUTPUT", runner.it.outside("second").display().to_string());
    runs.iter().for_each(|run| runner.run(run));
    assert_eq!(runner.pushed(), ["guide", "index", "start"], "each once");
    let outputs = fs::read_to_string(runner.it.outside("second")).unwrap();
    assert!(outputs.contains("completed=3\nfailed=0\nblocked=0\nchanged=true\n"), "{outputs}");
    super::xml::junit(&fs::read_to_string(runner.it.outside("runner-temp/drover.xml")).unwrap());
    assert!(fs::read_to_string(runner.it.outside("GITHUB_STEP_SUMMARY")).unwrap().contains("| index |"));
}

#[test]
fn the_jobs_for_gitlab_plan_and_apply_and_push() {
    let mut runner = Runner::new("examples/gitlab-ci");
    let jobs = yaml::read(&fs::read_to_string("examples/gitlab-ci/.gitlab-ci.yml").unwrap());
    assert_eq!(jobs.at("variables").at("GIT_DEPTH").text(), "0");
    assert_eq!(jobs.at("apply").at("resource_group").text(), "drover");
    let commit = runner.git(&["rev-parse", "HEAD"]);
    runner.git(&["checkout", "-q", "--detach"]);
    runner.git(&["branch", "-q", "-D", "main"]);
    let remote = runner.it.outside("remote.git").display().to_string();
    for (name, value) in [
        ("GITLAB_CI", "true"),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_COMMIT_BRANCH", "main"),
        ("CI_COMMIT_SHA", &commit),
        ("GITLAB_USER_NAME", "Ada"),
        ("GITLAB_USER_EMAIL", "ada@example.com"),
        ("DROVER_PUSH_URL", &remote),
    ] {
        runner.set(name, value);
    }
    let script = |job: &str| jobs.at(job).at("script").list().iter().map(|line| format!("{}\n", line.text())).collect::<String>();
    runner.run(&script("plan"));
    assert!(fs::read_to_string(runner.it.outside("work/plan.md")).unwrap().contains("| `+` | index |"));
    assert!(runner.pushed().is_empty());
    runner.run(&script("apply"));
    assert_eq!(runner.pushed(), ["guide", "index", "start"]);
    let report = jobs.at("apply").at("artifacts").at("reports").at("junit").text().to_owned();
    super::xml::junit(&fs::read_to_string(runner.it.outside("work").join(report)).unwrap());
}
