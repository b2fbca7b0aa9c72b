//! What a person does with git meanwhile.

use std::fs;

use super::{Desired, Kind, Session, until};

impl Session {
    /// Git, beside a Drover that publishes: a lock in the way is waited for.
    pub fn git(&self, args: &[&str]) {
        let start = std::time::Instant::now();
        loop {
            let output = self.it.command("git").args(args).output().unwrap();
            if output.status.success() {
                return;
            }
            let last = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(start.elapsed().as_secs() < 60, "git {args:?}: {last}\n{:#?}", self.done);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub fn commit_all(&mut self) {
        self.save_all();
        self.git(&["add", "-A", "drover", "src"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a person's"]);
        self.committed = self.desired.clone();
    }

    pub fn with_git(&mut self) -> String {
        match self.rng.u8(0..12) {
            0..3 => {
                self.commit_all();
                "commit".into()
            }
            3 => {
                let n = self.rng.usize(0..self.desired.sources.len());
                self.desired.sources[n] = self.newer();
                self.it.write(&format!("src/{n}"), &format!("{}\n", self.desired.sources[n]));
                self.commit_all();
                format!("commit src/{n}: {}", self.desired.sources[n])
            }
            4..6 => self.stash(),
            6..9 => self.side(),
            9 => {
                self.up();
                self.commit_all();
                self.git(&["checkout", "-q", "--detach"]);
                self.git(&["checkout", "-q", "main"]);
                "detach".into()
            }
            10 => self.pull(false),
            _ => self.pull(true),
        }
    }

    /// Where HEAD is at the start is where a watch goes on.
    fn up(&mut self) {
        if self.watch.is_none() {
            return;
        }
        until("it has begun", || !self.said().is_empty());
    }

    /// What is not committed is gone, and comes again.
    fn stash(&mut self) -> String {
        // Each time it is what is wanted.
        let (old, new) = (self.committed.clone(), self.desired.clone());
        let differs = |a: &Desired, b: &Desired| -> Vec<(String, u32)> {
            let same = |id: &String| a.tasks.get(id).map(|t| (&t.title, t.version)) == b.tasks.get(id).map(|t| (&t.title, t.version));
            a.tasks.iter().filter(|(id, _)| !same(id)).map(|(_, t)| (t.title.clone(), t.version)).collect()
        };
        for key in differs(&old, &new).into_iter().chain(differs(&new, &old)) {
            *self.asked.shown.entry(key).or_insert(0) += 1;
        }
        self.git(&["stash", "-q", "-u"]);
        if self.rng.bool() {
            std::thread::sleep(std::time::Duration::from_millis(self.rng.u64(0..600)));
        }
        self.git(&["stash", "pop", "-q"]);
        "stash".into()
    }

    /// Work on another branch, which comes to nothing, is merged, or is rebased and merged.
    fn side(&mut self) -> String {
        self.up();
        self.commit_all();
        let before = self.desired.clone();
        self.git(&["checkout", "-q", "-B", "side"]);
        self.news();
        self.desired.save_all(&self.it, &mut self.rng);
        if self.rng.bool() && self.watch.is_some() {
            // One that was refused at its start, or waits for whole files, does not look.
            let blind = ["If that is meant, say --", "until they are mended"];
            let seen = || self.said().contains("is checked out instead of") || blind.iter().any(|words| self.said().contains(words));
            until("it has seen that", seen);
        }
        self.git(&["add", "-A", "drover"]);
        self.git(&["commit", "-q", "-m", "on the side"]);
        let what = self.rng.u8(0..3);
        if what == 2 {
            self.git(&["checkout", "-q", "main"]);
            self.it.write("elsewhere/main-only", &format!("{}\n", self.next));
            self.git(&["add", "elsewhere"]);
            self.git(&["commit", "-q", "--allow-empty", "-m", "meanwhile on main"]);
            self.git(&["checkout", "-q", "side"]);
            self.git(&["rebase", "-q", "--autostash", "main"]);
        }
        self.git(&["checkout", "-q", "main"]);
        if what == 0 {
            self.desired = before;
            return "another branch".into();
        }
        self.git(&["merge", "-q", "--no-edit", "side"]);
        self.asked.show(&self.desired);
        self.committed = self.desired.clone();
        if what == 1 { "merge a branch".into() } else { "rebase a branch and merge it".into() }
    }

    /// An edit and a file that was not there.
    fn news(&mut self) {
        let id = self.some(|_, _| true).unwrap();
        let version = self.newer();
        self.desired.tasks.get_mut(&id).unwrap().version = version;
        self.brings();
    }

    fn brings(&mut self) -> usize {
        self.desired.files.push(format!("e/{}.toml", self.next));
        let file = self.desired.files.len() - 1;
        let id = self.add(Kind::Plain);
        self.desired.tasks.get_mut(&id).unwrap().file = file;
        file
    }

    /// What others have committed.
    fn pull(&mut self, rebase: bool) -> String {
        if rebase {
            // What is rebased must not be what a task landed.
            self.settle();
        }
        self.commit_all();
        let clone = self.it.outside("clone");
        let path = clone.display().to_string();
        if !clone.exists() {
            self.git(&["clone", "-q", ".", &path]);
        }
        let there = |args: &[&str]| self.git(&[&["-C", &path, "-c", "user.name=B", "-c", "user.email=b@example.com"], args].concat());
        there(&["fetch", "-q", "origin"]);
        there(&["reset", "-q", "--hard", "origin/main"]);
        let file = self.brings();
        let (name, text) = (self.desired.files[file].clone(), self.desired.text(file));
        fs::create_dir_all(clone.join("drover/e")).unwrap();
        fs::write(clone.join("drover").join(&name), text).unwrap();
        let there = |args: &[&str]| self.git(&[&["-C", &path, "-c", "user.name=B", "-c", "user.email=b@example.com"], args].concat());
        there(&["add", "-A"]);
        there(&["commit", "-q", "-m", "from afar"]);
        match rebase {
            true => self.git(&["pull", "-q", "--rebase", "--autostash", &path, "main"]),
            false => self.git(&["pull", "-q", "--no-rebase", "--no-edit", &path, "main"]),
        }
        self.asked.show(&self.desired);
        self.committed = self.desired.clone();
        format!("pull{}", if rebase { " --rebase" } else { "" })
    }
}
