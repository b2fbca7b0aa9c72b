//! What Drover's git operations cost for each task, against the plain git calls that do the same.
//!
//! `cargo bench` prints the table of docs/performance.md. Each pair is measured in turn, in the same
//! repository, so that a busy machine slows both. Git syncs what it writes in both.

#![expect(clippy::disallowed_methods, reason = "it starts git beside Drover, and times both")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use drover::base::{Millis, Oid};
use drover::git::{Merge, Program, Repo, Worktree};

const SYNC: [&str; 4] = ["-c", "core.fsync=all", "-c", "core.fsyncMethod=batch"];
const DATE: Millis = Millis(1_700_000_000_000);

struct Bench {
    dir: tempfile::TempDir,
    files: usize,
    rounds: usize,
}

impl Bench {
    fn new(files: usize, rounds: usize) -> Self {
        // Beside the build's own output: not in memory, where syncing costs nothing.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let bench = Self { dir, files, rounds };
        fs::create_dir(bench.top()).expect("a directory");
        bench.git(&bench.top(), &["init", "-q", "-b", "main"]);
        bench.fill();
        bench.git(&bench.top(), &["reset", "-q", "--hard", "main"]);
        bench
    }
    fn top(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Two commits of so many files of some 2 KB: `next` changes 20 of them.
    fn fill(&self) {
        let mut child = self.command(&self.top()).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git starts");
        let mut pipe = child.stdin.take().expect("piped");
        let name = |n: usize| format!("d{}/e{}/f{n}", n % 50, n / 50 % 20);
        let mut out = String::new();
        let commit = |out: &mut String, branch: &str, from: &str| {
            out.push_str(&format!("commit refs/heads/{branch}\ncommitter B <b@example.com> 1700000000 +0000\ndata 1\nx\n{from}"));
        };
        let file =
            |out: &mut String, path: &str, text: &str| out.push_str(&format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len()));
        commit(&mut out, "main", "");
        file(&mut out, ".gitignore", "/target/");
        for n in 0..self.files {
            file(&mut out, &name(n), &format!("{n} ").repeat(400));
        }
        commit(&mut out, "next", "from refs/heads/main\n");
        for n in (0..self.files).step_by(self.files / 20) {
            file(&mut out, &name(n), "next");
        }
        pipe.write_all(out.as_bytes()).expect("git reads");
        drop(pipe);
        assert!(child.wait().expect("git ends").success());
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(dir).env("HOME", self.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "gc.auto=0", "-c", "user.name=B", "-c", "user.email=b@example.com"]).args(SYNC);
        command
    }
    fn git(&self, dir: &Path, args: &[&str]) -> String {
        let out = self.command(dir).args(args).output().expect("git starts");
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
    fn oid(&self, rev: &str) -> Oid {
        Oid::parse(&self.git(&self.top(), &["rev-parse", rev])).expect("an object")
    }

    fn run(&self) {
        let program = Program::find().expect("git").with_env("HOME", self.dir.path()).with_env("GIT_CONFIG_NOSYSTEM", "1");
        let repo = Repo::discover_with(&self.top(), program).expect("a repository");
        let (main, next) = (self.oid("main"), self.oid("next"));
        let tips = [main.clone(), next.clone()];
        let root = self.dir.path().canonicalize().expect("it is there").join("worktrees");
        let (fresh, used) = (Worktree::new(&root, "fresh").expect("a name"), Worktree::new(&root, "used").expect("a name"));
        let plain = self.dir.path().join("plain");
        let plain = plain.to_str().expect("plain text");

        let git_fresh = |n: usize| {
            self.git(&self.top(), &["worktree", "add", "-q", "--detach", plain, tips[n % 2].as_str()]);
            self.git(&self.top(), &["worktree", "remove", "--force", plain]);
        };
        let drover_fresh = |n: usize| {
            repo.add_worktree(&fresh, &tips[n % 2], None).expect("it is made");
            repo.remove_worktree(&fresh).expect("it is removed");
        };
        let [git_fresh, drover_fresh] = self.pair(git_fresh, drover_fresh);

        self.git(&self.top(), &["worktree", "add", "-q", "--detach", plain, main.as_str()]);
        let git_used = |n: usize| {
            self.git(Path::new(plain), &["checkout", "-q", "--detach", tips[n % 2].as_str()]);
            self.git(Path::new(plain), &["clean", "-fdq"]);
        };
        repo.add_worktree(&used, &main, None).expect("it is made");
        repo.retire_worktree(&used, &main).expect("it is left");
        let drover_used = |n: usize| {
            assert!(repo.reuse_worktree(&used, &tips[n % 2], None, "").expect("it is used"));
            repo.note_ignored(&used).expect("noted");
            assert!(repo.retire_worktree(&used, &tips[n % 2]).expect("it is left"));
        };
        let [git_used, drover_used] = self.pair(git_used, drover_used);

        assert!(repo.reuse_worktree(&used, &main, None, "").expect("it is used"));
        self.git(Path::new(plain), &["checkout", "-q", "--detach", main.as_str()]);
        let git_commit = |n: usize| {
            let top = Path::new(plain);
            fs::write(top.join("work"), format!("{n}")).expect("written");
            self.git(top, &["add", "-A"]);
            let tree = self.git(top, &["write-tree"]);
            let commit = self.git(top, &["commit-tree", &tree, "-p", main.as_str(), "-m", "work"]);
            self.git(top, &["update-ref", &format!("refs/plain/{n}"), &commit]);
        };
        let drover_commit = |n: usize| {
            fs::write(used.path().join("work"), format!("{n}")).expect("written");
            let keep = format!("refs/drover/attempts/b-{n}");
            let snap = repo.snapshot(&used, &main, &main, "work", DATE, &format!("{keep}-s0")).expect("kept");
            let commit = repo.commit_signed(&snap.tree, std::slice::from_ref(&main), "work\n", DATE).expect("made");
            repo.keep(&keep, &commit).expect("anchored");
        };
        let [git_commit, drover_commit] = self.pair(git_commit, drover_commit);

        let work = self.oid("refs/plain/0");
        let git_land = |n: usize| {
            let tree = self.git(&self.top(), &["merge-tree", "--write-tree", next.as_str(), work.as_str()]);
            let merge =
                self.git(&self.top(), &["commit-tree", &tree, "-p", next.as_str(), "-p", work.as_str(), "-m", &format!("merge {n}")]);
            self.git(&self.top(), &["update-ref", "refs/plain/line", &merge]);
        };
        self.git(&self.top(), &["update-ref", "refs/drover/integration/main", next.as_str()]);
        let drover_land = |n: usize| {
            let Merge::Clean { tree } = repo.merge(&next, &work).expect("merged") else { panic!("a conflict") };
            let merge = repo.commit_signed(&tree, &[next.clone(), work.clone()], &format!("merge {n}\n"), DATE).expect("made");
            assert!(repo.land("main", &next, &merge).expect("landed"));
            repo.move_ref("refs/drover/integration/main", &next).expect("moved back");
        };
        let [git_land, drover_land] = self.pair(git_land, drover_land);

        for (what, git, drover, floor) in [
            ("a fresh worktree", git_fresh, drover_fresh, git_fresh),
            ("a used worktree", git_used, drover_used, git_used),
            ("… against git's fresh one", git_fresh, drover_used, git_fresh),
            ("snapshot and commit", git_commit, drover_commit, git_commit),
            ("merge and land", git_land, drover_land, git_land),
        ] {
            println!("| {} | {what} | {git:.0} ms | {drover:.0} ms | {:.2} |", self.files, drover / floor);
        }
    }

    /// The medians of both, in milliseconds.
    fn pair(&self, a: impl Fn(usize), b: impl Fn(usize)) -> [f64; 2] {
        let time = |act: &dyn Fn(usize), n: usize| {
            let began = Instant::now();
            act(n);
            began.elapsed().as_secs_f64() * 1e3
        };
        let mut times = [Vec::new(), Vec::new()];
        for n in 0..=self.rounds {
            let taken = [time(&a, n), time(&b, n)];
            // The first warms up.
            if n > 0 {
                (0..2).for_each(|i| times[i].push(taken[i]));
            }
        }
        times.map(|mut of| {
            of.sort_by(f64::total_cmp);
            of[of.len() / 2]
        })
    }
}

/// A receiver of OTLP over HTTP that takes everything.
fn receiver() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async move {
            listener.set_nonblocking(true).expect("a listener");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, axum::Router::new().fallback(|_: axum::body::Bytes| async {})).await
        })
    });
    at
}

/// A whole run of so many tasks with nothing to do but a line of shell: told of, and not.
fn told(tasks: usize, rounds: usize) {
    let bench = Bench::new(100, rounds);
    let mut files = String::new();
    for n in 0..tasks {
        files.push_str(&format!("[[task]]\nid = \"t{n}\"\ntitle = \"T\"\nrun = \"date +%N >t{n}\"\nallow_empty = true\n"));
    }
    fs::create_dir(bench.top().join("drover")).expect("a directory");
    fs::write(bench.top().join("drover/t.toml"), files).expect("written");
    let config = format!("[project]\ntarget = \"main\"\n[telemetry]\nendpoint = \"{}\"\nprotocol = \"http/protobuf\"\n", receiver());
    fs::write(bench.top().join("drover.toml"), config).expect("written");
    bench.git(&bench.top(), &["add", "-A"]);
    bench.git(&bench.top(), &["commit", "-qm", "tasks"]);
    let apply = |on: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
        command.current_dir(bench.top()).env("HOME", bench.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("DROVER_OTEL_ENABLED", on);
        command.env("GIT_AUTHOR_NAME", "B").env("GIT_AUTHOR_EMAIL", "b@example.com");
        command.env("GIT_COMMITTER_NAME", "B").env("GIT_COMMITTER_EMAIL", "b@example.com");
        command.args(["apply", "--quiet", "--rerun", "*", "--allow-reruns"]).stdout(Stdio::null());
        assert!(command.status().expect("drover starts").success());
    };
    let [off, on] = bench.pair(|_| apply("false"), |_| apply("true"));
    println!("\n| Tasks | Telemetry off | On | Ratio |\n|---|---|---|---|\n| {tasks} | {off:.0} ms | {on:.0} ms | {:.2} |", on / off);
}

fn main() {
    // `cargo test --benches` runs this too, and wants to see that it works, not how fast.
    let brief = !std::env::args().any(|arg| arg == "--bench");
    println!("| Files | What | git | Drover | Ratio |\n|---|---|---|---|---|");
    for (files, rounds) in [(100, 15), (5_000, 9), (50_000, 5)] {
        Bench::new(files, if brief { 1 } else { rounds }).run();
        if brief {
            break;
        }
    }
    if brief { told(3, 1) } else { told(40, 15) }
}
