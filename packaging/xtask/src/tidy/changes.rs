//! The changelog and the fragments that it is made of.

use std::fs;

use super::{read, workspace};

/// The sections of Keep a Changelog 1.1.
const KINDS: &[&str] = &["added", "changed", "deprecated", "removed", "fixed", "security"];

#[test]
fn fragments_have_a_kind_and_say_something() {
    let folder = workspace().path("packaging/changelog.d");
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let parts: Vec<&str> = name.split('.').collect();
        assert!(
            matches!(parts.as_slice(), [slug, kind, "md"] if !slug.is_empty() && KINDS.contains(kind)),
            "{name}: a fragment is called SLUG.KIND.md, KIND one of {KINDS:?}"
        );
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(
            text.trim_end().ends_with('.') && !text.starts_with(['-', '#']),
            "{name}: whole sentences, no list"
        );
    }
}

#[test]
fn the_changelog_keeps_the_form_of_keep_a_changelog() {
    let text = read("CHANGELOG.md");
    assert!(text.starts_with("# Changelog\n"));
    assert!(
        text.lines().any(|line| line == "## [Unreleased]"),
        "there is always a section for what comes next"
    );
    for line in text.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(
            KINDS.contains(&line.to_lowercase().as_str()),
            "'### {line}' is not one of {KINDS:?}"
        );
    }
}
