//! What the kernel is told, and in which order: objects before the ref that names them, the ref before the
//! record that it landed, and of each file the content before the name.

use std::path::Path;

use crate::fixture::{CONFIG, ran, repo};

/// One call that succeeded: its name, and the paths that it is about.
struct Call {
    name: String,
    paths: Vec<String>,
}

/// Those of a trace that was made with `-f -y`.
fn calls(trace: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(trace).unwrap();
    let mut found = Vec::new();
    for line in text.lines().filter(|l| l.ends_with(" = 0")) {
        let Some((head, rest)) = line.split_once('(') else { continue };
        let name = head.rsplit(' ').next().unwrap().to_owned();
        // A descriptor's path stands in angle brackets, the others in quotes.
        let in_quotes = rest.split('"').skip(1).step_by(2).map(str::to_owned);
        let of_descriptor = rest.split('<').skip(1).filter_map(|p| p.split_once('>').map(|(path, _)| path.to_owned()));
        let paths = if name.starts_with('f') { of_descriptor.collect() } else { in_quotes.collect() };
        found.push(Call { name, paths });
    }
    found
}

#[test]
fn what_landed_is_synced_before_it_is_named_and_named_before_it_is_recorded() {
    let it = repo().file("drover.toml", CONFIG);
    let it = it.file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"echo x >x\"\n").commit("tasks");
    let trace = it.outside("trace");
    let mut strace = it.command("strace");
    strace.args(["-f", "-y", "-qq", "-s", "4096", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat", "-o"]);
    strace.arg(&trace).arg(env!("CARGO_BIN_EXE_drover")).arg("apply");
    match strace.output() {
        Ok(output) if output.status.success() && trace.exists() => drop(ran(&output).expect(0)),
        other => return eprintln!("SKIPPED: strace is not here or may not trace; nothing is known about the order of syncs: {other:?}"),
    }
    assert_eq!(it.landed(), ["t"]);
    let calls = calls(&trace);
    let synced = |c: &Call, what: &str| c.name.starts_with('f') && c.paths.iter().any(|p| p.contains(what));
    let named = |c: &Call, what: &str| !c.name.starts_with('f') && c.paths.last().is_some_and(|p| p.ends_with(what));
    // The last move of the line is the landing.
    let line = "refs/drover/integration/main";
    let landing = calls.iter().rposition(|c| named(c, line)).expect("the line is moved");
    let objects = calls[..landing].iter().rposition(|c| synced(c, "/objects/")).expect("objects are synced");
    let lock = calls[..landing].iter().rposition(|c| synced(c, &format!("{line}.lock"))).expect("the ref is synced before it has its name");
    let record = calls[landing..].iter().position(|c| synced(c, "store.redb")).expect("the landing is recorded");
    assert!(objects < lock, "the ref was written before the objects were synced");
    let target = calls.iter().rposition(|c| named(c, "refs/heads/main")).expect("the target is moved");
    assert!(target > landing + record, "published before it was on record that it landed");
    // Records of commands, too, have their content before their name.
    for (n, call) in calls.iter().enumerate().filter(|(_, c)| named(c, "/exit.json") || named(c, "/spec.json")) {
        let from = call.paths.first().unwrap().rsplit('/').next().unwrap();
        assert!(calls[..n].iter().any(|c| synced(c, from)), "{:?} was named before it was synced", call.paths);
    }
}
