//! Every mutation, killed before and after each call of git that it makes, and then repeated.
//!
//! The test binary starts itself: the child carries out one operation with a `git` in front of
//! the real one that kills the child at the call it was told to.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use drover::git::{Finished, LineState, Onto, Program, Publish, Repo, Worktree};
use drover::model::Strategy;

use crate::fixture::program;

use super::world::{DATE, World, hermetic};

const KEEP: &str = "refs/drover/attempts/r-1";

const WRAPPER: &str = r#"#!/bin/sh
n=0; test -e "$TEST_COUNT" && read -r n <"$TEST_COUNT"; n=$((n + 1)); echo $n >"$TEST_COUNT"
export TEST_PARENT=$PPID
test "$n$TEST_WHEN" = "${TEST_AT}before" && kill -9 $PPID && exit 9
git "$@"; code=$?
test "$n$TEST_WHEN" = "${TEST_AT}after" && kill -9 $PPID
exit $code
"#;

/// A filter that kills git and its parent in the middle of a checkout, once.
const FILTER: &str = r#"#!/bin/sh
if rm "$TEST_ARMED" 2>/dev/null; then
    setsid kill -9 -- "-$(cut -d' ' -f5 /proc/self/stat)" "$TEST_PARENT"
    sleep 60
fi
exec cat
"#;

fn script(world: &World, name: &str, text: &str) -> std::path::PathBuf {
    let path = world.home().join(name);
    program(&path, text);
    path
}

/// Carries out an operation; the same in the child and in the test.
fn carry_out(what: &str, repo: &Repo, root: &Path) {
    let rev = |name: &str| repo.tip(&format!("refs/heads/{name}")).unwrap().unwrap();
    let wt = Worktree::new(root, "r-1").unwrap();
    match what {
        "add" => repo.add_worktree(&wt, &rev("main"), Some(&repo.tree_of(&rev("next")).unwrap())).unwrap(),
        "set" => repo.set_files(&wt, &repo.tree_of(&rev("next")).unwrap()).unwrap(),
        "retire" => assert!(repo.retire_worktree(&wt, &rev("main")).unwrap()),
        "reuse" => {
            let tree = repo.tree_of(&rev("next")).unwrap();
            if !repo.reuse_worktree(&wt, &rev("main"), Some(&tree), "").unwrap() {
                repo.add_worktree(&wt, &rev("main"), Some(&tree)).unwrap();
            }
        }
        "snapshot" => drop(repo.snapshot(&wt, &rev("main"), &rev("main"), "m", DATE, KEEP).unwrap()),
        "line" => assert_eq!(repo.sync_line("main").unwrap(), LineState::Tip(rev("main"))),
        "land" => assert!(repo.land("main", &rev("main"), &rev("next")).unwrap()),
        "publish" => assert_eq!(repo.publish("main").unwrap(), Publish::Done(rev("next"))),
        "merge" | "squash" | "rebase" => land_by(what, repo),
        "branches" => assert!(matches!(repo.publish_branches("main").unwrap(), Publish::Done(_))),
        other => panic!("no operation {other}"),
    }
}

/// As an attempt does it: looks whether it has landed, puts the work onto the tip, lands.
fn land_by(what: &str, repo: &Repo) {
    let rev = |name: &str| repo.tip(&format!("refs/heads/{name}")).unwrap().unwrap();
    let strategy = match what {
        "merge" => Strategy::Merge,
        "squash" => Strategy::Squash,
        _ => Strategy::Rebase,
    };
    let (base, commit) = (rev("main"), rev("next"));
    let tip = repo.tip("refs/drover/integration/main").unwrap().unwrap();
    if repo.find_landed(&base, &tip, "r-1").unwrap().is_some() {
        return;
    }
    let trailers = "Drover-Attempt: r-1\n";
    let work = Finished { commit: &commit, base: &base, steps: &[], message: "M\n\nDrover-Attempt: r-1\n", trailers, date: DATE };
    let Onto::Made { new, .. } = repo.put_onto(strategy, &tip, &work).unwrap() else { panic!("a conflict") };
    repo.move_ref(&format!("{KEEP}-land"), &new).unwrap();
    assert!(repo.land("main", &tip, &new).unwrap());
}

/// Not a test by itself: what the child does.
#[test]
fn child() {
    let Some(what) = std::env::var_os("TEST_WHAT") else { return };
    let path = |key| std::path::PathBuf::from(std::env::var_os(key).unwrap());
    let program = hermetic(Program::at(&path("TEST_GIT")), &path("TEST_HOME"));
    let repo = Repo::discover_with(&path("TEST_TOP"), program).unwrap();
    carry_out(what.to_str().unwrap(), &repo, &path("TEST_ROOT"));
}

struct Child<'a> {
    world: &'a World,
    what: &'a str,
    /// Which call to die at, and whether before or after it; 0 for none.
    at: (usize, &'a str),
}

impl Child<'_> {
    /// Runs the operation in a child. True if it was killed; how many calls it made.
    fn run(&self) -> (bool, usize) {
        let count = self.world.home().join("count");
        let _ = fs::remove_file(&count);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["git::crash::child", "--exact", "--test-threads=1", "--quiet"]);
        command.env("TEST_WHAT", self.what).env("TEST_GIT", self.world.home().join("git")).env("TEST_HOME", self.world.home());
        command.env("TEST_TOP", &self.world.top).env("TEST_ROOT", self.world.root()).env("TEST_COUNT", &count);
        command.env("TEST_AT", self.at.0.to_string()).env("TEST_WHEN", self.at.1).env("TEST_ARMED", self.world.home().join("armed"));
        // Whatever the surroundings say, it is the named repository that is worked on.
        command.env("GIT_DIR", "/nowhere").env("GIT_INDEX_FILE", "/nowhere/index").env("GIT_WORK_TREE", "/");
        let out = command.output().unwrap();
        let killed = out.status.signal() == Some(9);
        assert!(killed || out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (killed, fs::read_to_string(&count).unwrap_or_default().trim().parse().unwrap_or(0))
    }
}

/// The world as it was when this was made, again and again: at the same place, because links
/// between worktrees are absolute.
struct Template {
    world: World,
    saved: tempfile::TempDir,
}

impl Template {
    fn of(world: World) -> Self {
        let saved = tempfile::tempdir_in(world.dir.path().parent().unwrap()).unwrap();
        world.sh_in(world.dir.path(), &format!("cp -a . {}", saved.path().display()));
        Self { world, saved }
    }
    fn again(&self) -> &World {
        let dir = self.world.dir.path();
        self.world.sh_in(dir, &format!("rm -rf home repo worktrees; cp -a {}/. .", self.saved.path().display()));
        &self.world
    }
}

fn fresh(what: &str) -> World {
    let world = World::new();
    script(&world, "git", WRAPPER);
    world.sh("git checkout -q -b next; echo new >a; git rm -q b; echo created >n; rm -r s; echo f >s; mkdir -p d/e; echo f >d/e/f; git add -A; git commit -qm 'B\n\nDrover-Attempt: r-1'; git checkout -q main");
    if matches!(what, "merge" | "squash" | "rebase") {
        world.sh(
            "git checkout -q next; echo 2 >two; git add two; git commit -qm 'C\n\nDrover-Attempt: r-1'; git commit -q --amend --no-edit",
        );
        world.sh("git update-ref refs/drover/integration/main $(git commit-tree -p main -m other $(git rev-parse main^{tree})); git checkout -q main");
    }
    if what == "branches" {
        // One to be made, one to be moved from where Drover had put it.
        let record = |task: &str| format!("{task}\n\nDrover-Task: {task}@1:0000000000000000\nDrover-Attempt: r-1\n");
        world.sh(&format!("git update-ref refs/heads/drover/u main; git update-ref refs/drover/branches/u/main main; git commit -q --allow-empty -m '{}'; git commit -q --allow-empty -m '{}'", record("t"), record("u").replace("r-1", "r-2")));
        world.sh("git update-ref refs/drover/integration/main main; git reset -q --hard HEAD~2");
    }
    let repo = world.repo();
    if matches!(what, "set" | "snapshot" | "retire" | "reuse") {
        repo.add_worktree(&world.wt("r-1"), &world.oid("main"), None).unwrap();
        world.sh_in(&world.wt("r-1").path(), "echo mine >a; rm c; git init -q nested; echo 1 >nested/f; echo u >u");
    }
    if what == "reuse" {
        repo.retire_worktree(&world.wt("r-1"), &world.oid("main")).unwrap();
    }
    if matches!(what, "land" | "publish") {
        repo.sync_line("main").unwrap();
    }
    if what == "publish" {
        world.sh("git update-ref refs/drover/integration/main next; echo mine >>c; git add c; echo more >>c; echo u >u; echo log >x.log");
    }
    world
}

/// What must hold after an operation that was killed and then repeated.
fn check(what: &str, world: &World, repo: &Repo) {
    let wt = world.wt("r-1");
    let tree = |rev: &str| world.oid(&format!("{rev}^{{tree}}"));
    let no_locks = world.sh("find .git -name '*.lock*' -o -name 'publish.journal' -o -name 'index.drover*'");
    assert_eq!(no_locks, "", "{what}");
    match what {
        "retire" => {
            assert_eq!(
                world.sh_in(&wt.path(), "cat a c; git rev-parse HEAD; ls -A"),
                format!("base\nbase\n{}\n.git\n.gitignore\na\nb\nc\ns", world.oid("main"))
            );
            assert_eq!(repo.discard_idle(&wt).unwrap(), None, "nothing is to be kept");
        }
        "add" | "reuse" => assert!(repo.is_as_made(&wt, &world.oid("main"), Some(&tree("next"))).unwrap()),
        "set" => assert_eq!(world.sh_in(&wt.path(), "cat a n s d/e/f; ls -A"), "new\ncreated\nf\nf\n.git\n.gitignore\na\nc\nd\nn\ns"),
        "snapshot" => {
            assert_eq!(world.sh(&format!("git diff --name-status main {KEEP}")), "M\ta\nD\tc\nA\tnested/f\nA\tu");
            assert_eq!(world.sh("git for-each-ref refs/drover/attempts | wc -l"), "1");
        }
        "line" => assert_eq!(world.oid("refs/drover/published/main"), world.oid("main")),
        "land" => assert_eq!(world.oid("refs/drover/integration/main"), world.oid("next")),
        "merge" | "squash" | "rebase" => {
            assert_eq!(tree("refs/drover/integration/main"), tree("next"));
            let own = world.sh("git log --first-parent --format=%s main..refs/drover/integration/main");
            let landed = match what {
                "merge" => "M\nother",
                "squash" => "C\nother",
                _ => "C\nB\nother",
            };
            assert_eq!(own, landed, "{what}: once");
        }
        "branches" => {
            let line = |n: usize| world.oid(&format!("refs/drover/integration/main~{n}"));
            assert_eq!([world.oid("drover/u"), world.oid("drover/t")], [line(0), line(1)]);
            assert!(repo.branches_stand("main").unwrap() && world.oid("main") == line(2));
        }
        "publish" => {
            assert_eq!(world.oid("main"), world.oid("next"));
            assert_eq!(
                world.sh("git status --porcelain --ignored; git diff --cached c | tail -1; cat c a s"),
                "MM c\n?? u\n!! x.log\n+mine\nbase\nmine\nmore\nnew\nf"
            );
        }
        other => panic!("no operation {other}"),
    }
}

fn killed_everywhere(what: &str) {
    let template = Template::of(fresh(what));
    let world = &template.world;
    let (_, calls) = Child { world, what, at: (0, "") }.run();
    check(what, world, &world.repo());
    assert!(calls > 1, "{what} made {calls} calls");
    // The first call asks for git's version.
    for n in 2..=calls {
        // Elsewhere, after one call is all but before the next.
        let both = what == "publish" || n == calls;
        for when in if both { &["before", "after"][..] } else { &["before"] } {
            let world = template.again();
            let (killed, _) = Child { world, what, at: (n, when) }.run();
            assert!(killed, "{what} was not killed {when} call {n}");
            let repo = world.repo();
            carry_out(what, &repo, &world.root());
            check(what, world, &repo);
        }
    }
}

#[test]
fn a_worktree_is_made_after_a_kill_at_any_call() {
    killed_everywhere("add");
}
#[test]
fn a_worktree_is_left_idle_and_used_again_after_a_kill_at_any_call() {
    killed_everywhere("retire");
    killed_everywhere("reuse");
}
#[test]
fn files_are_set_after_a_kill_at_any_call() {
    killed_everywhere("set");
}
#[test]
fn a_snapshot_is_taken_after_a_kill_at_any_call() {
    killed_everywhere("snapshot");
}
#[test]
fn the_line_is_made_and_landed_on_after_a_kill_at_any_call() {
    killed_everywhere("line");
    killed_everywhere("land");
}
#[test]
fn work_lands_once_by_every_strategy_after_a_kill_at_any_call() {
    ["merge", "squash", "rebase"].into_iter().for_each(killed_everywhere);
}
#[test]
fn branches_of_tasks_stand_after_a_kill_at_any_call() {
    killed_everywhere("branches");
}
#[test]
fn publishing_ends_well_after_a_kill_at_any_call() {
    killed_everywhere("publish");
}

/// A world in which git dies in the middle of writing a checkout's files: `f.die` comes after
/// `a` and before `n`.
fn with_deadly_filter() -> World {
    let world = World::new();
    script(&world, "git", WRAPPER);
    let filter = script(&world, "filter", FILTER);
    world.sh(&format!(
        "git config filter.die.smudge {}; echo '*.die filter=die' >.gitattributes; echo 1 >f.die; git add -A; git commit -qm die",
        filter.display()
    ));
    world.sh("git checkout -q -b next; echo new >a; git rm -q b; echo created >n; echo 2 >f.die; echo x2 >s/x; git add -A; git commit -qm 'B\n\nDrover-Attempt: r-1'; git checkout -q main");
    world.repo().sync_line("main").unwrap();
    world.sh("git update-ref refs/drover/integration/main next; echo mine >>c; git add c; echo u >u");
    world
}

fn die_in_checkout(world: &World, what: &str) {
    fs::write(world.home().join("armed"), "").unwrap();
    let (killed, _) = Child { world, what, at: (0, "") }.run();
    assert!(killed && !world.home().join("armed").exists());
}

#[test]
fn a_checkout_killed_half_way_is_made_anew() {
    let world = with_deadly_filter();
    die_in_checkout(&world, "add");
    let repo = world.repo();
    carry_out("add", &repo, &world.root());
    assert!(repo.is_as_made(&world.wt("r-1"), &world.oid("main"), Some(&world.oid("next^{tree}"))).unwrap());
}

#[test]
fn a_publish_killed_while_files_were_written_is_finished() {
    let world = with_deadly_filter();
    die_in_checkout(&world, "publish");
    let half = world.sh("cat a; git rev-parse main; cat .git/index.lock");
    assert!(
        half.starts_with("new\n") && half.contains(&world.oid("main~0").to_string()) && half.contains("drover is publishing"),
        "{half}"
    );
    // As a power cut would leave it.
    world.write("a", "ne");
    world.sh("touch .git/HEAD.lock .git/ORIG_HEAD.lock .git/refs/heads/main.lock .git/index.drover.lock");
    carry_out("publish", &world.repo(), &world.root());
    assert_eq!(world.sh("git status --porcelain; cat a n s/x f.die"), "M  c\n?? u\nnew\ncreated\nx2\n2");
    assert!(!world.top.join("b").exists());
}

#[test]
fn what_the_user_did_after_a_killed_publish_stays() {
    let world = with_deadly_filter();
    die_in_checkout(&world, "publish");
    world.write("a", "mine");
    world.write("n", "mine too");
    let outcome = world.repo().publish("main").unwrap();
    assert!(matches!(&outcome, Publish::Held { paths, .. } if paths == &["a", "n"]), "{outcome:?}");
    assert_eq!((world.read("a").as_str(), world.read("n").as_str()), ("mine", "mine too"));
    assert_eq!(world.sh("git status --porcelain; cat b f.die s/x"), " M a\nM  c\n?? n\n?? u\nbase\n1\nx");
    world.sh("git checkout -q a; rm n");
    carry_out("publish", &world.repo(), &world.root());
    assert_eq!(world.sh("git status --porcelain"), "M  c\n?? u");
}

#[test]
fn a_publish_whose_lock_the_user_took_away_is_mended() {
    // Dies after git has merged and before the index is replaced: find the call by its effect.
    let template = Template::of(with_deadly_filter());
    for n in 2.. {
        let world = template.again();
        let (killed, _) = Child { world, what: "publish", at: (n, "after") }.run();
        assert!(killed, "git never moved the branch under our lock");
        if world.oid("main") != world.oid("next") {
            continue;
        }
        assert!(world.top.join(".git/index.lock").exists());
        world.sh("rm .git/index.lock; git add u");
        carry_out("publish", &world.repo(), &world.root());
        assert_eq!(world.sh("git status --porcelain; cat a n"), "M  c\nA  u\nnew\ncreated");
        break;
    }
}
