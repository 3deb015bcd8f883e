//! Whose a connection is.
//!
//! A socket belongs to the control group in which it was made (`INET_DIAG_CGROUP_ID`). A connection that sshd accepted
//! was made in sshd's service although it is a session's, so those of sshd count, with an allowance for strangers
//! ([`payload`](super::payload)). A socket whose group is unknown counts, except the agent's own.

use std::collections::HashMap;

use super::is_local;
use super::payload::Connection;
use crate::host::cgroup::Hierarchy;
use crate::host::tcp::{self, TcpSocket};
use crate::host::users::{Users, is_ordinary};
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{Class, Ownership};

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody's, under this name.
    Work(String),
    /// A connection of sshd: somebody's, unless it is a stranger's attempt.
    Sshd,
    /// A housekeeping service's.
    Housekeeping,
    /// A conversation of work with itself on the machine.
    Inside,
    /// The agent's.
    Own,
}

/// Judges connections.
#[derive(Debug)]
pub(super) struct Owners {
    root: HostRoot,
    units: Vec<String>,
    users: Users,
    groups: Option<(Hierarchy, Ownership)>,
    /// Paths by number; none for a number that no group has any more.
    paths: HashMap<u64, Option<String>>,
}

impl Owners {
    /// Nothing is read yet. `units` are services of the system that count as work.
    pub(super) fn new(root: HostRoot, units: Vec<String>) -> Self {
        let users = Users::new(root.clone());
        Self { root, units, users, groups: None, paths: HashMap::new() }
    }

    /// Says of every connection whose it is.
    pub(super) fn judge(&mut self, sockets: &[TcpSocket]) -> Result<Vec<Connection>, HostError> {
        if self.groups.is_none()
            && let Some(hierarchy) = Hierarchy::find_unified(&self.root)?
        {
            let ownership = Ownership::new(hierarchy.own()?, self.units.clone());
            self.groups = Some((hierarchy, ownership));
        }
        self.learn(sockets)?;
        let own = tcp::own_sockets(&self.root)?;
        let mut connections = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let mine = own.contains(&socket.inode);
            let whose = if mine { Whose::Own } else { self.whose(socket) };
            connections.push(Connection { cookie: socket.cookie, bytes: socket.bytes, whose });
        }
        set_apart(sockets, &mut connections);
        Ok(connections)
    }

    /// Learns the paths of groups that were not met before. A group's number is never given to another one.
    fn learn(&mut self, sockets: &[TcpSocket]) -> Result<(), HostError> {
        let Some((hierarchy, _)) = &self.groups else { return Ok(()) };
        let strange = |socket: &TcpSocket| {
            socket.cgroup.is_some_and(|group| !self.paths.contains_key(&group))
        };
        if !sockets.iter().any(strange) {
            return Ok(());
        }
        self.paths = hierarchy.ids()?.into_iter().map(|(id, path)| (id, Some(path))).collect();
        for group in sockets.iter().filter_map(|socket| socket.cgroup) {
            self.paths.entry(group).or_default();
        }
        Ok(())
    }

    fn whose(&mut self, socket: &TcpSocket) -> Whose {
        let path = socket.cgroup.and_then(|group| self.paths.get(&group)?.as_deref());
        let (Some(path), Some((_, ownership))) = (path, &self.groups) else {
            return Whose::Work(format!("connections of {}", self.users.name(socket.uid)));
        };
        let place = ownership.of(path);
        match place.class {
            Class::Own => Whose::Own,
            Class::Housekeeping if is_sshd(place.group) => Whose::Sshd,
            Class::Housekeeping if !is_ordinary(socket.uid) => Whose::Housekeeping,
            Class::Housekeeping => {
                Whose::Work(format!("connections of {}", self.users.name(socket.uid)))
            }
            Class::Workload => match place.uid {
                // Sessions come and go; the user's name stays.
                Some(uid) => Whose::Work(format!("connections of {}", self.users.name(uid))),
                None if place.group.is_empty() => {
                    Whose::Work("connections without a control group".to_owned())
                }
                None => Whose::Work(place.group.to_owned()),
            },
        }
    }
}

/// What work says to work on the same machine is no traffic of its own: heartbeats of an idle cluster would count for
/// ever. What it says to a housekeeping service does count, since that may pass it on (an SSM session, a proxy).
fn set_apart(sockets: &[TcpSocket], connections: &mut [Connection]) {
    let works = |whose: &Whose| matches!(whose, Whose::Work(_) | Whose::Sshd);
    let mut ends = HashMap::new();
    for (socket, connection) in sockets.iter().zip(connections.iter()) {
        if is_local(socket.local, socket.remote) {
            ends.insert((socket.local, socket.remote), works(&connection.whose));
        }
    }
    for (socket, connection) in sockets.iter().zip(connections.iter_mut()) {
        let other = ends.get(&(socket.remote, socket.local)).copied().unwrap_or(false);
        if works(&connection.whose) && other {
            connection.whose = Whose::Inside;
        }
    }
}

/// Whether a unit is sshd's: the daemon itself, or one connection of socket activation.
fn is_sshd(group: &str) -> bool {
    let unit = group.rsplit('/').next().unwrap_or_default();
    ["ssh.service", "sshd.service"].contains(&unit)
        || unit.starts_with("ssh@")
        || unit.starts_with("sshd@")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::os::unix::fs::MetadataExt;

    struct Machine {
        tree: Tree,
        owners: Owners,
    }

    impl Machine {
        fn new(groups: &[&str]) -> Self {
            let tree = Tree::new();
            tree.file("/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n");
            tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
            for group in groups {
                tree.cgroup(group, 0, &[]);
            }
            let owners = Owners::new(tree.root(), vec!["slurmd".to_owned()]);
            Self { tree, owners }
        }

        fn socket(&self, group: &str, uid: u32) -> TcpSocket {
            let folder = self.tree.path(&format!("/sys/fs/cgroup/{group}"));
            let cgroup = Some(std::fs::metadata(folder).unwrap().ino());
            TcpSocket { uid, cgroup, ..socket("10.0.0.5:1", "10.0.0.6:2") }
        }

        fn whose(&mut self, socket: TcpSocket) -> Whose {
            self.owners.judge(&[socket]).unwrap().remove(0).whose
        }
    }

    fn socket(local: &str, remote: &str) -> TcpSocket {
        TcpSocket {
            cookie: 1,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            uid: 0,
            inode: 0,
            cgroup: None,
            bytes: 0,
        }
    }

    fn work(name: &str) -> Whose {
        Whose::Work(name.to_owned())
    }

    #[test]
    fn the_group_tells_whose_it_is() {
        let session = "user.slice/user-1000.slice/session-3.scope";
        let cases = [
            (session, 1000, work("connections of alice")),
            ("user.slice/user-0.slice/session-1.scope", 0, work("connections of root")),
            ("system.slice/docker-1.scope", 0, work("system.slice/docker-1.scope")),
            ("system.slice/slurmd.service", 0, work("system.slice/slurmd.service")),
            ("kubepods.slice/pod1", 0, work("kubepods.slice")),
            ("system.slice/amazon-ssm-agent.service", 0, Whose::Housekeeping),
            ("system.slice/nginx.service", 33, Whose::Housekeeping),
            ("system.slice/jupyter.service", 1000, work("connections of alice")),
            ("system.slice/ssh.service", 0, Whose::Sshd),
            ("system.slice/sshd.service", 0, Whose::Sshd),
            ("system.slice/system-ssh.slice/ssh@1-a.service", 0, Whose::Sshd),
            ("system.slice/agentd.service", 0, Whose::Own),
            ("", 0, work("connections without a control group")),
        ];
        let mut machine = Machine::new(&cases.clone().map(|(group, _, _)| group));
        for (group, uid, expected) in cases {
            let socket = machine.socket(group, uid);
            assert_eq!(machine.whose(socket), expected, "{group}");
        }
    }

    #[test]
    fn what_is_not_known_counts() {
        let mut machine = Machine::new(&["system.slice"]);
        let gone =
            TcpSocket { cgroup: Some(u64::MAX), uid: 1000, ..socket("10.0.0.5:1", "10.0.0.6:2") };
        assert_eq!(machine.whose(gone), work("connections of alice"));
        let untold = socket("10.0.0.5:1", "10.0.0.6:2");
        assert_eq!(machine.whose(untold.clone()), work("connections of root"));
        let mut without = Machine::new(&[]);
        assert_eq!(without.whose(untold), work("connections of root"));
    }

    #[test]
    fn a_group_that_is_new_is_learned() {
        let mut machine = Machine::new(&["system.slice/a.service"]);
        let old = machine.socket("system.slice/a.service", 0);
        assert_eq!(machine.whose(old), Whose::Housekeeping);
        machine.tree.cgroup("system.slice/docker-7.scope", 0, &[]);
        let new = machine.socket("system.slice/docker-7.scope", 0);
        assert_eq!(machine.whose(new), work("system.slice/docker-7.scope"));
    }

    #[test]
    fn a_conversation_of_work_with_itself_is_set_apart() {
        let mut machine = Machine::new(&[
            "user.slice/user-1000.slice/session-3.scope",
            "system.slice/ssm.service",
        ]);
        let session = machine.socket("user.slice/user-1000.slice/session-3.scope", 1000);
        let service = machine.socket("system.slice/ssm.service", 0);
        let ends = |socket: &TcpSocket, local: &str, remote: &str| TcpSocket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            ..socket.clone()
        };
        let connections = machine
            .owners
            .judge(&[
                ends(&session, "127.0.0.1:8888", "127.0.0.1:4000"),
                ends(&session, "127.0.0.1:4000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:5000"),
                ends(&service, "127.0.0.1:5000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:6000"),
            ])
            .unwrap();
        let whose: Vec<_> = connections.into_iter().map(|connection| connection.whose).collect();
        let alice = || work("connections of alice");
        let expected = [Whose::Inside, Whose::Inside, alice(), Whose::Housekeeping, alice()];
        assert_eq!(whose, expected);
    }
}
