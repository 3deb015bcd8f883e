//! Whose the machine's processor time, traffic and disk are, as rates, and the counters that grow by them.

use std::collections::BTreeMap;

use agent_core::reading::{Reading, Role, Signal};

use super::{app_clients, counter, session_payload};
use crate::signals::{Foreground, Place, Service, Signals};

/// What a terminal takes to redraw itself, bytes a second.
const REDRAW: f64 = 16_384.0;
/// What a client that nobody uses makes a server of people's send, and sends itself, bytes a second; and so many of them
/// have that allowance together.
const QUIET: (f64, f64, f64) = (16_384.0, 1000.0, 8.0);
/// Datagrams that come and go are a flow from here on, both ways together, bytes a second.
const FLOW: f64 = 4000.0;
/// Kernel threads that use more than this work on the disks, cores.
const KERNEL_WORKS: f64 = 0.03;
/// What every account leaves unexplained: of processor time 0.005 core and 1.5 % of what is busy, of traffic
/// 100 bytes a second and 1 %: measured on kernels 6.1 and 6.18 under ten loads.
const CPU_REST: (f64, f64) = (0.005, 0.015);
const NET_REST: (f64, f64) = (100.0, 0.01);

/// One share of a total: whose, in which group, and the rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    subject: &'static str,
    role: Role,
    rate: f64,
}

const fn share(subject: &'static str, role: Role, rate: f64) -> Share {
    Share { subject, role, rate }
}

/// Counters by subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts(BTreeMap<&'static str, (Role, f64)>);

impl Accounts {
    /// Time passes: every counter grows by its rate times so much.
    pub(super) fn pass(&mut self, shares: Vec<Share>, span: f64) {
        for Share { subject, role, rate } in shares {
            let (known, total) = self.0.entry(subject).or_default();
            *known = role;
            *total += rate * span;
        }
    }

    /// The counters as a source reads them.
    pub(super) fn reading(&self) -> Reading {
        let signal = |(subject, (role, total)): (&&'static str, &(Role, f64))| {
            let counter = counter(subject, *total);
            let counter = if *role == Role::Workload { counter.owned_by("alice") } else { counter };
            Signal { role: *role, ..counter }
        };
        Reading::Signals(self.0.iter().map(signal).collect())
    }
}

/// The group and the role of the services that use more than on a resting machine.
const fn service(signals: &Signals) -> (&'static str, Role) {
    match signals.service {
        Service::Upkeep => ("system.slice/amazon-cloudwatch-agent.service", Role::Upkeep),
        Service::Server => ("system.slice/postgresql.service", Role::Server),
        Service::Local => ("system.slice/train.service", Role::Local),
        Service::People => ("system.slice/cloud-final.service", Role::Workload),
    }
}

/// The group of what keeps every machine.
const UPKEEP: &str = "system.slice/cron.service";

/// Splits what services use into what a resting machine uses and the rest.
fn of_services(signals: &Signals, rate: f64, resting: f64) -> [Share; 2] {
    let upkeep = rate.min(resting);
    let (group, role) = service(signals);
    [share(UPKEEP, Role::Upkeep, upkeep), share(group, role, (rate - upkeep).max(0.0))]
}

/// Processor time, in cores.
pub(super) fn cpu(signals: &Signals) -> Vec<Share> {
    let place = match signals.place {
        Place::Session => "user.slice/user-1000.slice/session-4.scope",
        Place::Container => CONTAINER,
        Place::Transient => "system.slice/run-u12.service",
        Place::UserUnit => "user.slice/user-1000.slice/user@1000.service/app.slice/game.service",
        Place::People => "jobs of alice",
    };
    // A program that only shows is in the foreground of a terminal; what it uses is not work.
    let (work, shown) = match signals.fg {
        Foreground::Display => (0.0, signals.user_cpu),
        _ => (signals.user_cpu, 0.0),
    };
    let (least, part) = CPU_REST;
    let mut list = vec![
        share(place, Role::Workload, work),
        share("displays of alice", Role::Ignored, shown),
        share("editor servers of alice", Role::Ignored, signals.ide_cpu),
        share("kernel threads", Role::Upkeep, signals.kthr),
        share("unexplained", Role::Unexplained, least + part * signals.busy()),
    ];
    if signals.plane {
        list.extend(PLANE.map(|(part, of)| share(part, Role::Upkeep, of * signals.cont_cpu)));
    } else if signals.cont_cpu > 0.0 {
        list.push(share(CONTAINER, Role::Workload, signals.cont_cpu));
    }
    list.extend(of_services(signals, signals.sys_cpu, Signals::base().sys_cpu));
    list
}

const CONTAINER: &str = "system.slice/docker-4f2a.scope";
/// The parts of a control plane, and what each does of all that it does. (The API server does most.)
const PLANE: [(&str, f64); 3] = [
    ("Kubernetes: kubelet", 0.25),
    ("Kubernetes: kube-apiserver", 0.5),
    ("Kubernetes: etcd", 0.25),
];

/// Traffic, in bytes a second.
pub(super) fn network(signals: &Signals) -> Vec<Share> {
    let (least, part) = NET_REST;
    let rest = share("unexplained", Role::Unexplained, least + part * signals.net);
    let (work, ssh, services) = if signals.itemised {
        let payload = signals.rx_client + signals.ssh_tx;
        let ssh = beyond_redraws(payload, signals.rx_client, signals.ssh_estab);
        // What a server of people's carries it carries for its clients.
        let received = signals.conns.iter().map(|conn| conn.received).sum::<f64>();
        let served = if signals.conns.is_empty() {
            signals.net_user
        } else {
            beyond_quiet(signals.net_user, received, signals.conns.len())
        };
        let work = served + signals.net_other;
        (work, ssh, (signals.net - signals.items()).max(0.0))
    } else {
        let carried = session_payload(signals).max(signals.net_user);
        let services = (signals.net - carried).max(0.0);
        match signals.ssh_estab {
            0 => match app_clients(signals) {
                0 => (carried, 0.0, services),
                some => {
                    let clients = usize::try_from(some).unwrap_or(1);
                    (beyond_quiet(carried, signals.rx_client, clients), 0.0, services)
                }
            },
            // A copy over ssh is traffic of sshd's connection.
            some => (0.0, beyond_redraws(carried, signals.rx_client, some), services),
        }
    };
    let mut list = vec![
        share("connections of alice", Role::Workload, work),
        share("SSH connections", Role::Workload, ssh),
        // The containers of these machines only serve.
        share("containers", Role::Workload, beyond_quiet(signals.net_cont, 0.0, 1)),
        share("datagrams", Role::Workload, if signals.udp >= FLOW { signals.udp } else { 0.0 }),
        rest,
    ];
    list.extend(of_services(signals, services, Signals::base().net));
    list
}

/// Traffic of disks, in bytes a second.
pub(super) fn disk(signals: &Signals) -> Vec<Share> {
    let beside = (signals.disk - signals.disk_user).max(0.0);
    let mut list = vec![share("user.slice", Role::Workload, signals.disk_user)];
    if signals.kthr > KERNEL_WORKS {
        // The kernel itself looks after a disk: no group has it, and its threads tell.
        list.push(share("the kernel's upkeep of disks", Role::Ignored, beside));
    } else {
        list.extend(of_services(signals, beside, Signals::base().disk));
    }
    list
}

/// What counts of what clients of people's servers carry: of each, only what is more than a page that is left open.
fn beyond_quiet(carried: f64, received: f64, clients: usize) -> f64 {
    let (most_sent, most_received, together) = QUIET;
    let clients = f64::from(u32::try_from(clients).unwrap_or(u32::MAX)).min(together);
    let sent = (carried - received).max(0.0);
    (received - clients * most_received).max(0.0) + (sent - clients * most_sent).max(0.0)
}

/// What counts of the connections of sshd: of what they send, only what is more than a terminal takes to redraw itself.
fn beyond_redraws(carried: f64, received: f64, connections: u32) -> f64 {
    let sent = (carried - received).max(0.0);
    carried - sent.min(f64::from(connections) * REDRAW)
}
