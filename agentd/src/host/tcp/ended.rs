//! Connections that ended, each with all that it carried, as the kernel announces them (`ss -E`).
//!
//! A connection that lives between two dumps is in neither. The kernel tells of every TCP socket that it destroys, with
//! its `tcp_info`, whoever listens to the groups `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` of
//! `NETLINK_SOCK_DIAG` (`include/uapi/linux/sock_diag.h`; `sock_diag_broadcast_destroy` of `net/core/sock_diag.c`). No
//! privilege is asked for. What it tells of is in the network namespace of the one who listens, sockets of the kernel
//! itself excepted. It names both ends, but neither user nor control group.
//!
//! They wait in the socket until they are taken. When its space is used up the newest are lost, which the kernel says
//! once (`ENOBUFS`, `netlink(7)`).

use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::{MESSAGE, SUBJECT, TcpSocket, connection, table, understand};
use crate::host::{HostError, HostRoot};

/// `SKNLGRP_INET_TCP_DESTROY` of `include/uapi/linux/sock_diag.h`.
const TCP_DESTROY: u32 = 1;
/// `SKNLGRP_INET6_TCP_DESTROY`.
const TCP6_DESTROY: u32 = 3;
/// The space that is asked for. The kernel gives twice as much (`socket(7)`), and one that ended takes 1,280 bytes, so that is 6,500
/// of them where it gives all of it. Without the capability it gives as much as `net.core.rmem_max` says, which is 212,992 on many
/// machines: 332 of them.
const SPACE: usize = 4 << 20;
/// The most that are taken at once.
const LIMIT: usize = 100_000;

/// Listens for connections that end, from when it is opened.
#[derive(Debug)]
pub struct Ended {
    from: From,
}

#[derive(Debug)]
enum From {
    Kernel { socket: Box<Socket>, buffer: Vec<u8> },
    Table { root: HostRoot, read: usize },
}

impl Ended {
    /// Begins to listen. None if the machine is another one for which nobody wrote down what ended.
    pub fn open(root: &HostRoot) -> Result<Option<Self>, HostError> {
        if !root.is_real() {
            let before = table::ended(root, 0)?;
            let from = |list: Vec<_>| From::Table { root: root.clone(), read: list.len() };
            return Ok(before.map(|list| Self { from: from(list) }));
        }
        let failed = |error| HostError::io("listen at", SUBJECT, error);
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        // Without the capability it is as much as `net.core.rmem_max` allows.
        if setsockopt(&socket, sockopt::RcvBufForce, &SPACE).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &SPACE);
        }
        socket.bind(&NetlinkAddr::new(0, 0)).map_err(failed)?;
        socket.add_membership(TCP_DESTROY).map_err(failed)?;
        socket.add_membership(TCP6_DESTROY).map_err(failed)?;
        socket.set_non_blocking(true).map_err(failed)?;
        let buffer = Vec::with_capacity(MESSAGE);
        Ok(Some(Self { from: From::Kernel { socket: Box::new(socket), buffer } }))
    }

    /// Hands over what ended since the last time. False: some were lost.
    pub fn take(&mut self, each: &mut dyn FnMut(TcpSocket)) -> Result<bool, HostError> {
        let (socket, buffer) = match &mut self.from {
            From::Kernel { socket, buffer } => (socket, buffer),
            From::Table { root, read } => {
                let list = table::ended(root, *read)?.unwrap_or_default();
                *read += list.len();
                let whole = list.iter().all(Option::is_some);
                list.into_iter().flatten().for_each(each);
                return Ok(whole);
            }
        };
        let mut whole = true;
        for _ in 0..LIMIT {
            buffer.clear();
            match socket.recv(buffer, 0) {
                Ok(_) => {
                    understand(buffer, &mut |response| {
                        // A socket that listened or was never connected has no other end.
                        let ended = connection(response).filter(|it| it.remote.port() != 0);
                        ended.into_iter().for_each(&mut *each);
                        Ok(())
                    })?;
                }
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => whole = false,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(whole),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(HostError::io("listen at", SUBJECT, error)),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn a_connection_that_ended_is_told_with_all_that_it_carried() {
        let Some(mut ended) = Ended::open(&HostRoot::real()).unwrap() else { return };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let here = listener.local_addr().unwrap();
            for _ in 0..3 {
                let mut client = TcpStream::connect(here).unwrap();
                let mut server = listener.accept().unwrap().0;
                client.write_all(&[0; 2000]).unwrap();
                server.read_exact(&mut [0; 2000]).unwrap();
                server.write_all(&[0; 300]).unwrap();
                client.read_exact(&mut [0; 300]).unwrap();
                // Whoever closes first waits; the other end is gone once it has read the end.
                drop(client);
                server.read_to_end(&mut Vec::new()).unwrap();
                drop(server);
            }
            let mut bytes = Vec::new();
            // The kernel tells it a little later (`sock_diag_broadcast_destroy_work`).
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(10) {
                let mut each = |it: TcpSocket| {
                    if it.local == here {
                        bytes.push((it.received, it.sent));
                    }
                };
                assert!(ended.take(&mut each).unwrap());
                if bytes.len() == 3 {
                    break;
                }
                std::thread::yield_now();
            }
            assert_eq!(bytes.len(), 3, "{address}");
            // The end of the other's stream counts as one byte, and so does one's own.
            assert!(bytes.iter().all(|it| (2000..=2001).contains(&it.0)), "{bytes:?}");
            assert!(bytes.iter().all(|it| (300..=302).contains(&it.1)), "{bytes:?}");
        }
    }

    #[test]
    fn what_a_test_wrote_down_is_told_once_and_what_was_lost_is_said() {
        let tree = Tree::new();
        assert!(Ended::open(&tree.root()).unwrap().is_none());
        let line = |cookie| format!("{cookie} CLOSE 10.0.0.5:22 192.0.2.1:9 0 0 - 30 40 0\n");
        let file = "/proc/net/sock_diag_ended";
        tree.file(file, line(1));
        let mut ended = Ended::open(&tree.root()).unwrap().unwrap();
        let mut told = Vec::new();
        tree.file(file, format!("{}{}", line(1), line(2)));
        assert!(ended.take(&mut |it| told.push(it.cookie)).unwrap());
        tree.file(file, format!("{}{}LOST\n{}", line(1), line(2), line(3)));
        assert!(!ended.take(&mut |it| told.push(it.cookie)).unwrap());
        assert_eq!(told, [2, 3]);
        tree.file(file, "x\nx\nx\nx\nx");
        assert!(ended.take(&mut |_| {}).is_err());
    }
}
