//! Publishing by the program: what is in the way, and what becomes of it when it no longer is.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo, until};

fn task(id: &str, line: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {line:?}\n")
}

fn with(tasks: &str) -> Fixture {
    repo().file("drover.toml", CONFIG).file("a", "old\n").file("drover/t.toml", tasks).commit("tasks")
}

#[test]
fn an_index_lock_at_the_wrong_instant_is_waited_for() {
    let it = with(&task("a", "echo new >a"));
    let lock = it.path(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let child = it.spawn(&["apply", "--format", "json"]);
    until("it is held", || it.drover(&["status"]).out.contains("another git command is at work"));
    fs::remove_file(&lock).unwrap();
    let ran = crate::fixture::ran(&child.wait_with_output().unwrap()).expect(0);
    assert_eq!(ran.json()["publish"]["state"], "done");
    assert_eq!(it.read("a"), "new\n");
}

#[test]
fn what_waits_for_the_checkout_is_published_in_mid_run_once_the_way_is_free() {
    let it = repo();
    let gate = it.outside("gate");
    let slow = task("slow", &format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display()));
    let it = it
        .file("drover.toml", CONFIG)
        .file("a", "old\n")
        .file("drover/t.toml", &format!("{}{slow}", task("a", "echo new >a")))
        .commit("tasks");
    it.write("a", "mine\n");
    let mut child = it.spawn(&["apply"]);
    until("it waits", || it.drover(&["status"]).out.contains("waiting for your checkout: a"));
    it.git(&["checkout", "-q", "a"]);
    // Git takes the file away before it writes the new one.
    until("it is published", || fs::read_to_string(it.path("a")).is_ok_and(|text| text == "new\n"));
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
