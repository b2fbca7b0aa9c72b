//! Commands that are told of events, and the desktop.

use std::fs;

use super::told;
use crate::fixture::{Fixture, PATIENCE, program};
use crate::kill::survivors;

/// What the commands of a test have written.
fn written(it: &Fixture) -> Vec<String> {
    fs::read_to_string(it.outside("told")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_command_gets_the_event_on_its_standard_input_and_its_gist_in_variables() {
    let config = r#"
[[on_event]]
run = 'cat >$TMPDIR/body.$DROVER_EVENT; echo "$DROVER_EVENT $DROVER_TASK $DROVER_TEXT" >>$TMPDIR/told'
events = ["landed", "run_ended"]
[[on_event]]
command = ["cp", "drover.toml", "../tmp/copied"]
events = ["run_ended"]
"#;
    let it = told(config, &["a"]).env("SOME_SECRET", "hush");
    let ran = it.drover(&["apply"]).expect(0);
    let told = written(&it);
    assert_eq!(told.len(), 2, "{told:?}{}", ran.err);
    assert!(told[0].starts_with("landed a it a (The a <!channel> & all): landed ") && told[1].starts_with("run_ended  it: "), "{told:?}");
    let body: serde_json::Value = serde_json::from_str(&fs::read_to_string(it.outside("body.landed")).unwrap()).unwrap();
    assert_eq!((&body["event"], &body["fact"]["task"]), (&"landed".into(), &"a".into()));
    assert!(it.outside("copied").exists());
    // Nothing of it is left, and nothing is told twice.
    assert_eq!(fs::read_dir(it.state_dir().join("notices")).unwrap().count(), 0);
    it.drover(&["apply"]).expect(0);
    assert_eq!(written(&it).len(), 2);
}

#[test]
fn a_command_that_fails_or_does_not_end_is_a_warning_and_nothing_outlives_it() {
    let config = "[[on_event]]\nrun = \"echo whoops >&2; exit 3\"\nevents = [\"landed\"]\n";
    let it = told(config, &["a", "b"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert_eq!(ran.err.matches("it exited with 3: whoops").count(), 1, "{}", ran.err);
    let config = "[[on_event]]\nrun = \"(trap '' TERM; sleep 1000) & sleep 1000\"\nevents = [\"landed\"]\ntimeout = \"1s\"\n";
    let it = told(config, &["a"]);
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("it was ended after 1s"), "{}", ran.err);
    assert!(survivors(&it).is_empty(), "{:?}", survivors(&it));
    // Its time may be longer than anybody waits for it at the end: it is ended, and due.
    let config =
        "[[on_event]]\nrun = \"echo began >>$TMPDIR/told; [ -e $TMPDIR/gate ] || sleep 1000\"\nevents = [\"landed\"]\ntimeout = \"10m\"\n";
    let it = told(config, &["a"]).env(PATIENCE, "");
    // The run goes on for as long as it takes to begin.
    it.write(
        "drover/b.toml",
        "[[task]]\nid = \"b\"\ntitle = \"B\"\nrun = \"until [ -e $TMPDIR/told ]; do sleep 0.02; done\"\ndepends_on = [\"a\"]\n",
    );
    let ran = it.drover(&["apply"]).expect(0);
    assert!(ran.err.contains("did not answer in time"), "{}", ran.err);
    crate::fixture::until("it is ended", || survivors(&it).is_empty());
    fs::write(it.outside("gate"), "").unwrap();
    it.drover(&["apply"]).expect(0);
    assert_eq!(written(&it), ["began"; 3], "that of `a` once more, and that of `b`");
}

#[test]
fn a_command_that_was_cut_short_with_its_shim_is_run_again_while_the_run_lasts() {
    let run = "echo $DROVER_DELIVERY >>$TMPDIR/told; [ -e $TMPDIR/cut ] || { echo >$TMPDIR/cut; kill -9 $PPID; exec sleep 1000; }";
    let it = told(&format!("[[on_event]]\nrun = {run:?}\nevents = [\"landed\"]\n"), &["a"]);
    // The run is not over before it was told of `a` for a second time.
    let waits = "$ for n in $(seq 3000); do [ $(wc -l <$TMPDIR/told) -ge 2 ] && break; sleep 0.02; done; cp $TMPDIR/told b";
    let b = format!("[[task]]\nid = \"b\"\ntitle = \"B\"\nprompt = {waits:?}\ndepends_on = [\"a\"]\n");
    it.write("drover/b.toml", &b);
    let it = it.commit("One more");
    it.drover(&["apply"]).expect(0);
    let told: Vec<String> = it.read("b").lines().map(str::to_owned).collect();
    assert!(told.len() == 2 && told[0] == told[1], "{told:?}");
}

#[test]
fn the_desktop_shows_what_failed_and_that_a_run_has_ended() {
    let shows = |it: Fixture| {
        let bin = it.outside("bin");
        fs::create_dir(&bin).unwrap();
        program(&bin.join("notify-send"), "#!/bin/sh\nfor part; do printf '%s|' \"$part\"; done >>$TMPDIR/told; echo >>$TMPDIR/told\n");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        it.env("PATH", &path)
    };
    let it = shows(told("", &["a"]));
    it.write("drover.toml", &it.read("drover.toml").replace("workers = 4", "workers = 4\nnotify = true"));
    it.write("drover/u.toml", "[[task]]\nid = \"u\"\ntitle = \"U <b>\"\nprompt = \"$ exit 1\"\nretry = { max_attempts = 1 }\n");
    it.drover(&["apply"]).expect(1);
    let told = written(&it);
    assert!(told[0].starts_with("--app-name=Drover|--|Drover: it|u (U &lt;b&gt;): failed for good"), "{told:?}");
    assert!(told[1].starts_with("--app-name=Drover|--|Drover: it|the run has ended: 1 landed, 1 failed"), "{told:?}");
    assert_eq!(told.len(), 2);
}
