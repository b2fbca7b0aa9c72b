//! Work that does not merge with what landed: told to the next attempt, or left to a person.

use std::fs;

use crate::fixture::{CONFIG, Fixture, repo, until};

/// Two tasks that change the same line of a file. Each agent keeps its prompt and says a word, and
/// waits until `gate` is there.
fn pair(config: &str) -> Fixture {
    let it = repo();
    let (gate, prompts) = (it.outside("gate"), it.outside("prompts"));
    fs::create_dir(&prompts).unwrap();
    let script = format!(
        "cat >{prompts}/$DROVER_TASK.$DROVER_ATTEMPT_NUMBER; sed \"s/^shared.*/shared $DROVER_TASK/\" \"base file.txt\" >new; mv new \"base file.txt\"; \
         echo $DROVER_TASK >$DROVER_TASK.txt; echo 'My own words'; while [ ! -e {gate} ]; do sleep 0.02; done",
        prompts = prompts.display(),
        gate = gate.display()
    );
    let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"Change the line for {id}\"\nagent = \"adder\"\nprompt = \"x\"\n");
    it.file("drover.toml", &format!("{CONFIG}\n[agents.adder]\nkind = \"command\"\nshell = {script:?}\n{config}"))
        .file("base file.txt", "first\nshared\nlast\n")
        .file("drover/t.toml", &format!("{}{}", task("one"), task("two")))
        .commit("tasks")
}

/// Lets both agents start from the same commit, then end; the exit code of the run.
fn run_together(it: &Fixture) -> Option<i32> {
    let mut child = it.spawn(&["apply"]);
    until("two agents", || fs::read_dir(it.outside("prompts")).unwrap().count() == 2);
    fs::write(it.outside("gate"), "").unwrap();
    child.wait().unwrap().code()
}

#[test]
fn the_next_attempt_is_told_of_both_sides_and_where_the_earlier_work_is() {
    let it = pair("");
    assert_eq!(run_together(&it), Some(0));
    let landed = it.landed();
    let (first, second) = (landed[0].as_str(), landed[1].as_str());
    assert_eq!(it.read("base file.txt"), format!("first\nshared {second}\nlast\n"));
    let told = fs::read_to_string(it.outside("prompts").join(format!("{second}.2"))).unwrap();
    assert!(told.contains("# The conflict") && told.contains("\nbase file.txt\n"), "{told}");
    let theirs = it.git(&["log", "--format=%h", "-1", "main^^2"]);
    assert!(told.contains(&format!("{theirs} Change the line for {first} (task {first})")), "{theirs}: {told}");
    assert!(told.contains(&format!("Change the line for {second} (task {second})")), "its own commit: {told}");
    assert!(told.contains("My own words") && told.contains(&format!("{second}.txt")), "{told}");
    // What it is told to run works, and shows the earlier work.
    let command = told.split('`').find(|part| part.starts_with("git diff ")).unwrap();
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(it.git(&args).contains(&format!("+shared {second}")), "{command}");
    // A first attempt is told nothing of the kind.
    assert!(!fs::read_to_string(it.outside("prompts").join(format!("{second}.1"))).unwrap().contains("# The conflict"));
}

/// With `on_conflict = "block"`: one task has landed, the other waits for a person. The ref of its
/// work, as `status` names it, and its id.
fn blocked(it: &Fixture) -> (String, String) {
    assert_eq!(run_together(it), Some(5));
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let task = status["tasks"].as_array().unwrap().iter().find(|t| t["status"] == "blocked").unwrap().clone();
    assert_eq!(task["reason"]["paths"], serde_json::json!(["base file.txt"]), "{task}");
    let said = it.drover(&["status"]).expect(0).out;
    assert!(said.contains("base file.txt") && said.contains("`drover retry`"), "{said}");
    let work = said.split_whitespace().find(|w| w.starts_with("refs/drover/attempts/")).unwrap().trim_end_matches('`').to_owned();
    (work, task["id"].as_str().unwrap().to_owned())
}

#[test]
fn what_a_person_merged_by_hand_after_a_conflict_counts_as_done_and_does_not_run_again() {
    let it = pair("[merge]\non_conflict = \"block\"\n");
    let (work, id) = blocked(&it);
    // As it was told.
    assert!(!it.command("git").args(["merge", "-q", &work]).output().unwrap().status.success(), "it conflicts for a person too");
    it.write("base file.txt", "first\nshared one and two\nlast\n");
    it.git(&["commit", "-qam", "Resolved by hand"]);
    let plan = it.drover(&["plan"]).expect(0).out;
    assert!(plan.contains("2 up to date"), "{plan}");
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains(&id) && ran.err.contains("found in history"), "{}", ran.err);
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
    assert_eq!(it.read("base file.txt"), "first\nshared one and two\nlast\n");
    assert_eq!(fs::read_dir(it.outside("prompts")).unwrap().count(), 2, "no agent ran again");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    assert_eq!(it.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_task_that_waits_for_a_person_is_done_again_when_it_is_asked_for() {
    let it = pair("[merge]\non_conflict = \"block\"\n");
    let (work, id) = blocked(&it);
    it.drover(&["apply", "--rerun", &id]).expect(0);
    assert_eq!(it.read("base file.txt"), format!("first\nshared {id}\nlast\n"));
    assert_eq!(it.landed().len(), 2);
    it.git(&["cat-file", "-e", &work]);
}
