//! A counter that is known in lumps and told evenly.

use std::time::Duration;

use agent_core::stamp::Stamp;

/// A lump is told over no more than this.
const LONGEST: Duration = Duration::from_mins(5);

/// What was counted in a time that is over is told over as long a time from the last telling on. So the rate that is seen is
/// the true one, a little later, and the mean of a minute holds each lump once.
#[derive(Debug, Default)]
pub(super) struct Spread {
    told_us: u64,
    pending_us: u64,
    from: Stamp,
    until: Stamp,
}

impl Spread {
    /// Adds a lump that was counted in `span`; `at_once` of it is told without waiting. `told_at`: when it was last told.
    pub(super) fn add(&mut self, told_at: Stamp, lump_us: u64, span: Duration, at_once: u64) {
        let at_once = at_once.min(lump_us);
        self.told_us = self.told_us.saturating_add(at_once);
        self.pending_us = self.pending_us.saturating_add(lump_us - at_once);
        (self.from, self.until) = (told_at, told_at.after(span.min(LONGEST)));
    }

    /// What is to be told by now. It never falls.
    pub(super) fn tell(&mut self, now: Stamp) -> u64 {
        let left = self.until.boot_ms.saturating_sub(self.from.boot_ms);
        let gone = now.boot_ms.saturating_sub(self.from.boot_ms);
        let part = if gone >= left {
            self.pending_us
        } else {
            let part = u128::from(self.pending_us) * u128::from(gone) / u128::from(left.max(1));
            u64::try_from(part).unwrap_or(self.pending_us)
        };
        self.pending_us -= part.min(self.pending_us);
        self.told_us = self.told_us.saturating_add(part);
        self.from = now;
        self.told_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Stamp {
        Stamp::new(secs * 1000, 0, 0)
    }

    const STEP: Duration = Duration::from_secs(10);

    #[test]
    fn a_lump_of_one_look_is_told_at_once() {
        let mut spread = Spread::default();
        spread.add(at(10), 500, STEP, 0);
        assert_eq!(spread.tell(at(20)), 500);
    }

    #[test]
    fn a_lump_of_a_minute_is_told_in_equal_parts() {
        let mut spread = Spread::default();
        spread.add(at(50), 600, Duration::from_mins(1), 0);
        let told: Vec<_> = (6..=12).map(|step| spread.tell(at(step * 10))).collect();
        assert_eq!(told, [100, 200, 300, 400, 500, 600, 600]);
    }

    #[test]
    fn what_cannot_wait_does_not() {
        let mut spread = Spread::default();
        spread.add(at(50), 700, Duration::from_mins(1), 100);
        assert_eq!(spread.tell(at(60)), 200);
        assert_eq!(spread.tell(at(600)), 700);
    }

    proptest::proptest! {
        /// Whatever comes when, nothing is lost, nothing is told twice, and no minute holds more than came in the two
        /// spans before.
        #[test]
        fn everything_is_told_once(lumps in proptest::collection::vec((0_u64..1_000_000, 1_u64..7), 1..40)) {
            let (mut spread, mut clock, mut sum, mut before) = (Spread::default(), 0, 0, 0);
            for (lump, looks) in lumps {
                let last = clock;
                clock += looks * 10;
                for look in 1..looks {
                    let told = spread.tell(at(last + look * 10));
                    proptest::prop_assert!(told >= before && told <= sum);
                    before = told;
                }
                sum += lump;
                spread.add(at(clock - 10), lump, Duration::from_secs(looks * 10), 0);
                let told = spread.tell(at(clock));
                proptest::prop_assert!(told >= before && told <= sum);
                before = told;
            }
            proptest::prop_assert_eq!(spread.tell(at(clock + 600)), sum);
        }
    }
}
