//! Tasks that are given another id: `[[moved]]`.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo, until};

fn task(id: &str, script: &str, needs: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {script:?}\ndepends_on = [{needs}]\n")
}

fn moved(from: &str, to: &str) -> String {
    format!("[[moved]]\nfrom = \"{from}\"\nto = \"{to}\"\n")
}

/// Commits this as the task file.
fn tasks(it: &Fixture, text: &str) {
    it.write("drover/t.toml", text);
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "tasks"]);
}

#[track_caller]
fn has_nothing_to_do(it: &Fixture, names: &[&str]) {
    let tip = it.git(&["rev-parse", "main"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main"]), tip, "something was done again");
    let found: Vec<(String, String)> = names.iter().map(|n| (n.to_string(), "completed".into())).collect();
    assert_eq!(it.statuses(), found);
    let again = it.drover(&["apply"]).expect(0);
    assert!(again.out.contains("Nothing to do"), "{}", again.out);
}

#[test]
fn a_renamed_task_keeps_what_was_done_here_and_in_a_clone() {
    let it = repo().file("drover.toml", CONFIG);
    tasks(&it, &(task("a", "echo a >>a", "") + &task("b", "echo b >>b", "\"a\"")));
    it.drover(&["apply"]).expect(0);
    let second = task("second", "echo a >>a", "") + &task("b", "echo b >>b", "\"second\"") + &moved("a", "second");
    tasks(&it, &second);
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(plan.out.contains("> a -> second") && plan.out.contains("moved (drover/t.toml:11)"), "{}", plan.out);
    assert!(plan.out.contains("1 renamed") && plan.out.contains("2 up to date"), "{}", plan.out);
    let json = it.drover(&["plan", "--format", "json"]).expect(0).json();
    assert_eq!((json["moved"][0]["from"].as_str(), json["moved"][0]["to"].as_str()), (Some("a"), Some("second")));
    assert_eq!((json["pending"].as_bool(), json["summary"]["moved"].as_u64()), (Some(false), Some(1)));
    has_nothing_to_do(&it, &["b", "second"]);
    assert_eq!(it.drover(&["logs", "second", "--format", "json"]).expect(0).json()["task"], "second");
    assert!(!it.drover(&["plan"]).expect(0).out.contains("second"), "it is told once");
    // Renamed again, with the chain of blocks that this makes, in a clone that knows nothing else.
    let third = second.replace("\"second\"", "\"third\"").replace("to = \"third\"", "to = \"second\"") + &moved("second", "third");
    tasks(&it, &third);
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    let clone = it.drover(&["-C", "../tmp/clone", "apply"]).expect(0);
    assert!(clone.err.contains("third") && clone.err.contains("found in history"), "{}", clone.err);
    assert_eq!(it.git(&["-C", "../tmp/clone", "rev-parse", "main"]), it.git(&["rev-parse", "main"]));
    has_nothing_to_do(&it, &["b", "third"]);
    // The definition under the new id is compared with the one that landed under the first.
    tasks(&it, &third.replace("echo a >>a", "echo c >>a"));
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a"), it.read("b")), ("a\nc\n".into(), "b\n".into()));
}

#[test]
fn a_task_that_is_renamed_while_its_agent_runs_goes_on_under_its_new_id() {
    let it = repo().file("drover.toml", CONFIG);
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script = format!("echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    tasks(&it, &(task("old", &script, "") + &task("next", "cat x >y", "\"old\"")));
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || ran.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    tasks(&it, &(task("new", &script, "") + &task("next", "cat x >y", "\"new\"") + &moved("old", "new")));
    let mut child = it.spawn(&["apply"]);
    until("it is taken up", || it.drover(&["status"]).out.contains("* new"));
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n", "not run again");
    assert_eq!(it.landed(), ["new", "next"]);
    has_nothing_to_do(&it, &["new", "next"]);
}

#[test]
fn a_rename_that_is_not_declared_is_recognised_and_the_block_that_plan_prints_mends_it() {
    let it = repo().file("drover.toml", CONFIG);
    tasks(&it, &task("old", "echo a >>a", ""));
    it.drover(&["apply"]).expect(0);
    let renamed = task("new", "echo a >>a", "");
    tasks(&it, &renamed);
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(2).out;
    let block: Vec<&str> = plan.lines().skip_while(|l| !l.contains("[[moved]]")).take(3).map(str::trim).collect();
    assert_eq!(block.join("\n") + "\n", moved("old", "new"), "{plan}");
    tasks(&it, &format!("{renamed}{}\n", block.join("\n")));
    it.drover(&["plan", "--detailed-exitcode"]).expect(0);
    has_nothing_to_do(&it, &["new"]);
}

#[test]
fn a_record_is_not_carried_over_to_a_task_that_has_one() {
    let it = repo().file("drover.toml", CONFIG);
    tasks(&it, &(task("old", "echo a >>a", "") + &task("new", "echo b >>b", "")));
    it.drover(&["apply"]).expect(0);
    tasks(&it, &(task("new", "echo b >>b", "") + &moved("old", "new")));
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.err.contains("`old` is moved to `new`, which has a record of its own"), "{}", plan.err);
    has_nothing_to_do(&it, &["new"]);
    assert!(it.drover(&["plan"]).expect(0).err.is_empty(), "told until it has left the record");
}
