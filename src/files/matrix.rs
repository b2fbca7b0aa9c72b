//! `matrix`: one written task that stands for several, one for each combination of values.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Code, Diagnostic, nearest_or_list, quote};
use super::row::{At, Row};
use super::shape::{MAX_AXES, MAX_VARIANTS};
use super::tasks::Draft;
use crate::base::{EpicId, TaskId};
use crate::model::{Action, CommandLine, Spec, digest_of, subst};

/// The names and values of a matrix, in the order in which they are written.
type Axes<'t> = Vec<(&'t str, Vec<At<&'t str>>)>;

/// The tasks that a draft stands for: itself, if it has no matrix.
pub fn variants(row: &Row<'_>, draft: Draft, errors: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let axes = row.axes("matrix");
    unknown_axes(row, &draft.spec, &axes, errors);
    foreign_names(row, &draft.spec, errors);
    let mut variants = combined(row, draft, &axes, errors);
    // Nothing else is ever filled in there, so an escape has done its work.
    variants.iter_mut().for_each(|v| fixed_texts(&mut v.spec, &mut |_, text| *text = subst::fill(text, |_| None)));
    variants
}

fn combined(row: &Row<'_>, draft: Draft, axes: &Axes<'_>, errors: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let Some(place) = row.place("matrix").filter(|_| !axes.is_empty()) else { return vec![draft] };
    let count = axes.iter().map(|(_, values)| values.len()).fold(1, usize::saturating_mul);
    if count > MAX_VARIANTS {
        let message = format!("this matrix stands for {count} tasks, at most {MAX_VARIANTS} are allowed");
        errors.push(Diagnostic::error(Code::OutOfRange, place, message).label("too many"));
        return Vec::new();
    }
    // What is wrong with the matrix itself was reported.
    if axes.len() > MAX_AXES || axes.iter().flat_map(|(_, values)| values).any(|v| EpicId::parse(v.value).is_err()) {
        return Vec::new();
    }
    combinations(axes).iter().filter_map(|values| variant(&draft, axes, values).map_err(|e| errors.push(e)).ok()).collect()
}

/// Every combination, the last axis running fastest.
fn combinations<'t>(axes: &Axes<'t>) -> Vec<Vec<At<&'t str>>> {
    axes.iter().fold(vec![Vec::new()], |done, (_, values)| {
        done.iter().flat_map(|d| values.iter().map(|v| d.iter().cloned().chain([v.clone()]).collect())).collect()
    })
}

/// The task of one combination.
fn variant(draft: &Draft, axes: &Axes<'_>, values: &[At<&str>]) -> Result<Draft, Diagnostic> {
    let parent = &draft.ids[0];
    let at = values.last().map_or(parent.at, |v| v.at);
    let renamed = |id: &TaskId| {
        let own = id.as_str().strip_prefix(parent.value.as_str()).unwrap_or_default();
        let values: String = values.iter().map(|v| format!(".{}", v.value)).collect();
        let name = format!("{}{values}{own}", parent.value);
        TaskId::parse(&name).map_err(|why| {
            let message = format!("{} cannot be the id of a task: {why}", quote(&name));
            Diagnostic::error(Code::BadId, at, message).label("from this value").also(parent.at, "and this id")
        })
    };
    let by_name: BTreeMap<&str, &str> = axes.iter().map(|(name, _)| *name).zip(values.iter().map(|v| v.value)).collect();
    let mut spec = draft.spec.clone();
    spec.id = renamed(&draft.spec.id)?;
    for step in &mut spec.steps {
        step.id = renamed(&step.id)?;
    }
    texts(&mut spec, &mut |text| *text = subst::fill_axes(text, |axis| by_name.get(axis).map(|v| (*v).to_owned())));
    spec.digest = digest_of(&spec.id, &spec.title, &spec.steps);
    let ids = draft.ids.iter().map(|id| Ok(At { value: renamed(&id.value)?, at })).collect::<Result<_, _>>()?;
    Ok(Draft { spec, ids, depends_on: draft.depends_on.clone(), parent: Some(parent.clone()) })
}

/// Every text in which the names of a matrix are filled in.
fn texts(spec: &mut Spec, visit: &mut dyn FnMut(&mut String)) {
    fixed_texts(spec, &mut |_, text| visit(text));
    for step in &mut spec.steps {
        match &mut step.action {
            Action::Shell(line) => visit(line),
            Action::Prompt { text, agent } => {
                visit(text);
                agent.args.iter_mut().for_each(&mut *visit);
                match &mut agent.command {
                    Some(CommandLine::Argv(argv)) => argv.iter_mut().for_each(&mut *visit),
                    Some(CommandLine::Shell(line)) => visit(line),
                    None => {}
                }
            }
        }
        step.verify.iter_mut().for_each(|c| visit(&mut c.run));
    }
    spec.verify.iter_mut().for_each(|c| visit(&mut c.run));
}

/// Those of them that are known when the files are read, each with the key that it is the value of: no name of a
/// step that runs means anything there.
fn fixed_texts(spec: &mut Spec, visit: &mut dyn FnMut(&'static str, &mut String)) {
    visit("title", &mut spec.title);
    for step in &mut spec.steps {
        visit("title", &mut step.title);
        step.verify.iter_mut().filter_map(|c| c.name.as_mut()).for_each(|name| visit("verify", name));
    }
    spec.verify.iter_mut().filter_map(|c| c.name.as_mut()).for_each(|name| visit("verify", name));
    for (key, globs) in [("paths", &mut spec.paths), ("protect", &mut spec.protect), ("inputs", &mut spec.inputs)] {
        globs.iter_mut().for_each(|glob| visit(key, glob));
    }
    spec.env.values_mut().for_each(|value| visit("env", value));
}

/// Reports names that are not of a matrix where only those are filled in: they would stay as they are written, and
/// nobody would be told. Each once, at the key if the task has it itself.
fn foreign_names(row: &Row<'_>, spec: &Spec, errors: &mut Vec<Diagnostic>) {
    let mut found = BTreeSet::new();
    fixed_texts(&mut spec.clone(), &mut |key, text| found.extend(subst::foreign(text).into_iter().map(|name| (key, name))));
    for (key, name) in found {
        let message = match name.is_empty() {
            true => "`${{` has no `}}` after it".to_owned(),
            false => format!("{} is not filled in in `{key}`", quote(&format!("${{{{ {name} }}}}"))),
        };
        let help = "only `${{ matrix.NAME }}` is filled in there; write `$${{` for a literal `${{`";
        errors.push(Diagnostic::error(Code::BadSubstitution, row.place(key).unwrap_or(row.at), message).label("here").help(help));
    }
}

/// Reports names of a matrix that the task does not have. Texts can be inherited, so this is
/// known only when all of them are there.
fn unknown_axes(row: &Row<'_>, spec: &Spec, axes: &Axes<'_>, errors: &mut Vec<Diagnostic>) {
    let known: BTreeSet<&str> = axes.iter().map(|(name, _)| *name).collect();
    let mut unknown = BTreeSet::new();
    texts(&mut spec.clone(), &mut |text| unknown.extend(subst::axes(text).filter(|a| !known.contains(a)).map(str::to_owned)));
    for name in unknown {
        let written = format!("matrix.{name}");
        let holds = |key: &&'static str| row.text(key).is_some_and(|t| t.value.contains(&written));
        let place = ["title", "prompt", "run", "prompt_file"].into_iter().find(holds).and_then(|key| row.place(key)).unwrap_or(row.at);
        let message = format!("the matrix of this task has no {}", quote(&name));
        let help = match known.is_empty() {
            true => format!("give the task a `matrix`, such as {{ {name} = [\"a\", \"b\"] }}"),
            false => nearest_or_list(&name, "names in the matrix", known.iter().copied()),
        };
        errors.push(Diagnostic::error(Code::BadSubstitution, place, message).label("asked for here").help(help));
    }
}
