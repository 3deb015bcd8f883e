//! A counter that is known in lumps and told evenly.

use std::collections::VecDeque;
use std::time::Duration;

use agent_core::stamp::Stamp;

/// A lump is told over no more than this.
const LONGEST: Duration = Duration::from_mins(5);

/// What was counted in a time that is over is told over as long a time from the last telling on, but not before what was counted
/// earlier is told. So the rate that is seen is the true one, a little later, whenever the counter is looked at: two lumps that
/// came one soon after the other are no peak.
#[derive(Debug, Default)]
pub(super) struct Spread {
    told_us: u64,
    lumps: VecDeque<Lump>,
}

/// What is still to be told of a lump, and in which time.
#[derive(Debug)]
struct Lump {
    left_us: u64,
    from: Stamp,
    until: Stamp,
}

impl Spread {
    /// Adds a lump that was counted in `span`; `at_once` of it is told without waiting. `told_at`: when it was last told.
    pub(super) fn add(&mut self, told_at: Stamp, lump_us: u64, span: Duration, at_once: u64) {
        let at_once = at_once.min(lump_us);
        self.told_us = self.told_us.saturating_add(at_once);
        let from = self.lumps.back().map(|last| last.until);
        let from = from.filter(|until| until.boot_ms > told_at.boot_ms).unwrap_or(told_at);
        let until = from.after(span.min(LONGEST));
        // One of nothing takes its time, too: what comes after it is not told early.
        self.lumps.push_back(Lump { left_us: lump_us - at_once, from, until });
    }

    /// What is to be told by now. It never falls.
    pub(super) fn tell(&mut self, now: Stamp) -> u64 {
        while let Some(lump) = self.lumps.front_mut() {
            let part = lump.tell(now);
            self.told_us = self.told_us.saturating_add(part);
            if now.boot_ms < lump.until.boot_ms {
                break;
            }
            self.lumps.pop_front();
        }
        self.told_us
    }
}

impl Lump {
    /// Takes out what is to be told by now.
    fn tell(&mut self, now: Stamp) -> u64 {
        let left = self.until.boot_ms.saturating_sub(self.from.boot_ms);
        let gone = now.boot_ms.saturating_sub(self.from.boot_ms);
        if gone == 0 && left > 0 {
            return 0;
        }
        let part = if gone >= left {
            self.left_us
        } else {
            let part = u128::from(self.left_us) * u128::from(gone) / u128::from(left);
            u64::try_from(part).unwrap_or(self.left_us)
        };
        self.left_us -= part.min(self.left_us);
        self.from = now;
        part
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

    #[test]
    fn a_walk_that_comes_early_makes_no_peak_of_what_waits() {
        // 0.045 core, walked once a minute, and once in between because somebody asked.
        let (mut spread, mut told) = (Spread::default(), vec![0]);
        let mut walked = 0;
        for look in 1..60 {
            let at_ms = |look| at(look * 10);
            if look % 6 == 0 || look == 26 {
                let looks = look - walked;
                spread.add(at_ms(look - 1), looks * 450_000, STEP * u32::try_from(looks).unwrap(), 0);
                walked = look;
            }
            told.push(spread.tell(at_ms(look)));
        }
        for minute in told.windows(7) {
            assert!(minute[6] - minute[0] <= 2_700_010, "{told:?}");
        }
    }

    proptest::proptest! {
        /// A steady rate is told as one, whenever it is looked at: no minute holds more than a minute of it.
        #[test]
        fn a_steady_rate_is_told_steadily(walks in proptest::collection::vec(1_u64..31, 1..60), rate in 1_u64..2_000_000) {
            let (mut spread, mut told, mut look) = (Spread::default(), vec![0], 0);
            for looks in walks {
                for _ in 1..looks {
                    look += 1;
                    told.push(spread.tell(at(look * 10)));
                }
                look += 1;
                let span = Duration::from_secs(looks * 10);
                spread.add(at(look * 10 - 10), looks * rate, span, 0);
                told.push(spread.tell(at(look * 10)));
            }
            for minute in told.windows(7) {
                proptest::prop_assert!(minute[6] - minute[0] <= 6 * rate + 60);
            }
        }

        /// Whatever comes when, nothing is lost and nothing is told twice.
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
