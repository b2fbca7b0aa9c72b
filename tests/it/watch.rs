//! `drover watch` through the real program: what changes in the files is taken up, and nothing else.

mod beside;
mod replay;
mod telling;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};

use crate::fixture::{CONFIG, Fixture, repo, until, until_told};

/// A watch under way; what it says goes into a file.
struct Watch {
    child: Child,
    said: std::path::PathBuf,
}

impl Watch {
    fn start(it: &Fixture, args: &[&str]) -> Self {
        let said = it.outside("said");
        let err = fs::File::create(&said).unwrap();
        let out = err.try_clone().unwrap();
        let child = it.drover_command(&[&["watch"], args].concat()).stdout(out).stderr(err).spawn().unwrap();
        Self { child, said }
    }
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }
    #[track_caller]
    fn hears(&self, words: &str) {
        until_told(&format_args!("it says: {words}\n{self}"), || self.said().contains(words));
    }
    #[track_caller]
    fn rests(&self, times: usize) {
        until_told(&format_args!("it rests for the {times}. time\n{self}"), || self.said().matches("watching: ").count() >= times);
    }
    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
    #[track_caller]
    fn ends(mut self, code: i32) -> String {
        let ended = self.child.wait().unwrap().code();
        assert_eq!(ended, Some(code), "{}", self.said());
        self.said()
    }
    #[track_caller]
    fn stop(self, code: i32) -> String {
        self.signal(rustix::process::Signal::INT);
        self.ends(code)
    }
}

impl std::fmt::Display for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn task(id: &str, script: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"{id}\"\nprompt = {:?}\n", format!("$ {script}"))
}

fn project(tasks: &str) -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks")
}

#[test]
fn what_is_new_or_edited_runs_and_nothing_else_does() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    assert_eq!(it.landed(), ["a"]);
    it.write("drover/new/b.toml", &task("b", "echo 1 >b"));
    watch.rests(2);
    assert_eq!(it.landed(), ["a", "b"]);
    it.write("drover/t.toml", &task("a", "echo 2 >a"));
    watch.rests(3);
    assert_eq!(it.landed(), ["a", "b", "a"]);
    // A name for what is there already, and a comment: nothing to run.
    fs::write(it.path("drover/new/b.toml"), format!("# words\n{}", task("b", "echo 1 >b"))).unwrap();
    let renamed = task("a", "echo 2 >a").replace("id = \"a\"", "id = \"c\"");
    it.write("drover/m.toml", &format!("{renamed}[[moved]]\nfrom = \"a\"\nto = \"c\"\n"));
    fs::remove_file(it.path("drover/t.toml")).unwrap();
    until("it is called c", || it.statuses().iter().any(|(id, status)| id == "c" && status == "completed"));
    assert_eq!(it.landed(), ["a", "b", "a"]);
    assert_eq!(it.statuses().len(), 2, "{:?}", it.statuses());
    let said = watch.stop(0);
    assert!(said.contains("moved"), "{said}");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn a_broken_edit_is_shown_once_and_what_was_said_before_stays_in_force() {
    let gate = |it: &Fixture| it.outside("gate").display().to_string();
    let it = repo().file("drover.toml", CONFIG);
    let slow = task("slow", &format!("while [ ! -e {} ]; do sleep 0.02; done; echo s >s", gate(&it)));
    let it = it.file("drover/t.toml", &slow).commit("tasks");
    let watch = Watch::start(&it, &[]);
    watch.hears("claimed");
    it.write("drover/t.toml", &format!("{slow}[[task]]\nid = \"b\"\nprompt = \"$ true\ndepends_on"));
    watch.hears("stays in force");
    it.write("drover/other.toml", &format!("# touches nothing of it\n{}", task("c", "echo c >c")));
    fs::write(it.outside("gate"), "").unwrap();
    watch.rests(1);
    assert_eq!(it.landed(), ["slow"], "{}", watch.said());
    assert_eq!(watch.said().matches("stays in force").count(), 1, "{}", watch.said());
    it.write("drover/t.toml", &slow);
    watch.rests(2);
    assert_eq!(it.landed(), ["slow", "c"]);
    watch.stop(0);
}

#[test]
fn a_watch_that_is_started_on_broken_files_waits_until_they_are_mended() {
    let it = project("[[task");
    let watch = Watch::start(&it, &[]);
    watch.hears("nothing is begun until they are mended");
    it.write("drover/t.toml", "[[task]]\nid = 1\n");
    watch.hears("wrong_type");
    it.write("drover/t.toml", &task("a", "echo 1 >a"));
    watch.rests(1);
    assert_eq!(it.landed(), ["a"]);
    watch.stop(0);
}

#[test]
fn a_failed_task_runs_again_when_its_definition_is_mended_with_what_waited_for_it() {
    let after = format!("{}depends_on = [\"bad\"]\n", task("after", "echo x >x"));
    let once = "retry = { max_attempts = 1 }\n";
    let it = project(&format!("{}{once}{after}", task("bad", "exit 3")));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("drover/t.toml", &format!("{}{once}{after}", task("bad", "echo b >b")));
    watch.rests(2);
    assert_eq!(it.landed(), ["bad", "after"]);
    watch.stop(0);
}

#[test]
fn signals_end_a_watch_as_they_end_an_apply() {
    let it = repo().file("drover.toml", CONFIG);
    let gate = it.outside("gate").display().to_string();
    let ran = it.outside("ran");
    let slow = format!("echo >{}; while [ ! -e {gate} ]; do sleep 0.02; done; echo s >s", ran.display());
    let it = it.file("drover/t.toml", &task("slow", &slow)).commit("tasks");
    let watch = Watch::start(&it, &[]);
    until("it runs", || ran.exists());
    watch.signal(rustix::process::Signal::TERM);
    watch.ends(143);
    let watch = Watch::start(&it, &[]);
    watch.hears("claimed");
    assert!(it.drover(&["plan"]).expect(0).out.contains("slow"), "it can be looked at meanwhile");
    watch.signal(rustix::process::Signal::INT);
    watch.hears("draining");
    fs::write(&gate, "").unwrap();
    watch.ends(0);
    assert_eq!(it.landed(), ["slow"]);
    // Nothing was left to do when it ended.
    assert!(!it.drover(&["status"]).expect(0).out.contains("was cut short"));
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_a_person_says_while_nothing_is_left_to_do_is_acted_upon() {
    let it = project(&format!("{}approval = \"required\"\n", task("a", "echo a >a")));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let said = it.drover(&["approve", "a", "--format", "json"]).expect(0).json();
    assert_eq!(said["live"].as_bool(), Some(true));
    watch.rests(2);
    assert_eq!(it.landed(), ["a"]);
    watch.stop(0);
}

/// How often each thread of a process went to sleep so far, by its id.
fn sleeps(pid: u32) -> BTreeMap<String, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of = |status: &str| status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok());
    let count = |t: fs::DirEntry| Some((t.file_name().into_string().ok()?, of(&fs::read_to_string(t.path().join("status")).ok()?)?));
    threads.filter_map(count).collect()
}

#[test]
fn with_nothing_to_do_it_neither_wakes_nor_writes() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let pid = watch.child.id();
    let state = || -> Vec<_> {
        let files = walk(&it.state_dir());
        files.into_iter().map(|f| (fs::metadata(&f).unwrap().modified().unwrap(), f)).collect()
    };
    // What came after the landing comes to an end; then nothing more.
    // To look into `.git` would wake it.
    let meanwhile = || (0..20).for_each(|_| assert!(it.command("true").status().unwrap().success()));
    let (mut before, mut quiet) = (BTreeMap::new(), 0);
    // Longer than it waits itself for what comes late.
    let mut is_quiet = || {
        meanwhile();
        let now = sleeps(pid);
        quiet = if std::mem::replace(&mut before, now.clone()) == now { quiet + 1 } else { 0 };
        quiet % 12 == 11
    };
    until("it is quiet", &mut is_quiet);
    let written = state();
    until("it has looked at that", &mut is_quiet);
    (0..10).for_each(|_| meanwhile());
    // Threads of the run that are let go only now do not count; whoever looked again and again would
    // have woken more often.
    let after = sleeps(pid);
    let woken: u64 = before.iter().filter_map(|(thread, n)| Some(after.get(thread)? - n)).sum();
    assert!(woken <= 16, "it woke {woken} times: {before:?} {after:?}");
    assert_eq!(state(), written);
    watch.stop(0);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => out.extend(walk(&entry.path())),
            false => out.push(entry.path()),
        }
    }
    out.sort();
    out
}

/// Beside a Drover that publishes: its lock is waited for.
fn commit(it: &Fixture) {
    for args in [&["add", "-A"][..], &["commit", "-qm", "a person's"]] {
        until("git is free", || it.command("git").args(args).output().unwrap().status.success());
    }
}

#[test]
fn a_running_task_that_leaves_the_files_is_ended_and_its_work_is_kept() {
    let it = project(&task("a", "echo 1 >a"));
    let ran = it.outside("ran");
    it.write("drover/slow.toml", &task("slow", &format!("echo half >half; echo >{}; while :; do sleep 0.02; done", ran.display())));
    let watch = Watch::start(&it, &[]);
    until("it runs", || ran.exists());
    let slow = it.read("drover/slow.toml");
    fs::remove_file(it.path("drover/slow.toml")).unwrap();
    watch.hears("ended; its work is kept");
    watch.rests(1);
    assert_eq!(it.landed(), ["a"]);
    assert_eq!(it.statuses().len(), 1);
    assert!(crate::kill::survivors(&it).is_empty());
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    let half = |r: &str| it.command("git").args(["show", &format!("{r}:half")]).output().unwrap().stdout == b"half\n";
    assert!(kept.lines().any(half), "{kept}");
    // It may come back, and begins anew.
    it.write("drover/slow.toml", &slow.replace("while :", "while false"));
    watch.rests(2);
    assert_eq!(it.landed(), ["a", "slow"]);
    watch.stop(0);
}

/// Not done, and nothing to do either.
fn idle(id: &str) -> String {
    format!("{}enabled = false\n", task(id, "true"))
}

#[test]
fn the_saves_of_editors_are_one_change_each() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let at = |name: &str| it.path(&format!("drover/{name}"));
    // As vim does: the old file under another name, the new one in its place, the old one away.
    fs::rename(at("t.toml"), at("t.toml~")).unwrap();
    fs::write(at("t.toml"), task("a", "echo 2 >a")).unwrap();
    fs::remove_file(at("t.toml~")).unwrap();
    watch.rests(2);
    // As most others do: the new file beside it, and over it.
    fs::write(at(".t.toml.tmp"), task("a", "echo 3 >a")).unwrap();
    fs::rename(at(".t.toml.tmp"), at("t.toml")).unwrap();
    watch.rests(3);
    assert_eq!(it.landed(), ["a", "a", "a"]);
    // Many at once, in a directory that was not there.
    for n in 0..200 {
        it.write(&format!("drover/many/{n}.toml"), &idle(&format!("n{n}")));
    }
    until("all are known", || it.statuses().len() == 201);
    watch.rests(4);
    // Whole directories moved: their tasks are the same, wherever they stand.
    fs::rename(at("many"), at("more")).unwrap();
    it.write("drover/more/x.toml", &task("x", "echo x >x"));
    until("what is in the moved one is seen", || it.landed().len() == 4);
    assert_eq!(it.statuses().len(), 202);
    watch.stop(0);
}

#[test]
fn on_another_branch_nothing_is_begun_until_the_one_of_the_start_is_back() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.git(&["checkout", "-q", "-b", "other"]);
    watch.hears("`other` is checked out instead of `main`");
    it.write("drover/b.toml", &task("b", "echo b >b"));
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "a task of the other branch"]);
    fs::remove_file(it.path("drover/t.toml")).unwrap();
    it.git(&["commit", "-qam", "no tasks of main"]);
    it.git(&["checkout", "-q", "main"]);
    watch.hears("going on");
    it.write("drover/c.toml", &task("c", "echo c >c"));
    watch.rests(2);
    assert_eq!(it.landed(), ["a", "c"], "{}", watch.said());
    assert_eq!(it.statuses().len(), 2);
    watch.stop(0);
}

#[test]
fn while_git_is_in_the_middle_of_something_the_files_are_not_read() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    // A git that writes the files.
    fs::write(it.path(".git/index.lock"), "").unwrap();
    it.write("drover/b.toml", "[[task");
    it.write("drover/b.toml", &task("b", "echo b >b"));
    fs::remove_file(it.path(".git/index.lock")).unwrap();
    watch.rests(2);
    assert!(!watch.said().contains("mistake"), "{}", watch.said());
    // A rebase that stops at a conflict, with its marks in a task file.
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "b"]);
    it.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    watch.hears("instead of `main`");
    it.write("drover/b.toml", &task("b", "echo side >b"));
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "another b"]);
    it.git(&["checkout", "-q", "main"]);
    watch.hears("going on");
    let stopped = it.command("git").args(["rebase", "side"]).output().unwrap();
    assert!(!stopped.status.success());
    watch.hears("a rebase is under way");
    it.write("drover/b.toml", &task("b", "echo both >b"));
    it.git(&["add", "-A"]);
    it.git(&["-c", "core.editor=true", "rebase", "--continue"]);
    until("what the rebase came to has run", || it.landed().len() == 3);
    assert!(!watch.said().contains("mistake"), "{}", watch.said());
    watch.stop(0);
}

#[test]
fn what_git_brings_or_takes_away_is_taken_up_like_any_edit() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    // A stash takes a new task away, and brings it again.
    it.write("drover/b.toml", &task("b", "echo b >b"));
    watch.rests(2);
    it.git(&["stash", "-q", "-u"]);
    until("it is not shown any more", || it.statuses().len() == 1);
    it.git(&["stash", "pop", "-q"]);
    until("it is there again", || it.statuses().len() == 2);
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "b"]);
    // A pull.
    let other = it.outside("clone").display().to_string();
    it.git(&["clone", "-q", ".", &other]);
    fs::write(it.outside("clone").join("drover/c.toml"), task("c", "cat pulled >c")).unwrap();
    fs::write(it.outside("clone").join("pulled"), "from afar").unwrap();
    for args in [&["add", "-A"][..], &["-c", "user.name=B", "-c", "user.email=b@example.com", "commit", "-qm", "c"]] {
        it.git(&[&["-C", &other], args].concat());
    }
    it.git(&["pull", "-q", "--ff-only", &other, "main"]);
    until("what was pulled has run", || it.landed() == ["a", "b", "c"]);
    // It began on what came with it.
    until("it is published", || fs::read_to_string(it.path("c")).is_ok_and(|c| c == "from afar"));
    watch.stop(0);
}

#[test]
fn so_much_at_once_that_it_looks_like_a_mistake_is_told_and_not_done() {
    let done: String = (0..3).map(|n| task(&format!("d{n}"), &format!("echo {n} >d{n}"))).collect();
    let it = project(&done).file("drover/open.toml", &(0..4).map(|n| idle(&format!("o{n}"))).collect::<String>());
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("drover/t.toml", &done.replace("echo", "echo again"));
    watch.hears("would run again");
    it.write("drover/t.toml", &done);
    fs::rename(it.path("drover/open.toml"), it.path("open.toml")).unwrap();
    watch.hears("4 of 4 unfinished tasks left the files");
    fs::rename(it.path("open.toml"), it.path("drover/open.toml")).unwrap();
    fs::rename(it.path("drover"), it.path("away")).unwrap();
    watch.hears("there is no task file any more");
    fs::rename(it.path("away"), it.path("drover")).unwrap();
    it.write("drover/new.toml", &task("new", "echo n >n"));
    watch.rests(2);
    assert_eq!((it.landed().len(), it.statuses().len()), (4, 8));
    watch.stop(0);
}

#[test]
fn a_repository_that_is_moved_away_ends_the_watch_with_words() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let (root, away) = (it.root(), it.outside("away"));
    fs::rename(&root, &away).unwrap();
    let said = watch.ends(78);
    assert!(said.contains("moved or deleted"), "{said}");
    fs::rename(&away, &root).unwrap();
    it.drover(&["apply"]).expect(0);
}

#[test]
fn where_the_system_grants_no_watches_it_says_why_and_looks_by_itself() {
    let it = project(&idle("a"));
    let unshare = |script: &str| {
        let mut command = it.command("unshare");
        command.args(["-Ur", "sh", "-c", script, env!("CARGO_BIN_EXE_drover")]);
        command
    };
    if !unshare("echo 0 >/proc/sys/user/max_inotify_instances").output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: no user namespaces here");
        return;
    }
    for (limit, words) in [("instances", "fs.inotify.max_user_instances"), ("watches", "fs.inotify.max_user_watches")] {
        let said = it.outside("said");
        let err = fs::File::create(&said).unwrap();
        let script = format!("echo 0 >/proc/sys/user/max_inotify_{limit}; exec \"$0\" watch");
        let child = unshare(&script).stdout(Stdio::null()).stderr(err).spawn().unwrap();
        let watch = Watch { child, said };
        watch.hears("Looking every 2s instead");
        assert!(watch.stop(0).contains(words));
    }
}

#[test]
fn where_the_system_says_nothing_it_looks_by_itself() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &["--poll", "20ms"]);
    watch.rests(1);
    it.write("drover/new/b.toml", &task("b", "echo 1 >b"));
    watch.rests(2);
    fs::rename(it.path("drover/new"), it.path("drover/newer")).unwrap();
    // Whole at every instant: nobody announces when it has been written.
    it.write("new", &task("a", "echo 2 >a"));
    fs::rename(it.path("new"), it.path("drover/t.toml")).unwrap();
    watch.rests(3);
    assert_eq!(it.landed(), ["a", "b", "a"]);
    watch.stop(0);
}

#[test]
fn on_a_file_system_where_what_others_write_is_not_announced_it_looks_by_itself() {
    let it = project(&task("a", "echo 1 >a"));
    let (root, mount) = (it.root(), it.outside("mount"));
    fs::create_dir(&mount).unwrap();
    // Ends with what is started on it.
    let mounted =
        "setpriv --pdeathsig KILL bindfs -f \"$1\" \"$2\" & until [ -e \"$2\"/drover.toml ]; do kill -0 $! || exit 9; sleep 0.02; done;";
    let unshare = |script: &str| {
        let mut command = it.command("unshare");
        command.args(["-Urm", "sh", "-c", &format!("{mounted} {script}"), env!("CARGO_BIN_EXE_drover")]).args([&root, &mount]);
        command
    };
    if !unshare("exec true").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: there is no bindfs here, or it may not mount");
        return;
    }
    let said = it.outside("said");
    let err = fs::File::create(&said).unwrap();
    let child = unshare("exec \"$0\" -C \"$2\" watch").stdout(Stdio::null()).stderr(err).spawn().unwrap();
    let watch = Watch { child, said };
    watch.rests(1);
    watch.hears("is on FUSE, where what other machines write is not announced. Looking every 2s instead");
    // As another machine would: not through what is mounted.
    it.write("drover/new/b.toml", &task("b", "echo 1 >b"));
    watch.rests(2);
    assert_eq!(it.landed(), ["a", "b"]);
    assert_eq!(watch.said().matches("is on FUSE").count(), 1, "{}", watch.said());
    watch.stop(0);
}

#[test]
fn inputs_that_are_committed_or_landed_make_their_tasks_run_again_and_two_that_feed_each_other_end() {
    let with = |id: &str, script: &str, inputs: &str| format!("{}inputs = [\"{inputs}\"]\n", task(id, script));
    let after = "depends_on = [\"a\"]\n";
    let it = project(&format!("{}{}{after}", with("a", "cat src >a", "src"), with("b", "cat a >b; echo >>b", "a")));
    it.write("src", "1\n");
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "src"]);
    let watch = Watch::start(&it, &[]);
    let made = || fs::read_to_string(it.path("b")).unwrap_or_default();
    until("b has what a made", || made() == "1\n\n");
    it.write("src", "2\n");
    commit(&it);
    until("it went on from a to b", || made().starts_with("2\n"));
    // From now on what either makes is the other's input.
    let both = format!("{}{}{after}", with("a", "cat src >a; cat b >>a", "{src,b}"), with("b", "cat a >b; echo >>b", "a"));
    it.write("drover/t.toml", &both);
    it.write("src", "3\n");
    commit(&it);
    watch.hears("It is not run a second time before somebody changes something");
    watch.stop(0);
}

#[test]
fn what_goes_with_its_dependency_is_never_left_behind_by_it() {
    let it = repo().file("drover.toml", CONFIG);
    let wait = |gate: &str| format!("while [ ! -e {} ]; do sleep 0.02; done", it.outside(gate).display());
    let open = |gate: &str| fs::write(it.outside(gate), "").unwrap();
    let begun = it.outside("begun").display().to_string();
    let a = |script: &str| format!("{}allow_empty = true\n", task("a", &format!("echo >>{begun}; {script}")));
    let after = |id: &str, script: &str| format!("{}depends_on = [\"a\"]\non_dependency = \"rerun\"\n", task(id, script));
    let b = after("b", "cat a >b; cat b >>all");
    it.write("drover/b.toml", &b);
    it.write("drover/a.toml", &a("echo 1 >a"));
    // Else it looks like a mistake that so many run again.
    it.write("drover/others.toml", &(0..4).map(|n| task(&format!("o{n}"), &format!("echo >o{n}"))).collect::<String>());
    it.git(&["add", "-A"]);
    it.git(&["commit", "-qm", "tasks"]);
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let comes_to = |all: &str| {
        until(&format!("it comes to {all:?}\n{}", watch.said()), || fs::read_to_string(it.path("all")).unwrap_or_default() == all)
    };
    comes_to("1\n");
    // Done again because a person says so, and edited in the middle of it.
    it.write("drover/a.toml", &a(&format!("{}; echo 2 >a", wait("two"))));
    until("a runs again", || fs::read_to_string(&begun).unwrap().lines().count() == 2);
    open("two");
    comes_to("1\n2\n");
    fs::remove_file(it.outside("two")).unwrap();
    it.drover(&["reset", "a"]).expect(0);
    until("a runs once more", || fs::read_to_string(&begun).unwrap().lines().count() == 3);
    it.write("drover/a.toml", &a("echo 3 >a"));
    watch.hears("so it runs again after");
    open("two");
    comes_to("1\n2\n3\n");
    // Edited while what goes with it is at work on what was there before; what failed on it, too.
    it.write(
        "drover/b.toml",
        &format!(
            "{b}{}{}",
            after("c", &format!("echo >{}; {}; cat a >c", it.outside("c").display(), wait("three"))),
            after("d", "grep -q 4 a && cat a >d")
        ),
    );
    until("c is at work", || it.outside("c").exists());
    until("d has failed", || it.statuses().contains(&("d".into(), "failed".into())));
    it.write("drover/a.toml", &a("echo 4 >a"));
    comes_to("1\n2\n3\n4\n");
    open("three");
    until("all is on the newest", || ["c", "d"].iter().all(|f| fs::read_to_string(it.path(f)).unwrap_or_default() == "4\n"));
    watch.stop(0);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn what_goes_with_a_dependency_that_is_done_again_in_vain_does_not_land() {
    let it = repo().file("drover.toml", CONFIG);
    let (begun, gate) = (it.outside("begun"), it.outside("gate"));
    let a = |script: &str| format!("{}retry = {{ max_attempts = 1 }}\n", task("a", script));
    let wait = format!("echo >>{}; while [ ! -e {} ]; do sleep 0.02; done; cat a >b", begun.display(), gate.display());
    it.write("drover/b.toml", &format!("{}depends_on = [\"a\"]\non_dependency = \"rerun\"\n", task("b", &wait)));
    let it = it.file("drover/a.toml", &a("echo 1 >a")).commit("tasks");
    let watch = Watch::start(&it, &[]);
    until("b is at work", || begun.exists());
    it.write("drover/a.toml", &a("exit 3"));
    until("a has failed", || it.statuses().contains(&("a".into(), "failed".into())));
    fs::write(&gate, "").unwrap();
    watch.rests(1);
    assert_eq!(it.landed(), ["a"], "{}", watch.said());
    assert!(it.statuses().contains(&("b".into(), "blocked".into())), "{:?}", it.statuses());
    it.write("drover/a.toml", &a("echo 2 >a"));
    watch.rests(2);
    assert_eq!((it.landed(), it.read("b")), (vec!["a".into(), "a".into(), "b".into()], "2\n".into()));
    watch.stop(0);
}

#[test]
fn what_is_not_selected_is_recorded_and_not_run_whenever_it_comes() {
    let it = project(&format!("{}{}{}", task("a", "echo 1 >a"), idle("late-0"), idle("old-not")));
    let epic = "[epic]\nid = \"docs\"\ntitle = \"Docs\"\n";
    it.write("drover/docs.toml", &format!("{epic}{}depends_on = [\"need\"]\n", task("intro", "echo 1 >intro")));
    it.write("drover/need.toml", &task("need", "echo 1 >need"));
    it.drover(&["watch", "nobody"]).expect(4);
    let watch = Watch::start(&it, &["epic:docs", "-s", "late-*", "--exclude", "*-not"]);
    watch.hears("watching: ");
    assert_eq!(it.landed(), ["need", "intro"]);
    assert_eq!(it.statuses()[0], ("a".into(), "ready".into()));
    // What is new is held against the same selectors; another definition of what is not selected is taken over all the same.
    it.write(
        "drover/t.toml",
        &format!("{}{}{}{}", task("a", "echo 2 >a"), idle("old-not"), task("late-1", "echo 1 >late"), task("late-not", "echo 1 >not")),
    );
    until("it has run", || it.landed().len() == 3);
    it.write("drover/docs.toml", &format!("{epic}{}{}", task("intro", "echo 1 >intro"), task("more", "echo 1 >more")));
    until("it has run, too", || it.landed().len() == 4);
    watch.stop(0);
    assert_eq!(it.landed(), ["need", "intro", "late-1", "more"]);
    // Taken up again as it was.
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed().len(), 4);
    it.drover(&["run"]).expect(0);
    assert_eq!(it.read("a"), "2\n");
}

#[test]
fn another_place_for_worktrees_is_told_and_counts_from_the_next_start() {
    let it = repo().file("drover.toml", CONFIG);
    let place = it.outside("place").display().to_string();
    let told = |id: &str| task(id, &format!("pwd >>{place}; echo 1 >{id}"));
    let it = it.file("drover/t.toml", &told("a")).commit("tasks");
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    let elsewhere = it.outside("elsewhere").display().to_string();
    it.write("drover.toml", &format!("{CONFIG}\n[worktree]\ndir = \"{elsewhere}\"\n"));
    watch.hears("counts from the next start of Drover");
    // Else `b` may be taken up in the same run.
    watch.rests(2);
    it.write("drover/b.toml", &told("b"));
    until("it has run in the old place", || it.landed() == ["a", "b"]);
    watch.stop(0);
    it.write("drover/c.toml", &told("c"));
    it.drover(&["apply"]).expect(0);
    let places = fs::read_to_string(&place).unwrap();
    let inside: Vec<bool> = places.lines().map(|place| place.starts_with(&elsewhere)).collect();
    assert_eq!(inside, [false, false, true], "{places}");
}

#[test]
fn a_watch_that_begins_at_rest_is_of_everything_whatever_ran_last() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &(task("a", "echo $$ >a") + &task("b", "echo b >b"))).commit("tasks");
    it.drover(&["apply", "a"]).expect(0);
    it.drover(&["apply", "b"]).expect(0);
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.drover(&["reset", "a"]).expect(0);
    until("it is done again", || it.drover(&["status", "--format", "json"]).json()["tasks"][0]["status"] == "completed");
    watch.stop(0);
    assert_eq!(it.landed(), ["a", "b", "a"]);
}

#[test]
fn what_waits_for_the_checkout_is_published_once_nothing_is_in_its_way() {
    let it = project(&task("a", "echo 1 >a"));
    let watch = Watch::start(&it, &[]);
    watch.rests(1);
    it.write("a", "mine\n");
    it.write("drover/t.toml", &task("a", "echo 2 >a"));
    watch.rests(2);
    watch.hears("! 1 landed, waiting for your checkout: a");
    it.git(&["checkout", "-q", "a"]);
    // While git puts a file there, there is none.
    until("it is published", || fs::read_to_string(it.path("a")).unwrap_or_default() == "2\n");
    watch.stop(0);
}
