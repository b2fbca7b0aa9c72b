//! What others put in the place of a proof, or do to what it hangs on without touching a task file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{NOTHING, applied, calls, is_known, proofs, task};
use crate::fixture::{CONFIG, Fixture, Ran, ran, repo};

/// What it says, within a minute: what is waited for here would be waited for without end.
fn says(it: &Fixture, verb: &str) -> Ran {
    let mut command = it.command("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_drover"), verb]);
    ran(&command.output().unwrap())
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn remove(path: &Path) {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap();
}

#[test]
fn what_is_no_file_of_its_own_in_the_place_of_the_proof_is_neither_waited_for_nor_followed() {
    let it = applied();
    let [proof] = proofs(&it).try_into().unwrap();
    let dir = proof.parent().unwrap();
    let away = it.outside("away");
    fs::rename(dir, &away).unwrap();
    let whole = away.join(proof.file_name().unwrap());
    let huge = |path: &Path| File::create(path).unwrap().set_len(1 << 40).unwrap();
    let made: [(&str, &dyn Fn()); 6] = [
        ("a pipe", &|| fifo(&proof)),
        ("a file without end", &|| huge(&proof)),
        ("a link to a device", &|| symlink("/dev/zero", &proof).unwrap()),
        ("a link to a proof", &|| symlink(&whole, &proof).unwrap()),
        ("a directory", &|| fs::create_dir(&proof).unwrap()),
        ("a link in place of the directory", &|| {
            fs::remove_dir(dir).unwrap();
            symlink(&away, dir).unwrap();
        }),
    ];
    for (what, make) in made {
        fs::create_dir(dir).unwrap();
        make();
        for verb in ["plan", "validate"] {
            assert!(calls(&it, || drop(says(&it, verb).expect(0))) > 0, "{what} was believed by {verb}");
        }
        assert!(says(&it, "apply").expect(0).out.starts_with(NOTHING), "{what}");
        remove(dir);
    }
    assert_eq!(fs::read_dir(&away).unwrap().count(), 1, "something was put where the link led");
    it.drover(&["apply"]).expect(0);
    assert!(is_known(&it));
}

#[test]
fn a_pipe_in_the_place_of_the_lock_is_not_waited_for() {
    let it = applied();
    let lock = it.state_dir().join("lock");
    fs::remove_file(&lock).unwrap();
    fifo(&lock);
    for verb in ["plan", "status", "validate"] {
        says(&it, verb).expect(0);
    }
    it.write("drover/a.toml", &format!("# mine\n{}", it.read("drover/a.toml")));
    let refused = says(&it, "apply").expect(78);
    assert!(refused.err.contains("lock") && refused.err.contains("not a regular file"), "{}", refused.err);
    fs::remove_file(&lock).unwrap();
    says(&it, "apply").expect(0);
    assert!(is_known(&it));
}

#[test]
fn a_proof_that_holds_what_a_terminal_obeys_is_not_believed() {
    let it = applied();
    let [proof] = proofs(&it).try_into().unwrap();
    let whole = fs::read_to_string(&proof).unwrap();
    let (head, body) = whole.split_once('\n').unwrap();
    let magic = head.rsplit_once(' ').unwrap().0;
    let evil: [(&str, serde_json::Value); 5] = [
        ("/answers/apply", "Nothing to do: \u{1b}[2J".into()),
        ("/answers/plan/0", "No changes\u{202e}".into()),
        ("/answers/plan/1", "No changes: \u{1b}]0;pwned\u{7}".into()),
        ("/answers/plan/1", "\u{1b}[31mSomething else\u{1b}[0m".into()),
        ("/answers/validate/name", "it\u{1b}[2J".into()),
    ];
    for (place, text) in evil {
        let mut told: serde_json::Value = serde_json::from_str(body).unwrap();
        *told.pointer_mut(place).unwrap() = text;
        let told = told.to_string();
        fs::write(&proof, format!("{magic} {}\n{told}", drover::base::sha256_hex(told.as_bytes()))).unwrap();
        for args in [&["plan"][..], &["plan", "--color", "always"], &["validate"]] {
            let mut said = None;
            assert!(calls(&it, || said = Some(it.drover(args).expect(0))) > 0, "{place} was believed");
            let out = said.unwrap().out;
            assert!(!out.contains("\u{1b}[2J") && !out.contains(['\u{7}', '\u{202e}']), "{place}: {out:?}");
        }
        assert!(it.drover(&["apply"]).expect(0).out.starts_with(NOTHING));
        assert!(is_known(&it), "{place}: it is proved again");
    }
}

#[test]
fn a_repository_that_appears_above_task_files_is_noticed() {
    let config = CONFIG.replace("[project]", "[project]\ntasks = [\"plans/drover/*.toml\"]");
    let it = super::recording_git(repo().file("drover.toml", &config).file(".gitignore", "/plans/drover/b.toml\n"));
    for id in ["a", "b"] {
        it.write(&format!("plans/drover/{id}.toml"), &task(id, &format!("echo {id} >{id}")));
    }
    let it = it.commit("tasks");
    it.drover(&["apply"]).expect(0);
    let tasks = || it.drover(&["validate", "--format", "json"]).expect(0).json()["tasks"].as_u64().unwrap();
    for marker in [".git", ".jj"] {
        assert_eq!(calls(&it, || assert_eq!(tasks(), 1)), 0, "before {marker}");
        let marker = it.path(&format!("plans/{marker}"));
        fs::create_dir(&marker).unwrap();
        // What is ignored above a repository counts in it no more.
        assert!(calls(&it, || assert_eq!(tasks(), 2)) > 0);
        fs::remove_dir(marker).unwrap();
    }
}

#[test]
fn what_is_ignored_everywhere_is_so_from_wherever_drover_is_started() {
    let it = applied();
    fs::create_dir_all(it.home().join(".config/git")).unwrap();
    fs::write(it.home().join(".config/git/ignore"), "/drover/a.toml\n/b.toml\n").unwrap();
    let tasks = |dir: &str| {
        let mut command = it.drover_command(&["validate", "--format", "json"]);
        ran(&command.current_dir(it.path(dir)).output().unwrap()).expect(0).json()["tasks"].as_u64().unwrap()
    };
    assert_eq!([".", "drover", "drover/more"].map(tasks), [2, 2, 2], "such a pattern begins at the top of the repository");
}

#[test]
fn a_variable_that_is_no_text_is_another_environment() {
    let it = applied();
    assert!(is_known(&it));
    let config = it.outside("config");
    let named = OsStr::from_bytes(&[config.as_os_str().as_bytes(), b"\xff"].concat()).to_owned();
    fs::write(&named, "[core]\n").unwrap();
    let with = || {
        let output = it.drover_command(&["apply"]).env("GIT_CONFIG_GLOBAL", &named).output().unwrap();
        assert!(ran(&output).expect(0).out.starts_with(NOTHING));
    };
    assert!(calls(&it, with) > 0, "it was not noticed");
}
