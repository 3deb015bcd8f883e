//! Where units of systemd come from: a package, a person, a program that made them on the fly.
//!
//! systemd would tell over D-Bus, but the sources that ask are files of the kernel, read on a thread, and must answer when the bus
//! is silent. So the unit's file is looked for in the order of systemd.unit(5) ("Unit File Load Path"). After an edit without
//! `systemctl daemon-reload` both differ until it is made.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::packages::{Packages, plain};
use super::{HostError, HostRoot};

/// Folders of unit files, the strongest first (systemd.unit(5)). A merged `/usr` makes the last two one.
pub const FOLDERS: [&str; 12] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    TRANSIENT,
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/generator.late",
];
/// Where units are written that `systemd-run` and others make over D-Bus.
const TRANSIENT: &str = "/run/systemd/transient";
/// Folders of vendors.
const VENDORS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// Where Quadlet's containers are described (podman-systemd.unit(5)).
const QUADLET: [&str; 3] =
    ["/etc/containers/systemd/", "/usr/share/containers/systemd/", "/run/containers/systemd/"];
/// What tells that packages came or went …
const PACKAGES: [&str; 6] = [
    "/var/lib/dpkg/info",
    "/var/lib/dpkg/status",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
];
/// … and what tells that of units.
const WATCHED: [&str; 6] = [
    "/etc/systemd/system",
    TRANSIENT,
    "/run/systemd/generator",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
];
/// The most of a unit file that is read.
const LIMIT: usize = 1 << 20;
/// Folders in which somebody on the machine changes units.
const CHANGES: [&str; 3] =
    ["/run/systemd/system", "/etc/systemd/system", "/etc/systemd/system.control"];
/// The most changes of one unit.
const DROP_INS: usize = 256;
/// The most units that are remembered.
const KNOWN: usize = 8192;

/// Who made a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A package of the distribution or a vendor.
    Package,
    /// Somebody on this machine.
    Local,
    /// `systemd-run`, or a program that made it over D-Bus.
    Transient,
    /// Quadlet, of a container's description.
    Container,
    /// It has no file: systemd does not know it, or the machine shows none.
    Unknown,
}

/// What is known of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Who made it.
    pub origin: Origin,
    /// The path of the program that it starts first; empty if that is not told.
    pub program: String,
    /// systemd starts it again when it ends (`Restart=`), as it does with what should run all the time.
    pub restarts: bool,
}

impl Unit {
    fn of(origin: Origin) -> Self {
        Self { origin, program: String::new(), restarts: false }
    }
}

/// The units of a machine, remembered until something in their folders changes. All sources share it.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Units>);

#[derive(Debug, Default)]
struct Units {
    /// Change times of what is watched.
    seen: Option<Vec<Option<(i64, i64)>>>,
    packages: Packages,
    /// The folders `UNIT.d` in which somebody changed units, by their paths.
    changes: HashSet<String>,
    /// Why the packages could not be read. Then nothing is a package's: that is the side which keeps the machine up.
    unread: Option<String>,
    known: HashMap<String, Unit>,
}

/// Access to what is known of units.
#[derive(Clone, Debug)]
pub struct Registry {
    root: HostRoot,
}

impl Registry {
    /// That of a machine.
    pub fn of(root: &HostRoot) -> Self {
        Self { root: root.clone() }
    }

    /// Forgets what is known if a package or a unit came or went since the last look.
    pub fn look(&self) -> Result<(), HostError> {
        let mut seen = Vec::with_capacity(PACKAGES.len() + WATCHED.len());
        for path in PACKAGES.into_iter().chain(WATCHED) {
            let metadata = self.root.inspect(path)?;
            seen.push(metadata.map(|it| (it.mtime(), it.mtime_nsec())));
        }
        let mut units = self.lock();
        if units.seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        let of_packages =
            |seen: &[Option<(i64, i64)>]| seen.get(..PACKAGES.len()).map(<[_]>::to_vec);
        let packages_changed =
            units.seen.as_ref().is_none_or(|old| of_packages(old) != of_packages(&seen));
        units.known.clear();
        if packages_changed || units.unread.is_some() {
            (units.packages, units.unread) = match Packages::read(&self.root) {
                Ok(packages) => (packages, None),
                Err(error) => (Packages::default(), Some(error.to_string())),
            };
        }
        units.changes = changes(&self.root)?;
        units.seen = Some(seen);
        Ok(())
    }

    /// Who made a unit and what it starts. A file that cannot be read leaves the unit [`Origin::Local`].
    pub fn unit(&self, name: &str) -> Unit {
        self.look_once();
        let mut units = self.lock();
        if let Some(unit) = units.known.get(name) {
            return unit.clone();
        }
        let found = find(&self.root, &units, name);
        let unit = found.unwrap_or(Unit::of(Origin::Local));
        if units.known.len() < KNOWN {
            units.known.insert(name.to_owned(), unit.clone());
        }
        unit
    }

    /// Whether a table or a script of cron is a package's, as the package brought it.
    pub fn is_packaged(&self, path: &str) -> bool {
        self.look_once();
        self.lock().packages.keeps(&self.root, path)
    }

    /// Whether the machine is Debian or of its kind.
    pub fn is_debians(&self) -> bool {
        self.look_once();
        self.lock().packages.is_debians()
    }

    /// Why it is not known which files are packages', if it is not.
    pub fn unread(&self) -> Option<String> {
        self.lock().unread.clone()
    }

    /// Looks if nobody did yet.
    fn look_once(&self) {
        if self.lock().seen.is_none() {
            // What fails here is told by whoever looks.
            let _ = self.look();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Units> {
        self.root.units().0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `a@.service` of `a@b.service`.
fn template(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (template, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{template}@.{kind}"))
}

/// The file of a unit: that of the instance in any folder comes before that of its template.
pub fn file_of(root: &HostRoot, name: &str) -> Result<Option<String>, HostError> {
    for name in [Some(name.to_owned()), template(name)].into_iter().flatten() {
        for folder in FOLDERS {
            let path = format!("{folder}/{name}");
            if root.is_entry(&path)? {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

fn find(root: &HostRoot, units: &Units, name: &str) -> Result<Unit, HostError> {
    let packages = &units.packages;
    let Some(path) = file_of(root, name)? else {
        // snapd writes units that no data base lists, under names that nobody else uses.
        let snap = name.strip_prefix("snap.").and_then(|rest| rest.split('.').next());
        let there = snap.is_some_and(|snap| root.exists(&format!("/snap/{snap}")).unwrap_or(false));
        return Ok(Unit::of(if there { Origin::Package } else { Origin::Unknown }));
    };
    let text = root.read_text(&path, LIMIT).unwrap_or_default();
    let mut unit = Unit {
        origin: origin(root, packages, name, &path, &text),
        program: program(&text).to_owned(),
        restarts: restarts(&text),
    };
    for text in drop_ins(root, units, name)? {
        let own = program(&text);
        if !own.is_empty() && plain(own) != plain(&unit.program) {
            // A package's unit with somebody's program is somebody's.
            (unit.program, unit.origin) = (own.to_owned(), Origin::Local);
        }
        unit.restarts = unit.restarts || restarts(&text);
    }
    Ok(unit)
}

/// Whether a unit is one that systemd starts again (systemd.service(5), `Restart=`). A job that runs once and again (`oneshot`)
/// is none.
fn restarts(text: &str) -> bool {
    let again = value(text, "Restart").is_some_and(|when| when != "no");
    again && value(text, "Type") != Some("oneshot")
}

/// The folders of changes that are there: most units have none.
fn changes(root: &HostRoot) -> Result<HashSet<String>, HostError> {
    let mut found = HashSet::new();
    for folder in CHANGES {
        match root.folders(folder, KNOWN) {
            Ok(names) => found.extend(names.iter().map(|name| format!("{folder}/{name}"))),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What somebody on the machine changed of a unit (systemd.unit(5), "drop-in"), the last one last.
fn drop_ins(root: &HostRoot, units: &Units, name: &str) -> Result<Vec<String>, HostError> {
    let mut texts = Vec::new();
    for name in [template(name), Some(name.to_owned())].into_iter().flatten() {
        for folder in CHANGES.map(|folder| format!("{folder}/{name}.d")) {
            if !units.changes.contains(&folder) {
                continue;
            }
            let names = root.names(&folder, DROP_INS)?;
            let files = names.iter().map(|file| format!("{folder}/{file}"));
            let own = files.filter(|file| {
                file.rsplit('.').next() == Some("conf") && !units.packages.brought(file)
            });
            texts.extend(own.map(|file| root.read_text(&file, LIMIT).unwrap_or_default()));
        }
    }
    Ok(texts)
}

fn origin(root: &HostRoot, packages: &Packages, name: &str, path: &str, text: &str) -> Origin {
    if path.starts_with(TRANSIENT) {
        return Origin::Transient;
    }
    if let Some(source) = value(text, "SourcePath") {
        let container = QUADLET.iter().any(|folder| source.starts_with(folder));
        return match source {
            _ if container => Origin::Container,
            _ if packages.brought(source) => Origin::Package,
            _ => Origin::Local,
        };
    }
    if packages.brought(path) || is_snaps(root, name) {
        return Origin::Package;
    }
    let link = std::fs::read_link(root.path(path)).ok();
    if let Some(target) = link.as_ref().and_then(|target| target.to_str()) {
        // An alias in /etc leads to a vendor's file, and a linked unit to somebody's.
        return if packages.brought(target) { Origin::Package } else { Origin::Local };
    }
    if is_copy(root, packages, path, text) { Origin::Package } else { Origin::Local }
}

/// Units of snaps lie in `/etc` and are in no list; snapd alone names units so.
fn is_snaps(root: &HostRoot, name: &str) -> bool {
    let snap = name.strip_prefix("snap.").and_then(|rest| rest.split('.').next());
    snap.is_some_and(|snap| {
        !snap.is_empty() && root.exists(&format!("/snap/{snap}")).unwrap_or(false)
    })
}

/// A file in `/etc` that hides a package's of the same name and starts the same program is that unit, changed by somebody. One
/// that starts another program is somebody's own.
fn is_copy(root: &HostRoot, packages: &Packages, path: &str, text: &str) -> bool {
    let Some(name) = path.strip_prefix("/etc/systemd/system/") else { return false };
    VENDORS.iter().any(|folder| {
        let original = format!("{folder}/{name}");
        let same = || {
            let original = root.read_text(&original, LIMIT).unwrap_or_default();
            !program(&original).is_empty() && program(&original) == program(text)
        };
        packages.brought(&original) && same()
    })
}

/// The first program of a unit file by its path, without the signs that systemd reads before it (systemd.service(5),
/// "Special executable prefixes").
fn program(text: &str) -> &str {
    let line = value(text, "ExecStart").unwrap_or_default();
    let line = line.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    line.split_whitespace().next().unwrap_or_default().trim_matches('"')
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    values.map(str::trim).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn origin(tree: &Tree, unit: &str) -> Origin {
        let registry = Registry::of(&tree.root());
        registry.look().unwrap();
        registry.unit(unit).origin
    }

    fn service(program: &str) -> String {
        format!("[Unit]\nDescription=x\n[Service]\nExecStart=-{program} --run\n")
    }

    #[test]
    fn a_unit_is_a_packages_only_if_a_package_brought_its_file() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/nginx.list", "/lib/systemd/system/nginx.service\n");
        tree.file("/var/lib/dpkg/info/pg.list", "/lib/systemd/system/postgresql@.service\n");
        tree.file(
            "/var/lib/dpkg/info/cw.list",
            "/etc/systemd/system/cw.service\n/etc/init.d/old\n",
        );
        for unit in ["nginx", "postgresql@", "train"] {
            tree.file(&format!("/usr/lib/systemd/system/{unit}.service"), service("/usr/sbin/x"));
        }
        tree.file("/etc/systemd/system/cw.service", service("/opt/cw"));
        tree.file("/etc/systemd/system/mine.service", service("/opt/mine"));
        tree.file("/run/systemd/transient/job.service", service("/bin/job"));
        let generated = |path: &str, source: &str| {
            tree.file(path, format!("[Unit]\nSourcePath={source}\n"));
        };
        generated("/run/systemd/generator/web.service", "/etc/containers/systemd/web.container");
        generated("/run/systemd/generator.late/old.service", "/etc/init.d/old");
        generated("/run/systemd/generator.late/own.service", "/etc/init.d/own");
        for (unit, expected) in [
            ("nginx.service", Origin::Package),
            ("postgresql@15-main.service", Origin::Package),
            ("train.service", Origin::Local),
            ("cw.service", Origin::Package),
            ("mine.service", Origin::Local),
            ("job.service", Origin::Transient),
            ("web.service", Origin::Container),
            ("old.service", Origin::Package),
            ("own.service", Origin::Local),
            ("nothing.service", Origin::Unknown),
        ] {
            assert_eq!(origin(&tree, unit), expected, "{unit}");
        }
    }

    #[test]
    fn a_copy_in_etc_is_the_packages_only_while_it_starts_the_same_program() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/rsyslog.list", "/usr/lib/systemd/system/rsyslog.service\n");
        tree.file("/usr/lib/systemd/system/rsyslog.service", service("/usr/sbin/rsyslogd"));
        tree.file("/etc/systemd/system/rsyslog.service", service("/usr/sbin/rsyslogd"));
        assert_eq!(origin(&tree, "rsyslog.service"), Origin::Package);
        tree.file("/etc/systemd/system/rsyslog.service", service("/opt/train"));
        assert_eq!(origin(&tree, "rsyslog.service"), Origin::Local);
    }

    #[test]
    fn a_link_belongs_to_whom_it_leads_to() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/ssh.list", "/lib/systemd/system/ssh.service\n");
        tree.file("/usr/lib/systemd/system/ssh.service", service("/usr/sbin/sshd"));
        tree.folder("/etc/systemd/system");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, tree.path(&format!("/etc/systemd/system/{name}")))
                .unwrap();
        };
        link("/lib/systemd/system/ssh.service", "sshd.service");
        link("/opt/train/train.service", "train.service");
        assert_eq!(origin(&tree, "sshd.service"), Origin::Package);
        assert_eq!(origin(&tree, "train.service"), Origin::Local);
    }

    #[test]
    fn a_snap_is_told_by_its_name_only_where_it_is_installed() {
        let tree = Tree::new();
        tree.file("/etc/systemd/system/snap.minecraft.server.service", service("/usr/bin/snap"));
        assert_eq!(origin(&tree, "snap.minecraft.server.service"), Origin::Local);
        tree.folder("/snap/minecraft");
        assert_eq!(origin(&tree, "snap.minecraft.server.service"), Origin::Package);
    }

    #[test]
    fn a_package_that_comes_later_is_noticed() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/a.list", "/lib/systemd/system/a.service\n");
        tree.file("/usr/lib/systemd/system/b.service", service("/usr/bin/b"));
        let registry = Registry::of(&tree.root());
        registry.look().unwrap();
        assert_eq!(registry.unit("b.service").origin, Origin::Local);
        tree.file("/var/lib/dpkg/info/b.list", "/lib/systemd/system/b.service\n");
        registry.look().unwrap();
        assert_eq!(registry.unit("b.service").origin, Origin::Package);
    }

    #[test]
    fn where_the_lists_cannot_be_read_nothing_is_a_packages_and_that_is_told() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg/info/x.list");
        tree.file("/usr/lib/systemd/system/a.service", service("/usr/bin/a"));
        assert_eq!(origin(&tree, "a.service"), Origin::Local);
        let registry = Registry::of(&tree.root());
        registry.look().unwrap();
        assert!(registry.unread().unwrap().contains("x.list"));
    }

    #[test]
    fn the_program_is_named_without_signs() {
        let tree = Tree::new();
        tree.file(
            "/etc/systemd/system/a.service",
            "[Service]\nExecStart=\nExecStart = !!/opt/bin/node_exporter --x\n",
        );
        let registry = Registry::of(&tree.root());
        assert_eq!(registry.unit("a.service").program, "/opt/bin/node_exporter");
    }

    #[test]
    fn a_packages_unit_to_which_somebody_gave_another_program_is_somebodys() {
        for (folder, line, expected) in [
            (
                "/etc/systemd/system/redis.service.d",
                "ExecStart=\nExecStart=/opt/own/serve",
                Origin::Local,
            ),
            (
                "/run/systemd/system/redis.service.d",
                "ExecStart=\nExecStart=/opt/own/serve",
                Origin::Local,
            ),
            // The same program with other arguments, in another spelling.
            (
                "/etc/systemd/system/redis.service.d",
                "ExecStart=\nExecStart=/bin/redis --big",
                Origin::Package,
            ),
            ("/etc/systemd/system/redis.service.d", "Restart=always", Origin::Package),
            (
                "/etc/systemd/system/redis.service.d",
                "ExecStartPost=/opt/own/serve",
                Origin::Package,
            ),
        ] {
            let tree = Tree::new();
            tree.file("/var/lib/dpkg/info/redis.list", "/usr/lib/systemd/system/redis.service\n");
            tree.file("/usr/lib/systemd/system/redis.service", service("/usr/bin/redis"));
            tree.file(&format!("{folder}/override.conf"), format!("[Service]\n{line}\n"));
            assert_eq!(origin(&tree, "redis.service"), expected, "{folder} {line}");
        }
    }

    #[test]
    fn what_systemd_starts_again_is_no_job_that_runs_once() {
        for (lines, expected) in [
            ("Restart=always", true),
            ("Restart=on-failure\nType=simple", true),
            ("Restart=no", false),
            ("Type=oneshot\nRestart=on-failure", false),
            ("", false),
        ] {
            let tree = Tree::new();
            tree.file("/etc/systemd/system/a.service", format!("[Service]\n{lines}\n"));
            assert_eq!(Registry::of(&tree.root()).unit("a.service").restarts, expected, "{lines}");
        }
    }

    #[test]
    fn a_table_that_dpkg_has_another_sum_of_is_no_packages_any_more() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/x\n");
        tree.file("/etc/cron.d/x", "0 1 * * * root x\n");
        let registry = Registry::of(&tree.root());
        registry.look().unwrap();
        assert!(registry.is_packaged("/etc/cron.d/x"));
        let sum = "0".repeat(32);
        tree.file("/var/lib/dpkg/status", format!("Conffiles:\n /etc/cron.d/x {sum}\n"));
        registry.look().unwrap();
        assert!(!registry.is_packaged("/etc/cron.d/x"));
    }
}
