//! A strict reader of as much YAML as the examples have: tables, lists, texts of one line and of
//! several. Whatever else there is, is refused.

use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(BTreeMap<String, Yaml>),
}

impl Yaml {
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.map().get(key)
    }
    #[track_caller]
    pub fn at(&self, key: &str) -> &Yaml {
        self.get(key).unwrap_or_else(|| panic!("no `{key}` in {self:?}"))
    }
    #[track_caller]
    pub fn map(&self) -> &BTreeMap<String, Yaml> {
        match self {
            Yaml::Map(map) => map,
            other => panic!("no table: {other:?}"),
        }
    }
    #[track_caller]
    pub fn list(&self) -> &[Yaml] {
        match self {
            Yaml::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
    #[track_caller]
    pub fn text(&self) -> &str {
        match self {
            Yaml::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }
}

/// A document.
pub fn read(text: &str) -> Yaml {
    assert!(!text.contains('\t'), "a tab");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.reverse();
    let document = block(&mut lines, 0);
    assert!(lines.is_empty(), "left over: {lines:?}");
    document
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What stands at that depth; `lines` has the next one last.
fn block(lines: &mut Vec<String>, at: usize) -> Yaml {
    let is_list = lines.last().is_some_and(|line| line.trim_start().starts_with("- "));
    let (mut list, mut map) = (Vec::new(), BTreeMap::new());
    while lines.last().is_some_and(|line| depth(line) == at && line.trim_start().starts_with("- ") == is_list) {
        let line = lines.pop().unwrap();
        if let Some(item) = line.trim_start().strip_prefix("- ").filter(|_| is_list) {
            let key = item.split_once(": ").map(|(key, _)| key).or(item.strip_suffix(':'));
            if key.is_some_and(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
                // A table whose first line stands beside the dash.
                lines.push(format!("{}{item}", " ".repeat(at + 2)));
                list.push(block(lines, at + 2));
            } else {
                list.push(scalar(item));
            }
            continue;
        }
        let (key, rest) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("no key: {line}"));
        let below = lines.last().map(|line| depth(line)).filter(|depth| *depth > at);
        let value = match (rest.trim(), below) {
            ("|", Some(below)) => {
                let mut text = String::new();
                while lines.last().is_some_and(|line| depth(line) >= below) {
                    text += &format!("{}\n", &lines.pop().unwrap()[below..]);
                }
                Yaml::Text(text)
            }
            ("", Some(below)) => block(lines, below),
            ("", None) => Yaml::Text(String::new()),
            (text, None) => {
                assert!(rest.starts_with(' '), "no space after `{key}:`");
                scalar(text)
            }
            (text, Some(_)) => panic!("`{key}` is {text}, and more stands below it"),
        };
        assert!(map.insert(key.to_owned(), value).is_none(), "`{key}` twice");
    }
    if is_list { Yaml::List(list) } else { Yaml::Map(map) }
}

/// A text, quoted or plain, or a list in brackets.
fn scalar(text: &str) -> Yaml {
    if let Some(items) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return Yaml::List(items.split(", ").map(scalar).collect());
    }
    if let Some(quoted) = text.strip_prefix('"').filter(|t| t.len() > 1 && t.find('"') == Some(t.len() - 1)) {
        assert!(!quoted.contains('\\'), "an escape: {text}");
        return Yaml::Text(quoted[..quoted.len() - 1].to_owned());
    }
    let odd = |c: char| "[]{}&*!|>'\"%@`,".contains(c);
    assert!(!text.starts_with(odd) && !text.contains(": ") && !text.contains(" #"), "it must be quoted: {text}");
    Yaml::Text(text.to_owned())
}
