//! The connections of a machine that is a folder, written down in `proc/net/sock_diag` for a test.
//!
//! A socket a line, ten words: `COOKIE STATE LOCAL REMOTE UID INODE CGROUP SENT RECEIVED SILENT_MS`. The state is
//! `LISTEN`, `ESTAB` or anything else; addresses are `192.0.2.1:22` or `[2001:db8::1]:22`; the control group is the
//! inode of its folder, or `-`. No kernel has this file.

use std::net::SocketAddr;
use std::str::FromStr;

use super::{Dump, Found, TcpSocket, plain};
use crate::host::{HostError, HostRoot};

/// Where it is.
const PATH: &str = "/proc/net/sock_diag";
/// The most of it that is read.
const LIMIT: usize = 16 << 20;

/// The sockets; none if there is no such file.
pub(super) fn read(root: &HostRoot) -> Result<Option<Dump>, HostError> {
    let text = match root.read_text(PATH, LIMIT) {
        Err(error) if error.is_missing() => return Ok(None),
        other => other?,
    };
    let mut dump = Dump::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let found = entry(line)
            .ok_or_else(|| HostError::malformed(PATH, format!("'{line}' is no socket")))?;
        dump.add(found)?;
    }
    Ok(Some(dump))
}

fn entry(line: &str) -> Option<Found> {
    let mut words = line.split_ascii_whitespace();
    let cookie = next(&mut words)?;
    let state = words.next()?;
    let local = address(words.next()?)?;
    if state == "LISTEN" {
        return Some(Found::Listener(local));
    }
    let remote = address(words.next()?)?;
    let (uid, inode) = (next(&mut words)?, next(&mut words)?);
    let cgroup = match words.next()? {
        "-" => None,
        number => Some(number.parse().ok()?),
    };
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
