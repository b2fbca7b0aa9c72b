//! The account of every commit: a graph of tasks with real conflicts, on any repository, killed and
//! taken up again in the middle. At the end each task is on the target once, and nothing that an
//! attempt committed is lost.
//!
//! `DROVER_TEST_REPOSITORY` names a repository (a git directory or a checkout) whose history and
//! files are used instead of made-up ones; `DROVER_GRAPH_TASKS` and `DROVER_GRAPH_KILLS` say how much.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::{CONFIG, Fixture, repo};
use crate::kill::{number, survivors};

/// What must pass on every tree that lands.
const CHECK: &str = "! grep -rq '^<<<<<<< ' graph 2>/dev/null && for f in graph/*; do test -e \"$f\" || [ \"$f\" = 'graph/*' ]; done";

/// A repository with some hundred commits, each a change of one of a few files.
fn made_up() -> Fixture {
    let it = repo();
    let lines: String = (1..=30).map(|n| format!("line {n}\n")).collect();
    let mut stream = String::new();
    for n in 0..300 {
        let (file, text) = (format!("src/file{}.txt", n % 6), format!("{lines}revision {n}\n"));
        let message = format!("Change {n}");
        stream += &format!(
            "commit refs/heads/main\ncommitter Ada <ada@example.com> {} +0000\ndata {}\n{message}\n",
            1_600_000_000 + n,
            message.len()
        );
        stream += &format!("M 100644 inline {file}\ndata {}\n{text}\n", text.len());
    }
    std::fs::write(it.outside("stream"), stream).unwrap();
    let done = it.command("sh").args(["-c", "git fast-import --quiet <../tmp/stream && git reset -q --hard main"]).status().unwrap();
    assert!(done.success());
    it
}

fn given(path: &str) -> Fixture {
    let it = repo();
    it.git(&["fetch", "-q", "--no-tags", path, "HEAD"]);
    it.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
    it
}

/// Text files of the repository that several tasks change the same line of.
fn shared(it: &Fixture) -> Vec<String> {
    let plain = |p: &&str| p.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c)) && !p.starts_with(['.', '-']);
    let found = it.git(&["grep", "-Il", "", "--", ":!drover*", ":!.*"]);
    let found: Vec<String> = found.lines().filter(plain).filter(|p| it.read(p).lines().count() >= 5).map(str::to_owned).collect();
    assert!(found.len() >= 2, "too few text files to make conflicts in");
    vec![found[0].clone(), found[found.len() / 2].clone()]
}

/// The task files: one for each of three epics.
fn tasks(count: usize, shared: &[String]) -> [String; 3] {
    let mut files = ["alpha", "beta", "gamma"].map(|id| format!("[epic]\nid = \"{id}\"\ntitle = \"Epic {id}\"\n"));
    let own = "mkdir -p graph; echo $DROVER_TASK >graph/$DROVER_TASK.txt";
    let first = "[ $DROVER_ATTEMPT_NUMBER = 1 ]";
    for n in 0..count {
        let id = format!("t{n}");
        let conflict = |file: &str| format!("{own}; sed -i \"2s/$/ $DROVER_TASK/\" {file}; sleep 0.05");
        let (script, more) = match n % 6 {
            0 => (conflict(&shared[0]), String::new()),
            1 => (format!("{own}; ! {first} || {{ echo half >graph/half-$DROVER_TASK; exit 3; }}"), String::new()),
            2 => (format!("{own}; git add -A; git commit -qm 'By the agent'; echo more >>graph/$DROVER_TASK.txt"), String::new()),
            3 => {
                let sub = |part: &str| {
                    format!(
                        "  [[task.subtask]]\n  id = \"{part}\"\n  title = \"Part {part}\"\n  prompt = \"$ mkdir -p graph; echo {part} >graph/{id}-{part}\"\n"
                    )
                };
                (format!("cat graph/{id}-one graph/{id}-two >graph/{id}.txt"), format!("{}{}", sub("one"), sub("two")))
            }
            4 => (format!("{own}; ! {first} || echo x >graph/beyond-$DROVER_TASK"), String::new()),
            _ => (conflict(&shared[1]), String::new()),
        };
        let keys = match n % 6 {
            4 => format!("paths = [\"graph/{id}.txt\"]\n"),
            5 => format!("depends_on = [\"t{}\", \"t{}\"]\n", n - 1, n - 4),
            _ => String::new(),
        };
        files[n % 3] += &format!("[[task]]\nid = \"{id}\"\ntitle = \"Task {n}\"\nprompt = {:?}\n{keys}{more}", format!("$ {script}"));
    }
    files
}

/// All commits that are in the repository, reachable or not.
fn commits(it: &Fixture) -> BTreeSet<String> {
    let all = it.git(&["cat-file", "--batch-check=%(objecttype) %(objectname)", "--batch-all-objects", "--unordered"]);
    all.lines().filter_map(|l| l.strip_prefix("commit ")).map(str::to_owned).collect()
}

/// Everything that must hold at the end.
fn account(it: &Fixture, count: usize, before: &BTreeSet<String>) {
    let mut landed = it.landed();
    landed.sort();
    let mut all: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
    all.sort();
    assert_eq!(landed, all, "each task exactly once");
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
    for id in &all {
        assert!(!it.git(&["show", &format!("main:graph/{id}.txt")]).is_empty());
    }
    let passes = it.command("sh").args(["-c", CHECK]).status().unwrap().success();
    assert!(passes, "the check fails on the target");
    // Every commit that came about is reachable; but for merges that lost the race to the line, and
    // those whose message broke off, because the Drover that was writing it to git was killed: the
    // same files were committed again.
    let reachable = it.git(&["log", "--format=%H %T", "main", "--glob=refs/drover"]);
    let (reachable, trees): (BTreeSet<&str>, BTreeSet<&str>) = reachable.lines().filter_map(|l| l.split_once(' ')).unzip();
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let attempts: u64 = status["tasks"].as_array().unwrap().iter().map(|t| t["attempts_made"].as_u64().unwrap()).sum();
    let all = commits(it);
    let made: Vec<&String> = all.difference(before).collect();
    let on_target = it.git(&["rev-list", "main"]);
    let on_target = on_target.lines().filter(|c| !before.contains(*c)).count();
    let lost: Vec<&&String> = made.iter().filter(|c| !reachable.contains(c.as_str())).collect();
    eprintln!(
        "{count} tasks, {} attempts that failed or were cut short, {} commits made: {on_target} on the target, {} more kept, {} merges that lost a race",
        attempts - count as u64,
        made.len(),
        made.len() - lost.len() - on_target,
        lost.len()
    );
    for lost in lost {
        let show = |what: &str| it.git(&["show", "-s", &format!("--format={what}"), lost]);
        let (parents, tree, message) = (show("%P"), show("%T"), show("%B"));
        let built = parents.split(' ').all(|p| reachable.contains(p) || before.contains(p));
        let merge = message.starts_with("Merge t") || message.is_empty() && parents.contains(' ');
        let again = message.is_empty() && trees.contains(tree.as_str());
        assert!(built && (merge || again), "{lost} is in no ref:\n{message}");
    }
    it.git(&["fsck", "--no-dangling", "--connectivity-only"]);
    assert_eq!(it.standing(), Vec::<String>::new(), "attempts that still have a worktree");
    it.drover(&["worktree", "prune"]).expect(0);
    assert_eq!(it.git(&["worktree", "list"]).lines().count(), 1, "{}", it.git(&["worktree", "list"]));
    let locks = it.command("find").args([".git", "-name", "*.lock"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&locks.stdout), "", "stale locks");
    assert!(survivors(it).is_empty(), "{:?}", survivors(it));
}

#[test]
fn a_graph_with_conflicts_that_is_killed_and_taken_up_again_accounts_for_every_commit() {
    let count = usize::try_from(number("DROVER_GRAPH_TASKS", 30)).unwrap();
    let it = std::env::var("DROVER_TEST_REPOSITORY").map_or_else(|_| made_up(), |path| given(&path));
    let shared = shared(&it);
    let config = CONFIG.replace("max_attempts = 3", "max_attempts = 40");
    let [alpha, beta, gamma] = tasks(count, &shared);
    let it = it
        .file("drover.toml", &format!("{config}[merge]\nverify = [{CHECK:?}]\n"))
        .file("drover/alpha.toml", &alpha)
        .file("drover/beta.toml", &beta)
        .file("drover/gamma.toml", &gamma)
        .file("users-own.txt", "committed\n")
        .commit("Tasks");
    it.write("users-own.txt", "changed, not committed\n");
    it.write("untracked.txt", "not added\n");
    let (before, dirt) = (commits(&it), it.git(&["status", "--porcelain"]));
    let mut rng = fastrand::Rng::with_seed(number("DROVER_KILL_SEED", 1));
    for _ in 0..number("DROVER_GRAPH_KILLS", 5) {
        let mut child = it.drover_command(&["apply", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.u64(100..900)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    it.drover(&["apply"]).expect(0);
    account(&it, count, &before);
    assert_eq!(it.git(&["status", "--porcelain"]), dirt);
    assert_eq!((it.read("users-own.txt"), it.read("untracked.txt")), ("changed, not committed\n".into(), "not added\n".into()));
    let text = it.read(&shared[0]);
    let second = text.lines().nth(1).unwrap();
    assert!((0..count).step_by(6).all(|n| second.contains(&format!(" t{n}"))), "each conflict was resolved: {second}");
}
