//! Files that a task's work depends on: when they change on the target, it runs again.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo, until};

/// An agent that notes its prompt, and makes one file of another.
fn project(more: &str) -> Fixture {
    let it = repo();
    let prompts = it.outside("prompts").display().to_string();
    let shell = format!("cat >>{prompts}; mkdir -p out; cat api/* | tr a-z A-Z >out/client");
    let agent = format!("[agents.note]\nkind = \"command\"\nshell = {shell:?}\n");
    let task = format!("[[task]]\nid = \"client\"\ntitle = \"Client\"\nagent = \"note\"\nprompt = \"Make it.\"\n{more}");
    it.file("drover.toml", &format!("{CONFIG}{agent}")).file("drover/t.toml", &task).file("api/a", "one\n").commit("tasks")
}

#[test]
fn a_task_runs_again_when_its_committed_inputs_have_changed_and_is_told_which() {
    let it = project("inputs = [\"api/**\", \"out/**\"]\n");
    it.drover(&["apply"]).expect(0);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"), "what it wrote itself is no reason");
    it.write("api/a", "two\n");
    it.write("other", "x");
    it.drover(&["plan", "--detailed-exitcode"]).expect(0);
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "another api"]);
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(2).out;
    assert!(plan.contains("~ client") && plan.contains("api/a changed") && plan.contains("runs again (inputs, drover/t.toml:1"), "{plan}");
    assert!(!plan.contains("other"), "{plan}");
    it.drover(&["sync"]).expect(0);
    let status = it.drover(&["status"]).expect(0).out;
    assert!(status.contains("runs again: api/a changed"), "{status}");
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["inputs_changed"][0], "api/a");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("out/client"), "TWO\n");
    let prompts = fs::read_to_string(it.outside("prompts")).unwrap();
    let (first, second) = prompts.split_at(prompts.rfind("# Task client").unwrap());
    assert!(second.contains("# It was done before") && second.contains("api/a"), "{second}");
    assert!(!first.contains("# It was done before"), "{first}");
    // New files and removed ones count too; a fresh clone knows it as well.
    it.git(&["rm", "-q", "api/a"]);
    it.write("api/b", "three\n");
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "moved"]);
    fs::remove_dir_all(it.state_dir()).unwrap();
    assert!(it.drover(&["plan"]).expect(0).out.contains("api/a, api/b changed"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("out/client"), "THREE\n");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn a_task_in_the_checkout_is_compared_with_what_had_landed_when_it_began() {
    let it = project("inputs = [\"api/*\"]\nworkspace = \"checkout\"\nallow_empty = true\n");
    it.drover(&["apply"]).expect(0);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    it.write("api/a", "two\n");
    it.git(&["commit", "-qam", "another api"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("out/client"), "TWO\n");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_others_change_of_them_while_the_task_runs_was_not_seen_by_it() {
    let it = project("inputs = [\"api/*\", \"out/*\"]\n");
    let (begun, gate) = (it.outside("begun"), it.outside("gate"));
    let config = it.read("drover.toml");
    let waits = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", begun.display(), gate.display());
    it.write("drover.toml", &config.replace(">out/client", &format!(">out/client; {waits}")));
    it.git(&["commit", "-qam", "slowly"]);
    let child = it.spawn(&["apply"]);
    until("it has read them", || begun.exists());
    it.write("api/a", "two\n");
    it.git(&["commit", "-qam", "another api"]);
    fs::write(gate, "").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(it.read("out/client"), "ONE\n");
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(2).out;
    assert!(plan.contains("api/a changed") && !plan.contains("out/client changed"), "{plan}");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("out/client"), "TWO\n");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}
