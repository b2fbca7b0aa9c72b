//! `drover report`: a run as text, as JSON and as a page, from the record.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::{CONFIG, Fixture, repo, until};

const TASKS: &str = r#"
[epic]
id = "shop"
title = "The shop"
[[task]]
id = "schema"
title = "Tables </td><script>alert(1)</script> ]]> \"'&"
prompt = "$ echo x > schema  # the words of the prompt"
[[task]]
id = "api"
title = "Serve"
depends_on = ["schema"]
prompt = "$ echo y > api"
verify = ["[ $DROVER_ATTEMPT_NUMBER = 2 ] || { printf '</pre><script>x</script>]]>\\033[31m\\377\\376 '; echo $MY_TOKEN; false; }"]
env_pass = ["PATH", "HOME", "MY_TOKEN"]
[[task]]
id = "web"
title = "Show"
depends_on = ["api"]
prompt = "$ echo no; exit 3"
retry = { max_attempts = 1 }
[[task]]
id = "late"
title = "Late"
depends_on = ["web"]
prompt = "$ true"
"#;
const LONE: &str = "[[task]]\nid = \"lone\"\ntitle = \"Lone\"\nprompt = \"$ echo x >> lone\"\n[[task]]\nid = \"off\"\ntitle = \"Off\"\nprompt = \"$ true\"\nenabled = false\n";

fn shop() -> Fixture {
    let it = repo().file("drover.toml", CONFIG).file("drover/shop.toml", TASKS).file("drover/lone.toml", LONE);
    it.env("MY_TOKEN", "tok-8d2f6c11").commit("Tasks")
}

/// Holds what a reader of XML would: each tag ends in order, and what looks like one is one. The tags,
/// with how often each is there.
fn well_formed(page: &str) -> BTreeMap<String, usize> {
    let page = page.strip_prefix("<!DOCTYPE html>\n").expect("it says what it is");
    let (mut open, mut seen): (Vec<String>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
    let mut pieces = page.split('<');
    assert_eq!(pieces.next(), Some(""));
    for piece in pieces {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("no tag: <{piece}"));
        let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(text.split('&').skip(1).all(|after| entities.iter().any(|e| after.starts_with(e))), "{text}");
        assert!(!text.contains("]]>") && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "<{tag}>");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        // Attributes stand in quotes, and there is nothing else.
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        let outside = tag.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        assert!(outside.split_whitespace().skip(1).all(|a| a.ends_with('=') || a == "/"), "<{tag}>");
        assert!(
            !outside.split_whitespace().skip(1).any(|a| a.starts_with("on") || a.starts_with("src") || a.starts_with("style")),
            "<{tag}>"
        );
        if !tag.ends_with('/') {
            open.push(name.clone());
        }
        *seen.entry(name).or_default() += 1;
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

fn page(it: &Fixture) -> String {
    it.drover(&["report", "--html", "-"]).expect(0).out
}

#[test]
fn a_page_tells_each_task_once_and_nothing_that_was_written_by_others_is_more_than_text() {
    let it = shop();
    it.drover(&["apply"]).expect(1);
    let page = page(&it);
    let tags = well_formed(&page);
    assert!(!tags.contains_key("script") && !tags.contains_key("link") && !tags.contains_key("img"), "{tags:?}");
    for id in ["schema", "api", "web", "late", "lone", "off"] {
        assert_eq!(page.matches(&format!("<tr id=\"task-{id}\">")).count(), 1, "{id}: {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; ]]&gt; &quot;&#39;&amp;"), "{page}");
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;x&lt;/script&gt;]]&gt;[31m\u{fffd}\u{fffd} ***"), "{page}");
    for inside in
        ["default-src 'none'", "waits for web, which failed", "disabled", "prefers-color-scheme: dark", "<svg viewBox", "class=\"chain\""]
    {
        assert!(page.contains(inside), "{inside}: {page}");
    }
    for outside in ["tok-8d2f6c11", "the words of the prompt", "http://", "https://", "url(http", "@import"] {
        let plain = page.replace("http://www.w3.org/", "");
        assert!(!plain.contains(outside), "{outside}");
    }
}

/// The report of a run, which fits its schema.
fn document(it: &Fixture, run: &str) -> Value {
    let document = it.drover(&["report", run, "--format", "json"]).expect(0).json();
    let schema = it.drover(&["schema", "report"]).expect(0).json();
    let errors: Vec<String> = jsonschema::validator_for(&schema).unwrap().iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
    document
}

#[test]
fn a_report_holds_all_attempts_with_their_phases_and_the_chain_that_took_longest() {
    let it = shop();
    let apply = it.drover(&["apply"]).expect(1);
    let report = document(&it, "last");
    assert_eq!(
        (&report["came_to"], &report["critical_path"]),
        (&"failed".into(), &serde_json::json!(["schema", "api", "web"])),
        "{report:#}"
    );
    let attempts: Vec<(String, u64, String)> = report["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["task"].as_str().unwrap().into(), a["number"].as_u64().unwrap(), a["came_to"].as_str().unwrap().into()))
        .collect();
    for (task, number, came_to) in
        [("schema", 1, "landed"), ("api", 1, "failed"), ("api", 2, "landed"), ("web", 1, "failed"), ("lone", 1, "landed")]
    {
        assert!(attempts.contains(&(task.into(), number, came_to.into())), "{task} {number}: {attempts:?}");
    }
    assert_eq!(attempts.len(), 5);
    let api = report["attempts"].as_array().unwrap().iter().find(|a| a["task"] == "api").unwrap();
    assert_eq!((&api["failure"]["class"], &api["again"]), (&"verify".into(), &true.into()), "{api}");
    // Nobody has two attempts at a time, and no time is lost between the phases of one.
    let mut busy: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for phase in report["attempts"].as_array().unwrap().iter().flat_map(|a| a["phases"].as_array().unwrap()) {
        let at = |key: &str| phase[key].as_u64().unwrap();
        busy.entry(at("worker")).or_default().push((at("from"), at("to")));
    }
    for spans in busy.values_mut() {
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0) && spans.iter().all(|(from, to)| from < to), "{spans:?}");
    }
    let names: Vec<&str> = api["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert!(names.contains(&"agent") && names.contains(&"verify") && !names.contains(&"land"), "{names:?}");

    // The text has what apply said at its end, with the same words.
    let text = it.drover(&["report"]).expect(0).out;
    let same = |line: &&str| !line.starts_with("Failed in") && !line.contains(" done before");
    assert!(apply.out.lines().filter(same).all(|line| text.contains(line)), "{text}\n--- apply\n{}", apply.out);
    assert!(text.contains("Critical path: schema -> api -> web; ") && text.contains(", began 20"), "{text}");
}

#[test]
fn a_run_is_named_by_its_id_by_what_it_begins_with_or_as_the_last() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", LONE).commit("Tasks");
    assert!(it.drover(&["report"]).expect(78).err.contains("no run is recorded"));
    it.drover(&["apply", "lone"]).expect(0);
    let first = document(&it, "last")["run"]["id"].as_str().unwrap().to_owned();
    it.drover(&["apply", "--rerun", "lone"]).expect(0);
    let last = document(&it, "last")["run"]["id"].as_str().unwrap().to_owned();
    assert_ne!(first, last);
    let same = first.chars().zip(last.chars()).take_while(|(a, b)| a == b).count();
    assert_eq!(document(&it, &first[..=same])["run"]["id"], first.as_str());
    assert_eq!(document(&it, &first)["settings"]["selection"], serde_json::json!(["lone"]));
    let both = it.drover(&["report", &first[..same]]).expect(4);
    assert!(both.err.contains(&first) && both.err.contains(&last) && both.err.contains("more than one run"), "{}", both.err);
    assert!(it.drover(&["report", "x<y"]).expect(4).err.contains("no run has an id"));
}

#[test]
fn a_page_takes_the_place_of_another_report_and_of_nothing_else_unasked() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", LONE).commit("Tasks");
    it.drover(&["apply", "lone"]).expect(0);
    let run = document(&it, "last")["run"]["id"].as_str().unwrap().to_owned();
    it.drover(&["report", "last", "--html"]).expect(0);
    let name = format!("drover-report-{}.html", &run[..12]);
    well_formed(&it.read(&name));
    let again = it.drover(&["report", "--html", &name, "--format", "json"]).expect(0).json();
    assert_eq!((&again["run"], again["bytes"].as_u64()), (&run.as_str().into(), Some(it.read(&name).len() as u64)));

    it.write("mine.html", "<p>mine</p>");
    symlink("mine.html", it.path("link.html")).unwrap();
    assert!(it.drover(&["report", "--html", "mine.html"]).expect(3).err.contains("--force"));
    it.drover(&["report", "--html", "link.html", "--force"]).expect(64);
    it.drover(&["report", "--html", "drover", "--force"]).expect(64);
    it.drover(&["report", "--html", "nowhere/r.html"]).expect(64);
    assert_eq!(it.read("mine.html"), "<p>mine</p>");
    it.drover(&["report", "--html", "mine.html", "--force"]).expect(0);
    well_formed(&it.read("mine.html"));
    let left = fs::read_dir(it.root()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().ends_with("-tmp")).count();
    assert_eq!(left, 0);
}

#[test]
fn a_run_that_is_under_way_and_one_that_was_cut_short_are_told_as_such() {
    let task = "[[task]]\nid = \"hut\"\ntitle = \"Build\"\nprompt = \"$ : > $TMPDIR/works; while [ ! -e $TMPDIR/gate ]; do sleep 0.02; done; echo x > x\"\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", task).commit("Tasks");
    let mut apply = it.spawn(&["apply"]);
    until("the agent is at work", || it.outside("works").exists());
    let report = document(&it, "last");
    assert_eq!((&report["came_to"], &report["attempts"][0]["came_to"]), (&"under_way".into(), &"under_way".into()), "{report:#}");
    assert!(it.drover(&["report"]).expect(0).out.contains("Under way for "));
    kill_process(Pid::from_child(&apply), Signal::KILL).unwrap();
    apply.wait().unwrap();
    until("the lock is free", || document(&it, "last")["came_to"] == "cut_short");
    let cut = document(&it, "last");
    assert_eq!(cut["attempts"][0]["came_to"], "left", "{cut:#}");
    assert!(page(&it).contains("cut short"));

    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["resume"]).expect(0);
    let resumed = document(&it, "last");
    assert_eq!((&resumed["came_to"], &resumed["run"]["continues"]), (&"done".into(), &cut["run"]["id"]), "{resumed:#}");
    assert_eq!(resumed["attempts"][0]["id"], cut["attempts"][0]["id"], "the attempt goes on in the second run");
    let before = document(&it, cut["run"]["id"].as_str().unwrap());
    assert_eq!((&before["came_to"], &before["until"]), (&"cut_short".into(), &cut["until"]), "what came later is not of it");
}

#[test]
fn what_is_said_at_the_end_names_each_selected_task_also_what_was_not_begun_and_why() {
    let task = |id: &str, more: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = \"$ echo x > {id}\"\n{more}\n");
    let bad = "[[task]]\nid = \"bad\"\ntitle = \"T\"\nprompt = \"$ false\"\nretry = { max_attempts = 1 }\n".to_owned();
    let tasks = [
        bad,
        task("after", "depends_on = [\"bad\"]"),
        task("off", "enabled = false"),
        task("held", ""),
        task("gone", ""),
        task("good", ""),
        task("other", ""),
    ];
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &tasks.concat()).commit("Tasks");
    it.drover(&["sync"]).expect(0);
    it.drover(&["suspend", "held"]).expect(0);
    it.drover(&["cancel", "gone"]).expect(0);
    let out = it.drover(&["apply", "--exclude", "other"]).expect(1).out;
    let told = |id: &str| out.lines().find(|l| l.split_whitespace().nth(1) == Some(id)).unwrap_or_else(|| panic!("{id}: {out}")).to_owned();
    for (id, why) in [
        ("bad", "after 1 attempt"),
        ("after", "waits for bad, which failed"),
        ("off", "disabled"),
        ("held", "suspended until `drover unsuspend`"),
        ("gone", "not started until `drover retry`"),
        ("good", "landed "),
    ] {
        assert!(told(id).contains(why), "{id}: {out}");
    }
    assert!(!out.contains("other"), "{out}");
}
