//! TCP connections and the payload that they carried, from the kernel's socket diagnosis (`sock_diag(7)`).
//!
//! `tcp_info` counts payload only: keep-alive probes and acknowledgements change neither number, so a connection that
//! is merely kept open stands still.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{Emitable, Nla as _};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla,
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use serde::Deserialize;

use super::{HostError, HostRoot};

/// `INET_DIAG_CGROUP_ID` of `include/uapi/linux/inet_diag.h`, since Linux 5.8.
const CGROUP_ID: u16 = 21;
/// Where `tcpi_bytes_acked` stands in `struct tcp_info` (`include/uapi/linux/tcp.h`); `tcpi_bytes_received` follows.
const BYTES_ACKED: usize = 120;
/// The kernel fills at most this much into one message of a dump.
const MESSAGE: usize = 32 << 10;
/// The most messages of one dump: with about a hundred sockets in each, more than a machine has ports.
const MESSAGES: usize = 20_000;
/// Where a test tells the connections of a machine in a folder.
const TOLD: &str = "/run/agentd-fixture/tcp.json";
/// How the errors name it.
const SUBJECT: &str = "NETLINK_SOCK_DIAG";

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// The kernel's number for this socket, never used again.
    pub cookie: u64,
    /// This end. IPv4 addresses mapped into IPv6 are shown as IPv4.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Who made the socket.
    pub uid: u32,
    /// Its inode, as in `/proc/PID/fd`; 0 when no process holds it any more.
    pub inode: u32,
    /// The control group that it was made in, by number; none on kernels that do not tell.
    pub cgroup: Option<u64>,
    /// Payload bytes received, and sent and acknowledged.
    pub bytes: u64,
}

/// Hands every TCP connection of this network namespace to `each`, both families, whatever its state except listening
/// and the two that carry nothing (`SYN_SENT`, `TIME_WAIT`).
pub fn sockets(each: &mut dyn FnMut(TcpSocket)) -> Result<(), HostError> {
    let failed = |error| HostError::io("ask", SUBJECT, error);
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    socket.connect(&NetlinkAddr::new(0, 0)).map_err(failed)?;
    let mut buffer = Vec::with_capacity(MESSAGE);
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        socket.send(&request(family, id), 0).map_err(failed)?;
        receive(&socket, &mut buffer, each)?;
    }
    Ok(())
}

/// One connection as a test tells it.
#[derive(Debug, Deserialize)]
struct Told {
    cookie: u64,
    local: SocketAddr,
    remote: SocketAddr,
    uid: u32,
    inode: u32,
    cgroup: Option<u64>,
    received: u64,
    sent: u64,
}

/// The connections of a machine in a folder, which no kernel can be asked for: a test tells them in a JSON file. None if
/// there is no such file, and always on the machine itself, where the file means nothing.
pub fn told(root: &HostRoot) -> Result<Option<Vec<TcpSocket>>, HostError> {
    if root.is_real() {
        return Ok(None);
    }
    let text = match root.read_text(TOLD, 16 << 20) {
        Err(error) if error.is_missing() => return Ok(None),
        other => other?,
    };
    let list: Vec<Told> = serde_json::from_str(&text)
        .map_err(|error| HostError::malformed(TOLD, error.to_string()))?;
    let socket = |told: Told| TcpSocket {
        cookie: told.cookie,
        local: told.local,
        remote: told.remote,
        uid: told.uid,
        inode: told.inode,
        cgroup: told.cgroup,
        bytes: told.received.saturating_add(told.sent),
    };
    Ok(Some(list.into_iter().map(socket).collect()))
}

/// The inodes of this process's own sockets, from `/proc/self/fd`. Empty where `root` is not the machine.
pub fn own_sockets(root: &HostRoot) -> Result<HashSet<u32>, HostError> {
    if !root.is_real() {
        return Ok(HashSet::new());
    }
    let folder = root.path("/proc/self/fd");
    let failed = |error| HostError::io("list", "/proc/self/fd", error);
    let mut inodes = HashSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let Ok(target) = std::fs::read_link(entry.map_err(failed)?.path()) else { continue };
        let inode = target.to_str().and_then(|text| text.strip_prefix("socket:["));
        inodes.extend(inode.and_then(|text| text.strip_suffix(']')?.parse::<u32>().ok()));
    }
    Ok(inodes)
}

fn request(family: u8, socket_id: SocketId) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let idle =
        StateFlags::LISTEN | StateFlags::SYN_SENT | StateFlags::TIME_WAIT | StateFlags::CLOSE;
    let body = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::all().difference(idle),
        socket_id,
    });
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(body));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads the messages of one dump up to its end.
fn receive(
    socket: &Socket,
    buffer: &mut Vec<u8>,
    each: &mut dyn FnMut(TcpSocket),
) -> Result<(), HostError> {
    for _ in 0..MESSAGES {
        buffer.clear();
        socket.recv(buffer, 0).map_err(|error| HostError::io("ask", SUBJECT, error))?;
        if understand(buffer, each)? {
            return Ok(());
        }
    }
    Err(HostError::malformed(SUBJECT, format!("a list of more than {MESSAGES} messages")))
}

/// Understands one datagram, which holds several messages. True at the end of the dump.
fn understand(mut bytes: &[u8], each: &mut dyn FnMut(TcpSocket)) -> Result<bool, HostError> {
    let malformed = |what: String| HostError::malformed(SUBJECT, what);
    if bytes.is_empty() {
        return Err(malformed("an empty answer".to_owned()));
    }
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes)
            .map_err(|error| malformed(error.to_string()))?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                let error: io::Error = error.to_io();
                return Err(HostError::io("ask", SUBJECT, error));
            }
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                if let Some(found) = connection(&response) {
                    each(found);
                }
            }
            _ => return Err(malformed("an answer of another kind".to_owned())),
        }
        // Messages are aligned to four bytes (netlink(7)).
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let next = length.checked_add(3).map_or(usize::MAX, |end| end & !3);
        if length < message.header.buffer_len() {
            return Err(malformed(format!("a message of {length} bytes")));
        }
        bytes = bytes.get(next..).unwrap_or_default();
    }
    Ok(false)
}

/// A connection, or none for a socket without `tcp_info`: a request that is not a connection yet.
fn connection(response: &InetResponse) -> Option<TcpSocket> {
    let header = &response.header;
    let mut bytes = None;
    let mut cgroup = None;
    for attribute in &response.nlas {
        match attribute {
            Nla::TcpInfo(info) => bytes = payload(info),
            Nla::Other(other) if other.kind() == CGROUP_ID => {
                let mut value = [0_u8; 8];
                if other.value_len() == value.len() {
                    other.emit_value(&mut value);
                    cgroup = Some(u64::from_ne_bytes(value));
                }
            }
            _ => {}
        }
    }
    let id = &header.socket_id;
    Some(TcpSocket {
        cookie: u64::from_ne_bytes(id.cookie),
        local: SocketAddr::new(plain(id.source_address), id.source_port),
        remote: SocketAddr::new(plain(id.destination_address), id.destination_port),
        uid: header.uid,
        inode: header.inode,
        cgroup,
        bytes: bytes?,
    })
}

fn payload(info: &[u8]) -> Option<u64> {
    let (acked, rest) = info.get(BYTES_ACKED..)?.split_first_chunk::<8>()?;
    let received = rest.first_chunk::<8>()?;
    Some(u64::from_ne_bytes(*acked).saturating_add(u64::from_ne_bytes(*received)))
}

fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn find(local: SocketAddr) -> Option<TcpSocket> {
        let mut found = None;
        sockets(&mut |socket| {
            if socket.local == local {
                found = Some(socket);
            }
        })
        .unwrap();
        found
    }

    fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn payload_of_a_real_connection_is_counted_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let (mut client, mut server) = pair(&listener);
            let before = find(client.local_addr().unwrap()).unwrap();
            assert_eq!(before.remote, client.peer_addr().unwrap());
            assert_eq!(before.uid, nix::unistd::getuid().as_raw());
            client.write_all(&[0; 5000]).unwrap();
            server.read_exact(&mut [0; 5000]).unwrap();
            server.write_all(&[0; 300]).unwrap();
            client.read_exact(&mut [0; 300]).unwrap();
            let after = find(client.local_addr().unwrap()).unwrap();
            assert_eq!(after.cookie, before.cookie);
            // The handshake's SYN counts as one acknowledged byte.
            let moved = after.bytes - before.bytes;
            assert!((5300..=5301).contains(&moved), "{moved}");
            let other = find(server.local_addr().unwrap()).map(|socket| socket.cookie);
            assert_ne!(other, Some(before.cookie));
        }
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_shown_as_ipv4() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        let mut seen = 0;
        sockets(&mut |socket| {
            if socket.remote == client.local_addr().unwrap() {
                seen += 1;
            }
        })
        .unwrap();
        assert_eq!(seen, 1);
    }

    #[test]
    fn own_sockets_are_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = own_sockets(&HostRoot::real()).unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse();
        assert!(own.contains(&inode.unwrap()));
        assert!(own_sockets(&HostRoot::at("/nowhere")).unwrap().is_empty());
    }

    #[test]
    fn truncated_and_foreign_answers_are_errors() {
        let mut none = |_| panic!("no socket is in it");
        assert!(understand(&[], &mut none).is_err());
        assert!(understand(&[1, 2, 3], &mut none).is_err());
        let mut zero_length = vec![0_u8; 16];
        zero_length[4] = 20;
        assert!(understand(&zero_length, &mut none).is_err());
        assert!(understand(&request(AF_INET, SocketId::new_v4()), &mut none).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic(
            kind in proptest::prop_oneof![0_u16..5, proptest::strategy::Just(20_u16)],
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            length in 0_u32..400,
        ) {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(body);
            // Whatever comes of it, it comes back.
            drop(understand(&bytes, &mut |_| ()));
        }
    }

    #[test]
    fn a_refusal_of_the_kernel_is_told() {
        // struct nlmsgerr with -ENOENT: the module tcp_diag is not there.
        let mut message = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend((-2_i32).to_ne_bytes());
        message.extend([0; 16]);
        let error = understand(&message, &mut |_| ()).unwrap_err();
        assert!(error.is_missing(), "{error}");
    }

    #[test]
    fn a_short_tcp_info_gives_no_count() {
        assert_eq!(payload(&[0; 135]), None);
        let mut info = [0; 136];
        info[120] = 7;
        info[128] = 5;
        assert_eq!(payload(&info), Some(12));
    }

    #[test]
    fn connections_of_a_machine_in_a_folder_are_told_by_a_file() {
        let tree = Tree::new();
        assert_eq!(told(&tree.root()).unwrap(), None, "without the file nothing is known");
        tree.file(
            TOLD,
            r#"[{"cookie": 7, "local": "10.0.0.7:22", "remote": "[2001:db8::1]:5000", "uid": 1000, "inode": 9,
                "cgroup": null, "received": 40, "sent": 2}]"#,
        );
        let list = told(&tree.root()).unwrap().unwrap();
        assert_eq!((list[0].cookie, list[0].bytes, list[0].cgroup), (7, 42, None));
        tree.file(TOLD, "[{}]");
        assert!(told(&tree.root()).is_err(), "garbage is an error");
    }

    #[test]
    fn no_file_tells_the_connections_of_the_machine_itself() {
        assert_eq!(told(&HostRoot::real()).unwrap(), None);
    }
}
