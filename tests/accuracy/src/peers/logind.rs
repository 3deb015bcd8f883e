//! systemd-logind's `IdleAction`: every session idle by the access time of its terminal.
//!
//! A session without a terminal is never idle, processors do not count, an inhibitor does. A new start of logind begins
//! anew.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "logind",
    about: "IdleAction: terminals of sessions, inhibitors",
    own_timeout: 30,
    rule: |setting| {
        let every = Every { period: 60, phase: setting.phase };
        Box::new(Logind { every, timeout: setting.timeout, since: Quiet::default(), who: 0 })
    },
};

struct Logind {
    every: Every,
    timeout: u32,
    since: Quiet,
    who: u32,
}

impl Rule for Logind {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        let signals = &step.signals;
        if signals.ssh_notty > 0 {
            self.since.forget();
        } else if signals.who > 0 {
            let age = step.input_age.unwrap_or(step.t);
            let used = i64::from(step.t) - i64::from(age);
            self.since = Quiet(Some(self.since.0.unwrap_or(used).max(used)));
        } else if self.who > 0 {
            // The end of a session is taken for its last use.
            self.since.forget();
        }
        self.who = signals.who;
        if !self.every.is_due(step.t) {
            return false;
        }
        self.since.look(i64::from(step.t), signals.ssh_notty > 0, self.timeout) && !signals.inhibit
    }
}
