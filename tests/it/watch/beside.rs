//! What a person says beside a watch, and what it is told to leave out.

use std::fs;

use super::{Watch, project, task};
use crate::fixture::{CONFIG, repo, until};

#[test]
fn what_is_selected_and_changed_at_once_never_runs_as_it_was() {
    let it = repo().file("drover.toml", CONFIG);
    let (ran, gate) = (it.outside("ran").display().to_string(), it.outside("gate").display().to_string());
    let slow = format!("{}labels = [\"now\"]\n", task("slow", &format!("while [ ! -e {gate} ]; do sleep 0.02; done; echo s >s")));
    let later =
        |label: &str, word: &str| format!("{slow}{}labels = [\"{label}\"]\n", task("x", &format!("echo {word} >>{ran}; echo {word} >x")));
    let it = it.file("drover/t.toml", &later("later", "old")).commit("tasks");
    let watch = Watch::start(&it, &["-s", "label:now"]);
    watch.hears("slow  claimed");
    // In one piece: the one is never seen without the other.
    it.write("t.new", &later("now", "new"));
    fs::rename(it.path("t.new"), it.path("drover/t.toml")).unwrap();
    until("x has landed", || it.landed() == ["x"]);
    fs::write(&gate, "").unwrap();
    watch.rests(1);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "new\n", "{}", watch.said());
    watch.stop(0);
}

#[test]
fn what_a_person_wants_of_a_task_that_a_watch_leaves_out_is_recorded_and_the_answer_says_so() {
    let x = format!("{}retry = {{ max_attempts = 1 }}\n", task("x", "exit 3"));
    let it = project(&format!("{}{x}{}", task("a", "echo $$ >>a"), task("y", "echo 1 >y")));
    it.drover(&["apply", "x", "a"]).expect(1);
    let watch = Watch::start(&it, &["a"]);
    watch.rests(1);
    let left_out = "but the Drover at work has not selected it";
    let says = |args: &[&str], words: &str| {
        let said = it.drover(args).expect(0).out;
        assert!(said.contains(words) && said.contains(left_out), "{said}");
    };
    says(&["retry", "x"], "x: tried again with 1 attempt: it had failed 1 time");
    says(&["retry", "y"], "y: has all its attempts");
    it.drover(&["cancel", "y"]).expect(0);
    says(&["unsuspend", "y"], "y: cancelled no more");
    let said = it.drover(&["reset", "a"]).expect(0).out;
    assert!(!said.contains(left_out), "{said}");
    until("a is done again", || it.landed() == ["a", "a"]);
    watch.stop(0);
    let ready: Vec<_> = ["x", "y"].iter().map(|id| ((*id).to_owned(), "ready".to_owned())).collect();
    assert_eq!(it.statuses()[1..], ready);
}
