//! Talk between a running Drover and the verbs that a person uses beside it.
//!
//! - [`Request`] and [`Reply`] are what is said: one JSON line each, versioned, of bounded length.
//! - [`carry_out`] decides on a request. The running Drover and a verb that found none call the
//!   same function on the same state, so that the two never disagree.
//! - [`serve`] listens on a socket of the user's own, [`ask`] connects to it.
//!
//! Must not know how facts are made durable: whoever replies does so only after they are.

mod client;
mod place;
mod server;
mod wire;

pub use client::ask;
pub use server::{Asked, Server, serve};
pub use wire::{Answered, Ask, MAX_LINE, Reply, Request, VERSION, request};

use crate::base::{Millis, TaskId};
use crate::core::{Fact, Heed, Input, Order, State, decide};
use crate::plan::select::{self, Expr, SelectError, Universe};
use crate::plan::{self, Guard};

/// What a request comes to: the facts, applied to the state already, and what to reply once they
/// are durable.
pub fn carry_out(state: &mut State, now: Millis, request: &Request, live: bool) -> (Vec<Fact>, Reply) {
    let act = match &request.act {
        Ask::Publish { restore } => {
            let input = (!request.rehearse).then_some(Input::PublishAsked { restore: *restore });
            let facts = input.iter().flat_map(|input| decide(state, now, input)).collect();
            return (facts, Reply::Outward { outward: state.outward() });
        }
        Ask::Files { .. } => {
            return (Vec::new(), Reply::Busy { why: "the Drover that is at work here does not read the files again".into() });
        }
        Ask::Whole { wish } => {
            let heed = state.consider_wish(wish, live);
            let done = matches!(heed, Heed::Done(_)) && !request.rehearse;
            let facts = if done { decide(state, now, &Input::Wish(wish.clone())) } else { Vec::new() };
            return (facts, Reply::Whole { heed, live });
        }
        Ask::Of(act) => act,
    };
    let tasks = match named(state, &request.select) {
        Ok(tasks) => tasks,
        Err(SelectError::NoMatch { expr, hint }) => {
            return (Vec::new(), Reply::NoMatch { why: SelectError::NoMatch { expr, hint }.to_string() });
        }
        Err(error) => return (Vec::new(), Reply::Misread { why: error.to_string() }),
    };
    let orders: Vec<Order> = tasks.into_iter().map(|task| Order { task, act: act.clone() }).collect();
    if !request.rehearse
        && !request.allow_reruns
        && let Some(Guard { flag, message, .. }) = plan::many_reset(state, &orders)
    {
        return (Vec::new(), Reply::Guarded { why: message, flag: flag.into() });
    }
    let answers = orders.iter().map(|order| Answered { task: order.task.clone(), heed: state.consider(order) }).collect();
    let facts = if request.rehearse { Vec::new() } else { decide(state, now, &Input::Orders(orders)) };
    (facts, Reply::Orders { orders: answers, live })
}

/// The tasks that are named, and no others: nothing that they need is added.
fn named(state: &State, texts: &[String]) -> Result<Vec<TaskId>, SelectError> {
    let exprs: Vec<Expr> = texts.iter().map(|t| select::parse(t)).collect::<Result<_, _>>()?;
    if exprs.is_empty() {
        return Err(SelectError::NoMatch { expr: String::new(), hint: ": nothing was named".into() });
    }
    Ok(select::resolve(&exprs, &[], &Universe::of_record(state))?.into_iter().collect())
}
