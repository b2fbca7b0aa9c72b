//! What a user can declare, validated and frozen.
//!
//! Pure: no files, no clock, no git. A [`Spec`] holds everything an executor needs for one
//! task, so that nothing is read again once it was approved; [`Graph::build`] is the one way
//! to a set of tasks that hang together; [`Policy`] is what holds for the project as a whole.

pub mod digest;
pub mod graph;
pub mod policy;
pub mod spec;
pub mod subst;

pub use digest::digest_of;
pub use graph::{Epic, Graph, GraphError};
pub use policy::{MergePolicy, OnConflict, Policy, WorktreePolicy};
pub use spec::{
    Action, AgentKind, AgentSpec, Backoff, Check, CommandLine, OnChange, OnDependency, Retry, Source, Spec, StepSpec, Workspace,
};
