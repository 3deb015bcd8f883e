//! Documents: what they tell people to type exists, and what is generated is current.

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory as _;

use super::{none, read, workspace};
use crate::Line;
use crate::generate;

const DOCUMENTS: &[&str] = &["README.md", "CONTRIBUTING.md", "SECURITY.md"];

/// cargo's own verbs that the documents may name.
const CARGO: &[&str] = &["build", "clippy", "doc", "fmt", "install", "run", "test", "xtask"];

/// The word after each `PROGRAM `, as in `agentctl status`, inside code.
fn verbs(text: &str, program: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        for (at, _) in line.match_indices(&format!("{program} ")) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || "-_/.".contains(letter)) {
                continue;
            }
            let rest = &line[at + program.len() + 1..];
            let word: String = rest
                .chars()
                .take_while(|&letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-'
                })
                .collect();
            if word.starts_with(|letter: char| letter.is_ascii_lowercase()) {
                found.insert(word);
            }
        }
    }
    found
}

/// The text between backticks and in fenced blocks.
fn code(text: &str) -> String {
    let mut fenced = false;
    let mut code = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push_str(line);
            code.push('\n');
        } else {
            for part in line.split('`').skip(1).step_by(2) {
                code.push_str(part);
                code.push('\n');
            }
        }
    }
    code
}

#[test]
fn every_verb_of_agentctl_in_the_documents_exists() {
    let command = agentctl::command();
    let known: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for document in DOCUMENTS {
        for verb in verbs(&code(&read(document)), "agentctl") {
            assert!(known.contains(verb.as_str()), "{document}: `agentctl {verb}` does not exist");
        }
    }
}

#[test]
fn every_command_of_cargo_in_the_documents_exists() {
    let config = read(".cargo/config.toml");
    let aliases: BTreeSet<&str> = config
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim())
        .collect();
    let command = Line::command();
    let ours: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for document in DOCUMENTS {
        let code = code(&read(document));
        for verb in verbs(&code, "cargo") {
            assert!(
                aliases.contains(verb.as_str()) || CARGO.contains(&verb.as_str()),
                "{document}: cargo {verb}"
            );
        }
        for verb in verbs(&code, "cargo xtask") {
            assert!(
                ours.contains(verb.as_str()),
                "{document}: `cargo xtask {verb}` does not exist"
            );
        }
    }
}

#[test]
fn aliases_call_verbs_that_exist() {
    let command = Line::command();
    let ours: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for line in read(".cargo/config.toml").lines() {
        if let Some((_, verb)) = line.trim_end_matches('"').split_once(" -- ") {
            assert!(ours.contains(verb), "{line}");
        }
    }
}

#[test]
fn the_script_of_the_server_runs_what_the_readme_tells_people_to_run() {
    let script = read(".ci/run");
    assert_eq!(script.lines().next_back(), Some("cargo ci"));
    assert!(script.contains("set -euo pipefail"));
    assert!(code(&read("README.md")).lines().any(|line| line.starts_with("cargo ci")));
}

#[test]
fn the_user_data_of_the_readme_is_the_example_that_is_shipped() {
    let example = read("packaging/cloud-init/hibernate-when-idle.yaml");
    assert!(
        read("README.md").contains(&format!("```yaml\n{example}```\n")),
        "README.md has another user-data"
    );
}

#[test]
fn the_status_of_the_readme_is_what_agentctl_prints() {
    let snapshot = read(
        "agentctl/src/render/status/snapshots/agentctl__render__status__tests__quiet_with_a_countdown.snap",
    );
    let (_, printed) = snapshot.trim_start_matches("---\n").split_once("---\n").unwrap();
    assert!(
        read("README.md").contains(printed.trim_matches('\n')),
        "README.md shows another status:\n{printed}"
    );
}

#[test]
fn user_data_fits_and_is_recognised() {
    for entry in fs::read_dir(workspace().path("packaging/cloud-init")).unwrap().map(Result::unwrap)
    {
        let text = fs::read_to_string(entry.path()).unwrap();
        let name = entry.file_name();
        assert!(
            text.starts_with("#cloud-config\n"),
            "{name:?}: cloud-init would not read it as configuration"
        );
        assert!(text.len() < 16 * 1024, "{name:?}: EC2 takes at most 16 KiB of user-data");
        assert!(!text.contains('\t'), "{name:?}: YAML forbids tabs");
    }
}

#[test]
fn generated_files_are_current() {
    let workspace = workspace();
    let files = generate::all(&workspace).unwrap();
    let mut faults: Vec<String> = files
        .iter()
        .filter(|file| fs::read(workspace.root.join(&file.path)).ok().as_ref() != Some(&file.text))
        .map(|file| file.path.display().to_string())
        .collect();
    faults
        .extend(generate::stale(&workspace, &files).iter().map(|path| path.display().to_string()));
    none("run `cargo xtask gen`; these are not current", &faults);
}

#[test]
fn the_daemons_man_page_is_of_this_version_and_date() {
    let page = read("packaging/man/agentd.8");
    let config = read("packaging/man/agentd.toml.5");
    let head =
        |text: &str| text.lines().next().unwrap_or_default().split_once(' ').unwrap().1.to_owned();
    let rest = |line: String| line.splitn(3, ' ').nth(2).unwrap().to_owned();
    assert_eq!(rest(head(&page)), rest(head(&config)));
}

#[test]
fn verbs_are_found_in_code_only_after_the_program() {
    let text = "run `agentctl status`, not agentctl nothing\n```sh\nsudo agentctl hold 2h\n/usr/agentctl nope\n```\n";
    let found = verbs(&code(text), "agentctl");
    assert_eq!(found, BTreeSet::from(["status".to_owned(), "hold".to_owned()]));
    assert_eq!(
        verbs("cargo xtask e2e -- --keep", "cargo xtask"),
        BTreeSet::from(["e2e".to_owned()])
    );
}
