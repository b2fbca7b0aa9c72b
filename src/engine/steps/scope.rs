//! What a task may touch, held against what its attempt did touch.

use super::Ends;
use crate::base::text::some_of;
use crate::core::{Failure, FailureClass};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::Snapshot;
use crate::model::scope::Globs;

/// So many paths go with a failure.
const MOST: usize = 1000;

/// Paths that are not as they should be: the first of them, and how many there are.
#[derive(Default)]
struct Found {
    paths: Vec<String>,
    all: usize,
}

impl Found {
    fn take(&mut self, path: &[u8]) {
        self.all += 1;
        if self.paths.len() < MOST {
            self.paths.push(String::from_utf8_lossy(path).into_owned());
        }
    }

    fn failure(self, class: FailureClass, what: &str, key: &str) -> Option<Failure> {
        let files = if self.all == 1 { "1 file".to_owned() } else { format!("{} files", self.all) };
        let message = format!("it touched {files} {what}: {} (`{key}` of the task)", some_of(&self.paths));
        (self.all > 0).then(|| Failure { paths: self.paths, ..Failure::new(class, message) })
    }
}

/// The failure of an attempt that touched what is protected, or went beyond its `paths`. Every path
/// that differs from the base counts: of files that are new, gone, renamed or have another mode, of
/// links and submodules, by the bytes of its name, and however many there are.
pub fn violation(world: &World, work: &Work, taken: &Snapshot) -> Result<Option<Failure>, Ends> {
    let (protect, paths) = (&work.spec.protect, &work.spec.paths);
    let (protected, allowed) = (globs("protect", protect)?, globs("paths", paths)?);
    let (mut touched, mut beyond) = (Found::default(), Found::default());
    let mut look = |path: &[u8]| {
        if protected.matches(path) {
            touched.take(path);
        } else if !paths.is_empty() && !allowed.matches(path) {
            beyond.take(path);
        }
    };
    // Where the list is cut short, or holds names that are not as they are, git is asked again.
    if taken.more_paths || taken.paths_changed.iter().any(|p| p.contains(char::REPLACEMENT_CHARACTER)) {
        world.repo.changed_paths(&work.attempt.base, &taken.tree, look)?;
    } else {
        taken.paths_changed.iter().for_each(|p| look(p.as_bytes()));
    }
    let touched = touched.failure(FailureClass::Protected, "under protection", "protect");
    Ok(touched.or_else(|| beyond.failure(FailureClass::Scope, "outside of what it may touch", "paths")))
}

/// They were looked at when the files were read; a list of which a part is ignored protects nothing.
fn globs(key: &str, texts: &[String]) -> Result<Globs, Ends> {
    Globs::new(texts)
        .map_err(|e| Ends::Broken(Failure::new(FailureClass::Setup, format!("`{key}` of the task holds what is no glob: {e}"))))
}
