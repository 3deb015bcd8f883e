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
//! Containers that talk to each other count too, as the packets of both leave their namespaces. A container without a
//! network of its own, or with the host's, has no traffic here; the latter's connections are known by socket.

use std::collections::BTreeMap;

use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use crate::host::namespace::{self, Traffic};
use crate::host::process;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{Class, Ownership};
use crate::sources::pace::Pace;

/// What a packet without payload has at most.
const HEADERS: u64 = 66;
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
pub(super) struct Namespaces {
    root: HostRoot,
    units: Vec<String>,
    groups: Option<(Hierarchy, Ownership)>,
    pace: Pace,
    known: BTreeMap<u64, Known>,
    turn: usize,
    searched: bool,
}

/// A namespace.
#[derive(Debug)]
struct Known {
    subject: String,
    pids: Vec<u32>,
    /// None: it was there at the first search, and is compared from its first reading on.
    last: Option<Traffic>,
    found: bool,
}

impl Namespaces {
    /// Nothing is read yet. `units` are services of the system that count as work.
    pub(super) fn new(root: HostRoot, units: Vec<String>) -> Self {
        Self {
            root,
            units,
            groups: None,
            pace: Pace::default(),
            known: BTreeMap::new(),
            turn: 0,
            searched: false,
        }
    }

    /// Makes the next look a search.
    pub(super) fn refresh(&mut self) {
        self.pace.reset();
    }

    /// What every namespace carried since the last look, with what it is called.
    pub(super) fn look(&mut self, now: Stamp) -> Result<Vec<(String, u64)>, HostError> {
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
        Ok(grown)
    }

    fn find_groups(&mut self) -> Result<(), HostError> {
        if self.groups.is_none()
            && let Some(hierarchy) = Hierarchy::find(&self.root)?
        {
            let ownership = Ownership::new(&self.root, hierarchy.own()?, self.units.clone(), Vec::new());
            self.groups = Some((hierarchy, ownership));
        }
        Ok(())
    }

    /// Reads those that are known. False if one could not be read any more.
    fn read(&mut self, grown: &mut Vec<(String, u64)>) -> Result<bool, HostError> {
        let mut whole = true;
        for (number, known) in &mut self.known {
            let mut traffic = None;
            for pid in &known.pids {
                // The number of the process may have been given to another one.
                if namespace::of(&self.root, *pid)? == Some(*number) {
                    traffic = namespace::traffic(&self.root, *pid)?;
                }
                if traffic.is_some() {
                    break;
                }
            }
            let Some(traffic) = traffic else {
                whole = false;
                continue;
            };
            if let Some(last) = known.last.replace(traffic) {
                grown.push((known.subject.clone(), payload(last, traffic)));
            } else {
                grown.push((known.subject.clone(), 0));
            }
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
            let result = self.search_groups(&hierarchy, &ownership, own);
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
        hierarchy: &Hierarchy,
        ownership: &Ownership,
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
            if place.class != Class::People || path.is_empty() {
                continue;
            }
            let pids = hierarchy.pids(&path)?;
            listed += pids.len();
            cost += pids.len() / 8;
            for pid in some_of(&pids, self.turn) {
                cost += 1;
                let Some(number) = namespace::of(&self.root, pid)? else { continue };
                shown += 1;
                if number != own {
                    self.note(number, pid, place.group)?;
                }
            }
        }
        if listed > 0 && shown == 0 && process::hides_others(&self.root)? {
            return Err(HostError::malformed("/proc", "it hides other users' processes (hidepid=)"));
        }
        Ok(cost)
    }

    fn note(&mut self, number: u64, pid: u32, group: &str) -> Result<(), HostError> {
        // One that is new since the last search counts from its first byte.
        let last = self.searched.then(Traffic::default);
        let full = self.known.len() >= NAMESPACES && !self.known.contains_key(&number);
        if full {
            let what = format!("more than {NAMESPACES}");
            return Err(HostError::malformed("the network namespaces", what));
        }
        let unit = group.rsplit('/').next().unwrap_or_default();
        let known = self.known.entry(number).or_insert_with(|| Known {
            subject: format!("network of {unit}"),
            pids: Vec::new(),
            last,
            found: true,
        });
        known.found = true;
        if known.pids.len() < MEMBERS && !known.pids.contains(&pid) {
            known.pids.push(pid);
        }
        Ok(())
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
    let (bytes, packets) = if now.bytes < last.bytes {
        (now.bytes, now.packets)
    } else {
        (now.bytes - last.bytes, now.packets.saturating_sub(last.packets))
    };
    bytes.saturating_sub(packets.saturating_mul(HEADERS))
}

#[cfg(test)]
mod tests;
