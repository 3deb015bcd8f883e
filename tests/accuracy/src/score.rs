//! Scores: what a rule did with a scenario, compared with the label.

use crate::peers::{Peer, Setting};
use crate::scenario::{Kind, Scenario};
use crate::step::{Step, steps};
use crate::world::World;

/// The timeout that all are given, seconds: half an hour.
pub const TIMEOUT: u32 = 1800;
/// When rules look for the first time, seconds after the beginning.
pub const PHASES: [u32; 4] = [0, 30, 60, 90];
/// So many minutes after a person's last work are protected too.
const PROTECTED: f64 = 10.0;
/// So many minutes beyond the timeout a stop still is in time.
const SLACK: f64 = 100.0;

/// What became of a scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// As the label says, with this many minutes of the machine wasted after the last work.
    Right {
        /// Minutes.
        wasted: f64,
    },
    /// Stopped in the middle of work, at this minute.
    Wrong {
        /// The minute.
        at: f64,
    },
    /// Never stopped, or too late.
    Missed,
}

impl Verdict {
    /// The class, as in the table of results.
    pub fn class(self) -> char {
        match self {
            Self::Right { .. } => '✓',
            Self::Wrong { .. } => 'W',
            Self::Missed => 'N',
        }
    }

    /// The cell of a table.
    pub fn cell(self) -> String {
        match self {
            Self::Right { .. } => "✓".to_owned(),
            Self::Wrong { at } => format!("**W**@{}", at.floor()),
            Self::Missed => "N".to_owned(),
        }
    }

    /// The worse of two: wrong before missed before right, the earlier wrong stop, the greater waste.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Wrong { at: a }, Self::Wrong { at: b }) => Self::Wrong { at: a.min(b) },
            (Self::Wrong { .. }, _) | (Self::Missed, Self::Missed | Self::Right { .. }) => self,
            (Self::Right { wasted: a }, Self::Right { wasted: b }) => {
                Self::Right { wasted: a.max(b) }
            }
            _ => other,
        }
    }
}

/// Compares a stop with the label.
pub fn judge(scenario: &Scenario, stopped: Option<f64>) -> Verdict {
    let inside = |at: f64| {
        scenario.work.iter().any(|work| {
            let after = if work.kind == Kind::Human { PROTECTED } else { 0.0 };
            (work.from..work.to + after).contains(&at)
        })
    };
    let last = scenario.work.iter().map(|work| work.to).fold(0.0, f64::max);
    match stopped {
        Some(at) if inside(at) || !scenario.stop => Verdict::Wrong { at },
        Some(at) if at <= deadline(scenario) => Verdict::Right { wasted: (at - last).max(0.0) },
        None if !scenario.stop => Verdict::Right { wasted: 0.0 },
        _ => Verdict::Missed,
    }
}

/// The minute by which a machine must have been stopped.
pub fn deadline(scenario: &Scenario) -> f64 {
    let last = scenario.work.iter().map(|work| work.to).fold(0.0, f64::max);
    last + f64::from(TIMEOUT) / 60.0 + SLACK
}

/// Scores a rule on one run of a scenario.
pub fn run_peer(peer: &Peer, scenario: &Scenario, steps: &[Step], setting: (u32, u32)) -> Verdict {
    let (timeout, phase) = setting;
    let mut rule = (peer.rule)(Setting { timeout, phase, scenario });
    let stop = steps.iter().find(|step| rule.stops(step));
    judge(scenario, stop.map(|step| f64::from(step.t) / 60.0))
}

/// Scores a rule on a scenario in all phases; the worst counts.
pub fn peer(peer: &Peer, scenario: &Scenario, timeout: u32) -> Verdict {
    let steps = steps(scenario, &World::plain(0));
    let verdicts = PHASES.map(|phase| run_peer(peer, scenario, &steps, (timeout, phase)));
    verdicts.into_iter().reduce(Verdict::worse).unwrap_or(Verdict::Missed)
}

/// Counts over scenarios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As the label says.
    pub right: usize,
    /// Stopped in the middle of work.
    pub wrong: usize,
    /// Never stopped.
    pub missed: usize,
}

impl Count {
    /// Adds a verdict.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right { .. } => self.right += 1,
            Verdict::Wrong { .. } => self.wrong += 1,
            Verdict::Missed => self.missed += 1,
        }
    }

    /// The count of many verdicts.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut count = Self::default();
        verdicts.into_iter().for_each(|verdict| count.add(verdict));
        count
    }
}
