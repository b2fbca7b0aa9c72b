//! Made-up values, to try templates on.

use super::Kind;
use super::vars::{Change, Commit, Conflict, File, Landed, Left, Named, Previous, Renewed, Step, Task, Vars};

/// All that there can be.
pub fn sample() -> Vars {
    let text = str::to_owned;
    let commit = || Commit { short: text("1a2b3c4"), subject: text("Rotate tokens"), task: Some(text("auth-tokens")) };
    let files = || {
        vec![File { path: text("db/schema.sql"), added: Some(40), removed: Some(3) }, File { path: text("logo.png"), ..File::default() }]
    };
    let change =
        || Change { commit: text("9f8e7d6"), subject: text("Users table"), files: files(), more_files: 1, stat: text("3 files, +40 -3") };
    Vars {
        guidelines: text("Follow AGENTS.md."),
        task: Task {
            id: text("auth-api"),
            title: text("Login endpoint"),
            epic: Some(text("auth")),
            labels: vec![text("backend")],
            workspace: text("worktree"),
        },
        step: Step { id: text("auth-api.tokens"), title: text("Tokens"), text: text("Issue and rotate tokens."), is_subtask: true },
        attempt: 2,
        worktree: text("/worktrees/slot-1"),
        port: Some(20_010),
        renewed: Some(Renewed { commit: Some(text("9f8e7d6")), inputs: vec![text("api/openapi.yaml")], more_inputs: 1 }),
        landed: vec![Landed { id: text("auth-schema"), title: text("Users table"), change: Some(change()) }],
        more_landed: 1,
        earlier_steps: vec![Named { id: text("auth-api.routes"), title: text("Routes") }],
        previous: Some(Previous {
            class: text("verify"),
            why: text("a check did not pass on what it made"),
            message: text("verify `cargo test` exit 101"),
            paths: vec![text("src/login.rs")],
            more_paths: 1,
            output: text("assertion failed"),
            log: Some(text("/repository/.git/drover/attempts/run-1/check-1a2b3c4-0/out.log")),
            left: Some(Left {
                base: text("9f8e7d6"),
                reference: text("refs/drover/attempts/run-1-s0"),
                summary: text("Added POST /login."),
                files: files(),
                more_files: 1,
                stat: text("3 files, +40 -3"),
            }),
        }),
        conflict: Some(Conflict {
            paths: vec![text("src/login.rs")],
            more_paths: 1,
            landed: vec![commit()],
            more_landed: 1,
            made: vec![commit()],
            more_made: 1,
            stat: text(" src/login.rs | 2 ++"),
            summary: text("Added POST /login."),
            base: text("9f8e7d6"),
            reference: text("refs/drover/attempts/run-1"),
            arguments: Some(text("src/login.rs")),
        }),
        hints: vec![text("Use the second API.")],
        restored: true,
        protect: vec![text("drover.toml"), text("drover/**")],
        paths: vec![text("crates/auth/**")],
        checks: vec![text("cargo test -p auth")],
    }
}

/// What a template of that kind is tried on.
pub fn all(kind: Kind) -> Vec<Vars> {
    let full = sample();
    // The first attempt at a task outside any epic, in the checkout.
    let least = Vars {
        task: Task { epic: None, labels: Vec::new(), workspace: "checkout".into(), ..full.task.clone() },
        step: Step { id: full.task.id.clone(), title: full.task.title.clone(), text: full.step.text.clone(), is_subtask: false },
        attempt: 1,
        worktree: full.worktree.clone(),
        ..Vars::default()
    };
    match kind {
        Kind::Task => vec![full, least],
        Kind::Resume => vec![full.clone(), Vars { attempt: 2, restored: true, ..least }],
    }
}
