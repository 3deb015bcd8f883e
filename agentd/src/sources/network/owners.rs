//! Whose a connection is.
//!
//! A socket belongs to the control group in which it was made (`INET_DIAG_CGROUP_ID`). A connection that sshd accepted
//! was made in sshd's service although it is a session's, so those of sshd count, with an allowance for strangers
//! ([`payload`](super::payload)). A socket whose group is unknown counts, except the agent's own.

use std::collections::HashMap;

use super::is_local;
use crate::host::cgroup::Hierarchy;
use crate::host::tcp::{self, TcpSocket};
use crate::host::users::{Users, is_ordinary};
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{Class, Ownership};

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Whose {
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
pub(in crate::sources) struct Owners {
    root: HostRoot,
    units: Vec<String>,
    users: Users,
    groups: Option<(Hierarchy, Ownership)>,
    /// Paths by number; none for a number that no group has any more.
    paths: HashMap<u64, Option<String>>,
    /// What belongs to each user is called this, as of this look.
    names: HashMap<u32, String>,
}

impl Owners {
    /// Nothing is read yet. `units` are services of the system that count as work.
    pub(in crate::sources) fn new(root: HostRoot, units: Vec<String>) -> Self {
        let users = Users::new(root.clone());
        Self { root, units, users, groups: None, paths: HashMap::new(), names: HashMap::new() }
    }

    /// Says of every connection whose it is, in their order.
    pub(in crate::sources) fn judge(&mut self, sockets: &[TcpSocket]) -> Result<Vec<Whose>, HostError> {
        if self.groups.is_none()
            && let Some(hierarchy) = Hierarchy::find_unified(&self.root)?
        {
            let ownership = Ownership::new(&self.root, hierarchy.own()?, self.units.clone(), Vec::new());
            self.groups = Some((hierarchy, ownership));
        }
        self.learn(sockets)?;
        self.names.clear();
        let own = tcp::own_sockets(&self.root)?;
        let whose = |socket: &TcpSocket| {
            if own.contains(&socket.inode) { Whose::Own } else { self.whose(socket) }
        };
        let mut owners: Vec<_> = sockets.iter().map(whose).collect();
        set_apart(sockets, &mut owners);
        Ok(owners)
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
            return of_user(&mut self.names, &mut self.users, socket.uid);
        };
        let place = ownership.of(path);
        match place.class {
            Class::Own => Whose::Own,
            _ if place.class != Class::People && is_sshd(place.group, socket.local.port()) => {
                Whose::Sshd
            }
            Class::Local if is_ordinary(socket.uid) => {
                of_user(&mut self.names, &mut self.users, socket.uid)
            }
            Class::Local | Class::Server | Class::Upkeep => Whose::Housekeeping,
            Class::People => match place.uid {
                // Sessions come and go; the user's name stays.
                Some(uid) => of_user(&mut self.names, &mut self.users, uid),
                None if place.group.is_empty() => {
                    Whose::Work("connections without a control group".to_owned())
                }
                None => Whose::Work(place.group.to_owned()),
            },
        }
    }
}

/// Users are looked up once a look, not once a socket.
fn of_user(names: &mut HashMap<u32, String>, users: &mut Users, uid: u32) -> Whose {
    let name = names.entry(uid).or_insert_with(|| format!("connections of {}", users.name(uid)));
    Whose::Work(name.clone())
}

/// What work says to work on the same machine is no traffic of its own: heartbeats of an idle cluster would count for
/// ever. What it says to a housekeeping service does count, since that may pass it on (an SSM session, a proxy). What the
/// agent says to somebody's proxy is the agent's at both ends.
fn set_apart(sockets: &[TcpSocket], owners: &mut [Whose]) {
    let works = |whose: &Whose| matches!(whose, Whose::Work(_) | Whose::Sshd);
    let mut ends = HashMap::new();
    for (socket, whose) in sockets.iter().zip(owners.iter()) {
        if is_local(socket.local, socket.remote) {
            ends.insert((socket.local, socket.remote), (works(whose), *whose == Whose::Own));
        }
    }
    for (socket, whose) in sockets.iter().zip(owners.iter_mut()) {
        let (work, own) = ends.get(&(socket.remote, socket.local)).copied().unwrap_or_default();
        if works(whose) && own {
            *whose = Whose::Own;
        } else if works(whose) && work {
            *whose = Whose::Inside;
        }
    }
}

/// Where sshd listens unless it is told otherwise.
const SSH_PORT: u16 = 22;

/// Whether a connection on this port, made in this group, is sshd's. An accepted connection is in the group of the
/// socket that listened: that of the daemon, or of the socket unit where systemd listens for it. Kernels without the
/// means to filter by group have systemd open the latter's sockets in its own group.
fn is_sshd(group: &str, port: u16) -> bool {
    let unit = group.rsplit('/').next().unwrap_or_default();
    ["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"].contains(&unit)
        || unit.starts_with("ssh@")
        || unit.starts_with("sshd@")
        || (unit == "init.scope" && port == SSH_PORT)
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
            self.owners.judge(&[socket]).unwrap().remove(0)
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
            established: true,
            sent: 0,
            received: 0,
            silent_ms: 0,
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
            ("system.slice/ssh.socket", 0, Whose::Sshd),
            ("init.scope", 0, Whose::Housekeeping),
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
    fn the_port_of_ssh_is_sshds_where_systemd_listens() {
        let mut machine = Machine::new(&["init.scope", "system.slice"]);
        let local = "10.0.0.5:22".parse().unwrap();
        let socket = TcpSocket { local, ..machine.socket("init.scope", 0) };
        assert_eq!(machine.whose(socket), Whose::Sshd);
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
        let whose = machine
            .owners
            .judge(&[
                ends(&session, "127.0.0.1:8888", "127.0.0.1:4000"),
                ends(&session, "127.0.0.1:4000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:5000"),
                ends(&service, "127.0.0.1:5000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:6000"),
            ])
            .unwrap();
        let alice = || work("connections of alice");
        let expected = [Whose::Inside, Whose::Inside, alice(), Whose::Housekeeping, alice()];
        assert_eq!(whose, expected);
    }

    #[test]
    fn what_the_agent_says_to_somebodys_proxy_is_the_agents_at_both_ends() {
        let session = "user.slice/user-1000.slice/session-3.scope";
        let mut machine = Machine::new(&[session, "system.slice/agentd.service"]);
        let ends = |socket: TcpSocket, local: &str, remote: &str| TcpSocket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            ..socket
        };
        let proxy = machine.socket(session, 1000);
        let agent = machine.socket("system.slice/agentd.service", 0);
        let whose = machine
            .owners
            .judge(&[
                ends(proxy.clone(), "127.0.0.1:3128", "127.0.0.1:4000"),
                ends(agent, "127.0.0.1:4000", "127.0.0.1:3128"),
                ends(proxy, "127.0.0.1:3128", "127.0.0.1:5000"),
            ])
            .unwrap();
        assert_eq!(whose, [Whose::Own, Whose::Own, work("connections of alice")]);
    }
}
