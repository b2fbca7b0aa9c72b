//! What kind of trouble an agent's account of itself tells of.

use super::builtin::Builtin;
use super::stream::Report;
use crate::core::{FailureClass, HoldKind};

/// Whose fault it is that it did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody's that the task could mend: the agent pauses.
    Hold(HoldKind),
    /// The task's own.
    Fails(FailureClass),
}

/// Words and status of a failed report, or what its text is known to mean; success has no trouble.
pub(super) fn trouble(known: &Builtin, report: &Report) -> Option<Trouble> {
    if report.succeeded {
        return None;
    }
    by_words(report).or_else(|| sign(known, &format!("{} {}", report.reason, report.text)))
}

/// What the words mean, where that is known.
pub(super) fn sign(known: &Builtin, words: &str) -> Option<Trouble> {
    known.signs(words).find_map(|s| s.holds.map(Trouble::Hold).or(s.fails.map(Trouble::Fails)))
}

fn by_words(report: &Report) -> Option<Trouble> {
    use HoldKind::*;
    let says = |word: &str| report.words.iter().any(|w| w == word);
    let status = report.status.unwrap_or(0);
    let fails = |class| Some(Trouble::Fails(class));
    let hold = |kind| Some(Trouble::Hold(kind));
    // The more certain first: a status says little about a request that was refused in words.
    match () {
        _ if says("error_max_turns") => fails(FailureClass::TurnLimit),
        _ if says("error_max_budget_usd") => fails(FailureClass::CostLimit),
        _ if says("prompt_too_long") || status == 413 => fails(FailureClass::ContextTooLong),
        _ if says("billing_error") => hold(Billing),
        _ if says("model_not_found") => hold(Model),
        _ if says("connection_failed") => hold(Network),
        _ if says("authentication_failed") || matches!(status, 401 | 403) => hold(Authentication),
        _ if says("rate_limit") || says("usage_limit_reached") || status == 429 => hold(RateLimit),
        _ if (500..600).contains(&status) => hold(Overload),
        _ => None,
    }
}
