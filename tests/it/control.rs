//! Verbs beside a running Drover: one record, one answer, whoever gives it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use crate::fixture::{CONFIG, Fixture, ran, repo, until};

/// `a` waits for approval; `slow` keeps the run going until its gate is there.
fn running() -> (Fixture, Child) {
    let it = repo();
    let gate = it.outside("gate").display().to_string();
    let tasks = format!(
        "[[task]]\nid = \"a\"\ntitle = \"A\"\napproval = \"required\"\nprompt = \"$ echo a >a.txt\"\n\
         [[task]]\nid = \"slow\"\ntitle = \"Slow\"\nprompt = \"$ while [ ! -e {gate} ]; do sleep 0.02; done; echo s >s.txt\"\n"
    );
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks");
    let child = it.spawn(&["apply"]);
    waits(&it, "a");
    (it, child)
}

fn status(it: &Fixture, id: &str) -> String {
    let found = it.drover(&["status", "--format", "json"]);
    if found.code != Some(0) {
        return String::new();
    }
    let tasks = found.json()["tasks"].as_array().unwrap().clone();
    tasks.iter().find(|t| t["id"] == id).map(|t| t["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn waits(it: &Fixture, id: &str) {
    until("it waits for approval", || status(it, id) == "blocked");
}

fn open_gate(it: &Fixture) {
    fs::write(it.outside("gate"), "").unwrap();
}

fn socket(it: &Fixture) -> PathBuf {
    PathBuf::from(fs::read_to_string(it.state_dir().join("control")).unwrap())
}

/// What the Drover at work answers to these bytes; nothing if it hangs up.
fn say(it: &Fixture, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket(it)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may hang up before it has heard all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn what_is_approved_beside_a_run_lands_in_it() {
    let (it, child) = running();
    let said = it.drover(&["approve", "a", "--format", "json"]).expect(0).json();
    assert_eq!((said["live"].as_bool(), said["orders"][0]["came_to"].as_str()), (Some(true), Some("done")));
    until("it has landed", || it.landed() == ["a"]);
    assert!(it.drover(&["approve", "a"]).expect(0).out.contains("nothing changed"));
    assert_eq!(it.drover(&["approve", "nobody"]).expect(4).code, Some(4));
    it.drover(&["approve", "slow"]).expect(3);
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(0);
    assert!(!it.state_dir().join("control").exists(), "nobody listens any more");
}

#[test]
fn what_is_rejected_beside_a_run_is_made_anew_in_it() {
    let (it, child) = running();
    it.drover(&["reject", "a", "--reason", "shorter, please"]).expect(0);
    until("a second attempt waits", || it.drover(&["diff", "a", "--attempt", "2"]).code == Some(0));
    waits(&it, "a");
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(5);
    it.drover(&["approve", "a", "--attempt", "2"]).expect(0);
    it.drover(&["apply"]).expect(0);
}

#[test]
fn of_many_who_say_the_same_at_once_one_is_told_that_it_did_something() {
    let (it, child) = running();
    let all: Vec<Child> = (0..8).map(|_| it.spawn(&["approve", "a"])).collect();
    let told: Vec<String> = all.into_iter().map(|c| ran(&c.wait_with_output().unwrap()).expect(0).out).collect();
    assert_eq!(told.iter().filter(|t| !t.contains("nothing changed")).count(), 1, "{told:?}");
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(0);
}

#[test]
fn a_drover_that_was_killed_leaves_a_socket_that_is_in_nobodys_way() {
    let (it, mut child) = running();
    let left = socket(&it);
    assert_eq!(fs::metadata(&left).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(left.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fs::symlink_metadata(&left).unwrap().file_type().is_socket());
    let said = it.drover(&["approve", "a", "--format", "json"]).expect(0).json();
    assert_eq!(said["live"].as_bool(), Some(false));
    let child = it.spawn(&["resume"]);
    until("it has landed", || it.landed() == ["a"]);
    assert!(it.drover(&["approve", "a"]).expect(0).out.contains("nothing changed"));
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(0);
    assert!(!left.exists());
}

#[test]
fn nonsense_on_the_socket_gets_words_and_disturbs_nothing() {
    let (it, child) = running();
    let request = |target: &str, select: &str| {
        format!("{{\"version\":1,\"target\":\"{target}\",\"select\":[{select}],\"act\":{{\"act\":\"approve\",\"attempt\":null}}}}\n")
    };
    for (bytes, word) in [
        (b"\0\xff\xfe\n".to_vec(), "misread"),
        (b"{}\n".to_vec(), "misread"),
        (b"{\"version\":99}\n".to_vec(), "version 99"),
        (b"no end".to_vec(), "misread"),
        (vec![b'['; 4 << 20], ""),
        ([vec![b'['; 100_000], b"\n".to_vec()].concat(), "misread"),
        (request("other", "\"a\"").into_bytes(), "busy"),
        (request("main", "\"((\"").into_bytes(), ""),
        (request("main", "").into_bytes(), "no_match"),
        (request("main", "\"nobody\"").into_bytes(), "no_match"),
        // An apply does not read the files again, whatever is said of them.
        (
            b"{\"version\":1,\"target\":\"main\",\"act\":{\"act\":\"files\",\"read\":\"\",\"removals\":true,\"reruns\":true}}\n".to_vec(),
            "busy",
        ),
        (Vec::new(), ""),
    ] {
        let answer = say(&it, &bytes);
        assert!(answer.contains(word), "{:?}: {answer}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
    }
    // Those who say nothing keep nobody else out.
    let _mute: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(socket(&it)).unwrap()).collect();
    it.drover(&["approve", "a"]).expect(0);
    until("it has landed", || it.landed() == ["a"]);
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(0);
}

#[test]
fn a_record_of_another_target_is_not_touched_beside_a_run() {
    let (it, child) = running();
    let other = repo_of_other(&it);
    it.drover(&["--config", &other, "approve", "a"]).expect(78);
    open_gate(&it);
    ran(&child.wait_with_output().unwrap()).expect(5);
}

fn repo_of_other(it: &Fixture) -> String {
    let path = it.outside("other.toml");
    fs::write(&path, CONFIG.replace("target = \"main\"", "target = \"other\"")).unwrap();
    path.display().to_string()
}

#[test]
fn beside_a_drover_that_was_stopped_verbs_say_so_and_ask_it_nothing() {
    let (it, mut child) = running();
    let signal = |signal| rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    signal(rustix::process::Signal::STOP);
    let stat = format!("/proc/{}/stat", child.id());
    until("it is stopped", || fs::read_to_string(&stat).unwrap().contains(") T "));
    let go_on = format!("kill -CONT {}", child.id());
    for args in [&["cancel", "slow"][..], &["retry", "slow"], &["approve", "a"], &["publish"], &["workers", "2"], &["sync"]] {
        let said = it.drover(args).expect(75).err;
        assert!(said.contains("stopped") && said.contains(&go_on), "{args:?}: {said}");
    }
    assert!(it.drover(&["status"]).expect(0).out.contains(&go_on));
    signal(rustix::process::Signal::CONT);
    open_gate(&it);
    let ended = child.wait().unwrap().code();
    // Nothing of what was said while it was stopped is done later.
    assert_eq!((ended, status(&it, "slow"), status(&it, "a")), (Some(5), "completed".into(), "blocked".into()));
}
