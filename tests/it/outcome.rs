//! What an agent says of how it went, beside its exit code, end to end.

use std::fs;

use serde_json::Value;

use crate::fixture::{CONFIG, Fixture, repo};

/// An agent that does what the file `script` of its task says, and keeps its prompts.
fn project(tasks: &str) -> Fixture {
    let it = repo();
    let dir = it.outside("scripts");
    fs::create_dir(&dir).unwrap();
    let script = format!("cat >{dir}/$DROVER_TASK.told; echo x >$DROVER_TASK.txt; . {dir}/$DROVER_TASK", dir = dir.display());
    it.file("drover.toml", &format!("{CONFIG}\n[agents.adder]\nkind = \"command\"\nshell = {script:?}\n"))
        .file("drover/t.toml", tasks)
        .commit("tasks")
}

fn task(id: &str, more: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"Make {id}\"\nagent = \"adder\"\nprompt = \"x\"\nretry = {{ max_attempts = 1 }}\n{more}\n")
}

fn does(it: &Fixture, id: &str, script: &str) {
    fs::write(it.outside("scripts").join(id), script).unwrap();
}

fn says(what: &str) -> String {
    format!("echo '{what}' >\"$DROVER_OUTCOME\"\n")
}

fn status(it: &Fixture, id: &str) -> Value {
    let all = it.drover(&["status", "--format", "json"]).expect(0).json();
    all["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap().clone()
}

#[test]
fn an_agent_that_is_blocked_from_outside_uses_no_attempt_and_waits_for_a_person() {
    let it = project(&format!("{}{}{}", task("a", ""), task("b", "depends_on = [\"a\"]"), task("c", "")));
    // Whatever its exit code.
    does(&it, "a", &(says(r#"{"outcome": "blocked", "reason": "there is no key for the API"}"#) + "exit 3"));
    does(&it, "b", "");
    does(&it, "c", "");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("there is no key for the API") && ran.out.contains("blocked by something outside: a"), "{}", ran.out);
    let a = status(&it, "a");
    assert_eq!((a["status"].as_str(), a["reason"]["kind"].as_str()), (Some("blocked"), Some("external")), "{a}");
    assert_eq!((a["failures"].as_u64(), a["failure"]["class"].as_str()), (Some(0), Some("external")), "{a}");
    assert_eq!((status(&it, "b")["status"].as_str(), status(&it, "c")["status"].as_str()), (Some("blocked"), Some("completed")));
    assert!(it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts"]).contains("-s0"), "its work is kept");
    // Nothing begins again by itself.
    it.drover(&["apply"]).expect(5);
    assert_eq!(status(&it, "a")["attempts_made"], 1);
    let plan = it.drover(&["plan"]).expect(0).out;
    assert!(plan.contains("there is no key for the API"), "{plan}");
    does(&it, "a", "");
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"), "{:?}", it.statuses());
}

#[test]
fn what_an_agent_says_of_how_it_went_holds_no_secret_that_it_was_given() {
    let it = project(&(task("a", "env = { OWN_TOKEN = \"tok-\\\"wxyz\" }") + &task("b", "env = { OWN_TOKEN = \"tok-wxyz\" }")));
    does(&it, "a", r#"printf '{"summary": "Called with tok-\\"wxyz."}' >"$DROVER_OUTCOME""#);
    does(&it, "b", r#"printf '{"outcome": "blocked", "reason": "%s is refused"}' $OWN_TOKEN >"$DROVER_OUTCOME""#);
    let ran = it.drover(&["apply"]).expect(5);
    let message = it.git(&["log", "--format=%b", "main"]);
    assert!(message.contains("Called with ***.") && !message.contains("wxyz"), "{message}");
    assert!(ran.out.contains("*** is refused") && !ran.out.contains("wxyz"), "{}", ran.out);
}

#[test]
fn further_work_that_an_agent_names_is_shown_and_not_acted_on() {
    let it = project(&format!("{}{}", task("a", ""), task("b", "")));
    let found =
        r#"{"summary": "Made it.", "follow_up": [{"title": "Mend the \u001b[31mlogin", "description": "It is slow."}, {"title": "More"}]}"#;
    does(&it, "a", &says(found));
    does(&it, "b", "");
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("Further work that a names:\n    Mend the [31mlogin: It is slow.\n    More\n"), "{}", ran.out);
    assert!(it.git(&["log", "--format=%b", "main"]).contains("Made it."), "the body of the commit");
    let a = status(&it, "a");
    assert_eq!(a["follow_up"][1], serde_json::json!({ "title": "More", "description": "" }), "{a}");
    assert_eq!(a["status"], "completed");
    let said = it.drover(&["status"]).expect(0).out;
    assert!(said.contains("Further work that a names:"), "{said}");
    assert_eq!(it.statuses().len(), 2, "no task was made of it");
}

#[test]
fn what_cannot_be_read_fails_the_attempt_and_so_does_one_that_says_it_failed() {
    let it = project(&format!("{}{}{}{}", task("a", ""), task("b", ""), task("c", ""), task("d", "")));
    does(&it, "a", &says(r#"{"outcom": "blocked"}"#));
    does(&it, "b", "ln -s \"$PWD/b.txt\" \"$DROVER_OUTCOME\"");
    does(&it, "c", &says(r#"{"outcome": "failed", "reason": "the design does not hold"}"#));
    does(&it, "d", &says(r#"{"outcome": "blocked"}"#));
    it.drover(&["apply"]).expect(1);
    let why = |id: &str| status(&it, id)["failure"]["message"].as_str().unwrap().to_owned();
    assert!(why("a").contains("cannot be used: unknown field `outcom`") && why("a").contains("drover schema outcome"), "{}", why("a"));
    assert!(why("b").contains("it is a link"), "{}", why("b"));
    assert_eq!(why("c"), "the design does not hold");
    assert!(why("d").contains("`reason` has to say why"), "{}", why("d"));
}
