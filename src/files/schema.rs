//! JSON Schemas, draft-07 with closed objects, from the one description of the format.

use serde_json::{Map, Value, json};

use super::keys::DROVER;
use super::notice_keys::MAX_RECEIVERS;
use super::shape::{
    Fallback, Format, Key, Kind, MAX_AXES, MAX_COMMANDS, MAX_DOLLARS, MAX_NAMES, MAX_TABLES, MAX_VARIANTS, MAX_WORDS, Needed, Shape,
};
use super::task_keys::TASK_FILE;

/// Of `drover.toml`.
pub fn drover() -> Value {
    document("Drover: the project's configuration, drover.toml", &DROVER)
}

/// Of a task file.
pub fn task() -> Value {
    document("Drover: a task file", &TASK_FILE)
}

fn document(title: &str, shape: &Shape) -> Value {
    let mut out = Map::new();
    out.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    out.insert("title".into(), json!(title));
    if let Value::Object(table) = table(shape) {
        out.extend(table);
    }
    Value::Object(out)
}

fn table(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape.all().map(|k| (k.name.to_owned(), key(k))).collect();
    let required: Vec<&str> = shape.all().filter(|k| k.required).map(|k| k.name).collect();
    let mut out = Map::new();
    out.insert("type".into(), json!("object"));
    out.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        out.insert("required".into(), json!(required));
    }
    out.insert("additionalProperties".into(), json!(false));
    one_of(shape, &mut out);
    Value::Object(out)
}

/// The same with nothing required.
fn part(schema: Value) -> Value {
    match schema {
        Value::Object(map) => {
            let is_table = map.contains_key("properties");
            let kept = map.into_iter().filter(|(key, _)| !is_table || !matches!(key.as_str(), "required" | "anyOf"));
            Value::Object(kept.map(|(key, value)| (key, part(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(part).collect()),
        other => other,
    }
}

fn one_of(shape: &Shape, out: &mut Map<String, Value>) {
    let keys = shape.one_of.keys;
    let pairs = keys.iter().enumerate().flat_map(|(i, a)| keys[i + 1..].iter().map(move |b| json!({ "not": { "required": [a, b] } })));
    let pairs: Vec<Value> = pairs.collect();
    if !pairs.is_empty() {
        out.insert("allOf".into(), json!(pairs));
    }
    let mut any: Vec<Value> = keys.iter().map(|k| json!({ "required": [k] })).collect();
    match shape.one_of.needed {
        Needed::No => return,
        Needed::Yes => {}
        Needed::Unless(key) => any.push(json!({ "required": [key] })),
    }
    out.insert("anyOf".into(), json!(any));
}

fn key(key: &Key) -> Value {
    let mut out = Map::new();
    out.insert("description".into(), json!(key.doc));
    match key.default {
        Fallback::None => {}
        Fallback::Text(text) => drop(out.insert("default".into(), json!(text))),
        Fallback::Bool(bool) => drop(out.insert("default".into(), json!(bool))),
        Fallback::Integer(number) => drop(out.insert("default".into(), json!(number))),
        Fallback::Texts(texts) => drop(out.insert("default".into(), json!(texts))),
    }
    if let Value::Object(kind) = kind(&key.kind) {
        out.extend(kind);
    }
    Value::Object(out)
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text(of) => format(*of),
        Kind::Texts { of, min, max } => json!({ "type": "array", "items": format(*of), "minItems": min, "maxItems": max }),
        Kind::Duration(_) => json!({ "type": "string", "pattern": r"^\s*([0-9.]+\s*(ms|s|min|m|h|d)\s*)+$" }),
        Kind::Size => json!({ "type": "string", "pattern": r"^\s*[0-9.]+\s*([kKMGTP]i?)?B?\s*$" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Money => json!({ "type": "number", "minimum": 0.01, "maximum": MAX_DOLLARS }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Words(words) => {
            let items: Vec<&str> = ["*"].into_iter().chain(words.iter().copied()).collect();
            let some = json!({ "type": "array", "items": { "enum": items }, "minItems": 1, "maxItems": MAX_WORDS });
            json!({ "anyOf": [{ "const": "*" }, some] })
        }
        Kind::Choice { now, .. } => json!({ "enum": now }),
        Kind::Commands(shape) => {
            json!({ "type": "array", "items": { "anyOf": [format(Format::Command), table(shape)] }, "maxItems": MAX_COMMANDS })
        }
        Kind::Table(shape) => table(shape),
        Kind::Tables(shape) => json!({ "type": "array", "items": table(shape), "maxItems": MAX_TABLES }),
        Kind::Receivers(shape) => json!({ "type": "array", "items": table(shape), "maxItems": MAX_RECEIVERS }),
        Kind::Named(shape) => {
            json!({ "type": "object", "propertyNames": format(Format::Segment), "additionalProperties": table(shape), "maxProperties": MAX_NAMES })
        }
        Kind::Parts(shape) => {
            json!({ "type": "object", "propertyNames": format(Format::Segment), "additionalProperties": part(table(shape)), "maxProperties": MAX_NAMES })
        }
        Kind::Axes => json!({
            "type": "object",
            "propertyNames": format(Format::Segment),
            "additionalProperties": { "type": "array", "items": format(Format::Segment), "minItems": 1, "maxItems": MAX_VARIANTS },
            "minProperties": 1,
            "maxProperties": MAX_AXES,
        }),
        Kind::Env => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": { "type": "string" },
            "maxProperties": MAX_NAMES,
        }),
    }
}

/// Never stricter than the reader.
fn format(format: Format) -> Value {
    const SEGMENT: &str = "[a-z0-9][a-z0-9_-]{0,62}";
    match format {
        Format::Free | Format::Argument | Format::Directory | Format::Inside | Format::Version => json!({ "type": "string" }),
        Format::Title => json!({ "type": "string", "pattern": r"^[^\r\n]*\S[^\r\n]*$", "maxLength": 200 }),
        Format::Prompt | Format::Command | Format::Line => json!({ "type": "string", "pattern": r"\S" }),
        Format::Word => json!({ "type": "string", "pattern": r"^[^\s-]\S*$", "maxLength": 200 }),
        Format::TaskId => json!({ "type": "string", "pattern": format!(r"^{SEGMENT}(\.{SEGMENT}){{0,2}}$") }),
        Format::Segment => json!({ "type": "string", "pattern": format!("^{SEGMENT}$") }),
        Format::Dependency => json!({ "type": "string", "pattern": format!(r"^(epic:{SEGMENT}|{SEGMENT}(\.{SEGMENT}){{0,2}})$") }),
        Format::ProjectName => json!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$" }),
        Format::Label => json!({ "type": "string", "pattern": r"^[^\s,]+$", "maxLength": 64 }),
        Format::Branch => json!({ "type": "string", "pattern": r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$", "maxLength": 200 }),
        Format::Remote => json!({ "type": "string", "pattern": r"^([^\s~^:?*\[\\-][^\s~^:?*\[\\]*)?$", "maxLength": 200 }),
        Format::Endpoint | Format::Listen => json!({ "type": "string", "pattern": r"^\S*$", "maxLength": 1000 }),
        Format::Host => json!({ "type": "string", "pattern": r"^[A-Za-z0-9._-]+$", "maxLength": 253 }),
        Format::WebhookUrl => json!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://", "maxLength": 2000 }),
        Format::EnvName => json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 200 }),
        Format::Path => json!({ "type": "string", "pattern": "^[^/]", "maxLength": 1000 }),
        Format::Glob => json!({ "type": "string", "pattern": "^[^/]", "maxLength": 1000 }),
        Format::EnvPattern => json!({ "type": "string", "pattern": r"^([A-Za-z_][A-Za-z0-9_]*\*?|\*)$" }),
    }
}
