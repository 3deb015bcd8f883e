//! Whose work a control group does.
//!
//! What people start lives in session scopes, in their user manager, in containers and in groups of their own; what
//! keeps the system going lives in `system.slice`. Everything that is not known to be housekeeping counts as work: the
//! doubt is on the side that keeps the machine up.

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Somebody's: it counts.
    Workload,
    /// The system's own: it is shown and does not count.
    Housekeeping,
    /// The agent's: it is neither.
    Own,
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

/// Units that systemd starts for the agent: the probe of the source `exec` and the pre-stop hook.
const FOR_THE_AGENT: [&str; 2] =
    ["system.slice/agentd-probe.service", "system.slice/agentd-pre-stop.service"];

/// What tells work from housekeeping on the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Ownership {
    own: Option<String>,
    units: Vec<String>,
}

impl Ownership {
    /// `own` is the agent's group; `units` are units of `system.slice` that count as work, with or without `.service`.
    ///
    /// The agent's group is left out only if it is a service of `system.slice`: if it was started by hand, it shares
    /// its group with somebody's work.
    pub(super) fn new(own: Option<String>, units: Vec<String>) -> Self {
        let service = |path: &String| path.starts_with("system.slice/") && kind(path) == "service";
        Self { own: own.filter(service), units }
    }

    /// Judges a path without a leading slash.
    pub(super) fn of<'a>(&self, path: &'a str) -> Place<'a> {
        let mut own = self.own.iter().map(String::as_str).chain(FOR_THE_AGENT);
        if own.any(|own| is_within(path, own)) {
            return Place { class: Class::Own, group: path, uid: None };
        }
        let first = path.split('/').next().unwrap_or_default();
        match first {
            "init.scope" => Place { class: Class::Housekeeping, group: first, uid: None },
            "user.slice" => Place {
                class: Class::Workload,
                group: prefix(path, 3),
                uid: path.split('/').nth(1).and_then(slice_uid),
            },
            "machine.slice" => Place { class: Class::Workload, group: prefix(path, 2), uid: None },
            "system.slice" => {
                let group = unit_path(path);
                let class = self.unit_class(group.rsplit('/').next().unwrap_or_default());
                Place { class, group, uid: None }
            }
            _ => {
                let class =
                    if holds_no_process(first) { Class::Housekeeping } else { Class::Workload };
                Place { class, group: first, uid: None }
            }
        }
    }

    /// A unit of `system.slice`. Scopes hold what something other than systemd started: containers, `systemd-run
    /// --scope`. `run-*.service` is what somebody started with `systemd-run`.
    fn unit_class(&self, unit: &str) -> Class {
        let stem = unit.strip_suffix(".service");
        let chosen = self.units.iter().any(|name| name == unit || Some(name.as_str()) == stem);
        let transient = stem.is_some_and(|stem| stem.starts_with("run-"));
        if chosen || transient || kind(unit) == "scope" {
            Class::Workload
        } else {
            Class::Housekeeping
        }
    }
}

/// Whether a unit of this name is of a kind that has no processes of its own to speak of.
pub(super) fn holds_no_process(unit: &str) -> bool {
    ["mount", "automount", "swap", "socket"].contains(&kind(unit))
}

/// The kind of a unit, the part of its name behind the last dot: `service`, `scope`, `slice`.
pub(super) fn kind(unit: &str) -> &str {
    unit.rsplit_once('.').map_or("", |(_, kind)| kind)
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

/// The first `count` components.
fn prefix(path: &str, count: usize) -> &str {
    let end = path.match_indices('/').nth(count.saturating_sub(1)).map(|(end, _)| end);
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// 1000 of `user-1000.slice`.
fn slice_uid(slice: &str) -> Option<u32> {
    slice.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(path: &str) -> Class {
        let own = Some("system.slice/agentd.service".to_owned());
        Ownership::new(own, vec!["slurmd".to_owned(), "batch.service".to_owned()]).of(path).class
    }

    #[test]
    fn work_and_housekeeping_are_told_apart() {
        for (path, expected) in [
            ("user.slice/user-1000.slice/session-3.scope", Class::Workload),
            ("user.slice/user-1000.slice/user@1000.service/app.slice/x.service", Class::Workload),
            ("user.slice/user-0.slice/session-1.scope", Class::Workload),
            ("user.slice", Class::Workload),
            ("machine.slice/libpod-1234.scope/container", Class::Workload),
            ("kubepods.slice/kubepods-burstable.slice/x", Class::Workload),
            ("docker/0123", Class::Workload),
            ("custom.slice", Class::Workload),
            ("", Class::Workload),
            ("system.slice/docker-0123.scope", Class::Workload),
            ("system.slice/run-r5f.scope", Class::Workload),
            ("system.slice/run-u12.service", Class::Workload),
            ("system.slice/slurmd.service", Class::Workload),
            ("system.slice/batch.service/worker", Class::Workload),
            (
                "system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service",
                Class::Housekeeping,
            ),
            ("system.slice/amazon-ssm-agent.service", Class::Housekeeping),
            ("system.slice/cron.service", Class::Housekeeping),
            ("system.slice/run-user-1000.mount", Class::Housekeeping),
            ("system.slice", Class::Housekeeping),
            ("init.scope", Class::Housekeeping),
            ("dev-hugepages.mount", Class::Housekeeping),
            ("system.slice/agentd.service", Class::Own),
            ("system.slice/agentd.service/sub", Class::Own),
            ("system.slice/agentd-probe.service", Class::Own),
            ("system.slice/agentd-pre-stop.service", Class::Own),
            ("system.slice/agentd.service.d", Class::Housekeeping),
        ] {
            assert_eq!(class(path), expected, "{path}");
        }
    }

    #[test]
    fn the_group_is_what_people_know() {
        let ownership = Ownership::default();
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
        for own in ["user.slice/user-1000.slice/session-3.scope", "", "system.slice"] {
            let ownership = Ownership::new(Some(own.to_owned()), Vec::new());
            let place = ownership.of("user.slice/user-1000.slice/session-3.scope");
            assert_eq!(place.class, Class::Workload, "{own}");
            assert_eq!(ownership.of("system.slice/x.service").class, Class::Housekeeping, "{own}");
        }
    }
}
