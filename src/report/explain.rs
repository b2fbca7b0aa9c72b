//! All that is known of one task: why it stands where it stands, what an apply would do with it,
//! what changed in its definition, and where its settings come from.

use crate::base::text::one_line;
use crate::base::{Millis, TaskId};
use crate::core::view::TaskView;
use crate::core::{State, Task};
use crate::files::Setting;
use crate::model::{Action, Spec};
use crate::plan::Line;
use crate::report::words;

pub struct Explained<'a> {
    /// As the files define it.
    pub spec: &'a Spec,
    /// As it is recorded, if it is.
    pub before: Option<&'a Task>,
    /// What an apply would do with it.
    pub line: Option<&'a Line>,
    pub state: &'a State,
    /// The tasks that wait for it.
    pub needed_by: Vec<TaskId>,
    pub settings: &'a [Setting],
}

/// The most lines of a definition that are compared, and that are shown of the difference.
const COMPARED: usize = 1000;
const SHOWN: usize = 60;

impl Explained<'_> {
    pub(super) fn view(&self) -> Option<TaskView> {
        self.state.view(&self.spec.id)
    }

    /// What it needs, with how it stands with each.
    pub(super) fn needs(&self, now: Millis) -> Vec<(TaskId, String)> {
        let told = |view: TaskView| match &view.reason {
            Some(reason) => format!("{}: {}", words::status(&view), words::reason(reason, now)),
            None => words::status(&view),
        };
        let of = |id: &TaskId| (id.clone(), self.state.view(id).map_or("not recorded yet".into(), told));
        self.spec.depends_on.iter().map(of).collect()
    }

    /// The lines of the definition that were taken out and put in since it was recorded.
    pub(super) fn changes(&self) -> Vec<String> {
        let Some(before) = self.before.map(|t| t.next.as_ref().unwrap_or(&t.spec)) else { return Vec::new() };
        if before.digest == self.spec.digest {
            return Vec::new();
        }
        difference(&definition(before), &definition(self.spec))
    }
}

/// A definition as lines for people.
fn definition(spec: &Spec) -> Vec<String> {
    let mut lines = vec![format!("title: {}", spec.title)];
    for step in &spec.steps {
        if step.id != spec.id {
            lines.push(format!("sub-task {}: {}", step.id, step.title));
        }
        match &step.action {
            Action::Shell(line) => lines.extend(line.lines().map(|l| format!("$ {l}"))),
            Action::Prompt { text, .. } => lines.extend(text.lines().map(|l| l.trim_end().to_owned())),
        }
    }
    lines.truncate(COMPARED);
    lines
}

/// What is only in one of two texts, in order; `-` for the first, `+` for the second.
fn difference(old: &[String], new: &[String]) -> Vec<String> {
    // The longest common part of what is left from each place on.
    let mut common = vec![vec![0u16; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            out.push(format!("- {}", one_line(&old[i], 200)));
            i += 1;
        } else {
            out.push(format!("+ {}", one_line(&new[j], 200)));
            j += 1;
        }
    }
    let more = out.len().saturating_sub(SHOWN);
    out.truncate(SHOWN);
    out.extend((more > 0).then(|| format!("… and {more} more lines")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_is_only_on_one_side() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(difference(&lines("a b c d"), &lines("a x c d e")), ["- b", "+ x", "+ e"]);
        assert_eq!(difference(&lines("a"), &lines("a")), [] as [&str; 0]);
        assert_eq!(difference(&vec!["x".to_owned(); 100], &[]).len(), SHOWN + 1);
    }
}
