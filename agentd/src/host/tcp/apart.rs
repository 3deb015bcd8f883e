//! Connections of another network namespace as `/proc/PID/net/tcp` and `tcp6` list them (`proc_pid_net(5)`): who talks to whom, and
//! no bytes. Socket diagnosis tells of the own namespace only.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ESTABLISHED, LISTENING};
use crate::host::{HostError, HostRoot};

/// The most of one of these files that is read: fifty thousand sockets.
const LIMIT: usize = 8 << 20;

/// What is connected in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    /// Other ends of connections that arrived at a port where something listens.
    pub incoming: Vec<IpAddr>,
    /// Other ends of the other connections.
    pub outgoing: Vec<IpAddr>,
}

/// The established connections in the namespace of a process, those over the loopback left out; none if it ended.
pub fn read(root: &HostRoot, pid: u32) -> Result<Option<Apart>, HostError> {
    let mut listening = HashSet::new();
    let mut connections = Vec::new();
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/{pid}/net/{file}");
        let mut text = Vec::new();
        match root.read_into(&path, LIMIT, &mut text) {
            Ok(()) => {}
            // A kernel without IPv6 has no second one.
            Err(error) if error.is_missing() && file == "tcp6" => break,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        }
        for line in String::from_utf8_lossy(&text).lines().skip(1) {
            let (local, remote, state) = socket(line)
                .ok_or_else(|| HostError::malformed(&path, format!("'{}'", line.trim())))?;
            match state {
                LISTENING => {
                    listening.insert(local.port());
                }
                ESTABLISHED if !remote.ip().is_loopback() => connections.push((local, remote)),
                _ => {}
            }
        }
    }
    let mut apart = Apart::default();
    for (local, remote) in connections {
        let incoming = listening.contains(&local.port());
        let ends = if incoming { &mut apart.incoming } else { &mut apart.outgoing };
        ends.push(remote.ip());
    }
    Ok(Some(apart))
}

/// Both ends and the state of a line: `0: 0100007F:1F90 00000000:0000 0A …`.
fn socket(line: &str) -> Option<(SocketAddr, SocketAddr, u8)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (end(words.next()?)?, end(words.next()?)?);
    Some((local, remote, u8::from_str_radix(words.next()?, 16).ok()?))
}

/// An address in words of four bytes, each printed as a number of this machine, and a port.
fn end(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let quarter = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(u32::from_be(word))
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(quarter(0)?)),
        32 => {
            let [a, b, c, d] = [quarter(0)?, quarter(1)?, quarter(2)?, quarter(3)?].map(u128::from);
            IpAddr::V6(Ipv6Addr::from((a << 96) | (b << 64) | (c << 32) | d)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    /// A line, its addresses as the kernel of this machine prints them.
    fn line(local: &str, remote: &str, state: &str) -> String {
        let hex = |end: &str| {
            let end: SocketAddr = end.parse().unwrap();
            let bytes = match end.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let words = bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
            let words: Vec<_> = words.map(|word| format!("{word:08X}")).collect();
            format!("{}:{:04X}", words.concat(), end.port())
        };
        format!("   0: {} {} {state} 00000000:00000000 00:0 0 0 0 0\n", hex(local), hex(remote))
    }

    #[test]
    fn connections_are_told_by_who_opened_them() {
        let tree = Tree::new();
        let heading = "  sl  local_address rem_address   st\n";
        assert_eq!(read(&tree.root(), 7).unwrap(), None);
        let four = [
            line("172.17.0.2:50000", "10.0.0.9:443", "01"),
            line("127.0.0.1:80", "127.0.0.1:4000", "01"),
            line("172.17.0.2:80", "10.0.0.8:4000", "06"),
        ];
        tree.file("/proc/7/net/tcp", format!("{heading}{}", four.concat()));
        let six = [
            line("[::]:80", "[::]:0", "0A"),
            line("[::ffff:172.17.0.2]:80", "[::ffff:203.0.113.5]:4000", "01"),
            line("[2001:db8::2]:80", "[2001:db8::5]:4000", "01"),
        ];
        tree.file("/proc/7/net/tcp6", format!("{heading}{}", six.concat()));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let incoming = vec![ip("203.0.113.5"), ip("2001:db8::5")];
        let expected = Apart { incoming, outgoing: vec![ip("10.0.0.9")] };
        assert_eq!(read(&tree.root(), 7).unwrap(), Some(expected));
        tree.file("/proc/7/net/tcp", format!("{heading}garbage\n"));
        assert!(read(&tree.root(), 7).unwrap_err().to_string().contains("/proc/7/net/tcp"));
    }

    #[test]
    fn this_machine_tells() {
        assert!(read(&HostRoot::real(), std::process::id()).unwrap().is_some());
    }
}
