//! How often processes may be walked.
//!
//! What a walk costs is measured ([`process::cost`]), since it is the kernel's time above all: some microseconds a
//! process. Walks are spread so that they take an eightieth of a percent of a core, but come at least once a minute as
//! long as that takes no more than a fiftieth of a percent. Three sources walk over all processes for as long as the agent
//! runs; with what does not depend on the number of processes they stay within a tenth of a percent.

use std::time::Duration;

use agent_core::stamp::Stamp;

use crate::host::process;

/// A walk is followed by a pause of this many times its cost…
const USUAL: u32 = 8000;
/// …but of no more than this…
const LONGEST: Duration = Duration::from_mins(1);
/// …unless its cost times this is longer still.
const LEAST: u32 = 5000;

/// When the next walk is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    next: Option<Stamp>,
}

impl Pace {
    /// Whether a walk may be made now.
    pub(super) fn due(self, now: Stamp) -> bool {
        self.next.is_none_or(|next| now.boot_ms >= next.boot_ms)
    }

    /// Notes that `processes` were read just now.
    pub(super) fn walked(&mut self, now: Stamp, processes: usize) {
        self.next = Some(now.after(pause(processes, process::cost())));
    }

    /// Makes a walk due at once.
    pub(super) fn reset(&mut self) {
        self.next = None;
    }
}

/// The time between two walks over so many processes, each of which costs so much.
fn pause(processes: usize, cost: Duration) -> Duration {
    let cost = cost.saturating_mul(u32::try_from(processes).unwrap_or(u32::MAX));
    let usual = cost.saturating_mul(USUAL).min(LONGEST);
    usual.max(cost.saturating_mul(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_micros(7);

    #[test]
    fn the_pause_keeps_the_cost_down() {
        assert_eq!(pause(0, COST), Duration::ZERO);
        assert_eq!(pause(100, COST), Duration::from_millis(5600));
        assert_eq!(pause(1000, COST), Duration::from_secs(56));
        assert_eq!(pause(1500, COST), Duration::from_mins(1));
        assert_eq!(pause(10_000, COST), Duration::from_secs(350));
        for (processes, micros) in [(1, 7), (300, 7), (3000, 7), (10_000, 9), (30_000, 4)] {
            let cost = Duration::from_micros(micros);
            let share = cost.as_secs_f64() * f64::from(processes)
                / pause(usize::try_from(processes).unwrap(), cost).as_secs_f64();
            assert!(share <= 0.000_200_1, "{processes}: {share}");
        }
    }

    #[test]
    fn a_walk_is_due_at_first_after_the_pause_and_on_demand() {
        let mut pace = Pace::default();
        let now = Stamp::new(1_000_000, 0, 0);
        assert!(pace.due(now));
        pace.walked(now, 1000);
        let pause = pause(1000, process::cost());
        assert!(!pace.due(now.after(pause.checked_sub(Duration::from_millis(1)).unwrap())));
        assert!(pace.due(now.after(pause + Duration::from_millis(1))));
        pace.reset();
        assert!(pace.due(now));
    }
}
