//! Whose an answering UDP flow is.
//!
//! The kernel counts no bytes of a UDP socket, so what the account leaves for UDP belongs to one of the sockets that there
//! are. A server is bound to a port below those that the kernel hands out and talks to everybody; the kernel's own
//! (`WireGuard`, VXLAN) have no process; a client (QUIC, a call) has a port that the kernel chose, or one other end. Names,
//! time and discovery stay below what is a flow. Where several sockets come into question it is the one whose limit is
//! lowest. What a VPN's daemon carries is its users' and has the limit of a server; what belongs to upkeep alone is upkeep.

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use super::gateways::carries_others;
use super::owners::{Owners, Whose};
use crate::host::udp::{self, UdpSocket};
use crate::host::{HostError, HostRoot};

/// The ports that the kernel hands out unless it is told otherwise (`ip(7)`).
const HANDED_OUT: (u16, u16) = (32_768, 60_999);
/// Where it says so.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Whose it is if there is no socket that could have carried it.
const NOBODY: &str = "UDP without a socket";

/// What a socket may be, in the order in which they come into question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Server,
    Kernel,
    Client,
    Gateway,
    Upkeep,
}

/// The name and the role of the socket that comes into question first.
pub(super) fn whose(
    root: &HostRoot,
    now: Stamp,
    owners: &mut Owners,
) -> Result<(String, Role), HostError> {
    let sockets = udp::dump(root)?.unwrap_or_default();
    let range = range(root)?;
    let mut best: Option<(Kind, Role, u16, String)> = None;
    for socket in sockets.iter().filter(|socket| !socket.local.ip().is_loopback()) {
        let Some(found) = judge(now, socket, range, owners)? else { continue };
        if best.as_ref().is_none_or(|best| found < *best) {
            best = Some(found);
        }
    }
    Ok(best.map_or((NOBODY.to_owned(), Role::Unexplained), |(_, role, _, name)| (name, role)))
}

fn judge(
    now: Stamp,
    socket: &UdpSocket,
    range: (u16, u16),
    owners: &mut Owners,
) -> Result<Option<(Kind, Role, u16, String)>, HostError> {
    let port = socket.local.port();
    if socket.inode == 0 {
        let name = format!("VPN or tunnel of the kernel at UDP port {port}");
        return Ok(Some((Kind::Kernel, Role::Local, port, name)));
    }
    let Whose::Of(owner, role) = owners.of_socket(now, socket.cgroup, socket.uid, port)? else {
        return Ok(None);
    };
    let handed_out = (range.0..=range.1).contains(&port);
    let kind = match role {
        Role::Upkeep => Kind::Upkeep,
        _ if carries_others(&owner) => Kind::Gateway,
        _ if socket.connected || handed_out => Kind::Client,
        _ => Kind::Server,
    };
    let name = match kind {
        // What talks to everybody at a port of its own is named by that.
        Kind::Server => format!("UDP port {port} of {owner}"),
        _ => format!("UDP of {owner}"),
    };
    // Whoever answers others at such a rate serves somebody, whoever brought the server.
    let role = if kind < Kind::Gateway { Role::Workload } else { role };
    Ok(Some((kind, role, port, name)))
}

fn range(root: &HostRoot) -> Result<(u16, u16), HostError> {
    let text = match root.read_text(RANGE, 256) {
        Err(error) if error.is_missing() => return Ok(HANDED_OUT),
        other => other?,
    };
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    let (Some(Some(low)), Some(Some(high))) = (words.next(), words.next()) else {
        return Err(HostError::malformed(RANGE, "no range of ports"));
    };
    Ok((low, high))
}
