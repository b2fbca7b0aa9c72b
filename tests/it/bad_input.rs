//! Repositories and machines that are not fit: a clear word, the documented code, nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{CONFIG, Fixture, repo};

const TASK: &str = "[[task]]\nid = \"t\"\ntitle = \"T\"\nprompt = \"$ echo x >x\"\n";

fn fit() -> Fixture {
    repo().file("drover.toml", CONFIG).file("drover/t.toml", TASK)
}

#[test]
fn not_a_repository() {
    let it = repo();
    fs::remove_dir_all(it.path(".git")).unwrap();
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("not in a git repository"), "{}", ran.err);
}

#[test]
fn a_bare_repository() {
    let it = fit().commit("x");
    it.git(&["clone", "-q", "--bare", ".", "../bare"]);
    let ran = it.drover(&["-C", "../bare", "apply"]).expect(78);
    assert!(ran.err.contains("bare"), "{}", ran.err);
}

#[test]
fn a_shallow_clone() {
    let it = fit().commit("one").commit("two");
    it.git(&["clone", "-q", "--depth", "1", &format!("file://{}", it.root().display()), "../shallow"]);
    let ran = it.drover(&["-C", "../shallow", "apply"]).expect(78);
    assert!(ran.err.contains("shallow") && ran.err.contains("fetch-depth: 0"), "{}", ran.err);
}

#[test]
fn no_drover_toml() {
    let ran = repo().commit("x").drover(&["plan"]).expect(78);
    assert!(ran.err.contains("drover init"), "{}", ran.err);
}

#[test]
fn no_commits_yet() {
    let ran = fit().drover(&["apply"]).expect(78);
    assert!(ran.err.contains("no commits"), "{}", ran.err);
}

#[test]
fn a_detached_head_without_a_target() {
    let it = fit();
    it.write("drover.toml", &CONFIG.replace("target = \"main\"", ""));
    let it = it.commit("x");
    it.git(&["checkout", "-q", "--detach"]);
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("detached") && ran.err.contains("target"), "{}", ran.err);
    assert!(it.standing().is_empty());
}

#[test]
fn a_target_that_does_not_exist() {
    let it = fit();
    it.write("drover.toml", &CONFIG.replace("target = \"main\"", "target = \"release\""));
    let ran = it.commit("x").drover(&["apply"]).expect(78);
    assert!(ran.err.contains("release"), "{}", ran.err);
}

#[test]
fn an_agent_that_is_not_installed_is_named_before_anything_starts() {
    let it = fit();
    it.write("drover.toml", &format!("{}command = [\"no-such-agent\"]\n", CONFIG.split("shell").next().unwrap()));
    let it = it.commit("x");
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("no-such-agent") && ran.err.contains("sh"), "{}", ran.err);
    assert!(!it.state_dir().join("attempts").exists(), "nothing was started");
}

#[test]
fn claude_code_that_is_not_installed_comes_with_its_install_line() {
    let it = repo().file("drover.toml", "[project]\nname = \"x\"\n").file("drover/t.toml", TASK).commit("x").env("PATH", "/usr/bin:/bin");
    if it.command("sh").args(["-c", "command -v claude"]).output().unwrap().status.success() {
        eprintln!("SKIPPED: Claude Code is installed in /usr/bin");
        return;
    }
    let ran = it.drover(&["apply"]).expect(78);
    assert!(ran.err.contains("npm install"), "{}", ran.err);
}

#[test]
fn a_worktree_directory_that_cannot_be_written() {
    let it = fit();
    it.write("file", "in the way");
    it.write("drover.toml", &format!("{CONFIG}\n[worktree]\ndir = \"file/below\"\n"));
    let ran = it.commit("x").drover(&["apply"]).expect(78);
    assert!(ran.err.contains("file/below") && ran.err.contains("[worktree] dir"), "{}", ran.err);
}

#[test]
fn every_mistake_in_every_file_is_shown_in_one_pass() {
    let it = repo()
        .file("drover.toml", &format!("{CONFIG}\n[run2]\nx = 1\n"))
        .file("drover/a.toml", "[[task]]\nid = \"a\"\ntitel = \"A\"\nprompt = \"x\"\nneeds = [\"b\"]\n")
        .file("drover/b.toml", "[[task]]\nid = \"B\"\ntitle = \"B\"\n")
        .file("drover/c.toml", "[[task]\n")
        .commit("x");
    let ran = it.drover(&["validate"]).expect(78);
    for word in ["run2", "titel", "title", "needs", "depends_on", "a.toml", "b.toml", "c.toml"] {
        assert!(ran.err.contains(word), "{word} is missing in:\n{}", ran.err);
    }
    let json = it.drover(&["validate", "--format", "json"]).expect(78);
    assert!(json.json().to_string().contains("drover::unknown_key"), "{}", json.out);
}

#[test]
fn a_store_that_cannot_be_read_is_kept_and_named() {
    let it = fit().commit("x");
    it.drover(&["apply"]).expect(0);
    let store = it.state_dir().join("store.redb");
    fs::write(&store, b"this is no store at all, it is a text of some length").unwrap();
    for verb in ["apply", "status"] {
        let ran = it.drover(&[verb]);
        assert!(ran.code == Some(70) || ran.code == Some(78), "{verb}: {:?} {}", ran.code, ran.err);
        assert!(ran.err.contains("store.redb"), "{}", ran.err);
    }
    assert_eq!(fs::read(&store).unwrap(), b"this is no store at all, it is a text of some length");
}

#[test]
fn a_bad_command_line() {
    let it = fit().commit("x");
    it.drover(&["aply"]).expect(64);
    it.drover(&["apply", "--workers", "0"]).expect(64);
    it.drover(&["-C", "nowhere", "plan"]).expect(64);
    it.drover(&["--version"]).expect(0);
    it.drover(&["--help"]).expect(0);
}

#[test]
fn a_state_directory_that_is_a_link_is_refused() {
    let it = fit().commit("x");
    fs::create_dir(it.outside("elsewhere")).unwrap();
    std::os::unix::fs::symlink(it.outside("elsewhere"), it.state_dir()).unwrap();
    let ran = it.drover(&["apply"]);
    assert!(matches!(ran.code, Some(70 | 78)), "{ran:?}");
    assert_eq!(fs::read_dir(it.outside("elsewhere")).unwrap().count(), 0);
}

#[test]
fn the_state_is_for_its_owner_alone() {
    let it = fit().commit("x");
    it.drover(&["apply"]).expect(0);
    let mode = fs::metadata(it.state_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
