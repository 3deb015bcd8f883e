//! Tunnels that are renewed.
//!
//! A NAT forgets a connection that is silent, and autossh or an editor makes a new one a few seconds later. Neither the end of
//! the old one nor the new one is a person who goes or comes. So a connection without a terminal that had been there for a
//! while is said to be there a little longer, and one of the same user that comes in that time goes on under its name.

use std::time::Duration;

use agent_core::stamp::Stamp;

use super::record::Id;

/// A connection that was there for so long had arrived (the engine takes it for somebody's arrival then).
const ARRIVED: Duration = Duration::from_mins(1);
/// One that comes back within this was never away.
const LINGER: Duration = Duration::from_mins(2);

/// A connection and those that took its place.
#[derive(Clone, Debug)]
struct Tunnel {
    subject: String,
    uid: u32,
    process: Id,
    since: Stamp,
    seen: Stamp,
}

/// The connections without a terminal.
#[derive(Debug, Default)]
pub(super) struct Renewed(Vec<Tunnel>);

impl Renewed {
    /// Begins a look: these processes carry connections now.
    pub(super) fn look(&mut self, now: Stamp, carriers: &[Id]) {
        for tunnel in self.0.iter_mut().filter(|it| carriers.contains(&it.process)) {
            tunnel.seen = now;
        }
        self.0.retain(|it| {
            let arrived = it.seen.since(it.since) >= ARRIVED;
            it.seen == now || (arrived && now.since(it.seen) < LINGER)
        });
    }

    /// The name of a connection: its own, or that of one of the same user whose place it takes.
    pub(super) fn name(&mut self, now: Stamp, process: Id, uid: u32, own: &str) -> String {
        if let Some(known) = self.0.iter().find(|it| it.process == process) {
            return known.subject.clone();
        }
        if let Some(gone) = self.0.iter_mut().find(|it| it.uid == uid && it.seen != now) {
            (gone.process, gone.seen) = (process, now);
            return gone.subject.clone();
        }
        let subject = own.to_owned();
        self.0.push(Tunnel { subject, uid, process, since: now, seen: now });
        own.to_owned()
    }

    /// Those that went a little while ago: their names and users.
    pub(super) fn gone(&self, now: Stamp) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().filter(move |it| it.seen != now).map(|it| (it.subject.as_str(), it.uid))
    }
}
