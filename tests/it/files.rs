//! Tests of the room `files` from outside.

mod hostile;
mod loading;
mod schemas;
mod several;

use std::fs;
use std::path::{Path, PathBuf};

use drover::files::{Code, Loaded, Options, Project, load};

pub fn fixtures(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new("tests/fixtures/files").join(kind);
    let mut out: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    out.sort();
    assert!(!out.is_empty());
    out
}

pub fn fixture(name: &str) -> Loaded {
    load(&Path::new("tests/fixtures/files").join(name), &Options::default())
}

/// A directory with the given files, loaded.
pub struct Dir(tempfile::TempDir);

impl Dir {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| dir.write(path, text.as_bytes()));
        dir
    }
    pub fn path(&self) -> &Path {
        self.0.path()
    }
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    pub fn load(&self) -> Loaded {
        load(self.path(), &Options::default())
    }
    pub fn project(&self) -> Project {
        let loaded = self.load();
        loaded.project.unwrap_or_else(|| panic!("{}", loaded.report.short()))
    }
    pub fn codes(&self) -> Vec<Code> {
        let loaded = self.load();
        assert_eq!(loaded.project.is_none(), loaded.report.has_errors());
        loaded.report.codes().collect()
    }
}

pub const TASK: &str = "[[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"true\"\n";

pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}
