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
/// The most of it, and of one line. A package may describe itself at length.
const LIMIT: u64 = 256 << 20;
/// The most of a file whose sum is made.
const FILE: usize = 1 << 20;
/// What the path of a file of cron begins with.
const CRON: &str = "/etc/cron.";

/// The MD5 sums of packages' files of cron, by path.
#[derive(Debug, Default)]
pub(super) struct Conffiles(HashMap<String, [u8; 16]>);

impl Conffiles {
    /// Reads what dpkg knows; nothing if there is no dpkg.
    pub(super) fn read(root: &HostRoot) -> Result<Self, HostError> {
        let failed = |error| HostError::io("read", STATUS, error);
        let mut sums = HashMap::new();
        let mut lines = match File::open(root.path(STATUS)).map_err(failed) {
            Ok(file) => BufReader::new(file.take(LIMIT)),
            Err(error) if error.is_missing() => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            sums.extend(std::str::from_utf8(&line).ok().and_then(sum_of));
            line.clear();
        }
        Ok(Self(sums))
    }

    /// Whether somebody changed a file since a package brought it. One that cannot be read counts as changed, one that is gone does not.
    pub(super) fn is_edited(&self, root: &HostRoot, path: &str) -> bool {
        let Some(sum) = self.0.get(path) else { return false };
        let mut text = Vec::new();
        match root.read_into(path, FILE, &mut text) {
            Ok(()) => Md5::digest(&text)[..] != sum[..],
            Err(error) => !error.is_missing(),
        }
    }
}

/// The path and the sum of a line of the field: ` /etc/cron.d/sysstat 32HEXDIGITS`, after which may stand that the file is obsolete.
fn sum_of(line: &str) -> Option<(String, [u8; 16])> {
    let mut words = line.strip_prefix(' ')?.split_ascii_whitespace();
    let path = words.next().filter(|path| path.starts_with(CRON))?;
    let digits = u128::from_str_radix(words.next()?, 16).ok()?;
    Some((path.to_owned(), digits.to_be_bytes()))
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
    const KNOWN: &str = "Package: rsnapshot\nStatus: install ok installed\nConffiles:\n /etc/rsnapshot.conf 00000000000000000000000000000000\n /etc/cron.d/rsnapshot 82f76858c7d0afb27adc455338cc1c20\nDescription: backups\n /etc/cron.d/other is spoken of\n";

    #[test]
    fn a_line_that_somebody_wrote_into_a_packages_table_makes_it_somebodys() {
        let tree = tree(KNOWN);
        let conffiles = Conffiles::read(&tree.root()).unwrap();
        tree.file(TABLE, AS_BROUGHT);
        assert!(!conffiles.is_edited(&tree.root(), TABLE));
        tree.file(TABLE, &AS_BROUGHT[2..]);
        assert!(conffiles.is_edited(&tree.root(), TABLE));
        assert!(!conffiles.is_edited(&tree.root(), "/etc/cron.d/other"));
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
