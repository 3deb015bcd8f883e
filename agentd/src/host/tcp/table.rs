//! The connections of a machine that is a folder, written down in `proc/net/sock_diag` for a test.
//!
//! A socket a line, ten words: `COOKIE STATE LOCAL REMOTE UID INODE CGROUP SENT RECEIVED SILENT_MS`. The state is
//! `LISTEN`, `ESTAB` or anything else; addresses are `192.0.2.1:22` or `[2001:db8::1]:22`; the control group is the
//! inode of its folder, or `-`. Of a listener its user and its control group are read. The state `UDP` is that of a UDP
//! socket; its REMOTE is `0.0.0.0:0` unless it is connected. No kernel has this file.
//!
//! Connections that have ended stand in `proc/net/sock_diag_ended` in the same form. New ones are put behind those that
//! stand there; a line `LOST` says that some were not told.

use std::net::SocketAddr;
use std::str::FromStr;

use super::{Dump, Found, Listener, TcpSocket, plain};
use crate::host::udp::UdpSocket;
use crate::host::{HostError, HostRoot};

/// Where it is.
const PATH: &str = "/proc/net/sock_diag";
/// Where those are that have ended.
const ENDED: &str = "/proc/net/sock_diag_ended";
/// The most of it that is read.
const LIMIT: usize = 16 << 20;

/// The sockets; none if there is no such file.
pub(super) fn read(root: &HostRoot) -> Result<Option<Dump>, HostError> {
    let Some(text) = text(root, PATH)? else { return Ok(None) };
    let mut dump = Dump::default();
    for line in lines(&text).filter(|line| !is_udp(line)) {
        dump.add(entry(line).ok_or_else(|| garbage(PATH, line))?)?;
    }
    Ok(Some(dump))
}

/// The UDP sockets; none if there is no such file.
pub(in crate::host) fn udp(root: &HostRoot) -> Result<Option<Vec<UdpSocket>>, HostError> {
    let Some(text) = text(root, PATH)? else { return Ok(None) };
    let sockets = lines(&text).filter(|line| is_udp(line));
    sockets.map(|line| datagrams(line).ok_or_else(|| garbage(PATH, line))).collect::<Result<_, _>>().map(Some)
}

/// The connections that ended after the first `skip` of them, none in place of those that were not told; none if there is
/// no such file.
pub(super) fn ended(
    root: &HostRoot,
    skip: usize,
) -> Result<Option<Vec<Option<TcpSocket>>>, HostError> {
    let Some(text) = text(root, ENDED)? else { return Ok(None) };
    let one = |line: &str| match entry(line) {
        Some(Found::Connection(socket)) => Ok(Some(socket)),
        _ if line.trim() == "LOST" => Ok(None),
        _ => Err(garbage(ENDED, line)),
    };
    lines(&text).skip(skip).map(one).collect::<Result<_, _>>().map(Some)
}

fn text(root: &HostRoot, path: &str) -> Result<Option<String>, HostError> {
    match root.read_text(path, LIMIT) {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn is_udp(line: &str) -> bool {
    line.split_ascii_whitespace().nth(1) == Some("UDP")
}

fn garbage(path: &str, line: &str) -> HostError {
    HostError::malformed(path, format!("'{line}' is no socket"))
}

fn datagrams(line: &str) -> Option<UdpSocket> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    let (uid, inode, cgroup) = (next(&mut words)?, next(&mut words)?, group(words.next()?)?);
    Some(UdpSocket { local, connected: remote.port() != 0, uid, inode, cgroup })
}

fn entry(line: &str) -> Option<Found> {
    let mut words = line.split_ascii_whitespace();
    let cookie = next(&mut words)?;
    let state = words.next()?;
    let local = address(words.next()?)?;
    if state == "LISTEN" {
        let uid = words.nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let cgroup = words.nth(1).and_then(group).flatten();
        return Some(Found::Listener(local, Listener { uid, cgroup }));
    }
    let remote = address(words.next()?)?;
    let (uid, inode) = (next(&mut words)?, next(&mut words)?);
    let cgroup = group(words.next()?)?;
    Some(Found::Connection(TcpSocket {
        cookie,
        local,
        remote,
        established: state == "ESTAB",
        uid,
        inode,
        cgroup,
        sent: next(&mut words)?,
        received: next(&mut words)?,
        silent_ms: next(&mut words)?,
    }))
}

/// The number of a control group, or a dash for none.
fn group(word: &str) -> Option<Option<u64>> {
    if word == "-" { Some(None) } else { word.parse().ok().map(Some) }
}

fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    words.next()?.parse().ok()
}

fn address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    Some(SocketAddr::new(plain(address.ip()), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn a_machine_without_the_file_has_told_nothing() {
        assert_eq!(read(&Tree::new().root()).unwrap(), None);
    }

    #[test]
    fn sockets_are_read_and_a_mapped_address_is_ipv4() {
        let tree = Tree::new();
        tree.file(
            PATH,
            "1 LISTEN [::]:22 - 0 5 - 0 0 0\n7 ESTAB [::ffff:192.0.2.1]:22 [2001:db8::1]:9 1000 8 12 30 40 5\n",
        );
        let dump = read(&tree.root()).unwrap().unwrap();
        let socket = &dump.connections[0];
        assert_eq!(socket.local, "192.0.2.1:22".parse().unwrap());
        assert!(socket.established && dump.is_incoming(socket));
        assert_eq!((socket.uid, socket.inode, socket.cgroup), (1000, 8, Some(12)));
        assert_eq!((socket.sent, socket.received, socket.silent_ms), (30, 40, 5));
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        let tree = Tree::new();
        for line in ["x", "1 ESTAB 1.2.3.4:5", "1 ESTAB 1.2.3.4:5 1.2.3.4:6 0 0 - 1 -1 0"] {
            tree.file(PATH, line);
            let error = read(&tree.root()).unwrap_err().to_string();
            assert!(error.contains(PATH), "{error}");
        }
    }
}
