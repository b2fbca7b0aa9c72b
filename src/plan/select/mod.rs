//! Selectors: which tasks a person means.
//!
//! ```text
//! EXPR = TERM {"," TERM}             all of them (and); several expressions are or
//! TERM = [[N]"+"] BASE ["+"[N]]      `+x` with what it needs, `x+` with what needs it; N levels
//! BASE = id | glob | epic:ID | label:L | agent:A | group:G | path:GLOB | status:S
//! ```
//! A name may be a glob in every base; a comma between braces or brackets belongs to the glob.
//! A task that is not there but stands above others (`port` over `port.api`) means those.
//! What matches nothing is an error: "nothing to do" is a bad answer to a slip of the pen.

mod parse;
mod resolve;
mod universe;

pub use parse::{Base, Expr, Reach, Term, parse};
pub use resolve::resolve;
pub use universe::Universe;

/// Why a selection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// It says nothing that could be understood: a bad command line.
    #[error("bad selector `{expr}`: {why}")]
    Syntax { expr: String, why: String },
    /// It was understood, and there is no such task.
    #[error("selector `{expr}` matches no task{hint}")]
    NoMatch {
        expr: String,
        /// Empty, or begins with a punctuation mark.
        hint: String,
    },
}
