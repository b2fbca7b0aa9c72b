//! `graph`, `logs` and `events`: looking at what there is, beside a running Drover too.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::fixture::{CONFIG, Fixture, repo, until};

const TASKS: &str = r#"
[epic]
id = "shop"
title = "The shop"

[[task]]
id = "schema"
title = 'Tables "and" <b>more</b>'
prompt = "$ echo made the schema; echo careful >&2; echo x > schema"

[[task]]
id = "api"
title = "Serve"
depends_on = ["schema"]
verify = ["echo checked it"]
prompt = "$ printf 'red \\033[31m text\\n'; echo y > api"
  [[task.subtask]]
  id = "plan"
  title = "Plan"
  prompt = "$ echo planned; echo p > plan"
"#;

fn shop() -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/shop.toml", TASKS).commit("Start")
}

#[test]
fn the_graph_is_drawn_with_where_each_task_stands() {
    let it = shop();
    let new = it.drover(&["graph", "--format", "json"]).expect(0).json();
    assert_eq!(new["tasks"][0]["status"], serde_json::Value::Null, "{new}");
    it.drover(&["apply", "-s", "schema"]).expect(0);
    let graph = it.drover(&["graph", "--format", "json"]).expect(0).json();
    assert_eq!(graph["edges"], serde_json::json!([{ "from": "schema", "to": "api" }]));
    let of = |id: &str| graph["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap()["status"].clone();
    assert_eq!((of("schema"), of("api")), ("completed".into(), "ready".into()));

    let dot = it.drover(&["graph"]).expect(0).out;
    assert!(dot.contains(r#"label="schema\nTables \"and\" <b>more</b>\ncompleted""#), "{dot}");
    assert!(dot.contains("  \"schema\" -> \"api\";\n") && dot.contains("label=\"shop\""), "{dot}");

    let mermaid = it.drover(&["graph", "--as", "mermaid"]).expect(0).out;
    assert!(mermaid.contains("  t_schema --> t_api\n"), "{mermaid}");
    assert!(!mermaid.contains("<b>") && mermaid.contains("#60;b#62;more"), "a title must not write markup: {mermaid}");

    let one = it.drover(&["graph", "-s", "api"]).expect(0).out;
    assert!(!one.contains("->") && one.contains("\"api\""), "edges to what is not drawn are left out: {one}");
    it.drover(&["graph", "-s", "nothing"]).expect(4);
}

#[test]
fn logs_are_those_of_the_newest_attempt_of_a_task_a_sub_task_or_a_phase() {
    let it = shop();
    it.drover(&["apply"]).expect(0);
    let schema = it.drover(&["logs", "schema"]).expect(0).out;
    assert_eq!(schema, "==> step 1 of 1 (schema), stdout\nmade the schema\n\n==> step 1 of 1 (schema), stderr\ncareful\n");
    let api = it.drover(&["logs", "api"]).expect(0).out;
    let order: Vec<&str> = api.lines().filter(|l| l.starts_with("==>")).collect();
    assert_eq!(
        order,
        ["==> step 1 of 2 (api.plan), stdout", "==> step 2 of 2 (api), stdout", "==> verify `echo checked it`, stdout"],
        "{api}"
    );
    assert!(api.contains("\u{1b}[31m"), "a pipe gets the bytes as they are");
    assert_eq!(it.drover(&["logs", "api.plan"]).expect(0).out, "==> step 1 of 2 (api.plan), stdout\nplanned\n");
    assert_eq!(it.drover(&["logs", "api", "--phase", "verify"]).expect(0).out, "==> verify `echo checked it`, stdout\nchecked it\n");

    let json = it.drover(&["logs", "schema", "--format", "json"]).expect(0).json();
    assert_eq!(json["logs"][0]["bytes"], 16, "{json}");
    it.drover(&["logs", "schma"]).expect(4);
    let none = it.drover(&["logs", "schema", "--attempt", "2"]).expect(4);
    assert!(none.err.contains("it has had 1 attempt"), "{}", none.err);
}

#[test]
fn of_a_log_that_is_too_large_the_end_is_kept() {
    let task = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ seq 1 3000; seq 1 9 >&2\"\nallow_empty = true\n";
    let it = repo().file("drover.toml", &format!("{CONFIG}\n[logs]\nmax_size = \"1KiB\"\n")).file("drover/t.toml", task).commit("tasks");
    it.drover(&["apply"]).expect(0);
    let out = it.drover(&["logs", "t"]).expect(0).out;
    assert!(out.contains("\n2850\n2851\n") && out.contains("\n3000\n") && !out.contains("\n2500\n"), "{out}");
    assert!(out.contains(", stderr\n1\n2\n"), "{out}");
    let logs = it.drover(&["logs", "t", "--format", "json"]).expect(0).json();
    let sizes: Vec<u64> = logs["logs"].as_array().unwrap().iter().map(|l| l["bytes"].as_u64().unwrap()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|bytes| *bytes <= 1024), "{logs}");
    assert!(it.git(&["log", "-1", "--format=%b", "main^2"]).contains("3000"), "what it said last is known from what is kept");
}

#[test]
fn secrets_stand_in_no_log_and_nothing_that_is_made_of_one() {
    let run = "echo begins with $MY_TOKEN; echo $MY_TOKEN >&2; echo and $PLAIN; [ $DROVER_ATTEMPT_NUMBER = 2 ]";
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ {run}\"\nallow_empty = true\nverify = [\"echo $MY_TOKEN\"]\nenv = {{ PLAIN = \"plain-text\" }}\nenv_pass = [\"PATH\", \"HOME\", \"MY_TOKEN\"]\n"))
        .commit("tasks");
    let apply = it.drover_command(&["apply"]).env("MY_TOKEN", "tok-8d2f6c11").output();
    let apply = apply.unwrap();
    let said = String::from_utf8_lossy(&[apply.stdout, apply.stderr].concat()).into_owned();
    let logs = it.drover(&["logs", "t"]).expect(0).out + &it.drover(&["logs", "t", "--attempt", "1"]).expect(0).out;
    assert!(logs.contains("begins with ***\n") && logs.contains("and plain-text\n"), "{logs}");
    let found = it.command("grep").args(["-rlaF", "tok-8d2f6c11", ".git", "."]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{said}");
    let message = it.git(&["log", "-1", "--format=%b", "main^2"]);
    assert!(message.contains("begins with ***") && !said.contains("tok-8d2f6c11"), "{message}\n{said}");
}

#[test]
fn each_attempt_keeps_its_log() {
    let task = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo try $DROVER_ATTEMPT_NUMBER; test $DROVER_ATTEMPT_NUMBER = 2 && echo x > x\"\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", task).commit("Start");
    it.drover(&["apply"]).expect(0);
    assert!(it.drover(&["logs", "t", "--attempt", "1"]).expect(0).out.ends_with("try 1\n"));
    assert!(it.drover(&["logs", "t", "--attempt", "2"]).expect(0).out.ends_with("try 2\n"));
    assert!(it.drover(&["logs", "t"]).expect(0).out.ends_with("try 2\n"));
}

/// Lines of a child as they come.
fn lines(child: &mut Child) -> std::io::Lines<BufReader<impl Read + use<>>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

#[test]
fn logs_and_events_are_followed_beside_a_running_apply_and_end_with_the_task() {
    let gate = "while [ ! -e \\\"$GATE\\\" ]; do sleep 0.01; done";
    let task = format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo before; {gate}; echo after; echo x > x\"\n");
    let it = repo()
        .file("drover.toml", &CONFIG.replace("[defaults]", "[defaults]\nenv_pass = [\"PATH\", \"GATE\"]"))
        .file("drover/t.toml", &task);
    let gate = it.outside("gate");
    let it = it.env("GATE", gate.to_str().unwrap()).commit("Start");
    it.drover(&["sync"]).expect(0);
    let mut apply = it.spawn(&["apply"]);
    until("the agent to be at work", || it.drover(&["logs", "t"]).out.contains("before"));

    let mut logs = it.spawn(&["logs", "-f", "t"]);
    let mut events = it.drover_command(&["events", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut log, mut event) = (lines(&mut logs), lines(&mut events));
    assert_eq!(log.next().unwrap().unwrap(), "==> step 1 of 1 (t), stdout");
    assert_eq!(log.next().unwrap().unwrap(), "before");
    let first: serde_json::Value = serde_json::from_str(&event.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["type"], "version");

    std::fs::write(&gate, "").unwrap();
    assert_eq!(log.next().unwrap().unwrap(), "after");
    assert!(log.next().is_none(), "it ends with the task");
    assert!(logs.wait().unwrap().success());
    let mut seqs = Vec::new();
    for line in event {
        let fact: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        seqs.push(fact["seq"].as_u64().unwrap());
        if fact["fact"] == "run_ended" {
            break;
        }
    }
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "every fact, in order, once");
    events.kill().unwrap();
    events.wait().unwrap();
    assert!(apply.wait().unwrap().success());

    let all = it.drover(&["events"]).expect(0).out;
    assert_eq!(all.lines().count(), seqs.len() + 1);
    let rest = it.drover(&["events", "--after", &(seqs.len() - 1).to_string()]).expect(0).out;
    assert_eq!(rest.lines().count(), 2);
    assert_eq!(it.drover(&["events", "--since", "10d"]).expect(0).out, all);
    assert_eq!(it.drover(&["events", "--since", "0s"]).expect(0).out.lines().count(), 1);
}
