//! What good files mean, and what is said of bad ones.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use drover::base::TaskId;
use drover::files::scaffold::{self, Outcome, Request};
use drover::files::{Code, Options, find_root, load};
use drover::model::{Action, AgentKind, AgentSpec, Backoff, CommandLine, OnConflict, Policy, Retry, Spec, Workspace};

use super::{Dir, TASK, fixture, fixtures, settings};

fn spec(project: &drover::files::Project, id: &str) -> Spec {
    (*project.graph.tasks()[&TaskId::parse(id).unwrap()]).clone()
}

#[test]
fn a_project_that_says_nothing_gets_the_documented_defaults() {
    let project = fixture("good/minimal").project.unwrap();
    assert_eq!(project.name, "minimal");
    let env_pass = spec(&project, "a").env_pass;
    assert!(env_pass.contains(&"PATH".to_owned()));
    assert_eq!(project.policy, Policy { project: "minimal".into(), env_pass, ..Policy::default() });
    assert_eq!((project.target.as_deref(), project.files), (None, 1));
    assert_eq!(project.agents["claude"].kind, AgentKind::ClaudeCode);
    let task = spec(&project, "a");
    assert_eq!(task.steps[0].timeout, Duration::from_secs(45 * 60));
    assert_eq!(task.steps[0].stall_timeout, Duration::from_secs(10 * 60));
    assert_eq!(task.retry, Retry::default());
    assert_eq!(task.protect, ["drover.toml", "drover/**"]);
    assert!(task.allow_empty && task.env_pass.contains(&"ANTHROPIC_*".to_owned()));
    assert_eq!((task.source.file.as_str(), task.source.line, task.source.column), ("drover/a.toml", 1, 1));
}

#[test]
fn everything_that_is_said_reaches_the_model() {
    let loaded = fixture("good/full");
    assert!(loaded.report.is_empty(), "{}", loaded.report.short());
    let project = loaded.project.unwrap();
    let policy = &project.policy;
    assert_eq!((policy.workers, policy.fail_fast, policy.max_time), (8, true, Some(8 * 3600 * 1000)));
    assert_eq!(policy.shutdown_grace, Duration::from_secs(2));
    assert_eq!(policy.merge.on_conflict, OnConflict::Block);
    assert_eq!(policy.merge.verify[0].run, "cargo test --workspace");
    assert_eq!(policy.merge.verify[0].timeout, Duration::from_secs(30 * 60));
    assert_eq!((policy.worktree.dir.as_str(), policy.worktree.include.as_str()), ("/tmp/trees", "copy-these"));
    assert_eq!(policy.groups.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), [("db", 1), ("net", 3)]);
    assert_eq!(policy.agents.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), [("claude", 2)]);
    assert_eq!(project.agents["line"].command, Some(CommandLine::Shell("gen.py | tee log".into())));
    assert_eq!(project.target.as_deref(), Some("main"));
    assert_eq!(project.files, 2);
    assert_eq!(project.graph.epics().len(), 2);
}

#[test]
fn a_task_wins_over_its_epic_and_that_over_the_defaults() {
    let project = fixture("good/full").project.unwrap();
    let task = spec(&project, "auth-api");
    let env: Vec<_> = task.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=1", "B=2", "C=3"]);
    assert_eq!((task.retry.max_attempts, task.retry.backoff, task.retry.delay), (2, Backoff::Fixed, Duration::from_secs(1)));
    assert_eq!(spec(&project, "auth-schema").retry.max_attempts, 5);
    assert_eq!((task.groups, task.labels, task.priority), (vec!["net".to_owned()], vec!["backend".to_owned()], 10));
    assert_eq!(spec(&project, "auth-schema").groups, ["db"]);
    let depends_on: Vec<&str> = task.depends_on.iter().map(TaskId::as_str).collect();
    assert_eq!(depends_on, ["auth-schema", "base-one", "base-two"]);
    assert_eq!(spec(&project, "base-one").workspace, Workspace::Checkout);
}

#[test]
fn sub_tasks_come_first_in_file_order_and_inherit_from_their_task() {
    let project = fixture("good/full").project.unwrap();
    let task = spec(&project, "auth-api");
    let steps: Vec<&str> = task.steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(steps, ["auth-api.tokens", "auth-api.format", "auth-api"]);
    let agents: Vec<&str> = task.agents().map(|a| a.name.as_str()).collect();
    assert_eq!(agents, ["line", "claude"]);
    let minutes: Vec<u64> = task.steps.iter().map(|s| s.timeout.as_secs() / 60).collect();
    assert_eq!(minutes, [5, 30, 30]);
    assert_eq!(task.steps[0].verify[0].run, "test -e tokens");
    assert!(matches!(&task.steps[2].action, Action::Prompt { text, .. } if text == "Write the endpoint.\n"));
    assert!(!task.allow_empty, "an agent is at work");
    let bare = spec(&project, "base-two");
    assert_eq!((bare.steps.len(), bare.steps[0].id.as_str(), bare.allow_empty), (1, "base-two.only", true));
}

#[test]
fn each_bad_project_is_refused_with_its_code_and_no_other() {
    let mut seen = BTreeSet::new();
    for dir in fixtures("bad") {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let code = format!("drover::{}", name.split("--").next().unwrap());
        let loaded = load(&dir, &Options::default());
        assert!(loaded.project.is_none(), "{name} was accepted");
        let codes: BTreeSet<&str> = loaded.report.codes().map(Code::as_str).collect();
        assert_eq!(codes, BTreeSet::from([code.as_str()]), "{name}:\n{}", loaded.report.short());
        seen.insert(code);
    }
    // No fixture can be committed; only a warning.
    let elsewhere = ["drover::unreadable", "drover::no_tasks", "drover::disabled_dependency"];
    let missing: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).filter(|c| !seen.contains(*c) && !elsewhere.contains(c)).collect();
    assert!(missing.is_empty(), "no bad fixture for {missing:?}");
}

#[test]
fn every_other_spelling_of_depends_on_is_told_the_right_one() {
    let json = fixture("bad/unknown_key--synonyms").report.json();
    let helps: Vec<&str> = json["diagnostics"].as_array().unwrap().iter().map(|d| d["help"].as_str().unwrap()).collect();
    assert_eq!(helps.len(), 8);
    assert!(helps.iter().all(|h| h.contains("`depends_on`")), "{helps:?}");
}

#[test]
fn a_misspelt_key_is_not_also_called_missing() {
    let task = "[[task]]\nid = \"a\"\ntitel = \"A\"\npromt = \"x\"\n";
    assert_eq!(Dir::new(&[("drover.toml", ""), ("drover/a.toml", task)]).codes(), [Code::UnknownKey; 2]);
}

#[test]
fn numbers_that_no_machine_holds_are_out_of_range() {
    for number in ["99999999999999999999", "-99999999999999999999", "0xffffffffffffffffff"] {
        let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &format!("{TASK}priority = {number}\n"))]);
        assert_eq!(dir.codes(), [Code::OutOfRange], "{number}");
    }
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", &format!("{TASK}priority = 0x1_0\n"))]);
    assert_eq!(spec(&dir.project(), "a").priority, 16);
}

#[test]
fn what_is_said_of_every_bad_project() {
    let mut out = String::new();
    for dir in fixtures("bad") {
        let report = load(&dir, &Options::default()).report;
        out.push_str(&format!("== {}\n{}\n", dir.file_name().unwrap().to_str().unwrap(), report.short()));
    }
    settings().bind(|| insta::assert_snapshot!("short", out));
}

#[test]
fn excerpts_show_every_file_that_has_to_do_with_an_error() {
    let mut out = String::new();
    for name in [
        "bad/duplicate_id",
        "bad/cycle",
        "bad/unknown_dependency",
        "bad/bad_substitution",
        "bad/toml_syntax",
        "bad/unknown_key",
        "bad/wrong_type",
    ] {
        out.push_str(&format!("== {name}\n{}\n", fixture(name).report.graphical(false, 100)));
    }
    settings().bind(|| insta::assert_snapshot!("graphical", out));
}

#[test]
fn a_report_as_json_names_code_file_and_place() {
    let json = fixture("bad/duplicate_id").report.json();
    assert_eq!((&json["errors"], &json["warnings"]), (&1.into(), &0.into()));
    let found = &json["diagnostics"][0];
    assert_eq!(found["code"], "drover::duplicate_id");
    assert_eq!(
        found["labels"][0],
        serde_json::json!({ "file": "drover/b.toml", "line": 2, "column": 6, "length": 3, "text": "and again here" })
    );
    assert_eq!(found["labels"][1]["file"], "drover/a.toml");
}

#[test]
fn a_file_with_broken_syntax_still_lends_its_ids() {
    let dir = Dir::new(&[
        ("drover.toml", ""),
        ("drover/a.toml", "[epic]\nid = \"e\"\n[[task]]\nid = \"a\"\ntitle = = \n"),
        ("drover/b.toml", "[[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"x\"\ndepends_on = [\"a\", \"epic:e\"]\n"),
    ]);
    let codes = dir.codes();
    assert!(codes.iter().all(|c| *c == Code::TomlSyntax) && !codes.is_empty(), "{codes:?}");
}

#[test]
fn names_are_not_called_unknown_while_the_configuration_is_broken() {
    let dir = Dir::new(&[("drover.toml", "[groups.db\n"), ("drover/a.toml", &format!("{TASK}groups = [\"x\"]\nagent = \"y\"\n"))]);
    assert_eq!(BTreeSet::from_iter(dir.codes()), BTreeSet::from([Code::TomlSyntax]));
}

#[test]
fn the_wanted_version_is_looked_at_before_anything_else() {
    for (wanted, unmet) in [(">=99", true), ("=0.0.1", true), (">=0.1", false), ("*", false)] {
        let dir = Dir::new(&[("drover.toml", &format!("required_version = \"{wanted}\"\n")), ("drover/a.toml", TASK)]);
        assert_eq!(dir.codes() == [Code::VersionUnmet], unmet, "{wanted}");
    }
    let broken = Dir::new(&[("drover.toml", "required_version = \">=99\"\nnew = syntax\n")]);
    assert_eq!(broken.codes(), [Code::VersionUnmet]);
}

#[test]
fn task_files_are_found_as_git_sees_them() {
    let dir = Dir::new(&[
        ("drover.toml", ""),
        (".gitignore", "ignored/\n*.tmp.toml\n"),
        ("drover/b.toml", ""),
        ("drover/deep/er/a.toml", TASK),
        ("drover/ignored/x.toml", "nonsense"),
        ("drover/y.tmp.toml", "nonsense"),
        ("drover/.hidden/z.toml", ""),
        ("elsewhere/w.toml", "nonsense"),
        ("drover/notes.md", "nonsense"),
    ]);
    fs::create_dir(dir.path().join(".git")).unwrap();
    symlink(dir.path().join("elsewhere/w.toml"), dir.path().join("drover/link.toml")).unwrap();
    symlink(dir.path().join("elsewhere"), dir.path().join("drover/linked")).unwrap();
    assert_eq!(dir.project().files, 3);
}

#[test]
fn a_project_without_task_files_is_told_where_they_were_looked_for() {
    let dir = Dir::new(&[("drover.toml", "[project]\ntasks = [\"work/*.toml\"]\n"), ("drover/a.toml", TASK)]);
    let loaded = dir.load();
    assert!(loaded.project.is_some(), "nothing to do is not an error");
    assert_eq!((loaded.report.errors(), loaded.report.warnings()), (0, 1));
    assert!(
        loaded.report.short().starts_with("drover.toml:2:9: warning[drover::no_tasks]") && loaded.report.short().contains("work/*.toml")
    );
    dir.write(".gitignore", b"work/\n");
    dir.write("work/a.toml", TASK.as_bytes());
    fs::create_dir(dir.path().join(".git")).unwrap();
    assert!(dir.load().report.graphical(false, 100).contains("1 matching file ignored by git"));
}

#[test]
fn the_root_is_the_nearest_directory_upwards_that_has_a_configuration() {
    let dir = Dir::new(&[("drover.toml", ""), ("a/b/c.txt", "")]);
    let root = fs::canonicalize(dir.path()).unwrap();
    assert_eq!(find_root(&dir.path().join("a/b")), Some(root.clone()));
    assert_eq!(find_root(dir.path()), Some(root));
    assert_eq!(find_root(&dir.path().join("no/such")), None);
    let empty = Dir::new(&[]);
    assert_eq!(empty.codes(), [Code::MissingFile]);
    assert!(empty.load().report.short().starts_with("drover.toml:1:1: error[drover::missing_file]: `drover.toml` cannot be read"));
}

#[test]
fn another_configuration_can_be_named() {
    let dir = Dir::new(&[("drover.toml", "broken"), ("drover/ci.toml", "[run]\nworkers = 9\n"), ("drover/a.toml", TASK)]);
    let options = Options { config: Some(dir.path().join("drover/ci.toml")), ..Options::default() };
    let loaded = load(dir.path(), &options);
    let project = loaded.project.unwrap_or_else(|| panic!("{}", loaded.report.short()));
    assert_eq!((project.policy.workers, project.files), (9, 1));
}

#[test]
fn a_prompt_file_must_be_a_text_inside_the_project() {
    let task = "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt_file = \"p.md\"\n";
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", task)]);
    let other = Dir::new(&[("secret.md", "secret")]);
    let prompt = dir.path().join("drover/p.md");
    assert_eq!(dir.codes(), [Code::MissingFile]);
    symlink(other.path().join("secret.md"), &prompt).unwrap();
    assert_eq!(dir.codes(), [Code::MissingFile]);
    assert!(dir.load().report.short().contains("leads out of the project"));
    fs::remove_file(&prompt).unwrap();
    fs::create_dir(&prompt).unwrap();
    assert_eq!(dir.codes(), [Code::Unreadable]);
    fs::remove_dir(&prompt).unwrap();
    for (bytes, code) in [(&b"\xff"[..], Code::Unreadable), (&[b'x'; (1 << 20) + 1], Code::Unreadable), (b" \n", Code::OutOfRange)] {
        dir.write("drover/p.md", bytes);
        assert_eq!(dir.codes(), [code]);
    }
    dir.write("drover/p.md", b"${{ nope }}");
    assert!(dir.load().report.short().starts_with("drover/p.md:1:1: error[drover::bad_substitution]"));
    dir.write("drover/p.md", b"fine");
    assert!(dir.codes().is_empty());
    dir.write("drover/a.toml", task.replace("p.md", "../drover/./p.md").as_bytes());
    assert!(dir.codes().is_empty(), "a path that stays inside was refused");
}

#[test]
fn an_epics_name_cannot_be_used_where_there_is_no_epic() {
    let task = "[[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"echo ${{ epic.id }}\"\n";
    let dir = Dir::new(&[("drover.toml", ""), ("drover/a.toml", task)]);
    assert_eq!(dir.codes(), [Code::BadSubstitution]);
    dir.write("drover/a.toml", format!("[epic]\nid = \"e\"\ntitle = \"E\"\n{task}").as_bytes());
    assert!(dir.codes().is_empty());
}

#[test]
fn the_definition_of_a_task_is_what_its_digest_is_of() {
    let digest = |task: &str| spec(&Dir::new(&[("drover.toml", "[groups.g]"), ("drover/a.toml", task)]).project(), "a").digest;
    let plain = digest(TASK);
    assert_eq!(plain, digest(&format!("# c\n{TASK}priority = 3\ngroups = [\"g\"]\nverify = [\"x\"]\ntimeout = \"1h\"\n")));
    assert_ne!(plain, digest(&TASK.replace("\"true\"", "\"false\"")));
    assert_ne!(plain, digest(&TASK.replace("\"A\"", "\"B\"")));
}

#[test]
fn what_is_filled_in_nowhere_is_refused_and_an_escape_is_taken_away() {
    let dir = Dir::new(&[("drover.toml", "[defaults.env]\nPORT = \"${{ port }}\"\n"), ("drover/a.toml", TASK)]);
    let said = dir.load().report.short();
    assert!(said.contains("`${{ port }}` is not filled in in `env`"), "{said}");
    dir.write("drover.toml", b"");
    for (key, code) in [
        ("paths = [\"src/${{ task.id }}/**\"]", Some(Code::BadSubstitution)),
        ("inputs = [\"${{ nothing }}\"]", Some(Code::BadSubstitution)),
        ("env = { A = \"${{ open\" }", Some(Code::BadSubstitution)),
        ("[[task.subtask]]\nid = \"s\"\ntitle = \"${{ task.id }}\"\nrun = \"true\"", Some(Code::BadSubstitution)),
        ("env = { A = \"$${{ port }}\" }", None),
    ] {
        dir.write("drover/a.toml", format!("{TASK}{key}\n").as_bytes());
        assert_eq!(dir.codes(), code.into_iter().collect::<Vec<_>>(), "{key}");
    }
    let text = "[[task]]\nid = \"a\"\ntitle = \"Use $${{ github.ref }} in ${{ matrix.x }}\"\nrun = \"true\"\nmatrix = { x = [\"b\"] }\n";
    dir.write("drover/a.toml", text.as_bytes());
    assert_eq!(spec(&dir.project(), "a.b").title, "Use ${{ github.ref }} in b");
}

#[test]
fn what_is_wrong_with_an_epics_dependency_is_said_once_and_not_for_each_task() {
    let tasks: String = ["a", "b", "c"].map(|id| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nrun = \"true\"\n")).concat();
    for wrong in ["epic:nobody", "nobody"] {
        let epic = format!("[epic]\nid = \"e\"\ntitle = \"E\"\ndepends_on = [\"{wrong}\"]\n{tasks}");
        assert_eq!(Dir::new(&[("drover.toml", ""), ("drover/e.toml", &epic)]).codes(), [Code::UnknownDependency], "{wrong}");
    }
}

#[test]
fn what_is_moved_to_a_matrix_is_told_to_name_one_of_its_tasks() {
    let text = "[[task]]\nid = \"a\"\ntitle = \"A\"\nrun = \"true\"\nmatrix = { x = [\"b\"] }\n[[moved]]\nfrom = \"old\"\nto = \"a\"\n";
    let said = Dir::new(&[("drover.toml", ""), ("drover/a.toml", text)]).load().report.graphical(false, 200);
    assert!(said.contains("stands for several tasks") && said.contains("such as `a.b`"), "{said}");
}

#[test]
fn a_fallback_has_to_be_declared_and_must_not_lead_back() {
    let codes = |agents: &str| {
        let dir = Dir::new(&[("drover.toml", agents), ("drover/a.toml", TASK)]);
        let codes = dir.codes();
        (codes, dir)
    };
    let command = "kind = \"command\"\ncommand = [\"x\"]\n";
    let (found, dir) = codes(&format!("[agents.a]\n{command}fallback = \"b\"\n[agents.b]\n{command}fallback = \"claude\"\n"));
    assert!(found.is_empty(), "{found:?}");
    let names = |agent: &AgentSpec| agent.in_turn().map(|a| a.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&dir.project().agents["a"]), ["a", "b", "claude"]);
    assert_eq!(codes(&format!("[agents.a]\n{command}fallback = \"nobody\"\n")).0, [Code::UnknownAgent]);
    assert_eq!(codes(&format!("[agents.a]\n{command}fallback = \"a\"\n")).0, [Code::KeyConflict]);
    let circle =
        format!("[agents.a]\n{command}fallback = \"b\"\n[agents.b]\n{command}fallback = \"a\"\n[agents.c]\n{command}fallback = \"a\"\n");
    assert_eq!(codes(&circle).0, [Code::KeyConflict, Code::KeyConflict]);
    assert_eq!(codes("[agents.a]\nkind = \"codex\"\nfallback_model = \"m\"\n").0, [Code::KeyConflict]);
    assert!(codes("[agents.claude]\nkind = \"claude-code\"\nfallback_model = \"sonnet\"\n").0.is_empty());
}

#[test]
fn a_scaffolded_project_loads_and_nothing_is_overwritten() {
    let requests = [
        Request { name: "My \"Shop\"".into(), target: Some("release/1.0".into()), agents: vec!["claude".into(), "codex".into()] },
        Request { agents: vec!["codex".into(), "gemini".into()], ..Request::default() },
        Request::default(),
    ];
    for request in requests {
        let dir = Dir::new(&[]);
        let wrote = scaffold::write(dir.path(), &request).unwrap();
        assert_eq!(wrote, [Outcome::Wrote("drover.toml".into()), Outcome::Wrote("drover/example.toml".into())]);
        let loaded = dir.load();
        assert!(loaded.report.is_empty(), "{}", loaded.report.short());
        assert_eq!(loaded.project.unwrap().target, request.target);
        dir.write("drover.toml", b"mine");
        let again = scaffold::write(dir.path(), &request).unwrap();
        assert_eq!(again, [Outcome::Left("drover.toml".into()), Outcome::Left("drover/example.toml".into())]);
        assert_eq!(fs::read(dir.path().join("drover.toml")).unwrap(), b"mine");
    }
    let linked = Dir::new(&[]);
    let other = Dir::new(&[]);
    symlink(other.path(), linked.path().join("drover")).unwrap();
    assert!(scaffold::write(linked.path(), &Request::default()).is_err());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn thousands_of_tasks_are_read_and_linked() {
    let dir = Dir::new(&[("drover.toml", "[groups.g]\n")]);
    for file in 0..500 {
        let mut text = format!("[epic]\nid = \"e{file}\"\ntitle = \"E\"\n");
        for task in 0..10 {
            let n = file * 10 + task;
            let on = if n == 0 { String::new() } else { format!("\"t{}\"", n - 1) };
            text.push_str(&format!("[[task]]\nid = \"t{n}\"\ntitle = \"T\"\nprompt = \"p\"\ngroups = [\"g\"]\ndepends_on = [{on}]\n"));
        }
        dir.write(&format!("drover/{file:03}.toml"), text.as_bytes());
    }
    assert_eq!(dir.project().graph.tasks().len(), 5000);
}
