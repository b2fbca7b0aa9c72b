//! One task file: from a checked table to drafts of its tasks, inheritance resolved.
//!
//! Knows nothing of other files; what holds between tasks is for `link`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::bad_names;
use super::config::Config;
use super::diagnostic::{Code, Diagnostic, Findings, quote};
use super::disk::Disk;
use super::format::{MAX_PROMPT, not_blank};
use super::layer::Layer;
use super::matrix;
use super::moved::{self, Moved};
use super::row::{At, Row};
use super::source::{SourceMap, Span};
use crate::base::{EpicId, TaskId};
use crate::model::{Action, Approval, Budget, Epic, OnChange, OnDependency, Source, Spec, StepSpec, Workspace, digest_of, subst};

/// A task whose dependencies are as written. Every task with an id becomes one, so that others
/// may depend on it, whatever else is wrong with it.
#[derive(Debug)]
pub struct Draft {
    pub spec: Spec,
    /// The task's own id, then those of its sub-tasks.
    pub ids: Vec<At<TaskId>>,
    pub depends_on: Vec<At<Dependency>>,
    /// The id as written, where a matrix made several tasks of it.
    pub parent: Option<At<TaskId>>,
}

#[derive(Clone, Debug)]
pub enum Dependency {
    Task(TaskId),
    Epic(EpicId),
}

/// What all files are read with and into.
pub struct Session<'a> {
    pub config: &'a Config,
    pub disk: &'a mut Disk,
    pub map: &'a mut SourceMap,
    pub findings: &'a mut Findings,
}

/// One task file.
pub struct File<'a> {
    /// Relative to the project's root.
    pub name: &'a str,
    pub row: Row<'a>,
}

#[derive(Debug, Default)]
pub struct Drafts {
    pub epics: Vec<At<Epic>>,
    /// What all tasks of an epic may use together.
    pub budgets: BTreeMap<EpicId, Budget>,
    pub tasks: Vec<Draft>,
    pub moved: Vec<Moved>,
}

/// What all tasks of a file have in common.
struct Common {
    dir: PathBuf,
    file: String,
    epic: Option<EpicId>,
    layer: Layer,
    /// What every task of the epic waits for.
    depends_on: Vec<At<Dependency>>,
}

impl Session<'_> {
    pub fn read(&mut self, file: &File<'_>, drafts: &mut Drafts) {
        drafts.moved.extend(moved::read(file.name, &file.row, self.map));
        let common = self.common(file, drafts);
        for row in file.row.tables("task") {
            let Some(draft) = self.task(&common, &row) else { continue };
            let mut errors = Vec::new();
            drafts.tasks.extend(matrix::variants(&row, draft, &mut errors));
            errors.into_iter().for_each(|e| self.findings.push(e));
        }
    }

    fn common(&mut self, file: &File<'_>, drafts: &mut Drafts) -> Common {
        let dir = self.disk.root().join(file.name).parent().unwrap_or(Path::new("")).to_owned();
        let mut common =
            Common { dir, file: file.name.to_owned(), epic: None, layer: self.config.defaults.clone(), depends_on: Vec::new() };
        let Some(row) = file.row.table("epic") else { return common };
        if let Some(defaults) = row.table("defaults") {
            self.names_of(&defaults);
            common.layer = Layer::read(&defaults).over(&self.config.defaults);
        }
        if let Some(At { value, at }) = row.text("id")
            && let Ok(id) = EpicId::parse(value)
        {
            common.epic = Some(id.clone());
            common.depends_on = self.epics_needs(&row, &id);
            drafts.budgets.extend(row.table("budget").map(|b| (id.clone(), b.budget())));
            let title = row.string("title").unwrap_or_default();
            drafts.epics.push(At { value: Epic { id, title, description: row.string("description").unwrap_or_default() }, at });
        }
        common
    }

    /// What an epic waits for. That it waits for itself is said once and not for each task.
    fn epics_needs(&mut self, row: &Row<'_>, id: &EpicId) -> Vec<At<Dependency>> {
        let mut needs = dependencies(row);
        needs.retain(|need| {
            let own = matches!(&need.value, Dependency::Epic(other) if other == id);
            if own {
                let found = Diagnostic::error(Code::Cycle, need.at, format!("epic `{id}` waits for itself"));
                self.findings.push(found.label("takes part in itself").help("take it out of `depends_on`"));
            }
            !own
        });
        needs
    }

    fn names_of(&mut self, row: &Row<'_>) {
        self.config.names.check_agent(row, self.findings);
        self.config.names.check_groups(row, self.findings);
    }

    fn task(&mut self, common: &Common, row: &Row<'_>) -> Option<Draft> {
        self.names_of(row);
        let written = row.text("id")?;
        let id = TaskId::parse(written.value).ok()?;
        let template = self.config.names.template(row, self.findings);
        let layer = Layer::read(row).over(&template.over(&common.layer));
        self.can_wait_for_approval(&layer, &id, written.at);
        let mut ids = vec![At { value: id.clone(), at: written.at }];
        let steps = self.steps(common, row, &layer, &mut ids);
        let title = row.string("title").unwrap_or_default();
        let place = self.map.place(row.at);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let spec = Spec {
            epic: common.epic.clone(),
            digest: digest_of(&id, &title, &steps),
            depends_on: Vec::new(),
            priority: layer.priority.unwrap_or(0),
            labels: layer.labels.clone().unwrap_or_default(),
            groups: layer.groups.clone().unwrap_or_default(),
            verify: layer.verify.clone().unwrap_or_default(),
            retry: layer.full_retry(),
            budget: layer.budget,
            attempt_budget: layer.attempt_budget,
            on_change: layer.on_change.unwrap_or(OnChange::Rerun),
            on_dependency: layer.on_dependency.unwrap_or(OnDependency::Keep),
            allow_empty: layer.allow_empty.unwrap_or_else(|| steps.iter().all(|s| matches!(s.action, Action::Shell(_)))),
            approval: layer.approval.unwrap_or_default(),
            protect: layer.protect.clone().unwrap_or_default(),
            paths: layer.paths.clone().unwrap_or_default(),
            inputs: layer.inputs.clone().unwrap_or_default(),
            workspace: layer.workspace.unwrap_or(Workspace::Worktree),
            enabled: row.bool("enabled").unwrap_or(true),
            env: layer.env.clone(),
            env_pass: layer.env_pass.clone().unwrap_or_default(),
            source: Source { file: common.file.clone(), line: number(place.line), column: number(place.column) },
            id,
            title,
            steps,
        };
        let depends_on = dependencies(row).into_iter().chain(common.depends_on.iter().cloned()).collect();
        Some(Draft { spec, ids, depends_on, parent: None })
    }

    /// What works in the checkout is there at once: nothing is left that a person could hold back.
    fn can_wait_for_approval(&mut self, layer: &Layer, id: &TaskId, at: Span) {
        if (layer.approval, layer.workspace) == (Some(Approval::Required), Some(Workspace::Checkout)) {
            let message = format!("task `{id}` works in the checkout, so nothing can wait for an approval");
            let help = "say `approval = \"none\"`, or `workspace = \"worktree\"`";
            self.findings.push(Diagnostic::error(Code::KeyConflict, at, message).label("this task").help(help));
        }
    }

    /// Sub-tasks in file order, then the task's own work.
    fn steps(&mut self, common: &Common, row: &Row<'_>, layer: &Layer, ids: &mut Vec<At<TaskId>>) -> Vec<StepSpec> {
        let task = ids[0].value.clone();
        let mut steps = Vec::new();
        for sub in row.tables("subtask") {
            self.config.names.check_agent(&sub, self.findings);
            let Some(At { value: segment, at }) = sub.text("id") else { continue };
            let id = match task.child(segment) {
                Ok(id) => id,
                Err(why) => {
                    // What is wrong with the segment itself was reported.
                    if EpicId::parse(segment).is_ok() {
                        let message = format!("{} cannot be the id of a sub-task: {why}", quote(&format!("{task}.{segment}")));
                        self.findings.push(Diagnostic::error(Code::BadId, at, message).label("here"));
                    }
                    continue;
                }
            };
            ids.push(At { value: id.clone(), at });
            let layer = Layer {
                agent: sub.string("agent").or_else(|| layer.agent.clone()),
                timeout: sub.duration("timeout").or(layer.timeout),
                stall_timeout: sub.duration("stall_timeout").or(layer.stall_timeout),
                ..Layer::default()
            };
            let title = sub.string("title").unwrap_or_default();
            if let Some(action) = self.action(common, &sub, &layer) {
                steps.push(StepSpec { verify: sub.commands("verify").unwrap_or_default(), ..step(id, title, action, &layer) });
            }
        }
        if let Some(action) = self.action(common, row, layer) {
            steps.push(step(task, row.string("title").unwrap_or_default(), action, layer));
        }
        steps
    }

    /// What is to be done, if the table says it.
    fn action(&mut self, common: &Common, row: &Row<'_>, layer: &Layer) -> Option<Action> {
        for key in ["prompt", "run"] {
            if let Some(At { value, at }) = row.text(key) {
                self.needs_epic(common, value, at);
            }
        }
        if let Some(line) = row.string("run") {
            return Some(Action::Shell(line));
        }
        let text = match row.string("prompt") {
            Some(text) => text,
            None => self.prompt_file(common, row.text("prompt_file")?)?,
        };
        let agent = self.config.agent(layer.agent.as_deref().unwrap_or_default());
        Some(Action::Prompt { text, agent })
    }

    fn prompt_file(&mut self, common: &Common, At { value, at }: At<&str>) -> Option<String> {
        let path = common.dir.join(value);
        match self.disk.read_inside(&path, MAX_PROMPT as u64) {
            Ok(text) => {
                self.prompt_text(common, &path, &text, at);
                Some(text)
            }
            Err(no) => {
                let message = format!("the prompt file {} cannot be read: {}", quote(value), no.why);
                let help = "the path is relative to the directory of this file";
                self.findings.push(Diagnostic::error(no.code, at, message).label("named here").help(help));
                None
            }
        }
    }

    /// What is wrong with the text of a prompt file, shown inside it.
    fn prompt_text(&mut self, common: &Common, path: &Path, text: &str, at: Span) {
        if let Err(wrong) = not_blank("prompt_file", text) {
            self.findings.push(Diagnostic::error(wrong.code, at, wrong.message).label("this file"));
        }
        if !subst::check(text).is_empty() {
            let base = self.map.add(&self.disk.name(path), text);
            for bad in bad_names(text, text, base) {
                self.findings.push(bad.also(at, "named here"));
            }
        }
        self.needs_epic(common, text, at);
    }

    fn needs_epic(&mut self, common: &Common, text: &str, at: Span) {
        let used = Cell::new(false);
        if common.epic.is_none() && text.contains("epic.id") {
            subst::fill(text, |name| {
                used.set(used.get() || name == "epic.id");
                None
            });
        }
        if used.get() {
            let message = "`${{ epic.id }}` is used in a task that belongs to no epic";
            let help = "give the file an [epic], or take it out";
            self.findings.push(Diagnostic::error(Code::BadSubstitution, at, message).label("in this text").help(help));
        }
    }
}

fn step(id: TaskId, title: String, action: Action, layer: &Layer) -> StepSpec {
    let (timeout, stall_timeout) = (layer.timeout.unwrap_or_default(), layer.stall_timeout.unwrap_or_default());
    StepSpec { id, title, action, verify: Vec::new(), timeout, stall_timeout }
}

fn dependencies(row: &Row<'_>) -> Vec<At<Dependency>> {
    let written = row.texts("depends_on").unwrap_or_default();
    let parse = |text: &str| match text.strip_prefix("epic:") {
        Some(epic) => EpicId::parse(epic).map(Dependency::Epic).ok(),
        None => TaskId::parse(text).map(Dependency::Task).ok(),
    };
    written.into_iter().filter_map(|At { value, at }| Some(At { value: parse(value)?, at })).collect()
}
