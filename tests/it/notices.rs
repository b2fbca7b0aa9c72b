//! Those outside who are told of events: webhooks, commands, the desktop.

mod backlog;
mod commands;
mod ending;
pub mod receiver;
mod webhooks;

use crate::fixture::{CONFIG, Fixture, repo};

/// A repository of one task for each name, each after the one before it, and these lines in drover.toml.
fn told(more: &str, tasks: &[&str]) -> Fixture {
    let it = repo().file("drover.toml", &format!("{CONFIG}\n{more}\n"));
    let mut text = String::new();
    for (n, id) in tasks.iter().enumerate() {
        let after = if n > 0 { format!("depends_on = [\"{}\"]", tasks[n - 1]) } else { String::new() };
        text += &format!("[[task]]\nid = \"{id}\"\ntitle = \"The {id} <!channel> & all\"\nprompt = \"$ echo 1 >{id}\"\n{after}\n");
    }
    it.file("drover/t.toml", &text).commit("Tasks")
}
