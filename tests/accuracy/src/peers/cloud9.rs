//! The script of Cloud9: as long as no process of its editor or of VS Code's server runs, a shutdown is scheduled.
//!
//! A new start of the script schedules the shutdown anew.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "Cloud9",
    about: "whether a process of an editor's server exists",
    own_timeout: 30,
    rule: |setting| {
        let every = Every { period: 60, phase: setting.phase };
        Box::new(Cloud9 { every, timeout: setting.timeout, since: Quiet::default() })
    },
};

struct Cloud9 {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for Cloud9 {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        self.every.is_due(step.t)
            && self.since.look(i64::from(step.t), step.signals.vscode_srv, self.timeout)
    }
}
