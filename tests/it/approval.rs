//! Work that waits for a person: `approval = "required"`, `approve`, `reject`, `diff`.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo};

/// A task that writes a file, and waits for approval if `approval` says so.
fn task(id: &str, approval: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Add {id}\"\napproval = \"{approval}\"\nprompt = \"$ echo {id} >{id}.txt\"\n{more}\n")
}

fn project(tasks: &str) -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks")
}

fn reason(it: &Fixture, id: &str) -> String {
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let task = status["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap().clone();
    format!("{} {}", task["status"].as_str().unwrap(), task["reason"]["kind"].as_str().unwrap_or("-"))
}

fn kept(it: &Fixture) -> usize {
    it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"])
        .lines()
        .filter(|r| !r.contains("-s") && !r.ends_with("-land"))
        .count()
}

#[test]
fn work_that_wants_approval_takes_no_worker_and_lands_when_a_person_says_so() {
    let config = CONFIG.replace("workers = 4", "workers = 1");
    let tasks = task("a", "required", "priority = 1") + &task("b", "none", "") + &task("c", "none", "depends_on = [\"a\"]");
    let it = repo().file("drover.toml", &config).file("drover/t.toml", &tasks).commit("tasks");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("waiting for approval: a"), "{}", ran.out);
    assert!(ran.err.contains("drover diff a"), "{}", ran.err);
    assert_eq!(it.landed(), ["b"]);
    assert_eq!(reason(&it, "a"), "blocked approval_required");
    assert_eq!(reason(&it, "c"), "blocked dependency_pending");
    let plan = it.drover(&["plan"]).expect(0);
    assert!(plan.out.contains("attempt 1 waits for approval") && plan.out.contains("drover approve a"), "{}", plan.out);
    let before = it.drover(&["diff", "a"]).expect(0).out;
    assert!(before.contains("+++ b/a.txt\n") && before.contains("\n+a\n"), "{before}");
    // Nothing changes by looking, or by applying again.
    it.drover(&["apply"]).expect(5);
    let said = it.drover(&["approve", "a"]).expect(0);
    assert!(said.out.starts_with("a: approved attempt 1, "), "{}", said.out);
    assert_eq!(it.landed(), ["b"], "no Drover runs: it lands with the next one");
    it.drover(&["approve", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b", "a", "c"]);
    assert_eq!(it.drover(&["diff", "a"]).expect(0).out, before, "also after it has landed");
}

#[test]
fn a_rejected_attempt_is_kept_and_the_next_one_is_told_the_reason() {
    let it = repo();
    let prompts = it.outside("prompt").display().to_string();
    let shell = format!("cat >{prompts}.$DROVER_ATTEMPT_NUMBER; echo try $DROVER_ATTEMPT_NUMBER >f.txt");
    let config = format!("{CONFIG}\n[agents.writer]\nkind = \"command\"\nshell = {shell:?}\n");
    let tasks = task("a", "required", "agent = \"writer\"\nretry = { max_attempts = 2 }");
    let it = it.file("drover.toml", &config).file("drover/t.toml", &tasks).commit("tasks");
    it.drover(&["apply"]).expect(5);
    it.drover(&["reject", "a", "--reason", "The greeting is missing.\u{1b}[2J"]).expect(0);
    it.drover(&["reject", "a", "--reason", "The greeting is missing.\u{1b}[2J"]).expect(0);
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["failure"]["class"], "rejected");
    it.drover(&["apply"]).expect(5);
    let told = fs::read_to_string(format!("{prompts}.2")).unwrap();
    assert!(told.contains("The greeting is missing.[2J") && told.contains("rejected it"), "{told}");
    assert_eq!(kept(&it), 2);
    let (first, second) = (it.drover(&["diff", "a", "--attempt", "1"]).expect(0).out, it.drover(&["diff", "a"]).expect(0).out);
    assert!(first.contains("+try 1") && second.contains("+try 2"), "{first}{second}");
    // The last attempt that it has.
    it.drover(&["reject", "a"]).expect(0);
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("gave no reason"), "{}", ran.out);
    assert_eq!(it.landed(), Vec::<String>::new());
}

#[test]
fn only_what_waits_is_approved_and_only_the_attempt_that_was_looked_at() {
    let it = project(&(task("a", "required", "") + &task("b", "none", "") + &task("c", "none", "depends_on = [\"a\"]")));
    let none = it.drover(&["approve", "a"]).expect(78);
    assert!(none.err.contains("nothing is recorded") && !it.state_dir().exists(), "{}", none.err);
    it.drover(&["apply"]).expect(5);
    let other = it.drover(&["approve", "a", "--attempt", "2"]).expect(3);
    assert!(other.err.contains("attempt 1 is"), "{}", other.err);
    it.drover(&["approve", "a", "b", "--attempt", "1"]).expect(64);
    let wrong = it.drover(&["approve", "aa"]).expect(4);
    assert!(wrong.err.contains("did you mean `a`?"), "{}", wrong.err);
    let pending = it.drover(&["approve", "c"]).expect(3);
    assert!(pending.err.contains("c does not wait for approval: it is blocked"), "{}", pending.err);
    let landed = it.drover(&["approve", "b"]).expect(0);
    assert!(landed.out.contains("nothing changed"), "{}", landed.out);
    it.drover(&["reject", "b"]).expect(3);
    let json = it.drover(&["approve", "a", "c", "--format", "json"]).expect(3).json();
    assert_eq!((json["orders"][0]["came_to"].as_str(), json["orders"][1]["came_to"].as_str()), (Some("done"), Some("refused")));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["b", "a", "c"]);
}

#[test]
fn approved_work_that_conflicts_is_made_anew_and_asks_again() {
    let writes = |id: &str, approval: &str| {
        format!("[[task]]\nid = \"{id}\"\ntitle = \"{id}\"\napproval = \"{approval}\"\nprompt = \"$ echo {id} >>shared.txt\"\n")
    };
    let it = repo()
        .file("drover.toml", CONFIG)
        .file("shared.txt", "first\n")
        .file("drover/t.toml", &(writes("a", "required") + &writes("b", "none")))
        .commit("tasks");
    it.drover(&["apply"]).expect(5);
    assert_eq!(it.landed(), ["b"]);
    it.drover(&["approve", "a"]).expect(0);
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.err.contains("conflict") && ran.out.contains("waiting for approval: a"), "{}\n{}", ran.err, ran.out);
    assert_eq!(it.landed(), ["b"], "what was made anew was looked at by nobody");
    let diff = it.drover(&["diff", "a"]).expect(0).out;
    assert!(diff.contains(" b\n+a\n"), "{diff}");
    it.drover(&["approve", "a", "--attempt", "2"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("shared.txt"), "first\nb\na\n");
}

#[test]
fn approved_work_may_land_merged_with_what_landed_meanwhile() {
    let config = CONFIG.replace("[defaults]", "[merge]\nverify = [\"cat a.txt || test ! -e a.txt\"]\n[defaults]");
    let it =
        repo().file("drover.toml", &config).file("drover/t.toml", &(task("a", "required", "") + &task("b", "none", ""))).commit("tasks");
    it.drover(&["apply"]).expect(5);
    it.drover(&["approve", "a"]).expect(0);
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("a.txt"), it.read("b.txt"), kept(&it)), ("a\n".into(), "b\n".into(), 2));
}

#[test]
fn a_definition_that_changes_while_it_waits_is_done_anew() {
    let it = project(&task("a", "required", ""));
    it.drover(&["apply"]).expect(5);
    let changed = task("a", "required", "").replace("echo a", "echo better");
    let it = it.file("drover/t.toml", &changed).commit("better");
    it.drover(&["sync"]).expect(0);
    let refused = it.drover(&["approve", "a"]).expect(3);
    assert!(refused.err.contains("its definition changed"), "{}", refused.err);
    it.drover(&["apply"]).expect(5);
    assert!(it.drover(&["diff", "a"]).expect(0).out.contains("+better"));
    assert_eq!((it.landed().len(), kept(&it)), (0, 2));
}

#[test]
fn a_waiting_task_can_be_run_again_or_removed_and_its_work_is_kept() {
    let it = project(&(task("a", "required", "") + &task("b", "none", "")));
    it.drover(&["apply"]).expect(5);
    it.drover(&["apply", "--rerun", "a"]).expect(5);
    assert_eq!(kept(&it), 3);
    it.drover(&["approve", "a", "--attempt", "1"]).expect(3);
    let it = it.file("drover/t.toml", &task("b", "none", "")).commit("without a");
    it.drover(&["apply"]).expect(3);
    it.drover(&["apply", "--allow-removals"]).expect(0);
    assert_eq!(it.statuses(), [("b".into(), "completed".into())]);
    assert_eq!((it.landed(), kept(&it)), (vec!["b".into()], 3));
    assert!(it.standing().is_empty(), "no worktree stays in use");
}

#[test]
fn approval_is_inherited_and_a_task_can_do_without() {
    let config = format!("{CONFIG}\n").replace("agent = \"sh\"", "agent = \"sh\"\napproval = \"required\"");
    let tasks = "[epic]\nid = \"e\"\ntitle = \"E\"\n[epic.defaults]\napproval = \"none\"\n".to_owned() + &task("b", "required", "");
    let plain = "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo a >a.txt\"\n[[task]]\nid = \"d\"\ntitle = \"D\"\napproval = \"none\"\nprompt = \"$ echo d >d.txt\"\n";
    let more = tasks + "[[task]]\nid = \"c\"\ntitle = \"C\"\nprompt = \"$ echo c >c.txt\"\n";
    let it = repo().file("drover.toml", &config).file("drover/e.toml", &more).file("drover/t.toml", plain).commit("tasks");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("waiting for approval: a, b"), "{}", ran.out);
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, ["c", "d"]);
    // What works in place cannot be held back.
    let it = it.file("drover/t.toml", &plain.replace("approval = \"none\"", "workspace = \"checkout\""));
    let bad = it.drover(&["validate"]).expect(78);
    assert!(bad.err.contains("key_conflict") && bad.err.contains("approval = \"none\""), "{}", bad.err);
}

#[test]
fn a_diff_shows_what_a_terminal_would_hide_and_is_a_patch_for_programs() {
    let shell = r#"printf 'one\033[2J\342\200\256two\n' >evil.txt; printf 'new\nlines\n' >"$(printf 'tab\there')""#;
    let config = format!("{CONFIG}\n[agents.evil]\nkind = \"command\"\nshell = {shell:?}\n");
    let it = repo().file("drover.toml", &config).file("drover/t.toml", &task("a", "required", "agent = \"evil\"")).commit("tasks");
    it.drover(&["apply"]).expect(5);
    let shown = it.drover(&["diff", "a", "--color", "always"]).expect(0).out;
    assert!(shown.contains("+one<U+001B>[2J<U+202E>two") && !shown.contains("\u{1b}[2J"), "{shown:?}");
    let patch = it.drover(&["diff", "a"]).expect(0).out;
    fs::write(it.outside("patch"), &patch).unwrap();
    it.git(&["apply", it.outside("patch").to_str().unwrap()]);
    assert_eq!(it.read("evil.txt"), "one\u{1b}[2J\u{202e}two\n");
    let stat = it.drover(&["diff", "a", "--stat"]).expect(0).out;
    assert!(stat.contains("+1      -0  evil.txt") && stat.ends_with("2 files, +3 -0\n"), "{stat}");
    let json = it.drover(&["diff", "a", "--format", "json"]).expect(0).json();
    assert_eq!((json["attempt"].as_u64(), json["files"][0]["path"].as_str()), (Some(1), Some("evil.txt")));
    for (args, code) in [(&["diff", "a", "--attempt", "7"][..], 4), (&["diff", "b"], 4), (&["diff", "NO"], 64)] {
        it.drover(args).expect(code);
    }
}
