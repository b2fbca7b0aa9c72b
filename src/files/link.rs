//! What holds between tasks: dependencies resolved, the graph built, its errors shown where
//! they are written.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Code, Diagnostic, Findings, MAX_LABELS, nearest, quote};
use super::row::At;
use super::source::Span;
use super::tasks::{Dependency, Draft, Drafts};
use crate::base::{EpicId, TaskId};
use crate::model::{Epic, Graph, GraphError, Spec};

/// The most tasks of a project, and dependencies between them once epics are spelled out.
const MAX_TASKS: usize = 100_000;
const MAX_EDGES: usize = 1_000_000;
/// The most errors for which a near name is looked for among all tasks.
const MAX_HINTS: usize = 50;

/// Ids that stand in files which could not be read whole: nothing that names one is called unknown.
#[derive(Debug, Default)]
pub struct Known {
    pub tasks: BTreeSet<TaskId>,
    pub epics: BTreeSet<EpicId>,
}

type Epics = BTreeMap<EpicId, At<Epic>>;
/// The tasks that stand in place of one with a matrix.
type Parents = BTreeMap<TaskId, Vec<TaskId>>;
type Members = BTreeMap<EpicId, Vec<TaskId>>;

/// The graph, or none with the reasons in `findings`.
pub fn link(drafts: Drafts, known: &Known, findings: &mut Findings) -> Option<Graph> {
    let Drafts { epics, tasks, .. } = drafts;
    if let Some(beyond) = tasks.get(MAX_TASKS) {
        let message = format!("the project has more than {MAX_TASKS} tasks");
        findings.push(Diagnostic::error(Code::OutOfRange, beyond.ids[0].at, message).label("one too many"));
        return None;
    }
    let epics = unique(epics, findings);
    let mut linker = Linker { ids: Vec::new(), depends_on: Vec::new(), hints: 0, edges: 0, told: BTreeSet::new(), findings };
    let mut specs = Vec::with_capacity(tasks.len());
    let members = members(&tasks);
    let parents = linker.parents(&tasks);
    for draft in tasks {
        let depends_on = linker.resolve(&draft, &members, &parents, &epics, known);
        specs.push(Spec { depends_on: depends_on.iter().map(|d| d.value.clone()).collect(), ..draft.spec });
        linker.depends_on.push(depends_on);
        linker.ids.push(draft.ids);
    }
    linker.disabled(&specs);
    let graph = Graph::build(specs, epics.into_values().map(|e| e.value).collect(), &known.tasks);
    graph.map_err(|errors| errors.into_iter().for_each(|e| linker.report(e))).ok()
}

/// The epics by id; one that stands in two files is reported.
fn unique(epics: Vec<At<Epic>>, findings: &mut Findings) -> Epics {
    let mut out = Epics::new();
    for epic in epics {
        match out.get(&epic.value.id) {
            Some(first) => {
                let message = format!("epic id `{}` is used twice", epic.value.id);
                let found = Diagnostic::error(Code::DuplicateId, epic.at, message).label("and again here").also(first.at, "first here");
                findings.push(found.help("one file holds all tasks of an epic"));
            }
            None => {
                out.insert(epic.value.id.clone(), epic);
            }
        }
    }
    out
}

/// The tasks of each epic.
fn members(tasks: &[Draft]) -> Members {
    let mut out = Members::new();
    for draft in tasks {
        if let Some(epic) = &draft.spec.epic {
            out.entry(epic.clone()).or_default().push(draft.spec.id.clone());
        }
    }
    out
}

struct Linker<'a> {
    /// Of each task, its own id and those of its sub-tasks.
    ids: Vec<Vec<At<TaskId>>>,
    /// Of each task, what it waits for.
    depends_on: Vec<Vec<At<TaskId>>>,
    hints: usize,
    edges: usize,
    /// Places of dependencies that something was said about: an epic's stand for all its tasks.
    told: BTreeSet<(usize, usize)>,
    findings: &'a mut Findings,
}

impl Linker<'_> {
    /// The tasks that each matrix stands for. Its own id is no task's.
    fn parents(&mut self, tasks: &[Draft]) -> Parents {
        let mut out = Parents::new();
        let mut written: BTreeMap<&TaskId, Span> = BTreeMap::new();
        for draft in tasks {
            if let Some(parent) = &draft.parent {
                out.entry(parent.value.clone()).or_default().push(draft.spec.id.clone());
                // Written twice, the tasks themselves are told to be there twice.
                written.entry(&parent.value).or_insert(parent.at);
            }
        }
        for draft in tasks.iter().filter(|d| d.parent.is_none()) {
            if let Some(first) = written.get(&draft.spec.id) {
                let message = format!("id `{}` is used twice", draft.spec.id);
                let found = Diagnostic::error(Code::DuplicateId, draft.ids[0].at, message).label("a task of its own here");
                self.findings.push(found.also(*first, "a matrix here").help("rename one of the two"));
            }
        }
        out
    }

    /// Warns of what will not run because what it needs was taken out.
    fn disabled(&mut self, specs: &[Spec]) {
        let out: BTreeSet<&TaskId> = specs.iter().filter(|s| !s.enabled).map(|s| &s.id).collect();
        for (n, spec) in specs.iter().enumerate().filter(|(_, s)| s.enabled && !out.is_empty()) {
            let Some(need) = self.depends_on[n].iter().find(|d| out.contains(&d.value)) else { continue };
            let message = format!("`{}` depends on `{}`, which is disabled, so it will not run", spec.id, need.value);
            let found = Diagnostic::warning(Code::DisabledDependency, need.at, message).label("disabled");
            self.findings.push(found.help("disable it too, take this dependency out, or enable the other"));
        }
    }

    /// The tasks that a draft waits for, each once.
    fn resolve(&mut self, draft: &Draft, members: &Members, parents: &Parents, epics: &Epics, known: &Known) -> Vec<At<TaskId>> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for At { value, at } in &draft.depends_on {
            let named: &[TaskId] = match value {
                Dependency::Task(id) => parents.get(id).map_or(std::slice::from_ref(id), Vec::as_slice),
                Dependency::Epic(id) => self.epic(draft, id, *at, epics, known).and_then(|id| members.get(id)).map_or(&[], Vec::as_slice),
            };
            let before = self.edges;
            self.edges += named.len();
            if self.edges > MAX_EDGES {
                if before <= MAX_EDGES {
                    let message = format!("the project has more than {MAX_EDGES} dependencies");
                    self.findings.push(Diagnostic::error(Code::OutOfRange, *at, message).label("with these"));
                }
                break;
            }
            out.extend(named.iter().filter(|id| seen.insert((*id).clone())).map(|id| At { value: id.clone(), at: *at }));
        }
        out
    }

    /// The epic that a draft waits for, if it exists and is not its own.
    fn epic<'e>(&mut self, draft: &Draft, id: &'e EpicId, at: Span, epics: &Epics, known: &Known) -> Option<&'e EpicId> {
        if draft.spec.epic.as_ref() == Some(id) {
            let message = format!("`{}` waits for its own epic, and so for itself", draft.spec.id);
            self.findings.push(Diagnostic::error(Code::Cycle, at, message).label("its own epic"));
            return None;
        }
        if !epics.contains_key(id) && !known.epics.contains(id) && self.told.insert((at.start, at.len)) {
            let message = format!("`{}` depends on `epic:{id}`, which no file defines", draft.spec.id);
            self.hints += 1;
            let names = epics.keys().map(EpicId::as_str).take(if self.hints > MAX_HINTS { 0 } else { usize::MAX });
            let near = nearest(id.as_str(), names).map(|n| format!("did you mean `epic:{n}`?"));
            self.findings.push(Diagnostic::error(Code::UnknownDependency, at, message).label("no such epic").maybe_help(near));
        }
        Some(id)
    }

    fn report(&mut self, error: GraphError) {
        if self.findings.full() {
            self.findings.dropped += 1;
            return;
        }
        if let GraphError::UnknownDependency { task, dependency } | GraphError::Kin { task, dependency } = &error {
            let at = self.written(*task, dependency);
            if !self.told.insert((at.start, at.len)) {
                return;
            }
        }
        let found = match error {
            GraphError::DuplicateId { id, first, again } => self.duplicate(&id, first, again),
            GraphError::UnknownDependency { task, dependency } => self.unknown(task, &dependency),
            GraphError::Kin { task, dependency } => self.kin(task, &dependency),
            GraphError::Cycle { edges } => self.cycle(&edges),
        };
        self.findings.push(found);
    }

    fn duplicate(&self, id: &TaskId, first: usize, again: usize) -> Diagnostic {
        let places = |task: usize| self.ids[task].iter().filter(|i| &i.value == id).map(|i| i.at);
        // Within one task the last place is the repetition.
        let (first, again) = (places(first).next(), places(again).next_back());
        let (first, again) = (first.expect("the graph named a task with this id"), again.expect("the graph named a task with this id"));
        let found = Diagnostic::error(Code::DuplicateId, again, format!("task id `{id}` is used twice"));
        found.label("and again here").also(first, "first here").help("an id stands once in the whole project, sub-tasks included")
    }

    fn unknown(&mut self, task: usize, dependency: &TaskId) -> Diagnostic {
        let message = format!("`{}` depends on `{dependency}`, which no file defines", self.name(task));
        let found = Diagnostic::error(Code::UnknownDependency, self.written(task, dependency), message).label("no such task");
        self.hints += 1;
        if self.hints > MAX_HINTS {
            return found;
        }
        let parent = self.ids.iter().find(|ids| ids[1..].iter().any(|i| &i.value == dependency)).map(|ids| &ids[0].value);
        let near = || nearest(dependency.as_str(), self.ids.iter().map(|ids| ids[0].value.as_str()));
        found.maybe_help(match parent {
            Some(parent) => Some(format!("`{dependency}` is a sub-task; a task waits for whole tasks: write `{parent}`")),
            None => near().map(|n| format!("did you mean {}?", quote(n))),
        })
    }

    fn kin(&self, task: usize, dependency: &TaskId) -> Diagnostic {
        let id = self.name(task);
        let message = if id == dependency {
            format!("`{id}` waits for itself")
        } else {
            format!("`{id}` waits for `{dependency}`, which is {} it", if dependency.is_ancestor_of(id) { "above" } else { "below" })
        };
        Diagnostic::error(Code::Cycle, self.written(task, dependency), message)
            .label("takes part in itself")
            .help("take it out of `depends_on`")
    }

    /// Every edge of the component is labelled, up to the most labels there are. What an epic waits for is many edges
    /// and stands in one place: that gets one label.
    fn cycle(&self, edges: &[(usize, TaskId)]) -> Diagnostic {
        let mut places: Vec<(Span, String, usize)> = Vec::new();
        let mut known: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (task, on) in edges {
            let at = self.written(*task, on);
            match known.get(&(at.start, at.len)).copied() {
                Some(n) => places[n].2 += 1,
                None => {
                    known.insert((at.start, at.len), places.len());
                    places.push((at, format!("`{}` waits for `{on}`", self.name(*task)), 0));
                }
            }
        }
        let label = |(span, text, more)| (span, if more == 0 { text } else { format!("{text}, and {more} more such edges") });
        let mut labels = places.into_iter().take(MAX_LABELS).map(label);
        let (span, text) = labels.next().expect("a cycle has edges");
        let found = Diagnostic::error(Code::Cycle, span, format!("tasks wait for each other: {}", self.path(edges))).label(text);
        labels.fold(found, |found, (span, text)| found.also(span, text)).help("take out one of these edges")
    }

    /// One way around, in words.
    fn path(&self, edges: &[(usize, TaskId)]) -> String {
        const MAX_SHOWN: usize = 10;
        let mut next: BTreeMap<&TaskId, &TaskId> = BTreeMap::new();
        for (task, on) in edges {
            next.entry(self.name(*task)).or_insert(on);
        }
        let mut way = vec![self.name(edges[0].0)];
        let mut seen = BTreeMap::from([(way[0], 0)]);
        while let Some(on) = way.last().and_then(|last| next.get(last)) {
            way.push(on);
            if let Some(start) = seen.insert(on, way.len() - 1) {
                way.drain(..start); // the way led into the circle from outside
                break;
            }
        }
        let names: Vec<&str> = way.iter().take(MAX_SHOWN).map(|t| t.as_str()).collect();
        format!("{}{}", names.join(" -> "), if way.len() > MAX_SHOWN { " -> …" } else { "" })
    }

    fn name(&self, task: usize) -> &TaskId {
        &self.ids[task][0].value
    }

    /// Where a task's dependency is written.
    fn written(&self, task: usize, dependency: &TaskId) -> Span {
        let found = self.depends_on[task].iter().find(|d| &d.value == dependency);
        found.expect("the graph named a dependency of this task").at
    }
}
