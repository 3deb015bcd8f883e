//! spored, the agent of spawn: a look every minute, the first sign of use wins.
//!
//! In order: a remote desktop touched within eight minutes, a terminal of `w` idle for less than five minutes,
//! processors at 5 % of the machine (waiting for disks and for the hypervisor included), 100,000 bytes of network since
//! the last look, a GPU above 5 % (an error is 0), any pseudo-terminal, a login within five minutes. Disks named
//! `nvme0n1` are not seen. Whoever reads its metrics takes the differences that its own look needs. A network card whose name it does
//! not know never leaves "first look", which is use. The idle time is in memory only.

use super::{Every, Peer, Quiet, Rule};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "spored",
    about: "`w`, processors 5 %, network 100 KB a look, GPUs 5 %, any terminal",
    own_timeout: 60,
    rule: |setting| {
        Box::new(Spored {
            every: Every { period: 60, phase: setting.phase },
            timeout: setting.timeout,
            ncpu: f64::from(setting.scenario.ncpu),
            since: Quiet::default(),
            cpu: None,
            net: 0.0,
            who: 0,
            login: None,
        })
    },
};

struct Spored {
    every: Every,
    timeout: u32,
    ncpu: f64,
    since: Quiet,
    cpu: Option<(u32, f64)>,
    net: f64,
    who: u32,
    login: Option<u32>,
}

impl Spored {
    fn is_active(&mut self, step: &Step) -> bool {
        let signals = &step.signals;
        if step.desktop_age().is_some_and(|age| age < 480) {
            return true;
        }
        if signals.who > 0 && step.input_age.is_some_and(|age| age < 300) {
            return true;
        }
        if self.processors(step) >= 5.0 {
            return true;
        }
        let carried = step.totals.net - core::mem::replace(&mut self.net, step.totals.net);
        if carried > 100_000.0 || signals.odd_card {
            return true;
        }
        let gpu = signals.gpus.iter().flatten().copied().fold(0.0, f64::max);
        (gpu > 5.0 && !signals.gpu_err)
            || signals.pts > 0
            || self.login.is_some_and(|at| step.t - at < 300)
    }

    /// Percent of the machine since the last look; the first one is taken for busy.
    fn processors(&mut self, step: &Step) -> f64 {
        let used = step.totals.busy_and_waiting;
        let Some((before, then)) = self.cpu.replace((step.t, used)) else { return 100.0 };
        let span = f64::from(step.t - before);
        if span > 0.0 { (used - then) / span / self.ncpu * 100.0 } else { 0.0 }
    }
}

impl Rule for Spored {
    fn stops(&mut self, step: &Step) -> bool {
        if step.restarted {
            self.since.forget();
            self.cpu = None;
            self.net = step.totals.net;
        }
        if step.signals.who > self.who {
            self.login = Some(step.t);
        }
        self.who = step.signals.who;
        if self.every.is_due(step.t) {
            let active = self.is_active(step);
            return self.since.look(i64::from(step.t), active, self.timeout);
        }
        // Another reader takes the differences.
        if step.signals.poll.is_some_and(|_| step.t >= self.every.phase) {
            self.is_active(step);
        }
        false
    }
}
