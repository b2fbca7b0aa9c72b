//! Schemas, the example file and the reader say the same.

use std::fs;
use std::path::Path;

use drover::files::schema;
use serde_json::{Value, json};

use super::{Dir, fixtures};

fn schemas() -> [(&'static str, Value); 2] {
    [("schemas/drover.schema.json", schema::drover()), ("schemas/task.schema.json", schema::task())]
}

fn json_of(toml: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(toml).unwrap()).unwrap()
}

#[test]
fn the_schemas_in_the_repository_are_the_current_ones() {
    for (path, schema) in schemas() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(path, &text).unwrap();
        }
        let found = fs::read_to_string(path).unwrap_or_default();
        assert!(found == text, "{path} is out of date: run the tests with UPDATE_SCHEMAS=1");
        assert!(jsonschema::draft7::meta::is_valid(&schema), "{path} is not a schema");
    }
}

/// Every object schema inside a schema.
fn objects<'a>(schema: &'a Value, out: &mut Vec<&'a Value>) {
    if schema["type"] == "object" && schema.get("properties").is_some() {
        out.push(schema);
    }
    match schema {
        Value::Object(map) => map.values().for_each(|v| objects(v, out)),
        Value::Array(items) => items.iter().for_each(|v| objects(v, out)),
        _ => {}
    }
}

#[test]
fn every_table_of_the_schemas_is_closed_and_every_key_explained() {
    for (path, schema) in schemas() {
        let mut found = Vec::new();
        objects(&schema, &mut found);
        assert!(found.len() > 5);
        for object in found {
            assert_eq!(object["additionalProperties"], json!(false), "{path}: {object}");
            for (key, value) in object["properties"].as_object().unwrap() {
                assert!(value["description"].as_str().is_some_and(|d| d.len() > 5), "{path}: `{key}` is not explained");
            }
        }
    }
}

#[test]
fn every_key_that_is_accepted_is_also_read() {
    // Accepted with one value only, which changes nothing; and looked at before the rest.
    let reserved = ["sandbox"];
    let sources = ["config", "tasks", "layer", "matrix", "moved", "prompts", "row", "mod"]
        .map(|f| fs::read_to_string(format!("src/files/{f}.rs")).unwrap())
        .concat();
    for (path, schema) in schemas() {
        let mut found = Vec::new();
        objects(&schema, &mut found);
        for key in found.iter().flat_map(|o| o["properties"].as_object().unwrap().keys()) {
            let read = sources.contains(&format!("\"{key}\""));
            assert!(read != reserved.contains(&key.as_str()), "{path}: `{key}` is accepted but nothing reads it, or is reserved but read");
        }
    }
}

#[test]
fn every_word_of_a_choice_reaches_the_model() {
    let schema = schema::task();
    let keys = &schema["properties"]["task"]["items"]["properties"];
    let words = |schema: &Value| schema["enum"].as_array().unwrap().clone();
    let loaded = |line: &str| {
        let project = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &format!("{}{line}\n", super::TASK))]).project();
        serde_json::to_value(&**project.graph.tasks().values().next().unwrap()).unwrap()
    };
    for key in ["on_change", "on_dependency", "workspace"] {
        words(&keys[key]).iter().for_each(|word| assert_eq!(&loaded(&format!("{key} = {word}"))[key], word));
    }
    for word in words(&keys["retry"]["properties"]["backoff"]) {
        assert_eq!(loaded(&format!("retry = {{ backoff = {word} }}"))["retry"]["backoff"], word);
    }
}

#[test]
fn good_projects_pass_the_schemas_and_bad_ones_fail_where_a_schema_can_tell() {
    // What holds between tables or files, or beyond the text itself, no schema can say.
    let beyond = [
        "cycle",
        "cycle--epic",
        "cycle--kin",
        "duplicate_id",
        "duplicate_id--epic",
        "duplicate_id--matrix",
        "duplicate_id--subtask",
        "unknown_agent",
        "unknown_dependency",
        "unknown_group",
        "unknown_group--none",
        "unknown_template",
        "missing_file",
        "moved_conflict",
        "moved_conflict--circle",
        "bad_substitution",
        "bad_substitution--matrix",
        "bad_template",
        "bad_id--lock",
        "duplicate_receiver",
    ];
    let unparsable = ["toml_syntax", "toml_syntax--config", "too_deep"];
    let [drover, task] = schemas().map(|(_, schema)| jsonschema::draft7::new(&schema).unwrap());
    let errors = |dir: &Path| {
        let mut out = Vec::new();
        let mut check = |validator: &jsonschema::Validator, path: &Path| {
            let value = json_of(&fs::read_to_string(path).unwrap());
            out.extend(validator.iter_errors(&value).map(|e| format!("{}: {}: {e}", path.display(), e.instance_path())));
        };
        check(&drover, &dir.join("drover.toml"));
        for sub in ["drover", "more"] {
            for entry in fs::read_dir(dir.join(sub)).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|e| e == "toml") {
                    check(&task, &entry.path());
                }
            }
        }
        out
    };
    for dir in fixtures("good") {
        assert_eq!(errors(&dir), [] as [String; 0], "{}", dir.display());
    }
    for dir in fixtures("bad") {
        let name = dir.file_name().unwrap().to_str().unwrap();
        if !unparsable.contains(&name) {
            assert_eq!(errors(&dir).is_empty(), beyond.contains(&name), "{name}: {:?}", errors(&dir));
        }
    }
}

/// The two parts of the example: a configuration and a task file.
fn example() -> (String, String) {
    let text = fs::read_to_string("drover.toml.example").unwrap();
    let (drover, task) = text.split_once("# ---- A task file").unwrap();
    let (_, task) = task.split_once('\n').unwrap();
    (drover.to_owned(), task.to_owned())
}

/// With every setting in force: those whose `#` has no blank after it.
fn uncommented(text: &str) -> String {
    let setting = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', ':']) && !rest.is_empty()).map(str::to_owned);
    text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[test]
fn the_example_loads_as_it_is_and_with_everything_in_force() {
    let (drover, task) = example();
    let prompts = [
        ("drover/prompts/login.md", "Log in."),
        ("drover/prompts/docs.md", "Document."),
        ("drover/prompts/task.jinja", "{% extends \"drover/task\" %}"),
        ("drover/prompts/resume.jinja", "Go on in {{ worktree }}."),
    ];
    let bare = Dir::new(&[("drover.toml", &drover), ("drover/a.toml", super::TASK)]).project();
    let full = Dir::new(&[("drover.toml", &uncommented(&drover)), ("drover/a.toml", &uncommented(&task))]);
    prompts.iter().for_each(|(path, text)| full.write(path, text.as_bytes()));
    full.write("drover/foundation.toml", b"[epic]\nid = \"foundation\"\ntitle = \"What the example builds on\"\n");
    let full = full.project();
    assert_eq!(full.graph.tasks().len(), 5);
    // What is shown as a default is one.
    assert_eq!(full.policy.workers, bare.policy.workers);
    assert_eq!(full.policy.shutdown_grace, bare.policy.shutdown_grace);
    assert_eq!(full.policy.worktree.include, bare.policy.worktree.include);
    assert_eq!(full.policy.merge.on_conflict, bare.policy.merge.on_conflict);
    let text = uncommented(&drover);
    let without_epic = Dir::new(&[("drover.toml", &text), ("drover/a.toml", super::TASK)]);
    prompts.iter().for_each(|(path, text)| without_epic.write(path, text.as_bytes()));
    let without_epic = without_epic.project();
    let (a, b) = (bare.graph.tasks().values().next().unwrap(), without_epic.graph.tasks().values().next().unwrap());
    assert_eq!(
        (&a.retry, &a.protect, &a.env_pass, a.workspace, a.on_change),
        (&b.retry, &b.protect, &b.env_pass, b.workspace, b.on_change)
    );
    assert_eq!((a.steps[0].timeout, a.steps[0].stall_timeout), (b.steps[0].timeout, b.steps[0].stall_timeout));
}

#[test]
fn the_example_shows_every_key_and_its_default() {
    let (drover, task) = example();
    let shown = [(schema::drover(), json_of(&uncommented(&drover)), true), (schema::task(), json_of(&uncommented(&task)), false)];
    for (schema, value, defaults) in shown {
        let found: Vec<_> = jsonschema::draft7::new(&schema).unwrap().iter_errors(&value).map(|e| e.to_string()).collect();
        assert_eq!(found, [] as [String; 0]);
        covered(&schema, &[&value], "", defaults);
    }
}

/// Fails if a key of the schema is in none of the values that stand at its place.
fn covered(schema: &Value, values: &[&Value], place: &str, defaults: bool) {
    if schema.is_null() {
        return;
    }
    // Its keys are those of the file itself.
    if place == ".profiles.NAME" {
        return;
    }
    // Its keys are those of [defaults], which shows what they are by default.
    let defaults = defaults && place != ".templates.NAME";
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}.{key}");
        let values: Vec<&Value> = values.iter().filter_map(|v| v.get(key)).collect();
        assert!(!values.is_empty(), "the example does not show {place}");
        let default = &schema["default"];
        let telling = !default.is_null() && *default != json!("") && *default != json!([]);
        assert!(!defaults || !telling || values.contains(&default), "the example does not show that {place} is {default} by default");
        covered(schema, &values, &place, defaults);
    }
    if schema["additionalProperties"].is_object() {
        let values: Vec<&Value> = values.iter().filter_map(|v| v.as_object()).flat_map(|o| o.values()).collect();
        covered(&schema["additionalProperties"], &values, &format!("{place}.NAME"), defaults);
    }
    let items: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
    for of in std::iter::once(&schema["items"]).chain(schema["items"]["anyOf"].as_array().into_iter().flatten()) {
        covered(of, &items, &format!("{place}[]"), defaults);
    }
}
