//! Moments that two processes can compare, and how a set of spans is told.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share (`clock_gettime(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// Now. Zero where the kernel has no such clock, which no Linux lacks.
    pub(super) fn now() -> Self {
        let at = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        Self(at.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// From an earlier moment to this one; zero if it is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The percentiles of some spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Duration>);

impl Spans {
    /// Of these spans.
    pub(super) fn of(spans: impl IntoIterator<Item = Duration>) -> Self {
        let mut spans: Vec<Duration> = spans.into_iter().collect();
        spans.sort_unstable();
        Self(spans)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest one that so many of a hundred do not exceed (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// Three cells of a table, in seconds: half of them, 99 of a hundred, the longest.
    pub(super) fn in_seconds(&self) -> String {
        self.cells(|span| format!("{:.2} s", span.as_secs_f64()))
    }

    /// The same in milliseconds.
    pub(super) fn in_milliseconds(&self) -> String {
        self.cells(|span| format!("{:.1} ms", span.as_secs_f64() * 1e3))
    }

    fn cells(&self, text: impl Fn(Duration) -> String) -> String {
        if self.0.is_empty() {
            return "– | – | –".to_owned();
        }
        [50, 99, 100].map(|percent| text(self.percentile(percent))).join(" | ")
    }
}

/// Numbers that look random and are the same in every run of a seed (`SplitMix64`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// The next number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// A span below `limit`, to the millisecond.
    pub(super) fn span(&mut self, limit: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Waits until `found` gives something; none when it does not within `limit`.
pub(super) fn wait<T>(limit: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    /// The moments are taken where things happen, so looking rarely costs no accuracy and leaves the processor to the agents.
    const LOOK: Duration = Duration::from_millis(20);
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let spans = Spans::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!(spans.percentile(50), Duration::from_millis(100));
        assert_eq!(spans.percentile(99), Duration::from_millis(198));
        assert_eq!(spans.percentile(100), Duration::from_millis(200));
        assert_eq!(spans.in_milliseconds(), "100.0 ms | 198.0 ms | 200.0 ms");
    }

    #[test]
    fn nothing_measured_is_no_zero() {
        assert_eq!(Spans::default().in_seconds(), "– | – | –");
    }

    #[test]
    fn a_seed_throws_the_same_again_and_a_moment_is_not_before_an_earlier_one() {
        let (mut one, mut other) = (Dice(7), Dice(7));
        let thrown: Vec<u64> = (0..100).map(|_| one.below(100)).collect();
        assert!((0..100).map(|_| other.below(100)).eq(thrown.iter().copied()));
        assert!(
            thrown.iter().any(|number| *number > 90) && thrown.iter().any(|number| *number < 10)
        );
        let earlier = Moment::now();
        assert!(Moment::now() >= earlier);
        assert_eq!(earlier.since(Moment(earlier.0 + 1)), Duration::ZERO);
    }
}
