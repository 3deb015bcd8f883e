//! `JupyterHub`'s idle culler: the last activity of a server as its proxy and its kernels report it.
//!
//! A kernel that computes and prints nothing has no activity. It looks every ten minutes, by the wall clock.

use super::{Every, Peer, Quiet, Rule};
use crate::signals::Jupyter;
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "JupyterHub",
    about: "last activity of the notebook server",
    own_timeout: 10,
    rule: |setting| {
        let every = Every { period: 600, phase: setting.phase };
        Box::new(Culler { every, timeout: setting.timeout, since: Quiet::default() })
    },
};

struct Culler {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for Culler {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        let used = matches!(step.signals.jup, Jupyter::Active | Jupyter::Busy);
        self.every.is_due(step.t) && self.since.look(step.wall, used, self.timeout)
    }
}
