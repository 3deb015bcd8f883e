//! In which control groups jobs are left running.

use crate::host::units::{Origin, Registry};
use crate::host::users::is_ordinary;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{is_payload, is_script, kind, slice_uid};

/// Where a process is whose parent started it for somebody, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the scope of a login, which may have ended: `session 42`.
    Login(String),
    /// In a unit in which somebody's jobs run.
    Unit(String),
    /// In a service, a container or a desktop's application.
    Nobody,
    /// There are no groups that would tell.
    Unknown,
}

/// Daemons in whose groups logins and jobs stay: the names of their units before `@` and `.service`.
const LOGINS: [&str; 15] = [
    "cron",
    "crond",
    "cronie",
    "anacron",
    "atd",
    "ssh",
    "sshd",
    "getty",
    "serial-getty",
    "console-getty",
    "container-getty",
    "autovt",
    "amazon-ssm-agent",
    "snap.amazon-ssm-agent.amazon-ssm-agent",
    "tailscaled",
];
/// Scopes of terminals in a user's manager, where logins' programs are put.
const TERMINALS: [&str; 2] = ["tmux-spawn-", "vte-spawn-"];
/// Units of a user's manager that a desktop, its bus or the containers of a user make.
const OF_A_DESKTOP: [&str; 4] = ["app-", "dbus-", "snap.", "podman-pause-"];
/// What systemd-run makes: a service, or with `--scope` a scope around the command.
const RUN: [&str; 2] = ["service", "scope"];
/// Folders of the units that are there for every user (systemd.unit(5), "User Unit Search Path").
const FOR_EVERYBODY: [&str; 5] = [
    "/etc/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
    "/usr/share/systemd/user",
];
/// Units that systemd starts for the agent.
const FOR_THE_AGENT: &str = "agentd";

/// Judges a path without a leading slash.
pub(super) fn of(root: &HostRoot, registry: &Registry, path: &str) -> Result<Place, HostError> {
    if path.is_empty() {
        return Ok(Place::Unknown);
    }
    if path.split('/').any(is_payload) {
        return Ok(Place::Nobody);
    }
    let unit = |name: &str| Place::Unit(name.to_owned());
    if let Some(made) = path.split('/').find(|part| is_run(part)) {
        return Ok(unit(made));
    }
    let mut parts = path.split('/');
    let named = parts.clone().skip(1).find(|part| kind(part) != "slice").unwrap_or_default();
    Ok(match parts.next() {
        Some("user.slice") => {
            let uid = parts.next().and_then(slice_uid);
            if !uid.is_some_and(|uid| uid == 0 || is_ordinary(uid)) {
                // The manager of a log-in screen.
                return Ok(Place::Nobody);
            }
            match session(named) {
                Some(session) => Place::Login(session),
                None if named.starts_with("user@") => in_manager(root, path)?,
                None => Place::Nobody,
            }
        }
        Some("system.slice") => {
            let stem = named.strip_suffix(".service").unwrap_or(named);
            let stem = stem.split('@').next().unwrap_or(stem);
            let jobs = is_script(named) || LOGINS.contains(&stem);
            let transient = || {
                !stem.starts_with(FOR_THE_AGENT) && registry.unit(named).origin == Origin::Transient
            };
            if jobs || (RUN.contains(&kind(named)) && transient()) { unit(named) } else { Place::Nobody }
        }
        _ => Place::Nobody,
    })
}

/// A group within the manager of a user. Units of the user's own cannot be told from those that `systemd-run` made under a name:
/// their files are closed to the agent.
fn in_manager(root: &HostRoot, path: &str) -> Result<Place, HostError> {
    let mut within = path.split('/').skip_while(|part| !part.starts_with("user@")).skip(1);
    let Some(name) = within.find(|part| kind(part) != "slice") else {
        return Ok(Place::Nobody);
    };
    if TERMINALS.iter().any(|start| name.starts_with(start)) {
        return Ok(Place::Login("a terminal".to_owned()));
    }
    let own = RUN.contains(&kind(name)) && name != "init.scope" && !OF_A_DESKTOP.iter().any(|start| name.starts_with(start));
    if !own {
        return Ok(Place::Nobody);
    }
    let file = match name.split_once('@') {
        Some((template, _)) => format!("{template}@.service"),
        None => name.to_owned(),
    };
    for folder in FOR_EVERYBODY {
        if root.is_entry(&format!("{folder}/{file}"))? || root.is_entry(&format!("{folder}/{name}"))?
        {
            return Ok(Place::Nobody);
        }
    }
    Ok(Place::Unit(name.to_owned()))
}

/// Whether a group is that of a unit with a name of its own in a user's manager.
pub(super) fn is_named_unit(path: &str) -> bool {
    let within = path.contains("/user@");
    let unit = path.rsplit('/').next().unwrap_or_default();
    within && kind(unit) == "service" && !is_run(unit)
}

/// Whether `systemd-run` gave a unit its name: `run-u12.service`, `run-r5f….scope`, `run-p812-i813.service`.
fn is_run(part: &str) -> bool {
    let Some((stem, kind)) = part.rsplit_once('.') else { return false };
    let rest = stem.strip_prefix("run-").filter(|rest| !rest.is_empty());
    let made = |rest: &str| rest.starts_with(['u', 'r', 'p']) || rest.starts_with(|c: char| c.is_ascii_digit());
    RUN.contains(&kind) && rest.is_some_and(made)
}

/// `session 42` of `session-42.scope`.
fn session(part: &str) -> Option<String> {
    let id = part.strip_prefix("session-")?.strip_suffix(".scope")?;
    Some(format!("session {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn jobs_are_left_where_logins_schedules_and_systemd_run_put_them() {
        let tree = Tree::new();
        tree.file("/run/systemd/transient/train.service", "");
        tree.file("/run/systemd/transient/agentd-probe.service", "");
        for name in ["backup", "docker-0f", "libpod-7"] {
            tree.file(&format!("/run/systemd/transient/{name}.scope"), "");
        }
        tree.file("/usr/lib/systemd/user/pipewire.service", "");
        tree.file("/usr/lib/systemd/user/mpd@.service", "");
        let registry = Registry::of(&tree.root());
        let unit = |name: &str| Place::Unit(name.to_owned());
        let login = |name: &str| Place::Login(name.to_owned());
        let manager = |rest: &str| format!("user.slice/user-1000.slice/user@1000.service/{rest}");
        for (path, expected) in [
            ("user.slice/user-1000.slice/session-42.scope".to_owned(), login("session 42")),
            ("user.slice/user-0.slice/session-c5.scope/x".to_owned(), login("session c5")),
            ("user.slice/user-118.slice/session-c1.scope".to_owned(), Place::Nobody),
            (manager("app.slice/run-r5f.service"), unit("run-r5f.service")),
            (manager("app.slice/run-p812-i9.scope"), unit("run-p812-i9.scope")),
            (manager("app.slice/train.service"), unit("train.service")),
            (manager("app.slice/train.scope"), unit("train.scope")),
            (manager("user.slice/podman-pause-77.scope"), Place::Nobody),
            ("system.slice/backup.scope".to_owned(), unit("backup.scope")),
            ("system.slice/libpod-7.scope".to_owned(), Place::Nobody),
            (manager("session.slice/pipewire.service"), Place::Nobody),
            (manager("app.slice/mpd@x.service"), Place::Nobody),
            (manager("app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope"), login("a terminal")),
            (manager("tmux-spawn-0b.scope"), login("a terminal")),
            (manager("app.slice/app-firefox-77.scope"), Place::Nobody),
            (manager("app.slice/app-nm@autostart.service"), Place::Nobody),
            (manager("app.slice/dbus-:1.2-org.gnome.X@0.service"), Place::Nobody),
            (manager("user.slice/libpod-77.scope"), Place::Nobody),
            (manager("init.scope"), Place::Nobody),
            ("system.slice/run-u12.service".to_owned(), unit("run-u12.service")),
            ("custom.slice/run-u12.service".to_owned(), unit("run-u12.service")),
            ("system.slice/run-docker.service".to_owned(), Place::Nobody),
            ("system.slice/train.service".to_owned(), unit("train.service")),
            ("system.slice/agentd-probe.service".to_owned(), Place::Nobody),
            ("system.slice/cloud-final.service".to_owned(), unit("cloud-final.service")),
            ("system.slice/cloud-init-main.service".to_owned(), unit("cloud-init-main.service")),
            ("system.slice/rc-local.service".to_owned(), unit("rc-local.service")),
            ("system.slice/amazon-ssm-agent.service".to_owned(), unit("amazon-ssm-agent.service")),
            ("system.slice/cron.service".to_owned(), unit("cron.service")),
            ("system.slice/system-getty.slice/getty@tty1.service".to_owned(), unit("getty@tty1.service")),
            ("system.slice/nginx.service".to_owned(), Place::Nobody),
            ("system.slice/own.service".to_owned(), Place::Nobody),
            ("system.slice/docker-0f.scope".to_owned(), Place::Nobody),
            ("machine.slice/libpod-1.scope".to_owned(), Place::Nobody),
            ("kubepods.slice/x".to_owned(), Place::Nobody),
            ("init.scope".to_owned(), Place::Nobody),
            (String::new(), Place::Unknown),
        ] {
            assert_eq!(of(&tree.root(), &registry, &path).unwrap(), expected, "{path}");
        }
    }
}
