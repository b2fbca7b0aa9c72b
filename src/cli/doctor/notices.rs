//! Those who are told of events: whether they can be, as far as that can be told without telling them.

use std::path::Path;

use super::Check;
use crate::base::text::one_line;
use crate::model::{Address, CommandLine, OnEvent, Policy, Webhook};
use crate::notice;

pub fn look(policy: &Policy, root: &Path, own: &[(String, String)]) -> Vec<Check> {
    let path = own.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
    let webhooks = policy.notices.webhooks.iter().map(|hook| webhook(hook, own));
    let commands = policy.notices.commands.iter().filter_map(|on_event| command(on_event, path, root));
    webhooks.chain(commands).chain(policy.notices.desktop.then(|| desktop(path))).collect()
}

fn webhook(hook: &Webhook, own: &[(String, String)]) -> Check {
    let place = match notice::resolved(hook, own) {
        Ok((_, place)) => place,
        Err(why) => {
            let fix = match &hook.to {
                Address::Url(_) => "Mend `url` in drover.toml.".to_owned(),
                Address::Variable(name) => format!("Set {name} where Drover is started, to the URL of the receiver."),
            };
            return Check::warning("webhook", why, fix);
        }
    };
    let name = format!("webhook to {}", one_line(&place.host, 100));
    let Some(variable) = &hook.secret_env else { return Check::ok(name, "nothing is signed: there is no `secret_env`") };
    match notice::variable(own, variable) {
        Ok(_) => Check::ok(name, format!("signed with what {variable} holds")),
        Err(why) => Check::warning(
            name,
            format!("{why}, so nothing is delivered"),
            format!("Set {variable} where Drover is started, to the key that the receiver knows."),
        ),
    }
}

/// What a shell makes of a line is its own affair.
fn command(on_event: &OnEvent, path: Option<&str>, root: &Path) -> Option<Check> {
    let CommandLine::Argv(argv) = &on_event.command else { return None };
    let program = argv.first()?;
    let name = format!("on_event {}", one_line(program, 60));
    let (why, fix) = match program.contains('/') {
        // It is run in the root of the project.
        true => ("it is not there, or is not executable", "Put it there, make it executable (chmod +x), or take it out of drover.toml."),
        false => ("it is not installed", "Install it, or take it out of drover.toml."),
    };
    Some(match which::which_in(program, path, root) {
        Ok(found) => Check::ok(name, one_line(&found.display().to_string(), 200)),
        Err(_) => Check::warning(name, format!("{why}, so it is told of nothing"), fix),
    })
}

fn desktop(path: Option<&str>) -> Check {
    match notice::desktop_program(path) {
        Some(program) => Check::ok("notify", format!("shown by {program}")),
        None => Check::warning(
            "notify",
            "there is no program that shows anything on a desktop",
            format!("Install {}, or set `notify = false`.", notice::DESKTOP.join(" or ")),
        ),
    }
}
