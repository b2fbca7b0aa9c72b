//! The schemas in the repository are those of the code, and real output fits them.

use std::fs;

use drover::core::Input;
use drover::report::json;
use serde_json::Value;

use super::world::{Tweak, World, graph, heading, ids, task};

fn blessed(name: &str, schema: &Value) {
    let path = format!("{}/schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::create_dir_all("schemas").unwrap();
        fs::write(&path, &text).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{path} is not what the code says: run the tests with UPDATE_SCHEMAS=1 and look at the difference");
}

fn fits(schema: &Value, document: &Value) {
    let errors: Vec<String> =
        jsonschema::validator_for(schema).unwrap().iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}

/// Every object of a schema is closed, in properties, definitions and alternatives.
fn is_closed(schema: &Value, at: &str) {
    if let Value::Array(items) = schema {
        items.iter().enumerate().for_each(|(n, item)| is_closed(item, &format!("{at}/{n}")));
    }
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("properties") {
        assert_eq!(fields.get("additionalProperties"), Some(&Value::Bool(false)), "{at} is open");
    }
    for (key, value) in fields {
        is_closed(value, &format!("{at}/{key}"));
    }
}

#[test]
fn the_schemas_in_the_repository_are_those_of_the_code() {
    for (name, schema) in [
        ("plan", json::plan_schema()),
        ("status", json::status_schema()),
        ("event", drover::report::events::schema()),
        ("webhook", drover::notice::schema()),
        ("report", json::report_schema()),
        ("outcome", drover::agent::outcome_schema()),
    ] {
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        is_closed(&schema, name);
        blessed(name, &schema);
    }
}

#[test]
fn the_names_of_events_are_those_of_the_facts_and_one_more() {
    let schema = drover::report::events::schema();
    let of = |fact: &Value| fact["properties"]["fact"]["const"].as_str().map(str::to_owned);
    let mut names: Vec<String> = schema["oneOf"].as_array().unwrap().iter().filter_map(of).collect();
    names.push("failed".into());
    names.sort();
    assert_eq!(names, drover::core::events::NAMES);
}

#[test]
fn real_output_fits_the_schemas_and_strangers_do_not() {
    let mut world = World::new();
    world.fail("bad", 9, "no\u{1b}[31m");
    world.fail("again", 1, "once");
    world.hang = ids("runs");
    world.conflict = ids("clash");
    world.policy.merge.on_conflict = drover::model::OnConflict::Block;
    let files = graph([
        task("done"),
        task("bad").attempts(1),
        task("again"),
        task("runs"),
        task("late").needs("bad"),
        task("clash"),
        task("z").needs("runs"),
    ]);
    fits(&json::plan_schema(), &json::plan(&world.plan(&files), &heading(&files)));
    fits(&json::status_schema(), &json::status(&world.state, world.now, &[]));
    world.reconcile(&files);
    world.run();
    world.input(Input::PublishHeld { why: "local changes".into() });
    let status = json::status(&world.state, world.now, &["warned".into()]);
    fits(&json::status_schema(), &status);
    for word in ["completed", "failed", "ready", "in_progress", "blocked"] {
        assert!(status["tasks"].as_array().unwrap().iter().any(|t| t["status"] == word), "{word} is not in the sample");
    }

    let smaller = graph([task("done").prompt("new"), task("runs")]);
    let plan = json::plan(&world.plan(&smaller), &heading(&smaller));
    fits(&json::plan_schema(), &plan);
    assert_eq!(plan["format_version"], "1.0");
    assert!(plan["diagnostics"].as_array().unwrap().iter().any(|d| d["flag"] == "--allow-removals"), "{plan:#}");

    for document in [&mut plan.clone(), &mut status.clone()] {
        document["stranger"] = Value::Null;
        let schema = if document.get("seq").is_some() { json::status_schema() } else { json::plan_schema() };
        assert!(!jsonschema::is_valid(&schema, document));
    }
}

#[test]
fn the_account_of_a_run_holds_its_verdict_and_every_selected_task() {
    let mut world = World::new();
    world.fail("bad", 9, "no");
    world.apply(&graph([task("a"), task("bad").attempts(1)]));
    let run = json::run(&world.state, world.now, None);
    assert_eq!((run["verdict"].as_str(), run["run"]["id"].as_str()), (Some("failed"), Some("run1")));
    assert_eq!(run["tasks"][1]["failure"]["class"], "verify");
    assert_eq!(run["tasks"][1]["failure"]["tail"], "line 1\nline 2");
    assert_eq!(run["tally"]["completed"], 1);
}
