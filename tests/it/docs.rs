//! The pages say what the program does: names, keys, codes, options, links and tests on them
//! are held against the sources and the program itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use drover::files::{Code, schema};
use serde_json::Value;

use crate::fixture::repo;

pub fn page(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// README.md, the pages of docs/, those of the stack in it, and those of the examples.
fn pages() -> Vec<PathBuf> {
    let in_dir = |dir: &str| fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let mut found = vec!["README.md".into(), "CHANGELOG.md".into()];
    found.extend(["docs", "docs/telemetry"].iter().flat_map(|dir| in_dir(dir)).filter(|p| p.extension().is_some_and(|e| e == "md")));
    found.extend(in_dir("examples").into_iter().map(|p| p.join("README.md")));
    assert!(found.len() > 12, "{found:?}");
    found
}

/// What stands between backticks, outside code blocks.
pub fn quoted(text: &str) -> Vec<String> {
    let prose: String = text.split("\n```").step_by(2).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The part of a page under a heading, up to the next one.
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let rest = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no `{heading}`")).1;
    rest.find("\n#").map_or(rest, |end| &rest[..end])
}

/// The names in the first column of every table in a text.
pub fn first_column(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|l| l.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(quoted).collect()
}

fn set<T: ToString>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(|n| n.to_string()).collect()
}

#[test]
fn every_crate_has_its_reason_and_no_other_is_named() {
    let manifest: toml::Table = toml::from_str(&page("Cargo.toml")).unwrap();
    let text = page("docs/dependencies.md");
    let used = |table: &str| set(manifest[table].as_table().unwrap().keys());
    let in_program = section(&text, "## In the program");
    assert_eq!(first_column(in_program), used("dependencies"));
    let (_, in_tests) = in_program.split_once("In tests only").unwrap();
    assert_eq!(set(quoted(in_tests)), used("dev-dependencies"));
}

#[test]
fn every_diagnostic_has_its_section_and_its_example_gives_it() {
    let text = page("docs/errors.md");
    let headings = set(text.lines().filter_map(|l| l.strip_prefix("## ")));
    assert_eq!(headings, set(Code::ALL));
    for code in Code::ALL {
        let section = section(&text, &format!("## {code}"));
        let Some((_, example)) = section.split_once("```toml\n# ") else { continue };
        let (file, example) = example.split_once('\n').unwrap();
        let it = repo().file("drover.toml", "").file("drover/tasks.toml", "").file(file, example.split("```").next().unwrap());
        let found = it.drover(&["validate", "--format", "json"]);
        assert!(found.out.contains(&format!("\"{code}\"")), "{code}: {}{}", found.out, found.err);
    }
}

/// The keys of a table of a schema, found by a path such as `epic.defaults`.
fn keys(schema: &Value, path: &str) -> BTreeSet<String> {
    let table = |value: &Value| {
        [&value["items"]["anyOf"][1], &value["items"], &value["additionalProperties"], value]
            .into_iter()
            .find(|v| v.get("properties").is_some())
            .cloned()
    };
    let deep = path
        .split('.')
        .filter(|p| !p.is_empty())
        .fold(schema.clone(), |at, name| table(&at["properties"][name]).unwrap_or_else(|| panic!("{path}: no table `{name}`")));
    set(deep["properties"].as_object().unwrap().keys())
}

#[test]
fn the_format_page_lists_exactly_the_keys_of_each_table() {
    let text = page("docs/format.md");
    let (drover, task) = (schema::drover(), schema::task());
    let listed = |heading: &str| first_column(section(&text, heading));
    for (heading, table) in [
        ("### [project]", "project"),
        ("### [prompts]", "prompts"),
        ("### [run]", "run"),
        ("### [merge]", "merge"),
        ("### [worktree]", "worktree"),
        ("### [logs]", "logs"),
        ("### [telemetry]", "telemetry"),
        ("### [[webhooks]]", "webhooks"),
        ("### [[on_event]]", "on_event"),
        ("### [agents.NAME]", "agents"),
        ("### [groups.NAME]", "groups"),
    ] {
        assert_eq!(listed(heading), keys(&drover, table), "{heading}");
    }
    for (heading, table) in [("### [epic]", "epic"), ("### [[moved]]", "moved"), ("### [[task.subtask]]", "task.subtask")] {
        assert_eq!(listed(heading), keys(&task, table), "{heading}");
    }
    let nested = &keys(&drover, "defaults.retry") | &keys(&drover, "defaults.budget");
    let sandbox = set(["sandbox"]);
    let inherited: BTreeSet<String> = keys(&drover, "defaults").difference(&sandbox).cloned().collect();
    assert_eq!(listed("### [defaults]"), &inherited | &nested);
    assert_eq!(keys(&drover, "defaults"), keys(&task, "epic.defaults"));
    assert_eq!(&listed("### [[task]]") | &inherited, keys(&task, "task"));
    let tables = set([
        "project",
        "prompts",
        "run",
        "merge",
        "worktree",
        "logs",
        "telemetry",
        "webhooks",
        "on_event",
        "defaults",
        "agents",
        "groups",
        "templates",
        "profiles",
    ]);
    assert_eq!(&listed("## drover.toml") | &tables, keys(&drover, ""));
    let commands = section(&text, "## Files");
    for key in keys(&drover, "merge.verify") {
        assert!(commands.contains(&format!("\n| `{key}` |")), "{key}");
    }
}

/// The keys in a cell such as "the kinds `x`, `y`; `key`", without the values.
fn keys_of(cell: &str) -> Vec<String> {
    cell.split(';').filter(|item| !item.trim().starts_with("the ")).flat_map(quoted).collect()
}

/// The words that the format reserves for later versions.
fn reserved() -> BTreeSet<String> {
    let source = page("src/files/keys.rs") + &page("src/files/task_keys.rs");
    let lists = ["later: &[", ".later(&[", "LATER_AGENTS: &[&str] = &[", "LATER_INHERITED: &[&str] = &["];
    let texts = lists.iter().flat_map(|start| source.split(start).skip(1)).map(|rest| rest.split(']').next().unwrap());
    let words: BTreeSet<String> = texts.flat_map(|list| list.split('"').skip(1).step_by(2)).map(str::to_owned).collect();
    assert!(words.len() > 4, "{words:?}");
    words
}

#[test]
fn the_format_page_lists_exactly_what_is_refused_for_now() {
    let text = page("docs/format.md");
    let words: BTreeSet<String> = quoted(section(&text, "## Not yet"))
        .iter()
        .flat_map(|q| q.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for word in reserved() {
        assert!(words.contains(&word), "`{word}` is reserved, and not on the page");
    }
    // Each key of the table is indeed refused by that name.
    for row in section(&text, "## Not yet").lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Where")) {
        let (place, refused) = row.trim_matches('|').split_once('|').unwrap();
        for key in keys_of(refused).iter().filter(|k| k.chars().all(|c| c.is_alphanumeric() || c == '_')) {
            let line = if key.starts_with("depends") || key == "setup_inputs" { format!("{key} = []") } else { format!("{key} = true") };
            for place in quoted(place) {
                let (file, text) = match place.as_str() {
                    "[defaults]" | "[run]" | "[worktree]" => ("drover.toml", format!("{place}\n{line}\n")),
                    "[epic]" => ("drover/t.toml", format!("[epic]\nid = \"e\"\ntitle = \"E\"\n{line}\n")),
                    "[epic.defaults]" => ("drover/t.toml", format!("[epic]\nid = \"e\"\ntitle = \"E\"\n[epic.defaults]\n{line}\n")),
                    "[[task]]" => ("drover/t.toml", format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"true\"\n{line}\n")),
                    _ => continue,
                };
                let it = repo().file("drover.toml", "").file(file, &text);
                let found = it.drover(&["validate", "--format", "json"]);
                assert!(found.out.contains("drover::not_yet"), "{place} {key}: {}", found.out);
            }
        }
    }
}

#[test]
fn the_page_of_events_lists_exactly_those_that_are_told_unless_others_are_asked_for() {
    let text = page("docs/events.md");
    let news = &schema::drover()["properties"]["webhooks"]["items"]["properties"]["events"]["default"];
    assert_eq!(first_column(section(&text, "### Which events")), set(news.as_array().unwrap().iter().map(|v| v.as_str().unwrap())));
}

#[test]
fn the_agents_page_lists_exactly_what_is_inherited_by_default() {
    let text = page("docs/agents.md");
    let block = section(&text, "## Environment").split("```").nth(1).unwrap();
    let default = &schema::drover()["properties"]["defaults"]["properties"]["env_pass"]["default"];
    let default = set(default.as_array().unwrap().iter().map(|v| v.as_str().unwrap()));
    assert_eq!(set(block.split_whitespace()), default);
}

/// The options in a text, as they are written: `--select`.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    set(words.filter(|w| w.starts_with("--") && w.len() > 3 && w[2..].starts_with(|c: char| c.is_ascii_lowercase())))
}

#[test]
fn the_command_line_page_names_exactly_the_verbs_options_and_exit_codes_that_there_are() {
    let text = page("docs/cli.md");
    let it = repo();
    let help = it.drover(&["--help"]).expect(0).out;
    let verbs: Vec<&str> = help
        .split_once("Commands:\n")
        .unwrap()
        .1
        .lines()
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()))
        .collect();
    let mut known = options(&help);
    for verb in verbs.iter().filter(|v| **v != "help") {
        let about = it.drover(&[verb, "--help"]).expect(0).out;
        known.extend(options(&about));
        let below = about.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for sub in below.lines().take_while(|l| !l.is_empty()).filter_map(|l| l.strip_prefix("  ")?.split(' ').next()) {
            if !matches!(sub, "" | "help") {
                known.extend(options(&it.drover(&[verb, sub, "--help"]).expect(0).out));
            }
        }
    }
    let documented =
        first_column(section(&text, "## Commands")).iter().map(|c| c.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(documented, set(verbs.into_iter().filter(|v| *v != "help")));
    assert_eq!(set(quoted(section(&page("README.md"), "## Status"))), documented);
    let (now, later) = text.split_once("## Not yet").unwrap();
    assert_eq!(options(now), known);
    assert!(options(later).is_disjoint(&known), "announced for later, but there");
    let codes: BTreeSet<String> =
        section(&text, "## Exit codes").lines().filter_map(|l| l.strip_prefix("| ")?.split(' ').next()).map(str::to_owned).collect();
    let said = help.split_once("Exit codes:").unwrap().1;
    let said = set(said.split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty()));
    assert_eq!(codes.iter().filter(|c| c.parse::<u8>().is_ok()).cloned().collect::<BTreeSet<_>>(), said);
}

/// The anchors that a page's headings make.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim().to_lowercase());
    headings.map(|h| h.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut seen = 0;
    for path in pages() {
        let text = page(path.to_str().unwrap());
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).filter(|l| !l.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap_or(Path::new("")).join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            assert!(anchor.is_empty() || anchors(&page(target.to_str().unwrap())).contains(anchor), "{}: {link}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links");
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for path in fs::read_dir(dir).unwrap().flatten().map(|e| e.path()) {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Whether a page's `a::b::name` is a test: it stands in tests/it, in the module of that path.
fn is_test(path: &str, files: &[PathBuf]) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let module = module.replace("::", "/");
    let places = [format!("tests/it/{module}.rs"), format!("tests/it/{module}/mod.rs")];
    let here = files.iter().filter(|f| places.iter().any(|p| f.as_path() == Path::new(p)));
    here.into_iter().any(|f| page(f.to_str().unwrap()).contains(&format!("#[test]\nfn {name}(")))
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut files = Vec::new();
    sources(Path::new("tests/it"), &mut files);
    for (file, least) in [("docs/reliability.md", 20), ("docs/cases.md", 4)] {
        let seen = named_tests(&page(file), &files);
        assert!(seen >= least, "{file}: only {seen} tests");
    }
}

/// How many tests a page names, each of which must be there.
fn named_tests(text: &str, files: &[PathBuf]) -> usize {
    let mut seen = 0;
    for name in quoted(text) {
        if let Some((file, test)) = name.strip_prefix("src/").and_then(|n| n.split_once(": ")) {
            assert!(page(&format!("src/{file}")).contains(&format!("fn {test}(")), "{name}");
            seen += 1;
        } else if name.contains("::") {
            assert!(is_test(&name, files), "{name}");
            seen += 1;
        }
    }
    seen
}

#[test]
fn with_format_json_every_verb_prints_one_document_with_a_version() {
    let it = repo().file("drover.toml", "").file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"true\"\n").commit("Start");
    let demo = it.outside("demo").display().to_string();
    for args in [
        vec!["init"],
        vec!["validate"],
        vec!["plan"],
        vec!["sync"],
        vec!["sync"],
        vec!["run"],
        vec!["resume"],
        vec!["apply"],
        vec!["status"],
        vec!["report"],
        vec!["state", "show"],
        vec!["state", "rebuild", "--allow-loss"],
        vec!["demo", &demo],
    ] {
        let document = it.drover(&[&["--format", "json"], args.as_slice()].concat()).expect(0).json();
        assert_eq!(document["format_version"], "1.0", "{args:?}: {document}");
    }
    it.write("drover/t.toml", "titel = 1");
    let document = it.drover(&["--format", "json", "plan"]).expect(78).json();
    assert_eq!(document["format_version"], "1.0", "{document}");
}

/// A line of the demo without what differs from run to run: times, names of commits, the graph.
fn unvarying(line: &str) -> String {
    let varies = |w: &str| {
        let hex = w.len() == 7 && w.chars().all(|c| c.is_ascii_hexdigit());
        let time =
            w.trim_end_matches([':', '.', ',']).strip_suffix(['s', 'm']).is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        hex || time || w.chars().all(|c| "*|/\\".contains(c))
    };
    line.split_whitespace().filter(|w| !varies(w)).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_shows_nothing_that_the_demo_does_not_print() {
    let text = page("README.md");
    let shown = text.split("\n```\n").find(|block| block.starts_with("A repository with")).expect("the demo's output");
    let it = repo();
    let ran = it.drover(&["demo", it.outside("demo").to_str().unwrap()]).expect(0);
    let printed: BTreeSet<String> = ran.err.lines().chain(ran.out.lines()).map(unvarying).collect();
    for line in shown.lines().filter(|l| *l != "…") {
        assert!(printed.contains(&unvarying(line)), "{line}\nis not in\n{}\n{}", ran.err, ran.out);
    }
}

#[test]
fn the_readmes_example_is_a_project_that_plans() {
    let text = page("README.md");
    let mut blocks = section(&text, "## An example").split("```toml\n").skip(1).map(|b| b.split("```").next().unwrap());
    let it = repo()
        .file("drover.toml", blocks.next().unwrap())
        .file("drover/auth.toml", blocks.next().unwrap())
        .file("prompts/login.md", "Do it.")
        .commit("Start");
    it.drover(&["validate"]).expect(0);
    let plan = it.drover(&["plan"]).expect(0).out;
    for id in ["auth-schema", "auth-api"] {
        assert!(plan.contains(id), "{plan}");
    }
}

/// The names in a value, lists as if they were their first item.
fn names_in(value: &Value, before: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = format!("{before}{name}");
                names_in(value, &format!("{name}."), into);
                into.insert(name);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, before, into)),
        _ => {}
    }
}

#[test]
fn the_page_of_prompts_lists_exactly_the_variables_and_blocks_that_there_are() {
    let text = page("docs/prompts.md");
    let mut names = BTreeSet::new();
    names_in(&serde_json::to_value(drover::prompt::sample()).unwrap(), "", &mut names);
    // Tables stand for what is in them.
    let tables = set(["task", "step"]);
    assert_eq!(first_column(section(&text, "## Variables")), &names - &tables);
    let template = drover::prompt::Kind::Task.built_in();
    let blocks = template.split("{% block ").skip(1).map(|rest| rest.split(' ').next().unwrap());
    let listed = text.split_once("are the blocks ").unwrap().1.split_once(". `drover/resume`").unwrap().0;
    assert_eq!(quoted(listed), blocks.collect::<Vec<_>>());
}
