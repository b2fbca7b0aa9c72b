//! Tasks that stand for several, wait as an epic, or are taken out: through the program.

use crate::fixture::{CONFIG, repo};

#[test]
fn a_matrix_of_tasks_runs_and_a_value_taken_out_of_it_leaves_the_others_alone() {
    let tasks = |values: &str| {
        format!(
            "[[task]]\nid = \"port\"\ntitle = \"Port ${{{{ matrix.crate }}}}\"\nprompt = \"$ echo ${{{{ matrix.crate }}}} > ${{{{ matrix.crate }}}}.txt\"\n\
             matrix = {{ crate = [{values}] }}\n\n[[task]]\nid = \"all\"\ntitle = \"All\"\nrun = \"cat *.txt > all\"\ndepends_on = [\"port\"]\n"
        )
    };
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", &tasks("\"api\", \"worker\"")).commit("Start");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("all"), "api\nworker\n");
    let mut landed = it.landed();
    landed[..2].sort();
    assert_eq!(landed, ["port.api", "port.worker", "all"]);
    assert!(it.drover(&["apply"]).expect(0).err.lines().count() <= 1);

    it.write("drover/t.toml", &tasks("\"worker\", \"cli\""));
    let plan = it.drover(&["plan"]).expect(0).out;
    assert!(plan.contains("+ port.cli") && !plan.contains("port.worker"), "{plan}");
    it.git(&["commit", "-qam", "Another value"]);
    it.drover(&["apply", "port"]).expect(0);
    assert_eq!(it.landed().last().unwrap(), "port.cli");
    assert_eq!(it.statuses().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["all", "port.cli", "port.worker"]);
}

const TAKEN_OUT: &str = r#"
[[task]]
id = "base"
title = "Base"
run = "echo x > base"
enabled = false

[[task]]
id = "top"
title = "Top"
run = "cat base > top"
depends_on = ["base"]

[[task]]
id = "side"
title = "Side"
run = "echo y > side"
"#;

#[test]
fn a_disabled_task_is_not_run_and_what_depends_on_it_says_why_it_waits() {
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", TAKEN_OUT).commit("Start");
    let validate = it.drover(&["validate"]).expect(0);
    assert!(validate.err.contains("drover::disabled_dependency"), "{}", validate.err);
    let plan = it.drover(&["plan"]).expect(0).out;
    assert!(plan.contains("waits for base, which is disabled") && plan.contains("disabled (drover/t.toml:2)"), "{plan}");

    it.drover(&["apply"]).expect(1);
    assert_eq!(it.landed(), ["side"]);
    let status = it.drover(&["status", "--format", "json"]).expect(0).json();
    let reason = |n: usize| status["tasks"][n]["reason"]["kind"].clone();
    assert_eq!((reason(0), reason(2)), ("disabled".into(), "dependency_disabled".into()), "{status}");
    it.drover(&["apply", "-s", "side"]).expect(0);
    it.drover(&["apply", "-s", "base"]).expect(0);

    // Put back, both run.
    it.write("drover/t.toml", &TAKEN_OUT.replace("enabled = false\n", ""));
    it.git(&["commit", "-qam", "Put it back"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["side", "base", "top"]);

    // Taken out after it was done, it stays done.
    it.write("drover/t.toml", TAKEN_OUT);
    it.git(&["commit", "-qam", "Take it out again"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["side", "base", "top"]);
}

#[test]
fn an_epic_waits_for_another_and_a_template_gives_its_tasks_their_checks() {
    let it = repo()
        .file("drover.toml", &format!("{CONFIG}[templates.checked]\nverify = [\"test -s out/$DROVER_TASK\"]\n"))
        .file("drover/a.toml", "[epic]\nid = \"a\"\ntitle = \"A\"\ndepends_on = [\"epic:b\"]\n[[task]]\nid = \"a1\"\ntitle = \"A1\"\nrun = \"cp out/b1 out/a1\"\nextends = \"checked\"\n")
        .file("drover/b.toml", "[epic]\nid = \"b\"\ntitle = \"B\"\n[[task]]\nid = \"b1\"\ntitle = \"B1\"\nrun = \"mkdir -p out && echo b > out/b1\"\nextends = \"checked\"\n[[task]]\nid = \"b2\"\ntitle = \"B2\"\nrun = \"mkdir -p out && echo b > out/b2\"\n")
        .commit("Start");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed().last().unwrap(), "a1");
    assert_eq!(it.landed().len(), 3);

    // The template's check is in force: what it asks for is not there.
    it.write(
        "drover/c.toml",
        "[[task]]\nid = \"c1\"\ntitle = \"C1\"\nrun = \"echo c > elsewhere\"\nextends = \"checked\"\nretry = { max_attempts = 1 }\n",
    );
    it.git(&["add", "drover"]);
    it.git(&["commit", "-qm", "One that fails"]);
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.err.contains("verify `test -s out/$DROVER_TASK` exit 1"), "{}", ran.err);
}

#[test]
fn the_values_of_a_matrix_stand_in_paths_inputs_and_the_environment_too() {
    let task = |paths: &str| {
        format!(
            "[[task]]\nid = \"port\"\ntitle = \"Port\"\nprompt = \"$ mkdir -p $CRATE; cat src/$CRATE >$CRATE/x.txt\"\n\
             matrix = {{ crate = [\"api\", \"web\"] }}\nallow_empty = true\npaths = [\"{paths}\"]\ninputs = [\"src/${{{{ matrix.crate }}}}\"]\n\
             env = {{ CRATE = \"${{{{ matrix.crate }}}}\" }}\n"
        )
    };
    let it = repo().file("drover.toml", CONFIG).file("src/api", "1\n").file("src/web", "1\n");
    let it = it.file("drover/t.toml", &task("${{ matrix.crate }}/{*.txt,a}")).commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.read("api/x.txt"), it.read("web/x.txt")), ("1\n".into(), "1\n".into()));
    it.write("src/web", "2\n");
    let it = it.commit("another input");
    it.drover(&["apply"]).expect(0);
    let mut landed = it.landed();
    landed.sort();
    assert_eq!(landed, ["port.api", "port.web", "port.web"]);
    // A name that the matrix does not have, and a path of another's.
    it.write("drover/t.toml", &task("${{ matrix.box }}/**"));
    assert!(it.drover(&["validate"]).expect(78).err.contains("box"));
    it.write("drover/t.toml", &task("api/**").replace("cat src/$CRATE >", "echo $CRATE >>"));
    it.drover(&["apply", "--allow-reruns"]).expect(1);
    assert_eq!(it.statuses(), [("port.api".into(), "completed".into()), ("port.web".into(), "failed".into())]);
}
