//! What a user can declare, validated and frozen.
//!
//! Pure: no files, no clock, no git. A [`Spec`] holds everything an executor needs for one
//! task, so that nothing is read again once it was approved; [`Graph::build`] is the one way
//! to a set of tasks that hang together; [`Policy`] is what holds for the project as a whole.

pub mod budget;
mod digest;
pub mod graph;
pub mod moves;
pub mod notices;
pub mod policy;
pub mod scope;
pub mod spec;
pub mod subst;
pub mod telemetry;

pub use budget::Budget;
pub use digest::digest_of;
pub use graph::{Epic, Graph, GraphError};
pub use moves::Move;
pub use notices::{Address, BodyFormat, Notices, OnEvent, Webhook};
pub use policy::{LogPolicy, MergePolicy, OnConflict, Policy, Prompts, Strategy, Template, WorktreePolicy};
pub use spec::{
    Action, AgentKind, AgentSpec, Approval, Backoff, Check, CommandLine, OnChange, OnDependency, Retry, Source, Spec, StepSpec, Workspace,
};
pub use telemetry::Telemetry;
