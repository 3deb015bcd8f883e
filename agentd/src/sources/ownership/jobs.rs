//! Which jobs of cron a package brought.
//!
//! In the group of cron's service everything but the daemon is somebody's job, root's as well as anybody's, except what packages have
//! run: the lines of their tables in `/etc/cron.d`, and their scripts in `/etc/cron.hourly` and so on, which `run-parts` starts. A
//! job is told by the command with which cron started it, so all that it starts belongs to it.

use std::collections::HashSet;

use crate::host::units::Registry;
use crate::host::{HostError, HostRoot};

/// Tables of the system.
const TABLES: &str = "/etc/cron.d";
/// The most tables, and the most of one.
const MOST: usize = 512;
const LIMIT: usize = 1 << 20;
/// What runs the scripts of a folder.
const RUNNERS: [&str; 2] = ["run-parts", "anacron"];
/// Folders of scripts.
const FOLDERS: [&str; 4] =
    ["/etc/cron.hourly/", "/etc/cron.daily/", "/etc/cron.weekly/", "/etc/cron.monthly/"];

/// What one process of cron's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A package's job: so is everything below it.
    Packaged,
    /// What starts the scripts of a folder: it is nobody's job itself.
    Runner,
    /// Anything else.
    Other,
}

/// The commands of packages' tables.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    commands: HashSet<String>,
}

impl Jobs {
    /// Reads the tables.
    pub(super) fn read(root: &HostRoot, registry: &Registry) -> Result<Self, HostError> {
        let mut jobs = Self::default();
        let names = match root.names(TABLES, MOST) {
            Ok(names) => names,
            Err(error) if error.is_missing() => return Ok(jobs),
            Err(error) => return Err(error),
        };
        for path in names.iter().map(|name| format!("{TABLES}/{name}")) {
            if registry.is_packaged(&path) {
                // A table that cannot be read has no command that is known: its jobs are somebody's.
                let text = root.read_text(&path, LIMIT).unwrap_or_default();
                jobs.commands.extend(text.lines().filter_map(command).map(str::to_owned));
            }
        }
        Ok(jobs)
    }

    /// What a process with these arguments is.
    pub(super) fn step(&self, arguments: &[&[u8]], registry: &Registry) -> Step {
        let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let mut rest = words.iter();
        let Some(program) = rest.next().map(AsRef::as_ref) else { return Step::Other };
        if RUNNERS.contains(&base(program).as_str()) {
            return Step::Runner;
        }
        if base(program).ends_with("sh") && rest.next().is_some_and(|word| word == "-c") {
            let command = rest.next().map(AsRef::as_ref).unwrap_or_default();
            if self.commands.contains(command.trim()) {
                return Step::Packaged;
            }
            let runs = |word: &str| RUNNERS.contains(&base(word).as_str());
            return if command.split_whitespace().any(runs) { Step::Runner } else { Step::Other };
        }
        let script = words.iter().find(|word| FOLDERS.iter().any(|it| word.starts_with(it)));
        if script.is_some_and(|script| registry.is_packaged(script)) {
            return Step::Packaged;
        }
        Step::Other
    }
}

/// The command of a line of a table of the system (crontab(5)): what follows five times and a user. The first `%` that is
/// not escaped ends it.
fn command(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let fields = match line.chars().next()? {
        '@' => 2,
        first if first.is_ascii_digit() || first == '*' || first == '-' => 6,
        _ => return None,
    };
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.trim_start().split_once(char::is_whitespace)?.1;
    }
    let end = rest
        .char_indices()
        .find(|(at, c)| *c == '%' && !rest.get(..*at).is_some_and(|before| before.ends_with('\\')));
    let command = end.and_then(|(end, _)| rest.get(..end)).unwrap_or(rest).trim();
    (!command.is_empty()).then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn step(line: &[&str]) -> Step {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/sysstat\n/etc/cron.daily/man-db\n");
        tree.file(
            "/etc/cron.d/sysstat",
            "# x\nPATH=/usr/bin\n5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1\n@reboot root sa\n",
        );
        tree.file("/etc/cron.d/mine", "0 * * * * root /opt/etl\n");
        let registry = Registry::of(&tree.root());
        let jobs = Jobs::read(&tree.root(), &registry).unwrap();
        let words: Vec<&[u8]> = line.iter().map(|word| word.as_bytes()).collect();
        jobs.step(&words, &registry)
    }

    #[test]
    fn a_packages_jobs_are_told_from_somebodys() {
        for (line, expected) in [
            (
                &["/bin/sh", "-c", "command -v debian-sa1 > /dev/null && debian-sa1 1 1"][..],
                Step::Packaged,
            ),
            (&["/bin/sh", "-c", "sa"], Step::Packaged),
            (&["/bin/sh", "-c", "/opt/etl"], Step::Other),
            (&["/opt/etl"], Step::Other),
            (&["/bin/sh", "-c", "cd / && run-parts --report /etc/cron.hourly"], Step::Runner),
            (&["run-parts", "--report", "/etc/cron.daily"], Step::Runner),
            (&["/bin/sh", "/etc/cron.daily/man-db"], Step::Packaged),
            (&["/bin/sh", "/etc/cron.daily/backup"], Step::Other),
            (&["/etc/cron.daily/backup"], Step::Other),
            (&[], Step::Other),
        ] {
            assert_eq!(step(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_command_of_a_line_ends_at_a_percent_sign() {
        for (line, expected) in [
            ("*/5 * * * * root a \\% b % c", Some("a \\% b")),
            ("0 3 * * 1-5 www-data x", Some("x")),
            ("@daily root y z", Some("y z")),
            ("MAILTO=root", None),
            ("0 3 * * * root", None),
            ("", None),
        ] {
            assert_eq!(command(line), expected, "{line}");
        }
    }
}
