//! dstack's `inactivity_duration`: connections to sshd that are older than ten seconds.
//!
//! Neither processors nor GPUs count, and an editor that sleeps in a window counts for ever.

use super::{Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "dstack",
    about: "established connections to sshd",
    own_timeout: 120,
    rule: |setting| {
        let Setting { timeout, phase, .. } = setting;
        Box::new(Dstack { timeout, phase, since: Quiet::default(), connected: false })
    },
};

use super::Setting;

struct Dstack {
    timeout: u32,
    phase: u32,
    since: Quiet,
    connected: bool,
}

impl Rule for Dstack {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        if step.t < self.phase {
            return false;
        }
        let connected = step.signals.ssh_estab > 0;
        let active = connected && core::mem::replace(&mut self.connected, connected);
        self.connected = connected;
        self.since.look(i64::from(step.t), active, self.timeout)
    }
}
