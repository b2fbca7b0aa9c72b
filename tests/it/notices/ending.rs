//! What becomes of receivers in trouble when the run is over: tried for a while, and not longer.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::receiver::{Answer, Receiver};
use super::told;
use crate::fixture::{PATIENCE, until};

/// Longer than any test is let run.
const FOR_EVER: &str = "100000";

fn hook(url: &str, more: &str) -> String {
    format!("[[webhooks]]\nurl = \"{url}\"\nevents = [\"run_ended\"]\n{more}")
}

#[test]
fn a_receiver_that_comes_back_while_it_is_waited_for_at_the_end_is_told_in_the_same_run() {
    let receiver = Receiver::new(|n, _| if n < 2 { Answer::Later(1) } else { Answer::Status(200) });
    let it = told(&hook(&receiver.url, ""), &["a"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["run_ended"; 3], "{}", ran.err);
    assert!(!ran.err.contains("webhook"), "{}", ran.err);
    // The same holds where there is nothing else to do.
    let receiver = Receiver::new(|n, _| match n {
        0 => Answer::Later(3600),
        1 | 2 => Answer::Status(502),
        _ => Answer::Status(200),
    });
    let it = told(&hook(&receiver.url, ""), &["a"]);
    it.drover(&["apply"]).expect(0);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("Nothing to do") && !ran.err.contains("webhook"), "{}{}", ran.out, ran.err);
    assert_eq!(receiver.events(), ["run_ended"; 4]);
}

#[test]
fn a_receiver_that_asks_for_more_time_than_is_left_is_told_by_the_next_run_and_not_before() {
    let patient = Arc::new(AtomicBool::new(false));
    let now = patient.clone();
    let receiver = Receiver::new(move |_, _| if now.load(Ordering::SeqCst) { Answer::Status(200) } else { Answer::Later(3600) });
    let it = told(&hook(&receiver.url, ""), &["a"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["run_ended"], "{}", ran.err);
    assert!(ran.err.contains("not everything was delivered (it answered 503)"), "{}", ran.err);
    patient.store(true, Ordering::SeqCst);
    it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["run_ended"; 2]);
}

#[test]
fn a_signal_ends_the_wait_for_receivers_and_what_is_due_stays_due() {
    for (how, args) in [(Signal::INT, &["apply"][..]), (Signal::TERM, &["apply", "--tethered"])] {
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = mended.clone();
        let down = Receiver::new(move |_, _| Answer::Status(if is_mended.load(Ordering::SeqCst) { 200 } else { 500 }));
        let is_mended = mended.clone();
        let hangs = Receiver::new(move |_, _| if is_mended.load(Ordering::SeqCst) { Answer::Status(200) } else { Answer::Hang });
        let hooks = format!("{}{}", hook(&down.url, "max_attempts = 20\n"), hook(&hangs.url, "timeout = \"60s\"\n"));
        let it = told(&hooks, &["a"]).env(PATIENCE, FOR_EVER);
        let mut child = it.drover_command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        until("the run is over, and they are tried", || !down.got().is_empty() && !hangs.got().is_empty());
        let mut is_told = || {
            kill_process(Pid::from_child(&child), how).unwrap();
            said.find(|line| ["draining:", "interrupting:", "waited for"].iter().any(|word| line.contains(word))).unwrap()
        };
        // It was so quick that the run was just about to end.
        if is_told().contains("draining:") {
            is_told();
        }
        until("it has left", || child.try_wait().unwrap().is_some());
        // All was done by then.
        assert_eq!(child.wait().unwrap().code(), Some(0));
        mended.store(true, Ordering::SeqCst);
        let before = down.got().len();
        it.drover(&["apply"]).expect(0);
        assert_eq!(down.got().len(), before + 1);
    }
}
