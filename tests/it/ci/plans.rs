//! `drover plan --format markdown`.

use crate::fixture::{CONFIG, repo};

#[test]
fn a_plan_as_a_page_is_bounded_and_nothing_in_it_makes_markup_or_mentions_anybody() {
    let evil = "[[task]]\nid = \"evil\"\ntitle = \"a|b <img src=x> @all https://evil [x](y) `c`\"\nprompt = \"$ echo x >x\"\n";
    let it = repo().file("drover.toml", CONFIG).file("drover/t.toml", evil).commit("Tasks");
    let page = it.drover(&["plan", "--format", "markdown"]).expect(0).out;
    let row = page.lines().find(|line| line.contains("evil")).unwrap();
    assert!(row.starts_with("| `+` | evil | a\\|b &lt;img "), "{row}");
    assert!(row.replace("\\|", "").matches('|').count() == 6, "five cells: {row}");
    for bad in ["<img", "@all", "https://", "[x](", " `c`"] {
        assert!(!page.contains(bad), "{bad} in {page}");
    }
    assert!(page.contains("Plan: 1 to run"), "{page}");
    let many: String =
        (0..2000).map(|n| format!("[[task]]\nid = \"t{n}\"\ntitle = \"{}\"\nprompt = \"$ true\"\n", "é".repeat(60))).collect();
    it.write("drover/many.toml", &many);
    let page = it.drover(&["plan", "--format", "markdown"]).expect(0).out;
    assert!(page.chars().count() <= 65_536 && page.contains(" tasks more"), "{}", page.len());

    it.write("drover/many.toml", "");
    it.drover(&["apply"]).expect(0);
    let page = it.drover(&["plan", "--format", "markdown", "--detailed-exitcode"]).expect(0).out;
    assert!(page.contains("No changes") && !page.contains("| `"), "{page}");
    let refused = it.drover(&["status", "--format", "markdown"]).expect(64);
    assert!(refused.err.contains("only `drover plan`"), "{}", refused.err);
}
