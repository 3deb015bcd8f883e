//! Rates from counters, averaged over a sliding window.
//!
//! A mean over a window tells a steady trickle from a single burst; the moment of use is nevertheless the end of the
//! last slice that took part in it, so that the idle clock starts when the work ended and not when the mean decayed.

use core::time::Duration;
use std::collections::VecDeque;

use crate::stamp::{Stamp, millis};

/// A source leaves "busy" when a slice falls below this share of the limit (hysteresis).
const LEAVE: f64 = 0.6;

/// A reading this soon after another tells no rate: a check right before a stop comes milliseconds after the regular one. Its growth
/// joins the slice before it, unless that is a whole window already. It is well below the shortest `sampling.interval`: slices that join
/// one after the other say for too long that something is used.
const SHORT_MS: u64 = 250;

/// A use is shown as going on for this part of the averaging window after its last slice.
const RECENT: u32 = 2;

/// The growth of a counter between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    end: Stamp,
    span_ms: u64,
    amount: f64,
}

/// The slices of the last `average`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RateWindow {
    slices: VecDeque<Slice>,
}

/// What the window says after a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// What to show: the mean while it tells of a recent use, else the rate of the last slice.
    pub value: f64,
    /// The mean over the whole window, whether or not it tells of a use.
    pub mean: f64,
    /// The mean reaches the limit and its last use is recent. Some counters move in steps (processes are walked less
    /// often than sources are read), so a single empty slice does not end a use.
    pub in_use: bool,
    /// The end of the last slice that took part in a use; none when the mean is below the limit.
    pub used_at: Option<Stamp>,
}

impl Rate {
    /// Nothing was counted.
    pub(crate) const NONE: Self = Self { value: 0.0, mean: 0.0, in_use: false, used_at: None };

    /// The higher rate, and every use of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            value: self.value.max(other.value),
            mean: self.mean.max(other.mean),
            in_use: self.in_use || other.in_use,
            used_at: self.used_at.max(other.used_at),
        }
    }
}

impl RateWindow {
    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.slices.clear();
    }

    /// Adds the growth `amount` (already in the source's unit × seconds) over `span` ending at `now`.
    pub(crate) fn push(
        &mut self,
        now: Stamp,
        span: Duration,
        amount: f64,
        average: Duration,
        limit: f64,
    ) -> Rate {
        let span_ms = millis(span);
        match self.slices.back_mut() {
            Some(last) if span_ms < SHORT_MS && last.span_ms < millis(average) => {
                last.end = now;
                last.span_ms += span_ms;
                last.amount += amount;
            }
            _ => self.slices.push_back(Slice { end: now, span_ms: span_ms.max(1), amount }),
        }
        let horizon = now.before(average).boot_ms;
        // The newest slice always stays, also when it alone is longer than the average.
        while self.slices.len() > 1 && self.slices.front().is_some_and(|s| s.end.boot_ms <= horizon)
        {
            self.slices.pop_front();
        }
        self.rate(average, limit)
    }

    fn rate(&self, average: Duration, limit: f64) -> Rate {
        let total: f64 = self.slices.iter().map(|s| s.amount).sum();
        let spans: u64 = self.slices.iter().map(|s| s.span_ms).sum();
        let last = self.slices.back().map_or(0.0, Slice::rate);
        // Divided by the whole window even when it is not full yet: a short burst is not a steady load.
        let mean = total * 1000.0 / to_f64(spans.max(millis(average)));
        if mean < limit {
            return Rate { value: mean.min(last), mean, in_use: false, used_at: None };
        }
        let used_at = self.slices.iter().rev().find(|s| s.rate() >= LEAVE * limit).map(|s| s.end);
        let newest = self.slices.back().map(|s| s.end);
        let in_use = match (newest, used_at) {
            (Some(newest), Some(used)) => newest.since(used) <= average / RECENT,
            _ => false,
        };
        Rate { value: if in_use { mean } else { mean.min(last) }, mean, in_use, used_at }
    }
}

impl Slice {
    fn rate(&self) -> f64 {
        self.amount * 1000.0 / to_f64(self.span_ms)
    }
}

/// A count as a float. Counts beyond 2^53 lose their last bits, which no limit can notice.
#[expect(clippy::cast_precision_loss, reason = "documented: no limit depends on the 54th bit")]
pub(crate) fn to_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVERAGE: Duration = Duration::from_mins(1);
    const STEP: Duration = Duration::from_secs(10);
    const LIMIT: f64 = 0.05;

    fn at(secs: u64) -> Stamp {
        Stamp::new(secs * 1000, 0, 0)
    }

    /// Feeds rates, ten seconds each, and gives the last answer.
    fn feed(rates: &[f64]) -> Rate {
        let mut window = RateWindow::default();
        let mut last = Rate { value: f64::NAN, mean: 0.0, in_use: false, used_at: None };
        for (n, rate) in (1u64..).zip(rates) {
            last = window.push(at(n * 10), STEP, rate * 10.0, AVERAGE, LIMIT);
        }
        last
    }

    #[test]
    fn a_steady_load_at_the_limit_is_use() {
        let rate = feed(&[0.05; 6]);
        assert_eq!(rate.used_at, Some(at(60)));
        assert!((rate.value - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_steady_load_below_the_limit_never_is() {
        assert_eq!(feed(&[0.049; 20]).used_at, None);
    }

    #[test]
    fn a_short_burst_is_not_a_load() {
        // 0.2 core for ten seconds is 0.033 core over the minute.
        assert_eq!(feed(&[0.0, 0.2, 0.0]).used_at, None);
    }

    #[test]
    fn one_busy_core_is_seen_in_the_first_slice() {
        assert_eq!(feed(&[1.0]).used_at, Some(at(10)));
    }

    #[test]
    fn the_moment_of_use_is_the_end_of_the_work_not_of_the_mean() {
        let rate = feed(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(rate.used_at, Some(at(30)));
        assert!(!rate.in_use);
        assert!(rate.value < LIMIT, "what is shown contradicts the verdict: {}", rate.value);
    }

    #[test]
    fn a_counter_that_moves_in_steps_is_shown_as_one_steady_use() {
        for rest in [&[][..], &[0.0], &[0.0, 0.0]] {
            let rate = feed(&[&[1.0, 0.0, 0.0, 1.0], rest].concat());
            assert!(rate.in_use && rate.value >= LIMIT, "{rest:?}: {rate:?}");
            assert_eq!(rate.used_at, Some(at(40)), "the moment of use stays exact");
        }
    }

    #[test]
    fn work_that_has_left_the_window_is_forgotten() {
        assert_eq!(feed(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).used_at, None);
    }

    #[test]
    fn a_slice_longer_than_the_window_still_counts() {
        let mut window = RateWindow::default();
        let rate = window.push(at(300), Duration::from_mins(5), 30.0, AVERAGE, LIMIT);
        assert_eq!(rate.used_at, Some(at(300)));
    }

    #[test]
    fn a_second_look_at_the_same_moment_changes_nothing() {
        let mut window = RateWindow::default();
        window.push(at(10), STEP, 0.2, AVERAGE, LIMIT);
        let rate = window.push(at(20), STEP, 0.2, AVERAGE, LIMIT);
        assert_eq!(window.push(at(20), Duration::ZERO, 0.0, AVERAGE, LIMIT), rate);
        let soon = Stamp::new(20_100, 0, 0);
        let soon = window.push(soon, Duration::from_millis(100), 0.0, AVERAGE, LIMIT);
        assert!(soon.value >= rate.value * 0.99, "a moment without work is no rest: {soon:?}");
    }

    #[test]
    fn many_looks_a_second_lose_nothing_and_forget_in_time() {
        let mut window = RateWindow::default();
        let moment = Duration::from_millis(100);
        let mut look =
            |n: u64, amount| window.push(Stamp::new(n * 100, 0, 0), moment, amount, AVERAGE, LIMIT);
        let last = (1..=600).map(|n| look(n, 0.01)).last();
        assert!(last.is_some_and(|rate| rate.in_use && (rate.mean - 0.1).abs() < 0.01), "{last:?}");
        let last = (601..=1900).map(|n| look(n, 0.0)).last();
        assert_eq!(last.and_then(|rate| rate.used_at), None);
    }

    #[test]
    fn looks_once_a_second_that_come_a_little_early_are_slices_of_their_own() {
        let mut window = RateWindow::default();
        let span = Duration::from_millis(950);
        let mut look =
            |n: u64, amount| window.push(Stamp::new(n * 950, 0, 0), span, amount, AVERAGE, LIMIT);
        let last = (1..=40).map(|n| look(n, if n <= 20 { 0.95 } else { 0.0 })).last();
        assert_eq!(last.and_then(|rate| rate.used_at), Some(Stamp::new(19_000, 0, 0)));
    }

    #[test]
    fn bursts_every_fifteen_seconds_are_a_load() {
        let rate = feed(&[0.1, 0.0, 0.1, 0.0, 0.1, 0.0]);
        assert_eq!(rate.used_at, Some(at(50)));
    }
}
