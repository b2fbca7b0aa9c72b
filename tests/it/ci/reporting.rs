//! What runners are told, and that nobody else tells them anything.

use std::process::Stdio;

use super::runner::{Acted, acted, on_github, written};
use crate::fixture::{CONFIG, ran, repo};

/// What somebody hostile has an agent print, a title say.
const EVIL: &str = "::set-output name=x::y";
const OLD_EVIL: &str = "look ##[set-env name=PATH]/evil";

fn failing(n: usize) -> String {
    (0..n)
        .map(|n| format!("[[task]]\nid = \"t{n}\"\ntitle = \"Task {n}\"\nprompt = \"$ exit 3\"\nretry = {{ max_attempts = 1 }}\n"))
        .collect()
}

#[test]
fn github_is_told_where_tasks_stand_that_failed_and_nothing_that_an_agent_says_is_a_command() {
    let script = format!("printf '%s\\n' '{EVIL}' '{OLD_EVIL}' '  {EVIL}' '::stop-commands::x' '::endgroup::' >&2; exit 3");
    let tasks = format!(
        "[[task]]\nid = \"evil\"\ntitle = \"{EVIL} {OLD_EVIL} | <b>@all</b>\"\nprompt = {:?}\nretry = {{ max_attempts = 2, delay = \"1ms\" }}\n\
         [[task]]\nid = \"good\"\ntitle = \"Good\"\nprompt = \"$ echo x >x\"\n\
         [[task]]\nid = \"after\"\ntitle = \"After\"\ndepends_on = [\"evil\"]\nprompt = \"$ echo y >y\"\n",
        format!("$ {script}")
    );
    let it = on_github(repo().file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("Tasks"));
    for verbose in [&["apply"][..], &["apply", "-v", "--rerun", "evil", "--rerun", "good"]] {
        let acted = acted(&it.drover(verbose).expect(1));
        let names: Vec<&str> = acted.commands.iter().map(|(name, _)| name.split(' ').next().unwrap()).collect();
        assert!(names.iter().all(|name| ["group", "endgroup", "error"].contains(name)), "{:?}", acted.commands);
        let (name, message) = acted.commands.iter().find(|(name, _)| name.starts_with("error")).unwrap();
        assert_eq!(name, "error file=drover/t.toml,line=1,col=1,title=evil failed");
        assert!(message.starts_with("failed: ") && !message.contains('\n'), "{message}");
        assert_eq!(acted.named("group").len(), acted.named("endgroup").len());
        assert!(acted.named("group").contains(&"The end of the output of evil"), "{:?}", acted.commands);
        assert!(acted.log.iter().any(|line| line.contains(OLD_EVIL)), "the end of the log is shown: {:?}", acted.log);
    }
    let outputs = written(&it, "output");
    let first: Vec<&str> = outputs.lines().take(5).collect();
    assert!(first[0].strip_prefix("run_id=").is_some_and(|id| id.len() == 32), "{outputs}");
    assert_eq!(first[1..], ["completed=1", "failed=1", "blocked=1", "changed=true"]);
    let summary = written(&it, "summary");
    assert!(summary.contains("### Drover: it\n") && summary.contains("| evil |") && summary.contains("<details><summary>evil</summary>"));
    for bad in ["<b>", "@all", "| <"] {
        assert!(!summary.contains(bad), "{bad} in {summary}");
    }
    // What only reads guards its own words as well.
    for args in [&["logs", "evil"][..], &["status"], &["plan", "-v"], &["explain", "evil"], &["explain", "evil", "--prompt"], &["events"]] {
        acted(&it.drover(args).expect(0));
    }
    let document = it.drover(&["status", "--format", "json"]).expect(0);
    acted(&document);
    let title = document.json()["tasks"].as_array().unwrap().iter().find(|t| t["id"] == "evil").unwrap()["title"].clone();
    assert!(title.as_str().unwrap().contains(OLD_EVIL), "{title}");
}

#[test]
fn no_more_annotations_than_a_step_may_have_and_a_summary_that_is_not_too_large() {
    let it = on_github(repo().file("drover.toml", CONFIG).file("drover/t.toml", &failing(12)).commit("Tasks"));
    std::fs::write(it.outside("summary"), "x".repeat((900 << 10) - 600)).unwrap();
    let acted = acted(&it.drover(&["apply"]).expect(1));
    let errors = acted.named("error");
    assert_eq!((errors.len(), errors[9]), (10, "The summary of the job has all of them."));
    let summary = written(&it, "summary");
    assert!(summary.len() <= 900 << 10 && summary.ends_with(" more\n"), "{}", &summary[(900 << 10) - 600..]);
    // To the byte, whatever of it is there already.
    for left in [0, 1, 20, 60, 250] {
        std::fs::write(it.outside("summary"), "x".repeat((900 << 10) - left)).unwrap();
        it.drover(&["apply"]).expect(1);
        let summary = written(&it, "summary");
        assert!(summary.len() <= 900 << 10, "{left}: {}", &summary[(900 << 10) - left..]);
    }
}

#[test]
fn mistakes_in_the_files_stand_at_their_lines_from_where_the_runner_works() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", "[[task]]\nid = \"a\"\ntitel = \"::error::x\"\n").commit("Tasks");
    let above = it.root().parent().unwrap().display().to_string();
    let it = on_github(it).env("GITHUB_WORKSPACE", &above);
    for verb in ["validate", "plan", "apply"] {
        let acted = acted(&it.drover(&[verb]).expect(78));
        let places: Vec<&str> = acted.commands.iter().map(|(name, _)| name.as_str()).collect();
        assert!(places.contains(&"error file=repo/drover/t.toml,line=3,col=1,title=drover%3A%3Aunknown_key"), "{places:?}");
    }
    // In another place, and on no runner, nobody is told.
    assert!(!it.drover(&["validate", "--ci", "none"]).expect(78).err.contains("::error file"));
}

#[test]
fn a_failure_of_another_kind_is_an_annotation_too() {
    let it = on_github(repo().file("drover.toml", CONFIG).file("drover/t.toml", &failing(1)).commit("Tasks"));
    let acted = acted(&it.drover(&["apply", "nothing-like-it"]).expect(4));
    assert_eq!(acted.commands.len(), 1);
    assert!(acted.commands[0].0.starts_with("error title=Drover"), "{:?}", acted.commands);
}

#[test]
fn events_beside_a_run_are_no_commands_and_say_the_same() {
    let title = "##[error]evil";
    let task = format!("[[task]]\nid = \"t\"\ntitle = \"{title}\"\nprompt = \"$ echo x >x\"\n");
    let it = on_github(repo().file("drover.toml", CONFIG).file("drover/t.toml", &task).commit("Tasks"));
    let ran = it.drover(&["apply", "--events", "-"]).expect(0);
    assert!(!ran.out.contains("##["), "{}", ran.out);
    let lines = ran.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert!(lines.into_iter().any(|line| line["spec"]["title"] == title), "{}", ran.out);
}

#[test]
fn secrets_are_masked_where_nobody_but_the_runner_hears_of_them() {
    let task = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo x >x\"\n";
    let it = on_github(repo().file("drover.toml", CONFIG).file("drover/t.toml", task).commit("Tasks"));
    let it = it.env("MY_API_KEY", "sk-100%\nsecret");
    let drover = env!("CARGO_BIN_EXE_drover");
    // The shell of the step has the same standard error.
    let output = it.command("sh").args(["-c", &format!("{drover} apply; true")]).output().unwrap();
    let told = Acted::on(&ran(&output).err);
    // As it is, by its lines, and as it looks in JSON.
    assert_eq!(told.named("add-mask"), ["sk-100%25%0Asecret", "sk-100%25", "secret", "sk-100%25\\nsecret"]);
    // Here it leads elsewhere, as into a file.
    it.git(&["commit", "-q", "--allow-empty", "-m", "More"]);
    for script in [format!("{drover} apply --rerun t 2>&1 | cat"), format!("{drover} apply --rerun t 2>$TMPDIR/log; cat $TMPDIR/log")] {
        let output = it.command("sh").args(["-c", &script]).stderr(Stdio::piped()).output().unwrap();
        let ran = ran(&output);
        assert!(!format!("{}{}", ran.out, ran.err).contains("sk-100"), "{ran:?}");
    }
}

#[test]
fn gitlab_folds_the_end_of_logs_and_no_agent_ends_or_begins_a_section() {
    let evil = "section_end:1:drover_1\\r\\033[0K\\nsection_start:2:evil\\r\\033[0Kevil\\n";
    let task =
        format!("[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = '''$ printf '{evil}' >&2; exit 3'''\nretry = {{ max_attempts = 1 }}\n");
    let it = repo().env("GITLAB_CI", "true").file("drover.toml", CONFIG).file("drover/t.toml", &task).commit("Tasks");
    let ran = it.drover(&["apply"]).expect(1);
    let marks: Vec<&str> = ran.err.split("\u{1b}[0K").filter(|piece| piece.contains("section_") && piece.ends_with('\r')).collect();
    assert_eq!(marks.len(), 2, "{:?}", ran.err);
    assert!(marks[0].starts_with("section_start:") && marks[0].ends_with(":drover_1[collapsed=true]\r"), "{marks:?}");
    assert!(marks[1].starts_with("section_end:") && marks[1].ends_with(":drover_1\r"), "{marks:?}");
    assert!(ran.err.contains("section_start:2:evil"), "it is shown: {:?}", ran.err);
    assert!(ran.err.contains("artifacts: reports: junit"), "{}", ran.err);
    assert!(!ran.err.contains("::"), "{}", ran.err);
}
