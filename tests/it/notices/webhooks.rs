//! Webhooks, end to end: the real program against a receiver.

use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::receiver::{Answer, Receiver};
use super::told;
use crate::fixture::{CONFIG, PATIENCE, free_port, until};

const LANDED: &str = "events = [\"landed\", \"failed\", \"run_ended\"]";

fn hook(url: &str, more: &str) -> String {
    format!("[[webhooks]]\nurl = \"{url}\"\n{LANDED}\n{more}")
}

#[test]
fn a_webhook_gets_what_happened_signed_in_order_and_once() {
    let receiver = Receiver::willing();
    let it = told(&hook(&receiver.url, "secret_env = \"HOOK_KEY\""), &["a", "b", "c"]).env("HOOK_KEY", "a-very-secret-key");
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["landed a", "landed b", "landed c", "run_ended"]);
    let got = receiver.got();
    let mut ids: Vec<&str> = got.iter().map(|g| g.header("drover-delivery")).collect();
    for one in &got {
        let json = one.json();
        assert!(one.is_signed_with("a-very-secret-key") && !one.is_signed_with("another"), "{one:?}");
        assert_eq!(one.header("content-type"), "application/json");
        assert_eq!((json["project"].as_str(), json["target"].as_str()), (Some("it"), Some("main")));
        assert_eq!(
            (json["event"].as_str().unwrap(), json["delivery"].as_str().unwrap()),
            (one.header("drover-event"), one.header("drover-delivery"))
        );
        assert!(json["run"].is_string(), "{json:#}");
        assert!(!one.text.contains("secret") && !one.text.contains("hush-hush"), "{json:#}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let first = got[0].json();
    assert_eq!(first["title"], "The a <!channel> & all");
    assert!(first["text"].as_str().unwrap().starts_with("it a (The a <!channel> & all): landed "), "{first:#}");
    assert!(got[3].json()["text"].as_str().unwrap().contains("the run has ended: 3 landed"), "{:#}", got[3].json());
    let journal = it.drover(&["events"]).expect(0).out;
    assert!(journal.lines().any(|line| serde_json::from_str::<serde_json::Value>(line).unwrap() == first["fact"]));
    // Neither the key nor anything else of it is left anywhere.
    assert!(!ran.err.contains("a-very-secret-key"));
    let left = it.command("grep").args(["-rl", "a-very-secret-key", ".git/drover"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
    // Nothing is told twice, by whatever comes after it.
    it.drover(&["apply"]).expect(0);
    it.drover(&["status"]).expect(0);
    assert_eq!(receiver.events().len(), 4);
}

#[test]
fn a_receiver_in_trouble_gets_the_same_again_and_what_follows_after_it() {
    let receiver = Receiver::new(|n, _| Answer::Status(if n < 1 { 500 } else { 204 }));
    let it = told(&hook(&receiver.url, ""), &["a", "b"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["landed a", "landed a", "landed b", "run_ended"], "{}", ran.err);
    let got = receiver.got();
    assert_eq!((got[0].header("drover-delivery"), &got[0].text), (got[1].header("drover-delivery"), &got[1].text));
    assert_eq!(got[0].header("drover-signature"), "");
    // One that does not want a certain event gets the others.
    let picky = Receiver::new(|n, _| Answer::Status(if n == 0 { 400 } else { 200 }));
    let it = told(&hook(&picky.url, ""), &["a", "b"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(picky.events(), ["landed a", "landed b", "run_ended"]);
    assert!(ran.err.contains("`landed` is not told again: it answered 400"), "{}", ran.err);
}

#[test]
fn what_a_receiver_that_is_down_missed_is_delivered_the_next_time_and_that_is_said_once() {
    let closed = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let it = told(&hook(&format!("http://{closed}/hush-hush-token"), "max_attempts = 1"), &["a", "b"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
    assert_eq!(ran.err.matches("webhook to 127.0.0.1").count(), 1, "{}", ran.err);
    assert!(!ran.err.contains("hush-hush"), "{}", ran.err);
    // It is another receiver by its URL, which never heard of what was: so it stays at its port.
    let listener = std::net::TcpListener::bind(closed).unwrap();
    let answers = std::thread::spawn(move || {
        let mut got = Vec::new();
        while got.len() < 3 {
            let (stream, _) = listener.accept().unwrap();
            got.extend(raw(stream));
        }
        got
    });
    // There is nothing to do for tasks.
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("Nothing to do") && !ran.err.contains("webhook"), "{}{}", ran.out, ran.err);
    assert_eq!(answers.join().unwrap(), ["landed", "landed", "run_ended"]);
}

/// Answers what comes over one connection; the events of it.
fn raw(stream: std::net::TcpStream) -> Vec<String> {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut stream, mut events) = (stream, Vec::new());
    loop {
        let (mut length, mut event, mut line) = (0, None, String::new());
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) && line != "\r\n" {
            let (name, value) = line.trim().split_once(": ").unwrap_or((&line, ""));
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "drover-event" => event = Some(value.to_owned()),
                _ => {}
            }
            line.clear();
        }
        let Some(event) = event else { return events };
        reader.read_exact(&mut vec![0; length]).unwrap();
        events.push(event);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

#[test]
fn a_receiver_that_hangs_or_sends_elsewhere_gets_nothing_done_and_breaks_nothing() {
    let hangs = Receiver::new(|_, _| Answer::Hang);
    let it = told(&hook(&hangs.url, "timeout = \"60s\""), &["a", "b"]).env(PATIENCE, "");
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
    assert_eq!(hangs.events(), ["landed a"]);
    assert!(ran.err.contains("did not answer in time"), "{}", ran.err);

    let elsewhere = Receiver::willing();
    let url = elsewhere.url.clone();
    let redirects = Receiver::new(move |_, _| Answer::Redirect(url.clone()));
    let it = told(&hook(&redirects.url, "max_attempts = 1"), &["a"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("it answered 307, and no redirect is followed"), "{}", ran.err);
    assert_eq!((redirects.events(), elsewhere.events().len()), (vec!["landed a".to_owned()], 0));
}

#[test]
fn killed_between_a_delivery_and_its_bookmark_the_next_one_delivers_it_again_and_goes_on_from_there() {
    let victim: Arc<Mutex<Option<Pid>>> = Arc::default();
    let at_its_throat = victim.clone();
    let receiver = Receiver::new(move |n, _| {
        if n == 1 {
            until("it is known whom to kill", || at_its_throat.lock().unwrap().is_some());
            kill_process(at_its_throat.lock().unwrap().unwrap(), Signal::KILL).unwrap();
        }
        Answer::Status(200)
    });
    let it = told(&hook(&receiver.url, ""), &["a", "b", "c"]);
    let mut child = it.spawn(&["apply"]);
    *victim.lock().unwrap() = Some(Pid::from_child(&child));
    assert!(!child.wait().unwrap().success());
    it.drover(&["apply"]).expect(0);
    let got = receiver.got();
    let killed_at = got[1].header("drover-delivery");
    let (before, after) = got.split_at(2);
    // At least once, in order, and by the same names.
    let again: Vec<&str> = after.iter().map(|g| g.header("drover-delivery")).collect();
    assert!(again.contains(&killed_at), "{:?}", receiver.events());
    let mut order: Vec<u64> = Vec::new();
    for one in before.iter().chain(after) {
        let seq = one.json()["fact"]["seq"].as_u64().unwrap();
        match order.iter().position(|s| *s == seq) {
            Some(_) => assert!(before.iter().any(|b| b.header("drover-delivery") == one.header("drover-delivery"))),
            None => order.push(seq),
        }
    }
    assert!(order.is_sorted(), "{order:?}");
    let landed: Vec<String> = receiver.events().into_iter().filter(|e| e.starts_with("landed")).collect();
    for task in ["landed a", "landed b", "landed c"] {
        assert!(landed.iter().any(|e| e == task), "{landed:?}");
    }
    assert_eq!(receiver.events().last().map(String::as_str), Some("run_ended"));
}

#[test]
fn a_receiver_that_is_new_hears_nothing_of_what_was_before_it() {
    let it = told("", &["a"]);
    it.drover(&["apply"]).expect(0);
    let receiver = Receiver::willing();
    it.write("drover.toml", &format!("{CONFIG}\n{}", hook(&receiver.url, "")));
    it.drover(&["apply"]).expect(0);
    assert!(!receiver.events().contains(&"landed a".to_owned()), "{:?}", receiver.events());
    it.write("drover/u.toml", "[[task]]\nid = \"u\"\ntitle = \"U\"\nprompt = \"$ echo 1 >u\"\n");
    it.drover(&["apply"]).expect(0);
    assert!(receiver.events().contains(&"landed u".to_owned()), "{:?}", receiver.events());
}

#[test]
fn a_watch_tells_a_receiver_that_it_is_given_on_the_way() {
    let it = told("", &["a"]);
    let mut watch = it.spawn(&["watch"]);
    until("the first task has landed", || it.landed() == ["a"]);
    let receiver = Receiver::willing();
    it.write("drover.toml", &format!("{CONFIG}\n{}", hook(&receiver.url, "")));
    it.write("drover/u.toml", "[[task]]\nid = \"u\"\ntitle = \"U\"\nprompt = \"$ echo 1 >u\"\n");
    until("it is told", || receiver.events().contains(&"landed u".to_owned()));
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    assert!(watch.wait().unwrap().success());
    assert!(!receiver.events().contains(&"landed a".to_owned()), "{:?}", receiver.events());
}

#[test]
fn a_message_for_slack_calls_nobody_and_its_url_may_be_a_secret() {
    let receiver = Receiver::willing();
    let config = format!("[[webhooks]]\nurl_env = \"SLACK_URL\"\nformat = \"slack\"\n{LANDED}");
    let it = told(&config, &["a"]).env("SLACK_URL", &receiver.url);
    it.drover(&["apply"]).expect(0);
    let got = receiver.got();
    let message = got[0].json();
    assert_eq!(message.as_object().unwrap().len(), 1);
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with("it a (The a &lt;!channel&gt; &amp; all): landed "), "{text}");
    let left = it.command("grep").args(["-rl", "hush-hush", ".git/drover"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}

#[test]
fn a_webhook_reaches_no_private_address_and_sends_nothing_unsigned() {
    for address in ["10.255.255.1", "[fd00::1]", "169.254.169.254"] {
        let it = told(&hook(&format!("https://{address}/"), "max_attempts = 1"), &["a"]);
        let ran = it.drover(&["apply"]).expect(0);
        assert!(ran.err.contains("a private network"), "{address}: {}", ran.err);
    }
    let receiver = Receiver::willing();
    let it = told(&hook(&receiver.url, "secret_env = \"HOOK_KEY\""), &["a"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("the variable HOOK_KEY is not set"), "{}", ran.err);
    assert!(receiver.events().is_empty());
    let doctor = it.drover(&["doctor"]);
    assert!(doctor.out.contains("HOOK_KEY"), "{}", doctor.out);
    // Once there is a key, what is due is delivered.
    let it = it.env("HOOK_KEY", "key");
    it.drover(&["apply"]).expect(0);
    assert_eq!(receiver.events(), ["landed a", "run_ended"]);
    assert!(receiver.got()[0].is_signed_with("key"));
}

#[test]
fn what_is_told_has_no_secret_in_it_whatever_it_is_told_of() {
    let receiver = Receiver::willing();
    let config = format!(
        "[[webhooks]]\nurl = \"{}\"\nevents = [\"*\"]\n\
         [[on_event]]\nrun = \"cat >>$TMPDIR/told\"\nevents = [\"policy_set\", \"defined\"]\n",
        receiver.url
    );
    let it = told(&config, &["a"]).env("OWN_KEY", "psst-own\"-1");
    it.write("drover.toml", &it.read("drover.toml").replace("[defaults]", "[defaults]\nenv = { SHARED_KEY = \"psst-shared\" }"));
    let task = "[[task]]\nid = \"b\"\ntitle = \"Of psst-own\\\"-1 and psst-task\"\nprompt = \"$ echo x >>b\"\n\
                env = { TASK_TOKEN = \"psst-task\", PLAIN = \"plain\" }\n";
    it.write("drover/b.toml", task);
    it.drover(&["apply"]).expect(0);
    // One that is defined anew, and settings that are new.
    it.write("drover/b.toml", &task.replace("psst-task", "psst-other"));
    it.write("drover.toml", &it.read("drover.toml").replace("psst-shared", "psst-anew"));
    it.drover(&["apply"]).expect(0);
    let told = || std::fs::read_to_string(it.outside("told")).unwrap_or_default();
    let both = |event: &str| receiver.got().iter().filter(|g| g.header("drover-event") == event).count() >= 2;
    until("all is told", || {
        let done = both("policy_set") && both("run_ended") && told().matches("\"event\":\"policy_set\"").count() >= 2;
        // What was not in time is told the next time.
        done || it.drover(&["apply"]).code.is_none()
    });
    let told = told();
    for text in receiver.got().iter().map(|g| &g.text).chain([&told]) {
        assert!(!text.contains("psst-"), "{text}");
    }
    let defined = receiver.got().iter().map(|g| g.json()).find(|told| told["fact"]["spec"]["id"] == "b").unwrap();
    let env = &defined["fact"]["spec"]["env"];
    assert_eq!((&env["TASK_TOKEN"], &env["PLAIN"]), (&"***".into(), &"plain".into()), "{defined:#}");
    assert_eq!(defined["title"], "Of *** and ***");
}

#[test]
fn whatever_is_told_fits_the_schema_of_what_is_told() {
    let receiver = Receiver::willing();
    let config = format!(
        "[[webhooks]]\nurl = \"{}\"\nevents = \"*\"\n[[on_event]]\nrun = \"cat >>$TMPDIR/told; echo >>$TMPDIR/told\"\nevents = \"*\"\n",
        receiver.url
    );
    let it = told(&config, &["a", "b"]);
    let more = "[[task]]\nid = \"fails\"\ntitle = \"F\"\nprompt = \"$ exit 1\"\nretry = { max_attempts = 2 }\n\
                [[task]]\nid = \"asks\"\ntitle = \"asks\"\nprompt = \"$ echo 1 >asks\"\napproval = \"required\"\n";
    it.write("drover/more.toml", more);
    it.drover(&["apply", "--workers", "2"]).expect(1);
    // A definition that is longer than a body may be.
    let long = format!("[[task]]\nid = \"long\"\ntitle = \"L\"\nprompt = '''\n$ echo 1 >long\n{}'''\n", "x y z ".repeat(50_000));
    it.write("drover/long.toml", &long);
    it.drover(&["hint", "fails", "try this"]).expect(0);
    it.drover(&["apply"]).expect(1);
    let all = || std::fs::read_to_string(it.outside("told")).unwrap_or_default();
    until("the command is told of all", || {
        let journal = it.drover(&["events"]).expect(0).out;
        let last = journal.lines().last().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].clone());
        let through = |text: &str| {
            text.lines().any(|line| Some(&serde_json::from_str::<serde_json::Value>(line).unwrap()["fact"]["seq"]) == last.as_ref())
        };
        through(&all()) || it.drover(&["apply"]).code.is_none()
    });
    let schema = it.drover(&["schema", "webhook"]).expect(0).json();
    let fits = jsonschema::validator_for(&schema).unwrap();
    let (posted, piped) = (receiver.got().iter().map(super::receiver::Got::json).collect::<Vec<_>>(), all());
    for one in posted.iter().cloned().chain(piped.lines().map(|line| serde_json::from_str(line).unwrap())) {
        let wrong: Vec<String> = fits.iter_errors(&one).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{one:#}");
    }
    for event in ["policy_set", "defined", "limited", "landed", "attempt_failed", "failed", "approval_asked", "hinted", "run_ended"] {
        assert!(posted.iter().any(|one| one["event"] == event), "{event} is not in the sample");
    }
    let shortened: Vec<_> = posted.iter().filter(|one| one["shortened"] == true).collect();
    assert!(!shortened.is_empty() && shortened.iter().all(|one| one["fact"]["task"] == "long"), "{shortened:#?}");
    let mut stranger = posted[0].clone();
    stranger["stranger"] = 1.into();
    assert!(!fits.is_valid(&stranger));
}
