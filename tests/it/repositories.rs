//! Kinds of repositories, end to end: each is worked in, or refused by name before anything is
//! spent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{CONFIG, Fixture, Ran, program, ran, repo};
use crate::tamper::task;

/// A repository that a script is run in before the tasks are committed.
fn made_by(script: &str, tasks: &str) -> Fixture {
    let it = repo();
    sh(&it, &it.root(), script);
    it.file("drover.toml", CONFIG).file("drover/t.toml", tasks).commit("tasks")
}

#[track_caller]
fn sh(it: &Fixture, dir: &Path, script: &str) -> String {
    let output = it.command("/bin/sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    let ran = ran(&output);
    assert_eq!(ran.code, Some(0), "{script}\n{}{}", ran.out, ran.err);
    ran.out.trim_end().to_owned()
}

/// The program, started in another place than the fixture's own repository.
fn drover_in(it: &Fixture, dir: &Path, args: &[&str]) -> Ran {
    ran(&it.drover_command(args).current_dir(dir).output().unwrap())
}

/// `a` landed, reached the checkout, and left nothing else behind in it.
#[track_caller]
fn landed_in(it: &Fixture, dir: &Path) {
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "a\n");
    assert_eq!(sh(it, dir, "git status --porcelain"), "");
}

/// A submodule `lib` with a nested one `deep`, both with a remote beside the repository.
fn with_submodules(line: &str) -> Fixture {
    let it = repo();
    let base = it.outside("");
    let script = "git config --global protocol.file.allow always; git config --global user.name Ada; git config --global user.email a@b
        git init -q -b main deep.src; git -C deep.src commit -q --allow-empty -m d; echo deep >deep.src/d; git -C deep.src add -A; git -C deep.src commit -qm d
        git init -q -b main lib.src; echo lib >lib.src/l; git -C lib.src add -A; git -C lib.src commit -qm l
        git -C lib.src submodule --quiet add ../deep.src deep; git -C lib.src commit -qm deep
        git clone -q --bare lib.src lib.git; git clone -q --bare deep.src deep.git";
    sh(&it, &base, script);
    sh(
        &it,
        &it.root(),
        &format!("git submodule --quiet add {0}/lib.git lib; git submodule --quiet update --init --recursive", base.display()),
    );
    // Nothing of what follows may need the network, which stands for the remotes.
    sh(&it, &base, "git config --global protocol.file.allow never");
    it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", line)).commit("tasks")
}

#[test]
fn submodules_are_there_in_every_worktree_without_a_network() {
    let line = "cat lib/l lib/deep/d >a.txt; git -C lib status --porcelain >>a.txt; git -C lib remote get-url origin >>a.txt; echo a >a";
    let it = with_submodules(line);
    let config = it.read(".git/config");
    it.drover(&["apply"]).expect(0);
    let remote = format!("{}/lib.git", it.outside("").display());
    assert_eq!(it.read("a.txt"), format!("lib\ndeep\n{remote}\n"));
    assert_eq!(it.read(".git/config"), config);
    landed_in(&it, &it.root());
    assert!(!it.path(".git/worktrees").exists() || fs::read_dir(it.path(".git/worktrees")).unwrap().count() == 0);
    let saved = fs::read_dir(it.state_dir().join("indexes")).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    assert_eq!(saved, [""; 0], "what goes with a worktree is gone");
}

#[test]
fn a_commit_in_a_submodule_that_only_the_worktree_has_fails_by_name_and_is_kept() {
    let it = with_submodules("echo new >lib/l; git -C lib commit -qam new; echo a >a");
    it.write("drover/t.toml", &(task("a", "echo new >lib/l; git -C lib commit -qam new; echo a >a")));
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("submodule lib points at") && ran.out.contains("push it there first"), "{}", ran.out);
    let store = it.path(".git/modules/lib");
    let kept = sh(&it, &store, "git --git-dir=. for-each-ref --format='%(refname)' refs/drover");
    assert_eq!(sh(&it, &store, &format!("git --git-dir=. cat-file -p {kept}:l")), "new");
    assert_eq!(it.git(&["-C", "lib", "status", "--porcelain"]), "", "the user's own submodule is untouched");
}

#[test]
fn files_changed_in_a_submodule_and_not_committed_fail_by_name_and_are_kept() {
    let it = with_submodules("echo more >lib/deep/d; echo x >lib/new; echo a >a");
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("submodule lib has changes that were not committed in it"), "{}", ran.out);
    assert!(ran.out.contains("submodule lib/deep has changes"), "{}", ran.out);
    let kept = |store: &str, path: &str| {
        let script = format!("git --git-dir=. cat-file -p $(git --git-dir=. for-each-ref --format='%(refname)' refs/drover):{path}");
        sh(&it, &it.path(store), &script)
    };
    assert_eq!(kept(".git/modules/lib", "new"), "x");
    assert_eq!(kept(".git/modules/lib/modules/deep", "d"), "more");
}

#[test]
fn a_submodule_moved_to_a_commit_of_its_remote_lands() {
    let line = "git -C lib -c protocol.file.allow=always fetch -q; git -C lib checkout -q origin/main; echo a >a";
    let it = with_submodules(line);
    let verify = "verify = [\"test \\\"$(cat lib/l)\\\" = newer\"]\n";
    it.write("drover/t.toml", &(task("a", line) + verify));
    sh(
        &it,
        &it.outside(""),
        "echo newer >lib.src/l; git -C lib.src commit -qam newer; git -C lib.src push -q ../lib.git main 2>/dev/null || git -c protocol.file.allow=always -C lib.src push -q ../lib.git main",
    );
    let newer = sh(&it, &it.outside("lib.src"), "git rev-parse HEAD");
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.git(&["rev-parse", "main:lib"]), newer);
    // The next worktree has it, from the store and not from the remote.
    it.write("drover/t.toml", &(task("a", line) + verify + &task("b", "cp lib/l b")));
    it.drover(&["apply"]).expect(0);
    assert_eq!(it.read("b"), "newer\n");
}

#[test]
fn what_an_agent_configures_in_a_submodule_is_never_run_by_drover() {
    let it = with_submodules(
        "git -C lib config filter.x.clean \"touch $PWD/../pwned; cat\"; git -C lib config core.fsmonitor \"touch $PWD/../pwned\"; echo '* filter=x' >lib/.gitattributes; touch lib/l; echo a >a",
    );
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("submodule lib has changes"), "{}", ran.out);
    let pwned = sh(&it, &it.home(), "find . -name pwned");
    assert_eq!(pwned, "");
}

#[test]
fn a_submodule_that_the_user_has_not_fetched_is_told_before_anything_is_spent() {
    let it = with_submodules("echo a >a");
    let elsewhere = "1234567890123456789012345678901234567890";
    it.git(&["update-index", "--cacheinfo", &format!("160000,{elsewhere},lib")]);
    it.git(&["commit", "-qm", "ahead"]);
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("git submodule update --init --recursive -- lib"), "{}", ran.out);
    assert!(!ran.err.contains("agent ended"), "{}", ran.err);
}

#[test]
fn attributes_for_line_ends_encodings_and_idents_hold_in_both_directions() {
    let script = "printf '*.txt text eol=crlf\\n*.u working-tree-encoding=UTF-16\\n*.c ident\\n' >.gitattributes
        printf 'one\\r\\n' >f.txt; printf 'hi\\n' | iconv -t UTF-16 >f.u; echo '/* $Id$ */' >f.c";
    let line = "printf 'two\\r\\n' >>f.txt; printf 'ho\\n' | iconv -t UTF-16 >f.u; echo x >>f.c; echo a >a";
    let it = made_by(script, &task("a", line));
    it.drover(&["apply"]).expect(0);
    let kept = |path: &str| it.git(&["cat-file", "-p", &format!("main:{path}")]);
    assert_eq!((kept("f.txt"), kept("f.u"), kept("f.c")), ("one\ntwo".into(), "ho".into(), "/* $Id$ */\nx".into()));
    assert_eq!(it.read("f.txt"), "one\r\ntwo\r\n");
    landed_in(&it, &it.root());
}

/// A filter as git-lfs is one: git holds a pointer, the content lies elsewhere.
const LARGE: &str = "mkdir -p ../tmp/large; cat >../tmp/clean <<'X'\n#!/bin/sh\nd=$(dirname $0)/large; cat >$d/in.$$; h=$(sha256sum <$d/in.$$ | cut -c1-64); mv $d/in.$$ $d/$h; echo \"large $h\"\nX
    cat >../tmp/smudge <<'X'\n#!/bin/sh\nread -r word h; exec cat $(dirname $0)/large/$h\nX
    chmod +x ../tmp/clean ../tmp/smudge; git config filter.large.clean $PWD/../tmp/clean; git config filter.large.smudge $PWD/../tmp/smudge
    git config filter.large.required true; echo '*.bin filter=large' >.gitattributes; echo content >f.bin";

#[test]
fn required_filters_keep_pointers_in_git_and_content_in_files() {
    let it = made_by(LARGE, &task("a", "test \"$(cat f.bin)\" = content; echo more >>f.bin; echo a >a"));
    it.drover(&["apply"]).expect(0);
    assert!(it.git(&["cat-file", "-p", "main:f.bin"]).starts_with("large "));
    assert_eq!(it.read("f.bin"), "content\nmore\n");
    landed_in(&it, &it.root());
}

#[test]
fn a_required_filter_that_cannot_run_is_told_before_anything_is_spent() {
    let it = made_by(LARGE, &task("a", "echo a >a"));
    it.git(&["config", "filter.large.smudge", "/nonexistent"]);
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("filter") && ran.out.contains("large"), "{}", ran.out);
    assert!(!ran.err.contains("agent ended"), "{}", ran.err);
}

#[test]
fn merge_drivers_of_the_configuration_merge_what_lands() {
    let it = repo();
    let up = |name: &str| it.outside(name).display().to_string();
    let line = |own: &str, other: &str| format!("echo {own} >>list; touch {}; until [ -e {} ]; do sleep 0.02; done", up(own), up(other));
    let tasks = task("a", &line("a", "b")) + &task("b", &line("b", "a"));
    sh(&it, &it.root(), "echo 'list merge=both' >.gitattributes; echo 0 >list; git config merge.both.driver 'cat %B >>%A'");
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &tasks).commit("tasks");
    it.drover(&["apply"]).expect(0);
    let list = it.read("list");
    assert!(list.contains('a') && list.contains('b') && !list.contains("<<<"), "{list}");
}

#[test]
fn hooks_of_the_user_are_not_run() {
    let it = repo();
    for hook in [
        "pre-commit",
        "commit-msg",
        "post-checkout",
        "post-merge",
        "pre-merge-commit",
        "reference-transaction",
        "post-index-change",
        "update",
    ] {
        program(&it.path(&format!(".git/hooks/{hook}")), "#!/bin/sh\necho $0 >>\"$HOME/ran\"\nexit 1\n");
    }
    let it = it.file("drover.toml", CONFIG).file("drover/t.toml", &task("a", "echo a >a"));
    it.git(&["-c", "core.hooksPath=/dev/null", "add", "-A"]);
    it.git(&["-c", "core.hooksPath=/dev/null", "commit", "-qm", "tasks"]);
    let _ = fs::remove_file(it.home().join("ran"));
    it.drover(&["apply"]).expect(0);
    let ran = fs::read_to_string(it.home().join("ran")).unwrap_or_default();
    assert!(it.path("a").exists() && ran.is_empty(), "{ran}");
}

#[test]
fn a_signing_key_that_is_missing_is_told_before_anything_is_spent() {
    let it = made_by("git config gpg.format ssh; git config user.signingKey /nonexistent.pub", &task("a", "echo a >a"));
    it.git(&["config", "commit.gpgSign", "true"]);
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("commit.gpgSign") && ran.err.contains("nonexistent"), "{}", ran.err);
}

#[test]
fn a_sparse_checkout_stays_sparse_and_worktrees_are_whole() {
    for index in ["--no-sparse-index", "--sparse-index"] {
        let it = made_by(
            "mkdir in out; echo 1 >in/f; echo 2 >out/f; echo 3 >out/g",
            &task("a", "cat out/f in/f >a.txt; echo new >out/f; echo a >a"),
        );
        it.git(&["sparse-checkout", "set", "--cone", index, "in", "drover"]);
        assert!(!it.path("out").exists());
        it.drover(&["apply"]).expect(0);
        assert_eq!(it.read("a.txt"), "2\n1\n");
        assert_eq!(it.git(&["cat-file", "-p", "main:out/f"]), "new");
        assert_eq!(it.git(&["cat-file", "-p", "main:out/g"]), "3");
        assert!(!it.path("out").exists(), "{index}");
        landed_in(&it, &it.root());
    }
}

#[test]
fn a_partial_clone_fetches_what_it_lacks() {
    for filter in ["blob:none", "tree:0"] {
        let it = made_by(
            "echo 1 >f; git add -A; git commit -qm one; echo 2 >f",
            &task("a", "git show HEAD~1:f >old; git show HEAD~1:f >>old; echo a >a"),
        );
        it.git(&["config", "uploadpack.allowFilter", "true"]);
        it.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let clone = it.outside("clone");
        sh(
            &it,
            &it.root(),
            &format!(
                "git clone -q --filter={filter} file://$PWD {0}; cd {0}; git config user.name A; git config user.email a@b",
                clone.display()
            ),
        );
        drover_in(&it, &clone, &["apply"]).expect(0);
        landed_in(&it, &clone);
        assert_eq!(fs::read_to_string(clone.join("old")).unwrap(), "1\n1\n");
    }
}

#[test]
fn object_names_and_refs_of_newer_kinds_are_refused_by_name() {
    let it = repo().commit("empty");
    for (option, named) in [("--object-format=sha256", "SHA-256"), ("--ref-format=reftable", "reftable")] {
        let dir = it.outside(named);
        sh(&it, &it.root(), &format!("git init -q {option} {0}; cp -r {1}/. {0}/ 2>/dev/null || true", dir.display(), "/nonexistent"));
        fs::write(dir.join("drover.toml"), CONFIG).unwrap();
        let refused = drover_in(&it, &dir, &["apply"]).expect(78);
        assert!(refused.err.contains(named), "{}", refused.err);
    }
}

#[test]
fn settings_and_forms_of_storage_change_nothing() {
    for script in [
        "git config core.splitIndex true; git update-index --split-index",
        "git update-index --untracked-cache; git config core.untrackedCache true",
        "git config core.fsmonitor false; git config index.version 4; git update-index --index-version 4",
        "git config feature.manyFiles true; git config index.skipHash true; git status >/dev/null",
        "git config core.autocrlf true",
        "git config core.autocrlf input; git config core.safecrlf true",
        "git config core.ignoreCase true; git config core.precomposeUnicode true",
        "git config core.symlinks false; git config core.fileMode false",
        "git config core.trustctime false; git config core.checkStat minimal",
        "git config extensions.worktreeConfig true; git config --worktree user.name W",
        "git config core.repositoryFormatVersion 1; git config extensions.preciousObjects true",
        "git repack -adbq; git multi-pack-index write; git commit-graph write; git pack-refs --all",
        "git replace HEAD $(git commit-tree -m replaced HEAD^{tree})",
        "git config core.sharedRepository group; git config core.logAllRefUpdates false; git config receive.denyCurrentBranch refuse",
        "git config merge.ff false; git config merge.conflictStyle diff3; git config pull.rebase true; git config core.quotePath false",
        "git config status.short true; git config color.ui always; git config diff.noprefix true; git config log.showSignature true; git config core.abbrev 4",
        "git config submodule.recurse true; git config fetch.recurseSubmodules true; git config push.default nothing",
        "git config user.useConfigOnly true; git config i18n.commitEncoding ISO-8859-1; git config commit.template /nonexistent",
    ] {
        let it = made_by("printf 'x\\r\\ny\\n' >mixed; ln -s mixed link; echo 1 >s.sh; chmod +x s.sh", &task("a", "echo a >a"));
        sh(&it, &it.root(), script);
        let before = sh(&it, &it.root(), "git status --porcelain");
        it.drover(&["apply"]).expect(0);
        assert_eq!(it.read("a").trim_end(), "a", "{script}");
        assert_eq!(sh(&it, &it.root(), "git status --porcelain"), before, "{script}");
        let changed = it.git(&["diff", "--no-renames", "--name-only", "main^1", "main"]);
        assert_eq!(changed, "a", "{script}");
    }
}

/// The repository somewhere else than it usually is.
#[test]
fn places_of_all_kinds_are_worked_in() {
    for (name, script) in [
        ("with space", "git clone -q $SRC 'with space'"),
        ("ünï-漢", "git clone -q $SRC 'ünï-漢'"),
        ("-dash", "git clone -q $SRC ./-dash"),
        ("quo\"te'$x", "git clone -q $SRC 'quo\"te'\"'\"'$x'"),
        ("shared", "git clone -q --shared $SRC shared"),
        ("apart", "git clone -q --separate-git-dir apart.git $SRC apart"),
        ("linked", "git clone -q $SRC other; git -C other checkout -q --detach; git -C other worktree add -q ../linked main"),
        ("outer/inner", "git init -q outer; git clone -q $SRC outer/inner"),
        ("super/sub", "git init -q super; git -C super -c protocol.file.allow=always submodule --quiet add $SRC sub"),
        ("real", "git clone -q $SRC elsewhere; ln -s elsewhere real"),
    ] {
        let it = made_by("true", &task("a", "echo a >a"));
        sh(
            &it,
            &it.outside(""),
            "git config --global user.name Ada; git config --global user.email a@b; git config --global advice.detachedHead false",
        );
        sh(&it, &it.outside(""), &format!("SRC={}; {script}", it.root().display()));
        let dir = it.outside(name);
        let ran = drover_in(&it, &dir, &["apply"]).expect(0);
        assert!(dir.join("a").exists(), "{name}\n{}{}", ran.out, ran.err);
        landed_in(&it, &dir);
        assert_eq!(it.landed(), [""; 0], "{name}: the repository it was cloned from has nothing of it");
    }
}

#[test]
fn a_path_with_a_line_break_is_refused_by_name() {
    let it = made_by("true", &task("a", "echo a >a"));
    let dir = it.outside("line\nbreak");
    let cloned = it.command("git").args(["clone", "-q"]).arg(it.root()).arg(&dir).output().unwrap();
    assert!(cloned.status.success());
    let refused = drover_in(&it, &dir, &["apply"]).expect(78);
    assert!(refused.err.contains("line break"), "{}", refused.err);
}

#[test]
fn history_with_grafts_is_refused_by_name() {
    let it = made_by("true", &task("a", "echo a >a"));
    let head = it.git(&["rev-parse", "HEAD"]);
    it.write(".git/info/grafts", &format!("{head}\n"));
    let refused = it.drover(&["apply"]).expect(78);
    assert!(refused.err.contains("grafts") && refused.err.contains("git replace"), "{}", refused.err);
}

#[test]
fn a_detached_checkout_is_left_where_it_is() {
    let it = made_by("true", &task("a", "echo a >a"));
    it.git(&["checkout", "-q", "--detach"]);
    let head = it.git(&["rev-parse", "HEAD"]);
    it.drover(&["apply"]).expect(0);
    assert_eq!((it.landed(), it.git(&["rev-parse", "HEAD"])), (vec!["a".to_owned()], head));
    assert!(!it.path("a").exists());
}

#[test]
fn the_files_of_a_repository_that_names_another_place_for_them_are_refused() {
    let it = made_by("true", &task("a", "echo a >a"));
    let elsewhere: PathBuf = it.outside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    it.git(&["config", "core.worktree", elsewhere.to_str().unwrap()]);
    let refused = it.drover(&["apply"]).expect(78);
    assert!(refused.err.contains("core.worktree"), "{}", refused.err);
}

#[test]
fn another_users_repository_is_worked_in_only_where_git_was_told_to_trust_it() {
    let it = made_by("true", &task("a", "echo a >a"));
    let given = Command::new("chown").args(["-R", "65534"]).arg(it.root()).status().unwrap();
    if !given.success() {
        eprintln!("SKIPPED: files cannot be given to another user here");
        return;
    }
    let refused = it.drover(&["apply"]).expect(78);
    assert!(refused.err.contains("safe.directory"), "{}", refused.err);
    let trust = it.command("git").args(["config", "--global", "--add", "safe.directory", "*"]).status().unwrap();
    assert!(trust.success());
    it.drover(&["apply"]).expect(0);
    landed_in(&it, &it.root());
}

#[test]
fn a_git_directory_that_cannot_be_written_is_told_before_anything_is_spent() {
    let it = made_by("true", &task("a", "echo a >a"));
    let git = it.path(".git");
    let mount = |args: &[&str]| Command::new("mount").args(args).stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success());
    let at = git.to_str().unwrap();
    if !mount(&["--bind", at, at]) || !mount(&["-o", "remount,bind,ro", at]) {
        eprintln!("SKIPPED: a directory cannot be made read-only here");
        let _ = Command::new("umount").arg(at).status();
        return;
    }
    let refused = it.drover(&["apply"]);
    let _ = Command::new("umount").arg("-l").arg(at).status();
    let refused = refused.expect(78);
    assert!(refused.err.contains("Read-only") || refused.err.contains("read-only"), "{}", refused.err);
}

#[test]
fn what_git_refuses_for_good_fails_the_task_at_once_and_by_name_and_not_again_and_again() {
    let it = repo();
    let script = format!("$ echo x >>{}; echo a >a", it.outside("ran").display());
    let it = it
        .file("drover.toml", CONFIG)
        .file("drover/t.toml", &format!("[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = {script:?}\n"))
        .commit("tasks");
    // No attempt's ref can be made below one that is called as their directory.
    it.git(&["update-ref", "refs/drover/attempts", "main"]);
    let ran = it.drover(&["apply"]).expect(1);
    assert!(ran.out.contains("cannot create 'refs/drover/attempts/") && ran.out.contains("drover apply --rerun a"), "{}", ran.out);
    assert!(ran.out.contains("after 1 attempt"), "{}", ran.out);
    assert_eq!(std::fs::read_to_string(it.outside("ran")).unwrap(), "x\n", "the agent ran once");
    it.git(&["update-ref", "-d", "refs/drover/attempts"]);
    it.drover(&["apply", "--rerun", "a"]).expect(0);
    assert_eq!(it.read("a"), "a\n");
}
