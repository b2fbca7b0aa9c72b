//! Who is told of what is decided besides the terminal: what the command line asks for.

use super::apply::Open;
use super::args::{Format, Global, Tell};
use super::context;
use super::exit::{Exit, Failure};
use super::terminal::Terminal;
use crate::engine::{self, driver};
use crate::git::Repo;
use crate::model::Policy;
use crate::notice::{Herald, Surroundings};
use crate::report::{Events, Reporter, Reporters, Veil};

/// Readers of the facts, and the terminal as they leave it.
pub struct Telling {
    pub terminal: Terminal,
    reporters: Vec<Box<dyn Reporter>>,
}

impl Telling {
    /// Opens what is to be written to.
    pub fn new(global: &Global, terminal: &Terminal, tell: &Tell) -> Result<Self, Failure> {
        let aside = tell.events.as_ref().is_some_and(|file| file.as_os_str() == "-");
        if aside && global.format == Format::Json {
            let why = "--events - and --format json both want standard output for themselves\n  Write the events to a file.";
            return Err(Failure::new(Exit::Usage, why));
        }
        let events = tell.events.as_ref().map(|file| match aside {
            true => Events::to(Box::new(std::io::stdout()), "standard output", veil()),
            false => Events::append(file, veil()),
        });
        let reporters = events.into_iter().map(|events| Box::new(events) as Box<dyn Reporter>).collect();
        let terminal = if aside { terminal.aside() } else { terminal.clone() };
        Ok(Self { terminal, reporters })
    }

    pub fn into_reporters(self) -> Reporters {
        Reporters(self.reporters)
    }
}

/// What keeps secrets from whoever is told of facts.
pub fn veil() -> Veil {
    Veil::new(engine::secrets, context::environment().into_iter().collect())
}

/// Who is told by what drover.toml says.
pub fn herald(repo: &Repo, target: &str, policy: &Policy, open: &Open) -> Herald {
    let place = Surroundings {
        target: target.to_owned(),
        root: repo.root().to_owned(),
        state_dir: repo.state_dir(),
        environment: context::environment(),
        now: driver::now,
        logs: engine::secrets,
    };
    Herald::start(open.store.follower(), place, policy, &open.state)
}

/// Delivers what an earlier Drover was kept from delivering, where there is nothing else to do.
pub fn catch_up(terminal: &Terminal, repo: &Repo, target: &str, policy: &Policy, open: &Open) {
    let mut herald = herald(repo, target, policy, open);
    herald.end(None);
    herald.warning().iter().for_each(|w| terminal.warn(w));
}
