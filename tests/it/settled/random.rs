//! Two repositories to which the same happens, by chance: in one every call may go by what is kept,
//! in the other that is taken away before each. Both must say the same.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fastrand::Rng;

use super::task;
use crate::fixture::{CONFIG, Fixture, ran, repo};

/// What happens, one after the other; `DROVER_SETTLED_STEPS` asks for another number.
fn steps() -> usize {
    std::env::var("DROVER_SETTLED_STEPS").map_or(20, |n| n.parse().expect("a number of steps"))
}

struct Twin {
    it: Fixture,
    /// Set for each call.
    profile: &'static str,
    keeps: bool,
}

impl Twin {
    fn new(keeps: bool) -> Self {
        let profile = "[profiles.p.run]\nworkers = 2\n";
        let it = repo().file("drover.toml", &format!("{CONFIG}{profile}")).file("in/put", "1\n");
        for id in ["a", "b", "c", "d"] {
            it.write(&format!("drover/{id}.toml"), &task(id, &format!("echo {id} >>{id}.txt")));
        }
        it.write("drover/sub/e.toml", &format!("{}inputs = [\"in/**\"]\n", task("e", "cat in/put >>e.txt")));
        Self { it: it.commit("tasks"), profile: "", keeps }
    }

    fn forget(&self) {
        if !self.keeps {
            let _ = fs::remove_dir_all(self.it.state_dir().join("settled"));
        }
    }

    /// How a call ends and what it says, without what differs from one repository to another.
    fn says(&self, args: &[&str]) -> (Option<i32>, String, String) {
        self.forget();
        let mut command = self.it.drover_command(args);
        if !self.profile.is_empty() {
            command.env("DROVER_PROFILE", self.profile);
        }
        let ran = ran(&command.output().unwrap());
        (ran.code, self.plain(&ran.out), self.plain(&ran.err))
    }

    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.it.root().display().to_string(), "ROOT");
        let is_time = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with(['s', 'm']);
        // Any of them may be without a digit, sooner or later.
        let is_name = |word: &str| word.len() >= 7 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(|piece| {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_time(word) || is_name(word) { piece.replace(word, "OID") } else { piece.to_owned() }
        });
        words.collect()
    }

    /// Whether there was nothing to do.
    fn applies(&self) -> (Option<i32>, bool, String) {
        let (code, out, err) = self.says(&["apply", "--allow-removals", "--allow-reruns"]);
        let nothing = out.starts_with(super::NOTHING);
        (code, nothing, if nothing || matches!(code, Some(3 | 4 | 64 | 78)) { format!("{out}{err}") } else { String::new() })
    }
}

fn set_ignored(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What can happen. The same numbers do the same in both.
fn happen(twin: &mut Twin, what: usize, n: usize) -> &'static str {
    let it = &twin.it;
    let id = ["a", "b", "c", "d"][n % 4];
    let file = format!("drover/{id}.toml");
    let path = it.path(&file);
    let there = path.is_file() && !path.is_symlink();
    match what {
        0 => "nothing",
        1 if there => {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
            "a touch"
        }
        2 | 3 if there => {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let text = it.read(&file);
            let (old, new) = if text.contains("echo") { ("echo", "prin") } else { ("prin", "echo") };
            it.write(&file, &text.replace(old, new).replace("prin ", "expr "));
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            "an edit of the same size and time"
        }
        4 if there => {
            it.write(&file, &format!("# {n}\n{}", it.read(&file)));
            "a comment"
        }
        5 if there => {
            fs::rename(&path, it.path(&format!("drover/sub/{id}.toml"))).unwrap();
            "a file in another directory"
        }
        6 => {
            it.write(&format!("drover/new{}/f.toml", n % 3), &task(&format!("new{}", n % 3), &format!("echo {n} >>new{}.txt", n % 3)));
            "a file in a new directory"
        }
        7 if there => {
            fs::set_permissions(&path, fs::Permissions::from_mode(if n.is_multiple_of(2) { 0o600 } else { 0o644 })).unwrap();
            "other rights"
        }
        8 if there => {
            let kept = it.outside(&format!("{id}.toml"));
            fs::copy(&path, &kept).unwrap();
            fs::remove_file(&path).unwrap();
            symlink(&kept, &path).unwrap();
            "a link in place of a file"
        }
        8 if path.is_symlink() => {
            fs::remove_file(&path).unwrap();
            fs::copy(it.outside(&format!("{id}.toml")), &path).unwrap();
            "a file in place of a link"
        }
        9 => {
            it.write(".gitignore", if n.is_multiple_of(2) { "drover/d.toml\n" } else { "/log\n" });
            "what git ignores"
        }
        10 => {
            set_ignored(&it.home().join(".config/git/ignore"), if n.is_multiple_of(2) { "c.toml\n" } else { "\n" });
            "what git ignores everywhere"
        }
        11 => {
            it.git(&["commit", "-q", "--allow-empty", "-m", "of a person"]);
            "a commit"
        }
        12 => {
            let landed = it.git(&["log", "--format=%H", "--grep", "^Drover-Task: ", "--no-merges", "-1"]);
            let merges = it.git(&["log", "--format=%P", "-1", &landed]).split(' ').count();
            if !landed.is_empty() && merges == 1 {
                let _ = it.command("git").args(["revert", "--no-edit", &landed]).output().unwrap();
                let _ = it.command("git").args(["revert", "--abort"]).output().unwrap();
            }
            "a revert"
        }
        13 => {
            it.git(&["update-ref", "-d", "refs/drover/integration/main"]);
            "a ref less"
        }
        14 => {
            twin.profile = if twin.profile.is_empty() { "p" } else { "" };
            "another profile"
        }
        15 => {
            let text = it.read("drover.toml");
            it.write(
                "drover.toml",
                &if text.contains("workers = 4") {
                    text.replace("workers = 4", "workers = 3")
                } else {
                    text.replace("workers = 3", "workers = 4")
                },
            );
            "another setting"
        }
        16 => {
            it.write("in/put", &format!("{n}\n"));
            it.git(&["add", "in"]);
            it.git(&["commit", "-q", "--allow-empty", "-m", "input"]);
            "another input"
        }
        17 => {
            let (config, other) = (it.path("drover.toml"), it.outside("other.toml"));
            if config.is_symlink() {
                fs::remove_file(&config).unwrap();
                fs::copy(&other, &config).unwrap();
            } else {
                fs::rename(&config, &other).unwrap();
                symlink(&other, &config).unwrap();
            }
            "a link in place of drover.toml, or back"
        }
        18 => {
            for proof in fs::read_dir(it.state_dir().join("settled")).into_iter().flatten().flatten() {
                let mut bytes = fs::read(proof.path()).unwrap();
                let at = n % bytes.len().max(1);
                if n.is_multiple_of(2) {
                    bytes.truncate(at)
                } else {
                    bytes[at] ^= 4
                }
                fs::write(proof.path(), bytes).unwrap();
            }
            "a torn proof"
        }
        19 => {
            let branch = it.git(&["branch", "--show-current"]);
            let other = if branch == "main" { &["checkout", "-q", "-B", "side"][..] } else { &["checkout", "-q", "main"] };
            let _ = it.command("git").args(other).output().unwrap();
            "another branch"
        }
        20 => {
            it.drover(&["mark", "pending", id, "--reason", "by chance", "--allow-reruns"]);
            "another record"
        }
        21 => {
            let (sub, aside) = (it.path("drover/sub"), it.outside("aside"));
            if sub.is_symlink() {
                fs::remove_file(&sub).unwrap();
                fs::rename(&aside, &sub).unwrap();
            } else if sub.is_dir() {
                fs::rename(&sub, &aside).unwrap();
                symlink(&aside, &sub).unwrap();
            }
            "a link in place of a directory, or back"
        }
        _ => "nothing that can be",
    }
}

#[test]
fn what_is_kept_never_changes_what_is_said_or_done() {
    let seed = std::env::var("DROVER_SETTLED_SEED").map_or(7, |s| s.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);
    let mut twins = [Twin::new(true), Twin::new(false)];
    let mut story = Vec::new();
    for _ in 0..steps() {
        let (what, n) = (rng.usize(..22), rng.usize(..10_000));
        let [happened, _] = twins.each_mut().map(|twin| happen(twin, what, n));
        story.push(happened);
        let told = || format!("seed {seed}, after {story:?}");
        for args in [&["validate"][..], &["plan"], &["plan", "--detailed-exitcode", "--format", "json"]] {
            let [kept, looked] = twins.each_ref().map(|twin| twin.says(args));
            assert_eq!(kept, looked, "{args:?}: {}", told());
        }
        let [kept, looked] = twins.each_ref().map(Twin::applies);
        assert_eq!(kept, looked, "{}", told());
        // And at once again, where nothing happened in between.
        let [kept, looked] = twins.each_ref().map(|twin| (twin.says(&["plan"]), twin.applies()));
        assert_eq!(kept, looked, "again: {}", told());
    }
}
