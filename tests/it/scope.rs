//! What a task may touch: `paths` and `protect`, held against what its attempts change.

use std::fs;

use crate::fixture::{CONFIG, repo, until};

#[test]
fn every_kind_of_change_outside_of_paths_fails_the_attempt_by_name() {
    let kinds = [
        ("new", "echo x >other/new.txt", "other/new.txt"),
        ("changed", "echo x >>other/a.txt", "other/a.txt"),
        ("gone", "rm other/a.txt", "other/a.txt"),
        ("moved-out", "mv ok/a.txt other/moved.txt", "other/moved.txt"),
        ("moved-in", "mv other/a.txt ok/moved.txt", "other/a.txt"),
        ("mode", "chmod +x other/a.txt", "other/a.txt"),
        ("link", "ln -s /etc/passwd link", "link"),
        ("bytes", r#"echo x >"$(printf 'other/b\377d')""#, "other/b\u{fffd}d"),
        ("nearly", "echo x >okay.txt", "okay.txt"),
        ("deeper", "mkdir -p ok/lib/x; echo x >ok/lib/x/y.rs", "ok/lib/x/y.rs"),
    ];
    let task = |id: &str, line: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {:?}\n", format!("echo y >>ok/b.txt; {line}"));
    let bad: String = kinds.iter().map(|(id, line, _)| task(id, line)).collect();
    // One after the other, as all their paths overlap.
    let good = task("good", "mkdir -p ok/lib; echo x >ok/lib/y.rs; rm ok/a.txt; chmod +x ok/c.txt");
    let defaults = "paths = [\"ok/*.txt\", \"ok/lib/*.rs\"]\n";
    let config = CONFIG.replace("max_attempts = 3", "max_attempts = 1").replace("[agents.sh]", &format!("{defaults}[agents.sh]"));
    let it = repo()
        .file("drover.toml", &config)
        .file("ok/a.txt", "a\n")
        .file("ok/b.txt", "b\n")
        .file("ok/c.txt", "c\n")
        .file("other/a.txt", "a\n")
        .file("drover/t.toml", &format!("{bad}{good}"))
        .commit("tasks");
    it.drover(&["apply"]).expect(1);
    assert_eq!(it.landed(), ["good"]);
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    for (id, _, path) in kinds {
        let task = status["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap();
        let (class, message) = (task["failure"]["class"].as_str().unwrap(), task["failure"]["message"].as_str().unwrap());
        assert_eq!(class, "scope", "{id}: {message}");
        assert!(message.contains(path) && message.contains("1 file ") && message.contains("paths"), "{id}: {message}");
    }
}

#[test]
fn the_attempt_after_one_that_went_too_far_is_told_and_can_mend_it() {
    let it = repo();
    let told = it.outside("told");
    let script = format!("cat >>{0}; echo x >ok.txt; [ $DROVER_ATTEMPT_NUMBER = 2 ] || echo x >'# Rules'", told.display());
    let it = it
        .file("drover.toml", &format!("{CONFIG}\n[agents.keep]\nkind = \"command\"\nshell = {script:?}\n"))
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nagent = \"keep\"\nprompt = \"x\"\npaths = [\"ok.txt\"]\n")
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("went beyond its paths"), "{}", ran.err);
    assert_eq!(it.landed(), ["t"]);
    let told = fs::read_to_string(told).unwrap();
    assert_eq!(told.matches("# The only files you may change\n").count(), 2, "{told}");
    assert!(told.contains("outside of what this task may touch") && told.contains("```\n# Rules\n```"), "{told}");
    let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/"]);
    assert!(kept.lines().any(|r| it.git(&["ls-tree", "--name-only", r]).contains("# Rules")), "the work is kept: {kept}");
}

#[test]
fn what_is_put_in_the_place_of_a_protected_directory_counts() {
    let it = repo()
        .file("drover.toml", CONFIG)
        .file(
            "drover/t.toml",
            "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"echo x >x; ln -s /tmp secret\"\nprotect = [\"secret/**\"]\nretry = { max_attempts = 1 }\n",
        )
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("secret") && ran.err.contains("`protect`"), "{}", ran.err);
    assert!(it.landed().is_empty());
}

#[test]
fn tasks_whose_paths_overlap_do_not_run_together() {
    let it = repo();
    let (log, gate) = (it.outside("log"), it.outside("gate"));
    let line = |file: &str| {
        format!(
            "mkdir -p src/a; echo in >>{0}; while [ ! -e {1} ]; do sleep 0.02; done; echo x >>{file}; echo out >>{0}",
            log.display(),
            gate.display()
        )
    };
    let task = |id: &str, file: &str, paths: &str| {
        format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = {:?}\npaths = [{paths:?}]\n", line(file))
    };
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("{}{}", task("one", "src/a/x", "src/**"), task("two", "src/a/y", "src/a/*")))
        .commit("tasks");
    let mut child = it.spawn(&["apply"]);
    until("the first is at work", || log.exists());
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let two = status["tasks"].as_array().unwrap().iter().find(|t| t["id"] == "two").unwrap();
    assert_eq!((two["status"].as_str(), two["reason"]["kind"].as_str()), (Some("ready"), Some("paths_busy")), "{two}");
    assert_eq!(two["reason"]["tasks"], serde_json::json!(["one"]));
    fs::write(&gate, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&log).unwrap(), "in\nout\n".repeat(2), "never both at once");
    assert_eq!(it.landed(), ["one", "two"]);
}
