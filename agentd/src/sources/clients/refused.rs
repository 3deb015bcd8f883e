//! Connections on which nobody was let in.
//!
//! Everybody may try passwords at a desktop or a data base, again and again. There a connection is a session, not a request: one
//! that has carried less than any session does was refused, or is not let in yet. Servers of requests, where a whole visit may
//! be some hundred bytes, are not among them.

use crate::host::tcp::TcpSocket;
use crate::sources::network::payload::SMALL;

/// Desktops: RDP, and VNC with its first displays. What they show is sent at once.
const DESKTOPS: [std::ops::RangeInclusive<u16>; 2] = [3389..=3389, 5900..=5915];
/// Data bases: `MySQL` with its X protocol, `PostgreSQL`, SQL Server, `MongoDB`.
const DATA_BASES: [u16; 5] = [3306, 33060, 5432, 1433, 27017];
/// A login at a data base that is refused carries less, both ways: a greeting, a name and a password, an error.
const REFUSED: u64 = 512;

/// Whether a connection that the other end opened carried too little for somebody to have been let in.
pub(super) fn is_refused(socket: &TcpSocket) -> bool {
    let port = socket.local.port();
    let least = if DESKTOPS.iter().any(|ports| ports.contains(&port)) {
        SMALL
    } else if DATA_BASES.contains(&port) {
        REFUSED
    } else {
        0
    };
    socket.bytes() < least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection to a port that carried so much was refused.
    fn refused(port: u16, sent: u64, received: u64) -> bool {
        is_refused(&TcpSocket {
            cookie: 1,
            local: ([10, 0, 0, 5], port).into(),
            remote: ([203, 0, 113, 9], 50_000).into(),
            established: true,
            uid: 0,
            inode: 1,
            cgroup: None,
            sent,
            received,
            silent_ms: 0,
        })
    }

    #[test]
    fn a_login_that_fails_is_nobody_and_a_session_is_somebody() {
        for (port, sent, received, expected) in [
            (3389, 2_000, 1_500, true),
            (3389, 200_000, 4_000, false),
            (5901, 300, 40, true),
            (3306, 180, 150, true),
            (3306, 900, 300, false),
            (5432, 60, 90, true),
            // A visit to a page may be as small.
            (80, 100, 200, false),
            (8888, 0, 0, false),
            (5916, 100, 100, false),
        ] {
            assert_eq!(refused(port, sent, received), expected, "{port} {sent} {received}");
        }
    }
}
