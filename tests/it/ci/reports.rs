//! `--report junit=FILE`.

use super::xml::{self, Element};
use crate::fixture::{CONFIG, Fixture, repo};

/// Every kind of end: at once, at the second attempt, never, because of that, with hostile words.
const TASKS: &str = r#"
[epic]
id = "house"
title = "A house"
[[task]]
id = "floor"
title = "Lay <the> \"floor\" & more \uFFFE"
prompt = "$ echo x >floor"
[[task]]
id = "wall"
title = "Build the wall"
depends_on = ["floor"]
prompt = '''$ [ -e $TMPDIR/second ] || { echo >$TMPDIR/second; printf 'bricks \033[31mmissing\033[0m ]]> <b> \000\001\n' >&2; exit 3; }
$ echo x >wall'''
[[task]]
id = "roof"
title = "Raise the roof"
depends_on = ["wall"]
retry = { max_attempts = 2, delay = "10ms" }
prompt = "$ echo too windy; exit 4"
[[task]]
id = "flag"
title = "Fly the flag"
depends_on = ["roof"]
prompt = "$ echo x >flag"
"#;

fn house() -> Fixture {
    let alone = "[[task]]\nid = \"alone\"\ntitle = \"Alone\"\nprompt = \"$ echo x >alone\"\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/house.toml", TASKS).file("drover/alone.toml", alone);
    it.env("DROVER_TEST", "1").commit("Tasks")
}

fn report(it: &Fixture) -> Element {
    xml::junit(&std::fs::read_to_string(it.outside("reports/drover.xml")).unwrap())
}

fn case<'a>(report: &'a Element, id: &str) -> &'a Element {
    let mut cases = report.all("testsuite").flat_map(|suite| suite.all("testcase"));
    cases.find(|case| case.attribute("name") == id).unwrap_or_else(|| panic!("no case {id}"))
}

#[test]
fn a_junit_report_tells_how_each_task_went_and_is_one_that_readers_accept() {
    let it = house();
    let file = format!("junit={}", it.outside("reports/drover.xml").display());
    it.drover(&["apply", "--report", &file, "--report", "junit=in-the-checkout.xml"]).expect(1);
    let found = report(&it);
    assert_eq!(it.read("in-the-checkout.xml"), std::fs::read_to_string(it.outside("reports/drover.xml")).unwrap());
    let suites: Vec<&str> = found.all("testsuite").map(|suite| suite.attribute("name")).collect();
    assert_eq!(suites, ["house", "it"]);

    let floor = case(&found, "floor");
    assert_eq!(floor.the("properties").the("property").attribute("value"), "Lay <the> \"floor\" & more ");
    assert_eq!((floor.attribute("classname"), floor.attribute("file"), floor.attribute("line")), ("house", "drover/house.toml", "5"));
    assert!(floor.all("failure").chain(floor.all("flakyFailure")).next().is_none());

    let flaky = case(&found, "wall").the("flakyFailure");
    assert_eq!(flaky.attribute("type"), "agent");
    let said = &flaky.the("system-out").text;
    assert!(said.contains("bricks ") && said.contains("]]> <b>") && !said.contains('\u{1b}'), "{said:?}");

    let roof = case(&found, "roof");
    assert!(roof.the("failure").attribute("message").contains("exit code 4"), "{roof:?}");
    assert!(roof.the("system-out").text.contains("too windy"), "{roof:?}");
    assert_eq!(roof.all("rerunFailure").count(), 1, "the first of two attempts");

    assert_eq!(case(&found, "flag").the("skipped").attribute("message"), "blocked: waits for roof, which failed");
    assert_eq!(case(&found, "alone").attribute("classname"), "it");

    // The record alone still says what failed, and nothing is said of attempts of another run.
    it.drover(&["apply", "--report", &file]).expect(1);
    let found = report(&it);
    assert!(case(&found, "roof").the("failure").text.contains("exit code 4"));
    assert!(case(&found, "wall").all("flakyFailure").next().is_none());
}

#[test]
fn every_verb_that_runs_writes_one_also_where_there_is_nothing_to_do() {
    let it = house();
    let file = format!("junit={}", it.outside("reports/drover.xml").display());
    it.drover(&["apply", "-s", "floor", "--report", &file]).expect(0);
    assert_eq!(report(&it).attribute("tests"), "1", "those that were selected");
    std::fs::remove_file(it.outside("reports/drover.xml")).unwrap();
    it.drover(&["apply", "-s", "floor", "--report", &file]).expect(0);
    assert_eq!(report(&it).attribute("tests"), "1", "nothing to do");
    it.drover(&["run", "-s", "floor,alone", "--report", &file]).expect(4);
    it.drover(&["run", "-s", "floor", "-s", "alone", "--report", &file]).expect(0);
    assert_eq!(report(&it).attribute("tests"), "2");
    it.drover(&["resume", "--report", &file]).expect(0);
    assert_eq!(report(&it).attribute("tests"), "2");
}

#[test]
fn a_report_that_cannot_be_written_is_a_warning_and_other_forms_are_refused() {
    let it = house();
    let ran = it.drover(&["apply", "-s", "floor", "--report", "junit=/proc/none/x.xml"]).expect(0);
    assert!(ran.err.contains("warning: the report /proc/none/x.xml is not written"), "{}", ran.err);
    for bad in ["drover.xml", "junit=", "tap=x"] {
        assert!(it.drover(&["apply", "--report", bad]).expect(64).err.contains("junit=FILE"));
    }
}
