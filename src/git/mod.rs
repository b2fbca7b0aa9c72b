//! The only room that says git: worktrees, commits, landing, publishing, probes.
