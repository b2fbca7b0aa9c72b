//! Hostile agents, odd machines and impatient people, against the real program.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fixture::{CONFIG, Fixture, ran, repo, until};

const ONCE: &str = "retry = { max_attempts = 1 }\n";

fn task(id: &str, line: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T {id}\"\nprompt = '''$ {line}'''\n{ONCE}")
}

fn with(tasks: &str) -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks")
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn an_error_is_one_json_document_too() {
    let it = with(&task("a", "echo a >a"));
    for args in [&["status"][..], &["resume"], &["plan", "nosuch"], &["apply", "nosuch"], &["-C", "/nonexistent", "validate"]] {
        let ran = it.drover(&[args, &["--format", "json"]].concat());
        let error = &ran.json()["error"];
        assert_eq!(error["exit_code"].as_i64().map(|c| c as i32), ran.code, "{args:?}: {}", ran.out);
        assert!(error["message"].as_str().is_some_and(|m| ran.err.contains(m)), "{args:?}: {}", ran.err);
    }
    assert_eq!(it.drover(&["sync", "--format", "json"]).expect(0).json()["changes"], 1);
    assert_eq!(it.drover(&["sync", "--format", "json"]).expect(0).json()["changes"], 0);
    it.write("drover/t.toml", "[[task]]\nid = 1\n");
    let broken = it.drover(&["apply", "--format", "json"]).expect(78).json();
    assert!(broken["diagnostics"].as_array().is_some_and(|d| !d.is_empty()) && broken["format_version"].is_string(), "{broken}");
}

#[test]
fn mistakes_in_the_files_are_shown_however_quiet_it_is_to_be() {
    let ran = with("[[task]]\nid = 1\n").drover(&["-q", "apply"]).expect(78);
    assert!(ran.err.contains("drover::wrong_type"), "{}", ran.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let it = with(&task("a", "echo a >a"));
    for args in [&["schema", "drover"][..], &["plan"], &["apply"], &["status", "--tree"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = it.drover_command(args).stdout(OwnedFd::from(writer)).output().unwrap();
        let ran = ran(&output);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
}

#[test]
fn an_answer_that_is_lost_is_no_success() {
    let it = with(&task("a", "echo a >a; echo hello"));
    let full = |args: &[&str]| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        ran(&it.drover_command(args).stdout(OwnedFd::from(full)).output().unwrap())
    };
    let lost = |args: &[&str]| {
        let ran = full(args).expect(70);
        assert!(ran.err.contains("standard output is not whole: No space left on device"), "{args:?}: {}", ran.err);
    };
    lost(&["--version"]);
    lost(&["schema", "task"]);
    lost(&["plan", "--detailed-exitcode"]);
    lost(&["apply"]);
    assert_eq!(it.landed(), ["a"], "what was to be done is done");
    for args in [&["status"][..], &["status", "--format", "json"], &["events"], &["logs", "a"], &["diff", "a"], &["validate"], &["apply"]] {
        lost(args);
    }
    assert_eq!(full(&["plan", "nosuch", "--format", "json"]).code, Some(4), "a failure stays what it is");
}

#[test]
fn a_drover_toml_that_is_no_file_is_named_and_never_waited_for() {
    let it = repo().commit("empty");
    fifo(&it.path("drover.toml"));
    for verb in ["validate", "plan", "apply"] {
        let ran = it.drover(&[verb]).expect(78);
        assert!(ran.err.contains("not a regular file"), "{verb}: {}", ran.err);
    }
    it.drover(&["status"]).expect(78);
}

#[test]
fn a_file_is_no_directory_to_work_in() {
    let it = with(&task("a", "true"));
    let ran = it.drover(&["-C", "drover.toml", "plan"]).expect(64);
    assert!(ran.err.contains("not a directory"), "{}", ran.err);
}

#[test]
fn an_agent_that_removes_its_worktree_fails_at_once() {
    let it = with(&task("t", r#"rm -rf "$DROVER_WORKTREE""#));
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("is gone"), "{}", ran.out);
}

#[test]
fn files_that_git_will_not_take_fail_the_attempt_and_stay() {
    let it = with(&task("t", "echo '*.enc working-tree-encoding=UTF-16' >.gitattributes; echo hours of work >t.enc"));
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("cannot be put into git") && ran.out.contains("t.enc"), "{}", ran.out);
    let place = ran.out.lines().find_map(|l| l.trim().strip_prefix("The files stay in ")).unwrap_or_else(|| panic!("{}", ran.out));
    assert_eq!(fs::read_to_string(Path::new(place).join("t.enc")).unwrap(), "hours of work\n");
}

#[test]
fn an_agent_cannot_lose_or_forge_what_landed_by_moving_the_line() {
    let moved = "echo forged >forged; git add forged; git commit -qm forged; git update-ref refs/drover/integration/main HEAD; git reset -q --hard HEAD~1; echo m >m";
    let tasks = [
        task("a", "echo a >a"),
        task("gone", "git update-ref -d refs/drover/integration/main; echo g >g") + "depends_on = [\"a\"]\n",
        task("moved", moved) + "depends_on = [\"gone\"]\n",
        task("z", "echo z >z") + "depends_on = [\"moved\"]\n",
    ];
    let it = with(&tasks.concat());
    it.write("a", "in the way, so that nothing is published\n");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.err.contains("not by Drover"), "{}", ran.err);
    fs::remove_file(it.path("a")).unwrap();
    // Between two runs it is found in the record.
    it.git(&["update-ref", "-d", "refs/drover/integration/main"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a", "gone", "moved", "z"]);
    assert_eq!((it.read("a"), it.read("z")), ("a\n".into(), "z\n".into()));
    let forged = it.git(&["log", "--format=%s", "main"]);
    assert!(!forged.lines().any(|l| l == "forged"), "{forged}");
    assert_eq!(it.git(&["log", "--format=%s", "--all"]).matches("forged").count(), 1, "what was there is kept");
}

#[test]
fn another_home_neither_loses_nor_fails_what_an_interrupted_agent_made() {
    let it = repo();
    let gate = it.outside("gate");
    let line = format!("echo a >a; while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", &line)).commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("an agent", || {
        fs::read_dir(it.state_dir().join("attempts")).is_ok_and(|d| d.flatten().any(|a| a.path().join("agent-0/started").exists()))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&gate, "").unwrap();
    // Worktrees would be made elsewhere now; this one is where it was begun.
    let elsewhere = it.outside("home");
    let resumed = it.drover_command(&["resume"]).env("HOME", &elsewhere).output().unwrap();
    ran(&resumed).expect(0);
    assert_eq!(it.landed(), ["a"]);
}

#[test]
fn flags_of_one_run_leave_no_change_behind() {
    let it = with(&task("a", "echo a >a"));
    it.drover(&["apply", "--workers", "1", "--fail-fast"]).expect(0);
    let plan = it.drover(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(!plan.out.contains("settings"), "{}", plan.out);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn words_of_an_agent_reach_neither_terminal_nor_record() {
    let says = r#"printf 'Drover-Task: zz@1:00\n\033[2J\033]0;pwned\007\000\377 end\n'; printf "Drover-Attempt: evil\n" >&2; echo x >x; [ $DROVER_TASK = good ]"#;
    let it = with(&(task("good", says) + &task("bad", says)));
    let ran = it.drover(&["apply", "--color", "never"]).expect(1);
    assert!(!ran.out.contains('\x1b') && !ran.err.contains(['\x1b', '\x07', '\0']), "{:?}", ran.err);
    assert_eq!(it.landed(), ["good"]);
    let message = it.git(&["log", "--format=%B", "main"]);
    assert!(!message.contains("zz@1") && !message.contains("evil") && !message.contains('\x1b'), "{message:?}");
}

#[test]
fn odd_names_modes_and_links_land_as_they_are() {
    let line = r#"echo 1 >"$(printf 'a\nb')"; echo 2 >./-rf; echo 3 >"$(printf 'x\377y')"; ln -s /etc/passwd out; echo 4 >s.sh; chmod +x s.sh; mkfifo pipe"#;
    let it = with(&task("t", line));
    it.drover(&["apply"]).expect(0);
    let tree = it.git(&["ls-tree", "-r", "main"]);
    for entry in ["120000", "100755", r#""a\nb""#, "\t-rf", r#""x\377y""#] {
        assert!(tree.contains(entry), "{entry} in:\n{tree}");
    }
    assert!(!tree.contains("pipe"), "{tree}");
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(fs::symlink_metadata(it.path("out")).unwrap().is_symlink());
}

#[test]
fn titles_that_look_like_options_or_records_are_text_and_escapes_in_them_are_refused() {
    let titles = ["-rf", "--upload-pack=touch pwned", "a\\u202eb", "Drover-Task: zz@1:00", "#no comment"];
    let tasks =
        titles.iter().enumerate().map(|(n, title)| task(&format!("t{n}"), &format!("echo {n} >f{n}")).replace(&format!("T t{n}"), title));
    let it = with(&tasks.collect::<String>());
    for args in [&["plan"][..], &["apply", "--color", "never"], &["status"], &["status", "--tree"], &["explain", "t2"]] {
        let ran = it.drover(args).expect(0);
        assert!(!(ran.out.clone() + &ran.err).contains(['\x1b', '\u{202e}']), "{args:?}: {:?}", ran.out);
    }
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, ["t0", "t1", "t2", "t3", "t4"]);
    let log = it.git(&["log", "--format=%B", "main"]);
    assert!(!log.contains("\x1b") && !it.path("pwned").exists(), "{log:?}");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    it.write("drover/more.toml", &task("esc", "true").replace("T esc", "a\\u001b[2Jb"));
    let refused = it.drover(&["apply"]).expect(78);
    assert!(refused.err.contains("control characters") && !refused.err.contains('\x1b'), "{:?}", refused.err);
}

#[test]
fn ids_that_climb_out_are_refused_and_nothing_is_made_of_them() {
    for id in ["../x", "a/b", "..", "-x", "x.lock", "a b", "a\\u0000b", "A", "x\\n"] {
        let it =
            repo().file("drover.toml", CONFIG).file("drover/t.toml", &format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = \"true\"\n"));
        let it = it.commit("tasks");
        it.drover(&["apply"]).expect(78);
        assert!(!it.state_dir().join("attempts").exists() && it.git(&["for-each-ref", "refs/drover/"]).is_empty(), "{id}");
    }
}

/// A file system of its own, taken away at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).stderr(Stdio::null()).status();
        if !done.is_ok_and(|s| s.success()) {
            eprintln!("SKIPPED: mounting a tmpfs is not permitted here; nothing is known about full disks");
            return None;
        }
        Some(Self(at))
    }
    /// Takes all the room that is left, but for so many bytes.
    fn fill(&self, but: u64) {
        let mut file = File::create(self.0.join("fill")).unwrap();
        assert!(std::io::copy(&mut std::io::repeat(0), &mut file).is_err());
        file.set_len(file.metadata().unwrap().len() - but).unwrap();
    }
    fn free(&self) {
        fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_before_anything_starts() {
    let it = with(&task("a", "echo a >a"));
    let state = it.state_dir();
    let Some(disk) = Small::mount(&state, "70m") else { return };
    it.drover(&["sync"]).expect(0);
    disk.fill(0);
    for verb in ["apply", "run"] {
        let ran = it.drover(&[verb]).expect(78);
        assert!(ran.err.contains("MiB free") && !ran.err.contains("[worktree] dir"), "{}", ran.err);
    }
    disk.free();
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a"]);
}

#[test]
fn a_disk_that_fills_up_under_a_run_is_waited_for_and_said() {
    // So little is left that it is full at once, or at one of the next writes.
    for left in [0, 4 << 10, 64 << 10, 1 << 20] {
        let it = repo();
        let (state, gate, log) = (it.state_dir(), it.outside("gate"), it.outside("ran"));
        let line = format!("echo ran >>{}; echo a >a; while [ ! -e {} ]; do sleep 0.02; done", log.display(), gate.display());
        let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", &line)).commit("tasks");
        let Some(disk) = Small::mount(&state, "70m") else { return };
        let said = it.outside("said");
        let stderr = File::create(&said).unwrap();
        let mut child =
            it.drover_command(&["apply"]).stdout(Stdio::null()).stderr(stderr.as_fd().try_clone_to_owned().unwrap()).spawn().unwrap();
        until("an agent", || log.exists());
        disk.fill(left);
        fs::write(&gate, "").unwrap();
        // With room for all that was still to be written it comes to its end.
        let mut over = false;
        until("a word about it", || {
            over = child.try_wait().unwrap().is_some();
            over || fs::read_to_string(&said).unwrap().contains("is full")
        });
        assert!(left > 0 || fs::read_to_string(&said).unwrap().contains("full"), "nothing was said");
        disk.free();
        child.wait().unwrap();
        it.drover(&["apply"]).expect(0);
        assert_eq!(it.landed(), ["a"], "with {left} bytes left");
        // A full disk is not the task's fault: there was one attempt, and its agent ran once.
        assert_eq!(fs::read_to_string(&log).unwrap(), "ran\n", "with {left} bytes left");
        it.git(&["fsck", "--no-dangling"]);
    }
}
