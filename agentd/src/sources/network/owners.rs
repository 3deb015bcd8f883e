//! Whose a connection is.
//!
//! A socket belongs to the control group in which it was made (`INET_DIAG_CGROUP_ID`). A connection that sshd accepted
//! was made in sshd's service although it is a session's, so those of sshd count, with an allowance for strangers
//! ([`payload`](super::payload)). A socket whose group is unknown counts, except the agent's own.
//!
//! Of a connection that ended the kernel tells both ends only. If the other end opened it, it belongs to what listens, or
//! listened, where it arrived. Else it belongs to whoever was last seen to talk to that other end, and if nobody was,
//! whose it was is not known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use super::gateways::carries_others;
use super::is_local;
use crate::host::cgroup::Hierarchy;
use crate::host::tcp::{self, Dump, Listener, TcpSocket};
use crate::host::users::{Users, is_ordinary};
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::inside::{Inside, Part};
use crate::sources::ownership::{Class, Ownership, Place, kind, starts_work};

/// A port that nothing listens at any more is remembered for so long.
const PORTS_FOR: Duration = Duration::from_mins(5);
/// Who talked to another end is remembered for so long.
const ENDS_FOR: Duration = Duration::from_hours(1);
/// The most other ends that are remembered.
const ENDS: usize = 4096;

/// How the connections of people are called, before whose they are.
pub(in crate::sources) const OF_USER: &str = "connections of ";

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Whose {
    /// Somebody's, under this name.
    Of(Arc<str>, Role),
    /// A connection of sshd: somebody's, unless it is a stranger's attempt.
    Sshd,
    /// A conversation of work with itself on the machine.
    Inside,
    /// The agent's, or one with the metadata service of the instance.
    Own,
}

/// What is known of a connection besides its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sources) struct Owner {
    /// Whose it is.
    pub(in crate::sources) whose: Whose,
    /// The other end opened it.
    pub(in crate::sources) incoming: bool,
}

/// Judges connections.
#[derive(Debug)]
pub(in crate::sources) struct Owners {
    root: HostRoot,
    units: Vec<String>,
    upkeep: Vec<String>,
    users: Users,
    groups: Option<(Hierarchy, Ownership)>,
    /// Whose it is what a user does in the group of a service.
    inside: Inside,
    /// Paths by number; none for a number that no group has any more.
    paths: HashMap<u64, Option<String>>,
    /// What belongs to each user is called this, as of this look.
    names: HashMap<u32, Arc<str>>,
    /// Groups are called this.
    labels: HashMap<String, Arc<str>>,
    /// What listens at a port or did so of late.
    ports: HashMap<u16, (Listener, Stamp)>,
    /// Who talks to another end, or did so of late.
    ends: HashMap<SocketAddr, (Whose, Stamp)>,
    /// Packages' servers that talk to others than this machine, or did so of late.
    outgoing: HashMap<Arc<str>, Stamp>,
}

impl Owners {
    /// Nothing is read yet. `units` are services of the system that count as people's work, `upkeep` further ones that keep
    /// the machine.
    pub(in crate::sources) fn new(root: HostRoot, units: Vec<String>, upkeep: Vec<String>) -> Self {
        Self {
            users: Users::new(root.clone()),
            inside: Inside::new(root.clone()),
            root,
            units,
            upkeep,
            groups: None,
            paths: HashMap::new(),
            names: HashMap::new(),
            labels: HashMap::new(),
            ports: HashMap::new(),
            ends: HashMap::new(),
            outgoing: HashMap::new(),
        }
    }

    /// Says of every connection of a dump whose it is, in their order.
    pub(in crate::sources) fn judge(&mut self, now: Stamp, dump: &Dump) -> Result<Vec<Owner>, HostError> {
        self.find_groups()?;
        if let Some((_, ownership)) = &self.groups {
            ownership.look()?;
        }
        let sockets = &dump.connections;
        self.learn(sockets.iter().filter_map(|socket| socket.cgroup))?;
        self.names.clear();
        for (at, listener) in &dump.listeners {
            self.ports.insert(at.port(), (*listener, now));
        }
        self.ports.retain(|_, (_, seen)| now.since(*seen) < PORTS_FOR);
        let own = tcp::own_sockets(&self.root)?;
        let mut owners = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let incoming = dump.is_incoming(socket);
            let metadata = !incoming && is_metadata(socket.remote.ip());
            let whose = if metadata || own.contains(&socket.inode) {
                Whose::Own
            } else {
                self.whose(now, socket.cgroup, socket.uid, socket.local.port())?
            };
            owners.push(Owner { whose, incoming });
        }
        self.note_outgoing(now, sockets, &owners);
        set_apart(sockets, &mut owners, |name| !self.outgoing.contains_key(name));
        self.remember(now, sockets, &owners);
        Ok(owners)
    }

    /// Whose a connection was that ended and was not seen while it lived; none if that is not known.
    pub(in crate::sources) fn ended(
        &mut self,
        now: Stamp,
        socket: &TcpSocket,
    ) -> Result<Option<Owner>, HostError> {
        if is_local(socket.local, socket.remote) {
            return Ok(Some(Owner { whose: Whose::Inside, incoming: false }));
        }
        if let Some((listener, _)) = self.ports.get(&socket.local.port()).copied() {
            self.learn(listener.cgroup.into_iter())?;
            let whose = self.whose(now, listener.cgroup, listener.uid, socket.local.port())?;
            return Ok(Some(Owner { whose, incoming: true }));
        }
        if is_metadata(socket.remote.ip()) {
            return Ok(Some(Owner { whose: Whose::Own, incoming: false }));
        }
        let known = self.ends.get(&socket.remote);
        Ok(known.map(|(whose, _)| Owner { whose: whose.clone(), incoming: false }))
    }

    /// Whose a socket of this group and user is that takes datagrams at a port.
    pub(super) fn of_socket(
        &mut self,
        now: Stamp,
        cgroup: Option<u64>,
        uid: u32,
        port: u16,
    ) -> Result<Whose, HostError> {
        self.find_groups()?;
        self.learn(cgroup.into_iter())?;
        self.whose(now, cgroup, uid, port)
    }

    /// Makes the next look into the groups of services a real one.
    pub(in crate::sources) fn refresh(&mut self) {
        self.inside.refresh();
    }

    /// The path of a group by its number, where it is known, and the hierarchy that it is in.
    pub(in crate::sources) fn path(&self, cgroup: Option<u64>) -> Option<(&Hierarchy, &str)> {
        let (hierarchy, _) = self.groups.as_ref()?;
        Some((hierarchy, self.paths.get(&cgroup?)?.as_deref()?))
    }

    fn find_groups(&mut self) -> Result<(), HostError> {
        if self.groups.is_none()
            && let Some(hierarchy) = Hierarchy::find_unified(&self.root)?
        {
            let (units, upkeep) = (self.units.clone(), self.upkeep.clone());
            let ownership = Ownership::new(&self.root, hierarchy.own()?, units, upkeep);
            self.groups = Some((hierarchy, ownership));
        }
        Ok(())
    }

    /// Learns the paths of groups that were not met before. A group's number is never given to another one.
    fn learn(&mut self, groups: impl Iterator<Item = u64> + Clone) -> Result<(), HostError> {
        let Some((hierarchy, _)) = &self.groups else { return Ok(()) };
        if groups.clone().all(|group| self.paths.contains_key(&group)) {
            return Ok(());
        }
        self.paths = hierarchy.ids()?.into_iter().map(|(id, path)| (id, Some(path))).collect();
        // Groups came, so others may have gone.
        self.labels.clear();
        for group in groups {
            self.paths.entry(group).or_default();
        }
        Ok(())
    }

    fn whose(
        &mut self,
        now: Stamp,
        cgroup: Option<u64>,
        uid: u32,
        port: u16,
    ) -> Result<Whose, HostError> {
        let path = cgroup.and_then(|group| self.paths.get(&group)?.as_deref());
        let (Some(path), Some((hierarchy, ownership))) = (path, &self.groups) else {
            return Ok(of_user(&mut self.names, &mut self.users, uid));
        };
        let place = ownership.of(path);
        Ok(match place.class {
            Class::Own => Whose::Own,
            Class::People => match place.uid {
                // Sessions come and go; the user's name stays.
                Some(uid) => of_user(&mut self.names, &mut self.users, uid),
                None if place.group.is_empty() => {
                    Whose::Of("connections without a control group".into(), Role::Workload)
                }
                None => Whose::Of(label(&mut self.labels, place.group), Role::Workload),
            },
            // Where sessions have no group of their own, what users do there stays in that of sshd.
            _ if is_sshd(place.group, port) && !is_ordinary(uid) => Whose::Sshd,
            _ if is_ordinary(uid) && (place.class == Class::Local || is_sshd(place.group, port)) => {
                of_user(&mut self.names, &mut self.users, uid)
            }
            _ if !is_ordinary(uid) && !may_be_anybodys(place.group) => {
                Whose::Of(label(&mut self.labels, place.group), role_of(place))
            }
            _ => match self.inside.part(now, (hierarchy, ownership), place, uid)? {
                Part::Persons if is_ordinary(uid) => {
                    of_user(&mut self.names, &mut self.users, uid)
                }
                other => of_part(&mut self.labels, place, other),
            },
        })
    }

    /// Notes which servers may pass on what they are told here.
    fn note_outgoing(&mut self, now: Stamp, sockets: &[TcpSocket], owners: &[Owner]) {
        self.outgoing.retain(|_, seen| now.since(*seen) < ENDS_FOR);
        for (socket, owner) in sockets.iter().zip(owners) {
            if let Whose::Of(name, Role::Server) = &owner.whose
                && !is_local(socket.local, socket.remote)
            {
                self.outgoing.insert(Arc::clone(name), now);
            }
        }
    }

    /// Notes who talks to which other end. If several do, it is the one whose limit is lowest.
    fn remember(&mut self, now: Stamp, sockets: &[TcpSocket], owners: &[Owner]) {
        self.ends.retain(|_, (_, seen)| now.since(*seen) < ENDS_FOR);
        let outside = sockets.iter().zip(owners).filter(|(socket, owner)| {
            !owner.incoming && !is_local(socket.local, socket.remote)
        });
        for (socket, owner) in outside {
            let full = self.ends.len() >= ENDS;
            match self.ends.get_mut(&socket.remote) {
                Some((whose, seen)) => {
                    *seen = now;
                    if doubt(&owner.whose) < doubt(whose) {
                        *whose = owner.whose.clone();
                    }
                }
                None if !full => {
                    self.ends.insert(socket.remote, (owner.whose.clone(), now));
                }
                None => {}
            }
        }
    }
}

/// Whether a unit is a daemon that starts others' work. What a VPN carries is others' work, too, and is counted by them; the
/// first process listens for others and talks to nobody.
pub(super) fn may_be_anybodys(group: &str) -> bool {
    let unit = group.rsplit('/').next().unwrap_or_default();
    starts_work(unit).is_some() && !unit.starts_with("tailscaled") && unit != "init.scope"
}

/// How it counts what a service says. A file system on the network says only what somebody's reading and writing of files makes it
/// say, so it counts as if they had said it.
fn role_of(place: Place<'_>) -> Role {
    if kind(place.group) == "mount" {
        return Role::Workload;
    }
    let carries = place.class == Class::Upkeep && carries_others(place.group);
    if carries { Role::Server } else { place.class.role() }
}

/// The order in which several owners are preferred: those with the lowest limits first, the agent last.
fn doubt(whose: &Whose) -> (u8, Role) {
    match whose {
        Whose::Of(_, role) => (0, *role),
        Whose::Sshd => (1, Role::Workload),
        Whose::Inside | Whose::Own => (2, Role::Ignored),
    }
}

/// Addresses of the services of EC2 on the link: metadata, names, time, licences, and the credentials of tasks and pods. What is
/// said there is about the machine, not its work. Others on the link may be anybody: a service behind VPC Lattice has
/// an address of `169.254.171.0/24`.
pub(in crate::sources) fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [169, 254, 169, last] => [254, 253, 123, 249, 250, 251].contains(&last),
            [169, 254, 170, last] => [2, 23].contains(&last),
            _ => false,
        },
        IpAddr::V6(address) => [0x254, 0x253, 0x123, 0x23]
            .iter()
            .any(|last| address == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, *last)),
    }
}

/// Whose a socket is that somebody's process in a service made, a package's job, or the daemon.
fn of_part(labels: &mut HashMap<String, Arc<str>>, place: Place<'_>, part: Part) -> Whose {
    match part {
        Part::Persons => {
            Whose::Of(format!("{OF_USER}people in {}", place.group).into(), Role::Workload)
        }
        Part::Packaged => {
            let name = format!("packages' jobs of {}", place.group);
            Whose::Of(name.into(), role_of(place))
        }
        // Where a daemon starts others' work a process that ended just now may have been somebody's.
        Part::Daemon => {
            let starts = place.class == Class::Upkeep && may_be_anybodys(place.group);
            let role = if starts { Role::Local } else { role_of(place) };
            Whose::Of(label(labels, place.group), role)
        }
    }
}

/// Users are looked up once a look, not once a socket.
fn of_user(names: &mut HashMap<u32, Arc<str>>, users: &mut Users, uid: u32) -> Whose {
    let name = || format!("{OF_USER}{}", users.name(uid)).into();
    Whose::Of(Arc::clone(names.entry(uid).or_insert_with(name)), Role::Workload)
}

fn label(labels: &mut HashMap<String, Arc<str>>, group: &str) -> Arc<str> {
    if let Some(known) = labels.get(group) {
        return Arc::clone(known);
    }
    let name: Arc<str> = group.into();
    labels.insert(group.to_owned(), Arc::clone(&name));
    name
}

/// An end of a connection within the machine.
struct End {
    works: bool,
    own: bool,
    /// The service, if it is one's.
    service: Option<(Arc<str>, Role)>,
}

impl End {
    fn new(whose: &Whose) -> Self {
        let works = matches!(whose, Whose::Of(_, Role::Workload) | Whose::Sshd);
        let service = match whose {
            Whose::Of(name, role) if !works => Some((Arc::clone(name), *role)),
            _ => None,
        };
        Self { works, own: *whose == Whose::Own, service }
    }

    fn role(&self) -> Option<Role> {
        self.service.as_ref().map(|(_, role)| *role)
    }
}

/// What people's work says to people's work on the same machine is no traffic of its own: heartbeats of an idle cluster
/// would count for ever. Nor is what units say to each other, except what a package's server says to a unit that was made here
/// at its port: a proxy's clients are that unit's. What people's work says to a unit does count, since that may
/// pass it on (an SSM session, a proxy); a package's server that talks to nobody else (`keeps`) passes nothing on. What the
/// agent says to somebody's proxy is the agent's at both ends.
fn set_apart(sockets: &[TcpSocket], owners: &mut [Owner], keeps: impl Fn(&str) -> bool) {
    let mut ends = HashMap::new();
    for (socket, owner) in sockets.iter().zip(owners.iter()) {
        if is_local(socket.local, socket.remote) {
            ends.insert((socket.local, socket.remote), End::new(&owner.whose));
        }
    }
    if ends.is_empty() {
        return;
    }
    for (socket, owner) in sockets.iter().zip(owners.iter_mut()) {
        let Some(this) = ends.get(&(socket.local, socket.remote)) else { continue };
        let other = ends.get(&(socket.remote, socket.local));
        let (other_works, other_own) =
            other.map_or((false, false), |other| (other.works, other.own));
        let server = other.filter(|other| other.role() == Some(Role::Server));
        let proxied = owner.incoming && this.role() == Some(Role::Local) && server.is_some();
        let kept = server.and_then(|server| server.service.as_ref());
        let asks = !owner.incoming && kept.is_some_and(|(name, _)| keeps(name));
        if this.works && other_own {
            owner.whose = Whose::Own;
        } else if !this.own && (other_works || asks || !(this.works || proxied)) {
            owner.whose = Whose::Inside;
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
    use crate::host::tree::{Process, Tree};
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
            let owners = Owners::new(tree.root(), vec!["slurmd".to_owned()], Vec::new());
            Self { tree, owners }
        }

        fn socket(&self, group: &str, uid: u32) -> TcpSocket {
            let folder = self.tree.path(&format!("/sys/fs/cgroup/{group}"));
            let cgroup = Some(std::fs::metadata(folder).unwrap().ino());
            TcpSocket { uid, cgroup, ..socket("10.0.0.5:1", "10.0.0.6:2") }
        }

        fn whose(&mut self, socket: TcpSocket) -> Whose {
            self.judge(&[socket]).remove(0)
        }

        fn judge(&mut self, sockets: &[TcpSocket]) -> Vec<Whose> {
            let dump = Dump { connections: sockets.to_vec(), ..Dump::default() };
            let owners = self.owners.judge(Stamp::default(), &dump).unwrap();
            owners.into_iter().map(|owner| owner.whose).collect()
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
        Whose::Of(name.into(), Role::Workload)
    }

    fn local(name: &str) -> Whose {
        Whose::Of(name.into(), Role::Local)
    }

    fn upkeep(name: &str) -> Whose {
        Whose::Of(name.into(), Role::Upkeep)
    }

    #[test]
    fn the_group_tells_whose_it_is() {
        let session = "user.slice/user-1000.slice/session-3.scope";
        let vpn = "system.slice/system-openvpn\\x2dserver.slice/openvpn-server@a.service";
        let cases = [
            (session, 1000, work("connections of alice")),
            ("user.slice/user-0.slice/session-1.scope", 0, work("connections of root")),
            ("system.slice/docker-1.scope", 0, work("system.slice/docker-1.scope")),
            ("system.slice/slurmd.service", 0, work("system.slice/slurmd.service")),
            ("kubepods.slice/pod1", 0, work("kubepods.slice")),
            ("system.slice/amazon-ssm-agent.service", 0, local("system.slice/amazon-ssm-agent.service")),
            ("system.slice/amazon-ssm-agent.service", 1000, work("connections of alice")),
            ("system.slice/chrony.service", 0, upkeep("system.slice/chrony.service")),
            (vpn, 0, Whose::Of(vpn.into(), Role::Server)),
            ("system.slice/mnt-data.mount", 0, work("system.slice/mnt-data.mount")),
            ("system.slice/nginx.service", 33, local("system.slice/nginx.service")),
            ("system.slice/jupyter.service", 1000, work("connections of alice")),
            ("system.slice/ssh.service", 0, Whose::Sshd),
            ("system.slice/sshd.service", 0, Whose::Sshd),
            ("system.slice/system-ssh.slice/ssh@1-a.service", 0, Whose::Sshd),
            ("system.slice/ssh.socket", 0, Whose::Sshd),
            ("init.scope", 0, upkeep("init.scope")),
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
    fn what_a_user_does_in_a_packages_unit_is_the_users() {
        let (studio, game) = ("system.slice/rstudio.service", "system.slice/game.service");
        let (cron, ssh) = ("system.slice/cron.service", "system.slice/ssh.service");
        let mut machine = Machine::new(&[ssh]);
        machine.tree.file(
            "/var/lib/dpkg/info/x.list",
            "/lib/systemd/system/rstudio.service\n/lib/systemd/system/game.service\n",
        );
        for unit in ["rstudio", "game"] {
            machine.tree.file(&format!("/usr/lib/systemd/system/{unit}.service"), "");
        }
        for (group, pids) in [(studio, &[5, 6][..]), (game, &[7]), (cron, &[8, 9])] {
            machine.tree.cgroup(group, 0, pids);
        }
        for (pid, uid, name) in
            [(5, 0, "rserver"), (6, 1000, "rsession"), (7, 1001, "game"), (8, 0, "cron"), (9, 0, "etl")]
        {
            machine.tree.process(&Process::new(pid, name).with(|p| p.uid = uid));
        }
        let server = |group: &str| Whose::Of(group.into(), Role::Server);
        for (group, uid, expected) in [
            (studio, 1000, work("connections of alice")),
            (studio, 0, server(studio)),
            (game, 1001, server(game)),
            (cron, 0, work("connections of people in system.slice/cron.service")),
            (ssh, 1000, work("connections of alice")),
            (ssh, 0, Whose::Sshd),
        ] {
            let socket = machine.socket(group, uid);
            assert_eq!(machine.whose(socket), expected, "{group} {uid}");
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
        assert_eq!(machine.whose(old), local("system.slice/a.service"));
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
        let whose = machine.judge(&[
                ends(&session, "127.0.0.1:8888", "127.0.0.1:4000"),
                ends(&session, "127.0.0.1:4000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:5000"),
                ends(&service, "127.0.0.1:5000", "127.0.0.1:8888"),
                ends(&session, "127.0.0.1:8888", "127.0.0.1:6000"),
            ]);
        let alice = || work("connections of alice");
        let expected =
            [Whose::Inside, Whose::Inside, alice(), Whose::Inside, alice()];
        assert_eq!(whose, expected);
    }

    /// Whose both ends are of a connection that one group has opened to another's port. `beyond`: the one that listens
    /// has a connection with another machine.
    fn within(from: (&str, u32), to: &str, beyond: bool) -> [Whose; 2] {
        let mut machine = Machine::new(&[from.0, to]);
        let units = ["redis-server", "nginx"].map(|unit| format!("/lib/systemd/system/{unit}.service"));
        machine.tree.file("/var/lib/dpkg/info/x.list", units.join("\n"));
        for unit in &units {
            machine.tree.file(&format!("/usr{unit}"), "");
        }
        let ends = |socket: TcpSocket, local: &str, remote: &str| TcpSocket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            ..socket
        };
        let listening = machine.socket(to, 0);
        let listener = Listener { uid: 0, cgroup: listening.cgroup };
        let mut connections = vec![
            ends(machine.socket(from.0, from.1), "127.0.0.1:4000", "127.0.0.1:80"),
            ends(listening.clone(), "127.0.0.1:80", "127.0.0.1:4000"),
        ];
        if beyond {
            connections.push(listening);
        }
        let at: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let dump = Dump { connections, listeners: [(at, listener)].into() };
        let owners = machine.owners.judge(Stamp::default(), &dump).unwrap();
        let mut owners = owners.into_iter().map(|owner| owner.whose);
        [owners.next().unwrap(), owners.next().unwrap()]
    }

    #[test]
    fn what_is_said_within_the_machine_counts_where_it_may_come_from_others_or_go_to_them() {
        let alice = ("user.slice/user-1000.slice/session-3.scope", 1000);
        let (redis, nginx) = ("system.slice/redis-server.service", "system.slice/nginx.service");
        let app = "system.slice/app.service";
        let both = [Whose::Inside, Whose::Inside];
        assert_eq!(within(alice, redis, false), both, "a worker asks its queue");
        let passed_on = [work("connections of alice"), Whose::Inside];
        assert_eq!(within(alice, redis, true), passed_on, "a proxy");
        assert_eq!(within(alice, app, false), passed_on, "nobody knows what it is");
        assert_eq!(within((nginx, 0), app, false), [Whose::Inside, local(app)], "a proxy's clients");
        assert_eq!(within((app, 0), redis, false), both);
        assert_eq!(within((nginx, 0), redis, false), both);
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
        let whose = machine.judge(&[
                ends(proxy.clone(), "127.0.0.1:3128", "127.0.0.1:4000"),
                ends(agent, "127.0.0.1:4000", "127.0.0.1:3128"),
                ends(proxy, "127.0.0.1:3128", "127.0.0.1:5000"),
            ]);
        assert_eq!(whose, [Whose::Own, Whose::Own, work("connections of alice")]);
    }

    #[test]
    fn one_that_ended_belongs_to_what_listened_where_it_arrived() {
        let mut machine = Machine::new(&["system.slice/nginx.service"]);
        let listening = machine.socket("system.slice/nginx.service", 33);
        let listener = Listener { uid: 33, cgroup: listening.cgroup };
        let at: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let dump = Dump { connections: Vec::new(), listeners: [(at, listener)].into() };
        machine.owners.judge(Stamp::default(), &dump).unwrap();
        let ended = socket("10.0.0.5:80", "192.0.2.1:4000");
        let nginx = Owner { whose: local("system.slice/nginx.service"), incoming: true };
        assert_eq!(machine.owners.ended(Stamp::default(), &ended).unwrap(), Some(nginx.clone()));
        // It was closed a moment ago.
        machine.owners.judge(Stamp::new(60_000, 0, 0), &Dump::default()).unwrap();
        assert_eq!(machine.owners.ended(Stamp::default(), &ended).unwrap(), Some(nginx));
        machine.owners.judge(Stamp::new(600_000, 0, 0), &Dump::default()).unwrap();
        assert_eq!(machine.owners.ended(Stamp::default(), &ended).unwrap(), None);
    }

    #[test]
    fn one_that_ended_belongs_to_whoever_talks_to_that_other_end() {
        let session = "user.slice/user-1000.slice/session-3.scope";
        let mut machine = Machine::new(&[session, "system.slice/chrony.service"]);
        let to = |socket: TcpSocket, remote: &str| TcpSocket { remote: remote.parse().unwrap(), ..socket };
        let alice = to(machine.socket(session, 1000), "192.0.2.1:443");
        let agent = machine.socket("system.slice/chrony.service", 0);
        machine.judge(&[to(agent.clone(), "192.0.2.1:443"), alice, to(agent, "192.0.2.2:443")]);
        let mut ended = |remote: &str| {
            let found = machine.owners.ended(Stamp::default(), &socket("10.0.0.5:50000", remote)).unwrap();
            found.map(|owner| owner.whose)
        };
        assert_eq!(ended("192.0.2.1:443"), Some(work("connections of alice")), "the lowest limit");
        assert_eq!(ended("192.0.2.2:443"), Some(upkeep("system.slice/chrony.service")));
        assert_eq!(ended("192.0.2.3:443"), None);
        assert_eq!(ended("10.0.0.5:443"), Some(Whose::Inside));
    }

    #[test]
    fn what_is_said_to_the_metadata_service_is_never_work() {
        let session = "user.slice/user-1000.slice/session-3.scope";
        let mut machine = Machine::new(&[session]);
        let lattice = machine.socket(session, 1000);
        let lattice = TcpSocket { remote: "169.254.171.2:443".parse().unwrap(), ..lattice };
        assert_eq!(machine.whose(lattice), work("connections of alice"), "a service of VPC Lattice");
        for remote in ["169.254.169.254:80", "169.254.170.2:80", "[fd00:ec2::254]:80"] {
            let alive = machine.socket(session, 1000);
            let alive = TcpSocket { remote: remote.parse().unwrap(), ..alive };
            assert_eq!(machine.whose(alive.clone()), Whose::Own);
            let ended = machine.owners.ended(Stamp::default(), &alive).unwrap();
            assert_eq!(ended.map(|owner| owner.whose), Some(Whose::Own));
        }
    }
}
