//! An alarm of `CloudWatch` on `CPUUtilization` below 5 % with the action "stop".
//!
//! Periods of five minutes as the hypervisor sees them: neither GPUs nor people. Missing data neither help nor hurt.

use super::{Peer, Rule, Setting};
use crate::step::Step;

/// What is known of it.
pub(super) const PEER: Peer = Peer {
    name: "CW 5 %",
    about: "alarm on processors below 5 % of the machine in every period",
    own_timeout: 60,
    rule: |setting| Box::new(Alarm::new(setting)),
};

const PERIOD: u32 = 300;

struct Alarm {
    phase: u32,
    periods: u32,
    ncpu: f64,
    before: Option<(u32, f64, f64)>,
    low: u32,
}

impl Alarm {
    fn new(setting: Setting<'_>) -> Self {
        Self {
            phase: setting.phase % PERIOD,
            periods: setting.timeout / PERIOD,
            ncpu: f64::from(setting.scenario.ncpu),
            before: None,
            low: 0,
        }
    }
}

impl Rule for Alarm {
    fn stops(&mut self, step: &Step) -> bool {
        if step.t < self.phase || !(step.t - self.phase).is_multiple_of(PERIOD) {
            return false;
        }
        let now = (step.t, step.totals.busy, step.totals.no_data);
        let Some((then, busy, no_data)) = self.before.replace(now) else { return false };
        if step.totals.no_data > no_data {
            return false;
        }
        let percent = (step.totals.busy - busy) / f64::from(step.t - then) / self.ncpu * 100.0;
        self.low = if percent < 5.0 { self.low + 1 } else { 0 };
        self.low >= self.periods
    }
}
