//! The auto-stop of AWS Research and Engineering Studio: a script every minute, and a file whose age is the idle time.
//!
//! In use are more than 30 % of the whole machine in that moment and a remote desktop touched within 20 seconds. One
//! busy sample in the idle time begins it anew. The file's time is wall time.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "aws/res",
    about: "processors above 30 % in that moment, remote desktop within 20 s",
    own_timeout: 720 * 60,
    rule: |setting| {
        Box::new(Res {
            every: Every { period: 60, phase: setting.phase },
            timeout: setting.timeout,
            ncpu: f64::from(setting.scenario.ncpu),
            since: Quiet::default(),
        })
    },
};

struct Res {
    every: Every,
    timeout: u32,
    ncpu: f64,
    since: Quiet,
}

impl Rule for Res {
    fn stops(&mut self, step: &Step) -> bool {
        if !self.every.is_due(step.t) {
            return false;
        }
        // psutil counts what the hypervisor took as busy, and waiting for disks as idle.
        let percent = (step.signals.busy() + step.signals.steal) / self.ncpu * 100.0;
        let active = percent > 30.0 || step.desktop_age().is_some_and(|age| age < 20);
        self.since.look(step.wall, active, self.timeout)
    }
}
