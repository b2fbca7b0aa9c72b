//! Where worktrees stand, and whether they can.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::repo::Repo;
use crate::base::sha256_hex;

/// The directory of the project's worktrees: the configured one, relative to the checkout;
/// else one of the user's state directory; without a home, one beside Drover's own state.
/// Not inside the checkout by default: tools and agents climb and descend.
///
/// `state_home` is `XDG_STATE_HOME` and `home` is `HOME`, where they are set.
pub fn worktrees_root(configured: &str, repo: &Repo, project: &str, state_home: Option<&Path>, home: Option<&Path>) -> PathBuf {
    if !configured.is_empty() {
        return repo.root().join(configured);
    }
    let absolute = |p: Option<&Path>| p.filter(|p| p.is_absolute()).map(Path::to_owned);
    let state = absolute(state_home).or_else(|| absolute(home).map(|h| h.join(".local/state")));
    match state {
        Some(state) => {
            let hash = sha256_hex(repo.common_dir().as_os_str().as_bytes());
            state.join("drover").join(format!("{}-{}", plain(project), &hash[..8]))
        }
        None => repo.state_dir().join("worktrees"),
    }
}

/// Proves that files can be made in a directory, which is created if need be.
pub fn check_writable(dir: &Path) -> io::Result<()> {
    make_private(dir)?;
    let probe = dir.join(format!(".drover-probe-{}", std::process::id()));
    let written = fs::File::create(&probe).and_then(|mut f| f.write_all(b"."));
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

/// Creates a directory that only the user may enter; one that is there stays as it is, but
/// must not be a link.
pub(super) fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match fs::symlink_metadata(dir)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a link, not a directory")),
    }
}

/// A name that is safe as one component of a path.
fn plain(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().take(40).map(safe).collect();
    match name.trim_matches('.') {
        "" => "project".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_never_climbs() {
        assert_eq!(plain("../../etc"), "-..-etc");
        assert_eq!(plain(".."), "project");
        assert_eq!(plain("my shop/ü"), "my-shop--");
    }
}
