//! Which jobs of cron a package brought.
//!
//! In the group of cron's service everything but the daemon is somebody's job, root's as well as anybody's, except what packages have
//! run: the lines of their tables in `/etc/cron.d`, and their scripts in `/etc/cron.hourly` and so on, which `run-parts` starts. A
//! job is told by the command with which cron started it, so all that it starts belongs to it.
//!
//! A shell may put the last command of its line in its own place (bash does, dash does not; Amazon Linux and Fedora have bash
//! as `/bin/sh`). Then the process shows that command's words, and for a script the kernel puts the interpreter before
//! them. What such a command puts in *its* place is a program of the same package: it lies in the same folder, if that
//! is the package's own.

use std::collections::HashSet;

use super::line;
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
/// How the `run-parts` of cronie tells the filter of a script's output which script it is.
const FILTERS: &str = "progname=";
/// Programs that run scripts, besides shells.
const INTERPRETERS: [&str; 3] = ["python", "perl", "ruby"];
/// Folders below `/usr` that are no single package's.
const SHARED: [&str; 8] = ["bin", "sbin", "lib", "lib64", "libexec", "share", "games", "local"];

/// What one process of cron's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Step {
    /// A package's job: so is everything below it.
    Packaged,
    /// What starts the scripts of a folder: it is nobody's job itself.
    Runner,
    /// Anything else.
    Other,
}

/// The commands of packages' tables.
#[derive(Debug, Default)]
pub(in crate::sources) struct Jobs {
    /// As the shell gets them.
    commands: HashSet<String>,
    /// The last simple command of each, as a process shows it.
    words: HashSet<Vec<String>>,
    /// The folders of packages' own programs.
    folders: HashSet<String>,
}

impl Jobs {
    /// Reads the tables.
    pub(in crate::sources) fn read(
        root: &HostRoot,
        registry: &Registry,
    ) -> Result<Self, HostError> {
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
                text.lines().filter_map(line::command).for_each(|command| jobs.learn(command));
            }
        }
        Ok(jobs)
    }

    fn learn(&mut self, command: String) {
        for words in line::simple_commands(&command) {
            self.folders.extend(words.first().and_then(|program| own_folder(program)));
        }
        self.words.extend(line::simple_commands(&command).pop().filter(|words| !words.is_empty()));
        self.commands.insert(command);
    }

    /// What a process with these arguments is.
    pub(in crate::sources) fn step(&self, arguments: &[&[u8]], registry: &Registry) -> Step {
        let words: Vec<String> =
            arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let Some(first) = words.first() else { return Step::Other };
        if is_shell(first) && words.get(1).is_some_and(|word| word == "-c") {
            let command = words.get(2).map(String::as_str).unwrap_or_default();
            if self.commands.contains(command.trim()) {
                return Step::Packaged;
            }
            let runs = |word: &str| RUNNERS.contains(&base(word));
            return if command.split_whitespace().any(runs) { Step::Runner } else { Step::Other };
        }
        let called = called(&words);
        let Some(program) = called.first() else { return Step::Other };
        if RUNNERS.contains(&base(program)) {
            return Step::Runner;
        }
        let mut scripts = words.iter().map(|word| word.strip_prefix(FILTERS).unwrap_or(word));
        let script = scripts.find(|word| FOLDERS.iter().any(|it| word.starts_with(it)));
        let of_folder = || own_folder(program).is_some_and(|it| self.folders.contains(&it));
        if script.is_some_and(|script| registry.is_packaged(script))
            || self.is_line(&words, called)
            || of_folder()
        {
            return Step::Packaged;
        }
        Step::Other
    }

    /// Whether the words are those of a line: as they stand, or those of a script, which may be found by its name alone.
    fn is_line(&self, words: &[String], called: &[String]) -> bool {
        let mut by_name = called.to_vec();
        if let Some(program) = by_name.first_mut() {
            *program = base(program).to_owned();
        }
        self.words.contains(words) || self.words.contains(called) || self.words.contains(&by_name)
    }
}

/// The last part of a path.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

fn is_shell(program: &str) -> bool {
    base(program).ends_with("sh")
}

/// What is run, without the interpreter of a script and its one option.
fn called(words: &[String]) -> &[String] {
    let interprets = |program: &String| {
        is_shell(program) || INTERPRETERS.iter().any(|it| base(program).starts_with(it))
    };
    match words {
        [first, option, rest @ ..] if interprets(first) && option.starts_with('-') => rest,
        [first, rest @ ..] if interprets(first) && !rest.is_empty() => rest,
        _ => words,
    }
}

/// The folder of a program, if nobody but one package has programs there.
fn own_folder(program: &str) -> Option<String> {
    let folder = program.strip_prefix("/usr/")?.rsplit_once('/')?.0;
    let mut parts = folder.split('/');
    let (first, last) = (parts.next()?, parts.next_back()?);
    let shared = first == "local" || SHARED.contains(&last) || last.ends_with("-linux-gnu");
    (!shared).then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    /// A machine with the tables of Debian, and one with those of Amazon Linux.
    fn trees() -> [Tree; 2] {
        let (debian, amazon) = (Tree::new(), Tree::new());
        debian.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/sysstat\n/etc/cron.daily/man-db\n");
        amazon.file("/var/lib/rpm/rpmdb.sqlite", "\0sshd.service\0");
        debian.file(
            "/etc/cron.d/sysstat",
            "# x\nPATH=/usr/bin\n5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1\n@reboot root sa\n",
        );
        amazon.file(
            "/etc/cron.d/sysstat",
            "*/10 * * * * root /usr/lib64/sa/sa1 1 1\n53 23 * * * root /usr/lib64/sa/sa2 -A\n",
        );
        amazon.file("/etc/cron.d/0hourly", "01 * * * * root run-parts /etc/cron.hourly\n");
        amazon.file(
            "/etc/cron.d/raid-check",
            "0 1 * * Sun root /usr/sbin/raid-check 'a  b' \"c d\" e\\%f\n",
        );
        for tree in [&debian, &amazon] {
            tree.file("/etc/cron.d/mine", "0 * * * * root /opt/etl 1 1\n");
        }
        [debian, amazon]
    }

    fn step(tree: &Tree, line: &[&str]) -> Step {
        let registry = Registry::of(&tree.root());
        let jobs = Jobs::read(&tree.root(), &registry).unwrap();
        let words: Vec<&[u8]> = line.iter().map(|word| word.as_bytes()).collect();
        jobs.step(&words, &registry)
    }

    #[test]
    fn a_packages_jobs_are_told_from_somebodys() {
        let [debian, _] = trees();
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
            assert_eq!(step(&debian, line), expected, "{line:?}");
        }
    }
    #[test]
    fn a_command_that_took_the_place_of_its_shell_is_told_by_its_words() {
        let [debian, amazon] = trees();
        for (tree, line, expected) in [
            // The script of a line, as bash and then the kernel show it.
            (&amazon, &["/bin/sh", "/usr/lib64/sa/sa1", "1", "1"][..], Step::Packaged),
            (&amazon, &["/usr/bin/bash", "-e", "/usr/lib64/sa/sa1", "1", "1"], Step::Packaged),
            (&amazon, &["/usr/lib64/sa/sa1", "1", "1"], Step::Packaged),
            // What the script puts in its place.
            (&amazon, &["/usr/lib64/sa/sadc", "-F", "-L", "1", "1", "/var/log/sa"], Step::Packaged),
            // The words of a line as a shell splits them.
            (&amazon, &["/bin/bash", "/usr/sbin/raid-check", "a  b", "c d", "e%f"], Step::Packaged),
            (&amazon, &["/bin/bash", "/usr/sbin/raid-check", "a", "b", "c d", "e%f"], Step::Other),
            (
                &amazon,
                &["/bin/bash", "-c", "/usr/sbin/raid-check 'a  b' \"c d\" e%f"],
                Step::Packaged,
            ),
            // The last command of a list, found by its name.
            (&debian, &["/bin/sh", "/usr/lib/sysstat/debian-sa1", "1", "1"], Step::Packaged),
            (&debian, &["debian-sa1", "1", "1"], Step::Packaged),
            // cronie's run-parts is a script itself, and anacron starts it by the shell.
            (&amazon, &["/bin/bash", "/bin/run-parts", "/etc/cron.hourly"], Step::Runner),
            (&amazon, &["/bin/bash", "/usr/bin/run-parts", "/etc/cron.daily"], Step::Runner),
            (&amazon, &["/usr/sbin/anacron", "-s"], Step::Runner),
            (&amazon, &["/bin/sh", "/etc/cron.hourly/0anacron"], Step::Packaged),
            (&amazon, &["awk", "-v", "progname=/etc/cron.daily/logrotate", "x"], Step::Packaged),
            (&amazon, &["/bin/sh", "/etc/cron.daily/backup"], Step::Other),
            (&amazon, &["awk", "-v", "progname=/etc/cron.daily/backup", "x"], Step::Other),
            // Somebody's own.
            (&amazon, &["/opt/etl", "1", "1"], Step::Other),
            (&amazon, &["/bin/sh", "/opt/etl", "1", "1"], Step::Other),
            (&amazon, &["/usr/lib64/sa/../../../opt/etl/x", "1"], Step::Other),
            (&amazon, &["/usr/sbin/rsync", "1", "1"], Step::Other),
            (&amazon, &["/usr/lib64/sat/sa1"], Step::Other),
            (&amazon, &["/bin/bash"], Step::Other),
            (&amazon, &["/bin/bash", "-c"], Step::Other),
        ] {
            assert_eq!(step(tree, line), expected, "{line:?}");
        }
    }
}
