//! The store is lost, damaged or made anew: history has what counts.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::{CONFIG, Fixture, Ran, repo, until};
use crate::kill::{number, shims};

fn task(id: &str, script: &str, needs: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {script:?}\ndepends_on = [{needs}]\n")
}

fn store(it: &Fixture) -> PathBuf {
    it.state_dir().join("store.redb")
}

/// What was set aside, by the beginning of its name.
fn aside(it: &Fixture, prefix: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(it.state_dir()).unwrap().flatten().map(|e| e.path());
    all.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect()
}

/// One task that is done, and one that fails.
fn one_done() -> Fixture {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("{}{}", task("a", "echo a >>a", ""), task("bad", "exit 1", "")))
        .commit("tasks");
    it.drover(&["apply"]).expect(1);
    it
}

#[test]
fn what_the_store_holds_can_be_shown() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &task("a", "echo a >>a", "")).commit("tasks");
    let none = it.drover(&["state", "show"]).expect(78);
    assert!(none.err.contains("there is no store"), "{}", none.err);
    it.drover(&["apply"]).expect(0);
    it.drover(&["apply"]).expect(0);
    let shown = it.drover(&["state", "show"]).expect(0).out;
    for part in ["drover/store.redb", "tables of version 1", "main\n", "1 task, 1 completed; 1 attempts", "of landings, 0 of reverts"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json = it.drover(&["state", "show", "--format", "json"]).expect(0).json();
    assert_eq!(json["targets"][0]["completed"], 1);
    assert_eq!(json["targets"][0]["history"]["tips"][0], it.git(&["rev-parse", "main"]));
}

#[test]
fn a_damaged_store_is_kept_and_made_anew_from_history() {
    let it = one_done();
    let tip = it.git(&["rev-parse", "main"]);
    let junk = b"these are somebody's notes\n".repeat(300);
    fs::write(store(&it), &junk).unwrap();
    for verb in [&["apply"][..], &["plan"], &["status"], &["state", "show"]] {
        let refused = it.drover(verb).expect(70);
        assert!(refused.err.contains("`drover state rebuild` keeps it"), "{verb:?}: {}", refused.err);
    }
    let ran = it.drover(&["state", "rebuild"]).expect(0);
    assert!(ran.out.contains("1 of 2 tasks completed"), "{}", ran.out);
    let kept = aside(&it, "store.redb.corrupt-");
    assert_eq!(kept.iter().map(|p| fs::read(p).unwrap()).collect::<Vec<_>>(), [junk]);
    assert!(ran.out.contains(kept[0].to_str().unwrap()), "{}", ran.out);
    assert_eq!(it.statuses(), [("a".into(), "completed".into()), ("bad".into(), "ready".into())], "of attempts nothing is known");
    it.drover(&["apply", "a"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main"]), tip);
}

#[test]
fn a_whole_store_is_replaced_only_where_that_is_said_and_kept_too() {
    let it = one_done();
    let before = it.statuses();
    let refused = it.drover(&["state", "rebuild"]).expect(3);
    assert!(refused.err.contains("--allow-loss"), "{}", refused.err);
    assert_eq!((it.statuses(), aside(&it, "store.redb.").len()), (before, 0));
    let ran = it.drover(&["state", "rebuild", "--allow-loss", "--format", "json"]).expect(0).json();
    assert_eq!((ran["completed"].as_u64(), ran["tasks"].as_u64()), (Some(1), Some(2)));
    let kept = aside(&it, "store.redb.old-");
    assert_eq!(ran["kept"].as_str(), kept[0].to_str());
    // It can be put back.
    fs::rename(&kept[0], store(&it)).unwrap();
    assert!(it.statuses().contains(&("bad".into(), "failed".into())));
    // Nothing is touched where the files are unfit.
    it.write("drover/t.toml", "titel = 1");
    it.drover(&["state", "rebuild", "--allow-loss"]).expect(78);
    assert!(it.statuses().contains(&("bad".into(), "failed".into())) && aside(&it, "store.redb.old-").is_empty());
}

/// A task whose agent leaves half of its work, and then waits.
fn halfway() -> (Fixture, PathBuf, PathBuf) {
    let it = repo();
    let (ran, gate) = (it.outside("ran"), it.outside("gate"));
    let script =
        format!("echo half >half; echo ran >>{}; while [ ! -e {} ]; do sleep 0.02; done; echo x >x", ran.display(), gate.display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("{}{}", task("first", "echo 1 >>one", ""), task("t", &script, "\"first\"")))
        .commit("tasks");
    (it, ran, gate)
}

/// How many of the refs that keep attempts' work hold what the agent had made.
fn halves(it: &Fixture) -> usize {
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    kept.lines().filter(|r| it.command("git").args(["cat-file", "-e", &format!("{r}:half")]).status().unwrap().success()).count()
}

#[track_caller]
fn both_landed_once(it: &Fixture) {
    assert_eq!(it.landed(), ["first", "t"]);
    assert_eq!(it.read("one"), "1\n");
    assert!(it.standing().is_empty());
}

#[test]
fn an_agent_that_the_lost_store_knew_of_is_ended_and_its_work_kept() {
    let (it, ran, gate) = halfway();
    let mut child = it.drover_command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the agent runs", || ran.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(shims(&it).len(), 1);
    fs::write(store(&it), "").unwrap();
    let rebuilt = it.drover(&["state", "rebuild"]).expect(0);
    assert!(rebuilt.out.contains("Ended 1 attempt"), "{}", rebuilt.out);
    until("the agent has ended", || shims(&it).is_empty());
    fs::write(&gate, "").unwrap();
    it.drover(&["apply"]).expect(0);
    both_landed_once(&it);
    assert!(halves(&it) >= 2, "the work of the first attempt is kept");
}

#[test]
fn with_the_state_directory_deleted_under_a_running_agent_its_work_is_kept_and_the_task_lands_once() {
    let (it, ran, gate) = halfway();
    let child = it.spawn(&["apply"]);
    until("the agent runs", || ran.exists());
    // Who is at work in it may put something new there meanwhile.
    until("it is deleted", || fs::remove_dir_all(it.state_dir()).is_ok() || !it.state_dir().exists());
    // Another Drover may be started while the first has yet to notice.
    let second = it.spawn(&["apply"]);
    until("the agent runs anew", || fs::read_to_string(&ran).unwrap().lines().count() == 2);
    fs::write(&gate, "").unwrap();
    let first = crate::fixture::ran(&child.wait_with_output().unwrap()).expect(70);
    assert!(first.err.contains("was replaced or deleted while Drover was running"), "{}", first.err);
    crate::fixture::ran(&second.wait_with_output().unwrap()).expect(0);
    both_landed_once(&it);
    assert!(halves(&it) >= 2, "the work of the first attempt is kept");
}

/// Does something to the store that no disk and no person should.
fn harm(it: &Fixture, rng: &mut fastrand::Rng) -> String {
    let file = store(it);
    let Ok(mut bytes) = fs::read(&file) else { return "nothing: there is none".into() };
    let at = rng.usize(0..bytes.len().max(1));
    match rng.u8(0..6) {
        0 => {
            fs::remove_file(&file).unwrap();
            return "deleted".into();
        }
        1 => {
            fs::remove_dir_all(it.state_dir()).unwrap();
            return "the state directory deleted".into();
        }
        2 => bytes.truncate(at),
        3 => {
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
        }
        4 => bytes.extend(vec![rng.u8(..); 5000]),
        _ if bytes.is_empty() => {}
        _ => bytes[at] ^= 1 << rng.u8(0..8),
    }
    fs::write(&file, &bytes).unwrap();
    format!("harmed at {at}")
}

/// Applies, and makes the store anew where it says that it must be.
fn go_on(it: &Fixture, what: &str) -> Ran {
    for _ in 0..3 {
        let ran = it.drover(&["apply"]);
        if ran.code != Some(70) {
            return ran;
        }
        assert!(ran.err.contains("drover state rebuild") || ran.err.contains("newer drover"), "{what}: {}", ran.err);
        if it.drover(&["state", "rebuild"]).code == Some(3) {
            it.drover(&["state", "rebuild", "--allow-loss"]).expect(0);
        }
    }
    panic!("{what}: it does not go on");
}

#[test]
fn whatever_happens_to_the_store_each_task_lands_once() {
    let mut rng = fastrand::Rng::with_seed(number("DROVER_HARM_SEED", 1));
    for round in 0..number("DROVER_HARM_ROUNDS", 3) {
        let tasks = [task("a", "echo a >>a", ""), task("b", "echo b >>b", "\"a\""), task("c", "sleep 0.1; echo c >>c", "")].concat();
        let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks");
        for n in 0..4 {
            let mut child = it.drover_command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(rng.u64(0..600)));
            child.kill().unwrap();
            child.wait().unwrap();
            let what = format!("round {round}.{n}: {}", harm(&it, &mut rng));
            if rng.bool() {
                go_on(&it, &what).expect(0);
            }
        }
        let what = format!("round {round}: {}", harm(&it, &mut rng));
        go_on(&it, &what).expect(0);
        let mut landed = it.landed();
        landed.sort();
        assert_eq!(landed, ["a", "b", "c"], "{what}");
        for id in ["a", "b", "c"] {
            assert_eq!(it.read(id), format!("{id}\n"), "{what}");
        }
        assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{what}: {:?}", it.statuses());
        it.git(&["fsck", "--no-dangling"]);
    }
}
