//! What an apply costs that finds nothing to do, against a build tool that finds nothing to do.
//!
//! `cargo bench --bench idle` prints the second table of docs/performance.md. The tool is ninja
//! where it is installed, and make where it is not: as many targets, each with a file of its own that it
//! is made from. Both are measured in turn, so that a busy machine slows both; the processor's time says
//! what they cost where it is.

#![expect(clippy::disallowed_methods, reason = "it starts programs beside Drover, and times both")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const CONFIG: &str =
    "[project]\nname = \"idle\"\ntarget = \"main\"\n[defaults]\nagent = \"sh\"\n[agents.sh]\nkind = \"command\"\nshell = \"true\"\n";

struct Idle {
    dir: tempfile::TempDir,
    tasks: usize,
}

impl Idle {
    /// So many tasks, all done, in one file or in one each.
    fn new(tasks: usize, many: bool) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let idle = Self { dir, tasks };
        fs::create_dir_all(idle.repo().join("drover")).expect("a directory");
        fs::write(idle.repo().join("drover.toml"), CONFIG).expect("written");
        let texts: Vec<String> = (0..tasks).map(task).collect();
        match many {
            true => texts.iter().enumerate().for_each(|(n, text)| idle.write(&format!("drover/t{n}.toml"), text)),
            false => idle.write("drover/all.toml", &texts.join("\n")),
        }
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "tasks"]] {
            idle.run(Path::new("git"), &idle.repo(), args);
        }
        let drover = Path::new(env!("CARGO_BIN_EXE_drover"));
        for args in [&["sync"][..], &["mark", "completed", "--reason", "for the bench", "*"], &["apply"], &["apply"]] {
            idle.run(drover, &idle.repo(), args);
        }
        idle
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.repo().join(name), text).expect("written");
    }

    /// As many targets for the other tool, made already.
    fn other(&self) -> (&'static str, &'static [&'static str], PathBuf) {
        let dir = self.dir.path().join("other");
        fs::create_dir(&dir).expect("a directory");
        let mut ninja = "rule touch\n  command = touch $out\n".to_owned();
        let mut make = format!("all: {}\n", (0..self.tasks).map(|n| format!("o{n} ")).collect::<String>());
        for n in 0..self.tasks {
            fs::write(dir.join(format!("i{n}")), "x").expect("written");
            ninja.push_str(&format!("build o{n}: touch i{n}\n"));
            make.push_str(&format!("o{n}: i{n}\n\ttouch o{n}\n"));
        }
        fs::write(dir.join("build.ninja"), ninja).expect("written");
        fs::write(dir.join("Makefile"), make).expect("written");
        // Without the rules that are built into make, each of which it would try on each file.
        let (program, args): (_, &[&str]) =
            if Command::new("ninja").arg("--version").output().is_ok() { ("ninja", &[]) } else { ("make", &["-r"]) };
        self.run(Path::new(program), &dir, args);
        (program, args, dir)
    }

    /// How long it takes, and how much of the processor, in milliseconds.
    fn run(&self, program: &Path, dir: &Path, args: &[&str]) -> [f64; 2] {
        let mut command = Command::new(program);
        command.current_dir(dir).args(args).env("HOME", self.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").stdout(Stdio::null());
        for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "b@example.com");
        }
        let (began, used) = (Instant::now(), used());
        let status = command.stderr(Stdio::null()).status().expect("it starts");
        assert!(status.success(), "{} {args:?}", program.display());
        [began.elapsed().as_secs_f64() * 1e3, self::used() - used]
    }

    fn measure(&self, files: usize, rounds: usize) {
        let (tool, args, dir) = self.other();
        let drover = Path::new(env!("CARGO_BIN_EXE_drover"));
        let repo = self.repo();
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            times[0].push(self.run(Path::new(tool), &dir, args));
            times[1].push(self.run(drover, &repo, &["apply"]));
            times[2].push(self.run(drover, &repo, &["plan"]));
        }
        // The median of the one, as others at work spoil a few; the mean of the other, which comes in ticks.
        let cost = times.each_ref().map(|of| of.iter().map(|[_, used]| used).sum::<f64>() / of.len() as f64);
        let time = times.map(|mut of: Vec<[f64; 2]>| {
            of.sort_by(|a, b| a[0].total_cmp(&b[0]));
            of[of.len() / 2][0]
        });
        for (what, [other, apply, plan]) in [("time", time), ("processor", cost)] {
            println!("| {} | {files} | {what} | {tool} {other:.1} ms | {apply:.1} ms | {plan:.1} ms | {:.2} |", self.tasks, apply / other);
        }
    }
}

/// What the children that have ended took of the processor, in milliseconds.
fn used() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("it is there");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks * 10.0
}

fn task(n: usize) -> String {
    let needs = n.checked_sub(100).map(|n| format!("depends_on = [\"t{n}\"]\n")).unwrap_or_default();
    format!(
        "[[task]]\nid = \"t{n}\"\ntitle = \"Task number {n}\"\n{needs}prompt = \"Do number {n} in src/f{n}.c, with tests, and leave everything else as it is.\"\n"
    )
}

fn main() {
    // `cargo test --benches` runs this too, and wants to see that it works, not how fast.
    let brief = !std::env::args().any(|arg| arg == "--bench");
    println!("| Tasks | Files | | Build tool | apply | plan | apply / tool |\n|---|---|---|---|---|---|---|");
    let sizes: &[usize] = if brief { &[20] } else { &[1_000, 10_000] };
    for &tasks in sizes {
        Idle::new(tasks, false).measure(1, if brief { 1 } else { 31 });
        Idle::new(tasks, true).measure(tasks, if brief { 1 } else { 31 });
    }
}
