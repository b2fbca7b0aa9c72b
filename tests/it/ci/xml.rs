//! A strict reader of XML as reports have it, and what a JUnit report may hold: a second opinion.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub children: Vec<Element>,
    pub text: String,
}

impl Element {
    pub fn all<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a Element> + use<'a, 'b> {
        self.children.iter().filter(move |c| c.name == name)
    }
    #[track_caller]
    pub fn the(&self, name: &str) -> &Element {
        self.all(name).next().unwrap_or_else(|| panic!("<{}> has no <{name}>: {self:?}", self.name))
    }
    #[track_caller]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("<{}> has no `{name}`: {self:?}", self.name))
    }
    #[track_caller]
    fn number(&self, name: &str) -> usize {
        self.attribute(name).parse().unwrap()
    }
}

/// The root element of a document that is well-formed, and has no more in it than reports need.
pub fn read(text: &str) -> Element {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(allowed), "a character that XML forbids: {text:?}");
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("a declaration").trim_start();
    let root = element(&mut rest);
    assert_eq!(rest.trim(), "", "more than one root");
    root
}

fn element(rest: &mut &str) -> Element {
    let tag = rest.strip_prefix('<').unwrap_or_else(|| panic!("no element: {rest:.80}"));
    let (tag, after) = tag.split_once('>').expect("a tag that ends");
    *rest = after;
    let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    while !attributes.trim().is_empty() {
        let (name, value) = attributes.trim_start().split_once("=\"").expect("name and value");
        let (value, more) = value.split_once('"').expect("a value that ends");
        assert!(element.attributes.insert(name.to_owned(), unescaped(value)).is_none(), "`{name}` twice");
        attributes = more;
    }
    if is_empty {
        return element;
    }
    loop {
        let (text, _) = rest.split_once('<').expect("an end tag");
        element.text.push_str(&unescaped(text));
        *rest = &rest[text.len()..];
        if let Some(after) = rest.strip_prefix(&format!("</{name}>")) {
            *rest = after;
            return element;
        }
        element.children.push(self::element(rest));
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut pieces = text.split('&');
    out.push_str(pieces.next().unwrap());
    for piece in pieces {
        let (name, rest) = piece.split_once(';').expect("an entity that ends");
        let plain = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let digits = number.strip_prefix('#').expect("a known entity");
                let code = digits.strip_prefix('x').map_or_else(|| digits.parse().unwrap(), |hex| u32::from_str_radix(hex, 16).unwrap());
                char::from_u32(code).unwrap()
            }
        };
        out.push(plain);
        out.push_str(rest);
    }
    out
}

/// A name, what may stand in it, the attributes that it must have, and those that it may have.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// What each element may hold, and which attributes it must and may have: as readers of JUnit
/// reports have it, flaky and repeated failures included.
const RULES: &[Rule] = &[
    ("testsuites", &["testsuite"], &["name", "tests", "failures", "errors"], &["time", "skipped", "disabled"]),
    ("testsuite", &["testcase"], &["name", "tests", "failures", "errors"], &["time", "skipped", "disabled"]),
    (
        "testcase",
        &["properties", "skipped", "failure", "flakyFailure", "rerunFailure", "system-out"],
        &["name", "classname", "time"],
        &["file", "line"],
    ),
    ("properties", &["property"], &[], &[]),
    ("property", &[], &["name", "value"], &[]),
    ("skipped", &[], &["message"], &[]),
    ("failure", &[], &["type", "message"], &[]),
    ("flakyFailure", &["system-out"], &["type", "message", "time"], &[]),
    ("rerunFailure", &["system-out"], &["type", "message", "time"], &[]),
    ("system-out", &[], &[], &[]),
];

/// A JUnit report: of that form, and with counts that are right.
pub fn junit(text: &str) -> Element {
    let report = read(text);
    assert_eq!(report.name, "testsuites");
    follows_the_rules(&report);
    let mut sums = [0; 3];
    for suite in report.all("testsuite") {
        let with = |what: &str| suite.all("testcase").filter(|case| case.all(what).next().is_some()).count();
        let counts = [suite.all("testcase").count(), with("failure"), with("skipped")];
        assert_eq!(["tests", "failures", "skipped"].map(|name| suite.number(name)), counts, "{suite:?}");
        assert_eq!(suite.number("errors"), 0);
        counts.iter().zip(&mut sums).for_each(|(count, sum)| *sum += count);
    }
    assert_eq!(["tests", "failures", "skipped"].map(|name| report.number(name)), sums);
    report
}

fn follows_the_rules(element: &Element) {
    let (_, children, must, may) = RULES.iter().find(|rule| rule.0 == element.name).unwrap_or_else(|| panic!("<{}>", element.name));
    for name in *must {
        element.attribute(name);
    }
    for name in element.attributes.keys() {
        assert!(must.contains(&name.as_str()) || may.contains(&name.as_str()), "<{}> has `{name}`", element.name);
    }
    for child in &element.children {
        assert!(children.contains(&child.name.as_str()), "<{}> holds <{}>", element.name, child.name);
        follows_the_rules(child);
    }
    // One verdict a case.
    let verdicts = element.children.iter().filter(|c| matches!(c.name.as_str(), "skipped" | "failure" | "flakyFailure"));
    let kinds: std::collections::BTreeSet<&str> = verdicts.map(|c| c.name.as_str()).collect();
    assert!(kinds.len() < 2, "{element:?}");
}
