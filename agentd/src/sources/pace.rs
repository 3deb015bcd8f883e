//! How often processes may be walked.
//!
//! A walk costs about 4.5 µs a process. It is spread so that it takes an eightieth of a percent of a core, but comes at
//! least once a minute as long as that takes no more than a tenth of a percent.

use std::time::Duration;

use agent_core::stamp::Stamp;

/// What reading one process costs.
const COST: Duration = Duration::from_nanos(4500);
/// A walk is followed by a pause of this many times its cost…
const USUAL: u32 = 8000;
/// …but of no more than this…
const LONGEST: Duration = Duration::from_mins(1);
/// …unless its cost times this is longer still.
const LEAST: u32 = 1000;

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
        self.next = Some(now.after(pause(processes)));
    }

    /// Makes a walk due at once.
    pub(super) fn reset(&mut self) {
        self.next = None;
    }
}

/// The time between two walks over so many processes.
fn pause(processes: usize) -> Duration {
    let cost = COST.saturating_mul(u32::try_from(processes).unwrap_or(u32::MAX));
    let usual = cost.saturating_mul(USUAL).min(LONGEST);
    usual.max(cost.saturating_mul(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_keeps_the_cost_down() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(100), Duration::from_millis(3600));
        assert_eq!(pause(1000), Duration::from_secs(36));
        assert_eq!(pause(10_000), Duration::from_mins(1));
        assert_eq!(pause(100_000), Duration::from_secs(450));
        for processes in [1, 300, 3000, 30_000] {
            let share = COST.as_secs_f64() * f64::from(processes)
                / pause(usize::try_from(processes).unwrap()).as_secs_f64();
            assert!(share <= 0.001_001, "{processes}: {share}");
        }
    }

    #[test]
    fn a_walk_is_due_at_first_after_the_pause_and_on_demand() {
        let mut pace = Pace::default();
        let now = Stamp::new(1_000_000, 0, 0);
        assert!(pace.due(now));
        pace.walked(now, 1000);
        assert!(!pace.due(now.after(Duration::from_secs(35))));
        assert!(pace.due(now.after(Duration::from_secs(36))));
        pace.reset();
        assert!(pace.due(now));
    }
}
