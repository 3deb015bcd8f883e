//! Which files came with a package, as far as it matters whose work something is: units of systemd, scripts and tables of
//! cron and init.
//!
//! dpkg keeps a list of files for each package, `/var/lib/dpkg/info/NAME.list` (dpkg(1)), which everybody may read. One look at all of
//! them costs about ten milliseconds, so it is made once and again when a package was installed or removed.
//!
//! A list spells paths as the package did. Where `/lib` is a link to `/usr/lib` the same file has two names, and
//! both are looked for.
//!
//! rpm keeps a data base that only its own library reads. There, what lies in the folders that belong to the vendor by
//! file-hierarchy(7) is a package's if the data base has a unit of this name (`rpm.rs`). Of cron's tables and scripts in `/etc` those
//! of well-known packages are told by name.

mod conffiles;
mod rpm;

use std::collections::HashSet;

use super::{HostError, HostRoot};
use conffiles::Conffiles;

/// Where dpkg keeps its lists.
const DPKG: &str = "/var/lib/dpkg/info";
/// The most files in the folder of lists; each package has about four.
const FILES: usize = 65_536;
/// The most of one list: a kernel's has some thousand lines.
const LIST: usize = 8 << 20;
/// Tables and scripts of cron that packages of Amazon Linux, Red Hat and Fedora bring, by name. Nobody calls one of their own so.
#[rustfmt::skip]
const CRON: [&str; 25] = [
    "/etc/cron.d/raid-check", "/etc/cron.d/sysstat",
    "/etc/cron.d/update-motd", "/etc/cron.d/awslogs", "/etc/cron.d/clamav-update", "/etc/cron.d/unbound-anchor",
    "/etc/cron.hourly/0anacron", "/etc/cron.hourly/0yum-hourly.cron", "/etc/cron.hourly/mcelog.cron",
    "/etc/cron.daily/0logwatch", "/etc/cron.daily/0yum-daily.cron", "/etc/cron.daily/aide", "/etc/cron.daily/certwatch",
    "/etc/cron.daily/cups", "/etc/cron.daily/logrotate", "/etc/cron.daily/man-db.cron", "/etc/cron.daily/mlocate",
    "/etc/cron.daily/prelink", "/etc/cron.daily/readahead.cron", "/etc/cron.daily/rhsmd", "/etc/cron.daily/rkhunter",
    "/etc/cron.daily/tmpwatch", "/etc/cron.daily/makewhatis.cron", "/etc/cron.weekly/99-raid-check",
    "/etc/cron.monthly/readahead-monthly.cron",
];
/// Folders whose files are remembered, without the first of two spellings.
const KEPT: [&str; 5] =
    ["/lib/systemd/system/", "/etc/systemd/system/", "/etc/init.d/", "/etc/cron.", "/etc/cron.d/"];
/// The folder of units that is the vendor's.
const VENDORS: &str = "/lib/systemd/system/";

/// How the packages of a machine are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Manager {
    Dpkg,
    Rpm,
    /// None that is known: nothing is a package's.
    #[default]
    None,
}

/// What is known of the packages' files.
#[derive(Debug, Default)]
pub struct Packages {
    manager: Manager,
    files: HashSet<String>,
    conffiles: Conffiles,
}

impl Packages {
    /// Reads the lists of the machine. One that cannot be read is an error: its files would look as if nobody had brought
    /// them.
    pub fn read(root: &HostRoot) -> Result<Self, HostError> {
        let names = match root.names(DPKG, FILES) {
            Ok(names) => names,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut packages = Self::default();
        let mut text = Vec::new();
        for name in names.iter().filter(|name| name.rsplit('.').next() == Some("list")) {
            packages.manager = Manager::Dpkg;
            match root.read_into(&format!("{DPKG}/{name}"), LIST, &mut text) {
                Ok(()) => packages.learn(&text),
                // The package was removed just now.
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        if packages.manager == Manager::None
            && let Some(units) = rpm::units(root)?
        {
            packages.manager = Manager::Rpm;
            packages.files = units.iter().map(|unit| format!("{VENDORS}{unit}")).collect();
        }
        if packages.manager == Manager::Dpkg {
            packages.conffiles = Conffiles::read(root)?;
        }
        Ok(packages)
    }

    fn learn(&mut self, list: &[u8]) {
        for line in list.split(|byte| *byte == b'\n') {
            let Ok(path) = std::str::from_utf8(line) else { continue };
            let path = plain(path);
            if KEPT.iter().any(|folder| path.starts_with(folder)) {
                self.files.insert(path.to_owned());
            }
        }
    }

    /// Whether a package brought the file of this path, in either of its spellings.
    pub fn brought(&self, path: &str) -> bool {
        let path = plain(path);
        match self.manager {
            Manager::Dpkg => self.files.contains(path),
            Manager::Rpm => self.files.contains(path) || CRON.contains(&path),
            Manager::None => false,
        }
    }

    /// Whether dpkg knows the packages of the machine.
    pub fn is_debians(&self) -> bool {
        self.manager == Manager::Dpkg
    }

    /// Whether a table or a script of cron is as a package brought it. Under rpm an edited one is not told from that.
    pub fn keeps(&self, root: &HostRoot, path: &str) -> bool {
        self.brought(path) && !self.conffiles.is_edited(root, path)
    }
}

/// A path without the `/usr` that a merged `/usr` gives it.
pub(super) fn plain(path: &str) -> &str {
    let inner = path.strip_prefix("/usr").unwrap_or(path);
    let merged = ["/lib/", "/bin/", "/sbin/", "/lib64/"];
    if merged.iter().any(|folder| inner.starts_with(folder)) { inner } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn both_spellings_of_a_merged_usr_are_one_file() {
        let tree = Tree::new();
        tree.file(
            "/var/lib/dpkg/info/postgresql-common.list",
            "/.\n/lib/systemd/system/postgresql@.service\n/usr/bin/pg_ctlcluster\n/etc/init.d/postgresql\n",
        );
        tree.file("/var/lib/dpkg/info/nginx:amd64.list", "/usr/lib/systemd/system/nginx.service\n");
        tree.file("/var/lib/dpkg/info/agent.list", "/etc/systemd/system/agent.service\n");
        let packages = Packages::read(&tree.root()).unwrap();
        for path in [
            "/lib/systemd/system/postgresql@.service",
            "/usr/lib/systemd/system/postgresql@.service",
            "/lib/systemd/system/nginx.service",
            "/usr/lib/systemd/system/nginx.service",
            "/etc/systemd/system/agent.service",
            "/etc/init.d/postgresql",
        ] {
            assert!(packages.brought(path), "{path}");
        }
        for path in [
            "/usr/lib/systemd/system/train.service",
            "/etc/systemd/system/nginx.service",
            "/usr/local/lib/systemd/system/nginx.service",
        ] {
            assert!(!packages.brought(path), "{path}");
        }
    }

    #[test]
    fn under_rpm_what_the_data_base_names_in_the_vendors_folder_is_a_packages_and_etc_is_not() {
        let tree = Tree::new();
        tree.file("/var/lib/rpm/rpmdb.sqlite", "\0nginx.service\0train@.service\0");
        let packages = Packages::read(&tree.root()).unwrap();
        assert!(packages.brought("/usr/lib/systemd/system/nginx.service"));
        assert!(!packages.brought("/etc/systemd/system/nginx.service"));
        assert!(!packages.brought("/usr/lib/systemd/system/train.service"), "make install");
        assert!(
            packages.brought("/etc/cron.d/sysstat")
                && packages.brought("/etc/cron.hourly/0anacron")
        );
        assert!(
            !packages.brought("/etc/cron.d/etl") && !packages.brought("/etc/cron.daily/backup")
        );
    }

    #[test]
    fn without_a_package_manager_nothing_is_a_packages() {
        let packages = Packages::read(&Tree::new().root()).unwrap();
        assert!(!packages.brought("/usr/lib/systemd/system/nginx.service"));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error_that_names_it() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg/info/x.list");
        let error = Packages::read(&tree.root()).unwrap_err().to_string();
        assert!(error.contains("info/x.list"), "{error}");
    }
}
