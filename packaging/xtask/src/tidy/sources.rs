//! Rust files: their length, their names, their first line, and how much of them is tests.

use std::ffi::OsStr;
use std::path::Path;

use super::{TextFile, none, read, rust_files, text_files};

/// The most lines of a file before its tests.
const MAX_LINES: usize = 440;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] =
    &["common", "handler", "handlers", "helper", "helpers", "manager", "misc", "util", "utils"];

/// The lines of a file before its tests, which come last.
fn before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| match pair {
        [attribute, module] => {
            attribute.starts_with("#[cfg(test)]")
                && module.starts_with("mod ")
                && module.ends_with('{')
        }
        _ => false,
    });
    tests.unwrap_or(lines.len())
}

/// Whether all of a file is there for tests.
fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("xtask/src/tidy")
        || path.ends_with("xtask/src/licence.rs")
}

#[test]
fn no_file_is_too_long() {
    let long = rust_files()
        .into_iter()
        .filter(|file| !file.path.ends_with("/tests.rs") && !file.path.contains("/tests/"))
        .map(|file| (before_tests(&file.text), file.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| {
            format!(
                "{path}: {lines} lines before its tests, at most {MAX_LINES}: split it by subject"
            )
        })
        .collect::<Vec<_>>();
    none("files that are too long", &long);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = rust_files()
        .into_iter()
        .filter(|file| !file.path.ends_with("/tests.rs"))
        .filter(|file| {
            !file
                .text
                .lines()
                .next()
                .is_some_and(|line| line.starts_with("//! ") && line.len() > 12)
        })
        .map(|file| format!("{}: the first line is no `//!` sentence", file.path))
        .collect::<Vec<_>>();
    none("modules without a purpose", &silent);
}

#[test]
fn file_names_say_what_is_inside() {
    let empty = rust_files()
        .into_iter()
        .filter(|file| {
            file.path.trim_end_matches(".rs").split('/').any(|part| EMPTY_NAMES.contains(&part))
        })
        .map(|file| file.path)
        .collect::<Vec<_>>();
    none("file names that say nothing", &empty);
}

#[test]
fn product_text_speaks_of_the_product_only() {
    // In two parts, so that this file does not contain them.
    let forbidden = [
        concat!("/wo", "rk/"),
        concat!("/tmp/br", "ief"),
        concat!("helper ses", "sion"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("this mach", "ine's mirror"),
    ];
    let faults = text_files()
        .iter()
        .flat_map(|file| {
            file.text.lines().enumerate().map(move |(number, line)| (file, number, line))
        })
        .filter(|(_, _, line)| forbidden.iter().any(|word| line.contains(word)))
        .map(|(file, number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
        .collect::<Vec<_>>();
    none("words that do not belong in the product", &faults);
}

#[test]
fn files_are_plain_text() {
    let faults = text_files()
        .iter()
        .filter(|file| {
            let text = &file.text;
            text.contains('\r') || (!text.is_empty() && !text.ends_with('\n'))
        })
        .map(|file| format!("{}: carriage returns, or no newline at the end", file.path))
        .collect::<Vec<_>>();
    none("files that are no plain text", &faults);
}

#[test]
fn the_engine_obeys_the_lints_of_the_root_too() {
    let keys = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains(" = ") && !line.starts_with([' ', '#']))
            .map(str::to_owned)
            .collect()
    };
    let core = keys(&read("agentd/core/clippy.toml"));
    let missing = keys(&read("clippy.toml"))
        .into_iter()
        .filter(|key| !core.contains(key))
        .collect::<Vec<_>>();
    none(
        "the nearest clippy.toml replaces the root's: repeat these lines in agentd/core/clippy.toml",
        &missing,
    );
}

/// Lines that are not blank, of what is shipped and of what tests it. The project's own commands are neither.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    code: usize,
    tests: usize,
}

impl Amount {
    fn add(&mut self, file: &TextFile) {
        let is_line = |line: &&str| !line.trim().is_empty();
        let first = if is_test_file(&file.path) { 0 } else { before_tests(&file.text) };
        self.code += file.text.lines().take(first).filter(is_line).count();
        self.tests += file.text.lines().skip(first).filter(is_line).count();
    }
}

#[test]
fn there_is_at_least_as_much_test_code_as_code() {
    let (mut all, mut core) = (Amount::default(), Amount::default());
    for file in text_files() {
        let of_end_to_end = file.path.starts_with("tests/e2e/")
            && Path::new(&file.path).extension() == Some(OsStr::new("py"));
        if file.path.starts_with("packaging/") || !(file.is_rust() || of_end_to_end) {
            continue;
        }
        all.add(&file);
        // The scenarios, traces and scores are nothing but tests of the engine.
        if file.path.starts_with("agentd/core/") || file.path.starts_with("tests/accuracy/") {
            core.add(&file);
        }
    }
    println!("all: {all:?}; the engine: {core:?}");
    assert!(all.tests >= all.code, "{all:?}: less test code than code");
    assert!(
        core.tests * 2 >= core.code * 3,
        "the engine: {core:?}: less than one and a half times as much test code as code"
    );
}

#[test]
fn tests_are_told_from_code() {
    assert_eq!(before_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests;\nfn b() {}\n"), 4);
    assert_eq!(before_tests("a\n#[cfg(test)]\nuse x;\n"), 3);
    assert!(is_test_file("agentd/src/config/tests.rs"));
    assert!(is_test_file("tests/src/imds.rs"));
    assert!(!is_test_file("agentd/src/config/mod.rs"));
}
