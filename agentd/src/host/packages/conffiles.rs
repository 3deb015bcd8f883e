//! Which files of cron are still as a package brought them.
//!
//! What lies in `/etc` is there to be edited: a line that somebody wrote into a package's table is somebody's job. dpkg keeps the
//! MD5 sum of each such file as the package had it, in the field `Conffiles` of `/var/lib/dpkg/status` (deb-conffiles(5),
//! dpkg-query(1), `${Conffiles}`), so that it can ask before it replaces one that was changed. A file without a sum counts as unchanged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use md5::{Digest, Md5};

use crate::host::{HostError, HostRoot};

/// Where dpkg keeps what it knows of each package.
const STATUS: &str = "/var/lib/dpkg/status";
/// The most of it that is read; what comes after that has no sum.
const LIMIT: u64 = 256 << 20;
/// The most of a file whose sum is made.
const FILE: usize = 1 << 20;
/// What the path of a file of cron begins with.
const CRON: &str = "/etc/cron.";

/// The MD5 sums of packages' files of cron, by path. A file that went from one package to another has one in both (`unpack.c` of dpkg
/// passes over the old one).
#[derive(Debug, Default)]
pub(super) struct Conffiles(HashMap<String, Vec<[u8; 16]>>);

impl Conffiles {
    /// Reads what dpkg knows; nothing if there is no dpkg.
    pub(super) fn read(root: &HostRoot) -> Result<Self, HostError> {
        let failed = |error| HostError::io("read", STATUS, error);
        let mut sums: HashMap<String, Vec<[u8; 16]>> = HashMap::new();
        let mut lines = match File::open(root.path(STATUS)).map_err(failed) {
            Ok(file) => BufReader::new(file.take(LIMIT)),
            Err(error) if error.is_missing() => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if let Some((path, sum)) = std::str::from_utf8(&line).ok().and_then(sum_of) {
                sums.entry(path).or_default().push(sum);
            }
            line.clear();
        }
        Ok(Self(sums))
    }

    /// Whether somebody changed a file since a package brought it. One that cannot be read counts as changed, one that is gone does not.
    pub(super) fn is_edited(&self, root: &HostRoot, path: &str) -> bool {
        let Some(sums) = self.0.get(path) else { return false };
        let mut text = Vec::new();
        match root.read_into(path, FILE, &mut text) {
            Ok(()) => {
                let sum = Md5::digest(&text);
                !sums.iter().any(|other| other[..] == sum[..])
            }
            Err(error) => !error.is_missing(),
        }
    }
}

/// The path and the sum of a line of the field: ` /etc/cron.d/sysstat 32HEXDIGITS`, after which may stand that the file is obsolete.
fn sum_of(line: &str) -> Option<(String, [u8; 16])> {
    let mut words = line.strip_prefix(' ')?.split_ascii_whitespace();
    let path = words.next().filter(|path| path.starts_with(CRON))?;
    let digits = words.next().filter(|digits| digits.len() == 32)?;
    Some((path.to_owned(), u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    const TABLE: &str = "/etc/cron.d/rsnapshot";
    const AS_BROUGHT: &str = "# 0 */4 * * * root /usr/bin/rsnapshot alpha\n";

    fn tree(status: &str) -> Tree {
        let tree = Tree::new();
        tree.file(STATUS, status);
        tree
    }

    /// Made by `printf '# 0 */4 …' | md5sum`.
    const KNOWN: &str = "Package: rsnapshot\nStatus: install ok installed\nConffiles:\n /etc/rsnapshot.conf 00000000000000000000000000000000\n /etc/cron.d/rsnapshot 82f76858c7d0afb27adc455338cc1c20\nDescription: backups\n /etc/cron.d/rsnapshot a table of cron\n";

    #[test]
    fn a_line_that_somebody_wrote_into_a_packages_table_makes_it_somebodys() {
        let tree = tree(KNOWN);
        let conffiles = Conffiles::read(&tree.root()).unwrap();
        tree.file(TABLE, AS_BROUGHT);
        assert!(!conffiles.is_edited(&tree.root(), TABLE));
        tree.file(TABLE, &AS_BROUGHT[2..]);
        assert!(conffiles.is_edited(&tree.root(), TABLE));
        assert!(!conffiles.is_edited(&tree.root(), "/etc/cron.d/other"));
        let moved =
            format!("{KNOWN}\nPackage: older\nConffiles:\n {TABLE} {} obsolete\n", "0".repeat(32));
        tree.file(STATUS, moved);
        tree.file(TABLE, AS_BROUGHT);
        assert!(!Conffiles::read(&tree.root()).unwrap().is_edited(&tree.root(), TABLE));
    }

    #[test]
    fn what_cannot_be_read_counts_as_edited_and_what_is_gone_does_not() {
        let tree = tree(KNOWN);
        let conffiles = Conffiles::read(&tree.root()).unwrap();
        assert!(!conffiles.is_edited(&tree.root(), TABLE));
        tree.folder(TABLE);
        assert!(conffiles.is_edited(&tree.root(), TABLE));
    }

    #[test]
    fn a_file_in_the_midst_of_an_installation_has_no_sum() {
        let conffiles =
            Conffiles::read(&tree("Conffiles:\n /etc/cron.d/rsnapshot newconffile\n").root())
                .unwrap();
        assert!(conffiles.0.is_empty());
        assert!(Conffiles::read(&Tree::new().root()).unwrap().0.is_empty());
    }
}
