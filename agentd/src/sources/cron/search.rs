//! Reads what is closed to the agent of cron and at: the whole of the program that systemd starts as a [`Reader`].
//!
//! It runs as a root with `CAP_DAC_READ_SEARCH`, prints times and owners, and ends. Commands never leave it: of a line it
//! keeps when it runs, of a job of at the name of its file.
//!
//! [`Reader`]: crate::sources::reader::Reader

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::fields::When;
use super::table::{self, Around, Kind, Line};
use super::{FOLDERS, at};
use crate::host::{HostError, HostRoot};

/// The most of one user's table that is read, bytes. cron refuses more than a thousand lines.
const TABLE: usize = 256 << 10;
/// The most tables, and jobs of at, in one folder. More are left out, and that is said.
const ENTRIES: usize = 1000;
/// The most of a folder that is listed to find them.
const LISTED: usize = 65_536;
/// The most jobs of all tables together, and of one: a long table leaves room for the others.
const JOBS: usize = 2000;
pub(super) const JOBS_OF_ONE: usize = 250;

/// What a reader found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    /// Tables of users.
    pub(super) tables: Vec<Table>,
    /// Jobs of at.
    pub(super) jobs: Vec<AtJob>,
    /// What could be read not at all or not to its end, and why.
    pub(super) unread: Vec<Unread>,
}

/// A table without its commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The file, whose name is that of the user.
    pub(super) path: String,
    /// Its jobs.
    pub(super) jobs: Vec<Job>,
    /// The lines that make no sense.
    pub(super) nonsense: Vec<usize>,
}

/// A line without its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// The number of the line.
    pub(super) line: usize,
    /// When it runs.
    pub(super) when: When,
    /// In which time zone, where the table tells it.
    pub(super) zone: Option<String>,
}

/// A job of at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtJob {
    /// The folder.
    pub(super) folder: String,
    /// The name of its file, which tells when it runs.
    pub(super) name: String,
    /// Whose it is.
    pub(super) uid: u32,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unread {
    /// The file or folder.
    pub(super) path: String,
    /// Why.
    pub(super) why: String,
}

/// Prints the times of the jobs that users gave to cron and at.
pub fn print_schedules(host: &HostRoot) -> ExitCode {
    let printed = serde_json::to_vec(&search(host))
        .map_err(std::io::Error::other)
        .and_then(|text| std::io::stdout().write_all(&text));
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks into every folder in which users' jobs are kept.
pub(super) fn search(host: &HostRoot) -> Found {
    let mut found = Found::default();
    let mut tables = Vec::new();
    for (folder, _) in FOLDERS.iter().filter(|(_, kind)| *kind == Kind::Personal) {
        let wanted = |name: &str| table::is_name(name, Kind::Personal, false);
        let names = names(host, folder, wanted, &mut found.unread);
        tables.extend(names.iter().map(|name| format!("{folder}/{name}")));
    }
    let each = (JOBS / tables.len().max(1)).clamp(1, JOBS_OF_ONE);
    for path in tables {
        match cut(host, &path, each) {
            Ok(Some((table, whole))) => {
                if !whole {
                    let why = format!("more than {each} jobs, only those are looked at");
                    found.unread.push(Unread { path, why });
                }
                found.tables.push(table);
            }
            Ok(None) => {}
            Err(error) => found.unread.push(Unread { path, why: error.to_string() }),
        }
    }
    for folder in at::FOLDERS {
        for name in names(host, folder, at::is_job, &mut found.unread) {
            // One that is gone by now has run.
            if let Ok(Some(metadata)) = host.inspect(&format!("{folder}/{name}")) {
                found.jobs.push(AtJob { folder: folder.to_owned(), name, uid: metadata.uid() });
            }
        }
    }
    found
}

/// At most so many of the names in a folder that are wanted, and whether those are all. What editors and crontab(1) leave there takes
/// no table's place.
pub(super) fn some(
    host: &HostRoot,
    folder: &str,
    most: usize,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, bool), HostError> {
    let (mut names, all) = host.some_names(folder, LISTED)?;
    names.retain(|name| wanted(name));
    let whole = all && names.len() <= most;
    names.truncate(most);
    Ok((names, whole))
}

/// The names in a folder. One that is missing has none.
fn names(host: &HostRoot, folder: &str, wanted: impl Fn(&str) -> bool, unread: &mut Vec<Unread>) -> Vec<String> {
    match some(host, folder, ENTRIES, wanted) {
        Ok((names, whole)) => {
            if !whole {
                let why = format!("more than {ENTRIES} entries, only those are looked at");
                unread.push(Unread { path: folder.to_owned(), why });
            }
            names
        }
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => {
            unread.push(Unread { path: folder.to_owned(), why: error.to_string() });
            Vec::new()
        }
    }
}

/// A table without its commands, and whether that is all of it; none if there is no such file.
pub(super) fn cut(host: &HostRoot, path: &str, most: usize) -> Result<Option<(Table, bool)>, HostError> {
    let mut text = Vec::new();
    match host.inspect(path) {
        Ok(Some(metadata)) if metadata.is_dir() => return Ok(None),
        _ => {}
    }
    match host.read_plain(path, TABLE, &mut text) {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    }
    let text = String::from_utf8_lossy(&text);
    let mut table = Table { path: path.to_owned(), jobs: Vec::new(), nonsense: Vec::new() };
    for (number, line) in table::lines(&text, None::<&Around<fn(&str) -> bool>>) {
        if table.jobs.len() + table.nonsense.len() >= most {
            return Ok(Some((table, false)));
        }
        match line {
            Line::Job { when: When::AtStart, .. } => {}
            Line::Job { when, zone, .. } => {
                table.jobs.push(Job { line: number, when, zone: zone.map(str::to_owned) });
            }
            Line::Nonsense => table.nonsense.push(number),
        }
    }
    Ok(Some((table, true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn printed(tree: &Tree) -> String {
        serde_json::to_string(&search(&tree.root())).unwrap()
    }

    #[test]
    fn what_is_printed_has_times_and_owners_and_never_a_command() {
        let tree = Tree::new();
        let alice = "MAILTO=boss@example.org\nTOKEN=hunter2\n0 13 * * * /srv/secret --key hunter2 % hunter2\nhunter2\n@daily hunter2\n";
        tree.file("/var/spool/cron/crontabs/alice", alice);
        tree.file("/var/spool/cron/bob", "CRON_TZ=Europe/Berlin\n5 4 * * sun hunter2\n@reboot hunter2\n");
        tree.file("/var/spool/cron/atjobs/a0000101b2a3e0", "#!/bin/sh\nhunter2\n");
        tree.file("/var/spool/cron/atjobs/.SEQ", "hunter2");
        tree.file("/var/spool/cron/atjobs/hunter2", "");
        let text = printed(&tree);
        for word in ["hunter2", "secret", "boss", "MAILTO"] {
            assert!(!text.contains(word), "{text}");
        }
        let found: Found = serde_json::from_str(&text).unwrap();
        let lines: Vec<(&str, Vec<usize>, &[usize])> = found
            .tables
            .iter()
            .map(|t| (t.path.as_str(), t.jobs.iter().map(|job| job.line).collect(), &*t.nonsense))
            .collect();
        let expected = [
            ("/var/spool/cron/crontabs/alice", vec![3, 5], &[4][..]),
            ("/var/spool/cron/bob", vec![2], &[]),
        ];
        assert_eq!(lines, expected);
        assert_eq!(found.tables[1].jobs[0].zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(found.jobs.len(), 1);
        assert_eq!(found.jobs[0].name, "a0000101b2a3e0");
        assert_eq!(found.unread, []);
    }

    #[test]
    fn a_hostile_table_costs_its_owner_only() {
        let tree = Tree::new();
        let folder = "/var/spool/cron/crontabs";
        tree.file(&format!("{folder}/alice"), "0 13 * * * x\n");
        tree.file(&format!("{folder}/huge"), "0 13 * * * x\n".repeat(50_000));
        tree.file(&format!("{folder}/long"), "0 13 * * * x\n".repeat(900));
        tree.file(&format!("{folder}/noise"), b"\xff\xfe\0\x1b[2J * * *\n".repeat(900));
        tree.file(&format!("{folder}/tmp.XXXX/below"), "");
        nix::unistd::mkfifo(&tree.path(&format!("{folder}/pipe")), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", tree.path(&format!("{folder}/link"))).unwrap();
        let found = search(&tree.root());
        let jobs: Vec<(&str, usize)> =
            found.tables.iter().map(|table| (table.path.as_str(), table.jobs.len())).collect();
        let alice = format!("{folder}/alice");
        assert!(jobs.contains(&(&alice, 1)), "{jobs:?}");
        let unread: Vec<&str> = found.unread.iter().map(|it| it.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(unread, ["huge", "link", "long", "noise", "pipe"]);
        assert!(serde_json::to_vec(&found).unwrap().len() < 200_000);
    }

    #[test]
    fn many_tables_share_the_room_and_are_never_too_long_to_print() {
        let tree = Tree::new();
        for user in 0..1100 {
            let name = format!("/var/spool/cron/crontabs/user{user:04}");
            tree.file(&name, "CRON_TZ=America/Argentina/ComodRivadavia\n".to_owned() + &"59 23 31 12 6 x\n".repeat(9));
        }
        let text = printed(&tree);
        assert!(text.len() < 1 << 20, "{}", text.len());
        let found: Found = serde_json::from_str(&text).unwrap();
        assert_eq!(found.tables.len(), 1000);
        assert!(found.tables.iter().all(|table| !table.jobs.is_empty()));
        assert!(found.unread[0].why.contains("more than 1000 entries"));
    }

    #[test]
    fn a_machine_without_any_has_none() {
        assert_eq!(search(&Tree::new().root()), Found::default());
    }
}
