//! The units of systemd that are named in rpm's data base.
//!
//! The data base is a file of `SQLite`, of Berkeley DB, or of a format of rpm's own. Reading them takes a library for each. But all of
//! them hold the names of files as they are: in the header of each package, one after the other, and in an index of names. So the
//! files are looked through for what can be the name of a unit. A name in a header may lie on two pages; the index has it whole.
//!
//! What is found may be too much (a unit that the description of a package speaks of), never too little: too much is what was
//! believed of all of the vendor's folder.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;

use crate::host::{HostError, HostRoot};

/// Where rpm keeps its data base: today's place, and the one before it. One may be a link to the other.
const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// `SQLite`'s file and what was not written into it yet, rpm's own format, Berkeley DB's packages and its index of names.
const FILES: [&str; 5] =
    ["rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages", "Basenames"];
/// The kinds of units whose origin matters.
const KINDS: [&[u8]; 2] = [b".service", b".timer"];
/// So much is read at once …
const CHUNK: usize = 64 << 10;
/// … and so much of it is looked at again with what follows: more than a name is long (`NAME_MAX`).
const OVERLAP: usize = 512;
/// The most of one file.
const LIMIT: u64 = 1 << 30;

/// The names of units in the data base; none if there is no data base.
pub(super) fn units(root: &HostRoot) -> Result<Option<HashSet<String>>, HostError> {
    for folder in FOLDERS {
        let mut names = HashSet::new();
        let mut there = false;
        for file in FILES.map(|file| format!("{folder}/{file}")) {
            let failed = |error| HostError::io("read", &*file, error);
            match File::open(root.path(&file)).map_err(failed) {
                Ok(data) => scan(data.take(LIMIT), &mut names).map_err(failed)?,
                Err(error) if error.is_missing() => continue,
                Err(error) => return Err(error),
            }
            there = true;
        }
        if there && names.is_empty() {
            return Err(HostError::malformed(folder, "no unit is named in rpm's data base"));
        }
        if there {
            return Ok(Some(names));
        }
    }
    Ok(None)
}

fn scan(mut data: impl Read, names: &mut HashSet<String>) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK + OVERLAP);
    loop {
        let chunk = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        if data.by_ref().take(chunk).read_to_end(&mut bytes)? == 0 {
            return Ok(());
        }
        find(&bytes, names);
        let seen = bytes.len().saturating_sub(OVERLAP);
        bytes.drain(..seen);
    }
}

/// Takes in the names that lie in these bytes as a whole.
fn find(bytes: &[u8], names: &mut HashSet<String>) {
    let dots = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    for (dot, _) in dots {
        let (before, after) = bytes.split_at(dot);
        let Some(kind) = KINDS.iter().find(|kind| after.starts_with(kind)) else { continue };
        // What the bytes begin with may be the rest of a longer name.
        let Some(other) = before.iter().rposition(|byte| !may_be_in_a_name(*byte)) else {
            continue;
        };
        let name = bytes.get(other + 1..dot + kind.len());
        if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) {
            names.insert(name.to_owned());
        }
    }
}

/// Whether the name of a unit may have it (systemd.unit(5)).
fn may_be_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn found(bytes: &[u8]) -> Vec<String> {
        let mut names = HashSet::new();
        scan(bytes, &mut names).unwrap();
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort();
        names
    }

    #[test]
    fn names_are_found_in_headers_and_in_the_index() {
        // From a data base that rpm 4.18 made: a header, a row of the table of names, and one of its index.
        assert_eq!(
            found(b"mer\0nginx.service\0php-fpm@.service\0sys"),
            ["nginx.service", "php-fpm@.service"]
        );
        assert_eq!(
            found(
                b"\x06\x04'\t\x01nginx.service\x06\x14\x06\x04+\t\x01logrotate.timer\x05$\x05\x04K"
            ),
            ["logrotate.timer", "nginx.service"]
        );
        assert_eq!(found(b"\x11\x03'\x01nginx.service\x07\x13\x03+\x01"), ["nginx.service"]);
        assert_eq!(found(b"\0readme.txt\0.services\0a b.timers\0"), [".service", "b.timer"]);
    }

    #[test]
    fn a_name_is_found_wherever_the_chunks_end() {
        for start in (CHUNK - 40..CHUNK + 40).chain(2 * CHUNK - 20..2 * CHUNK + 20) {
            let mut bytes = vec![0; start];
            bytes.extend(b"amazon-cloudwatch-agent.service\0");
            bytes.resize(3 * CHUNK, 1);
            assert_eq!(found(&bytes), ["amazon-cloudwatch-agent.service"], "{start}");
        }
    }

    #[test]
    fn a_data_base_that_names_no_unit_is_not_understood() {
        let tree = Tree::new();
        assert_eq!(units(&tree.root()).unwrap(), None);
        tree.file("/var/lib/rpm/rpmdb.sqlite", "SQLite format 3");
        let error = units(&tree.root()).unwrap_err().to_string();
        assert!(error.contains("/var/lib/rpm") && error.contains("no unit"), "{error}");
        tree.file("/var/lib/rpm/rpmdb.sqlite-wal", "\0sshd.service\0");
        assert_eq!(units(&tree.root()).unwrap().unwrap().len(), 1);
    }
}
