//! gpumon: a pilot lamp every ten seconds, and a script every ten minutes that halts when it was on all the time.
//!
//! The lamp is on while the mean of all GPUs is at most 10 %, no processor was above 10 % over five minutes, the packets of a
//! minute are at most 15,000 and NVML answers. The lines must cover 70 % of the time, and the machine must be two hours
//! old. People are not looked at.

use std::collections::VecDeque;

use super::{Every, Peer, Rule};
use crate::scenario::{History, STEP};
use crate::step::{Step, Totals};

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "gpumon",
    about: "mean of the GPUs 10 %, busiest processor 10 %, packets; two hours after boot",
    own_timeout: 60,
    rule: |setting| {
        Box::new(Gpumon {
            every: Every { period: 600, phase: setting.phase },
            timeout: setting.timeout,
            seen: VecDeque::new(),
            lines: VecDeque::new(),
            used_before: matches!(setting.scenario.history, History::Used | History::Quiet),
        })
    },
};

/// The steps of five minutes.
const FIVE_MINUTES: usize = 30;
const STANDARD_UPTIME: u32 = 7200;

struct Gpumon {
    every: Every,
    timeout: u32,
    seen: VecDeque<Totals>,
    /// When a line was written, and whether the lamp was on.
    lines: VecDeque<(u32, bool)>,
    /// The lines from before the beginning were written with the lamp off.
    used_before: bool,
}

impl Gpumon {
    fn lamp(&mut self, step: &Step) -> bool {
        let signals = &step.signals;
        self.seen.push_back(step.totals);
        if self.seen.len() > FIVE_MINUTES + 1 {
            self.seen.pop_front();
        }
        let count = self.seen.len();
        let steps = f64::from(u32::try_from(count.saturating_sub(1)).unwrap_or(0));
        let long_ago = self.seen.front().copied().unwrap_or_default();
        let core = if steps > 0.0 {
            (step.totals.busiest_core - long_ago.busiest_core) / (steps * f64::from(STEP))
        } else {
            signals.busiest_core()
        };
        let minute_ago = self.seen.get(count.saturating_sub(7)).copied().unwrap_or_default();
        let packets = step.totals.pkts - minute_ago.pkts;
        let known: Vec<f64> = signals.gpus.iter().flatten().copied().collect();
        let failed = signals.gpu_err || known.len() < signals.gpus.len();
        let mean =
            known.iter().sum::<f64>() / f64::from(u32::try_from(known.len()).unwrap_or(1).max(1));
        mean.round() <= 10.0 && core <= 0.1 && packets <= 15_000.0 && !failed
    }
}

impl Rule for Gpumon {
    fn stops(&mut self, step: &Step) -> bool {
        let lamp = self.lamp(step);
        self.lines.push_back((step.t, lamp));
        while self.lines.front().is_some_and(|(at, _)| at + self.timeout < step.t) {
            self.lines.pop_front();
        }
        let window_was_used = self.used_before && step.t < self.timeout;
        if !self.every.is_due(step.t) || step.uptime < STANDARD_UPTIME || window_was_used {
            return false;
        }
        let lines = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        let covered = lines.saturating_mul(STEP).saturating_mul(10) >= self.timeout * 7;
        covered && self.lines.iter().all(|(_, lamp)| *lamp)
    }
}
