//! The event file: JSON lines, the first one with the version, then one a fact; and its schema.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{Reporter, Veil};
use crate::base::text::one_line;
use crate::base::{Millis, sha256_hex};
use crate::core::{Fact, State};

/// Of the lines; a minor version only adds.
pub const FORMAT_VERSION: &str = "1.0";

/// Appends, and flushes after each line. The first error ends it, with a warning in the log.
pub struct Events {
    out: Option<Box<dyn Write + Send>>,
    name: String,
    veil: Veil,
    /// Something was told.
    begun: bool,
}

impl Events {
    /// To a file, made if need be. One that is there is appended to, also after a torn line.
    pub fn append(path: &Path, veil: Veil) -> Self {
        let mut events = Self { out: None, name: path.display().to_string(), veil, begun: false };
        match open(path) {
            Ok((file, torn)) => {
                events.out = Some(Box::new(file));
                if torn {
                    events.write("");
                }
                events.version();
            }
            Err(e) => events.fail(&e),
        }
        events
    }

    /// To an open stream; `name` is for the warning.
    pub fn to(out: Box<dyn Write + Send>, name: &str, veil: Veil) -> Self {
        let mut events = Self { out: Some(out), name: name.to_owned(), veil, begun: false };
        events.version();
        events
    }

    fn version(&mut self) {
        self.write(&version(None).to_string());
    }

    fn write(&mut self, line: &str) {
        let Some(out) = &mut self.out else { return };
        // The same to whoever reads it, and no command to a runner that looks on. Only strings can hold it.
        let line = line.replace("##[", "#\\u0023[");
        // One write a line: whoever follows the file never sees half of two.
        let written = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
        if let Err(e) = written {
            self.fail(&e);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.out = None;
        // Not at the end: a watch has none for days.
        tracing::warn!("events are not written any more: {}: {error}", one_line(&self.name, 200));
    }
}

/// The file, and whether its last line is torn. A pipe that nobody reads is an error, and not a wait for a reader.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let out = OpenOptions::new().create(true).append(true).custom_flags(flags).open(path)?;
    let meta = out.metadata()?;
    // Only the opening was not to wait.
    rustix::fs::fcntl_setfl(&out, rustix::fs::fcntl_getfl(&out)? - OFlags::NONBLOCK)?;
    let mut last = [b'\n'];
    if meta.is_file() && meta.len() > 0 {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((out, last != [b'\n']))
}

/// The first line of a file of events; `journal` where all of them are told.
pub fn version(journal: Option<&str>) -> Value {
    let mut version = json!({ "type": "version", "format_version": FORMAT_VERSION, "drover": env!("CARGO_PKG_VERSION") });
    if let Some(journal) = journal {
        version["journal"] = journal.into();
    }
    version
}

/// What tells a journal of a target from one that was made anew, whose numbers begin at 1 again: from when its first
/// fact is.
pub fn journal(target: &str, first: Millis) -> String {
    sha256_hex(format!("{target}\0{}", first.0).as_bytes())[..16].to_owned()
}

/// One fact as a line: `seq` and `at` stand beside its own fields. Whoever tells others takes [`Veil::line`].
pub(super) fn line(seq: u64, at: Millis, fact: &Fact) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(fact)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("type".into(), "fact".into());
        fields.insert("seq".into(), seq.into());
        fields.insert("at".into(), at.0.into());
    }
    Ok(value)
}

/// The schema of a line, whichever it is.
pub fn schema() -> Value {
    let mut schema = super::json::schema::<Fact>();
    let version = json!({
        "description": "The first line, and the first one of whoever wrote on in the same file.",
        "type": "object",
        "properties": {
            "type": { "const": "version" },
            "format_version": { "type": "string" },
            "drover": { "type": "string" },
            "journal": { "type": "string", "description": "Of `drover events`: another one where the record was made anew." },
        },
        "required": ["type", "format_version", "drover"],
    });
    schema["title"] = "Drover: a line of the events".into();
    schema["description"] = "What was decided, in order. Times are milliseconds since 1970-01-01 UTC, and durations milliseconds.".into();
    let definitions = schema["definitions"].clone();
    stamp(&mut schema, &definitions);
    if let Some(Value::Array(facts)) = schema.get_mut("oneOf") {
        facts.insert(0, version);
    }
    close(&mut schema);
    schema
}

/// The schema of a document in which those of these names are lines.
pub fn schema_with<T: JsonSchema>(lines: &[&str]) -> Value {
    let mut schema = super::json::schema::<T>();
    let definitions = schema["definitions"].clone();
    lines.iter().for_each(|name| stamp(&mut schema["definitions"][*name], &definitions));
    close(&mut schema);
    schema
}

/// Adds what [`line`] puts beside a fact's own fields, to one or to each of several.
fn stamp(schema: &mut Value, definitions: &Value) {
    match schema.get_mut("oneOf") {
        Some(Value::Array(facts)) => facts.iter_mut().for_each(|fact| stamped(fact, definitions)),
        _ => stamped(schema, definitions),
    }
}

fn stamped(fact: &mut Value, definitions: &Value) {
    // A closed object cannot be put together from others: fields that stand elsewhere are said here.
    let parts = fact.as_object_mut().and_then(|fields| fields.remove("allOf"));
    for part in parts.iter().filter_map(Value::as_array).flatten() {
        let name = part["$ref"].as_str().and_then(|of| of.rsplit('/').next()).unwrap_or_default();
        for (field, kind) in definitions[name]["properties"].as_object().into_iter().flatten() {
            fact["properties"][field] = kind.clone();
        }
        let more = definitions[name]["required"].as_array().into_iter().flatten().cloned();
        fact["required"].as_array_mut().into_iter().for_each(|required| required.extend(more.clone()));
    }
    let number = json!({ "type": "integer", "minimum": 0 });
    for (name, kind) in [("type", json!({ "const": "fact" })), ("seq", number.clone()), ("at", number)] {
        fact["properties"][name] = kind;
        if let Some(required) = fact["required"].as_array_mut() {
            required.push(name.into());
        }
    }
}

/// Closes every object that names its fields.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !is_properties(fields) {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Whether these are fields that have `properties` among them, and no schema.
fn is_properties(fields: &Map<String, Value>) -> bool {
    !fields["properties"].is_object() || fields.get("type").is_some_and(Value::is_object)
}

impl Reporter for Events {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact) {
        if self.out.is_none() {
            return;
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.veil.see(state);
        }
        self.veil.hear(fact);
        match self.veil.line(seq, at, fact) {
            Ok(value) => self.write(&value.to_string()),
            Err(e) => self.fail(&e.into()),
        }
    }
}
