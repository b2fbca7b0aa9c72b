//! What a repository must be fit for before a run is begun in it.

use super::exit::{Exit, Failure};
use crate::git::Repo;

/// Begins to watch what git would run, and proves that commits can be signed where they are to
/// be. Nothing has been spent yet.
pub fn ready(repo: &Repo, accept_git: bool) -> Result<(), Failure> {
    repo.check_signing().map_err(|e| {
        Failure::unfit(format!(
            "commits are to be signed here (commit.gpgSign), and cannot be: {e}\n  Make the key usable without a question, or run `git config commit.gpgSign false`."
        ))
    })?;
    let found = repo.watch_git(accept_git).map_err(|e| Failure::unfit(e.to_string()))?;
    if found.is_empty() {
        return Ok(());
    }
    let found: Vec<String> = found.iter().map(|change| format!("\n    {change}")).collect();
    Err(Failure::new(
        Exit::Refused,
        format!(
            "while attempts ran, what git obeys was changed, or the target was moved, and nobody has accepted that:{}\n  Take it back (`git config --unset KEY`, delete the hook) and start again.\n  If it is meant, as when `npm install` sets up husky, say `drover apply --accept-git-config`.",
            found.concat()
        ),
    ))
}
