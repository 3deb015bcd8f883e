//! Running totals of payload, by owner, over connections that come and go.
//!
//! A connection that is new since the last look counts from its first byte, and one that ended with what it carried after
//! the last look: nothing that a connection carried is lost or counted twice, however many connections it is split over.
//! What was opened from here counts whole.
//!
//! Everybody on the internet may open a connection. What was accepted and carried less than 16 kilobytes in its whole life,
//! both ways, is a scan, a probe or a login that was refused: it is nobody's, as long as all of them stay below what a scan
//! takes. Nobody on the internet has a private address: who sends many small requests from one is a part of the same service, and each
//! has no more than the allowance of a quiet client. What a quiet client of people's servers
//! fetches is nobody's either ([`quiet`](super::quiet)).
//!
//! Everybody may talk to sshd until it closes an attempt, after two minutes at most (`LoginGraceTime`
//! of `sshd_config(5)`) and some kilobytes. So the first 64 kibibytes of a connection of sshd count only once it is older than
//! that; a session that types less is seen by its terminal.
//!
//! What sshd sends to a client is a copy, or a terminal on which something redraws itself (htop, watch, a log) while nobody
//! looks. A copy is much faster, so the first 16 kibibytes that a connection of sshd sends in a second do not count. Those
//! that are young share that allowance by client. What a client sends counts from its first byte.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use super::is_local;
use super::owners::{Owner, Whose};
use super::quiet::{Quiet, SENT_PER_S};
use crate::host::tcp::TcpSocket;

/// What a stranger may exchange with sshd.
const ALLOWANCE: u64 = 64 << 10;
/// After this a connection of sshd is a session.
const GRACE: Duration = Duration::from_secs(150);
/// An accepted connection that carried less in its life is nobody's. Refused logins of sshd carry 5.7 kB.
pub(in crate::sources) const SMALL: u64 = 16_000;
/// The most owners that are shown one by one.
const SUBJECTS: usize = 64;
/// Where the others are counted.
const OTHERS: &str = "other connections";
/// Where that is counted of which nobody knows whose it was.
pub(super) const UNSEEN: &str = "connections that ended between two looks";

#[derive(Clone, Debug)]
struct Seen {
    owner: Owner,
    received: u64,
    sent: u64,
    since: Stamp,
    look: u64,
}

/// What all connections with others carried between two looks, whoever's they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Bytes received.
    pub(super) received: u64,
    /// Bytes sent.
    pub(super) sent: u64,
    /// Connections that were met for the first time and had been opened from here.
    pub(super) opened: u64,
    /// The same of those that the other end had opened.
    pub(super) accepted: u64,
}

/// The totals.
#[derive(Debug, Default)]
pub(super) struct Payload {
    seen: HashMap<u64, Seen>,
    totals: BTreeMap<Arc<str>, (Role, u64)>,
    quiet: Quiet,
    moved: Moved,
    attempts: (u64, u64),
    look: u64,
    looked_at: Stamp,
}

impl Payload {
    /// Takes in all connections of one look: those that live and, after them, those that ended since the last one. Whose
    /// one is that ended is asked for only if it was not met while it lived. `inside` says of an address that it is on the
    /// machine, so that no card carries what is said to it.
    pub(super) fn take<'a, E>(
        &mut self,
        now: Stamp,
        living: impl Iterator<Item = (&'a TcpSocket, Owner)>,
        ended: &[TcpSocket],
        mut whose: impl FnMut(&TcpSocket) -> Result<Option<Owner>, E>,
        inside: impl Fn(&TcpSocket) -> bool,
    ) -> Result<(), E> {
        let first = self.look == 0;
        self.look += 1;
        self.moved = Moved::default();
        self.attempts = (0, 0);
        for (socket, owner) in living {
            let mut before = self.seen.remove(&socket.cookie);
            if before.is_none() && !first {
                self.meet(&owner);
            }
            if first {
                let (received, sent) = (socket.received, socket.sent);
                before = Some(Seen { owner: owner.clone(), received, sent, since: now, look: 0 });
            }
            let since = before.as_ref().map_or(now, |seen| seen.since);
            self.count(now, socket, &owner, before.as_ref(), inside(socket));
            let (received, sent, look) = (socket.received, socket.sent, self.look);
            self.seen.insert(socket.cookie, Seen { owner, received, sent, since, look });
        }
        for socket in ended.iter().filter(|_| !first) {
            let before = self.seen.remove(&socket.cookie);
            let owner = match &before {
                Some(seen) => Some(seen.owner.clone()),
                None => whose(socket)?,
            };
            let unknown =
                || Owner { whose: Whose::Of(UNSEEN.into(), Role::Unexplained), incoming: false };
            let owner = owner.unwrap_or_else(unknown);
            if before.is_none() {
                self.meet(&owner);
            }
            self.count(now, socket, &owner, before.as_ref(), inside(socket));
            self.count_small(now, socket, &owner);
        }
        self.looked_at = now;
        let look = self.look;
        self.seen.retain(|_, seen| seen.look == look);
        self.quiet.forget(now);
        Ok(())
    }

    fn meet(&mut self, owner: &Owner) {
        let met = if owner.incoming { &mut self.moved.accepted } else { &mut self.moved.opened };
        *met += 1;
    }

    /// What connections with others carried between the last two looks.
    pub(super) fn moved(&self) -> Moved {
        self.moved
    }

    /// What connections of sshd that are younger than a session received and sent between the last two looks: no container had it.
    pub(super) fn attempts(&self) -> (u64, u64) {
        self.attempts
    }

    fn count(
        &mut self,
        now: Stamp,
        socket: &TcpSocket,
        owner: &Owner,
        before: Option<&Seen>,
        inside: bool,
    ) {
        let (old_in, old_out) = before.map_or((0, 0), |seen| (seen.received, seen.sent));
        let received = socket.received.saturating_sub(old_in);
        let sent = socket.sent.saturating_sub(old_out);
        let outside = !inside && !is_local(socket.local, socket.remote);
        if outside {
            self.moved.received = self.moved.received.saturating_add(received);
            self.moved.sent = self.moved.sent.saturating_add(sent);
        }
        let client = (socket.remote.ip(), socket.local.port());
        match &owner.whose {
            Whose::Of(name, role) if owner.incoming => {
                let carried = socket.bytes();
                let (received, sent) = if carried < SMALL {
                    return;
                } else if old_in.saturating_add(old_out) < SMALL {
                    (socket.received, socket.sent)
                } else {
                    (received, sent)
                };
                let (received, sent) = match role {
                    Role::Workload | Role::Local => self.quiet.beyond(now, client, received, sent),
                    _ => (received, sent),
                };
                self.add(name, *role, received.saturating_add(sent));
            }
            Whose::Of(name, role) => self.add(name, *role, received.saturating_add(sent)),
            Whose::Sshd => {
                let age = before.map_or(Duration::ZERO, |seen| now.since(seen.since));
                if outside && age < GRACE {
                    self.attempts.0 = self.attempts.0.saturating_add(received);
                    self.attempts.1 = self.attempts.1.saturating_add(sent);
                }
                let before = old_in.saturating_add(old_out);
                let moved = beyond_allowance(age, before, socket.bytes());
                let forgiven = if age >= GRACE {
                    sent.min(redraws(now.since(self.looked_at)))
                } else {
                    let fresh = sent.min(moved);
                    fresh - self.quiet.beyond(now, client, 0, fresh).1
                };
                self.add("SSH connections", Role::Workload, moved.saturating_sub(forgiven));
            }
            Whose::Inside | Whose::Own => {}
        }
    }

    /// What a small connection carried that is over: so many of them that they are no scan any more are requests that somebody
    /// has served.
    fn count_small(&mut self, now: Stamp, socket: &TcpSocket, owner: &Owner) {
        let Whose::Of(name, role) = &owner.whose else { return };
        if owner.incoming && socket.bytes() < SMALL {
            let (received, sent) = (socket.received, socket.sent);
            let client = (socket.remote.ip(), socket.local.port());
            let (received, sent) = match role {
                _ if !is_private(client.0) => self.quiet.of_strangers(now, received, sent),
                Role::Workload | Role::Local => self.quiet.beyond(now, client, received, sent),
                _ => (received, sent),
            };
            self.add(name, *role, received.saturating_add(sent));
        }
    }

    /// Adds to the total of an owner.
    pub(super) fn add(&mut self, subject: &str, role: Role, bytes: u64) {
        if let Some((known, total)) = self.totals.get_mut(subject) {
            *known = role;
            *total = total.saturating_add(bytes);
        } else if bytes == 0 {
            // It would take the place of one that carries something.
        } else if self.totals.len() < SUBJECTS {
            self.totals.insert(subject.into(), (role, bytes));
        } else {
            let name = match role {
                Role::Workload => OTHERS.to_owned(),
                _ => format!("{OTHERS} ({})", role.as_str()),
            };
            let (_, total) = self.totals.entry(name.into()).or_insert((role, 0));
            *total = total.saturating_add(bytes);
        }
    }

    /// Every owner with what its connections carried since the first look. The totals never fall.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&str, Role, u64)> {
        self.totals.iter().map(|(subject, (role, total))| (&**subject, *role, *total))
    }
}

/// Whether an address is one of a private network (RFC 1918, RFC 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// What a terminal is sent in so long without anybody using it.
fn redraws(span: Duration) -> u64 {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    ms.saturating_mul(SENT_PER_S) / 1000
}

/// How much of what a connection of sshd carried from `before` to `now` counts, when it was first met so long ago.
pub(in crate::sources) fn beyond_allowance(age: Duration, before: u64, now: u64) -> u64 {
    now.saturating_sub(if age >= GRACE { before } else { before.max(ALLOWANCE) })
}

#[cfg(test)]
mod tests;
