//! Tells the world outside of what happened: webhooks, commands of the project's own, the desktop.
//!
//! Each receiver has a thread of its own, which reads the journal behind the run and keeps a bookmark
//! in the store: what is delivered is delivered at least once and in order, whatever crashes in
//! between, and a receiver that is slow or gone holds nobody up. A receiver that is new begins with
//! what happens from then on.
//!
//! Must not know the engine, nor where its configuration was read from; it is told facts as any
//! reporter, and gives nothing back.

mod address;
mod body;
mod carrier;
mod command;
mod letter;
mod reader;
mod shared;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::agent;
use crate::base::text::{count, one_line};
use crate::base::{Millis, TaskId};
use crate::core::{Fact, Flow, State, events};
use crate::fault;
use crate::model::{CommandLine, OnEvent, Policy, Spec, Webhook};
use crate::report::{Reporter, SecretsOf, Veil};
use crate::store::{Follower, StoreError};
use carrier::Carrier;
use command::{Command, Form};
use letter::{Scene, is_wanted};
use reader::Reader;
use shared::{News, Shared, instant, locked};

pub use body::schema;
pub use command::DESKTOP;
pub use webhook::{resolved, variable};

/// So long it is waited at the end for what is not yet delivered, and where Drover is to be gone: CI leaves it 7.5 s in
/// all.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LAST_WAIT_IN_HASTE: Duration = Duration::from_secs(1);
/// So often in a row a command is run that was cut short; one that fails was told.
const COMMAND_ATTEMPTS: u32 = 5;
/// For what is run for no task, where one has to be named.
const NOBODY: &str = "on-event";

/// Where all of this happens.
#[derive(Clone)]
pub struct Surroundings {
    pub target: String,
    /// Commands are run in it.
    pub root: PathBuf,
    pub state_dir: PathBuf,
    /// Drover's own.
    pub environment: Vec<(String, String)>,
    pub now: fn() -> Millis,
    pub logs: SecretsOf,
}

/// Receivers that are at work.
pub struct Herald {
    place: Surroundings,
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    readers: BTreeMap<String, Running>,
}

/// How those who wait for Drover to be gone are heard.
#[derive(Clone)]
pub struct Haste(Arc<Shared>);

impl Haste {
    /// From now on no receiver is waited for longer than need be.
    pub fn begin(&self) {
        self.0.tell(|news| news.haste = true);
    }

    /// The same where nothing else is waited for any more. Whether that is so.
    pub fn begin_if_ending(&self) -> bool {
        self.0.tell(|news| news.haste |= news.is_ending());
        self.0.look(News::is_ending)
    }
}

struct Running {
    events: Vec<String>,
    carrier: Arc<dyn Carrier>,
    dismissed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What a reader is to be made from.
struct Wanted {
    events: Vec<String>,
    max_attempts: u32,
    carrier: Result<Arc<dyn Carrier>, String>,
}

impl Herald {
    /// Goes on where each receiver was left. `state` is what is recorded: one that was never heard of
    /// begins after that.
    pub fn start(follower: Box<dyn Follower>, place: Surroundings, policy: &Policy, state: &State) -> Self {
        let veil = Veil::new(place.logs, place.environment.iter().cloned().collect());
        let scene = Scene { target: place.target.clone(), veil, journal: None };
        let shared = Arc::new(Shared::new(follower, scene, state.head.seq));
        let mut herald = Self { place, shared, policy: Arc::new(policy.clone()), readers: BTreeMap::new() };
        herald.staff(state, state.head.seq);
        herald
    }

    pub fn haste(&self) -> Haste {
        Haste(self.shared.clone())
    }

    /// Lets receivers go that are not wanted as they are, and takes on those that are missing.
    fn staff(&mut self, state: &State, seq: u64) {
        let wanted = self.wanted();
        if !wanted.is_empty() {
            let mut scene = locked(&self.shared.scene);
            scene.veil.see(state);
            scene.veil.set(&self.policy);
        }
        let names: BTreeSet<String> = wanted.keys().cloned().collect();
        let mut before = std::mem::take(&mut self.readers);
        before.values().for_each(|running| running.dismissed.store(true, Ordering::SeqCst));
        self.shared.tell(|_| {});
        if let Err(error) = self.shared.keep_only(&self.place.target, &names) {
            return warn_of(error);
        }
        for (name, wanted) in wanted {
            let old = before.remove(&name).map(|running| running.thread);
            if let Err(error) = self.take_on(name, wanted, seq, old) {
                return warn_of(error);
            }
        }
    }

    fn take_on(&mut self, name: String, wanted: Wanted, seq: u64, old: Option<JoinHandle<()>>) -> Result<(), Option<StoreError>> {
        // It has a place in the journal from now on, also where it cannot be told yet.
        self.shared.enlist(&self.place.target, &name, seq)?;
        let carrier = match wanted.carrier {
            Ok(carrier) => carrier,
            Err(why) => {
                tracing::warn!("{why}; nothing is delivered, and what is due is delivered once that is mended");
                return Ok(());
            }
        };
        let dismissed = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            name: name.clone(),
            target: self.place.target.clone(),
            events: wanted.events.clone(),
            max_attempts: wanted.max_attempts,
            carrier: carrier.clone(),
            shared: self.shared.clone(),
            dismissed: dismissed.clone(),
        };
        self.shared.tell(|news| news.working += 1);
        let thread = std::thread::Builder::new().name("drover-notice".into()).spawn(move || {
            // The one before it has to write down first how far it is.
            let _ = old.map(JoinHandle::join);
            reader.begin();
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                self.shared.tell(|news| news.working -= 1);
                let receiver = carrier.name();
                tracing::warn!(
                    "{receiver}: nothing is delivered: its thread cannot be started: {error}; what is due is delivered the next time"
                );
                return Ok(());
            }
        };
        self.readers.insert(name, Running { events: wanted.events, carrier, dismissed, thread });
        Ok(())
    }

    fn wanted(&self) -> BTreeMap<String, Wanted> {
        let mut wanted = BTreeMap::new();
        // No two are the same: the files are refused where they are.
        let mut add = |name: String, one: Wanted| drop(wanted.insert(name, one));
        let notices = &self.policy.notices;
        for hook in &notices.webhooks {
            add(hook.identity(), self.webhook(hook));
        }
        for on_event in &notices.commands {
            add(on_event.identity(), self.command(on_event));
        }
        // Without a program that shows it there is nobody to be told; `drover doctor` says so.
        if let Some(carrier) = self.desktop().filter(|_| notices.desktop) {
            let events = events::DESKTOP.iter().map(|name| (*name).to_owned()).collect();
            add("desktop".to_owned(), Wanted { events, max_attempts: COMMAND_ATTEMPTS, carrier: Ok(carrier) });
        }
        wanted
    }

    fn webhook(&self, hook: &Webhook) -> Wanted {
        let post = webhook::Post::new(hook, &self.place.environment, self.place.now);
        let carrier = post.map(|post| Arc::new(post) as Arc<dyn Carrier>).map_err(|why| format!("a webhook cannot be used: {why}"));
        Wanted { events: hook.events.clone(), max_attempts: hook.max_attempts, carrier }
    }

    fn command(&self, on_event: &OnEvent) -> Wanted {
        let argv = match &on_event.command {
            CommandLine::Argv(argv) => argv.clone(),
            CommandLine::Shell(line) => ["sh", "-c", line].map(str::to_owned).to_vec(),
        };
        let env = environment(&self.policy, &self.place.environment);
        let command = Command {
            name: format!("on_event `{}`", one_line(argv.last().map_or("", String::as_str), 60)),
            form: Form::Own(argv),
            dir: self.place.state_dir.join("notices"),
            cwd: self.place.root.clone(),
            logs: (self.place.logs)(&self.policy, &env),
            env,
            timeout: on_event.timeout,
            grace: self.policy.shutdown_grace,
            under_way: Mutex::default(),
        };
        Wanted { events: on_event.events.clone(), max_attempts: COMMAND_ATTEMPTS, carrier: Ok(Arc::new(command)) }
    }

    fn desktop(&self) -> Option<Arc<dyn Carrier>> {
        let env: BTreeMap<String, String> = self.place.environment.iter().cloned().collect();
        let program = desktop_program(env.get("PATH").map(String::as_str))?;
        let (dir, root) = (self.place.state_dir.join("notices"), self.place.root.clone());
        Some(Arc::new(Command::desktop(program, dir, root, env)))
    }

    fn hear(&mut self, state: &State, seq: u64, fact: &Fact) {
        match fact {
            Fact::PolicySet { policy } if **policy != *self.policy => {
                self.policy = policy.clone();
                self.staff(state, seq);
            }
            Fact::Defined { .. } | Fact::Moved { .. } if !self.readers.is_empty() => locked(&self.shared.scene).veil.hear(fact),
            _ => {}
        }
    }
}

/// What commands see: what those do that are run for no task.
fn environment(policy: &Policy, own: &[(String, String)]) -> BTreeMap<String, String> {
    let id = TaskId::parse(NOBODY).expect("it is an id");
    let nobody = Spec { env: policy.env.clone(), env_pass: policy.env_pass.clone(), ..Spec::new(id) };
    agent::environment(&nobody, &BTreeMap::new(), own.iter().cloned())
}

/// The program that shows notifications here, if there is one.
pub fn desktop_program(path: Option<&str>) -> Option<&'static str> {
    let found = |program: &&&str| which::which_in(program, path, "/").is_ok();
    DESKTOP.iter().find(found).copied()
}

fn warn_of(error: Option<StoreError>) {
    if let Some(error) = error {
        tracing::warn!("webhooks and commands are not told any more: {error}");
    }
}

impl Reporter for Herald {
    fn fact(&mut self, state: &State, seq: u64, _: Millis, fact: &Fact) {
        self.hear(state, seq, fact);
        if self.readers.is_empty() {
            return;
        }
        let begins = matches!(fact, Fact::RunBegan { .. });
        let event = fact.event();
        // Nobody is woken for what nobody asked for.
        if begins || self.readers.values().any(|running| is_wanted(&running.events, &event)) {
            self.shared.tell(|news| {
                news.last = seq;
                news.runs += u64::from(begins);
            });
        }
    }

    fn end(&mut self, state: Option<&State>) {
        let in_haste = state.is_some_and(|state| state.flow == Flow::Interrupting);
        let at_most = fault::patience(LAST_WAIT);
        self.shared.tell(|news| {
            news.ending = Some(instant() + at_most);
            news.haste |= in_haste;
        });
        fault::point("notice.last");
        self.shared.wait_for(at_most, |news| news.working == 0 || news.haste);
        self.shared.wait_for(LAST_WAIT_IN_HASTE, |news| news.working == 0 || !news.haste);
        self.shared.tell(|news| (news.over, news.late) = (true, news.working));
        self.readers.values().for_each(|running| running.carrier.stop());
        self.shared.close();
    }

    fn warning(&self) -> Option<String> {
        let late = |news: &News| {
            let late = count(news.late, "receiver");
            (news.late > 0).then(|| format!("{late} of events did not answer in time; what is due is delivered the next time"))
        };
        let said: Vec<String> = self.shared.look(|news| news.trouble.iter().cloned().chain(late(news)).collect());
        (!said.is_empty()).then(|| said.join("\n"))
    }
}
