//! Whose work a control group does.
//!
//! The first of these that fits says it:
//!
//! 1. **People**: sessions, user managers, containers, virtual machines, groups of their own, units that `systemd-run` made, what
//!    cloud-init's last stage or `rc.local` left running, and units that an administrator named.
//! 2. **Upkeep**: units that are known to keep a machine (`upkeep`), and those that an administrator named.
//! 3. **A server**: a unit that a package brought.
//! 4. **A local unit**: every other one.
//!
//! What is in the group of a daemon that starts others' work is told by process (`started`).

pub(super) mod inside;
mod jobs;
mod line;
mod started;
mod upkeep;

use std::sync::Arc;

use agent_core::reading::Role;

use crate::host::units::{Origin, Registry};
use crate::host::{HostError, HostRoot};
pub(super) use jobs::{Jobs, Step};
pub(super) use started::{OfPackage, One, is_persons, of_package};
pub(super) use upkeep::{has_children_of_its_own, starts_work};

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Somebody's: it counts.
    People,
    /// A unit's that no package brought.
    Local,
    /// A server's that a package brought.
    Server,
    /// What keeps the machine: it counts above a ceiling.
    Upkeep,
    /// The agent's: it never counts.
    Own,
}

impl Class {
    /// How it counts.
    pub(super) fn role(self) -> Role {
        match self {
            Self::People => Role::Workload,
            Self::Local => Role::Local,
            Self::Server => Role::Server,
            Self::Upkeep => Role::Upkeep,
            Self::Own => Role::Ignored,
        }
    }
}

/// What is known of a group from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// Whose work it does.
    pub(super) class: Class,
    /// The group to which it belongs for people: a session, a unit, a container.
    pub(super) group: &'a str,
    /// The user whose slice it is in.
    pub(super) uid: Option<u32>,
}

/// Units that systemd starts for the agent: the probe of the source `exec`, the pre-stop hook, and the agent's own program
/// where it needs more than the agent may.
const FOR_THE_AGENT: [&str; 3] = [
    "system.slice/agentd-probe.service",
    "system.slice/agentd-pre-stop.service",
    "system.slice/agentd-terminals.service",
];
/// The readers of what is closed to the agent, each run of which has a name of its own.
const READERS: [&str; 2] = ["system.slice/agentd-schedules-", "system.slice/agentd-timers-"];
/// Units of the system whose processes somebody's scripts are: user-data, and the script of old. What `bootcmd` and boothooks
/// start stays in the stage that ran them, and cloud-init from 24.3 on runs all stages as one process.
const SCRIPTS: [&str; 8] = [
    "cloud-init-local.service",
    "cloud-init.service",
    "cloud-init-network.service",
    "cloud-init-main.service",
    "cloud-config.service",
    "cloud-final.service",
    "rc-local.service",
    "rc.local.service",
];
/// Where user-data and the like begin; the groups of containers below a slice or a unit begin with one of these.
const PAYLOADS: [&str; 8] = [
    "libpod-",
    "docker-",
    "cri-containerd-",
    "crio-",
    "nerdctl-",
    "buildkit-",
    "lxc.payload",
    "machine-",
];

/// What tells people's work, servers and upkeep on the machine.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    own: Option<String>,
    units: Arc<[String]>,
    upkeep: Arc<[String]>,
    registry: Registry,
}

impl Ownership {
    /// `own` is the agent's group; `units` are units of `system.slice` that count as people's work and `upkeep` further
    /// ones that keep the machine, both with or without `.service`.
    ///
    /// The agent's group is left out only if it is a service of `system.slice`: if it was started by hand, it shares
    /// its group with somebody's work.
    pub(super) fn new(
        root: &HostRoot,
        own: Option<String>,
        units: Vec<String>,
        upkeep: Vec<String>,
    ) -> Self {
        let service = |path: &String| path.starts_with("system.slice/") && kind(path) == "service";
        let registry = Registry::of(root);
        Self { own: own.filter(service), units: units.into(), upkeep: upkeep.into(), registry }
    }

    /// Notices units and packages that came or went. To be called before each look.
    pub(super) fn look(&self) -> Result<(), HostError> {
        self.registry.look()
    }

    /// What is known of units.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether systemd starts the unit of this path again whenever it ends.
    pub(super) fn restarts(&self, path: &str) -> bool {
        self.registry.unit(unit_of(path)).restarts
    }

    /// Judges a path without a leading slash.
    pub(super) fn of<'a>(&self, path: &'a str) -> Place<'a> {
        let mut own = self.own.iter().map(String::as_str).chain(FOR_THE_AGENT);
        let reader = READERS.iter().any(|reader| path.starts_with(reader));
        if reader || own.any(|own| is_within(path, own)) {
            return Place { class: Class::Own, group: path, uid: None };
        }
        let first = path.split('/').next().unwrap_or_default();
        match first {
            "init.scope" => Place { class: Class::Upkeep, group: first, uid: None },
            "user.slice" => Place {
                class: Class::People,
                group: prefix(path, 3),
                uid: path.split('/').nth(1).and_then(slice_uid),
            },
            "machine.slice" => Place { class: Class::People, group: prefix(path, 2), uid: None },
            "system.slice" => self.in_system(path),
            _ if is_bare(first) => Place { class: Class::Upkeep, group: first, uid: None },
            _ => self.in_slice(path, first),
        }
    }

    /// A group at the top that systemd does not make by itself, such as a slice of somebody's. It is people's, and so is what is in
    /// it, but for the services of packages and upkeep that were put there.
    fn in_slice<'a>(&self, path: &'a str, first: &'a str) -> Place<'a> {
        let people = Place { class: Class::People, group: first, uid: None };
        let group = unit_path(path);
        let unit = unit_of(group);
        if kind(first) != "slice" || kind(unit) != "service" || payload(path).is_some() {
            return people;
        }
        match self.unit_class(unit) {
            class @ (Class::Server | Class::Upkeep) => Place { class, group, uid: None },
            _ => people,
        }
    }

    fn in_system<'a>(&self, path: &'a str) -> Place<'a> {
        if let Some(group) = payload(path) {
            return Place { class: Class::People, group, uid: None };
        }
        let group = unit_path(path);
        let unit = group.rsplit('/').next().unwrap_or_default();
        // The slice itself is no unit's: whoever asks for it wants all that is in it.
        let class = if kind(unit) == "slice" { Class::Upkeep } else { self.unit_class(unit) };
        Place { class, group, uid: None }
    }

    /// Whether there is a timer of a unit's name that no package brought: then it is a job, as one of cron's is. One that starts
    /// it by another name (`Unit=`) is not looked for.
    fn has_timer(&self, unit: &str) -> bool {
        let stem = unit.strip_suffix(".service").unwrap_or(unit);
        self.registry.unit(&format!("{stem}.timer")).origin == Origin::Local
    }

    /// A unit of `system.slice`. Scopes hold what something other than systemd started: containers, `systemd-run
    /// --scope`. A name that is none of a unit's was made by somebody, too.
    fn unit_class(&self, unit: &str) -> Class {
        if is_among(&self.units, unit) || is_script(unit) {
            return Class::People;
        }
        let known = self.registry.unit(unit);
        let keeps = match known.origin {
            Origin::Local => upkeep::keeps_by_hand(unit, &known.program),
            _ => upkeep::keeps(unit, &known.program),
        };
        let keeps = keeps || is_among(&self.upkeep, unit);
        match (kind(unit), known.origin) {
            ("scope", _) | (_, Origin::Transient | Origin::Container) => Class::People,
            _ if keeps => Class::Upkeep,
            // A daemon of FUSE lives in the unit of its mount.
            ("mount" | "swap" | "socket" | "automount", _) | (_, Origin::Package) => Class::Server,
            ("service", Origin::Local | Origin::Unknown) if unit.starts_with("run-") => {
                Class::People
            }
            ("service", Origin::Local) if self.has_timer(unit) => Class::People,
            ("service", _) => Class::Local,
            _ => Class::People,
        }
    }
}

/// Whether a unit's processes are somebody's scripts: user-data, and the script of old.
pub(super) fn is_script(unit: &str) -> bool {
    SCRIPTS.contains(&unit)
}

/// Whether a unit is listed, with or without `.service`; a name without an instance means all instances (`code-server` is
/// `code-server@alice.service`, too).
fn is_among(list: &[String], unit: &str) -> bool {
    let Some(stem) = unit.strip_suffix(".service") else {
        return list.iter().any(|name| name == unit);
    };
    let names = [unit, stem, upkeep::stem(unit)];
    list.iter().any(|name| names.contains(&name.as_str()))
}

/// Whether a group at the top is one that systemd makes for a unit without processes to speak of.
fn is_bare(unit: &str) -> bool {
    ["mount", "automount", "swap", "socket"].contains(&kind(unit))
}

/// The kind of a unit, the part of its name behind the last dot: `service`, `scope`, `slice`.
pub(super) fn kind(unit: &str) -> &str {
    unit.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// Whether a group of this name holds the processes of a container: `docker-ID.scope`, `libpod-payload-ID`, and what runc calls
/// `SLICE:PREFIX:NAME` where it is told a path of systemd's and has no systemd (`system.slice:docker:ID` of `BuildKit`).
pub(super) fn is_payload(name: &str) -> bool {
    // `ssh@7-A:22-B:51234.service` is a connection of a socket (systemd.socket(5), "Accept=").
    let container =
        || PAYLOADS.iter().any(|start| name.starts_with(start)) || name.split(':').count() == 3;
    kind(name) != "service" && container()
}

/// Whether a group belongs to a container.
pub(super) fn is_in_container(path: &str) -> bool {
    path.split('/').any(is_payload)
}

/// The path up to the group of a container, if there is one below `system.slice`.
fn payload(path: &str) -> Option<&str> {
    let depth = path.split('/').position(is_payload)?;
    Some(prefix(path, depth + 1))
}

/// Whether `path` is `group` or lies below it.
fn is_within(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path up to its first component below `system.slice` that is not a slice.
fn unit_path(path: &str) -> &str {
    let depth = path.split('/').position(|part| kind(part) != "slice");
    depth.map_or(path, |depth| prefix(path, depth + 1))
}

/// The name of the unit whose group this is.
fn unit_of(group: &str) -> &str {
    group.rsplit('/').next().unwrap_or_default()
}

/// The first `count` components.
fn prefix(path: &str, count: usize) -> &str {
    let end = path.match_indices('/').nth(count.saturating_sub(1)).map(|(end, _)| end);
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// 1000 of `user-1000.slice`.
pub(super) fn slice_uid(slice: &str) -> Option<u32> {
    slice.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    /// A machine with units of every origin.
    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file(
            "/var/lib/dpkg/info/x.list",
            "/lib/systemd/system/postgresql@.service\n/lib/systemd/system/nginx.service\n/lib/systemd/system/cron.service\n",
        );
        for unit in ["postgresql@", "nginx", "cron"] {
            tree.file(&format!("/usr/lib/systemd/system/{unit}.service"), "");
        }
        tree.file("/etc/systemd/system/train.service", "[Service]\nExecStart=/opt/train\n");
        tree.file(
            "/etc/systemd/system/metrics.service",
            "[Service]\nExecStart=/opt/node_exporter\n",
        );
        for (name, program) in [
            ("backup", "/usr/local/bin/backup"),
            ("datacollector", "/opt/lab/collect.py"),
            ("embeddings", "/home/alice/target/release/vector"),
        ] {
            let text = format!("[Service]\nExecStart={program}\n");
            tree.file(&format!("/etc/systemd/system/{name}.service"), text);
        }
        tree.file("/etc/systemd/system/backup.timer", "[Timer]\nOnCalendar=hourly\n");
        tree.file("/run/systemd/transient/job.service", "");
        tree.file(
            "/run/systemd/generator/web.service",
            "[Unit]\nSourcePath=/etc/containers/systemd/web.container\n",
        );
        tree
    }

    fn ownership(tree: &Tree, own: &str) -> Ownership {
        let units = vec!["slurmd".to_owned(), "batch.service".to_owned()];
        Ownership::new(&tree.root(), Some(own.to_owned()), units, vec!["watcher".to_owned()])
    }

    #[test]
    fn whose_a_group_is() {
        let tree = tree();
        let ownership = ownership(&tree, "system.slice/agentd.service");
        for (path, expected) in [
            ("user.slice/user-1000.slice/session-3.scope", Class::People),
            ("user.slice/user-1000.slice/user@1000.service/app.slice/x.service", Class::People),
            ("user.slice/user-0.slice/session-1.scope", Class::People),
            ("user.slice", Class::People),
            ("machine.slice/libpod-1234.scope/container", Class::People),
            ("kubepods.slice/kubepods-burstable.slice/x", Class::People),
            ("docker/0123", Class::People),
            ("custom.slice", Class::People),
            ("", Class::People),
            ("system.slice/docker-0123.scope", Class::People),
            ("system.slice/run-r5f.scope", Class::People),
            ("system.slice/run-u12.service", Class::People),
            ("system.slice/job.service", Class::People),
            ("system.slice/web.service", Class::People),
            ("system.slice/system.slice:docker:jvif", Class::People),
            ("system.slice/x.service/libpod-payload-99/y", Class::People),
            ("system.slice/something", Class::People),
            ("system.slice/cloud-final.service", Class::People),
            ("system.slice/rc-local.service", Class::People),
            ("system.slice/cloud-init-main.service", Class::People),
            ("system.slice/backup.service", Class::People),
            ("system.slice/datacollector.service", Class::Local),
            ("system.slice/embeddings.service", Class::Local),
            ("system.slice/ssh@7-10.0.0.1:22-10.0.0.2:51234.service", Class::Upkeep),
            ("db.slice/postgresql@15-main.service", Class::Server),
            ("a.slice/a-b.slice/cron.service", Class::Upkeep),
            ("a.slice/train.service", Class::People),
            ("a.slice/docker-0123.scope", Class::People),
            ("system.slice/slurmd.service", Class::People),
            ("system.slice/batch.service/worker", Class::People),
            ("system.slice/train.service", Class::Local),
            ("system.slice/nowhere.service", Class::Local),
            ("system.slice/nginx.service", Class::Server),
            ("system.slice/system-postgresql.slice/postgresql@15-main.service", Class::Server),
            ("system.slice/mnt-data.mount", Class::Server),
            (
                "system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service",
                Class::Upkeep,
            ),
            ("system.slice/amazon-ssm-agent.service", Class::Upkeep),
            ("system.slice/metrics.service", Class::Upkeep),
            ("system.slice/watcher.service", Class::Upkeep),
            ("system.slice/cron.service", Class::Upkeep),
            ("system.slice", Class::Upkeep),
            ("init.scope", Class::Upkeep),
            ("dev-hugepages.mount", Class::Upkeep),
            ("system.slice/agentd.service", Class::Own),
            ("system.slice/agentd.service/sub", Class::Own),
            ("system.slice/agentd-probe.service", Class::Own),
            ("system.slice/agentd-pre-stop.service", Class::Own),
            ("system.slice/agentd-schedules-71-0.service", Class::Own),
            ("system.slice/agentd-timers-1000-71-1.service", Class::Own),
            ("system.slice/agentd.service.d", Class::People),
        ] {
            assert_eq!(ownership.of(path).class, expected, "{path}");
        }
    }

    #[test]
    fn an_instance_is_listed_if_its_template_is() {
        let ownership = ownership(&tree(), "");
        for (path, expected) in [
            ("system.slice/system-slurmd.slice/slurmd@gpu.service", Class::People),
            ("system.slice/system-watcher.slice/watcher@:1.service", Class::Upkeep),
            ("system.slice/slurmd-x@gpu.service", Class::Local),
        ] {
            assert_eq!(ownership.of(path).class, expected, "{path}");
        }
    }

    #[test]
    fn the_group_is_what_people_know() {
        let ownership = Ownership::new(&Tree::new().root(), None, Vec::new(), Vec::new());
        for (path, group, uid) in [
            (
                "user.slice/user-1000.slice/session-3.scope/x",
                "user.slice/user-1000.slice/session-3.scope",
                Some(1000),
            ),
            ("user.slice/user-1000.slice", "user.slice/user-1000.slice", Some(1000)),
            ("user.slice/odd", "user.slice/odd", None),
            ("machine.slice/a.scope/b", "machine.slice/a.scope", None),
            ("system.slice/a.service/b", "system.slice/a.service", None),
            (
                "system.slice/a.service/libpod-payload-9/b",
                "system.slice/a.service/libpod-payload-9",
                None,
            ),
            (
                "system.slice/system-getty.slice/getty@tty1.service",
                "system.slice/system-getty.slice/getty@tty1.service",
                None,
            ),
            ("kubepods/pod1/c", "kubepods", None),
            ("", "", None),
        ] {
            let place = ownership.of(path);
            assert_eq!((place.group, place.uid), (group, uid), "{path}");
        }
    }

    #[test]
    fn an_agent_started_by_hand_does_not_hide_the_session_it_runs_in() {
        let tree = Tree::new();
        for own in ["user.slice/user-1000.slice/session-3.scope", "", "system.slice"] {
            let ownership = ownership(&tree, own);
            let place = ownership.of("user.slice/user-1000.slice/session-3.scope");
            assert_eq!(place.class, Class::People, "{own}");
            assert_eq!(ownership.of("system.slice/x.service").class, Class::Local, "{own}");
        }
    }

    #[test]
    fn a_service_that_is_called_like_a_container_is_a_service() {
        assert!(!is_payload("docker-registry.service"));
        assert!(is_payload("docker-0123.scope") && is_payload("libpod-payload-9"));
    }
}
