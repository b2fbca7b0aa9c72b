//! Verbs that write task files: `drover add`, `drover epic add`, `drover mv`, `drover edit`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::files::fixtures;
use crate::fixture::{CONFIG, Fixture, Ran, program, ran, repo};
use crate::live::terminal;

const TASKS: &str = "# Mine.\n[[task]] # the first\nid   = 'a'\ntitle = \"A\" \nrun = \"true\"\n\n# the end";

fn project() -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/tasks.toml", TASKS)
}

/// Every file below the root but git's own, with what it holds.
fn files(it: &Fixture) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".git") {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => walk(&entry.path(), out),
                kind if kind.is_file() => out.push((entry.path(), fs::read(entry.path()).unwrap())),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(&it.root(), &mut out);
    out.sort();
    out
}

/// A copy of a project of the fixtures.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn a_task_is_added_to_the_file_and_every_other_byte_stays() {
    let it = project();
    let added = it.drover(&["add", "b", "--title", "Say \"b\"", "--run", "true", "--after", "a", "--label", "x", "--label", "y"]);
    assert_eq!(added.expect(0).out, "drover/tasks.toml:9\n");
    let table = "\n\n[[task]]\nid = \"b\"\ntitle = 'Say \"b\"'\ndepends_on = [\"a\"]\nlabels = [\"x\", \"y\"]\nrun = \"true\"\n";
    assert_eq!(it.read("drover/tasks.toml"), format!("{TASKS}{table}"));
    it.drover(&["validate"]).expect(0);
    assert_eq!(it.git(&["status", "--porcelain"]), "?? drover.toml\n?? drover/", "git was touched");
}

#[test]
fn a_prompt_comes_from_an_argument_a_file_or_standard_input() {
    let it = project().file("notes/p.md", "Do it.");
    fs::create_dir(it.path("sub")).unwrap();
    it.drover(&["add", "b", "--title", "B", "--prompt", "- One\n- \"\"\"two\"\"\" \\ \n"]).expect(0);
    it.drover(&["-C", "sub", "add", "c", "--title", "C", "--prompt-file", "../notes/p.md"]).expect(0);
    assert!(it.read("drover/tasks.toml").contains("prompt_file = \"../notes/p.md\""));
    let mut child = it.drover_command(&["add", "d", "--title", "D", "--prompt", "-", "--agent", "sh"]);
    child.stdin(fs::File::open(it.path("notes/p.md")).unwrap());
    assert!(child.output().unwrap().status.success());
    let table: toml::Table = it.read("drover/tasks.toml").parse().unwrap();
    let prompt = |n: usize| table["task"][n]["prompt"].as_str();
    assert_eq!((prompt(1), prompt(3)), (Some("- One\n- \"\"\"two\"\"\" \\ \n"), Some("Do it.")));
    it.drover(&["add", "e", "--title", "E"]).expect(64);
    it.drover(&["add", "e", "--title", "E", "--prompt", "x", "--run", "true"]).expect(64);
}

#[test]
fn for_every_good_project_only_the_added_table_is_new() {
    for from in fixtures("good") {
        let it = repo();
        copy(&from, &it.root());
        let before = files(&it);
        let tasks = before.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "toml") && !path.ends_with("drover.toml"));
        for (n, (path, old)) in tasks.enumerate() {
            for (crlf, id) in [(false, format!("new-{n}")), (true, format!("crlf-{n}"))] {
                let old = if crlf { String::from_utf8(old.clone()).unwrap().replace('\n', "\r\n").into_bytes() } else { old.clone() };
                fs::write(path, &old).unwrap();
                let args = ["add", &id, "--title", "T", "--run", "a\nb", "--file", path.to_str().unwrap(), "--format", "json"];
                let patch = it.drover(&[&args[..], &["--dry-run"]].concat()).expect(0).json();
                assert_eq!(fs::read(path).unwrap(), old);
                let said = it.drover(&args).expect(0).json();
                let new = fs::read(path).unwrap();
                assert!(new.starts_with(&old), "{}", path.display());
                let text = String::from_utf8(new.clone()).unwrap();
                assert!(text.lines().nth(said["line"].as_u64().unwrap() as usize - 1).is_some_and(|l| l == "[[task]]"), "{text}");
                assert_eq!(crlf, !text.replace("\r\n", "").contains('\n'), "{text:?}");
                // The patch is what was written.
                fs::write(path, &old).unwrap();
                it.write("patch", patch["diff"].as_str().unwrap());
                it.git(&["apply", "patch"]);
                assert_eq!(fs::read(path).unwrap(), new);
                fs::remove_file(it.path("patch")).unwrap();
            }
            fs::write(path, old).unwrap();
        }
        assert_eq!(files(&it), before);
    }
}

#[test]
fn what_does_not_read_well_with_the_whole_project_is_refused_and_nothing_is_written() {
    let it = project();
    let before = files(&it);
    for (args, code) in [
        (vec!["a", "--run", "true"], "drover::duplicate_id"),
        (vec!["Bad id", "--run", "true"], "drover::bad_id"),
        (vec!["b", "--run", "true", "--after", "nobody"], "drover::unknown_dependency"),
        (vec!["b", "--run", "true", "--after", "epic:no"], "drover::unknown_dependency"),
        (vec!["b", "--prompt", "x", "--agent", "nobody"], "drover::unknown_agent"),
        (vec!["b", "--prompt-file", "none.md"], "drover::missing_file"),
        (vec!["b", "--prompt", "${{ nothing }}"], "drover::bad_substitution"),
        (vec!["b\"\n[evil]\n", "--run", "true"], "drover::bad_id"),
    ] {
        let ran = it.drover(&[&["add", "--title", "T", "--format", "json"][..], &args].concat()).expect(78);
        assert!(ran.out.contains(code), "{args:?}: {}", ran.out);
        assert!(ran.json()["error"]["message"].as_str().unwrap().contains("nothing was written"), "{}", ran.out);
        assert_eq!(files(&it), before, "{args:?}");
    }
    let shown = it.drover(&["add", "a", "--title", "T", "--run", "true"]).expect(78).err;
    assert!(shown.contains("drover/tasks.toml:10") && shown.contains("used twice"), "{shown}");
    let unknown = it.drover(&["add", "b", "--title", "T", "--run", "true", "--epic", "shop"]).expect(4);
    assert!(unknown.err.contains("no file has an epic `shop`"), "{}", unknown.err);
    it.write("drover/broken.toml", "[[task]\n");
    let broken = it.drover(&["add", "b", "--title", "T", "--run", "true"]).expect(78);
    assert!(broken.err.contains("drover/broken.toml") && broken.err.contains("nothing was written"), "{}", broken.err);
    assert_eq!(it.read("drover/tasks.toml"), TASKS);
}

#[test]
fn an_epic_gets_a_file_and_its_tasks_go_there() {
    let it = repo().file("drover.toml", CONFIG);
    assert_eq!(it.drover(&["epic", "add", "shop", "--title", "Shop"]).expect(0).out, "drover/shop.toml:4\n");
    assert!(it.read("drover/shop.toml").contains("#:schema"));
    let added = it.drover(&["add", "cart", "--title", "Cart", "--run", "true", "--epic", "shop"]).expect(0);
    assert_eq!(added.out, "drover/shop.toml:8\n");
    assert_eq!(it.drover(&["add", "free", "--title", "F", "--run", "true", "--after", "epic:shop"]).expect(0).out, "drover/tasks.toml:4\n");
    let near = it.drover(&["add", "b", "--title", "B", "--run", "true", "--epic", "shopp"]).expect(4);
    assert!(near.err.contains("did you mean `shop`?"), "{}", near.err);
    // A second one has no place in the same file, and the first no second file.
    for args in [&["other", "--file", "drover/shop.toml"][..], &["shop"], &["shop", "--file", "drover/again.toml"]] {
        let refused = it.drover(&[&["epic", "add", "--title", "O"][..], args].concat()).expect(78).err;
        assert!(refused.contains("drover/shop.toml holds the epic `shop` already; nothing was written"), "{refused}");
    }
    it.drover(&["epic", "add", "../x", "--title", "X"]).expect(78);
    assert!(!it.path("drover/again.toml").exists() && !it.path("x.toml").exists());
    // What stands without an epic stays without one.
    it.write("drover/tasks.toml", "[epic]\nid = \"late\"\ntitle = \"Late\"\n");
    fs::remove_file(it.path("drover/shop.toml")).unwrap();
    let refused = it.drover(&["add", "b", "--title", "B", "--run", "true"]).expect(64);
    assert!(refused.err.contains("--epic late"), "{}", refused.err);
}

#[test]
fn a_file_that_would_not_be_read_or_is_not_the_projects_is_refused() {
    let it = project().file(".gitignore", "private/\n");
    symlink(it.outside(""), it.path("drover/out")).unwrap();
    symlink(it.path("drover/tasks.toml"), it.path("drover/link.toml")).unwrap();
    it.write("../tmp/t.toml", "");
    let before = files(&it);
    for file in [
        "notes.toml",
        "drover.toml",
        "drover/private/t.toml",
        "../tmp/t.toml",
        "drover/out/t.toml",
        "drover/link.toml",
        "drover",
        "drover/tasks.toml/t.toml",
        ".git/drover/t.toml",
        "drover/.git/t.toml",
    ] {
        let refused = it.drover(&["add", "b", "--title", "B", "--run", "true", "--file", file]);
        assert!(matches!(refused.code, Some(64 | 78)), "{file}: {refused:?}");
        assert!(refused.err.starts_with("error: ") || refused.err.contains("\nerror: "), "{file}: {refused:?}");
        assert_eq!(files(&it), before, "{file}");
    }
    assert_eq!(fs::read(it.outside("t.toml")).unwrap(), b"");
    fs::set_permissions(it.path("drover/tasks.toml"), fs::Permissions::from_mode(0o444)).unwrap();
    let refused = it.drover(&["add", "b", "--title", "B", "--run", "true"]).expect(78);
    assert!(refused.err.contains("read-only"), "{}", refused.err);
    assert_eq!(files(&it), before);
}

#[track_caller]
fn has_nothing_to_do(it: &Fixture) {
    let tip = it.git(&["rev-parse", "main"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main"]), tip, "something was done again");
}

#[test]
fn a_renamed_task_has_its_new_id_everywhere_and_nothing_is_done_again() {
    let first = "# One.\r\n[[task]]\r\nid = 'old' # here\r\ntitle = \"old\"\r\nrun = \"echo old >old\"\r\n";
    let second = "[epic]\nid = \"e\"\ntitle = \"E\"\ndepends_on = [ 'old' , \"base\" ] # old\n\
                  [[task]]\nid = \"old.next\"\ntitle = \"N\"\nrun = \"echo n >n\"\n\
                  [[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"echo b >b\"\ndepends_on = [\n  \"\"\"\\u006fld\"\"\", # escaped\n]\n";
    let third = "task = [{ id = \"base\", title = \"B\", run = \"echo base >base\" }, { id = \"c\", title = \"C\", run = \"echo c >c\", depends_on = [\"old\"] }]";
    let it = repo().file("drover.toml", CONFIG).file("drover/1.toml", first);
    // A task below another cannot wait for it.
    let second = &second.replace("old.next", "other");
    let it = it.file("drover/2.toml", second).file("drover/3.toml", third).file("drover/4.toml", "# Nothing here: old\n").commit("tasks");
    it.drover(&["apply"]).expect(0);
    let patch = it.drover(&["mv", "old", "new", "--dry-run"]).expect(0).out;
    let moved = it.drover(&["mv", "old", "new"]).expect(0);
    assert_eq!(moved.out, "wrote drover/1.toml\nwrote drover/2.toml\nwrote drover/3.toml\n");
    let after = files(&it);
    let block = "\r\n[[moved]]\r\nfrom = \"old\"\r\nto = \"new\"\r\n";
    assert_eq!(it.read("drover/1.toml"), first.replace("'old'", "'new'") + block);
    assert_eq!(it.read("drover/2.toml"), second.replace("'old'", "'new'").replace("\"\"\"\\u006fld\"\"\"", "\"new\""));
    assert_eq!(it.read("drover/3.toml"), third.replace("\"old\"", "\"new\""));
    it.git(&["checkout", "-q", "drover"]);
    fs::write(it.outside("patch"), patch).unwrap();
    it.git(&["apply", "../tmp/patch"]);
    assert_eq!(files(&it), after);
    // Once more makes a chain.
    it.drover(&["mv", "new", "newer"]).expect(0);
    let it = it.commit("renamed");
    has_nothing_to_do(&it);
    assert!(it.statuses().contains(&("newer".to_owned(), "completed".to_owned())), "{:?}", it.statuses());
}

#[test]
fn a_renamed_matrix_keeps_the_record_of_each_of_its_tasks() {
    let tasks = "[[task]]\nid = \"port\"\ntitle = \"P\"\nrun = \"echo ${{ matrix.on }} >${{ matrix.on }}\"\nmatrix = { on = [\"api\", \"web\"] }\n\
                 [[task]]\nid = \"port.own\"\ntitle = \"O\"\nrun = \"echo o >o\"\n\
                 [[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"echo b >b\"\ndepends_on = [\"port.web\", \"port.own\"]\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks");
    it.drover(&["apply"]).expect(0);
    it.drover(&["mv", "port", "carry"]).expect(0);
    let text = it.read("drover/t.toml");
    assert!(
        text.contains("depends_on = [\"carry.web\", \"port.own\"]") && text.contains("from = \"port.api\"\nto = \"carry.api\""),
        "{text}"
    );
    assert!(!text.contains("from = \"port\"\n") && !text.contains("from = \"port.own\""), "{text}");
    let it = it.commit("renamed");
    has_nothing_to_do(&it);
    let variant = it.drover(&["mv", "carry.api", "x"]).expect(4);
    assert!(variant.err.contains("comes of a matrix"), "{}", variant.err);
}

#[test]
fn a_name_that_is_taken_unfit_or_unknown_renames_nothing() {
    let it = project();
    it.drover(&["add", "b", "--title", "B", "--run", "true", "--after", "a"]).expect(0);
    let before = files(&it);
    for (from, to, code) in [("a", "b", 78), ("a", "A!", 64), ("a", "a", 64), ("aa", "c", 4), ("nobody", "c", 4), ("\u{1b}", "c", 4)] {
        let refused = it.drover(&["mv", from, to]).expect(code);
        assert!(!refused.err.contains('\u{1b}'), "{}", refused.err);
        assert_eq!(files(&it), before, "{from} {to}");
    }
    it.drover(&["mv", "a", "c"]).expect(0);
    let back = it.drover(&["mv", "c", "a"]).expect(78);
    assert!(back.err.contains("moved") && back.err.contains("nothing was written"), "{}", back.err);
}

/// Edits on a terminal, with an editor that does this: the line is `$1`, the file `$2`.
fn edited(it: &Fixture, id: &str, script: &str) -> Ran {
    let editor = it.outside("my editor");
    program(&editor, format!("#!/bin/sh\necho \"$1 ${{2##*/}}\" >$TMPDIR/told\n{script}\n"));
    let (ours, _shown) = terminal();
    let mut command = it.drover_command(&["edit", id]);
    command.env("EDITOR", format!("'{}'", editor.display())).env("VISUAL", " ").stdin(ours);
    ran(&command.output().unwrap())
}

#[test]
fn an_editor_is_opened_where_a_task_stands_and_the_files_are_checked_after_it() {
    let told = |it: &Fixture| fs::read_to_string(it.outside("told")).unwrap();
    let it = project();
    it.drover(&["add", "b", "--title", "B", "--run", "true"]).expect(0);
    let out = edited(&it, "b", "echo '# mine' >>\"$2\"").expect(0).out;
    assert_eq!((out.as_str(), told(&it).as_str()), ("drover/tasks.toml: valid\n", "+10 tasks.toml\n"));
    assert!(it.read("drover/tasks.toml").ends_with("# mine\n"));
    // A mistake is shown, and can be mended in the same way.
    let broken = edited(&it, "a", "echo 'x = [' >>\"$2\"").expect(78);
    assert!(broken.err.contains("toml_syntax"), "{}", broken.err);
    edited(&it, "a", "sed -i '$d' \"$2\"").expect(0);
    assert_eq!(told(&it), "+3 tasks.toml\n");
    assert!(edited(&it, "a", "exit 3").expect(78).err.contains("failed"));
    assert!(edited(&it, "nobody", "").expect(4).err.contains("no file has a task `nobody`"));
    assert!(it.drover(&["edit", "a"]).expect(78).err.contains("Set VISUAL or EDITOR"));
    let none = it.env("EDITOR", "true").drover(&["edit", "a"]).expect(78);
    assert!(none.err.contains("needs a terminal") && none.err.contains("drover/tasks.toml:3"), "{}", none.err);
}

#[test]
fn what_a_person_writes_while_an_addition_is_made_is_kept() {
    // Reading the prompt from standard input leaves time between reading the files and writing one.
    let it = project();
    let mut command = it.drover_command(&["add", "b", "--title", "B", "--prompt", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mine = format!("{TASKS}\n# meanwhile\n");
    // Whole at every instant, as editors save: it may be about to be read.
    fs::write(it.outside("mine"), &mine).unwrap();
    fs::rename(it.outside("mine"), it.path("drover/tasks.toml")).unwrap();
    child.stdin.take().unwrap().write_all(b"Do it.").unwrap();
    let added = ran(&child.wait_with_output().unwrap()).expect(0);
    assert!(it.read("drover/tasks.toml").starts_with(&mine), "{added:?}");
}

#[test]
fn tasks_that_are_added_at_once_wait_for_one_another_and_all_are_written() {
    let it = repo().file("drover.toml", CONFIG).commit("Files");
    let ids: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let add = |id: &String| it.spawn(&["add", id, "--title", "T", "--run", "true"]);
    let mut children: Vec<_> = ids.iter().map(add).collect();
    children.push(it.spawn(&["epic", "add", "shop", "--title", "Shop"]));
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let text = it.read("drover/tasks.toml");
    ids.iter().for_each(|id| assert_eq!(text.matches(&format!("id = \"{id}\"\n")).count(), 1, "{text}"));
    // Who types keeps nobody waiting.
    let mut typing = it.drover_command(&["add", "typed", "--title", "T", "--prompt", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    it.drover(&["add", "meanwhile", "--title", "T", "--run", "true"]).expect(0);
    typing.stdin.take().unwrap().write_all(b"Do it.\n").unwrap();
    assert!(typing.wait().unwrap().success());
}
