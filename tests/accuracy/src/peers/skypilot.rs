//! The skylet of `SkyPilot`: its own job queue, and shells whose ancestor is sshd.
//!
//! Sessions without a terminal, work outside the queue and GPUs are not seen. The last use is wall time in a database,
//! which a new start of the skylet sets to now.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "SkyPilot",
    about: "its own job queue and shells of ssh",
    own_timeout: 5,
    rule: |setting| {
        let every = Every { period: 60, phase: setting.phase };
        Box::new(SkyPilot { every, timeout: setting.timeout, since: Quiet::default() })
    },
};

struct SkyPilot {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for SkyPilot {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        if !self.every.is_due(step.t) {
            return false;
        }
        let active = step.signals.sky_job || step.signals.ssh_pts > 0;
        self.since.look(step.wall, active, self.timeout)
    }
}
