//! autosuspend with a generous configuration of a server: it has no checks of its own.
//!
//! `Users` (any row of utmp), `Load` (five minutes, 2.5), `ActiveConnection` (ssh and the ports of services),
//! inhibitors. The idle time is wall time; a resume begins it anew, and so does a restart.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "autosuspend",
    about: "configured as Users, Load 2.5, ActiveConnection, inhibitors",
    own_timeout: 15,
    rule: |setting| {
        let every = Every { period: 60, phase: setting.phase };
        Box::new(Autosuspend { every, timeout: setting.timeout, since: Quiet::default() })
    },
};

struct Autosuspend {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for Autosuspend {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        if !self.every.is_due(step.t) {
            return false;
        }
        let signals = &step.signals;
        let connected = signals.ssh_estab > 0 || signals.estab_app > 0;
        let active = signals.who > 0 || step.load5 > 2.5 || connected;
        // An inhibitor only delays; the idle time goes on.
        self.since.look(step.wall, active, self.timeout) && !signals.inhibit
    }
}
