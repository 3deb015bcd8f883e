//! TCP connections and the payload that they carried, from the kernel's socket diagnosis (`sock_diag(7)`).
//!
//! `tcp_info` counts payload only: keep-alive probes and acknowledgements change neither number, so a connection that
//! is merely kept open stands still. They do refresh the time of the last acknowledgement, so that a peer that is
//! silent can be told from one that is dead.
//!
//! Several sources ask in one round of readings. They share one dump ([`of_round`]). What lives between two dumps only is
//! told by the kernel when it ends ([`ended`]).

pub mod apart;
pub mod ended;
pub(super) mod table;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

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

use super::{HostError, HostRoot};

/// `INET_DIAG_CGROUP_ID` of `include/uapi/linux/inet_diag.h`, since Linux 5.8.
const CGROUP_ID: u16 = 21;
/// Where `tcpi_last_ack_recv` stands in `struct tcp_info` (`include/uapi/linux/tcp.h`).
const LAST_ACK: usize = 56;
/// Where `tcpi_bytes_acked` stands; `tcpi_bytes_received` follows.
const BYTES_ACKED: usize = 120;
/// `TCP_ESTABLISHED` of `include/net/tcp_states.h`.
const ESTABLISHED: u8 = 1;
/// `TCP_LISTEN`.
const LISTENING: u8 = 10;
/// The kernel fills at most this much into one message of a dump.
pub(super) const MESSAGE: usize = 32 << 10;
/// The most messages of one dump: with about a hundred sockets in each, more than a machine has ports.
const MESSAGES: usize = 20_000;
/// The most sockets that are looked at.
const LIMIT: usize = 200_000;
/// How the errors name it.
pub(super) const SUBJECT: &str = "NETLINK_SOCK_DIAG";

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// The kernel's number for this socket, never used again.
    pub cookie: u64,
    /// This end. IPv4 addresses mapped into IPv6 are shown as IPv4.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Whether both ends may still send.
    pub established: bool,
    /// Who made the socket.
    pub uid: u32,
    /// Its inode, as in `/proc/PID/fd`; 0 when no process holds it any more.
    pub inode: u32,
    /// The control group that it was made in, by number; none on kernels that do not tell. A connection that was
    /// accepted has that of the socket that listened.
    pub cgroup: Option<u64>,
    /// Payload bytes sent and acknowledged; the handshake counts as one.
    pub sent: u64,
    /// Payload bytes received.
    pub received: u64,
    /// Milliseconds since the other end last acknowledged anything, keep-alive probes included.
    pub silent_ms: u32,
}

impl TcpSocket {
    /// Payload in both directions.
    pub fn bytes(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

/// Every TCP socket of this network namespace at one moment, both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The connections, whatever their state except the two that carry nothing (`SYN_SENT`, `TIME_WAIT`).
    pub connections: Vec<TcpSocket>,
    /// What listens, by where.
    pub listeners: HashMap<SocketAddr, Listener>,
}

/// A socket that listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Who made it.
    pub uid: u32,
    /// The control group that it was made in, by number; none on kernels that do not tell.
    pub cgroup: Option<u64>,
}

impl Dump {
    /// Whether the other end opened this connection: something listens where it arrived.
    pub fn is_incoming(&self, socket: &TcpSocket) -> bool {
        let port = socket.local.port();
        let anywhere = [IpAddr::from([0_u8; 4]), IpAddr::from([0_u8; 16])];
        self.listeners.contains_key(&socket.local)
            || anywhere.iter().any(|ip| self.listeners.contains_key(&SocketAddr::new(*ip, port)))
    }

    fn add(&mut self, found: Found) -> Result<(), HostError> {
        if self.connections.len() + self.listeners.len() >= LIMIT {
            return Err(HostError::malformed(SUBJECT, format!("more than {LIMIT} sockets")));
        }
        match found {
            Found::Listener(at, listener) => {
                self.listeners.insert(at, listener);
            }
            Found::Connection(socket) => self.connections.push(socket),
        }
        Ok(())
    }
}

/// One entry of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Listener(SocketAddr, Listener),
    Connection(TcpSocket),
}

/// The last dump, for whoever asks next in the same round.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Option<(u64, Arc<Dump>)>>);

impl Shared {
    fn take(&self, round: u64) -> Option<Arc<Dump>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.take_if(|(of, _)| *of == round);
        found.map(|(_, dump)| dump)
    }

    fn keep(&self, round: u64, dump: &Arc<Dump>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((round, Arc::clone(dump)));
    }

    /// Drops what is kept, so that the next one who asks gets what is true then.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The sockets of the machine in the round that is named by a number. It is asked for by two, so whoever comes second
/// gets what the first one got, and nothing is kept after that. None if the machine is another one whose connections
/// nobody wrote down.
pub fn of_round(root: &HostRoot, round: u64) -> Result<Option<Arc<Dump>>, HostError> {
    if let Some(dump) = root.sockets().take(round) {
        return Ok(Some(dump));
    }
    // The lock is not held meanwhile: a kernel that hangs keeps only those waiting who ask it.
    let Some(dump) = dump(root)? else { return Ok(None) };
    let dump = Arc::new(dump);
    root.sockets().keep(round, &dump);
    Ok(Some(dump))
}

/// Asks anew.
pub fn dump(root: &HostRoot) -> Result<Option<Dump>, HostError> {
    let idle = StateFlags::SYN_SENT | StateFlags::TIME_WAIT | StateFlags::CLOSE;
    ask(root, &StateFlags::all().difference(idle))
}

/// What listens. The kernel keeps those apart from connections, so this costs little however many there are.
pub fn listeners(root: &HostRoot) -> Result<Option<HashMap<SocketAddr, Listener>>, HostError> {
    Ok(ask(root, &StateFlags::LISTEN)?.map(|dump| dump.listeners))
}

fn ask(root: &HostRoot, states: &StateFlags) -> Result<Option<Dump>, HostError> {
    if !root.is_real() {
        return table::read(root);
    }
    let failed = |error| HostError::io("ask", SUBJECT, error);
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    socket.connect(&NetlinkAddr::new(0, 0)).map_err(failed)?;
    let mut buffer = Vec::with_capacity(MESSAGE);
    let mut dump = Dump::default();
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let asked = request(family, IPPROTO_TCP, states.clone(), id);
        socket.send(&asked, 0).map_err(failed)?;
        receive(&socket, &mut buffer, &mut |response| match found(response) {
            Some(found) => dump.add(found),
            None => Ok(()),
        })?;
    }
    Ok(Some(dump))
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

/// The request for all sockets of a family and a protocol in some states.
pub(super) fn request(
    family: u8,
    protocol: u8,
    states: StateFlags,
    socket_id: SocketId,
) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let extensions = ExtensionFlags::INFO;
    let body = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol,
        extensions,
        states,
        socket_id,
    });
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(body));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What is done with every socket.
pub(super) type Each<'a> = &'a mut dyn FnMut(&InetResponse) -> Result<(), HostError>;

/// Reads the messages of one dump up to its end.
pub(super) fn receive(
    socket: &Socket,
    buffer: &mut Vec<u8>,
    each: Each<'_>,
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
pub(super) fn understand(mut bytes: &[u8], each: Each<'_>) -> Result<bool, HostError> {
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
                each(&response)?;
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

/// A listener or a connection.
fn found(response: &InetResponse) -> Option<Found> {
    let header = &response.header;
    if header.state == LISTENING {
        let id = &header.socket_id;
        let local = SocketAddr::new(plain(id.source_address), id.source_port);
        let listener = Listener { uid: header.uid, cgroup: cgroup(response) };
        return Some(Found::Listener(local, listener));
    }
    connection(response).map(Found::Connection)
}

/// The control group of a socket, by number.
pub(super) fn cgroup(response: &InetResponse) -> Option<u64> {
    response.nlas.iter().find_map(|attribute| {
        let Nla::Other(other) = attribute else { return None };
        let mut value = [0_u8; 8];
        if other.kind() != CGROUP_ID || other.value_len() != value.len() {
            return None;
        }
        other.emit_value(&mut value);
        Some(u64::from_ne_bytes(value))
    })
}

/// A connection, or none for a socket without `tcp_info`: a request that is not a connection yet.
fn connection(response: &InetResponse) -> Option<TcpSocket> {
    let header = &response.header;
    let id = &header.socket_id;
    let info = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(bytes) => Info::of(bytes),
        _ => None,
    })?;
    Some(TcpSocket {
        cookie: u64::from_ne_bytes(id.cookie),
        local: SocketAddr::new(plain(id.source_address), id.source_port),
        remote: SocketAddr::new(plain(id.destination_address), id.destination_port),
        established: header.state == ESTABLISHED,
        uid: header.uid,
        inode: header.inode,
        cgroup: cgroup(response),
        sent: info.acked,
        received: info.received,
        silent_ms: info.silent_ms,
    })
}

/// What is used of `struct tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    silent_ms: u32,
    acked: u64,
    received: u64,
}

impl Info {
    fn of(bytes: &[u8]) -> Option<Self> {
        let silent = bytes.get(LAST_ACK..)?.first_chunk()?;
        let (acked, rest) = bytes.get(BYTES_ACKED..)?.split_first_chunk()?;
        let received = rest.first_chunk()?;
        Some(Self {
            silent_ms: u32::from_ne_bytes(*silent),
            acked: u64::from_ne_bytes(*acked),
            received: u64::from_ne_bytes(*received),
        })
    }
}

pub(super) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn real() -> Dump {
        dump(&HostRoot::real()).unwrap().unwrap()
    }

    /// Both ends: the kernel gives one local port to connections with different ends.
    fn find(of: &TcpStream) -> Option<TcpSocket> {
        let ends = (of.local_addr().unwrap(), of.peer_addr().unwrap());
        real().connections.into_iter().find(|socket| (socket.local, socket.remote) == ends)
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
            let before = find(&client).unwrap();
            assert_eq!(before.remote, client.peer_addr().unwrap());
            assert_eq!(before.uid, nix::unistd::getuid().as_raw());
            client.write_all(&[0; 5000]).unwrap();
            server.read_exact(&mut [0; 5000]).unwrap();
            server.write_all(&[0; 300]).unwrap();
            client.read_exact(&mut [0; 300]).unwrap();
            let after = find(&client).unwrap();
            assert_eq!(after.cookie, before.cookie);
            // The handshake's SYN counts as one acknowledged byte.
            let moved = after.bytes() - before.bytes();
            assert_eq!(after.received - before.received, 300);
            assert!(after.established && after.silent_ms < 60_000, "{after:?}");
            assert!((5300..=5301).contains(&moved), "{moved}");
            let other = find(&server).map(|socket| socket.cookie);
            assert_ne!(other, Some(before.cookie));
        }
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_shown_as_ipv4() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        let dump = real();
        let here = client.local_addr().unwrap();
        let seen = dump.connections.iter().filter(|socket| socket.remote == here);
        let incoming: Vec<_> = seen.map(|socket| dump.is_incoming(socket)).collect();
        assert_eq!(incoming, [true]);
    }

    #[test]
    fn what_listens_is_told_without_the_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let _client = TcpStream::connect(at).unwrap();
        let listeners = listeners(&HostRoot::real()).unwrap().unwrap();
        assert_eq!(listeners.get(&at), real().listeners.get(&at));
        assert!(listeners.contains_key(&at));
        drop(listener);
        assert!(!super::listeners(&HostRoot::real()).unwrap().unwrap().contains_key(&at));
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
        let mut none = |_: &InetResponse| panic!("no socket is in it");
        let asked = request(AF_INET, IPPROTO_TCP, StateFlags::all(), SocketId::new_v4());
        assert!(understand(&[], &mut none).is_err());
        assert!(understand(&[1, 2, 3], &mut none).is_err());
        let mut zero_length = vec![0_u8; 16];
        zero_length[4] = 20;
        assert!(understand(&zero_length, &mut none).is_err());
        assert!(understand(&asked, &mut none).is_err());
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
            drop(understand(&bytes, &mut |response| {
                let _ = found(response);
                Ok(())
            }));
        }
    }

    #[test]
    fn a_refusal_of_the_kernel_is_told() {
        // struct nlmsgerr with -ENOENT: the module tcp_diag is not there.
        let mut message = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend((-2_i32).to_ne_bytes());
        message.extend([0; 16]);
        let error = understand(&message, &mut |_| Ok(())).unwrap_err();
        assert!(error.is_missing(), "{error}");
    }

    #[test]
    fn a_short_tcp_info_gives_no_count() {
        assert_eq!(Info::of(&[0; 135]), None);
        let mut info = [0; 136];
        (info[56], info[120], info[128]) = (9, 7, 5);
        assert_eq!(Info::of(&info), Some(Info { silent_ms: 9, acked: 7, received: 5 }));
    }

    #[test]
    fn what_was_accepted_is_told_from_what_was_opened() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let to = if address.contains("::1") { "::1" } else { "127.0.0.1" };
            let client = TcpStream::connect((to, port)).unwrap();
            let server = listener.accept().unwrap().0;
            let dump = real();
            let incoming = |local: SocketAddr| {
                let local = SocketAddr::new(local.ip().to_canonical(), local.port());
                let found = dump.connections.iter().find(|socket| socket.local == local).unwrap();
                dump.is_incoming(found)
            };
            assert!(incoming(server.local_addr().unwrap()), "{address}");
            assert!(!incoming(client.local_addr().unwrap()), "{address}");
        }
    }

    #[test]
    fn one_round_asks_the_kernel_once_for_two_and_keeps_nothing() {
        let root = HostRoot::real();
        let first = of_round(&root, 5).unwrap().unwrap();
        let second = of_round(&root.clone(), 5).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(Arc::strong_count(&first), 2, "nothing is kept once both have it");
        let third = of_round(&root, 5).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&first, &third));
        let next_round = of_round(&root, 6).unwrap().unwrap();
        assert!(!Arc::ptr_eq(&third, &next_round));
        root.sockets().forget();
        assert!(!Arc::ptr_eq(&next_round, &of_round(&root, 6).unwrap().unwrap()));
    }
}
