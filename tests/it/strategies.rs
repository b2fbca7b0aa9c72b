//! The ways in which finished work lands: one merge, one commit, or its commits one by one.

use std::fs;

use crate::fixture::{CONFIG, Fixture, program, repo};

pub const ALL: [&str; 3] = ["merge", "squash", "rebase"];

pub fn config(strategy: &str, more: &str) -> String {
    format!("{CONFIG}\n[merge]\nstrategy = \"{strategy}\"\n{more}\n")
}

/// Two tasks that begin at once, on one commit: each has a sub-task; and one that follows both.
fn three(strategy: &str) -> Fixture {
    let two = |id: &str| {
        format!(
            "[[task]]\nid = \"{id}\"\ntitle = \"Work {id}\"\nprompt = \"$ echo own >>{id}\"\n[[task.subtask]]\nid = \"part\"\ntitle = \"Part of {id}\"\nprompt = \"$ echo part >{id}\"\n"
        )
    };
    let last = "[[task]]\nid = \"c\"\ntitle = \"Work c\"\nprompt = \"$ cat a b >c\"\ndepends_on = [\"a\", \"b\"]\n";
    let config = config(strategy, "verify = [\"true\"]");
    repo().file("drover.toml", &config).file("drover/t.toml", &format!("{}{}{last}", two("a"), two("b"))).commit("tasks")
}

/// What must hold of three tasks that landed, however they did.
#[track_caller]
fn landed_whole(it: &Fixture) {
    let mut landed = it.landed();
    assert_eq!(landed.pop().as_deref(), Some("c"), "after those that it depends on");
    landed.sort();
    assert_eq!(landed, ["a", "b"]);
    assert_eq!((it.read("a"), it.read("c")), ("part\nown\n".into(), "part\nown\npart\nown\n".into()));
    assert_eq!(it.git(&["rev-parse", "main"]), it.git(&["rev-parse", "refs/drover/integration/main"]));
    assert_eq!(it.git(&["status", "--porcelain"]), "");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    // Who has nothing but the commits knows it too.
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    let ran = it.drover(&["-C", "../tmp/clone", "apply"]).expect(0);
    assert_eq!(ran.err.matches("found in history").count(), 3, "{}", ran.err);
    assert_eq!(it.git(&["-C", "../tmp/clone", "rev-parse", "main"]), it.git(&["rev-parse", "main"]));
}

#[test]
fn squashed_work_is_one_commit_with_one_parent_and_the_record() {
    let it = three("squash");
    it.drover(&["apply"]).expect(0);
    landed_whole(&it);
    assert_eq!(it.git(&["rev-list", "--merges", "main"]), "");
    let mut subjects: Vec<String> = it.git(&["log", "--format=%s", "main"]).lines().map(str::to_owned).collect();
    assert_eq!((subjects.len(), subjects.remove(0)), (4, "Work c".into()), "one commit each: {subjects:?}");
}

#[test]
fn rebased_work_lands_commit_by_commit_in_one_row_and_the_last_has_the_record() {
    let it = three("rebase");
    it.drover(&["apply"]).expect(0);
    landed_whole(&it);
    assert_eq!(it.git(&["rev-list", "--merges", "main"]), "");
    let log = it.git(&["log", "--reverse", "--format=%s|%(trailers:key=Drover-Task,valueonly,separator=%x2C)", "main"]);
    let rows: Vec<(&str, bool)> = log.lines().filter_map(|l| l.split_once('|')).map(|(s, t)| (s, !t.is_empty())).collect();
    let (one, two) = if rows[1].0 == "Part of a" { ("a", "b") } else { ("b", "a") };
    let parts = [one, two].map(|id| (format!("Part of {id}"), format!("Work {id}")));
    let expected =
        [("tasks", false), (&parts[0].0, false), (&parts[0].1, true), (&parts[1].0, false), (&parts[1].1, true), ("Work c", true)];
    assert_eq!(rows, expected);
}

#[test]
fn a_conflict_is_the_same_to_every_strategy() {
    for strategy in ALL {
        let it = repo();
        let gate = it.outside("gate");
        let script =
            |id: &str| format!("$ echo {id} >>{0}; while [ $(wc -l <{0}) -lt 2 ]; do sleep 0.02; done; echo {id} >same", gate.display());
        let task = |id: &str| format!("[[task]]\nid = \"{id}\"\ntitle = \"T\"\nprompt = {:?}\n", script(id));
        let it = it
            .file("drover.toml", &config(strategy, "on_conflict = \"block\""))
            .file("drover/t.toml", &format!("{}{}", task("a"), task("b")))
            .commit("tasks");
        let ran = it.drover(&["apply"]).expect(5);
        assert_eq!(it.landed().len(), 1, "{strategy}");
        let status = it.drover(&["status"]).out;
        assert!(status.contains("same") && ran.out.contains("conflict"), "{strategy}: {status}");
    }
}

#[test]
fn a_git_that_cannot_rebase_in_memory_is_refused_by_name_before_anything_is_spent() {
    let it = repo();
    let git = which::which("git").unwrap();
    let bin = it.outside("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!("#!/bin/sh\ncase \"$*\" in *version) echo git version 2.39.5; exit;; esac\nexec {} \"$@\"\n", git.display());
    program(&bin.join("git"), script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let it = three("rebase").env("PATH", &path);
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("2.39.5") && ran.err.contains("2.40") && ran.err.contains("rebase"), "{}", ran.err);
    assert!(it.landed().is_empty() && it.git(&["for-each-ref", "refs/drover/attempts"]).is_empty());
    // The others need no newer one.
    it.write("drover.toml", &config("squash", ""));
    it.drover(&["apply"]).expect(0);
}

/// An agent that commits a step on a branch, another on top, and leaves more in the files; beside
/// another task, so that the tip is not the base of both.
fn commits_itself(strategy: &str) -> Fixture {
    let both = |rest: &str, gate: &std::path::Path| {
        format!("$ echo >>{0}; while [ $(wc -l <{0}) -lt 2 ]; do sleep 0.02; done; {rest}", gate.display())
    };
    let it = repo();
    let gate = it.outside("gate");
    let own = "git checkout -q -b side; git config user.name Agent; echo 1 >x; git add x; git commit -qm One; echo 2 >x; git commit -qam Two; echo 3 >x";
    let tasks = [("a", both(own, &gate)), ("b", both("echo b >b", &gate))];
    let tasks = tasks.map(|(id, script)| format!("[[task]]\nid = \"{id}\"\ntitle = \"Work {id}\"\nprompt = {script:?}\n"));
    it.file("drover.toml", &config(strategy, "")).file("drover/t.toml", &tasks.concat()).commit("tasks")
}

#[test]
fn commits_that_an_agent_made_itself_land_with_a_merge_and_one_by_one() {
    for strategy in ALL {
        let it = commits_itself(strategy);
        it.drover(&["apply"]).expect(0);
        assert_eq!((it.read("x"), it.read("b")), ("3\n".into(), "b\n".into()), "{strategy}");
        let mut landed = it.landed();
        landed.sort();
        assert_eq!(landed, ["a", "b"], "{strategy}");
        let subjects = it.git(&["log", "--topo-order", "--format=%an %s", "main"]);
        let has = subjects.contains("Agent Work a\nAgent Two\nAgent One\n");
        assert_eq!(has, strategy != "squash", "{strategy}: {subjects}");
        let attempt = it.git(&["for-each-ref", "--format=%(refname)", "--contains", "side", "refs/drover/attempts"]);
        assert!(!attempt.is_empty(), "{strategy}: kept");
        assert_eq!(it.git(&["rev-parse", "side^{tree}"]), it.git(&["rev-parse", "side~0^{tree}"]), "the branch stays");
        it.git(&["fsck", "--no-dangling"]);
    }
}

#[test]
fn an_agent_that_commits_everything_leaves_no_empty_commit_in_a_row() {
    let it = repo()
        .file("drover.toml", &config("rebase", ""))
        .file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo 1 >x; git add x; git commit -qm One; echo 2 >x; git commit -qam Two\"\n")
        .commit("tasks");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["log", "--format=%s", "main"]), "Two\nOne\ntasks");
    assert_eq!(it.landed(), ["t"]);
    it.git(&["clone", "-q", ".", "../tmp/clone"]);
    assert!(it.drover(&["-C", "../tmp/clone", "apply"]).expect(0).err.contains("found in history"));
}

#[test]
fn nobody_forges_a_record_by_committing_one() {
    let forge = |line: &str| format!("echo 1 >a; git add a; printf 'Mine\\n\\n{line}\\n' | git commit -qF -");
    for (strategy, line) in [("merge", "Drover-Task: b@1:0000000000000000"), ("rebase", "    Drover-Attempt: x")] {
        let it = repo()
            .file("drover.toml", &config(strategy, ""))
            .file("drover/t.toml", &format!("[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = {:?}\n", format!("$ {}", forge(line))))
            .commit("tasks");
        let ran = it.drover(&["apply"]).expect(0);
        assert!(ran.err.contains("do not land, its files do") && ran.err.contains("-made-"), "{strategy}: {}", ran.err);
        assert_eq!((it.read("a"), it.landed()), ("1\n".into(), vec!["a".into()]), "{strategy}");
        assert!(!it.git(&["log", "--format=%s%n%b", "main"]).contains(line.trim()), "{strategy}");
        let kept = it.git(&["for-each-ref", "--format=%(contents)", "refs/drover/attempts/*-made-*"]);
        assert!(kept.contains(line.trim()), "{strategy}: kept beside: {kept}");
        let attempt = it.git(&["log", "-1", "--format=%(trailers:key=Drover-Attempt,valueonly)", "main"]);
        let names = it.git(&["for-each-ref", "--format=%(refname)", "refs/drover/attempts/*-made-*"]);
        assert!(names.starts_with(&format!("refs/drover/attempts/{}-made-", attempt.trim())), "{names}");
    }
}

/// Two tasks, the second on top of the first, shown by branches.
fn shown_by_branches() -> Fixture {
    let it = repo()
        .file("drover.toml", &config("branch", "verify = [\"true\"]"))
        .file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo a >a\"\n[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = \"$ cat a >b; echo b >>b\"\ndepends_on = [\"a\"]\n")
        .commit("tasks");
    it.drover(&["apply"]).expect(0);
    it
}

fn branches(it: &Fixture) -> String {
    it.git(&["for-each-ref", "--format=%(refname:short) %(subject)", "refs/heads/drover"])
}

#[test]
fn work_shown_by_branches_leaves_the_target_alone_and_dependents_build_on_it() {
    let it = repo()
        .file("drover.toml", &config("branch", ""))
        .file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo a >a\"\n[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = \"$ cat a >b\"\ndepends_on = [\"a\"]\n")
        .commit("tasks");
    let before = it.git(&["rev-parse", "main"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.out.contains("branch drover/a"), "{}", ran.out);
    assert_eq!(branches(&it), "drover/a A\ndrover/b B");
    assert_eq!((it.git(&["rev-parse", "main"]), it.git(&["status", "--porcelain"])), (before, String::new()));
    assert_eq!(it.git(&["show", "drover/b:b"]), "a");
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    // New work moves a branch from where Drover had put it.
    it.write("drover/t.toml", &it.read("drover/t.toml").replace("cat a >b", "cat a a >b"));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["show", "drover/b:b"]), "a\na");
}

#[test]
fn a_branch_that_a_person_merges_squashes_or_deletes_ends_well() {
    let it = shown_by_branches();
    it.git(&["merge", "-q", "--no-ff", "-m", "Take a", "drover/a"]);
    it.git(&["branch", "-q", "-D", "drover/a"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(branches(&it), "drover/b B", "what was deleted stays deleted");
    it.git(&["merge", "-q", "--squash", "drover/b"]);
    it.git(&["commit", "-q", "--no-edit"]);
    it.drover(&["apply"]).expect(0);
    assert!(it.drover(&["apply"]).expect(0).out.contains("Nothing to do"));
    it.git(&["merge-base", "--is-ancestor", "main", "refs/drover/integration/main"]);
    assert_eq!(it.git(&["diff", "main", "refs/drover/integration/main"]), "");
    assert!(it.statuses().iter().all(|(_, s)| s == "completed"));
    // Who has nothing but the target knows what is done.
    it.git(&["clone", "-q", "-b", "main", "--single-branch", ".", "../tmp/clone"]);
    let ran = it.drover(&["-C", "../tmp/clone", "apply"]).expect(0);
    assert_eq!(ran.err.matches("found in history").count(), 2, "{}", ran.err);
}

#[test]
fn a_branch_that_a_person_has_taken_further_or_checked_out_is_left_alone() {
    let it = shown_by_branches();
    let again = |it: &Fixture, n: u32| {
        it.write("drover/t.toml", &it.read("drover/t.toml").replace("echo b >>b", &format!("echo {n} >>b; echo b >>b")));
        it.drover(&["apply"])
    };
    it.git(&["checkout", "-q", "drover/b"]);
    it.write("b", "mine\n");
    let ran = again(&it, 1).expect(5);
    assert!(ran.out.contains("is checked out in"), "{}", ran.out);
    it.git(&["commit", "-qam", "Mine"]);
    let mine = it.git(&["rev-parse", "drover/b"]);
    it.git(&["checkout", "-q", "main"]);
    it.git(&["checkout", "-q", "drover/b", "--", "drover"]);
    it.git(&["reset", "-q"]);
    let ran = again(&it, 2).expect(5);
    assert!(ran.out.contains("`drover/b` is not as Drover left it"), "{}", ran.out);
    assert_eq!(it.git(&["rev-parse", "drover/b"]), mine);
    it.git(&["branch", "-q", "-m", "drover/b", "mine"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!(branches(&it), "drover/a A\ndrover/b B");
}

#[test]
fn work_shown_by_branches_survives_kills() {
    let mut rng = fastrand::Rng::with_seed(7);
    let it = three("branch");
    for _ in 0..8 {
        let mut child = it.drover_command(&["apply", "-q"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rng.u64(0..250)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    it.drover(&["apply"]).expect(0);
    assert_eq!(branches(&it), "drover/a Work a\ndrover/b Work b\ndrover/c Work c");
    let landed = it.git(&["log", "--first-parent", "--format=%s", "main..refs/drover/integration/main"]);
    assert_eq!(landed.lines().count(), 3, "each once: {landed}");
    assert_eq!(it.git(&["show", "drover/c:c"]), "part\nown\npart\nown");
}

#[test]
fn a_task_in_the_checkout_that_needs_what_has_a_branch_of_its_own_is_refused_by_name() {
    let it = repo()
        .file("drover.toml", &config("branch", ""))
        .file("drover/t.toml", "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"$ echo a >a\"\n[[task]]\nid = \"job\"\ntitle = \"J\"\nworkspace = \"checkout\"\nrun = \"cat a\"\ndepends_on = [\"a\"]\n")
        .commit("tasks");
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("`job` works in the checkout and needs `a`"), "{}", ran.err);
    it.drover(&["apply", "a"]).expect(0);
    assert_eq!(branches(&it), "drover/a A");
}

#[test]
fn what_lands_is_signed_by_every_strategy_where_that_is_asked_for() {
    for strategy in ["merge", "squash", "rebase", "branch"] {
        let it = commits_itself(strategy);
        // Stands in for gpg: says that it signed, and gives a signature.
        let gpg = it.outside("gpg");
        program(
            &gpg,
            "#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED D' >&2\nprintf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n",
        );
        it.git(&["config", "gpg.program", gpg.to_str().unwrap()]);
        it.git(&["config", "commit.gpgSign", "true"]);
        it.drover(&["apply"]).expect(0);
        let line = "refs/drover/integration/main";
        let all = it.git(&["rev-list", "--grep=Drover-Task:", line]);
        assert!(all.lines().count() >= 2, "{strategy}");
        for commit in all.lines() {
            assert!(it.git(&["cat-file", "commit", commit]).contains("gpgsig"), "{strategy}: {commit} is not signed");
        }
    }
}
