//! What the kernel is told, and in which order: objects before the ref that names them, the ref before the
//! record that it landed, and of each file the content before the name.

use std::collections::BTreeMap;
use std::path::Path;

use crate::fixture::{CONFIG, ran, repo};

/// One call that succeeded: its name, and the paths that it is about.
struct Call {
    name: String,
    paths: Vec<String>,
}

/// Those of a trace that was made with `-f -y`, each where it had come to its end.
fn calls(trace: &Path) -> Vec<Call> {
    const CUT: &str = " <unfinished ...>";
    let text = std::fs::read_to_string(trace).unwrap();
    let mut found = Vec::new();
    // Where two processes call at once, a call stands in two pieces, with lines of others in between.
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let (process, call) = line.split_once(' ').unwrap_or_default();
        if let Some(start) = call.strip_suffix(CUT) {
            begun.insert(process, start);
            continue;
        }
        let (start, end) = match call.trim_start().strip_prefix("<... ") {
            Some(rest) => (begun.remove(process).unwrap_or_default(), rest.split_once(" resumed>").unwrap_or_default().1),
            None => (call, ""),
        };
        if !call.ends_with(" = 0") {
            continue;
        }
        let whole = format!("{start}{end}");
        let Some((name, rest)) = whole.trim_start().split_once('(') else { continue };
        // A descriptor's path stands in angle brackets, the others in quotes.
        let in_quotes = rest.split('"').skip(1).step_by(2).map(str::to_owned);
        let of_descriptor = rest.split('<').skip(1).filter_map(|p| p.split_once('>').map(|(path, _)| path.to_owned()));
        let paths = if name.starts_with('f') { of_descriptor.collect() } else { in_quotes.collect() };
        found.push(Call { name: name.to_owned(), paths });
    }
    found
}

#[test]
fn a_call_that_another_one_cuts_in_two_is_read_as_one() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let text = "7  fsync(3</a.lock> <unfinished ...>\n8  link(\"/x\", \"/y\") = -1 EEXIST (File exists)\n\
        8  rename(\"/b\", \"/c\") = 0\n7  <... fsync resumed>)              = 0\n";
    std::fs::write(trace.path(), text).unwrap();
    let calls: Vec<_> = calls(trace.path()).into_iter().map(|c| (c.name, c.paths)).collect();
    let call = |name: &str, paths: &[&str]| (name.to_owned(), paths.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
    assert_eq!(calls, [call("rename", &["/b", "/c"]), call("fsync", &["/a.lock"])]);
}

#[test]
fn what_landed_is_synced_before_it_is_named_and_named_before_it_is_recorded() {
    let it = repo().file("drover.toml", CONFIG);
    let it = it.file("drover/t.toml", "[[task]]\nid = \"t\"\ntitle = \"T\"\nrun = \"echo x >x\"\n").commit("tasks");
    let trace = it.outside("trace");
    // What fails under it is Drover's own failure.
    let may_trace = it.command("strace").args(["-f", "-qq", "-o"]).arg(&trace).arg("true").status().is_ok_and(|s| s.success());
    if !may_trace {
        return eprintln!("SKIPPED: strace is not here or may not trace; nothing is known about the order of syncs");
    }
    let mut strace = it.command("strace");
    strace.args(["-f", "-y", "-qq", "-s", "4096", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat", "-o"]);
    strace.arg(&trace).arg(env!("CARGO_BIN_EXE_drover")).arg("apply");
    ran(&strace.output().unwrap()).expect(0);
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
