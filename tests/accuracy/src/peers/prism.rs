//! prism, the successor of `CloudWorkstation`: a daemon that asks `CloudWatch`.
//!
//! Idle are an average of the whole machine's processors at or below 10 % (the policy that it applies by itself) and an
//! average of the network card at or below 1,000 bytes a second. No data counts as zero, so a machine that has just
//! started is idle in its first minute.

use super::{Every, Peer, Rule, Setting};
use crate::scenario::History;
use crate::step::{Step, Totals};

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "prism",
    about: "averages of CloudWatch: processors at most 10 %, network at most 1,000 B/s; no data is zero",
    own_timeout: 30,
    rule: |setting| Box::new(Prism::new(setting)),
};

/// The first data of a machine arrive after the first period.
const PERIOD: u32 = 300;

struct Prism {
    every: Every,
    timeout: u32,
    ncpu: f64,
    used_before: bool,
    seen: Vec<(u32, Totals)>,
}

impl Prism {
    fn new(setting: Setting<'_>) -> Self {
        Self {
            every: Every { period: 60, phase: setting.phase },
            timeout: setting.timeout,
            ncpu: f64::from(setting.scenario.ncpu),
            used_before: matches!(setting.scenario.history, History::Used | History::Quiet),
            seen: Vec::new(),
        }
    }
}

impl Rule for Prism {
    fn stops(&mut self, step: &Step) -> bool {
        self.seen.push((step.t, step.totals));
        if !self.every.is_due(step.t) {
            return false;
        }
        if step.t < self.timeout && self.used_before {
            // The average still holds the use before.
            return false;
        }
        if step.t < PERIOD {
            return true;
        }
        let from = step.t.saturating_sub(self.timeout);
        let Some((began, before)) = self.seen.iter().find(|(t, _)| *t >= from) else {
            return false;
        };
        let span = f64::from(step.t - began) - (step.totals.no_data - before.no_data);
        if span <= 0.0 {
            return true;
        }
        let percent = (step.totals.busy - before.busy) / span / self.ncpu * 100.0;
        let rate = (step.totals.net - before.net) / span;
        percent <= 10.0 && rate <= 1000.0
    }
}
