//! Where a repository stands, as far as it says whether anything is left to be brought out.

use std::fmt::Write;

use super::error::Result;
use super::refs::from_git2;
use super::repo::Repo;

impl Repo {
    /// The branch that is checked out, and every ref that says what of a target's work landed, was
    /// published, and is on `remote`. Two that are the same mean that git answers the same.
    pub fn standing(&self, target: &str, remote: &str) -> Result<String> {
        let mut out = format!("{:?}", self.head()?);
        for name in [format!("refs/heads/{target}"), Self::line_ref(target), Self::published_ref(target), Self::remote_ref(remote, target)]
        {
            let _ = write!(out, "\n{name} {:?}", self.tip(&name)?.as_ref().map(|tip| tip.as_str()));
        }
        let repo = self.read()?;
        for found in repo.references_glob("refs/drover/branches/*")? {
            let found = found?;
            let tip = found.target().map(|oid| from_git2(oid).to_string());
            let _ = write!(out, "\n{} {tip:?}", String::from_utf8_lossy(found.name_bytes()));
        }
        Ok(out)
    }
}
