//! `drover explain`: why, what changed, from where; and the prompt as it would be sent.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo};

/// An agent that keeps what it is told, and does what the file of its task says.
fn project(head: (&str, &str), config: &str, files: &[(&str, &str)]) -> Fixture {
    let it = repo();
    let dir = it.outside("scripts");
    fs::create_dir(&dir).unwrap();
    let script = format!(
        "cat >{dir}/$DROVER_TASK.$DROVER_ATTEMPT_NUMBER; date >$DROVER_TASK.txt; [ ! -e {dir}/script ] || . {dir}/script",
        dir = dir.display()
    );
    let start = CONFIG.replace(head.0, &format!("{}\n{}", head.0, head.1));
    let it = it.file("drover.toml", &format!("{start}\n[agents.adder]\nkind = \"command\"\nshell = {script:?}\n{config}"));
    files.iter().fold(it, |it, (path, text)| it.file(path, text)).commit("tasks")
}

fn told(it: &Fixture, which: &str) -> String {
    fs::read_to_string(it.outside("scripts").join(which)).unwrap()
}

const TASKS: &str = r#"
[[task]]
id = "a"
title = "Make a"
agent = "adder"
prompt = "On ${{ port }}, in ${{ worktree }}."

[[task]]
id = "b"
title = "Make b"
agent = "adder"
prompt = "Go on."
depends_on = ["a"]
"#;

#[test]
fn the_prompt_is_shown_byte_for_byte_as_it_is_sent_and_nothing_is_written() {
    let it = project(("[project]", "guidelines = \"Be kind.\""), "", &[("drover/t.toml", TASKS)]);
    let shown = |id: &str| it.drover(&["explain", id, "--prompt"]).expect(0);
    let first = shown("a").out;
    assert!(!it.state_dir().join("store.redb").exists(), "a store was made");
    assert!(shown("b").err.contains("It waits for a"), "{}", shown("b").err);
    fs::write(
        it.outside("scripts/script"),
        "[ $DROVER_TASK = a ] || echo '{\"outcome\": \"blocked\", \"reason\": \"no key\"}' >$DROVER_OUTCOME",
    )
    .unwrap();
    it.drover(&["apply"]).expect(5);
    assert_eq!(told(&it, "a.1"), first);
    assert!(first.contains("Be kind.") && !first.contains("${{"), "{first}");
    // Once more, after something went wrong: with what the first attempt left.
    let again = shown("b").out;
    assert!(again.contains("no key") && again.contains("b.txt +1 -0") && again.contains("a.txt +1 -0"), "{again}");
    let before = fs::read(it.state_dir().join("store.redb")).unwrap();
    assert_eq!(shown("b").out, again, "the same as long as nothing happens");
    assert_eq!(fs::read(it.state_dir().join("store.redb")).unwrap(), before);
    fs::remove_file(it.outside("scripts/script")).unwrap();
    it.drover(&["retry", "b"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(told(&it, "b.2"), again);
    assert!(shown("b").err.contains("It is completed"));
    let json = it.drover(&["explain", "b", "--prompt", "--format", "json"]).expect(0).json();
    assert_eq!((json["step"].as_str(), json["attempt"].as_u64()), (Some("b"), Some(3)), "{json}");
}

const EPIC: &str = r#"[epic]
id = "shop"
title = "Shop"
[epic.defaults]
timeout = "30m"
retry = { delay = "1s" }

[[task]]
id = "one"
title = "One"
extends = "careful"
prompt = "First line.\nSecond line."
retry = { max_attempts = 2 }

[[task.subtask]]
id = "part"
title = "Part"
run = "true"

[[task]]
id = "two"
title = "Two"
run = "true"
depends_on = ["one"]
"#;

#[test]
fn each_setting_is_named_with_the_place_that_it_comes_from() {
    let config = "[templates.careful]\nagent = \"adder\"\nstall_timeout = \"3m\"\n";
    let it = project(("[defaults]", "timeout = \"1h\"\nenv = { A = \"1\" }"), config, &[("drover/shop.toml", EPIC)]);
    let json = it.drover(&["explain", "one", "--format", "json"]).expect(0).json();
    let line = |file: &str, text: &str| it.read(file).lines().position(|l| l.starts_with(text)).unwrap() + 1;
    let found = |key: &str| {
        let s = json["settings"].as_array().unwrap().iter().find(|s| s["key"] == key).unwrap_or_else(|| panic!("no {key}: {json:#}"));
        (s["value"].as_str().unwrap().to_owned(), s["from"].as_str().unwrap().to_owned(), s["line"].as_u64().map(|n| n as usize))
    };
    let at = |value: &str, from: &str, line: usize| (value.to_owned(), from.to_owned(), Some(line));
    assert_eq!(found("timeout"), at("\"30m\"", "[epic.defaults]", line("drover/shop.toml", "timeout")));
    assert_eq!(found("stall_timeout"), at("\"3m\"", "[templates.careful]", line("drover.toml", "stall_timeout")));
    assert_eq!(found("retry.max_attempts"), at("2", "[[task]]", line("drover/shop.toml", "retry = { max")));
    assert_eq!(found("retry.delay"), at("\"1s\"", "[epic.defaults]", line("drover/shop.toml", "retry = { delay")));
    assert_eq!(found("env.A"), at("\"1\"", "[defaults]", line("drover.toml", "env")));
    assert_eq!(found("agents.adder.kind"), at("\"command\"", "[agents.adder]", line("drover.toml", "[agents.adder]") + 1));
    assert_eq!(found("priority"), ("0".to_owned(), "built in".to_owned(), None));
    let text = it.drover(&["explain", "one.part"]).expect(0).out;
    assert!(text.contains("drover/shop.toml:5  [epic.defaults]") && text.contains("needed by   two"), "{text}");
    let typo = it.drover(&["explain", "onee"]).expect(4);
    assert!(typo.err.contains("did you mean `one`?"), "{}", typo.err);
}

#[test]
fn why_a_task_waits_and_what_changed_in_its_definition_is_told() {
    let it = project(("[project]", ""), "[templates.careful]\nagent = \"adder\"\n", &[("drover/shop.toml", EPIC)]);
    fs::write(it.outside("scripts/script"), "exit 1").unwrap();
    it.write("drover/shop.toml", &EPIC.replace("max_attempts = 2", "max_attempts = 1"));
    it.drover(&["apply"]).expect(1);
    it.write("drover/shop.toml", &EPIC.replace("max_attempts = 2", "max_attempts = 1").replace("Second", "Other"));
    let text = it.drover(&["explain", "one"]).expect(0).out;
    assert!(text.contains("\n  - Second line.\n  + Other line.\n") && !text.contains("- First line."), "{text}");
    assert!(text.contains("stands at   failed") && text.contains("an apply    ^ attempt 1 of 1; its prompt changed"), "{text}");
    let two = it.drover(&["explain", "two", "--format", "json"]).expect(0).json();
    assert_eq!((two["status"].as_str(), two["reason"].as_str()), (Some("blocked"), Some("waits for one, which failed")), "{two}");
    assert_eq!(two["needs"][0]["id"], "one");
}

#[test]
fn the_values_of_what_is_named_like_a_secret_are_not_shown() {
    let config = "[logs]\nredact = [\"*_TOKEN\", \"PIN\"]\n";
    let it = project(
        ("[defaults]", "env = { MY_TOKEN = \"tok-8d2f6c11\", PIN = \"1234\", PLAIN = \"plain-text\" }"),
        config,
        &[("drover/t.toml", TASKS)],
    );
    for args in [["explain", "a", "--format", "text"], ["explain", "a", "--format", "json"]] {
        let shown = it.drover(&args).expect(0).out;
        assert!(shown.contains("env.MY_TOKEN") && shown.contains("***") && shown.contains("plain-text"), "{shown}");
        assert!(!shown.contains("tok-8d2f6c11") && !shown.contains("1234"), "{shown}");
    }
}
