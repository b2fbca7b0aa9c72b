//! Globs of paths: what a task may touch, what it must not, and whether two tasks could touch the
//! same. Pure: names of files are bytes here, and nothing is looked at.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// A glob as it is written everywhere in Drover's files: `*` and `?` do not match a `/`, `**` does.
pub fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build()
}

/// Several globs at once.
pub struct Globs(GlobSet);

impl Globs {
    /// Fails if one of them is none: a list that is only partly obeyed would let things through.
    pub fn new(texts: &[String]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for text in texts {
            builder.add(glob(text)?);
            // What stands in a directory's place takes its contents away: a link, a submodule.
            if let Some(directory) = text.strip_suffix("/**").filter(|d| !d.is_empty()) {
                builder.add(glob(directory)?);
            }
        }
        Ok(Self(builder.build()?))
    }

    /// Whether one of them matches a path relative to the root, whatever bytes it is made of.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match(Path::new(OsStr::from_bytes(path)))
    }
}

/// Whether two lists of globs may match a common path. Never wrongly no; wrongly yes where only
/// what follows the first `*`, `?`, `[`, `{` or `\` of a glob keeps them apart.
pub fn overlap(a: &[String], b: &[String]) -> bool {
    a.iter().any(|a| b.iter().any(|b| touch(a, b)))
}

fn touch(a: &str, b: &str) -> bool {
    let ((a, a_whole), (b, b_whole)) = (literal(a), literal(b));
    match (a_whole, b_whole) {
        (true, true) => a == b,
        (true, false) => reaches(b, a),
        (false, true) => reaches(a, b),
        (false, false) => a.starts_with(b) || b.starts_with(a),
    }
}

/// Whether a glob with this beginning may match the path. `x/**` matches `x` too.
fn reaches(beginning: &str, path: &str) -> bool {
    path.starts_with(beginning) || beginning.strip_suffix('/') == Some(path)
}

/// What every path that a glob matches begins with, and whether that is all of it.
fn literal(glob: &str) -> (&str, bool) {
    match glob.find(['*', '?', '[', '{', '\\']) {
        Some(end) => (&glob[..end], false),
        None => (glob, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn a_star_stays_inside_a_directory_and_two_do_not() {
        let set = Globs::new(&globs(&["src/*.rs", "docs/**", "{a,b}.toml"])).unwrap();
        for path in ["src/a.rs", "src/.rs", "docs/x/y", "docs", "a.toml"] {
            assert!(set.matches(path.as_bytes()), "{path}");
        }
        for path in ["src/a/b.rs", "src/a.rsx", "docsx", "c.toml", "x/a.toml"] {
            assert!(!set.matches(path.as_bytes()), "{path}");
        }
        assert!(set.matches(b"docs/\xff\xfe") && !set.matches(b"\xffdocs/x"), "names of any bytes");
        assert!(Globs::new(&globs(&["ok", "["])).is_err());
    }

    #[test]
    fn globs_that_can_match_the_same_path_overlap() {
        let yes = [
            ("src/**", "src/auth/**"),
            ("src/auth/**", "src/**/mod.rs"),
            ("a.txt", "a.txt"),
            ("a.txt", "*.txt"),
            ("vendor/lib", "vendor/lib/**"),
            ("**", "x"),
            ("src/{a,b}/**", "src/a/x.rs"),
            ("a[0-9].txt", "a1.txt"),
            ("caf\\*", "caf*"),
            ("src/a*", "src/abc.rs"),
        ];
        for (a, b) in yes {
            assert!(overlap(&globs(&[a]), &globs(&[b])) && overlap(&globs(&[b]), &globs(&[a])), "{a} and {b}");
        }
    }

    #[test]
    fn globs_of_different_directories_do_not_and_nothing_overlaps_with_no_globs() {
        for (a, b) in [("src/auth/**", "src/auth2/**"), ("a.txt", "a.txt.bak"), ("src/**", "docs/*.md"), ("é/**", "è/**")] {
            assert!(!overlap(&globs(&[a]), &globs(&[b])) && !overlap(&globs(&[b]), &globs(&[a])), "{a} and {b}");
        }
        assert!(!overlap(&[], &globs(&["**"])));
    }

    #[test]
    fn whatever_both_match_is_an_overlap() {
        let mut rng = fastrand::Rng::with_seed(7);
        let parts = ["a", "b", "ab", "*", "**", "?", "[ab]", "{a,b}", "a*", "*b"];
        let mut both = 0;
        for _ in 0..20_000 {
            let mut one = || (0..rng.usize(1..4)).map(|_| parts[rng.usize(0..parts.len())]).collect::<Vec<_>>().join("/");
            let (a, b) = (globs(&[&one()]), globs(&[&one()]));
            let path = (0..rng.usize(1..4)).map(|_| ["a", "b", "ab"][rng.usize(0..3)]).collect::<Vec<_>>().join("/");
            let matches = |globs: &[String]| Globs::new(globs).unwrap().matches(path.as_bytes());
            if matches(&a) && matches(&b) {
                both += 1;
                assert!(overlap(&a, &b), "{a:?} and {b:?} both match {path}");
            }
        }
        assert!(both > 200, "only {both} paths were matched by both");
    }
}
