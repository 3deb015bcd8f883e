//! Files that are made from the programs and committed: man pages, completions, the list of crates.
//!
//! They are committed so that building the package generates nothing; a test compares them with what would be written.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clap::Command;
use clap_complete::{Generator, Shell};
use clap_mangen::Man;

use crate::config_page;
use crate::graph::Graph;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// A generated file: its path in the repository and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// The path, from the repository's root.
    pub(crate) path: PathBuf,
    /// What it should say.
    pub(crate) text: Vec<u8>,
}

/// The folder of man pages.
const MAN: &str = "packaging/man";
/// The commented default configuration.
const CONFIG: &str = "packaging/config.d/agentd.toml";
/// The folder of completions.
const COMPLETIONS: &str = "packaging/completions";
/// The list of crates in the two programs.
pub(crate) const THIRD_PARTY: &str = "packaging/doc/third-party.md";

/// Writes every generated file and removes pages of verbs that are gone.
pub(crate) fn write(workspace: &Workspace) -> Result<String, Trouble> {
    let files = all(workspace)?;
    for stale in stale(workspace, &files) {
        fs::remove_file(&stale)
            .map_err(|error| Trouble::Failed(format!("{}: {error}", stale.display())))?;
    }
    for file in &files {
        let path = workspace.root.join(&file.path);
        let failed =
            |error: std::io::Error| Trouble::Failed(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&path, &file.text).map_err(failed)?;
    }
    Ok(format!("{} files", files.len()))
}

/// Every generated file as it should be.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Generated>, Trouble> {
    let date = released(workspace)?;
    let mut files = pages(&agentctl::command(), &date)?;
    files.push(config_page(workspace, &date)?);
    files.extend(completions());
    files.push(Generated { path: THIRD_PARTY.into(), text: third_party(workspace)?.into_bytes() });
    Ok(files)
}

/// Man pages of `agentctl` in the folder that no verb of today has.
pub(crate) fn stale(workspace: &Workspace, files: &[Generated]) -> Vec<PathBuf> {
    let Ok(read) = fs::read_dir(workspace.path(MAN)) else { return Vec::new() };
    read.filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|section| section == "1"))
        .filter(|path| !files.iter().any(|file| workspace.root.join(&file.path) == *path))
        .collect()
}

/// The date of the newest entry of `debian/changelog`, as `2026-11-22`.
fn released(workspace: &Workspace) -> Result<String, Trouble> {
    let path = workspace.path("debian/changelog");
    let text = fs::read_to_string(&path)
        .map_err(|error| Trouble::Failed(format!("{}: {error}", path.display())))?;
    date(&text)
        .ok_or_else(|| Trouble::Failed(format!("{}: no date in the first entry", path.display())))
}

/// From the line ` -- NAME <ADDRESS>  Sun, 22 Nov 2026 00:00:00 +0000`.
fn date(changelog: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let line = changelog.lines().find(|line| line.starts_with(" -- "))?;
    let mut words = line.rsplit_once(", ")?.1.split_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some(format!("{year}-{month:02}-{day:0>2}"))
}

/// `agentctl(1)`, one page a verb, `agentctl-status(1)`, and one a verb below it, `agentctl-spot-drill(1)`.
fn pages(command: &Command, date: &str) -> Result<Vec<Generated>, Trouble> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut files = vec![page(&command, "agentctl", date)?];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("agentctl-{}", verb.get_name());
        files.push(page(verb, &name, date)?);
        for below in verb.get_subcommands().filter(|below| !below.is_hide_set()) {
            files.push(page(below, &format!("{name}-{}", below.get_name()), date)?);
        }
    }
    Ok(files)
}

fn page(command: &Command, name: &str, date: &str) -> Result<Generated, Trouble> {
    let failed = |error: std::io::Error| Trouble::Failed(format!("man page {name}: {error}"));
    let mut text = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    Man::new(command.clone().display_name(name.to_owned()))
        .title(name)
        .date(date)
        .source(format!("agentd {version}"))
        .manual("agentd")
        .render(&mut text)
        .map_err(failed)?;
    let text = without_idle_breaks(&String::from_utf8_lossy(&text)).into_bytes();
    Ok(Generated { path: format!("{MAN}/{name}.1").into(), text })
}

/// Without the line breaks that stand beside a vertical space, which mandoc complains about.
fn without_idle_breaks(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let is_space = |at: Option<usize>| {
        at.and_then(|at| lines.get(at)).is_some_and(|line| line.is_empty() || *line == ".sp")
    };
    let kept = lines.iter().enumerate().filter(|(at, line)| {
        **line != ".br" || !(is_space(at.checked_sub(1)) || is_space(Some(at + 1)))
    });
    kept.flat_map(|(_, line)| [*line, "\n"]).collect()
}

fn config_page(workspace: &Workspace, date: &str) -> Result<Generated, Trouble> {
    let config = fs::read_to_string(workspace.path(CONFIG))
        .map_err(|error| Trouble::Failed(format!("{CONFIG}: {error}")))?;
    let text = config_page::render(&config, env!("CARGO_PKG_VERSION"), date).into_bytes();
    Ok(Generated { path: format!("{MAN}/agentd.toml.5").into(), text })
}

fn completions() -> Vec<Generated> {
    [(Shell::Bash, "agentctl.bash"), (Shell::Zsh, "_agentctl"), (Shell::Fish, "agentctl.fish")]
        .map(|(shell, name)| Generated {
            path: format!("{COMPLETIONS}/{name}").into(),
            text: completion(shell),
        })
        .into()
}

fn completion(shell: impl Generator) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut agentctl::command(), "agentctl", &mut text);
    text
}

/// The crates in the two programs with their licences, as the notice that these licences ask for.
fn third_party(workspace: &Workspace) -> Result<String, Trouble> {
    let graph = Graph::read(workspace)?;
    let mut text = "# Crates in agentd and agentctl\n\n\
        The programs contain these crates from crates.io. The texts of the licences are in the crates.\n\n\
        | crate | version | licence |\n|---|---|---|\n"
        .to_owned();
    for package in graph.beneath(&["agentd", "agentctl", "agent-core", "agent-proto"]) {
        let licence = package.licence.as_deref().unwrap_or("not stated");
        let _ = writeln!(text, "| {} | {} | {licence} |", package.name, package.version);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_newest_entry() {
        let log = "agentd (2) x; y\n\n -- A, B <a@b>  Sun, 2 Nov 2026 00:00:00 +0000\n\nagentd (1) x; y\n\n -- A <a@b>  \
                   Fri, 01 Jan 2021 00:00:00 +0000\n";
        assert_eq!(date(log).as_deref(), Some("2026-11-02"));
        assert_eq!(date("nothing"), None);
        assert_eq!(date(" -- A <a@b>  Sun, 2 Foo 2026 00:00:00 +0000"), None);
    }

    #[test]
    fn every_verb_has_a_page_with_a_date_and_hidden_ones_have_none() {
        let command = Command::new("agentctl")
            .subcommand(Command::new("status").about("Show"))
            .subcommand(Command::new("secret").hide(true))
            .subcommand(Command::new("spot").subcommand(Command::new("drill")));
        let files = pages(&command, "2026-11-22").unwrap();
        let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
        assert_eq!(
            names,
            [
                "packaging/man/agentctl.1",
                "packaging/man/agentctl-status.1",
                "packaging/man/agentctl-spot.1",
                "packaging/man/agentctl-spot-drill.1"
            ]
        );
        let text = String::from_utf8(files.into_iter().nth(1).unwrap().text).unwrap();
        assert!(text.contains(".TH agentctl-status 1 2026-11-22"), "{text}");
    }

    #[test]
    fn breaks_beside_a_space_are_left_out_and_others_stay() {
        assert_eq!(without_idle_breaks("a\n.br\n\n.br\nb\n.br\nc\n"), "a\n\nb\n.br\nc\n");
    }

    #[test]
    fn each_shell_gets_a_completion_that_knows_the_program() {
        for file in completions() {
            assert!(
                String::from_utf8(file.text).unwrap().contains("agentctl"),
                "{}",
                file.path.display()
            );
        }
    }
}
