//! What the files are to say, and how it is written into them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::fixture::Fixture;

/// One task. It keeps the title that it was written with, whatever it is called later; what it makes is
/// called as its title.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub file: usize,
    pub title: String,
    pub version: u32,
    pub kind: Kind,
    pub enabled: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Plain,
    /// Long enough to be met in the middle of it.
    Slow,
    /// Its first attempt fails.
    Second,
    /// It never succeeds.
    Fails,
    Approval,
    /// Goes on from what the task with that title made, and runs again with it.
    After(String),
    /// Goes on from a file of a person's.
    Reads(usize),
}

#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// By id.
    pub tasks: BTreeMap<String, Wanted>,
    /// Below `drover/`: how each file is called.
    pub files: Vec<String>,
    /// What was called otherwise, and in which file that stands.
    pub moved: Vec<(String, String, usize)>,
    /// Files that say nonsense now.
    pub broken: BTreeSet<usize>,
    /// As they are committed.
    pub sources: Vec<u32>,
}

impl Desired {
    pub fn by_title(&self, title: &str) -> Option<(&String, &Wanted)> {
        self.tasks.iter().find(|(_, t)| t.title == title)
    }

    pub fn dependents(&self, title: &str) -> usize {
        self.tasks.values().filter(|t| t.kind == Kind::After(title.to_owned())).count()
    }

    pub fn table(&self, id: &str) -> String {
        let Wanted { title, version, kind, enabled, .. } = &self.tasks[id];
        let made = format!("made/{title}");
        let (line, more) = match kind {
            Kind::Plain => (format!("echo {version} >{made}"), String::new()),
            Kind::Slow => (format!("sleep 0.2; echo {version} >{made}"), String::new()),
            Kind::Second => (format!("[ $DROVER_ATTEMPT_NUMBER -gt 1 ] || exit 3; echo {version} >{made}"), String::new()),
            Kind::Fails => (format!("exit 3 # {version}"), "retry = { max_attempts = 1 }\n".into()),
            Kind::Approval => (format!("echo {version} >{made}"), "approval = \"required\"\n".into()),
            Kind::After(title) => {
                let (before, _) = self.by_title(title).unwrap();
                (
                    format!("{{ cat made/{title}; echo {version}; }} >{made}"),
                    format!("depends_on = [\"{before}\"]\non_dependency = \"rerun\"\n"),
                )
            }
            Kind::Reads(n) => (format!("{{ cat src/{n}; echo {version}; }} >{made}"), format!("inputs = [\"src/{n}\"]\n")),
        };
        let enabled = if *enabled { "" } else { "enabled = false\n" };
        format!("[[task]]\nid = \"{id}\"\ntitle = \"{title}\"\nprompt = \"$ mkdir -p made; {line}\"\n{more}{enabled}")
    }

    pub fn text(&self, file: usize) -> String {
        let mut text: String = self.tasks.iter().filter(|(_, t)| t.file == file).map(|(id, _)| self.table(id)).collect();
        for (from, to, _) in self.moved.iter().filter(|(_, _, f)| *f == file) {
            text += &format!("[[moved]]\nfrom = \"{from}\"\nto = \"{to}\"\n");
        }
        text
    }

    /// As one editor or another saves.
    pub fn save(&mut self, it: &Fixture, rng: &mut fastrand::Rng, file: usize, text: &str) {
        let path = it.path(&format!("drover/{}", self.files[file]));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match rng.u8(0..3) {
            0 => fs::write(&path, text).unwrap(),
            1 => {
                let new = path.with_extension("tmp");
                fs::write(&new, text).unwrap();
                fs::rename(&new, &path).unwrap();
            }
            _ => {
                let old = path.with_extension("toml~");
                let _ = fs::rename(&path, &old);
                fs::write(&path, text).unwrap();
                let _ = fs::remove_file(&old);
            }
        }
        self.broken.remove(&file);
    }

    /// Every file that says something else.
    pub fn save_all(&mut self, it: &Fixture, rng: &mut fastrand::Rng) {
        for file in 0..self.files.len() {
            let text = self.text(file);
            if fs::read_to_string(it.path(&format!("drover/{}", self.files[file]))).ok().as_ref() != Some(&text) {
                self.save(it, rng, file, &text);
            }
        }
        self.broken.clear();
    }

    /// What a task makes.
    pub fn made(&self, task: &Wanted) -> String {
        let version = task.version;
        match &task.kind {
            Kind::After(title) => format!("{}{version}\n", self.made(self.by_title(title).unwrap().1)),
            Kind::Reads(n) => format!("{}\n{version}\n", self.sources[*n]),
            _ => format!("{version}\n"),
        }
    }

    /// Where a task is to stand at the end.
    pub fn standing(&self, task: &Wanted) -> &'static str {
        let blocked = |title: &String| self.standing(self.by_title(title).unwrap().1) != "completed";
        match &task.kind {
            _ if !task.enabled => "blocked",
            Kind::Fails => "failed",
            Kind::After(title) if blocked(title) => "blocked",
            _ => "completed",
        }
    }

    pub fn standings(&self) -> Vec<(String, String)> {
        self.tasks.iter().map(|(id, t)| (id.clone(), self.standing(t).to_owned())).collect()
    }
}
