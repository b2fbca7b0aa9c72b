//! JSON for programs. The schemas come from the very types that are serialized.
//!
//! `format_version`: minor versions only add; a reader refuses a major one that it does not
//! know. Objects are closed in the schema of each version.

mod chronicle;
mod explain;
mod plan;
mod reason;
mod state;
mod usage;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

pub use chronicle::chronicle;
pub use explain::explain;
pub use plan::plan;
pub use state::{run, status};

/// Of the plan, the status and the account of a run.
pub const FORMAT_VERSION: &str = "1.0";

/// The schema of what [`plan`] gives.
pub fn plan_schema() -> Value {
    schema::<plan::PlanJson>()
}

/// The schema of what [`status`] gives.
pub fn status_schema() -> Value {
    schema::<state::StatusJson>()
}

/// The schema of what [`chronicle`] gives.
pub fn report_schema() -> Value {
    schema::<chronicle::ReportJson>()
}

pub(super) fn schema<T: JsonSchema>() -> Value {
    let schema: Schema = SchemaSettings::draft07().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

/// A type of this room as a value: they hold nothing that JSON has no word for.
fn value<T: serde::Serialize>(document: &T) -> Value {
    serde_json::to_value(document).expect("keys are strings and numbers are finite")
}
