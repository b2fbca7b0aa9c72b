//! The digest of a definition: what decides whether finished work is stale.
//!
//! In: title, prompt or shell line as authored, the user's own agent command, sub-tasks in
//! order. Out: everything that changes how, when or by whom the work is done but not what it
//! is (agent, model, arguments, verify, priority, limits, environment, order in the file).

use super::spec::{Action, CommandLine, StepSpec};
use crate::base::{Digest, TaskId};

/// Version 1. A task's own id is not in it, so that renaming a task moves nothing; the names of
/// its sub-tasks are. Each part is preceded by its name and length, so that no two definitions
/// can run together into the same bytes.
pub fn digest_of(id: &TaskId, title: &str, steps: &[StepSpec]) -> Digest {
    let mut bytes = Vec::new();
    part(&mut bytes, "title", title);
    for step in steps {
        part(&mut bytes, "step", step.id.as_str().strip_prefix(id.as_str()).unwrap_or(step.id.as_str()));
        part(&mut bytes, "title", &step.title);
        match &step.action {
            Action::Shell(line) => part(&mut bytes, "run", line),
            Action::Prompt { text, agent } => {
                part(&mut bytes, "prompt", text);
                match &agent.command {
                    None => {}
                    Some(CommandLine::Shell(line)) => part(&mut bytes, "shell", line),
                    Some(CommandLine::Argv(argv)) => argv.iter().for_each(|a| part(&mut bytes, "arg", a)),
                }
            }
        }
    }
    Digest::v1(&bytes)
}

fn part(bytes: &mut Vec<u8>, name: &str, text: &str) {
    let text = canonical(text);
    bytes.extend_from_slice(format!("{name} {}\n", text.len()).as_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
}

/// LF line ends, no blanks at the ends of lines, no blank lines at the end.
fn canonical(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn step(text: &str) -> StepSpec {
        StepSpec {
            id: TaskId::parse("a").unwrap(),
            title: "t".into(),
            action: Action::Shell(text.into()),
            verify: vec![],
            timeout: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(1),
        }
    }

    fn digest(steps: &[StepSpec]) -> Digest {
        digest_of(&TaskId::parse("a").unwrap(), "t", steps)
    }

    #[test]
    fn a_renamed_task_has_the_same_digest() {
        let id = TaskId::parse("b").unwrap();
        let renamed = StepSpec { id: id.clone(), ..step("x") };
        assert_eq!(digest_of(&id, "t", &[renamed]), digest(&[step("x")]));
    }

    #[test]
    fn layout_of_a_text_is_not_part_of_the_definition() {
        assert_eq!(digest(&[step("a\nb")]), digest(&[step("a  \r\nb\n\n")]));
        assert_ne!(digest(&[step("a\nb")]), digest(&[step("a\n\nb")]));
    }

    #[test]
    fn the_digest_of_a_definition_never_changes_with_the_program() {
        assert_eq!(digest(&[step("make docs")]).as_str(), "1:d13334d04217583d");
    }
}
