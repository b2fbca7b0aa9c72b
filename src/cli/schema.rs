//! `drover schema NAME`: what editors check the files against.

use super::args::SchemaName;
use super::exit::{CliResult, Exit};
use super::terminal::Terminal;
use crate::{agent, files, notice, report};

pub fn run(terminal: &Terminal, name: SchemaName) -> CliResult {
    let schema = match name {
        SchemaName::Drover => files::schema::drover(),
        SchemaName::Task => files::schema::task(),
        SchemaName::Plan => report::json::plan_schema(),
        SchemaName::Status => report::json::status_schema(),
        SchemaName::Event => report::events::schema(),
        SchemaName::Webhook => notice::schema(),
        SchemaName::Report => report::json::report_schema(),
        SchemaName::Outcome => agent::outcome_schema(),
    };
    terminal.json(&schema);
    Ok(Exit::Done)
}
