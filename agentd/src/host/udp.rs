//! UDP sockets, from the kernel's socket diagnosis (`sock_diag(7)`, `net/ipv4/udp_diag.c`).
//!
//! The kernel counts neither bytes nor datagrams of a UDP socket. What it tells is who could have sent or received what the
//! machine's counters hold.

use std::net::SocketAddr;

use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use super::tcp::{MESSAGE, SUBJECT, cgroup, plain, receive, request, table};
use super::{HostError, HostRoot};

/// The most sockets that are looked at.
const LIMIT: usize = 100_000;

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// This end. IPv4 addresses mapped into IPv6 are shown as IPv4.
    pub local: SocketAddr,
    /// Whether it talks to one other end only.
    pub connected: bool,
    /// Who made the socket.
    pub uid: u32,
    /// Its inode; 0 for one of the kernel's own (`WireGuard`, VXLAN).
    pub inode: u32,
    /// The control group that it was made in, by number; none on kernels that do not tell.
    pub cgroup: Option<u64>,
}

/// All UDP sockets of this network namespace, both families; none if the machine is another one whose sockets nobody wrote
/// down.
pub fn dump(root: &HostRoot) -> Result<Option<Vec<UdpSocket>>, HostError> {
    if !root.is_real() {
        return table::udp(root);
    }
    let failed = |error| HostError::io("ask", SUBJECT, error);
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    socket.connect(&NetlinkAddr::new(0, 0)).map_err(failed)?;
    let mut buffer = Vec::with_capacity(MESSAGE);
    let mut sockets = Vec::new();
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let asked = request(family, IPPROTO_UDP, StateFlags::all(), id);
        socket.send(&asked, 0).map_err(failed)?;
        receive(&socket, &mut buffer, &mut |response| {
            let header = &response.header;
            let id = &header.socket_id;
            if sockets.len() >= LIMIT {
                return Err(HostError::malformed(SUBJECT, format!("more than {LIMIT} sockets")));
            }
            sockets.push(UdpSocket {
                local: SocketAddr::new(plain(id.source_address), id.source_port),
                connected: id.destination_port != 0,
                uid: header.uid,
                inode: header.inode,
                cgroup: cgroup(response),
            });
            Ok(())
        })?;
    }
    Ok(Some(sockets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::net::UdpSocket as Real;

    #[test]
    fn real_sockets_are_told_bound_and_connected() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(server) = Real::bind(address) else { continue };
            let client = Real::bind(address).unwrap();
            client.connect(server.local_addr().unwrap()).unwrap();
            let sockets = dump(&HostRoot::real()).unwrap().unwrap();
            let of = |one: &Real| {
                let here = one.local_addr().unwrap();
                sockets.iter().find(|it| it.local == here).cloned().unwrap()
            };
            assert!(!of(&server).connected && of(&client).connected);
            assert_eq!(of(&server).uid, nix::unistd::getuid().as_raw());
            assert_ne!(of(&server).inode, 0);
        }
    }

    #[test]
    fn a_folder_tells_what_was_written_down() {
        let tree = Tree::new();
        assert_eq!(dump(&tree.root()).unwrap(), None);
        tree.file(
            "/proc/net/sock_diag",
            "1 LISTEN 0.0.0.0:22\n2 UDP 0.0.0.0:2456 0.0.0.0:0 1001 7 12\n3 UDP 10.0.0.5:9 192.0.2.1:53 0 0 -\n",
        );
        let sockets = dump(&tree.root()).unwrap().unwrap();
        assert_eq!((sockets[0].local.port(), sockets[0].connected), (2456, false));
        assert_eq!((sockets[0].uid, sockets[0].inode, sockets[0].cgroup), (1001, 7, Some(12)));
        assert!(sockets[1].connected && sockets[1].inode == 0);
        tree.file("/proc/net/sock_diag", "2 UDP nonsense\n");
        assert!(dump(&tree.root()).is_err());
    }
}
