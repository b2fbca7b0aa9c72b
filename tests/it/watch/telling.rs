//! What a watch says, and what it does not: of edits that change no task, of what it did in all, of
//! what is in its way.

use std::fs;

use super::{Watch, idle, project, task};
use crate::fixture::{CONFIG, repo, until};

#[test]
fn a_save_that_changes_no_task_begins_no_run_and_nothing_is_said_to_be_published() {
    let tasks = format!("{}{}", task("a", "echo 1 >a"), task("b", "echo 1 >b"));
    let it = project(&tasks);
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let runs = || fs::read_dir(it.state_dir().join("runs")).unwrap().count();
    let (before, published) = (runs(), watch.said().matches("published").count());
    let stands_in = |file: &str| {
        let status = it.drover(&["status", "--format", "json"]).expect(0).json();
        status["tasks"].as_array().unwrap().iter().all(|t| t["source"]["file"] == file)
    };
    it.write("new", &format!("# words\n\n{tasks}"));
    fs::rename(it.path("new"), it.path("drover/t.toml")).unwrap();
    watch.hears("no task says anything else");
    fs::rename(it.path("drover/t.toml"), it.path("drover/u.toml")).unwrap();
    until("that they stand elsewhere is recorded", || stands_in("drover/u.toml"));
    // What says something else is taken up as ever, after that and together with it.
    it.write("drover/new.toml", &task("c", "echo 1 >c"));
    watch.rests(2);
    assert_eq!(runs(), before + 1);
    let said = watch.stop(0);
    assert_eq!(said.matches("no task says anything else").count(), 2, "{said}");
    assert_eq!(said.matches("published").count(), published + 1, "{said}");
    assert!(!said.contains("= a") || !said.contains("done in"), "{said}");
}

#[test]
fn what_was_published_is_told_once() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("drover/new.toml", &idle("b"));
    watch.rests(2);
    let said = watch.stop(0);
    assert_eq!(said.matches("published").count(), 1, "{said}");
}

#[test]
fn the_last_word_of_a_watch_is_of_all_of_it() {
    let it = project(&task("before", "echo 1 >before"));
    it.drover(&["apply"]).expect(0);
    let out = it.outside("out");
    let mut command = it.drover_command(&["watch"]);
    let said = it.outside("said");
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&said).unwrap());
    let watch = Watch { child: command.spawn().unwrap(), said };
    watch.rests(1);
    for (times, id) in [(2, "a"), (3, "b")] {
        it.write(&format!("drover/{id}.toml"), &task(id, &format!("echo 1 >{id}")));
        watch.rests(times);
    }
    watch.stop(0);
    let out = fs::read_to_string(out).unwrap();
    let rows: Vec<&str> = out.lines().filter_map(|l| l.trim_start().strip_prefix("= ")?.split_whitespace().next()).collect();
    assert_eq!(rows, ["a", "b"], "{out}");
    assert!(out.contains("1 done before this watch") && out.contains(" of watching: 3 of 3 completed."), "{out}");
}

#[test]
fn a_git_that_is_at_work_when_the_watch_starts_is_waited_for() {
    let it = project("[[task");
    fs::write(it.path(".git/index.lock"), "").unwrap();
    let watch = Watch::start(&it, &[]);
    watch.hears("git is at work (");
    it.write("drover/t.toml", &task("a", "echo 1 >a"));
    fs::remove_file(it.path(".git/index.lock")).unwrap();
    watch.rests(1);
    assert_eq!(it.landed(), ["a"]);
    assert!(!watch.said().contains("mistake"), "{watch}");
    watch.stop(0);
}

#[test]
fn a_rebase_that_is_under_way_when_the_watch_starts_is_waited_for() {
    let it = project(&task("a", "echo 1 >a"));
    it.git(&["checkout", "-q", "-b", "side"]);
    it.write("drover/t.toml", &task("a", "echo side >a"));
    it.git(&["commit", "-qam", "side"]);
    it.git(&["checkout", "-q", "main"]);
    it.write("drover/t.toml", &task("a", "echo main >a"));
    it.git(&["commit", "-qam", "main"]);
    assert!(!it.command("git").args(["rebase", "side"]).output().unwrap().status.success());
    let watch = Watch::start(&it, &[]);
    watch.hears("a rebase is under way");
    it.write("drover/t.toml", &task("a", "echo both >a"));
    it.git(&["add", "-A"]);
    it.git(&["-c", "core.editor=true", "rebase", "--continue"]);
    watch.rests(1);
    assert_eq!(it.landed(), ["a"], "{watch}");
    watch.stop(0);
}

#[test]
fn a_file_that_was_in_the_way_of_publishing_and_is_moved_away_is_noticed() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &task("a", "mkdir -p deep; echo 1 >deep/a; echo 1 >b"));
    let it = it.commit("tasks");
    it.write("deep/a", "mine");
    it.write("b", "mine, too");
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    watch.hears("waiting for your checkout");
    fs::rename(it.path("b"), it.outside("b")).unwrap();
    watch.rests(2);
    fs::rename(it.path("deep"), it.outside("deep")).unwrap();
    watch.rests(3);
    watch.hears("published");
    assert_eq!((it.read("deep/a"), it.read("b")), ("1\n".into(), "1\n".into()));
    watch.stop(0);
}

#[test]
fn a_time_at_which_nobody_could_look_is_refused() {
    let it = project(&task("a", "echo 1 >a"));
    for odd in ["0s", "1ms", "2h", "3650d"] {
        let said = it.drover(&["watch", "--poll", odd]).expect(64).err;
        assert!(said.contains("10ms") && said.contains("1h"), "{said}");
    }
    let by_environment = it.drover_command(&["watch"]).env("DROVER_POLL", "0s").output().unwrap();
    assert_eq!(by_environment.status.code(), Some(64));
}
