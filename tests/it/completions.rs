//! `drover completions` and `drover man`: what shells complete, and what a manual shows.

use std::fs;
use std::path::Path;

use crate::fixture::repo;

#[test]
fn bash_completes_verbs_options_and_values_and_nothing_that_is_hidden() {
    let it = repo();
    let script = it.drover(&["completions", "bash"]).expect(0).out;
    fs::write(it.outside("drover.bash"), &script).unwrap();
    let complete = |words: &str| {
        let ask = format!(
            ". \"$TMPDIR/drover.bash\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); \
             _drover drover \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = it.command("bash").args(["--norc", "-c", &ask]).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut verbs = complete("drover app");
    verbs.sort();
    assert_eq!(verbs, ["apply", "approve"]);
    assert!(complete("drover rep").contains(&"report".to_owned()));
    assert!(complete("drover status --").contains(&"--watch".to_owned()));
    assert_eq!(complete("drover status --format j"), ["json"]);
    assert_eq!(complete("drover state reb"), ["rebuild"]);
    assert!(!script.contains("__shim"), "the shim is for Drover itself");
}

#[test]
fn each_shell_is_given_a_script() {
    let it = repo();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = it.drover(&["completions", shell]).expect(0).out;
        assert!(script.contains("drover") && script.contains("unsuspend") && !script.contains("__shim"), "{shell}");
    }
    it.drover(&["completions", "tcsh"]).expect(64);
}

#[test]
fn the_manual_has_a_page_for_each_verb_and_takes_the_place_of_no_other() {
    let it = repo();
    let page = it.drover(&["man"]).expect(0).out;
    assert!(page.contains(".TH drover 1") && page.contains("unsuspend") && !page.contains("__shim"), "{page}");
    for round in 0..2 {
        let ran = it.drover(&["man", "--dir", "man", "--format", "json"]).expect(0).json();
        let pages: Vec<&str> = ran["pages"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        assert!(pages.contains(&"drover.1") && pages.contains(&"drover-apply.1") && pages.contains(&"drover-state-show.1"), "{pages:?}");
        assert_eq!(fs::read_dir(it.path("man")).unwrap().count(), pages.len(), "round {round}");
    }
    let status = it.read("man/drover-status.1");
    assert!(status.contains("\\-\\-watch") && status.contains(".SH OPTIONS"), "{status}");
    if Path::new("/usr/bin/groff").exists() {
        let shown = it.command("groff").args(["-man", "-Tutf8", "-P-cbu", "-ww", "man/drover-status.1"]).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.status.success() && text.contains("SYNOPSIS") && text.contains("watch"), "{text}");
    }
    it.write("man/drover-apply.1", "mine");
    it.drover(&["man", "--dir", "man"]).expect(3);
    assert_eq!(it.read("man/drover-apply.1"), "mine");
}
