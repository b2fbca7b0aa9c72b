//! `[merge] push`: what lands reaches a remote that others push to as well.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::fixture::{CONFIG, Fixture, program, ran, repo, until};
use crate::kill::{number, survivors};

const PUSH: &str = "[merge]\npush = \"origin\"\n";

fn task(id: &str, script: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = {:?}\n", format!("$ {script}"))
}

/// A clone with a bare remote that holds what it has.
fn shared(config: &str, tasks: &str) -> Fixture {
    let it = repo().file("drover.toml", &format!("{CONFIG}\n{config}")).file("drover/t.toml", tasks).commit("tasks");
    let remote = remote(&it).display().to_string();
    it.git(&["init", "-q", "--bare", "-b", "main", &remote]);
    it.git(&["remote", "add", "origin", &remote]);
    it.git(&["push", "-q", "origin", "main"]);
    it
}

fn remote(it: &Fixture) -> PathBuf {
    it.outside("remote.git")
}

fn on_remote(it: &Fixture, args: &[&str]) -> String {
    let dir = remote(it).display().to_string();
    it.git(&[&["--git-dir", dir.as_str()], args].concat())
}

/// Another clone of the same remote, with a home of its own.
fn clone_of(it: &Fixture) -> Fixture {
    let other = repo();
    other.git(&["remote", "add", "origin", &remote(it).display().to_string()]);
    other.git(&["fetch", "-q", "origin"]);
    other.git(&["reset", "-q", "--hard", "origin/main"]);
    other
}

fn commit_and_push(it: &Fixture, path: &str, text: &str) {
    it.write(path, text);
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", path]);
    it.git(&["push", "-q", "origin", "main"]);
}

#[test]
fn what_lands_is_pushed_and_nothing_else_is() {
    let it = shared(PUSH, &format!("{}{}", task("a", "echo a >a"), task("b", "echo b >b")));
    it.git(&["branch", "mine"]);
    it.git(&["tag", "-am", "mine", "v1"]);
    for hook in ["pre-push", "post-merge", "reference-transaction"] {
        it.write(&format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch hooked\nexit 1\n");
        it.command("chmod").args(["+x", &format!(".git/hooks/{hook}")]).status().unwrap();
    }
    it.drover(&["apply"]).expect(0);
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
    assert_eq!(on_remote(&it, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert!(!it.path("hooked").exists(), "no hook is run");
    assert_eq!(it.drover(&["status", "--format", "json"]).expect(0).json()["push"]["state"], "done");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn a_relative_url_leads_from_the_top_of_the_checkout_that_drover_was_started_in_as_it_does_for_git() {
    let it = shared(PUSH, &task("a", "echo a >a"));
    let other = clone_of(&it);
    it.git(&["remote", "set-url", "origin", "../tmp/remote.git"]);
    // It is both pushed to and fetched from.
    commit_and_push(&other, "theirs", "x");
    it.drover(&["apply"]).expect(0);
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
    assert_eq!((it.read("a"), it.read("theirs")), ("a\n".into(), "x".into()));
    // In a linked worktree the same URL means another place.
    let linked = it.outside("linked");
    it.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let inside = |program: &str, args: &[&str]| {
        let ran = ran(&it.command(program).args(args).current_dir(&linked).output().unwrap());
        (ran.code, ran.out + &ran.err)
    };
    assert_ne!(inside("git", &["ls-remote", "origin"]).0, Some(0));
    it.git(&["remote", "set-url", "origin", "../remote.git"]);
    assert_eq!(inside("git", &["ls-remote", "origin"]).0, Some(0));
    it.write("drover/u.toml", &task("b", "echo b >b"));
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "more"]);
    inside("git", &["checkout", "-q", "--detach", "main"]);
    let (code, said) = inside(env!("CARGO_BIN_EXE_drover"), &["apply"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
}

#[test]
fn a_remote_that_is_gone_holds_up_nothing_but_the_push() {
    let it = shared(PUSH, &format!("{}{}", task("a", "echo a >a"), task("b", "echo b >b")));
    let (there, away) = (remote(&it), it.outside("away"));
    fs::rename(&there, &away).unwrap();
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("push pending: `origin` could not be") && ran.out.contains("remote.git"), "{}", ran.out);
    assert_eq!(it.landed().len(), 2, "it landed and was published");
    assert!(it.drover(&["status"]).expect(0).out.contains("not yet pushed"));
    assert_eq!(it.drover(&["status", "--format", "json"]).expect(0).json()["push"]["state"], "held");
    fs::rename(&away, &there).unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
}

#[test]
fn a_remote_that_hangs_is_given_up_after_the_time_out_and_leaves_no_process() {
    let it = shared(&format!("{PUSH}push_timeout = \"1s\"\n"), &task("a", "echo a >a"));
    it.git(&["remote", "set-url", "origin", "ssh://nobody@localhost/x"]);
    let pid = it.outside("pid");
    it.git(&["config", "core.sshCommand", &format!("echo $$ >{}; exec sleep 1000; :", pid.display())]);
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("did not answer within 1s"), "{}", ran.out);
    assert_eq!(it.landed(), ["a"]);
    // It may have been given up before it came to that, and what was killed is not gone at once.
    let pid = fs::read_to_string(pid).unwrap_or_default();
    let line = || fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    until("what it started is ended", || !line().contains("1000"));
}

#[test]
fn credentials_come_from_the_users_helper_and_nobody_is_asked_at_a_terminal() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let it = shared(PUSH, &task("a", "echo a >a"));
    it.git(&["remote", "set-url", "origin", &format!("http://127.0.0.1:{port}/x.git")]);
    let asked = it.outside("asked");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("could not read Username"), "{}", ran.out);
    it.git(&["config", "credential.helper", &format!("!f() {{ echo $1 >>{}; echo username=u; echo password=p; }}; f", asked.display())]);
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("Authentication failed"), "{}", ran.out);
    assert!(fs::read_to_string(asked).unwrap().starts_with("get\n"), "the helper is asked");
}

#[test]
fn a_remote_that_is_not_configured_is_named_before_anything_starts() {
    let it = shared(&PUSH.replace("origin", "upstream"), &task("a", "echo a >a"));
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("no remote `upstream`") && ran.err.contains("git remote add upstream"), "{}", ran.err);
}

#[test]
fn commits_that_others_push_in_mid_run_are_merged_proved_and_pushed() {
    let it = shared(&format!("{PUSH}verify = [\"! test -e theirs || test -e proof\"]\n"), "");
    let script = format!(
        "echo x >{}; while [ ! -e {} ]; do sleep 0.02; done; echo a >a",
        it.outside("started").display(),
        it.outside("gate").display()
    );
    commit_and_push(&it, "drover/t.toml", &task("a", &script));
    let other = clone_of(&it);
    let mut child = it.spawn(&["apply"]);
    until("the agent runs", || it.outside("started").exists());
    commit_and_push(&other, "proof", "x");
    commit_and_push(&other, "theirs", "x");
    fs::write(it.outside("gate"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
    assert_eq!((it.read("a"), it.read("theirs")), ("a\n".into(), "x".into()));
    assert_eq!(it.landed(), ["a"]);
}

#[test]
fn commits_of_others_that_conflict_or_fail_the_checks_hold_the_push_and_say_what_to_do() {
    let it = shared(&format!("{PUSH}verify = [\"! {{ grep -q ours a && test -e theirs; }}\"]\n"), &task("a", "echo ours >a"));
    let other = clone_of(&it);
    commit_and_push(&other, "a", "theirs\n");
    // Not known of at the start: the fetch is kept from seeing it until the work has landed.
    let (there, away) = (remote(&it), it.outside("away"));
    fs::rename(&there, &away).unwrap();
    it.drover(&["apply"]).expect(5);
    fs::rename(&away, &there).unwrap();
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("both changed a: run `git merge refs/drover/remote/origin/main` on `main`"), "{}", ran.out);
    let before = on_remote(&it, &["rev-parse", "main"]);
    // As it was told.
    assert!(!it.command("git").args(["merge", "-q", "refs/drover/remote/origin/main"]).output().unwrap().status.success());
    it.write("a", "ours and theirs\n");
    let it = it.commit("Resolved");
    it.drover(&["apply"]).expect(0);
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
    commit_and_push(&clone_of(&it), "theirs", "x");
    it.write("mine", "x");
    let it = it.commit("Mine");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(
        ran.out.contains("with the new commits of `main` of `origin` merged in") && ran.out.contains("mend it on `main`"),
        "{}",
        ran.out
    );
    assert_ne!(on_remote(&it, &["rev-parse", "main"]), before, "the other's stands");
}

#[test]
fn a_remote_that_was_reset_is_not_given_back_what_was_taken_off_it() {
    let it = shared(PUSH, &task("a", "echo a >a"));
    it.drover(&["apply"]).expect(0);
    on_remote(&it, &["update-ref", "refs/heads/main", "main~1"]);
    let had = it.git(&["rev-parse", "--short=7", "main"]);
    let it = it.file("drover/u.toml", &task("b", "echo b >b")).commit("more");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains(&format!("no longer contains {had}")) && ran.out.contains("git fetch origin +refs"), "{}", ran.out);
    assert_eq!(on_remote(&it, &["log", "--format=%s", "main"]), "tasks");
    // To bring it back, as told.
    it.git(&["push", "-q", "origin", &format!("{had}:refs/heads/main")]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
}

#[test]
fn a_task_that_another_clone_landed_is_not_done_again_and_what_needs_it_builds_on_it() {
    let ran = |it: &Fixture| it.outside("ran").display().to_string();
    let it = shared(PUSH, "");
    let log = ran(&it);
    let tasks = format!(
        "{}{}depends_on = [\"a\"]\n",
        task("a", &format!("echo a >>{log}; echo a >a")),
        task("b", &format!("echo b >>{log}; cat a >b"))
    );
    commit_and_push(&it, "drover/t.toml", &tasks);
    let other = clone_of(&it);
    it.drover(&["apply", "a"]).expect(0);
    other.drover(&["apply"]).expect(0);
    assert_eq!(fs::read_to_string(&log).unwrap(), "a\nb\n", "each once");
    assert_eq!(other.read("b"), "a\n");
    it.drover(&["apply"]).expect(0);
    assert_eq!(fs::read_to_string(&log).unwrap(), "a\nb\n");
    assert_eq!(it.git(&["rev-parse", "main"]), other.git(&["rev-parse", "main"]));
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn an_attempt_at_a_task_that_lands_in_another_clone_meanwhile_does_not_land() {
    let it = shared(PUSH, "");
    let (gate, ran) = (it.outside("gate").display().to_string(), it.outside("ran").display().to_string());
    let script = format!("echo $DROVER_ATTEMPT >>{ran}; while [ ! -e {gate} ]; do sleep 0.02; done; echo a >>a");
    commit_and_push(&it, "drover/t.toml", &task("a", &script));
    let other = clone_of(&it);
    let one = it.spawn(&["apply"]);
    let two = other.spawn(&["apply"]);
    until("both are at it", || fs::read_to_string(&ran).is_ok_and(|t| t.lines().count() == 2));
    fs::write(&gate, "").unwrap();
    let ends = [one, two].map(|child| crate::fixture::ran(&child.wait_with_output().unwrap()).expect(0));
    let told = ends.iter().filter(|e| e.err.contains("another clone has landed it first")).count();
    assert_eq!(told, 1, "{ends:?}");
    assert_eq!(landings(&it), BTreeMap::from([("a".to_owned(), 1)]));
    assert_eq!((it.read("a"), other.read("a")), ("a\n".into(), "a\n".into()));
    let kept = [&it, &other].map(|it| it.git(&["for-each-ref", "refs/drover/attempts"]).lines().count());
    assert!(kept.iter().all(|n| *n > 0), "the work of the one that did not land is kept: {kept:?}");
}

/// A task whose work the remote has and the line does not, left by a Drover that was killed; `then`
/// something happens, and nobody can ask the remote. It lands all the same.
fn lands_where_others_have_it(then: impl Fn(&Fixture)) {
    let it = shared(PUSH, &task("a", "echo a >a"));
    // Once the remote has it, git cannot move the line.
    let (lock, ssh) = (it.path(".git/refs/drover/integration/main.lock"), it.outside("ssh"));
    program(&ssh, format!("#!/bin/sh\neval \"$2\"\ncase $2 in git-receive*) mkdir -p '{}' ;; esac\n", lock.display()));
    it.git(&["config", "core.sshCommand", &ssh.display().to_string()]);
    it.git(&["config", "ssh.variant", "simple"]);
    it.git(&["remote", "set-url", "origin", &format!("ssh://nowhere{}", remote(&it).display())]);
    let mut run = start(&it, &[]);
    let delayed = || {
        let runs = fs::read_dir(it.state_dir().join("runs")).into_iter().flatten().flatten();
        runs.map(|run| fs::read_to_string(run.path().join("events.jsonl")).unwrap_or_default()).any(|log| log.contains("delayed"))
    };
    until("the landing is delayed", delayed);
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(landings(&it), BTreeMap::from([("a".to_owned(), 1)]));
    fs::remove_dir(&lock).unwrap();
    it.git(&["remote", "set-url", "origin", &remote(&it).display().to_string()]);
    let (there, away) = (remote(&it), it.outside("away"));
    fs::rename(&there, &away).unwrap();
    then(&it);
    it.drover(&["apply"]).expect(5);
    assert_eq!(it.landed(), ["a"]);
    assert_eq!(it.statuses(), [("a".to_owned(), "completed".to_owned())]);
    fs::rename(&away, &there).unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(landings(&it), BTreeMap::from([("a".to_owned(), 1)]));
    assert_eq!(on_remote(&it, &["rev-parse", "main"]), it.git(&["rev-parse", "main"]));
}

#[test]
fn work_that_others_have_lands_here_whatever_is_to_be_checked_by_then() {
    lands_where_others_have_it(|it| it.write("drover.toml", &format!("{CONFIG}\n{PUSH}verify = [\"false\"]\n")));
}

#[test]
fn work_that_others_have_lands_here_though_a_person_cancels_it() {
    lands_where_others_have_it(|it| drop(it.drover(&["cancel", "a"]).expect(0)));
}

/// How many attempts at each task are recorded on the remote.
fn landings(it: &Fixture) -> BTreeMap<String, usize> {
    let log = on_remote(it, &["log", "--format=%(trailers:key=Drover-Task,valueonly)%(trailers:key=Drover-Attempt,valueonly)", "main"]);
    let lines: Vec<&str> = log.lines().filter(|l| !l.is_empty()).collect();
    let mut attempts: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    for pair in lines.chunks(2) {
        attempts.entry(pair[0].split('@').next().unwrap().to_owned()).or_default().insert(pair[1].to_owned());
    }
    attempts.into_iter().map(|(task, attempts)| (task, attempts.len())).collect()
}

fn start(it: &Fixture, selection: &[&str]) -> Child {
    it.drover_command(&[&["apply", "-q"], selection].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Two clones at once, with tasks of their own and some that both would do; one is killed again
/// and again.
fn two_clones(rng: &mut fastrand::Rng) -> usize {
    let mut tasks = String::new();
    for n in 0..3 {
        for side in ["one", "two", "both"] {
            let needs = if n == 0 { String::new() } else { format!("\"{side}{}\"", n - 1) };
            let needs = if side == "both" && n == 2 { "\"one1\", \"two1\"".to_owned() } else { needs };
            tasks.push_str(&task(&format!("{side}{n}"), &format!("sleep 0.0{n}; echo {n} >>f{side}{n}")));
            tasks.push_str(&format!("depends_on = [{needs}]\n"));
        }
    }
    let it = shared(&format!("{PUSH}verify = [\"true\"]\n"), &tasks);
    let other = clone_of(&it);
    let (mine, theirs) = (["one0", "one1", "one2", "both0", "both1", "both2"], ["two0", "two1", "two2", "both0", "both1", "both2"]);
    let select = |names: &[&'static str]| names.iter().flat_map(|n| ["-s", *n]).collect::<Vec<_>>();
    let mut victim = start(&it, &select(&mine));
    let mut second = start(&other, &select(&theirs));
    let mut kills = 0;
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(rng.u64(0..400)));
        kills += usize::from(victim.try_wait().unwrap().is_none());
        victim.kill().unwrap();
        victim.wait().unwrap();
        victim = start(&it, &select(&mine));
    }
    victim.wait().unwrap();
    second.wait().unwrap();
    // Whatever came of those, both end well, one after the other.
    it.drover(&["apply"]).expect(0);
    other.drover(&["apply"]).expect(0);
    it.drover(&["apply"]).expect(0);
    let all = ["one", "two", "both"].iter().flat_map(|s| (0..3).map(move |n| format!("{s}{n}")));
    assert_eq!(landings(&it), all.map(|t| (t, 1)).collect(), "each task exactly once on the remote");
    let tip = on_remote(&it, &["rev-parse", "main"]);
    for clone in [&it, &other] {
        clone.git(&["fetch", "-q", "origin"]);
        clone.git(&["merge", "-q", "--ff-only", "origin/main"]);
        assert_eq!(clone.git(&["rev-parse", "main"]), tip);
        assert_eq!(clone.git(&["status", "--porcelain"]), "");
        assert!(survivors(clone).is_empty());
        for side in ["one", "two", "both"] {
            assert_eq!(clone.read(&format!("f{side}1")), "1\n");
        }
    }
    kills
}

#[test]
fn two_clones_one_of_them_killed_again_and_again_end_with_each_task_once_on_the_remote() {
    let mut rng = fastrand::Rng::with_seed(number("DROVER_KILL_SEED", 1));
    let kills: usize = (0..number("DROVER_KILL_ROUNDS", 2)).map(|_| two_clones(&mut rng)).sum();
    assert!(kills > 2, "only {kills} of the kills hit a living Drover");
}
