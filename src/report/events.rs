//! The event file: JSON lines, the first one with the version, then one a fact.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::Reporter;
use crate::base::Millis;
use crate::base::text::one_line;
use crate::core::{Fact, State};

/// Of the lines; a minor version only adds.
pub const FORMAT_VERSION: &str = "1.0";

/// Appends, and flushes after each line. The first error ends it, with a warning.
pub struct Events {
    out: Option<Box<dyn Write + Send>>,
    name: String,
    warning: Option<String>,
}

impl Events {
    /// To a file, made if need be. One that is there is appended to, also after a torn line.
    pub fn append(path: &Path) -> Self {
        let mut events = Self { out: None, name: path.display().to_string(), warning: None };
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
    pub fn to(out: Box<dyn Write + Send>, name: &str) -> Self {
        let mut events = Self { out: Some(out), name: name.to_owned(), warning: None };
        events.version();
        events
    }

    fn version(&mut self) {
        let line = json!({ "type": "version", "format_version": FORMAT_VERSION, "drover": env!("CARGO_PKG_VERSION") });
        self.write(&line.to_string());
    }

    fn write(&mut self, line: &str) {
        let Some(out) = &mut self.out else { return };
        // One write a line: whoever follows the file never sees half of two.
        let written = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
        if let Err(e) = written {
            self.fail(&e);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.out = None;
        let warning = format!("events are not written any more: {}: {error}", one_line(&self.name, 200));
        tracing::warn!("{warning}");
        self.warning = Some(warning);
    }
}

fn open(path: &Path) -> io::Result<(std::fs::File, bool)> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((file, last != [b'\n']))
}

/// `seq` and `at` stand beside the fact's own fields.
fn line(seq: u64, at: Millis, fact: &Fact) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(fact)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("type".into(), "fact".into());
        fields.insert("seq".into(), seq.into());
        fields.insert("at".into(), at.0.into());
    }
    Ok(value)
}

impl Reporter for Events {
    fn fact(&mut self, _: &State, seq: u64, at: Millis, fact: &Fact) {
        if self.out.is_none() {
            return;
        }
        match line(seq, at, fact) {
            Ok(value) => self.write(&value.to_string()),
            Err(e) => self.fail(&e.into()),
        }
    }
    fn warning(&self) -> Option<String> {
        self.warning.clone()
    }
}
