//! The count of what did not arrive, and why.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::OTelSdkResult;

use super::settings::Target;
use crate::base::text::{count, one_line};

/// What was given to be sent of one kind, and what arrived.
#[derive(Debug)]
pub struct Tally {
    noun: &'static str,
    receiver: String,
    given: AtomicUsize,
    arrived: AtomicUsize,
    why: Mutex<Option<String>>,
}

impl Tally {
    pub fn new(noun: &'static str, target: &Target) -> Self {
        let receiver = target.shown.clone();
        Self { noun, receiver, given: AtomicUsize::new(0), arrived: AtomicUsize::new(0), why: Mutex::new(None) }
    }

    pub fn given(&self, items: usize) {
        self.given.fetch_add(items, Ordering::Relaxed);
    }

    /// What an export of so many came to.
    pub fn note(&self, items: usize, result: &OTelSdkResult) {
        match result {
            Ok(()) => drop(self.arrived.fetch_add(items, Ordering::Relaxed)),
            // The client over HTTP has said it better.
            Err(error) if error.to_string().contains("network error") => {}
            Err(error) => self.because(&error.to_string()),
        }
    }

    /// The last reason is the one to be told; it is about now.
    pub fn because(&self, why: &str) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(one_line(why, 300));
    }

    fn lost(&self) -> usize {
        self.given.load(Ordering::Relaxed).saturating_sub(self.arrived.load(Ordering::Relaxed))
    }
}

/// One warning for all that did not arrive.
pub fn lost<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Option<String> {
    let mut receivers: Vec<(&str, Vec<String>, String)> = Vec::new();
    for tally in tallies.filter(|t| t.lost() > 0) {
        let lost = count(tally.lost(), tally.noun);
        match receivers.iter_mut().find(|(receiver, _, _)| *receiver == tally.receiver) {
            Some((_, all, _)) => all.push(lost),
            None => {
                let why = tally.why.lock().unwrap_or_else(PoisonError::into_inner).take();
                receivers.push((&tally.receiver, vec![lost], why.map(|why| format!(": {why}")).unwrap_or_default()));
            }
        }
    }
    let each = receivers.iter().map(|(receiver, all, why)| format!("{} did not arrive at {receiver}{why}", all.join(", ")));
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("telemetry: {}", all.join("; ")))
}
