//! What the signals of one reading add up to.

use crate::reading::Stretch;
use crate::stamp::Stamp;
use crate::window::Rate;

/// What the signals of one reading add up to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) counted: bool,
    /// What grew, in the counters' base unit, each part weighed by its limit: what weighs 1 is people's work.
    pub(super) growth: f64,
    /// What keeps the machine and stays below its ceiling, one by one, not weighed.
    pub(super) upkeep: u64,
    /// All of what keeps the machine.
    pub(super) upkeep_all: u64,
    /// Why the reading cannot be right.
    pub(super) garbage: Option<String>,
    pub(super) level: Option<f64>,
    pub(super) touched: bool,
    pub(super) blocks: bool,
    pub(super) expired: Vec<String>,
    pub(super) stretch: Option<Stretch>,
    /// A connection came, or a long job or a block ended.
    pub(super) event_at: Option<Stamp>,
    /// The highest rate, where the limit is for each subject.
    pub(super) each: Option<Rate>,
}

impl Sum {
    /// Notes that a counter says something impossible.
    pub(super) fn ran_back(&mut self, subject: &str) {
        self.garbage = Some(format!("counter of '{subject}' went backwards"));
    }

    /// Something ended now that proves use until now.
    pub(super) fn happen(&mut self, now: Stamp, ended: bool) {
        self.event_at = later(self.event_at, ended.then_some(now));
    }

    pub(super) fn weigh_each(&mut self, rate: Rate) {
        self.each = Some(match self.each {
            Some(highest) => highest.or(rate),
            None => rate,
        });
    }

    pub(super) fn rise(&mut self, subject: &str, level: f64) {
        if !level.is_finite() || level < 0.0 {
            self.garbage = Some(format!("level of '{subject}' is {level}, which cannot be"));
        }
        self.level = Some(self.level.map_or(level, |highest| highest.max(level)));
    }
}

/// The later of two moments that may be missing.
pub(super) fn later(a: Option<Stamp>, b: Option<Stamp>) -> Option<Stamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
