//! What is told of a run as it goes, for programs: the events, wherever they are wanted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::fixture::{CONFIG, Fixture, repo, until};

/// A task that lands, one whose work conflicts with it, one that fails, and one in the checkout.
fn project() -> Fixture {
    let tasks = r#"
[epic]
id = "e"
title = "Everything"
[[task]]
id = "lands"
title = "Lands <b>&\"\u202e"
prompt = "$ echo 1 >a"
verify = ["test -e a"]
[[task]]
id = "fails"
title = "Fails"
prompt = "$ echo no >&2; exit 3"
retry = { max_attempts = 2 }
[[task]]
id = "asks"
title = "Asks"
prompt = "$ echo 2 >b"
approval = "required"
[[task]]
id = "here"
title = "Here"
run = "true"
workspace = "checkout"
"#;
    repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("Tasks")
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn facts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["fact"].as_str()).collect()
}

#[test]
fn events_go_to_a_file_as_they_stand_in_the_journal_and_every_line_fits_the_schema() {
    let it = project();
    let file = it.outside("events.jsonl");
    let to = ["--events", file.to_str().unwrap()];
    it.drover(&[&["sync"], to.as_slice()].concat()).expect(0);
    let synced = lines(&fs::read_to_string(&file).unwrap());
    assert!(synced[0]["type"] == "version" && facts(&synced).contains(&"defined"), "{synced:?}");
    it.drover(&[&["run"], to.as_slice()].concat()).expect(1);
    it.drover(&["approve", "asks"]).expect(0);
    it.drover(&[&["retry", "fails"], [].as_slice()].concat()).expect(0);
    it.drover(&[&["resume"], to.as_slice()].concat()).expect(1);
    let told = lines(&fs::read_to_string(&file).unwrap());
    assert_eq!(told.iter().filter(|line| line["type"] == "version").count(), 3);

    let journal = lines(&it.drover(&["events"]).expect(0).out);
    // What `approve` and `retry` decided by themselves was told to nobody.
    let only_there: Vec<&Value> = journal.iter().filter(|line| line["type"] == "fact" && !told.contains(line)).collect();
    assert_eq!(only_there.iter().map(|line| line["fact"].as_str().unwrap()).collect::<Vec<_>>(), ["approved", "retried"]);
    assert!(told.iter().filter(|line| line["type"] == "fact").all(|line| journal.contains(line)));

    let schema = it.drover(&["schema", "event"]).expect(0).json();
    let fits = jsonschema::validator_for(&schema).unwrap();
    for line in told.iter().chain(&journal) {
        let wrong: Vec<String> = fits.iter_errors(line).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{line:#}");
    }
    let mut stranger = journal[1].clone();
    stranger["stranger"] = 1.into();
    assert!(!fits.is_valid(&stranger));
    for fact in ["policy_set", "defined", "run_began", "claimed", "agent_ended", "landed", "attempt_failed", "approval_asked", "run_ended"]
    {
        assert!(facts(&journal).contains(&fact), "{fact}");
    }
}

#[test]
fn events_on_standard_output_have_it_for_themselves() {
    let it = project();
    let ran = it.drover(&["apply", "--events", "-"]).expect(1);
    let told = lines(&ran.out);
    assert_eq!((&told[0]["type"], told.last().unwrap()["fact"].as_str()), (&"version".into(), Some("run_ended")));
    assert!(ran.err.contains("1 failed"), "{}", ran.err);
    let all = lines(&it.drover(&["events"]).expect(0).out);
    assert_eq!(told[1..], all[1..]);
    // Where there is nothing to do, there is a version and nothing else.
    let it = repo().file("drover.toml", CONFIG).commit("Nothing");
    it.drover(&["apply"]).expect(0);
    assert_eq!(lines(&it.drover(&["apply", "--events", "-"]).expect(0).out).len(), 1);
    let both = it.drover(&["apply", "--events", "-", "--format", "json"]).expect(64);
    assert!(both.err.contains("--events -"), "{}", both.err);
}

#[test]
fn events_that_cannot_be_written_are_a_warning_and_the_run_goes_on() {
    let full = project();
    let ran = full.drover(&["apply", "--events", "/dev/full"]).expect(1);
    assert_eq!(ran.err.matches("events are not written any more: /dev/full").count(), 1, "{}", ran.err);
    assert_eq!(full.landed(), ["lands"]);
    // A reader that goes away.
    let closed = project();
    let mut child = closed.drover_command(&["apply", "--events", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(first.contains("version") && said.contains("events are not written any more: standard output"), "{first}{said}");
    assert_eq!((ended.status.code(), closed.landed()), (Some(1), vec!["lands".to_owned()]));
    // A pipe without a reader is not waited for, and one with a reader is written to.
    let piped = project();
    let pipe = piped.outside("pipe");
    assert!(piped.command("mkfifo").arg(&pipe).status().unwrap().success());
    let ran = piped.drover(&["sync", "--events", pipe.to_str().unwrap()]).expect(0);
    assert!(ran.err.contains("events are not written any more"), "{}", ran.err);
    let reader = piped.command("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    let mut ran = None;
    until("the pipe has its reader", || {
        let now = piped.drover(&["run", "--events", pipe.to_str().unwrap()]);
        let heard = !now.err.contains("events are not written any more");
        ran = heard.then_some(now);
        heard
    });
    let told = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    assert!(facts(&lines(&told)).contains(&"run_ended"), "{told}\n{ran:?}");
}

#[test]
fn a_watch_tells_its_events_as_they_come() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo 1 >a\"\n")
        .commit("Tasks");
    let mut watch = it.drover_command(&["watch", "--events", "-"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let told = BufReader::new(watch.stdout.take().unwrap());
    let ended = told.lines().map_while(Result::ok).any(|line| line.contains("\"run_ended\""));
    assert!(ended);
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::INT).unwrap();
    assert!(watch.wait().unwrap().success());
}

#[test]
fn no_event_holds_a_secret_wherever_it_is_told() {
    let file = |it: &Fixture| it.outside("events.jsonl");
    let it = repo().env("OWN_KEY", "psst-own\"-1");
    let config = CONFIG.replace("[defaults]", "[defaults]\nenv = { SHARED_KEY = \"psst-shared\" }");
    let told = "[[on_event]]\nrun = \"cat >>$TMPDIR/told\"\nevents = \"*\"\n";
    let task = "[[task]]\nid = \"b\"\ntitle = \"Of psst-own\\\"-1, psst-shared and psst-task\"\nprompt = \"$ echo psst-task >&2; exit 3\"\n\
                env = { TASK_TOKEN = \"psst-task\", PLAIN = \"plain\" }\nretry = { max_attempts = 1 }\n";
    let it = it.file("drover.toml", &format!("{config}{told}")).file("drover/b.toml", task).commit("Tasks");
    let to = file(&it).display().to_string();
    it.drover(&["sync", "--events", &to]).expect(0);
    it.drover(&["run", "--events", &to]).expect(1);
    it.drover(&["hint", "b", "try psst-task and psst-own\"-1"]).expect(0);
    // Another value from now on, and what was told before is told again.
    it.write("drover/b.toml", &task.replace("psst-task", "psst-other").replace("psst-shared", "psst-anew"));
    it.write("drover.toml", &it.read("drover.toml").replace("psst-shared", "psst-anew"));
    let ran = it.drover(&["apply", "--events", "-"]).expect(1);
    let per_run = it.command("sh").args(["-c", "cat .git/drover/runs/*/events.jsonl"]).output().unwrap();
    let followed = it.drover(&["events", "--after", "3"]).expect(0).out;
    let all = [fs::read_to_string(file(&it)).unwrap(), ran.out, it.drover(&["events"]).expect(0).out, followed];
    let commands = fs::read_to_string(it.outside("told")).unwrap_or_default();
    for text in all.iter().chain([&String::from_utf8(per_run.stdout).unwrap(), &commands]) {
        assert!(text.contains("***") && !text.contains("psst-"), "{text}");
    }
    let defined = lines(&all[2]).into_iter().find(|line| line["fact"] == "defined").unwrap();
    assert_eq!((&defined["spec"]["env"]["TASK_TOKEN"], &defined["spec"]["env"]["PLAIN"]), (&"***".into(), &"plain".into()));
    let journal = lines(&all[2]);
    assert!(
        lines(&all[0]).iter().filter(|line| line["type"] == "fact").all(|line| journal.contains(line)),
        "the same is told of each everywhere"
    );
}

#[test]
fn whoever_follows_the_events_can_tell_that_the_record_was_made_anew() {
    let receiver = crate::notices::receiver::Receiver::willing();
    let hook = format!("[[webhooks]]\nurl = \"{}\"\nevents = \"*\"\n", receiver.url);
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = \"$ echo 1 >{id}\"\n");
    let it = repo().file("drover.toml", &format!("{CONFIG}{hook}")).file("drover/a.toml", &task("a")).commit("Tasks");
    it.drover(&["apply"]).expect(0);
    let events = |args: &[&str]| it.drover(&[&["events"], args].concat()).expect(0);
    let journal = |ran: &crate::fixture::Ran| lines(&ran.out)[0]["journal"].as_str().unwrap().to_owned();
    let before = events(&[]);
    let last = lines(&before.out).last().unwrap()["seq"].to_string();
    let none = events(&["--after", &last]);
    assert_eq!((journal(&none), lines(&none.out).len(), none.err.as_str()), (journal(&before), 1, ""));
    it.drover(&["state", "rebuild", "--allow-loss"]).expect(0);
    let anew = events(&["--after", &last]);
    assert_ne!(journal(&anew), journal(&before));
    assert!(anew.err.contains("the record was made anew") && anew.err.contains("--after 0"), "{}", anew.err);
    it.write("drover/b.toml", &task("b"));
    it.drover(&["apply"]).expect(0);
    let told: Vec<Value> = receiver.got().iter().map(crate::notices::receiver::Got::json).collect();
    let landed = |task: &str| told.iter().find(|one| one["event"] == "landed" && one["fact"]["task"] == task).unwrap()["journal"].clone();
    assert_eq!((landed("a"), landed("b")), (journal(&before).into(), journal(&anew).into()));
}
