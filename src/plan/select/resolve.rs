//! From expressions to tasks.

use std::collections::BTreeSet;

use super::universe::{Universe, values};
use super::{Base, Expr, Reach, SelectError, Term};
use crate::base::TaskId;
use crate::base::text::did_you_mean;

type Tasks<'a> = BTreeSet<&'a TaskId>;

/// The tasks that one of `exprs` holds, without those that one of `exclude` holds. No
/// expression at all means every task.
pub fn resolve(exprs: &[Expr], exclude: &[Expr], universe: &Universe) -> Result<BTreeSet<TaskId>, SelectError> {
    let mut chosen: Tasks = BTreeSet::new();
    if exprs.is_empty() {
        chosen.extend(universe.tasks.keys());
    }
    for expr in exprs {
        chosen.extend(all_terms(expr, universe)?);
    }
    let before = chosen.len();
    for expr in exclude {
        for id in all_terms(expr, universe)? {
            chosen.remove(id);
        }
    }
    if chosen.is_empty() && before > 0 {
        let expr = exclude.iter().map(|e| e.text.as_str()).collect::<Vec<_>>().join(" ");
        return Err(SelectError::NoMatch { expr: format!("--exclude {expr}"), hint: " that is left over: it takes away all".into() });
    }
    Ok(chosen.into_iter().cloned().collect())
}

fn all_terms<'a>(expr: &Expr, universe: &Universe<'a>) -> Result<Tasks<'a>, SelectError> {
    let mut sets = expr.terms.iter().map(|t| one_term(t, universe)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = sets.next().unwrap_or_default();
    let both = sets.fold(first, |a, b| a.intersection(&b).copied().collect());
    if both.is_empty() {
        let hint = ": its parts match tasks, but none in common".into();
        return Err(SelectError::NoMatch { expr: expr.text.clone(), hint });
    }
    Ok(if expr.needs { reach(&both, universe, true, None) } else { both })
}

fn one_term<'a>(term: &Term, universe: &Universe<'a>) -> Result<Tasks<'a>, SelectError> {
    let found = matching(&term.base, universe);
    if found.is_empty() {
        return Err(SelectError::NoMatch { expr: term.text.clone(), hint: hint(&term.base, universe) });
    }
    let mut all = found.clone();
    if let Some(levels) = term.up {
        all.extend(reach(&found, universe, true, levels));
    }
    if let Some(levels) = term.down {
        all.extend(reach(&found, universe, false, levels));
    }
    Ok(all)
}

fn matching<'a>(base: &Base, universe: &Universe<'a>) -> Tasks<'a> {
    let tasks = universe.tasks.iter().map(|(id, spec)| (*id, *spec));
    match base {
        Base::Id(name) => {
            let Ok(id) = TaskId::parse(name) else { return BTreeSet::new() };
            match universe.tasks.get_key_value(&id) {
                Some((id, _)) => BTreeSet::from([*id]),
                None => universe.tasks.keys().copied().filter(|below| id.is_ancestor_of(below)).collect(),
            }
        }
        Base::Glob(glob) => tasks.filter(|(id, _)| glob.is_match(id.as_str())).map(|(id, _)| id).collect(),
        Base::Attribute { method, name, matcher } => {
            let fits = |value: &&str| *value == name || matcher.is_match(value);
            tasks.filter(|(_, spec)| values(spec, method).iter().any(fits)).map(|(id, _)| id).collect()
        }
        Base::Status(status) => tasks.filter(|(_, spec)| universe.status(spec) == *status).map(|(id, _)| id).collect(),
    }
}

/// The tasks themselves and those at most `levels` away.
fn reach<'a>(from: &Tasks<'a>, universe: &Universe<'a>, up: bool, levels: Reach) -> Tasks<'a> {
    let mut seen = from.clone();
    let mut edge: Vec<&'a TaskId> = from.iter().copied().collect();
    let mut left = levels.unwrap_or(u32::MAX);
    while left > 0 && !edge.is_empty() {
        left -= 1;
        edge = edge.iter().flat_map(|id| universe.next(id, up)).filter(|id| seen.insert(*id)).collect();
    }
    seen
}

fn hint(base: &Base, universe: &Universe) -> String {
    let near = |name: &str, candidates: &mut dyn Iterator<Item = &str>| {
        // Nothing is near to what is longer than any name.
        (name.len() < 256).then(|| did_you_mean(name, candidates).map(str::to_owned)).flatten()
    };
    match base {
        Base::Id(name) => {
            let steps = || universe.tasks.values().flat_map(|spec| spec.steps.iter().map(move |s| (&s.id, *spec)));
            if let Some((_, spec)) = steps().find(|(step, spec)| step.as_str() == name && **step != spec.id) {
                return format!(": it is a sub-task of `{}`, which runs as a whole", spec.id);
            }
            near(name, &mut universe.tasks.keys().map(|id| id.as_str())).map(|m| format!("; did you mean `{m}`?"))
        }
        Base::Attribute { method, name, .. } => near(name, &mut universe.tasks.values().flat_map(|spec| values(spec, method)))
            .map(|m| format!("; did you mean `{method}:{m}`?")),
        Base::Glob(_) | Base::Status(_) => None,
    }
    .unwrap_or_default()
}
