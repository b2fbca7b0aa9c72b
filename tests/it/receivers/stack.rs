//! The files of docs/telemetry as a test reads them: queries, and the panels of dashboards with what
//! Grafana would put into them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub const DIR: &str = "docs/telemetry";

pub fn read(path: &str) -> String {
    fs::read_to_string(format!("{DIR}/{path}")).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(format!("{DIR}/{dir}")).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == extension));
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The queries, each with the name of its file.
pub fn queries() -> Vec<(String, String)> {
    files("queries", "sql").iter().map(|p| (stem(p), fs::read_to_string(p).unwrap())).collect()
}

pub fn dashboards() -> Vec<(String, Value)> {
    files("grafana/dashboards", "json").iter().map(|p| (stem(p), serde_json::from_str(&fs::read_to_string(p).unwrap()).unwrap())).collect()
}

pub const SQL: &str = "drover-clickhouse";
pub const METRICS: &str = "drover-metrics";

/// One query of a panel, or of a variable that people choose from.
#[derive(Debug)]
pub struct Asked {
    /// `dashboard / panel`.
    pub place: String,
    /// The uid of the data source.
    pub source: String,
    pub text: String,
}

fn source(of: &Value) -> String {
    of["datasource"]["uid"].as_str().unwrap_or_else(|| panic!("no data source: {of}")).to_owned()
}

/// Every query of every dashboard.
pub fn asked() -> Vec<Asked> {
    let mut all = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{name}: a panel without a query: {panel}"));
            for target in targets {
                let text = target["rawSql"].as_str().or(target["expr"].as_str()).unwrap_or_else(|| panic!("{name}: {target}"));
                let place = format!("{name} / {}", panel["title"].as_str().unwrap());
                all.push(Asked { place, source: source(target), text: text.to_owned() });
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let place = format!("{name} / ${}", variable["name"].as_str().unwrap());
            all.push(Asked { place, source: source(variable), text: variable["query"].as_str().unwrap().to_owned() });
        }
    }
    all
}

/// The query as Grafana and its plugin send it, for the last hour, one project and one task.
pub fn expanded(text: &str, project: &str, task: &str) -> String {
    let text = text.replace("${project:singlequote}", &format!("'{project}'")).replace("${task:singlequote}", &format!("'{task}'"));
    let text = text.replace("$project", project).replace("$__rate_interval", "5m").replace("$__range", "1h");
    let text = macros(&text, "$__timeFilter", |of| format!("({of} >= now() - INTERVAL 1 HOUR AND {of} <= now())"));
    let text = macros(&text, "$__timeInterval", |of| format!("toStartOfInterval(toDateTime({of}), INTERVAL 60 second)"));
    assert!(!text.contains('$'), "what is to be put in here? {text}");
    text
}

fn macros(text: &str, name: &str, with: impl Fn(&str) -> String) -> String {
    let opening = format!("{name}(");
    let mut parts = text.split(&opening);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (of, rest) = part.split_once(')').unwrap();
        out += &with(of);
        out += rest;
    }
    out
}

/// The values of a key in a file of YAML, wherever they stand.
pub fn values(yaml: &str, key: &str) -> BTreeSet<String> {
    let lines = yaml.lines().map(|l| l.trim().trim_start_matches("- "));
    lines.filter_map(|l| l.strip_prefix(key)?.strip_prefix(": ")).map(|v| v.trim().to_owned()).collect()
}
