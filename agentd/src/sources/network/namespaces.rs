//! Traffic of work in network namespaces other than the agent's: containers, `ip netns`, machines of systemd-nspawn.
//!
//! The groups of the workload are gone through now and then, and some processes of each are asked which namespace they
//! are in: the first, the last, and another one each time. Every namespace that is not the agent's is read at each
//! look through one of its processes, so it counts once however many processes share it.
//!
//! A namespace counts bytes of packets, not payload. A packet that carries nothing (an acknowledgement, a keep-alive
//! probe, ARP) has at most 66 bytes: headers of Ethernet, IPv4 and TCP with timestamps. So that much is taken off each
//! packet, and what is left is payload or a little less.
//!
//! A namespace that asks nobody only serves: an exporter that is scraped, a page that is left open. It has no connection that it
//! opened, and has opened no more than it accepted (`ActiveOpens`, `PassiveOpens`) in this look and the one before; what it opens
//! to itself, such as a check of its health, it accepts, too. Then what it carries has the allowance of a quiet client
//! ([`quiet`](super::quiet)).
//!
//! What containers say to each other and to the machine is nobody's by itself. So one whose networks are all behind bridges of
//! this machine has not exchanged more with others than the cards to the outside carried, less what strangers said to sshd, and
//! all of them together have not. A container without a
//! network of its own, or with the host's, has no traffic here; the latter's connections are known by socket.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use super::quiet::Allowance;
use crate::host::counters::{self, Behind, Counters, Outside};
use crate::host::namespace::{self, Carried, Traffic};
use crate::host::process::{self, Processes};
use crate::host::tcp::apart;
use crate::host::{HostError, HostRoot};
use super::owners::may_be_anybodys;
use crate::sources::ownership::inside::{Inside, Part};
use crate::sources::ownership::{Class, Ownership, Place};
use crate::sources::pace::Pace;

/// What a packet without payload has at most.
const HEADERS: u64 = 66;
/// What every packet has: Ethernet, and ARP or IPv4 and UDP. Of the cards no more is taken off, as others' packets may be small.
const LEAST_HEADERS: u64 = 42;
/// The most groups that are gone through.
const GROUPS: usize = 4096;
/// How deep groups may lie.
const DEPTH: usize = 12;
/// The most processes by which a namespace is remembered.
const MEMBERS: usize = 4;
/// The most namespaces.
const NAMESPACES: usize = 1024;
/// What going through a group costs, in processes of a walk.
const WEIGHT: usize = 8;

/// Finds and reads them.
#[derive(Debug)]
pub(in crate::sources) struct Namespaces {
    root: HostRoot,
    units: Vec<String>,
    upkeep: Vec<String>,
    groups: Option<(Hierarchy, Ownership)>,
    inside: Inside,
    processes: Processes,
    pace: Pace,
    outside: Outside,
    /// What the cards to the outside had carried at the last look.
    passed: Option<Carried>,
    known: BTreeMap<u64, Known>,
    turn: usize,
    searched: bool,
}

/// A namespace.
#[derive(Debug)]
struct Known {
    subject: String,
    role: Role,
    pids: Vec<u32>,
    /// None: it was there at the first search, and is compared from its first reading on.
    last: Option<Carried>,
    found: bool,
    /// What a quiet client may make of it.
    allowance: Option<Allowance>,
    /// What it had opened and accepted when it carried something last.
    counters: Counters,
    /// It asked others for something then.
    asked: bool,
}

/// What a namespace carried between two looks, payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sources) struct Grown {
    /// The number of the namespace.
    pub(in crate::sources) number: u64,
    /// One of its processes.
    pub(in crate::sources) pid: u32,
    /// What it is called.
    pub(in crate::sources) subject: String,
    /// Whose it is.
    pub(in crate::sources) role: Role,
    /// What came, of others where that is known.
    pub(in crate::sources) received: u64,
    /// What went, to others where that is known.
    pub(in crate::sources) sent: u64,
    /// What counts of both.
    pub(in crate::sources) counted: u64,
    /// It has carried something, and all its networks are behind bridges of this machine.
    pub(in crate::sources) behind: Option<Behind>,
}

impl Namespaces {
    /// Nothing is read yet. `units` are services of the system that count as people's work, `upkeep` further ones that keep
    /// the machine.
    pub(in crate::sources) fn new(root: HostRoot, units: Vec<String>, upkeep: Vec<String>) -> Self {
        Self {
            inside: Inside::new(root.clone()),
            processes: Processes::new(root.clone()),
            root,
            units,
            upkeep,
            groups: None,
            pace: Pace::default(),
            outside: Outside::default(),
            passed: None,
            known: BTreeMap::new(),
            turn: 0,
            searched: false,
        }
    }

    /// Makes the next look a search.
    pub(in crate::sources) fn refresh(&mut self) {
        self.inside.refresh();
        self.pace.reset();
    }

    /// What every namespace carried since the last look. `strangers` is what the cards carried meanwhile, received and sent, that
    /// cannot have been a container's.
    pub(in crate::sources) fn look(
        &mut self,
        now: Stamp,
        strangers: (u64, u64),
    ) -> Result<Vec<Grown>, HostError> {
        let Some(own) = namespace::own(&self.root)? else { return Ok(Vec::new()) };
        self.find_groups()?;
        if self.pace.due(now) {
            self.search(now, own)?;
        }
        let mut grown = Vec::new();
        if !self.read(&mut grown)? {
            // All processes by which one was known have ended. It may live on with others.
            self.search(now, own)?;
            self.read(&mut grown)?;
        }
        self.count(now, strangers, &mut grown)?;
        Ok(grown)
    }

    /// Whether an address is behind a bridge of this machine.
    pub(in crate::sources) fn is_inside(&self, address: IpAddr) -> bool {
        self.outside.is_inside(address)
    }

    /// Says what counts. The cards are read after the namespaces, so they have carried all that those exchanged with others.
    fn count(
        &mut self,
        now: Stamp,
        strangers: (u64, u64),
        grown: &mut [Grown],
    ) -> Result<(), HostError> {
        let cards = self.outside.carried(&self.root)?;
        let last = std::mem::replace(&mut self.passed, cards.map(|(carried, _)| carried));
        let passed = match (last, cards) {
            (Some(last), Some((now, false))) => {
                let less = |last, now, strangers| {
                    let all = less_headers(last, now, LEAST_HEADERS);
                    // If they said more than came, some of it came before the last look, and how much is not known.
                    all.checked_sub(strangers).unwrap_or(all)
                };
                let received = less(last.received, now.received, strangers.0);
                Some((received, less(last.sent, now.sent, strangers.1)))
            }
            _ => None,
        };
        let mut left = passed.map_or(u64::MAX, |(received, sent)| received.saturating_add(sent));
        // What is only one's is people's before it is a server's.
        for peoples in [true, false] {
            let carried = |one: &&mut Grown| one.received > 0 || one.sent > 0;
            let first = |one: &&mut Grown| (one.role == Role::Workload) == peoples;
            for one in grown.iter_mut().filter(carried).filter(first) {
                one.behind = self.outside.behind(&self.root, one.pid)?;
                if let (Some((received, sent)), Some(_)) = (passed, one.behind) {
                    (one.received, one.sent) = (one.received.min(received), one.sent.min(sent));
                }
                if let Some(known) = self.known.get_mut(&one.number) {
                    one.counted = known.counted(&self.root, now, one)?;
                }
                if one.behind.is_some() {
                    one.counted = one.counted.min(left);
                    left -= one.counted;
                }
            }
        }
        Ok(())
    }

    fn find_groups(&mut self) -> Result<(), HostError> {
        if self.groups.is_none()
            && let Some(hierarchy) = Hierarchy::find(&self.root)?
        {
            let ownership = {
                let (units, upkeep) = (self.units.clone(), self.upkeep.clone());
                Ownership::new(&self.root, hierarchy.own()?, units, upkeep)
            };
            self.groups = Some((hierarchy, ownership));
        }
        Ok(())
    }

    /// Reads those that are known. False if one could not be read any more.
    fn read(&mut self, grown: &mut Vec<Grown>) -> Result<bool, HostError> {
        let mut whole = true;
        for (number, known) in &mut self.known {
            let mut found = None;
            for pid in &known.pids {
                // The number of the process may have been given to another one.
                if namespace::of(&self.root, *pid)? == Some(*number) {
                    found = namespace::traffic(&self.root, *pid)?.map(|traffic| (*pid, traffic));
                }
                if found.is_some() {
                    break;
                }
            }
            let Some((pid, traffic)) = found else {
                whole = false;
                continue;
            };
            let subject = known.subject.clone();
            let (number, role) = (*number, known.role);
            let mut one = Grown { number, pid, subject, role, ..Grown::default() };
            if let Some(last) = known.last.replace(traffic) {
                one.received = payload(last.received, traffic.received);
                one.sent = payload(last.sent, traffic.sent);
            }
            grown.push(one);
        }
        Ok(whole)
    }

    /// Goes through the groups of the workload.
    fn search(&mut self, now: Stamp, own: u64) -> Result<(), HostError> {
        for (number, known) in &mut self.known {
            let mut alive = Vec::with_capacity(MEMBERS);
            for pid in known.pids.drain(..) {
                if namespace::of(&self.root, pid)? == Some(*number) {
                    alive.push(pid);
                }
            }
            known.found = !alive.is_empty();
            known.pids = alive;
        }
        let mut cost = 0;
        if let Some((hierarchy, ownership)) = self.groups.take() {
            let result = self.search_groups(now, (&hierarchy, &ownership), own);
            self.groups = Some((hierarchy, ownership));
            cost = result?;
        }
        self.known.retain(|_, known| known.found);
        self.searched = true;
        self.turn = self.turn.wrapping_add(1);
        self.pace.walked(now, cost);
        Ok(())
    }

    fn search_groups(
        &mut self,
        now: Stamp,
        (hierarchy, ownership): (&Hierarchy, &Ownership),
        own: u64,
    ) -> Result<usize, HostError> {
        let mut open = vec![(String::new(), 0)];
        let mut cost = 0;
        let (mut listed, mut shown) = (0, 0);
        while let Some((path, depth)) = open.pop() {
            cost += WEIGHT;
            if cost > GROUPS * WEIGHT {
                return Err(HostError::malformed("the control groups", format!("more than {GROUPS}")));
            }
            if depth < DEPTH {
                let below = |name: String| {
                    let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                    (path, depth + 1)
                };
                open.extend(hierarchy.children(&path)?.into_iter().map(below));
            }
            let place = ownership.of(&path);
            let starts = place.class == Class::Upkeep && may_be_anybodys(place.group);
            if (place.class == Class::Upkeep && !starts) || place.class == Class::Own || path.is_empty() {
                continue;
            }
            let pids = hierarchy.pids(&path)?;
            listed += pids.len();
            cost += pids.len() / 8;
            for pid in some_of(&pids, self.turn) {
                cost += 1;
                let Some(number) = namespace::of(&self.root, pid)? else { continue };
                shown += 1;
                if number == own {
                    continue;
                }
                if let Some(role) = self.role(now, (hierarchy, ownership), place, pid)? {
                    self.note(number, pid, place, role)?;
                }
            }
        }
        if listed > 0 && shown == 0 && process::hides_others(&self.root)? {
            return Err(HostError::malformed("/proc", process::HIDDEN));
        }
        Ok(cost)
    }

    /// How it counts what a process of a group does in a namespace of its own; none if it does not.
    fn role(
        &mut self,
        now: Stamp,
        groups: (&Hierarchy, &Ownership),
        place: Place<'_>,
        pid: u32,
    ) -> Result<Option<Role>, HostError> {
        if place.class == Class::People {
            return Ok(Some(Role::Workload));
        }
        let Some(uid) = self.processes.uid(pid)? else { return Ok(None) };
        let part = self.inside.part(now, groups, place, uid)?;
        Ok(match (part, place.class) {
            (Part::Persons, _) => Some(Role::Workload),
            (_, Class::Upkeep) => None,
            (_, class) => Some(class.role()),
        })
    }

    fn note(
        &mut self,
        number: u64,
        pid: u32,
        place: Place<'_>,
        role: Role,
    ) -> Result<(), HostError> {
        // One that is new since the last search counts from its first byte.
        let last = self.searched.then(Carried::default);
        let full = self.known.len() >= NAMESPACES && !self.known.contains_key(&number);
        if full {
            let what = format!("more than {NAMESPACES}");
            return Err(HostError::malformed("the network namespaces", what));
        }
        let unit = place.group.rsplit('/').next().unwrap_or_default();
        let known = self.known.entry(number).or_insert_with(|| Known {
            subject: format!("network of {unit}"),
            role,
            pids: Vec::new(),
            last,
            found: true,
            allowance: None,
            counters: Counters::default(),
            asked: false,
        });
        known.found = true;
        // Of several in one namespace it is the one that counts soonest.
        known.role = known.role.min(role);
        if known.pids.len() < MEMBERS && !known.pids.contains(&pid) {
            known.pids.push(pid);
        }
        Ok(())
    }
}

impl Known {
    /// What counts of what it carried.
    fn counted(
        &mut self,
        root: &HostRoot,
        now: Stamp,
        one: &Grown,
    ) -> Result<u64, HostError> {
        let all = one.received.saturating_add(one.sent);
        if all == 0 {
            return Ok(0);
        }
        let asks = self.asks(root, one.pid)?;
        // What it asked for may still come when it has closed the connection.
        if std::mem::replace(&mut self.asked, asks) || asks {
            return Ok(all);
        }
        let allowance = self.allowance.get_or_insert_with(|| Allowance::of_one(now));
        let (received, sent) = allowance.beyond(now, one.received, one.sent);
        Ok(received.saturating_add(sent))
    }

    /// Whether it asks others for something. Where it does not tell it may.
    fn asks(&mut self, root: &HostRoot, pid: u32) -> Result<bool, HostError> {
        let Some(now) = counters::of(root, pid)? else { return Ok(true) };
        let before = std::mem::replace(&mut self.counters, now);
        let opened = now.opened.saturating_sub(before.opened);
        if opened > now.accepted.saturating_sub(before.accepted) {
            return Ok(true);
        }
        Ok(now.opened > 0 && apart::read(root, pid)?.is_none_or(|it| !it.outgoing.is_empty()))
    }
}

/// The first, the last and one more that changes from turn to turn.
fn some_of(pids: &[u32], turn: usize) -> Vec<u32> {
    let other = pids.get(turn.checked_rem(pids.len()).unwrap_or(0));
    let mut chosen: Vec<u32> =
        [pids.first(), pids.last(), other].into_iter().flatten().copied().collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Payload between two readings, never more than all bytes. The sums fall when an interface goes away; then all that
/// the others ever carried counts once, since what they carried before is not known.
fn payload(last: Traffic, now: Traffic) -> u64 {
    less_headers(last, now, HEADERS)
}

fn less_headers(last: Traffic, now: Traffic, headers: u64) -> u64 {
    let (bytes, packets) = if now.bytes < last.bytes {
        (now.bytes, now.packets)
    } else {
        (now.bytes - last.bytes, now.packets.saturating_sub(last.packets))
    };
    bytes.saturating_sub(packets.saturating_mul(headers))
}

#[cfg(test)]
mod tests;
