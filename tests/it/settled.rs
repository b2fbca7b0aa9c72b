//! Nothing to do: what a call with nothing to do reads, writes and starts, which is nothing; and that
//! its answer is the one that a look at everything gives.

mod hostile;
mod random;

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::fixture::{CONFIG, Fixture, program, ran, repo, until};

const NOTHING: &str = "Nothing to do: ";

fn task(id: &str, shell: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T {id}\"\nprompt = '''$ {shell}'''\n")
}

/// Three tasks in two directories, applied.
fn applied() -> Fixture {
    let it = repo().file("drover.toml", CONFIG).file(".gitignore", "/log\n");
    for id in ["a", "b", "c"] {
        let dir = if id == "c" { "drover/more" } else { "drover" };
        it.write(&format!("{dir}/{id}.toml"), &task(id, &format!("echo {id} >>{id}.txt")));
    }
    let it = recording_git(it).commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().len(), 3);
    it
}

/// A git that writes down that it was called.
fn recording_git(it: Fixture) -> Fixture {
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    program(&bin.join("git"), format!("#!/bin/sh\necho \"$@\" >>{}\nexec {} \"$@\"\n", it.outside("calls").display(), real.trim()));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    it.env("PATH", &path)
}

/// How often git was called by what `act` does.
fn calls(it: &Fixture, act: impl FnOnce()) -> usize {
    let file = it.outside("calls");
    let _ = fs::remove_file(&file);
    act();
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Whether an apply has nothing to do, and does not look far to know it.
fn is_known(it: &Fixture) -> bool {
    let mut nothing = false;
    let calls = calls(it, || nothing = it.drover(&["apply"]).expect(0).out.starts_with(NOTHING));
    nothing && calls == 0
}

fn proofs(it: &Fixture) -> Vec<PathBuf> {
    fs::read_dir(it.state_dir().join("settled")).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn directories(top: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(top).unwrap().flatten().filter(|e| e.file_type().unwrap().is_dir());
    inner.flat_map(|e| directories(&e.path())).chain([top.to_owned()]).collect()
}

/// What becomes of the files of a repository while `act` goes on: in which way, and its name.
fn watched(it: &Fixture, act: impl FnOnce()) -> Vec<(ReadFlags, String)> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    for dir in directories(&it.root()) {
        inotify::add_watch(&fd, &dir, WatchFlags::ALL_EVENTS).unwrap();
    }
    act();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&fd, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "too much happened");
        if !event.events().contains(ReadFlags::ISDIR) {
            seen.push((event.events(), event.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()));
        }
    }
    seen
}

#[test]
fn a_second_apply_reads_no_task_file_writes_nothing_and_starts_nothing() {
    let it = applied();
    for args in [&["apply"][..], &["plan"], &["plan", "--detailed-exitcode"], &["validate"], &["apply", "--workers", "2"]] {
        let mut calls_of_git = 0;
        let seen = watched(&it, || calls_of_git = calls(&it, || drop(it.drover(args).expect(0))));
        assert_eq!(calls_of_git, 0, "{args:?} called git");
        let reads: Vec<_> = seen.iter().filter(|(_, name)| name.ends_with(".toml") || name == ".gitignore").collect();
        assert!(reads.is_empty(), "{args:?}: {reads:?}");
        let writes = ReadFlags::MODIFY | ReadFlags::ATTRIB | ReadFlags::CLOSE_WRITE | ReadFlags::CREATE | ReadFlags::DELETE;
        let writes = writes | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        let wrote: Vec<_> = seen.iter().filter(|(how, _)| how.intersects(writes)).collect();
        assert!(wrote.is_empty(), "{args:?}: {wrote:?}");
    }
}

#[test]
fn no_system_call_of_a_second_apply_starts_or_changes_anything() {
    let it = applied();
    let trace = it.outside("trace");
    let mut strace = it.command("strace");
    strace
        .args(["-f", "-e", "trace=%process,%file,fsync,fdatasync,ftruncate", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_drover"))
        .arg("apply");
    match strace.output() {
        Ok(output) if output.status.success() => assert!(ran(&output).out.starts_with(NOTHING)),
        _ => return println!("SKIPPED: there is no strace here, or it may not trace"),
    }
    let text = fs::read_to_string(trace).unwrap();
    let named = |names: &[&str]| {
        let call =
            |line: &&str| line.split_whitespace().nth(1).is_some_and(|call| names.iter().any(|n| call.starts_with(&format!("{n}("))));
        text.lines().filter(call).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named(&["execve"]).len(), 1, "but for itself: {text}");
    let forbidden = ["clone", "clone3", "fork", "vfork", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat"];
    assert_eq!(named(&forbidden), [""; 0]);
    assert_eq!(
        named(&["link", "linkat", "symlink", "symlinkat", "fsync", "fdatasync", "ftruncate", "chmod", "fchmodat", "utimensat"]),
        [""; 0]
    );
    let opened = named(&["openat", "open", "creat"]);
    assert!(opened.iter().all(|o| !["O_WRONLY", "O_RDWR", "O_CREAT", "creat("].iter().any(|w| o.contains(w))), "{opened:?}");
    assert!(!opened.iter().any(|o| o.contains(".toml\"")), "{opened:?}");
}

#[test]
fn an_edit_that_leaves_size_and_time_as_they_were_is_noticed() {
    let it = applied();
    assert!(is_known(&it));
    let path = it.path("drover/a.toml");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    it.write("drover/a.toml", &it.read("drover/a.toml").replace("echo a", "echo x"));
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("a.txt"), "a\nx\n");
}

#[test]
fn whatever_a_look_hangs_on_makes_the_next_call_look_at_everything() {
    let it = applied();
    let noticed = |what: &str, act: &dyn Fn()| {
        assert!(is_known(&it), "before {what}");
        act();
        assert!(calls(&it, || drop(it.drover(&["apply"]))) > 0, "{what} was not noticed");
        // It is proved again.
        assert!(is_known(&it), "after {what}");
    };
    noticed("a touched file", &|| {
        File::options().write(true).open(it.path("drover/a.toml")).unwrap().set_modified(SystemTime::now()).unwrap()
    });
    noticed("a copy in place of a file", &|| {
        fs::copy(it.path("drover/b.toml"), it.path("drover/b.new")).unwrap();
        fs::rename(it.path("drover/b.new"), it.path("drover/b.toml")).unwrap();
    });
    noticed("a new directory", &|| fs::create_dir(it.path("drover/new")).unwrap());
    noticed("a name beside the task files", &|| it.write("drover/more/notes.md", "notes"));
    noticed("what git ignores", &|| it.write(".gitignore", "/log\n/other\n"));
    noticed("what git ignores everywhere", &|| {
        fs::create_dir_all(it.home().join(".config/git")).unwrap();
        fs::write(it.home().join(".config/git/ignore"), "*.orig\n").unwrap();
    });
    noticed("what git ignores in this repository", &|| fs::write(it.root().join(".git/info/exclude"), "*.rej\n").unwrap());
    noticed("a commit on the target", &|| drop(it.git(&["commit", "-q", "--allow-empty", "-m", "x"])));
    noticed("another branch", &|| drop(it.git(&["checkout", "-q", "-b", "other"])));
    noticed("the branch of before", &|| drop(it.git(&["checkout", "-q", "main"])));
    noticed("another git", &|| {
        let text = fs::read_to_string(it.outside("bin/git")).unwrap();
        program(&it.outside("bin/git"), format!("{text}\n"));
    });
    noticed("another record", &|| drop(it.drover(&["hint", "a", "softly"]).expect(0)));
    noticed("comments", &|| it.write("drover/a.toml", &format!("# a\n{}", it.read("drover/a.toml"))));
    let with = |name: &str, value: &str| {
        let output = it.drover_command(&["apply"]).env(name, value).output().unwrap();
        ran(&output).expect(0);
    };
    noticed("another environment", &|| assert!(calls(&it, || with("DROVER_COLOR", "always")) > 0));
}

#[test]
fn whoever_asks_for_more_is_told_more() {
    let it = applied();
    assert!(is_known(&it));
    assert!(it.drover(&["-v", "plan"]).expect(0).out.contains("done in "));
    assert_eq!(it.drover(&["plan", "--format", "json"]).expect(0).json()["tasks"].as_array().unwrap().len(), 3);
    assert!(it.drover(&["plan", "--rerun", "a"]).expect(0).out.contains("1 to run again"));
    assert_eq!(it.drover(&["validate", "--format", "json"]).expect(0).json()["tasks"], 3);
    assert!(is_known(&it), "nothing of that made it forget");
    assert_eq!(it.drover(&["apply", "--format", "json"]).expect(0).json()["verdict"], "done");
    assert!(is_known(&it), "nor that");
    assert_eq!(it.drover(&["apply", "nosuch"]).code, Some(4));
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert_eq!(it.landed().len(), 4);
}

#[test]
fn a_proof_that_is_torn_or_gone_is_as_if_there_were_none() {
    let it = applied();
    let [proof] = proofs(&it).try_into().unwrap();
    let whole = fs::read(&proof).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let broken = [Vec::new(), b"\xff\xfe".to_vec(), whole[..whole.len() / 2].to_vec(), flipped(30), flipped(whole.len() - 20)];
    for bytes in broken {
        fs::write(&proof, bytes).unwrap();
        for verb in ["plan", "validate"] {
            assert!(calls(&it, || drop(it.drover(&[verb]).expect(0))) > 0, "{verb} believed it");
        }
        it.drover(&["apply"]).expect(0);
        assert!(is_known(&it));
    }
    // One of another checkout, or that is no file.
    fs::remove_file(&proof).unwrap();
    fs::create_dir(&proof).unwrap();
    assert!(it.drover(&["apply"]).expect(0).out.starts_with(NOTHING));
}

#[test]
fn whoever_is_at_work_is_waited_for_however_settled_all_is() {
    let it = applied();
    let mut watch = it.spawn(&["watch"]);
    until("it rests", || {
        it.drover(&["status"]).out.contains("last run") && fs::read_to_string(it.state_dir().join("lock")).is_ok_and(|l| !l.is_empty())
    });
    until("it has the lock", || it.drover(&["apply"]).code == Some(75));
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::TERM).unwrap();
    watch.wait().unwrap();
    assert!(it.drover(&["apply"]).expect(0).out.starts_with(NOTHING));
}
