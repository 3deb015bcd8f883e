//! `autostop.py` of Amazon's samples for `SageMaker`: kernels that say that they are idle, every five minutes.
//!
//! `last_activity` is compared with the wall clock. Terminals and whatever is no kernel do not exist for it; a kernel
//! that says that it is busy keeps the machine up. Restarting the notebook server sets the last activity to now.

use super::{Every, Peer, Quiet, Rule};
use crate::signals::Jupyter;
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "SageMaker",
    about: "state and last activity of notebook kernels",
    own_timeout: 60,
    rule: |setting| {
        let every = Every { period: 300, phase: setting.phase };
        Box::new(SageMaker { every, timeout: setting.timeout, since: Quiet::default() })
    },
};

struct SageMaker {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for SageMaker {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted || step.resumed {
            self.since.forget();
        }
        let busy =
            matches!(step.signals.jup, Jupyter::Active | Jupyter::Busy | Jupyter::BusySilent);
        self.every.is_due(step.t) && self.since.look(step.wall, busy, self.timeout)
    }
}
