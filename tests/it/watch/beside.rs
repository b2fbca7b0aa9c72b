//! What a person says beside a watch, and what it is told to leave out.

use std::fs;

use super::{Watch, idle, project, task};
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

#[test]
fn what_a_watch_takes_for_a_mistake_is_done_when_a_person_says_beside_it_that_it_is_meant() {
    let done = |word: &str| (0..3).map(|n| task(&format!("d{n}"), &format!("echo {word} >d{n}"))).collect::<String>();
    let open: String = (0..4).map(|n| idle(&format!("o{n}"))).collect();
    let it = project(&done("once")).file("drover/open.toml", &open);
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    fs::remove_file(it.path("drover/open.toml")).unwrap();
    it.write("drover/t.toml", &done("again"));
    watch.hears("`drover sync --allow-removals --allow-reruns` beside this watch");
    // One word of two: the other is still missing.
    let half = it.drover(&["sync", "--allow-removals"]).expect(3);
    assert!(half.err.contains("3 of 3 completed tasks would run again") && half.err.contains("--allow-reruns"), "{}", half.err);
    assert_eq!(it.statuses().len(), 7);
    let said = it.drover(&["sync", "--allow-removals", "--allow-reruns", "--format", "json"]).expect(0).json();
    assert_eq!((said["changes"].as_u64(), said["live"].as_bool()), (Some(7), Some(true)), "{said}");
    until("all of it is done", || it.landed().len() == 6 && it.statuses().len() == 3);
    // It was of those files, and not of what comes later.
    let told = |what: &str, times: usize| until(what, || watch.said().matches("3 of 3 completed tasks would run again").count() >= times);
    it.write("drover/t.toml", &done("once more"));
    told("it is refused again", 3);
    it.drover(&["sync", "--allow-reruns"]).expect(0);
    until("that is done, too", || it.landed().len() == 9);
    // What is no mistake needs no word, and every task file at once is one.
    assert!(it.drover(&["sync", "--allow-reruns"]).expect(0).out.contains("Nothing changed"));
    it.write("drover/t.toml", &format!("{}{open}", done("once more")));
    until("they are known again", || it.statuses().len() == 7);
    fs::rename(it.path("drover"), it.path("away")).unwrap();
    watch.hears("there is no task file any more");
    it.drover(&["sync", "--allow-removals"]).expect(0);
    until("they are gone", || it.statuses().is_empty());
    watch.stop(0);
}

#[test]
fn a_word_on_files_that_the_watch_reads_otherwise_counts_for_nothing() {
    let done = |word: &str| (0..3).map(|n| task(&format!("d{n}"), &format!("echo {word} >d{n}"))).collect::<String>();
    let it = project(&done("once"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("drover/t.toml", &done("again"));
    watch.hears("would run again");
    // As a person saw them who was slow to answer.
    let other = it.outside("other.toml").display().to_string();
    fs::copy(it.path("drover.toml"), &other).unwrap();
    fs::write(&other, format!("{CONFIG}\n[merge]\nverify = [\"true\"]\n")).unwrap();
    let late = it.drover(&["--config", &other, "sync", "--allow-reruns"]).expect(3);
    assert!(late.err.contains("they have changed since") && late.err.contains("say it again"), "{}", late.err);
    assert_eq!(it.landed().len(), 3);
    it.git(&["checkout", "-q", "-b", "elsewhere"]);
    watch.hears("instead of `main`");
    let away = it.drover(&["sync", "--allow-reruns"]).expect(3);
    assert!(away.err.contains("until it is checked out again"), "{}", away.err);
    it.git(&["checkout", "-q", "main"]);
    watch.hears("going on");
    it.drover(&["sync", "--allow-reruns"]).expect(0);
    until("it is done", || it.landed().len() == 6);
    watch.stop(0);
}

#[test]
fn on_another_branch_what_is_at_work_is_seen_and_ordered_all_the_same() {
    let it = repo().file("drover.toml", &CONFIG.replace("target = \"main\"\n", ""));
    let (begun, gate) = (it.outside("begun"), it.outside("gate"));
    let waits = task("a", &format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", begun.display(), gate.display()));
    let it = it.file("drover/t.toml", &waits).commit("tasks");
    let watch = Watch::start(&it, &[]);
    until("a is at work", || begun.exists());
    for way in [["checkout", "-qb", "feature"], ["checkout", "-q", "--detach"]] {
        it.git(&way);
        let status = it.drover(&["status", "--format", "json"]).expect(0).json();
        assert_eq!(status["tasks"][0]["status"], "in_progress", "{status}");
        it.drover(&["hint", "a", "Mind the gap."]).expect(0);
    }
    it.drover(&["cancel", "a"]).expect(0);
    until("it is cancelled", || it.statuses() == [("a".into(), "cancelled".into())]);
    watch.stop(5);
    // Nobody is at work: what is checked out counts.
    it.git(&["checkout", "-q", "feature"]);
    assert!(it.drover(&["status"]).expect(78).err.contains("`feature`"));
}

#[test]
fn a_watch_whose_files_say_more_than_it_took_over_does_not_end_as_done() {
    let tasks = |text: &str| (1..=3).map(|n| task(&format!("t{n}"), &format!("echo {text} >t{n}"))).collect::<String>();
    let it = project(&tasks("1"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    assert!(it.drover(&["status"]).expect(0).out.contains("a Drover is there, and has nothing to do"));
    it.write("drover/t.toml", "[[task]\n");
    watch.hears("the files have 1 mistake");
    let out = watch.stop(78);
    assert!(out.contains("the files say more than was taken over: the files have 1 mistake"), "{out}");
    assert!(!it.drover(&["status"]).expect(0).out.contains("a Drover is there"));
    it.write("drover/t.toml", &tasks("1"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("drover/t.toml", &tasks("2"));
    watch.hears("--allow-reruns");
    it.write("drover/t.toml", &tasks("1"));
    watch.hears("nothing is refused any more");
    it.write("drover/t.toml", &tasks("3"));
    until("it is refused again", || watch.said().matches("would run again").count() == 2);
    let out = watch.stop(3);
    assert!(!out.contains("Done"), "{out}");
    let watch = Watch::start(&it, &["--allow-reruns"]);
    watch.rests(1);
    watch.stop(0);
}
