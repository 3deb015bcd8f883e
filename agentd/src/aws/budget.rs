//! The agent's own limit of EC2 calls.
//!
//! EC2's buckets belong to the whole account and Region (`CreateTags` refills by 10 a second), so an agent that runs on
//! a thousand machines must not make many calls on any of them, whatever goes wrong.

use core::time::Duration;

/// A token bucket on `CLOCK_BOOTTIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    capacity: u32,
    refill: Duration,
    left: u32,
    counted_from: Duration,
}

impl Budget {
    /// A full bucket that gains one call in every `refill`.
    pub(super) const fn new(capacity: u32, refill: Duration, now: Duration) -> Self {
        Self { capacity, refill, left: capacity, counted_from: now }
    }

    /// Takes one call, or says how long until there is one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        if self.left == 0 {
            return Err(self.refill.saturating_sub(now.saturating_sub(self.counted_from)));
        }
        self.left -= 1;
        Ok(())
    }

    /// Takes one call even from an empty bucket: for the call that the agent exists for.
    pub(super) fn take_anyway(&mut self, now: Duration) {
        self.fill(now);
        self.left = self.left.saturating_sub(1);
    }

    fn fill(&mut self, now: Duration) {
        if self.refill.is_zero() {
            self.left = self.capacity;
            return;
        }
        let passed =
            now.saturating_sub(self.counted_from).as_millis() / self.refill.as_millis().max(1);
        let gained = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(gained).min(self.capacity);
        self.counted_from = if self.left == self.capacity {
            now
        } else {
            self.counted_from + self.refill.saturating_mul(gained)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_allowed_and_then_the_refill_decides() {
        let mut budget = Budget::new(3, 30 * SECOND, 100 * SECOND);
        for _ in 0..3 {
            assert_eq!(budget.take(100 * SECOND), Ok(()));
        }
        assert_eq!(budget.take(110 * SECOND), Err(20 * SECOND));
        assert_eq!(budget.take(130 * SECOND), Ok(()));
        assert_eq!(budget.take(131 * SECOND), Err(29 * SECOND));
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let mut budget = Budget::new(2, SECOND, Duration::ZERO);
        let later = Duration::from_hours(1_000_000);
        assert_eq!((budget.take(later), budget.take(later)), (Ok(()), Ok(())));
        assert!(budget.take(later).is_err());
    }

    #[test]
    fn a_call_that_must_be_made_is_made_and_counted() {
        let mut budget = Budget::new(1, 10 * SECOND, Duration::ZERO);
        budget.take_anyway(Duration::ZERO);
        budget.take_anyway(Duration::ZERO);
        assert_eq!(budget.take(SECOND), Err(9 * SECOND));
        assert_eq!(budget.take(10 * SECOND), Ok(()));
    }

    #[test]
    fn a_clock_that_fails_or_runs_backwards_gives_no_calls() {
        let mut budget = Budget::new(1, 10 * SECOND, 100 * SECOND);
        assert_eq!(budget.take(100 * SECOND), Ok(()));
        assert_eq!(budget.take(50 * SECOND), Err(10 * SECOND));
    }

    #[test]
    fn over_a_day_the_rate_is_the_refill() {
        let mut budget = Budget::new(5, 30 * SECOND, Duration::ZERO);
        let made = (0..86_400).filter(|second| budget.take(*second * SECOND).is_ok()).count();
        assert_eq!(made, 5 + 86_399 / 30);
    }
}
