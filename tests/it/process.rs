//! Tests of the room `process` from outside: real shims, real trees of processes, real kills.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use drover::process::{self, Completion, Ended, ExitRecord, Launch, Logs, MARKER, Probe, SHIM_VERB};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_drover");
const HOUR: Duration = Duration::from_secs(3600);

/// A step's directory, a directory to work in, and a text that marks this step's processes even
/// where their environment is gone.
struct Step {
    root: TempDir,
    aid: String,
    /// An argument for `sleep`: some 11 days, and unique.
    nap: String,
}

fn step() -> Step {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = format!("{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    process::set_program(Path::new(PROGRAM));
    Step { root: tempfile::tempdir().unwrap(), aid: format!("test-{unique}"), nap: format!("1000000.{unique}") }
}

impl Step {
    fn dir(&self) -> PathBuf {
        self.root.path().join("attempts/a/agent")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).unwrap_or_default()
    }

    /// A shell script, in the working directory, with `$NAP` and a `PATH`.
    fn script(&self, script: &str) -> Launch {
        self.command(&["sh", "-c", script])
    }

    fn command(&self, argv: &[&str]) -> Launch {
        let path = std::env::var("PATH").unwrap();
        Launch {
            aid: self.aid.clone(),
            argv: argv.iter().map(ToString::to_string).collect(),
            cwd: self.root.path().to_owned(),
            env: BTreeMap::from([("PATH".to_owned(), path), ("NAP".to_owned(), self.nap.clone())]),
            stdin: None,
            timeout: HOUR,
            stall_timeout: None,
            grace: Duration::from_secs(60),
            logs: Logs::default(),
            tethered: false,
        }
    }

    fn run(&self, launch: &Launch) -> Completion {
        process::run(&self.dir(), launch).unwrap()
    }

    fn ended(&self, launch: &Launch) -> Ended {
        match self.run(launch) {
            Completion::Finished(record) => record.ended,
            Completion::Lost => panic!("the shim was lost: {}", self.log("shim.log")),
        }
    }

    fn shim(&self) -> Pid {
        let pid = wait_for("the shim", || match process::probe(&self.dir()).unwrap() {
            Probe::Running { pid } => pid,
            _ => None,
        });
        Pid::from_raw(pid.cast_signed()).unwrap()
    }

    /// Processes of this step that could still do something.
    fn survivors(&self) -> Vec<String> {
        let marker = format!("{MARKER}={}", self.aid);
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
            let holds = |bytes: &[u8], text: &str| bytes.split(|b| *b == 0).any(|part| part == text.as_bytes());
            if holds(&read("environ"), &marker) || holds(&read("cmdline"), &self.nap) {
                found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
            }
        }
        found
    }

    fn spawn_shim(&self) -> Child {
        let mut shim = Command::new(PROGRAM);
        shim.arg(SHIM_VERB).arg(self.dir()).env_clear().env(MARKER, &self.aid);
        shim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        process::sweep(&self.aid);
    }
}

/// Polls until there is an answer; a minute is far more than any of this takes.
fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(2));
    }
}

fn wait_for_lines(file: &Path, lines: usize) {
    wait_for(&format!("line {lines} of {}", file.display()), || {
        (fs::read_to_string(file).unwrap_or_default().lines().count() >= lines).then_some(())
    });
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Waits for a reader, and lets it go on.
fn release(fifo: &Path) {
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(b"go\n").unwrap();
}

// What a command sees and what is kept of it.

#[test]
fn the_exit_code_and_both_streams_are_kept() {
    let step = step();
    let launch = step.script("echo out; echo err >&2; exit 3");
    let Completion::Finished(record) = step.run(&launch) else { panic!("lost") };
    assert_eq!(record.ended, Ended::Exited { code: 3 });
    assert!(record.started_at > 1_700_000_000_000, "{record:?}");
    assert_eq!((step.log("out.log"), step.log("err.log")), ("out\n".into(), "err\n".into()));
    assert_eq!(process::tail(&step.dir(), 9), "out\nerr\n");
    assert_eq!(process::probe(&step.dir()).unwrap(), Probe::Finished(record.clone()));
    assert_eq!(step.run(&launch), Completion::Finished(record), "a second call must only read");
    assert_eq!(step.log("out.log"), "out\n");
}

#[test]
fn a_signal_is_told_from_an_exit_code() {
    let step = step();
    assert_eq!(step.ended(&step.script("kill -9 $$")), Ended::Signaled { signal: 9 });
}

#[test]
fn a_mebibyte_of_stdin_arrives_whole() {
    let step = step();
    let input: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let launch = Launch { stdin: Some(input.clone()), ..step.command(&["cat"]) };
    assert_eq!(step.ended(&launch), Ended::Exited { code: 0 });
    assert!(fs::read(process::out_log(&step.dir())).unwrap() == input, "the input came back changed");
}

#[test]
fn the_environment_is_exactly_what_was_asked_for() {
    let step = step();
    let mut launch = step.command(&["/usr/bin/env"]);
    launch.env = BTreeMap::from([("ONLY".to_owned(), "this".to_owned()), (MARKER.to_owned(), "a lie".to_owned())]);
    assert_eq!(step.ended(&launch), Ended::Exited { code: 0 });
    let mut lines: Vec<String> = step.log("out.log").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, [format!("{MARKER}={}", step.aid), "ONLY=this".into()]);
}

#[test]
fn neither_shim_nor_command_holds_what_drover_lets_children_inherit() {
    let step = step();
    let file = File::create(step.path("the-lock-of-drover")).unwrap();
    let inheritable = rustix::io::dup(&file).unwrap();
    assert_eq!(step.ended(&step.script("ls -l /proc/self/fd/ /proc/$PPID/fd/")), Ended::Exited { code: 0 });
    drop(inheritable);
    let listing = step.log("out.log");
    assert!(listing.contains("alive") && !listing.contains("the-lock-of-drover"), "{listing}");
}

#[test]
fn shim_and_command_have_sessions_of_their_own() {
    let step = step();
    assert_eq!(step.ended(&step.script("echo $$ $PPID; cut -d' ' -f6 /proc/$$/stat /proc/$PPID/stat")), Ended::Exited { code: 0 });
    let log = step.log("out.log");
    let ids: Vec<&str> = log.split_whitespace().collect();
    assert_eq!(ids[..2], ids[2..], "pids and sessions differ");
}

#[test]
fn what_drover_writes_is_private_and_what_the_command_writes_is_not() {
    let step = step();
    let launch = Launch { stdin: Some(b"x".to_vec()), ..step.script("umask > mask; test -e attempts/a/agent/spec.json") };
    assert_eq!(step.ended(&launch), Ended::Exited { code: 1 }, "the environment is still on disk");
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(step.dir()), 0o700);
    for file in ["stdin", "alive", "started", "out.log", "err.log", "shim.log", "exit.json"] {
        assert_eq!(mode(step.dir().join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read_dir(step.dir()).unwrap().count(), 7, "something else was left behind");
    let own = Command::new("sh").args(["-c", "umask"]).output().unwrap();
    assert_eq!(step.read("mask").as_bytes(), own.stdout);
}

#[test]
fn a_command_that_cannot_start_says_why() {
    let step = step();
    let Ended::NotStarted { why } = step.ended(&step.command(&["no-such-program-here"])) else { panic!("it started") };
    assert!(why.contains("no-such-program-here"), "{why}");
    for (launch, word) in [
        (Launch { cwd: "/no/such/dir".into(), ..step.command(&["true"]) }, "/no/such/dir"),
        (step.command(&[]), "empty"),
        (step.command(&["/etc/passwd"]), "ermission"),
        (step.command(&["true", &"x".repeat(200_000)]), "too long"),
    ] {
        let other = self::step();
        let Ended::NotStarted { why } = other.ended(&launch) else { panic!("it started: {launch:?}") };
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn a_shim_that_cannot_work_is_an_error_and_not_a_loop() {
    let step = step();
    fs::create_dir_all(step.dir().join("alive")).unwrap();
    let error = process::run(&step.dir(), &step.command(&["true"])).unwrap_err().to_string();
    assert!(error.contains("the shim ended before it started") && error.contains("alive: Is a directory"), "{error}");
    assert!(!step.dir().join("spec.json").exists(), "the environment is still on disk");
}

#[test]
fn output_without_a_line_end_takes_no_memory() {
    let step = step();
    mkfifo(&step.path("go"));
    let launch = step.script("head -c 200000000 /dev/zero; echo x > written; read _ < go; rm attempts/a/agent/out*.log");
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&launch));
        wait_for_lines(&step.path("written"), 1);
        // Of what is more than two logs of 64 MiB the end is kept.
        let log = process::out_log(&step.dir());
        let rest = 200_000_000 - 2 * (64 << 20);
        wait_for("the rest of the output", || log.metadata().is_ok_and(|m| m.len() == rest).then_some(()));
        assert_eq!(log.with_extension("1.log").metadata().unwrap().len(), 64 << 20);
        let status = fs::read_to_string(format!("/proc/{}/status", step.shim())).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kib < 32 * 1024, "{peak}");
        release(&step.path("go"));
        assert_eq!(run.join().unwrap(), Ended::Exited { code: 0 });
    });
}

// Ends.

#[test]
fn a_tree_that_ignores_sigterm_is_killed_after_the_grace() {
    let step = step();
    let mut launch = step.script("trap '' TERM; sh -c 'sleep $NAP; sleep $NAP' & sleep $NAP; sleep $NAP");
    launch.timeout = Duration::from_millis(200);
    launch.grace = Duration::from_millis(200);
    assert_eq!(step.ended(&launch), Ended::TimedOut);
    assert_eq!(step.survivors(), [""; 0]);
}

#[test]
fn silence_ends_a_command() {
    // Where the machine is so busy that it is ended before it comes to say a word, it gets longer.
    let heard = (0..8).any(|n| {
        let step = step();
        let mut launch = step.script("echo hello; exec sleep $NAP");
        launch.stall_timeout = Some(Duration::from_millis(200 << n));
        assert_eq!(step.ended(&launch), Ended::Stalled);
        step.log("out.log") == "hello\n"
    });
    assert!(heard, "what it said is not kept");
}

#[test]
fn an_interrupt_asks_first_and_keeps_the_last_words() {
    let step = step();
    let launch = step.script("trap 'echo bye; exit 0' TERM; echo x > ready; sleep $NAP & wait");
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&launch));
        wait_for_lines(&step.path("ready"), 1);
        process::interrupt(&step.dir()).unwrap();
        assert_eq!(run.join().unwrap(), Ended::Interrupted);
    });
    assert_eq!(step.log("out.log"), "bye\n");
    assert_eq!(step.survivors(), [""; 0]);
}

#[test]
fn an_interrupt_before_the_start_is_not_lost() {
    let step = step();
    process::interrupt(&step.dir()).unwrap();
    assert_eq!(process::probe(&step.dir()).unwrap(), Probe::Fresh);
    assert_eq!(step.ended(&step.script("echo x > ran")), Ended::Interrupted);
    assert_eq!(step.read("ran"), "");
}

#[test]
fn an_agent_may_close_its_output_and_go_on() {
    let step = step();
    mkfifo(&step.path("go"));
    let launch = step.script("echo a; exec >&- 2>&-; echo x > closed; read _ < go; echo x > done; exit 7");
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&launch));
        wait_for_lines(&step.path("closed"), 1);
        release(&step.path("go"));
        assert_eq!(run.join().unwrap(), Ended::Exited { code: 7 });
    });
    assert_eq!((step.log("out.log"), step.read("done")), ("a\n".into(), "x\n".into()));
}

/// Starts every kind of daemon, and goes on when all of them run.
const ZOO: &str = r#"
    echo 'echo x >> "$1"; exec sleep "$2"' > d
    d="/bin/sh $PWD/d $PWD/ready $NAP"
    sh $PWD/d $PWD/ready $NAP &
    setsid $d &
    nohup $d > /dev/null 2>&1 &
    (setsid sh -c "($d &)" &)
    env -i $d &
    env -i setsid $d > /dev/null 2>&1 &
    env -i setsid sh -c "(setsid $d &) ; trap '' TERM HUP INT; $d" &
    perl -e 'use POSIX; fork and exit; POSIX::setsid(); fork and exit; %ENV = (); POSIX::close($_) for 0..2; exec @ARGV' $d
"#;
const ZOO_SIZE: usize = 9;

#[test]
fn no_daemon_outlives_a_normal_end() {
    let step = step();
    let launch = step.script(&format!("{ZOO} until [ $(wc -l < ready) -ge {ZOO_SIZE} ]; do sleep 0.01; done; echo end; exit 5"));
    assert_eq!(step.ended(&launch), Ended::Exited { code: 5 });
    assert_eq!(step.read("ready").lines().count(), ZOO_SIZE);
    assert_eq!(step.log("out.log"), "end\n");
    assert_eq!(step.survivors(), [""; 0]);
}

#[test]
fn no_daemon_outlives_an_interrupt() {
    let step = step();
    let launch = Launch { grace: Duration::from_millis(100), ..step.script(&format!("trap '' TERM; {ZOO} sleep $NAP")) };
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&launch));
        wait_for_lines(&step.path("ready"), ZOO_SIZE);
        assert!(step.survivors().len() > ZOO_SIZE, "the test cannot see its own processes");
        process::interrupt(&step.dir()).unwrap();
        assert_eq!(run.join().unwrap(), Ended::Interrupted);
    });
    assert_eq!(step.survivors(), [""; 0]);
}

#[test]
fn what_forks_faster_than_it_is_looked_at_is_ended() {
    let step = step();
    let launch = step.script("setsid perl -e 'while (1) { fork and exit }' & setsid sh -c 'while :; do sleep $NAP & done' & echo x");
    assert_eq!(step.ended(&launch), Ended::Exited { code: 0 });
    assert_eq!(step.survivors(), [""; 0]);
}

#[test]
fn what_got_away_from_the_shim_is_found_by_its_marker() {
    let step = step();
    let spawn = |aid: &str| Command::new("sleep").arg(&step.nap).env(MARKER, aid).spawn().unwrap();
    let (mut own, mut other) = (spawn(&step.aid), spawn("another-attempt"));
    assert_eq!(step.ended(&step.command(&["true"])), Ended::Exited { code: 0 });
    assert!(own.try_wait().unwrap().is_some(), "it is left");
    assert!(other.try_wait().unwrap().is_none(), "a process of another attempt was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

// Crashes, and several at once.

/// Not a test: what other tests start to have a process of its own call `run`, and be killed.
#[test]
fn helper_that_runs_a_step() {
    let Ok(args) = std::env::var("DROVER_TEST_HELPER") else { return };
    let [root, aid, nap, script] = args.split('\n').collect::<Vec<_>>()[..] else { panic!("{args}") };
    process::set_program(Path::new(PROGRAM));
    let root = PathBuf::from(root);
    let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap()), ("NAP".to_owned(), nap.to_owned())]);
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    let (aid, dir) = (aid.to_owned(), root.join("attempts/a/agent"));
    let launch = Launch {
        aid,
        argv,
        cwd: root,
        env,
        stdin: None,
        timeout: HOUR,
        stall_timeout: None,
        grace: HOUR,
        logs: Logs::default(),
        tethered: false,
    };
    process::run(&dir, &launch).unwrap();
}

fn helper(step: &Step, script: &str) -> Child {
    let args = [step.root.path().to_str().unwrap(), &step.aid, &step.nap, script].join("\n");
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::helper_that_runs_a_step"])
        .env("DROVER_TEST_HELPER", args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn many_callers_start_the_command_once() {
    let step = step();
    let script = "echo x >> ran; sleep 0.1";
    let mut helpers = [helper(&step, script), helper(&step, script)];
    thread::scope(|scope| {
        for run in [0; 4].map(|_| scope.spawn(|| step.ended(&step.script(script)))) {
            assert_eq!(run.join().unwrap(), Ended::Exited { code: 0 });
        }
    });
    for helper in &mut helpers {
        assert!(helper.wait().unwrap().success());
    }
    assert_eq!(step.read("ran"), "x\n");
}

#[test]
fn two_shims_start_the_command_once() {
    let step = step();
    mkfifo(&step.path("go"));
    let script = "echo x >> ran; read _ < go";
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&step.script(script)));
        wait_for_lines(&step.path("ran"), 1);
        let mut second = step.spawn_shim();
        release(&step.path("go"));
        assert_eq!(run.join().unwrap(), Ended::Exited { code: 0 });
        // It may also have been swept while it waited, for it carries the marker.
        second.wait().unwrap();
    });
    assert_eq!(step.read("ran"), "x\n");
}

#[test]
fn the_command_of_a_killed_caller_is_taken_over() {
    let step = step();
    mkfifo(&step.path("go"));
    let script = "echo x >> ran; read _ < go; echo done; exit 4";
    let mut caller = helper(&step, script);
    wait_for_lines(&step.path("ran"), 1);
    caller.kill().unwrap();
    caller.wait().unwrap();
    assert!(matches!(process::probe(&step.dir()).unwrap(), Probe::Running { pid: Some(_) }));
    thread::scope(|scope| {
        let run = scope.spawn(|| step.ended(&step.script(script)));
        release(&step.path("go"));
        assert_eq!(run.join().unwrap(), Ended::Exited { code: 4 });
    });
    assert_eq!((step.read("ran"), step.log("out.log")), ("x\n".into(), "done\n".into()));
}

#[test]
fn a_caller_killed_at_any_instant_costs_nothing() {
    for round in 0..25 {
        let step = step();
        let script = "echo x >> ran; sleep 0.02; echo done";
        let mut caller = helper(&step, script);
        thread::sleep(Duration::from_micros(fastrand::u64(0..40_000)));
        caller.kill().unwrap();
        caller.wait().unwrap();
        assert_eq!(step.ended(&step.script(script)), Ended::Exited { code: 0 }, "round {round}");
        assert_eq!((step.read("ran"), step.log("out.log")), ("x\n".into(), "done\n".into()), "round {round}");
    }
}

#[test]
fn a_shim_killed_at_any_instant_never_has_the_command_run_twice() {
    for round in 0..25 {
        let step = step();
        let script = "echo x >> ran; (setsid sleep $NAP &) ; sleep 0.02";
        thread::scope(|scope| {
            let run = scope.spawn(|| step.run(&step.script(script)));
            wait_for("a shim", || {
                step.dir().join("spec.json").exists().then_some(()).or_else(|| step.dir().join("alive").exists().then_some(()))
            });
            thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
            if let Ok(Probe::Running { pid: Some(pid) }) = process::probe(&step.dir()) {
                let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
            }
            let completion = run.join().unwrap();
            let ran = step.read("ran").lines().count();
            match &completion {
                Completion::Finished(ExitRecord { ended, .. }) => {
                    assert_eq!((ended, ran), (&Ended::Exited { code: 0 }, 1), "round {round}")
                }
                Completion::Lost => assert!(ran <= 1, "round {round}: {ran} runs"),
            }
            assert_eq!(step.survivors(), [""; 0], "round {round}: {completion:?}");
            assert_eq!(step.run(&step.script(script)), completion, "round {round}: a second call says something else");
        });
    }
}

#[test]
fn a_killed_shim_is_lost_and_takes_its_tree_along() {
    let step = step();
    let launch = step
        .script("trap '' TERM; setsid sleep $NAP & (setsid sh -c 'nohup sleep $NAP; :' &) ; echo x > ready; sleep $NAP; echo x > after");
    thread::scope(|scope| {
        let run = scope.spawn(|| step.run(&launch));
        wait_for_lines(&step.path("ready"), 1);
        kill_process(step.shim(), Signal::KILL).unwrap();
        assert_eq!(run.join().unwrap(), Completion::Lost);
    });
    assert_eq!(step.survivors(), [""; 0]);
    assert_eq!(process::probe(&step.dir()).unwrap(), Probe::Lost);
    assert_eq!(step.run(&launch), Completion::Lost, "a lost step is never started again");
    assert_eq!((step.read("after"), step.dir().join("spec.json").exists()), (String::new(), false));
}

#[test]
fn the_command_dies_with_its_shim_although_nobody_looks() {
    let step = step();
    mkfifo(&step.path("go"));
    let mut caller = helper(&step, "echo $$ > pid; exec sleep $NAP");
    wait_for_lines(&step.path("pid"), 1);
    let shim = step.shim();
    caller.kill().unwrap();
    caller.wait().unwrap();
    kill_process(shim, Signal::KILL).unwrap();
    wait_for("the end of the command", || step.survivors().is_empty().then_some(()));
}

#[test]
fn only_the_shim_itself_is_ever_signalled() {
    let step = step();
    fs::create_dir_all(step.dir()).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    // `cat` ends well when its input does, unless it was signalled before.
    let cat = || Command::new("cat").env(MARKER, &step.aid).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let claim = |process: &Child, boot: &str, later: u64, aid: &str| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
        let start: u64 = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
        let (pid, start) = (process.id(), start + later);
        let text = format!(r#"{{"version":1,"boot_id":"{boot}","pid":{pid},"start_time":{start},"aid":"{aid}"}}"#);
        fs::write(step.dir().join("started"), text).unwrap();
        process::interrupt(&step.dir()).unwrap();
    };
    let mut stranger = cat();
    claim(&stranger, "another-boot", 0, &step.aid);
    claim(&stranger, &boot, 1, &step.aid);
    claim(&stranger, &boot, 0, "another-attempt");
    drop(stranger.stdin.take());
    assert!(stranger.wait().unwrap().success(), "a stranger that got the shim's pid was signalled");
    let mut shim = cat();
    claim(&shim, &boot, 0, &step.aid);
    assert!(!shim.wait().unwrap().success(), "nothing is ever signalled");
}

#[test]
fn a_damaged_record_counts_as_lost() {
    let step = step();
    let launch = step.script("echo x >> ran");
    step.ended(&launch);
    for damage in ["", "{", r#"{"version":999,"ended":{"how":"exited","code":0},"started_at":0,"duration_ms":0}"#] {
        fs::write(step.dir().join("exit.json"), damage).unwrap();
        assert_eq!(step.run(&launch), Completion::Lost);
        assert_eq!(process::probe(&step.dir()).unwrap(), Probe::Lost);
    }
    assert_eq!(step.read("ran"), "x\n");
}

#[test]
fn nothing_is_there_before_the_first_run_and_a_look_leaves_nothing_behind() {
    let step = step();
    assert_eq!(process::probe(&step.dir()).unwrap(), Probe::Fresh);
    assert!(!step.dir().exists());
    assert_eq!(process::tail(&step.dir(), 5), "");
}
