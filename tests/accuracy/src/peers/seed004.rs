//! `CloudWorkstation`'s instance agent: a root script that cron runs every two minutes.
//!
//! In use are a load average of one minute above 0.5, a row of `who` that is not root's, and the first GPU above 10 %. A
//! utilisation that is no number is an arithmetic error of the shell and so idle. State and moment are in the
//! instance's tags: they outlive a stop, they are wall time, and where tags may not be read the count begins anew.

use super::{Every, Peer, Quiet, Rule};
use crate::scenario::History;
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "seed 004",
    about: "load average above 0.5, `who`, first GPU above 10 %; state in tags",
    own_timeout: 10,
    rule: |setting| {
        let survived = matches!(setting.scenario.history, History::Started | History::Resumed);
        let every = Every { period: 120, phase: setting.phase };
        Box::new(Seed004 { every, timeout: setting.timeout, since: Quiet(survived.then_some(0)) })
    },
};

struct Seed004 {
    every: Every,
    timeout: u32,
    since: Quiet,
}

impl Rule for Seed004 {
    fn stops(&mut self, step: &Step) -> bool {
        if !self.every.is_due(step.t) {
            return false;
        }
        let signals = &step.signals;
        if signals.tag_denied {
            self.since.forget();
        }
        let gpu = signals.gpus.first().copied().flatten().filter(|_| !signals.gpu_err);
        let active = step.load1 > 0.5 || signals.who > 0 || gpu.is_some_and(|gpu| gpu > 10.0);
        self.since.look(step.wall, active, self.timeout)
    }
}
