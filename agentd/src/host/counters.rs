//! What a network namespace counts of itself: connections opened, datagrams, and the bytes that its interfaces carried.
//!
//! These counters lose nothing, whoever sent or received it and however short it lived (`proc_pid_net(5)`,
//! `net/ipv4/proc.c`, RFC 4022 and 4113 for their names). They do not tell whose it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::namespace::{self, Carried, Traffic};
use super::process::number;
use super::{HostError, HostRoot};

/// The most of any of these files that is read.
const LIMIT: usize = 1 << 20;
/// The namespace of this process.
const OWN: &str = "/proc/net";

/// What the protocols of a namespace counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// TCP connections that were opened from here (`ActiveOpens`), both families.
    pub opened: u64,
    /// TCP connections that were accepted here (`PassiveOpens`), both families.
    pub accepted: u64,
    /// UDP datagrams that a socket received, both families.
    pub datagrams_in: u64,
    /// UDP datagrams that came and that no socket took.
    pub datagrams_lost: u64,
    /// UDP datagrams that were sent.
    pub datagrams_out: u64,
}

/// The counters of the own namespace; none where the machine is a folder that has none.
pub fn own(root: &HostRoot) -> Result<Option<Counters>, HostError> {
    let Some(mut counters) = of_file(root, &format!("{OWN}/snmp"))? else { return Ok(None) };
    if let Some(text) = read(root, &format!("{OWN}/snmp6"))? {
        add_six(&text, &mut counters);
    }
    Ok(Some(counters))
}

/// The counters of the namespace of a process, UDP over IPv6 left out; none if it ended.
pub fn of(root: &HostRoot, pid: u32) -> Result<Option<Counters>, HostError> {
    of_file(root, &format!("/proc/{pid}/net/snmp"))
}

fn of_file(root: &HostRoot, path: &str) -> Result<Option<Counters>, HostError> {
    let Some(text) = read(root, path)? else { return Ok(None) };
    let value = |protocol, name| {
        named(&text, protocol, name)
            .ok_or_else(|| HostError::malformed(path, format!("no {name} in it")))
    };
    let (tcp, udp) = (&b"Tcp:"[..], &b"Udp:"[..]);
    Ok(Some(Counters {
        opened: value(tcp, "ActiveOpens")?,
        accepted: value(tcp, "PassiveOpens")?,
        datagrams_in: value(udp, "InDatagrams")?,
        datagrams_lost: value(udp, "NoPorts")?.saturating_add(value(udp, "InErrors")?),
        datagrams_out: value(udp, "OutDatagrams")?,
    }))
}

/// A value of `snmp`: a line of names and a line of values for each protocol.
fn named(text: &[u8], protocol: &[u8], name: &str) -> Option<u64> {
    let mut lines =
        text.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(protocol));
    let (names, values) = (words(lines.next()?), words(lines.next()?));
    names
        .zip(values)
        .find(|(found, _)| *found == name.as_bytes())
        .and_then(|(_, value)| number(value))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The lines of `snmp6`: a name and a value each. A kernel without IPv6 has no such file.
fn add_six(text: &[u8], to: &mut Counters) {
    for line in text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Udp6")) {
        let mut words = words(line);
        let (Some(name), Some(value)) = (words.next(), words.next().and_then(number)) else {
            continue;
        };
        let sum = match name {
            b"Udp6InDatagrams" => &mut to.datagrams_in,
            b"Udp6NoPorts" | b"Udp6InErrors" => &mut to.datagrams_lost,
            b"Udp6OutDatagrams" => &mut to.datagrams_out,
            _ => continue,
        };
        *sum = sum.saturating_add(value);
    }
}

fn read(root: &HostRoot, path: &str) -> Result<Option<Vec<u8>>, HostError> {
    let mut text = Vec::new();
    match root.read_into(path, LIMIT, &mut text) {
        Ok(()) => Ok(Some(text)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// By what the interfaces to the outside are told from those inside the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// They are devices: `/sys/class/net/NAME/device`.
    #[default]
    Device,
    /// There is no device, as in a container: the default route goes through them.
    Route,
    /// There is neither: all but `lo`.
    Neither,
}

/// The interfaces through which the machine talks to others. Bridges, tunnels, VLANs and the ends of containers carry the
/// same bytes once more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// All interfaces with what they had carried at the last look: one that comes or goes changes nothing for the others.
    all: BTreeMap<String, Carried>,
    names: BTreeSet<String>,
    /// What those to the outside carried so far.
    sum: Carried,
    /// Networks behind bridges of this machine: address and mask.
    inside: Vec<(u32, u32)>,
    /// How they were found.
    pub told: Told,
}

impl Outside {
    /// What the interfaces to the outside carried, those of the first look since they were made and others since they came. It
    /// never falls. None where the machine is a folder that has none. Which they are is found out anew when an interface
    /// comes or goes. The second part of the answer says that one of them came, went or began anew: what it carried
    /// until now is not known wholly.
    pub fn carried(&mut self, root: &HostRoot) -> Result<Option<(Carried, bool)>, HostError> {
        let Some(found) = namespace::interfaces(root, &format!("{OWN}/dev"))? else {
            return Ok(None);
        };
        let first = self.all.is_empty();
        let now = found.into_iter().map(|it| {
            let carried = Carried { received: it.received, sent: it.sent };
            (it.name, carried)
        });
        let last = std::mem::replace(&mut self.all, now.collect());
        let mut torn = first;
        if !self.all.keys().eq(last.keys()) {
            let before = std::mem::take(&mut self.names);
            self.find(root)?;
            torn |= self.names != before;
        }
        for name in &self.names {
            let Some(now) = self.all.get(name).copied() else { continue };
            let before = if first { Some(&Carried::default()) } else { last.get(name) };
            let Some(before) = before else { continue };
            let fell =
                now.received.bytes < before.received.bytes || now.sent.bytes < before.sent.bytes;
            torn |= fell;
            let before = if fell { Carried::default() } else { *before };
            self.sum.received.add(grown(before.received, now.received));
            self.sum.sent.add(grown(before.sent, now.sent));
        }
        Ok(Some((self.sum, torn)))
    }

    /// Whether the namespace of a process has no networks but those behind bridges of this machine, and if so its default
    /// gateway, which is this machine. IPv4 only.
    pub fn behind(&self, root: &HostRoot, pid: u32) -> Result<Option<Behind>, HostError> {
        let Some(text) = read(root, &format!("/proc/{pid}/net/route"))? else { return Ok(None) };
        let mut behind = Behind::default();
        let mut linked = false;
        for route in routes(&String::from_utf8_lossy(&text)) {
            if route.gateway == 0 {
                linked = true;
                if !self.inside.contains(&(route.network, route.mask)) {
                    return Ok(None);
                }
            } else if route.mask == 0 {
                behind.gateway = Some(Ipv4Addr::from(route.gateway));
            }
        }
        Ok(linked.then_some(behind))
    }

    /// Whether an address is behind a bridge of this machine that no device to the outside is part of: a container's or a
    /// virtual machine's. IPv4 only.
    pub fn is_inside(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        let address = u32::from(address);
        self.inside.iter().any(|(network, mask)| address & mask == *network)
    }

    fn find(&mut self, root: &HostRoot) -> Result<(), HostError> {
        let mut names = BTreeSet::new();
        for name in self.all.keys() {
            if root.is_entry(&format!("/sys/class/net/{name}/device"))? {
                names.insert(name.clone());
            }
        }
        self.told = Told::Device;
        if names.is_empty() {
            names = default_routes(root)?;
            names.retain(|name| self.all.contains_key(name));
            self.told = Told::Route;
        }
        if names.is_empty() {
            names = self.all.keys().filter(|name| *name != "lo").cloned().collect();
            self.told = Told::Neither;
        }
        self.names = names;
        self.find_inside(root)
    }

    fn find_inside(&mut self, root: &HostRoot) -> Result<(), HostError> {
        let mut bridges = BTreeSet::new();
        for name in self.all.keys() {
            let folder = format!("/sys/class/net/{name}");
            let mut is_inside = root.is_entry(&format!("{folder}/bridge"))?;
            for device in &self.names {
                is_inside &= !root.is_entry(&format!("{folder}/brif/{device}"))?;
            }
            if is_inside {
                bridges.insert(name.as_str());
            }
        }
        self.inside.clear();
        let Some(text) = read(root, &format!("{OWN}/route"))? else { return Ok(()) };
        for route in routes(&String::from_utf8_lossy(&text)) {
            if bridges.contains(route.name) && route.gateway == 0 && route.mask != 0 {
                self.inside.push((route.network, route.mask));
            }
        }
        Ok(())
    }
}

/// Where a network namespace behind a bridge of this machine sends what is not for its own network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Its default gateway.
    pub gateway: Option<Ipv4Addr>,
}

/// A line of `/proc/net/route`.
struct Route<'a> {
    name: &'a str,
    network: u32,
    gateway: u32,
    mask: u32,
}

fn routes(text: &str) -> impl Iterator<Item = Route<'_>> {
    text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, network, gateway, _, _, _, _, mask, ..] = words.as_slice() else { return None };
        // Four bytes in the order of the network, printed as one number of this machine.
        let number = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
        let (network, gateway, mask) = (number(network)?, number(gateway)?, number(mask)?);
        Some(Route { name, network, gateway, mask })
    })
}

fn grown(before: Traffic, now: Traffic) -> Traffic {
    let (bytes, packets) = (now.bytes - before.bytes, now.packets.saturating_sub(before.packets));
    Traffic { bytes, packets }
}

/// The interfaces of the default routes: those to the network 0 with the mask 0 (`/proc/net/route`, both in hexadecimal) or
/// with the prefix 0 (`/proc/net/ipv6_route`).
fn default_routes(root: &HostRoot) -> Result<BTreeSet<String>, HostError> {
    let mut names = BTreeSet::new();
    for (file, name, zeros) in [("route", 0, [1, 7]), ("ipv6_route", 9, [0, 1])] {
        let Some(text) = read(root, &format!("{OWN}/{file}"))? else { continue };
        let text = String::from_utf8_lossy(&text);
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let zero = |at: &usize| words.get(*at).is_some_and(|it| it.bytes().all(|c| c == b'0'));
            if zeros.iter().all(zero) {
                names.extend(words.get(name).map(|name| (*name).to_owned()));
            }
        }
    }
    names.remove("lo");
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    const SNMP: &str = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm ActiveOpens PassiveOpens\nTcp: 1 19 8\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 24 3 2 25\nUdpLite: InDatagrams\nUdpLite: 0\n";
    const DEV: &str = "Inter-|\n face |\n    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n  br0: 100 2 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n";

    #[test]
    fn the_counters_of_both_families_are_read() {
        let tree = Tree::new();
        assert_eq!(own(&tree.root()).unwrap(), None);
        tree.file("/proc/net/snmp", SNMP);
        tree.file("/proc/net/snmp6", "Udp6InDatagrams   \t6\nUdp6OutDatagrams\t4\nUdp6NoPorts 1\n");
        let counters = own(&tree.root()).unwrap().unwrap();
        assert_eq!((counters.opened, counters.accepted), (19, 8));
        assert_eq!(
            (counters.datagrams_in, counters.datagrams_lost, counters.datagrams_out),
            (30, 6, 29)
        );
        tree.file("/proc/7/net/snmp", SNMP);
        assert_eq!(of(&tree.root(), 7).unwrap().map(|it| it.accepted), Some(8));
        assert_eq!(of(&tree.root(), 8).unwrap(), None);
    }

    #[test]
    fn a_file_without_a_counter_is_an_error_that_names_it() {
        let tree = Tree::new();
        for text in ["", "Tcp: ActiveOpens\n", "Tcp: ActiveOpens\nTcp: -1\n"] {
            tree.file("/proc/net/snmp", text);
            let error = own(&tree.root()).unwrap_err().to_string();
            assert!(error.contains("/proc/net/snmp"), "{error}");
        }
    }

    #[test]
    fn devices_are_outside_then_the_default_route_then_all() {
        let tree = Tree::new();
        let carried = |outside: &mut Outside| {
            let (sum, _) = outside.carried(&tree.root()).unwrap().unwrap();
            (sum.received.bytes, sum.sent.bytes, outside.told)
        };
        assert_eq!(Outside::default().carried(&tree.root()).unwrap(), None);
        tree.file("/proc/net/dev", DEV);
        assert_eq!(carried(&mut Outside::default()), (200, 60, Told::Neither));
        let route = "Iface Destination Gateway Flags RefCnt Use Metric Mask\nbr0 00000000 0102 3 0 0 0 00000000\neth0 000A 0 1 0 0 0 00FF\n";
        tree.file("/proc/net/route", route);
        assert_eq!(carried(&mut Outside::default()), (100, 30, Told::Route));
        tree.folder("/sys/class/net/eth0/device");
        assert_eq!(carried(&mut Outside::default()), (100, 30, Told::Device));
    }

    #[test]
    fn an_interface_that_comes_is_noticed() {
        let tree = Tree::new();
        tree.file("/proc/net/dev", DEV);
        tree.folder("/sys/class/net/eth0/device");
        tree.folder("/sys/class/net/eth1/device");
        let mut outside = Outside::default();
        assert!(outside.carried(&tree.root()).unwrap().unwrap().1);
        assert!(!outside.carried(&tree.root()).unwrap().unwrap().1);
        tree.file("/proc/net/dev", format!("{DEV}  eth1: 7 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"));
        let (sum, changed) = outside.carried(&tree.root()).unwrap().unwrap();
        assert_eq!(
            (sum.received.bytes, changed),
            (100, true),
            "what it carried before is not known"
        );
        let dev = DEV.replace("100 2", "150 3");
        tree.file("/proc/net/dev", format!("{dev}  eth1: 9 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"));
        let (sum, changed) = outside.carried(&tree.root()).unwrap().unwrap();
        assert_eq!((sum.received.bytes, changed), (152, false));
    }

    #[test]
    fn one_inside_that_comes_and_goes_changes_nothing() {
        let tree = Tree::new();
        tree.file("/proc/net/dev", DEV);
        tree.folder("/sys/class/net/eth0/device");
        let mut outside = Outside::default();
        outside.carried(&tree.root()).unwrap();
        let dev = DEV.replace("100 2", "150 3");
        for other in [
            "  veth1: 7 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
            "",
            "  veth2: 9 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
        ] {
            tree.file("/proc/net/dev", format!("{dev}{other}"));
            let (sum, changed) = outside.carried(&tree.root()).unwrap().unwrap();
            assert_eq!((sum.received.bytes, changed), (150, false), "{other}");
        }
    }

    #[test]
    fn a_namespace_whose_networks_are_all_behind_bridges_is_known() {
        let tree = Tree::new();
        tree.file("/proc/net/dev", DEV);
        tree.folder("/sys/class/net/eth0/device");
        tree.folder("/sys/class/net/br0/bridge");
        let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let linked = |name: &str, network: [u8; 4]| {
            format!("{name} {} 00000000 1 0 0 0 {} 0 0 0\n", hex(network), hex([255, 255, 0, 0]))
        };
        tree.file("/proc/net/route", format!("Iface\n{}", linked("br0", [172, 17, 0, 0])));
        let gateway = format!("eth0 00000000 {} 3 0 0 0 00000000 0 0 0\n", hex([172, 17, 0, 1]));
        let inner = linked("eth0", [172, 17, 0, 0]);
        tree.file("/proc/7/net/route", format!("Iface\n{gateway}{inner}"));
        // One that has a card of its own as well, and one without a network.
        tree.file("/proc/8/net/route", format!("Iface\n{inner}{}", linked("eth1", [10, 0, 0, 0])));
        tree.file("/proc/9/net/route", "Iface\n");
        let mut outside = Outside::default();
        outside.carried(&tree.root()).unwrap();
        let behind = |pid| outside.behind(&tree.root(), pid).unwrap();
        assert_eq!(behind(7), Some(Behind { gateway: Some(Ipv4Addr::new(172, 17, 0, 1)) }));
        assert_eq!((behind(8), behind(9), behind(10)), (None, None, None));
    }

    #[test]
    fn what_is_behind_a_bridge_is_inside_unless_a_device_is_part_of_it() {
        let tree = Tree::new();
        tree.file("/proc/net/dev", DEV);
        tree.folder("/sys/class/net/eth0/device");
        tree.folder("/sys/class/net/br0/bridge");
        let line = |network: [u8; 4], mask: [u8; 4]| {
            let hex = |bytes| format!("{:08X}", u32::from_ne_bytes(bytes));
            format!("br0 {} 0 1 0 0 0 {} 0 0 0\n", hex(network), hex(mask))
        };
        tree.file("/proc/net/route", format!("Iface\n{}", line([172, 17, 0, 0], [255, 255, 0, 0])));
        let inside = |address: &str| {
            let mut outside = Outside::default();
            outside.carried(&tree.root()).unwrap();
            outside.is_inside(address.parse().unwrap())
        };
        assert!(inside("172.17.0.2"));
        assert!(!inside("172.18.0.2") && !inside("fd00::1"));
        tree.folder("/sys/class/net/br0/brif/eth0");
        assert!(!inside("172.17.0.2"));
    }

    #[test]
    fn this_machine_tells() {
        let root = HostRoot::real();
        assert!(own(&root).unwrap().is_some());
        assert!(Outside::default().carried(&root).unwrap().is_some());
    }
}
