//! Agents that give git commands to run, or break the repository: what Drover makes of it.

use std::fs;
use std::path::Path;

use crate::fixture::{CONFIG, Fixture, program, repo};

pub fn task(id: &str, line: &str) -> String {
    format!("[[task]]\nid = \"{id}\"\ntitle = \"T {id}\"\nprompt = '''$ {line}'''\nretry = {{ max_attempts = 1 }}\n")
}

fn after(id: &str, needs: &str, line: &str) -> String {
    task(id, line) + &format!("depends_on = [\"{needs}\"]\n")
}

fn with(tasks: &str) -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks")
}

/// A shell command that leaves a trace where it was run.
fn trap(it: &Fixture, name: &str) -> String {
    let script = it.outside(name);
    program(&script, format!("#!/bin/sh\necho run >>{}.ran\ncat\n", script.display()));
    script.display().to_string()
}

fn sprung(trap: &str) -> bool {
    Path::new(&format!("{trap}.ran")).exists()
}

#[test]
fn a_filter_that_an_agent_sets_up_is_never_run_by_drover_and_stops_landing_until_accepted() {
    let it = repo();
    let evil = trap(&it, "evil");
    let line = format!(
        "git config filter.x.clean {evil}; git config filter.x.smudge {evil}; git config filter.x.required true; echo '* filter=x' >.gitattributes; echo a >a"
    );
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &(task("a", &line) + &after("b", "a", "echo b >b"))).commit("tasks");
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("filter.x.clean") && ran.out.contains("--accept-git-config"), "{}", ran.out);
    assert!(ran.err.contains("nothing more lands. Under way: a"), "{}", ran.err);
    assert!(!sprung(&evil), "an agent's command was run");
    assert_eq!(it.landed(), [""; 0]);
    let status = it.drover(&["status"]).expect(0);
    assert!(status.out.contains("Landing is stopped") && status.out.contains("filter.x.smudge"), "{}", status.out);
    assert_eq!(it.drover(&["status", "--format", "json"]).json()["git_changes"].as_array().unwrap().len(), 2);
    for args in [&["apply"][..], &["run"], &["resume"]] {
        let refused = it.drover(args).expect(3);
        assert!(refused.err.contains("filter.x.clean") && refused.err.contains("--accept-git-config"), "{}", refused.err);
    }
    assert!(!sprung(&evil), "an agent's command was run");
    it.git(&["config", "--remove-section", "filter.x"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
    assert!(!sprung(&evil));
    assert_eq!(it.read("a"), "a\n");
}

#[test]
fn a_hook_setting_as_husky_makes_it_is_accepted_once_and_for_all() {
    let it = with(
        &(task("a", "git config core.hooksPath .husky/_; echo a >a") + &after("b", "a", "git config core.hooksPath .husky/_; echo b >b")),
    );
    let ran = it.drover(&["apply"]).expect(5);
    assert!(ran.out.contains("core.hookspath = .husky/_ (new)") && ran.out.contains("husky"), "{}", ran.out);
    it.drover(&["apply", "--accept-git-config"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
}

#[test]
fn whatever_git_would_run_or_obey_stops_landing_by_name() {
    let hook = "h=\"$(git rev-parse --git-common-dir)/hooks\"; mkdir -p \"$h\"; printf '#!/bin/sh\\n' >\"$h/post-merge\"; chmod +x \"$h/post-merge\"";
    for (trick, named) in [
        ("git config core.fsmonitor evil", "core.fsmonitor"),
        ("git config merge.x.driver evil", "merge.x.driver"),
        ("git config credential.helper '!evil'", "credential.helper"),
        ("git config alias.st '!evil'", "alias.st"),
        ("git config core.bare true", "core.bare"),
        ("git config core.worktree /tmp", "core.worktree"),
        ("git config include.path /nonexistent", "include.path"),
        ("git config url.ext::evil.insteadOf https://", "url.ext::evil.insteadof"),
        ("git config --global filter.x.clean evil", "filter.x.clean"),
        (hook, "hooks/post-merge"),
        ("d=$(git rev-parse --git-common-dir); mkdir -p $d/info; echo '* -text' >$d/info/attributes", "info/attributes"),
        ("git rev-parse HEAD >$(git rev-parse --git-common-dir)/shallow", "shallow"),
    ] {
        let it = with(&task("a", &format!("echo a >a; {trick}")));
        let before = it.git(&["rev-parse", "main"]);
        let ran = it.drover(&["apply"]).expect(5);
        assert!(ran.out.contains(named), "{trick}\n{}", ran.out);
        // Read without git, which may be misled by now.
        let main = fs::read_to_string(it.path(".git/refs/heads/main")).unwrap();
        assert_eq!(main.trim(), before, "{trick}");
        assert!(!it.path("a").exists(), "{trick}");
    }
}

#[test]
fn what_decides_which_files_count_stops_landing_and_nothing_lands_without_what_was_checked() {
    for (trick, named, undo) in [
        ("d=$(git rev-parse --git-common-dir); mkdir -p $d/info; echo '*.txt' >>$d/info/exclude", "info/exclude", "rm .git/info/exclude"),
        ("git config core.excludesFile $TMPDIR/x; echo '*.txt' >$TMPDIR/x", "core.excludesfile", "git config --unset core.excludesFile"),
        ("mkdir -p ~/.config/git; echo '*.txt' >~/.config/git/ignore", ".config/git/ignore (new)", "rm ~/.config/git/ignore"),
        ("git config core.fileMode false", "core.filemode = false", "git config core.fileMode true"),
        ("git config core.autocrlf input", "core.autocrlf = input", "git config --unset core.autocrlf"),
        ("git config --unset core.eol", "core.eol (removed)", "git config core.eol lf"),
    ] {
        let once = format!("[ -e $TMPDIR/once ] || {{ touch $TMPDIR/once; {trick}; }}; echo a >a.txt");
        let tasks = task("a", &once).replace("max_attempts = 1", "max_attempts = 2, delay = \"10ms\"")
            + &after("b", "a", r"printf 'b\r\nb\n' >b.txt; chmod +x b.txt")
            + "verify = [\"test -e b.txt\"]\n";
        let it = with(&tasks);
        it.git(&["config", "core.eol", "lf"]);
        let before = it.git(&["rev-parse", "main"]);
        let ran = it.drover(&["apply"]).expect(5);
        assert!(ran.out.contains(named), "{trick}\n{}", ran.out);
        assert_eq!(it.git(&["rev-parse", "main"]), before, "{trick}");
        assert!(it.drover(&["apply"]).expect(3).err.contains(named), "{trick}");
        assert!(it.command("/bin/sh").args(["-ec", undo]).status().unwrap().success());
        it.drover(&["apply"]).expect(0);
        assert_eq!(it.landed(), ["a", "b"], "{trick}");
        assert_eq!(it.git(&["cat-file", "-p", "main:a.txt"]), "a", "{trick}");
        assert_eq!(it.git(&["cat-file", "-p", "main:b.txt"]), "b\r\nb", "{trick}");
        assert!(it.git(&["ls-tree", "main", "b.txt"]).starts_with("100755"), "{trick}");
    }
}

#[test]
fn a_plain_setting_and_a_person_between_two_runs_stop_nothing() {
    let line = "git config user.nickname x; git remote add up /nowhere; git config alias.st status; git config core.fileMode yes; \
                git config core.autocrlf no; echo '# note' >>$(git rev-parse --git-common-dir)/info/exclude; echo a >a";
    let it = with(&(task("a", line) + &task("b", "echo b >b")));
    fs::create_dir_all(it.path(".git/info")).unwrap();
    it.drover(&["apply", "a"]).expect(0);
    it.git(&["config", "core.hooksPath", ".githooks"]);
    it.git(&["config", "core.safecrlf", "false"]);
    fs::write(it.path(".git/info/exclude"), "*.mine\n").unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.landed(), ["a", "b"]);
}

#[test]
fn what_a_crash_left_unaccepted_is_refused_at_the_next_start() {
    let it = repo();
    let gate = it.outside("gate");
    let line = format!("git config core.fsmonitor evil; echo a >a; while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", &line)).commit("tasks");
    let mut child = it.spawn(&["apply"]);
    crate::fixture::until("the setting", || it.read(".git/config").contains("fsmonitor"));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&gate, "").unwrap();
    let refused = it.drover(&["resume"]).expect(3);
    assert!(refused.err.contains("core.fsmonitor = evil (new)"), "{}", refused.err);
    it.git(&["config", "--unset", "core.fsmonitor"]);
    it.drover(&["resume"]).expect(0);
    assert_eq!(it.landed(), ["a"]);
}

#[test]
fn a_filter_of_the_user_that_an_agent_changes_or_removes_stays_what_it_was_to_drover() {
    for change in ["git config filter.up.clean 'tr a-z x'", "git config --remove-section filter.up"] {
        let it = repo().file("drover.toml", CONFIG).file(".gitattributes", "*.up filter=up\n");
        let line = format!("{change}; echo more >g.up");
        let it = it.file("drover/t.toml", &task("a", &line));
        it.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
        it.git(&["config", "filter.up.smudge", "tr A-Z a-z"]);
        let it = it.commit("tasks");
        it.drover(&["apply"]);
        let kept = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/*-s0"]);
        assert_eq!(it.git(&["cat-file", "-p", &format!("{kept}:g.up")]), "MORE", "{change}");
    }
}

/// The main checkout, as an agent finds it.
const MAIN: &str = "main=$(dirname \"$(git rev-parse --path-format=absolute --git-common-dir)\")";

#[test]
fn what_agents_do_to_refs_and_their_own_worktree_neither_loses_nor_lands_anything_else() {
    let line = |trick: &str| format!("echo a >a; {MAIN}; {trick}");
    for trick in [
        "git branch mine; git tag t; git branch -m mine yours; git branch -D yours; git tag -d t",
        "git checkout -q -b side; git commit -q --allow-empty -m x; git checkout -q --detach; git branch -D side",
        "git pack-refs --all; git update-ref -d refs/drover/published/main",
        "git symbolic-ref HEAD refs/heads/nowhere",
        "git gc -q --prune=now",
        "rm -rf \"$(git rev-parse --git-path logs)\"; git reflog expire --expire=now --all",
        "git for-each-ref --format='delete %(refname)' refs/drover/attempts | git update-ref --stdin",
        "git update-ref -d refs/drover/integration/main; git pack-refs --all",
        "git notes add -m n; git stash list; git worktree prune; git worktree lock . || true",
        "git -C $main checkout -q -b users",
        "git -C $main commit -q --allow-empty -m person",
        "mkdir sub; cd sub; git init -q ../../elsewhere; cd ..; rmdir sub",
        "echo untracked >$main/notes.txt",
    ] {
        let it = with(&(task("before", "echo before >before") + &after("a", "before", &line(trick)) + &after("z", "a", "echo z >z")));
        it.drover(&["apply"]).expect(0);
        assert_eq!(it.git(&["cat-file", "-p", "main:a"]), "a", "{trick}");
        let files = it.git(&["ls-tree", "-r", "--name-only", "main"]);
        assert_eq!(files, "a\nbefore\ndrover.toml\ndrover/t.toml\nz", "{trick}");
        assert_eq!(it.statuses().iter().filter(|(_, s)| s == "completed").count(), 3, "{trick}");
    }
}

#[test]
fn a_target_that_an_agent_deletes_or_rewinds_is_told_and_nothing_that_landed_is_lost() {
    for trick in [
        "git update-ref -d refs/heads/main",
        "git update-ref refs/heads/main main~1",
        "git pack-refs --all; rm \"$(git rev-parse --git-common-dir)/packed-refs\"",
    ] {
        let it = with(&(task("a", "echo a >a") + &after("b", "a", &format!("echo b >b; {trick}"))));
        let ran = it.drover(&["apply"]);
        assert!(matches!(ran.code, Some(1 | 5)), "{trick}\n{}{}", ran.out, ran.err);
        assert!(ran.out.contains("main"), "{trick}\n{}", ran.out);
        let landed = it.git(&["log", "--format=%(trailers:key=Drover-Task,valueonly)", "refs/drover/integration/main"]);
        assert!(landed.contains("a@"), "{trick}\n{landed}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_target_that_an_agent_moves_ahead_stops_landing_until_that_is_taken_back_or_accepted() {
    let make = "echo bad >bad; git add bad; git commit -qm bad";
    for (trick, branch) in [
        (format!("git checkout -q main; {make}"), "dev"),
        (format!("{make}; git update-ref refs/heads/main HEAD"), "main"),
        (format!("{make}; git push -q . HEAD:main"), "dev"),
    ] {
        for keep in [false, true] {
            let once = format!("[ -e $TMPDIR/once ] || {{ touch $TMPDIR/once; {trick}; }}; echo a >a");
            let it = with(
                &(task("a", &once) + "verify = [\"test ! -e bad\"]\n" + &task("b", "echo b >b").replace("prompt", "priority = -1\nprompt")),
            );
            if branch == "dev" {
                it.git(&["checkout", "-q", "-b", "dev"]);
            }
            let before = it.git(&["rev-parse", "main"]);
            let ran = it.drover(&["apply", "--workers", "1"]);
            assert!(matches!(ran.code, Some(1 | 5)), "{trick}\n{}{}", ran.out, ran.err);
            assert!(ran.out.contains("`main` holds") && ran.out.contains("made by task `a`"), "{trick}\n{}{}", ran.out, ran.err);
            assert_eq!(it.git(&["rev-parse", "refs/drover/integration/main"]), before, "{trick}");
            let refused = it.drover(&["apply"]).expect(3);
            let back = refused.err.split('`').find(|part| part.starts_with("git update-ref")).unwrap();
            if keep {
                it.drover(&["apply", "--accept-git-config", "--rerun", "a"]);
                assert_eq!(it.git(&["cat-file", "-p", "main:bad"]), "bad", "{trick}");
            } else {
                assert!(it.command("/bin/sh").args(["-ec", back]).status().unwrap().success());
                assert_eq!(it.git(&["rev-parse", "main"]), before, "{trick}");
                it.drover(&["apply", "--rerun", "a"]).expect(0);
                assert_eq!(it.git(&["ls-tree", "--name-only", "main", "a", "b", "bad"]), "a\nb", "{trick}");
            }
            assert_eq!(it.git(&["cat-file", "-p", "refs/drover/integration/main:b"]), "b", "{trick}");
        }
    }
}

#[test]
fn a_persons_commit_that_an_agent_takes_up_is_a_persons() {
    let line = format!("echo a >a; git add a; git commit -qm a; {MAIN}; git -C $main commit -q --allow-empty -m person; git merge -q main");
    let it = with(&(task("a", &line) + &after("b", "a", "echo b >b")));
    it.drover(&["apply"]).expect(0);
    assert!(it.git(&["log", "--format=%s", "main"]).contains("person"));
}

#[test]
fn an_agent_that_breaks_the_worktrees_of_others_fails_those_attempts_and_no_work() {
    for trick in [
        "for w in ../*; do [ \"$w\" -ef . ] || rm -rf \"$w\"; done",
        "for w in $main/.git/worktrees/*; do [ \"$w\" -ef \"$(git rev-parse --absolute-git-dir)\" ] || rm -rf \"$w\"; done",
    ] {
        let it = repo();
        let (gate, up) = (it.outside("gate"), it.outside("up"));
        let victim = format!("echo v >v; touch {1}; until [ -e {0} ]; do sleep 0.02; done", gate.display(), up.display());
        let villain = format!("until [ -e {1} ]; do sleep 0.02; done; {MAIN}; {trick}; echo a >a; touch {0}", gate.display(), up.display());
        let tasks = task("victim", &victim).replace("max_attempts = 1", "max_attempts = 3, delay = \"10ms\"") + &task("villain", &villain);
        let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks");
        it.drover(&["apply"]).expect(0);
        assert_eq!((it.read("v"), it.read("a")), ("v\n".into(), "a\n".into()), "{trick}");
    }
}

#[test]
fn a_repository_whose_objects_an_agent_deletes_stops_the_run_and_keeps_the_files() {
    let it = with(&task("a", &format!("{MAIN}; echo work >a; rm -rf $main/.git/objects")));
    let ran = it.drover(&["apply"]).expect(70);
    assert!(ran.err.contains("objects were deleted"), "{}", ran.err);
    let found = it.command("find").args([it.home().to_str().unwrap(), "-name", "a", "-path", "*drover*"]).output().unwrap();
    let place = String::from_utf8(found.stdout).unwrap();
    assert_eq!(fs::read_to_string(place.trim()).unwrap(), "work\n");
}

#[test]
fn a_users_checkout_that_an_agent_disturbs_waits_and_is_not_repaired_over_anything() {
    for (trick, undo) in [
        ("printf garbage >$main/.git/index", "rm .git/index; git reset -q"),
        ("echo mine >$main/a; git -C $main add a", "git rm -qf a"),
        ("touch $main/.git/index.lock", "rm .git/index.lock"),
        ("echo ref: refs/heads/main >$main/.git/MERGE_HEAD", "rm .git/MERGE_HEAD"),
    ] {
        let it = with(&task("a", &format!("{MAIN}; echo a >a; {trick}")));
        let ran = it.drover(&["apply"]).expect(5);
        assert!(ran.out.contains("waiting") || ran.out.contains("not yet published"), "{trick}\n{}", ran.out);
        let undone = it.command("/bin/sh").args(["-ec", undo]).status().unwrap();
        assert!(undone.success());
        it.drover(&["apply"]).expect(0);
        assert_eq!((it.landed(), it.read("a")), (vec!["a".to_owned()], "a\n".into()), "{trick}");
    }
}

#[test]
fn a_configuration_that_an_agent_breaks_stops_the_run_and_keeps_the_files() {
    let it = with(&task("a", &format!("{MAIN}; echo work >a; cp $main/.git/config $main/.git/saved; echo '[broken' >>$main/.git/config")));
    let ran = it.drover(&["apply"]);
    assert!(matches!(ran.code, Some(1 | 5)) && ran.out.contains("cannot be read"), "{:?}\n{}{}", ran.code, ran.out, ran.err);
    let found = it.command("find").args([it.home().to_str().unwrap(), "-name", "a", "-path", "*drover*"]).output().unwrap();
    assert!(!found.stdout.is_empty(), "{}", ran.out);
    it.drover(&["apply"]).expect(78);
    fs::rename(it.path(".git/saved"), it.path(".git/config")).unwrap();
    it.drover(&["apply", "--rerun", "a"]).expect(1);
}
