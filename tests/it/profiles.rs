//! Settings of `[profiles.NAME]`, laid over the rest of drover.toml.

use crate::fixture::{CONFIG, repo};

const TASK: &str = "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ cat >prompt; echo $MODE >mode\"\n";

#[test]
fn a_profile_is_laid_over_the_settings_and_only_where_it_is_chosen() {
    let more = "[defaults.env]\nMODE = \"plain\"\nOTHER = \"stays\"\n\
                [profiles.ci]\nrun.workers = 7\ndefaults.env = { MODE = \"ci\" }\nproject = { target = \"ci\" }\n\
                [profiles.\"night\"]\nagents.sh = { max_parallel = 2 }\n";
    let it = repo().file("drover.toml", &format!("{CONFIG}{more}")).file("drover/t.toml", TASK).commit("tasks");
    it.git(&["branch", "ci"]);
    let bounds = |args: &[&str]| it.drover(&[&["plan"], args].concat()).expect(0).out;
    assert!(bounds(&[]).contains("4 at a time"), "{}", bounds(&[]));
    assert!(bounds(&["--profile", "ci"]).contains("7 at a time"));
    assert!(bounds(&["--profile", "night"]).contains("4 at a time"), "a part of an agent is enough");
    it.drover(&["--profile", "ci", "apply"]).expect(0);
    assert_eq!(it.git(&["show", "ci:mode"]), "ci");
    assert_eq!(it.landed(), [] as [String; 0], "its target is another");
    let status = it.drover(&["status", "--format", "json", "--profile", "ci"]).expect(0).json();
    assert_eq!(status["tasks"][0]["status"], "completed");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("mode"), "plain\n");
}

#[test]
fn a_profile_that_is_not_there_or_has_mistakes_is_told() {
    let it = repo().file("drover.toml", &format!("{CONFIG}[profiles.ci]\nrun.workers = 2\n")).file("drover/t.toml", TASK).commit("tasks");
    let told = it.drover(&["plan", "--profile", "cy"]).expect(64).err;
    assert!(told.contains("no profile `cy`") && told.contains("there are: ci"), "{told}");
    let wrong = |more: &str, words: &str| {
        it.write("drover.toml", &format!("{CONFIG}{more}"));
        let told = it.drover(&["validate"]).expect(78).err;
        assert!(told.contains(words), "{told}");
    };
    wrong("[profiles.ci.run]\nworker = 2\n", "`workers`");
    wrong("[profiles.ci]\nrequired_version = \"1\"\n", "holds for every profile");
    wrong("[profiles.ci.profiles.x]\n", "one profile is chosen");
    wrong("[profiles]\nci = 1\n", "must be a table");
    // Each is right by itself, and not together.
    it.write("drover.toml", &format!("{CONFIG}[profiles.ci.agents.sh]\ncommand = [\"true\"]\n"));
    it.drover(&["validate"]).expect(0);
    let told = it.drover(&["validate", "--profile", "ci"]).expect(78).err;
    assert!(told.contains("has both"), "{told}");
}
