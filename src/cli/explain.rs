//! `drover explain`: why a task waits or would run, what changed in its definition, where its
//! settings come from; and exactly what its agent would be told. Writes nothing.

use std::io::{IsTerminal, Write};

use super::args::{ExplainArgs, Global};
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use super::{apply, context, opening, running};
use crate::base::text::{block, did_you_mean, one_line};
use crate::base::{Oid, TaskId};
use crate::core::{Fact, Selection, State, decide};
use crate::engine::driver::now;
use crate::engine::machine::Work;
use crate::engine::slots::Slots;
use crate::engine::{Place, Reading, to_be_sent};
use crate::files::{Project, Setting};
use crate::git::Repo;
use crate::model::{Action, Spec, Workspace};
use crate::plan::{self, Plan};
use crate::report::{self, Explained};
use crate::store::redb;
use crate::{agent, report::json::FORMAT_VERSION};

pub fn run(global: &Global, terminal: &Terminal, args: &ExplainArgs) -> CliResult {
    let repo = context::repository(global)?;
    let asked = TaskId::parse(&args.task).map_err(|why| Failure::new(Exit::Usage, format!("`{}`: {why}", one_line(&args.task, 80))))?;
    let project = context::project_of(global, terminal, &repo, Some(&asked))?;
    let target = context::target(global, &repo, Some(&project))?;
    let recorded = redb::snapshot(&repo.state_dir(), &target)?.unwrap_or_default();
    let (spec, step) = found(&project, &asked)?;
    let opening = opening::of_files(&repo, &target, &project.graph, &recorded)?;
    let plan = plan::diff(&plan::Request {
        graph: &project.graph,
        policy: &project.policy,
        recorded: &opening.state,
        moved: &opening.moved,
        rerun: &Default::default(),
        inputs: &opening.inputs_changed,
        selection: &Selection::All,
        now: now(),
    });
    if args.prompt {
        return Next { repo: &repo, target: &target, project: &project, plan: &plan, spec, step }.print(terminal, &opening.state);
    }
    let settings = without_secrets(&project);
    let explained = Explained {
        spec,
        before: opening.state.tasks.get(&spec.id),
        line: plan.lines.iter().find(|l| l.id == spec.id),
        state: &opening.state,
        needed_by: project.graph.tasks().values().filter(|s| s.depends_on.contains(&spec.id)).map(|s| s.id.clone()).collect(),
        settings: &settings,
    };
    match terminal.json {
        true => terminal.json(&report::json::explain(&explained, now())),
        false => terminal.out(&report::text::explain(&explained, now())),
    }
    Ok(Exit::Done)
}

/// Variables that are named like secrets stand there as they do in the logs.
fn without_secrets(project: &Project) -> Vec<Setting> {
    let secret = project.policy.logs.secret_names();
    let is_secret = |key: &str| {
        key.rsplit_once("env.").is_some_and(|(before, name)| matches!(before.chars().last(), None | Some('.')) && secret.is_match(name))
    };
    let shown = |setting: &Setting| match is_secret(&setting.key) {
        true => Setting { value: "***".into(), ..setting.clone() },
        false => setting.clone(),
    };
    project.settings.iter().map(shown).collect()
}

/// The task, and which of its steps is meant: its own work, unless a sub-task is named.
fn found<'a>(project: &'a Project, asked: &TaskId) -> Result<(&'a Spec, usize), Failure> {
    let tasks = project.graph.tasks();
    if let Some(spec) = tasks.get(asked) {
        return Ok((spec, spec.steps.len().saturating_sub(1)));
    }
    let step = tasks.values().find_map(|spec| Some((&**spec, spec.steps.iter().position(|s| s.id == *asked)?)));
    step.ok_or_else(|| {
        let near = did_you_mean(asked.as_str(), tasks.keys().map(TaskId::as_str));
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        Failure::new(Exit::NoMatch, format!("`{asked}` matches no task of the files{hint}"))
    })
}

/// What the next attempt would be told.
struct Next<'a> {
    repo: &'a Repo,
    target: &'a str,
    project: &'a Project,
    plan: &'a Plan,
    spec: &'a Spec,
    step: usize,
}

impl Next<'_> {
    fn print(&self, terminal: &Terminal, recorded: &State) -> CliResult {
        let step = &self.spec.steps[self.step];
        let unfit = |e: &dyn std::fmt::Display| Failure::unfit(e.to_string());
        let mut state = recorded.clone();
        drop(decide(&mut state, now(), &apply::reconcile_input(&self.project.policy, self.plan)));
        if state.tasks.get(&self.spec.id).is_some_and(|t| t.is_completed()) {
            terminal.note("It is completed: this is what another run of it would be told.");
            let anew = Fact::Defined { spec: self.spec.clone().into(), rerun: true, inputs: Vec::new() };
            state.apply(now(), &anew).map_err(|e| Failure::internal(e.to_string()))?;
        }
        let tip = self.tip()?;
        let (Some(task), Some(attempt)) = (state.tasks.get(&self.spec.id), state.next_attempt(&self.spec.id, &tip, now())) else {
            return Err(Failure::unfit(format!("`{}` would not be recorded by an apply", self.spec.id)));
        };
        self.asides(terminal, recorded, &state);
        let Action::Prompt { .. } = &step.action else {
            terminal.note(&format!("`{}` is a line for the shell: nothing is sent to anybody.", step.id));
            return self.answer(terminal, attempt.no, &attempt.base, "", None);
        };
        let slots = Slots::new(&self.repo.state_dir());
        let roots = running::worktrees_root(self.repo, &self.project.policy, &context::environment());
        let slot = slots.upcoming(&roots, |wt| self.repo.is_vacant(wt)).map_err(|e| unfit(&e))?;
        let worktree = match self.spec.workspace {
            Workspace::Worktree => slot.worktree().map_err(|e| unfit(&e))?.path(),
            Workspace::Checkout => self.repo.root().to_owned(),
        };
        let worktree = worktree.to_string_lossy().into_owned();
        let resumes = attempt.conversation.as_ref().is_some_and(|c| agent::goes_on(step, self.step, c).is_some());
        let work = Work::of(&state, task, &attempt);
        let state_dir = self.repo.state_dir();
        let reading = Reading { repo: self.repo, state_dir: &state_dir };
        let place = Place { worktree: &worktree, port: slot.port, resumes };
        let prompt = to_be_sent(reading, &self.project.policy, &work, step, &place).map_err(|f| Failure::unfit(f.message))?;
        self.answer(terminal, attempt.no, &attempt.base, &worktree, Some(&prompt))
    }

    fn tip(&self) -> Result<Oid, Failure> {
        let unfit = |e: crate::git::GitError| Failure::unfit(e.to_string());
        let line = self.repo.tip(&Repo::line_ref(self.target)).map_err(unfit)?;
        let tip = line.map_or_else(|| self.repo.branch_tip(self.target), |tip| Ok(Some(tip))).map_err(unfit)?;
        tip.ok_or_else(|| Failure::unfit(format!("the target branch `{}` has no commits yet", self.target)))
    }

    /// What can still change before it is sent.
    fn asides(&self, terminal: &Terminal, recorded: &State, state: &State) {
        if let Some(attempt) = recorded.tasks.get(&self.spec.id).and_then(|t| t.attempt()) {
            let sent = self.repo.state_dir().join("attempts").join(attempt.aid.as_str()).join(format!("agent-{}", self.step)).join("stdin");
            let sent = if sent.is_file() { format!("; what it was told is in {}", sent.display()) } else { String::new() };
            terminal.note(&format!("Attempt {} is under way{sent}. This is for another one after it.", attempt.no));
        }
        let open: Vec<&str> =
            self.spec.depends_on.iter().filter(|d| !state.tasks.get(*d).is_some_and(|t| t.is_completed())).map(TaskId::as_str).collect();
        if !open.is_empty() {
            let open: Vec<String> = open.iter().map(|d| (*d).to_owned()).collect();
            terminal.note(&format!("It waits for {}: what they land will be told, too.", crate::base::text::some_of(&open)));
        }
    }

    fn answer(&self, terminal: &Terminal, attempt: u32, base: &Oid, worktree: &str, prompt: Option<&str>) -> CliResult {
        if terminal.json {
            terminal.json(&serde_json::json!({
                "format_version": FORMAT_VERSION, "task": self.spec.id.as_str(), "step": self.spec.steps[self.step].id.as_str(),
                "attempt": attempt, "base": base.as_str(), "worktree": worktree, "prompt": prompt,
            }));
            return Ok(Exit::Done);
        }
        let Some(prompt) = prompt else { return Ok(Exit::Done) };
        // Byte for byte, but not to a terminal.
        terminal.answer(|out| match out.is_terminal() {
            true => out.write_all(block(prompt).as_bytes()),
            false => out.write_all(prompt.as_bytes()),
        });
        Ok(Exit::Done)
    }
}
