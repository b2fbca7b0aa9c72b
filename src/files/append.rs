//! What is added to task files: tables at their end, in the form in which a person would write them.

use super::change::{Change, Edit};
use super::scaffold::{TASK_HEAD, quoted};

/// A task as the command line says it; whether it is fit is found by reading the file with it.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    pub id: String,
    pub title: String,
    pub work: Work,
    pub depends_on: Vec<String>,
    pub agent: Option<String>,
    pub labels: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Work {
    Prompt(String),
    PromptFile(String),
    Run(String),
}

impl Default for Work {
    fn default() -> Self {
        Work::Run(String::new())
    }
}

impl NewTask {
    pub fn block(&self) -> String {
        let list = |of: &[String]| of.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
        let mut out = format!("[[task]]\nid = {}\ntitle = {}\n", quoted(&self.id), quoted(&self.title));
        out += &self.agent.as_ref().map_or(String::new(), |agent| format!("agent = {}\n", quoted(agent)));
        if !self.depends_on.is_empty() {
            out += &format!("depends_on = [{}]\n", list(&self.depends_on));
        }
        if !self.labels.is_empty() {
            out += &format!("labels = [{}]\n", list(&self.labels));
        }
        out += &match &self.work {
            Work::Prompt(text) => format!("prompt = {}\n", long(text)),
            Work::PromptFile(path) => format!("prompt_file = {}\n", quoted(path)),
            Work::Run(line) => format!("run = {}\n", long(line)),
        };
        out
    }
}

/// The table of an epic.
pub fn epic_block(id: &str, title: &str) -> String {
    format!("[epic]\nid = {}\ntitle = {}\n", quoted(id), quoted(title))
}

/// A text of one or more lines as a TOML string.
fn long(text: &str) -> String {
    quoted(&text.replace("\r\n", "\n"))
}

/// A table at the end of a file, and the line that it begins on. A new file begins as the one that `init` writes.
pub fn append(name: &str, old: Option<String>, block: &str) -> (Change, usize) {
    let (edit, line) = at_the_end(old.as_deref(), block);
    (Change::new(name, old, vec![edit]), line)
}

pub(super) fn at_the_end(old: Option<&str>, block: &str) -> (Edit, usize) {
    let text = old.unwrap_or_default();
    let crlf = text.find('\n').is_some_and(|n| text[..n].ends_with('\r'));
    let mut before = String::new();
    if old.is_none() {
        before = format!("{TASK_HEAD}\n");
    } else if !text.trim_start_matches('\u{feff}').is_empty() {
        let ended = text.ends_with('\n');
        let blank = text.ends_with("\n\n") || text.ends_with("\n\r\n");
        before = "\n".repeat(usize::from(!ended) + usize::from(!blank));
    }
    let line = text.matches('\n').count() + before.matches('\n').count() + 1;
    let with = before + block;
    let with = if crlf { with.replace('\n', "\r\n") } else { with };
    (Edit { at: text.len()..text.len(), with }, line)
}

/// The file that new tables go into where none is named: called `stem`, under the first of the globs.
/// None where the glob does not say what such a file would be called.
pub fn default_file(globs: &[String], stem: &str) -> Option<String> {
    let glob = globs.first()?;
    let odd = ['?', '[', ']', '{', '}', '\\'];
    let wild = |part: &&str| part.contains('*') || part.contains(odd);
    let mut parts: Vec<&str> = glob.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    let last = parts.pop()?;
    if last.contains(odd) {
        return None;
    }
    let file = match last {
        "**" | "*" => format!("{stem}.toml"),
        last => last.replacen('*', stem, 1).replace('*', ""),
    };
    let dirs = parts.into_iter().take_while(|part| !wild(part)).map(str::to_owned);
    Some(dirs.chain([file]).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_it_was_said() {
        for text in
            ["one", "two\nlines", "ends\n", "\"\"\"\\ ''' \u{1}\n", "tab\t\\n\nC:\\x", "'''\n\"\"\"", "\n", "a\rb\nc", "\u{7f}\u{2028}\n"]
        {
            for value in [format!("p = {}", long(text)), format!("p = {}", quoted(text))] {
                let table: toml::Table = value.parse().unwrap_or_else(|e| panic!("{value}: {e}"));
                assert_eq!(table["p"].as_str(), Some(text), "{value}");
            }
        }
    }

    #[test]
    fn a_table_goes_to_the_end_after_a_blank_line_with_the_line_ends_of_the_file() {
        let added = |old: &str| {
            let (change, line) = append("t", Some(old.to_owned()), "[t]\nx = 1\n");
            (change.text()[old.len()..].to_owned(), line)
        };
        assert_eq!(added("a = 1"), ("\n\n[t]\nx = 1\n".into(), 3));
        assert_eq!(added("a = 1\n"), ("\n[t]\nx = 1\n".into(), 3));
        assert_eq!(added("a = 1\n\n"), ("[t]\nx = 1\n".into(), 3));
        assert_eq!(added("a = 1\r\n"), ("\r\n[t]\r\nx = 1\r\n".into(), 3));
        assert_eq!(added(""), ("[t]\nx = 1\n".into(), 1));
    }

    #[test]
    fn a_file_is_called_as_the_first_glob_wants_it() {
        let found = |glob: &str| default_file(&[glob.to_owned()], "tasks");
        let cases = [
            ("drover/**/*.toml", "drover/tasks.toml"),
            ("drover/**", "drover/tasks.toml"),
            ("*.toml", "tasks.toml"),
            ("plan/*.task.toml", "plan/tasks.task.toml"),
            ("plan.toml", "plan.toml"),
        ];
        cases.iter().for_each(|(glob, file)| assert_eq!(found(glob).as_deref(), Some(*file), "{glob}"));
        assert_eq!(found("a/[ab].toml"), None);
        assert_eq!(default_file(&[], "tasks"), None);
    }
}
