//! The comparison in the documentation is the one that this run gives.

use std::fs;
use std::path::Path;

use agent_accuracy::table::{self, Scores};

use super::{bites, other_rows, other_worlds, rows, worlds};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/doc/accuracy.md");

#[test]
fn the_comparison_in_the_documentation_is_current() {
    let first = Scores { rows: rows(), worlds: worlds() };
    let second = Scores { rows: other_rows(), worlds: other_worlds() };
    let text = table::document(first, second, bites());
    if std::env::var_os("UPDATE_ACCURACY").is_some() {
        fs::write(Path::new(PAGE), &text).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap_or_default();
    let differs = page.lines().zip(text.lines()).find(|(page, text)| page != text);
    assert!(
        page == text,
        "run UPDATE_ACCURACY=1 cargo test -p agent-accuracy; the first difference is {differs:?}"
    );
}

#[test]
fn every_limit_is_guarded_by_a_scenario() {
    // A quarter of a limit and four times a limit may each be harmless; both would mean that it is never tested.
    for bite in bites() {
        assert!(!bite.higher.is_empty() || !bite.lower.is_empty(), "{} has no teeth", bite.what);
    }
}
