//! How often a user may ask: the generic cell rate algorithm (ITU-T I.371), which is a token bucket in one number.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// One user's budget.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When the budget would be full again, in microseconds of the server's clock.
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes one request out, or says how long to wait for the next.
    pub(crate) fn take(&self, now: Duration, per_second: u32, burst: u32) -> Result<(), Duration> {
        let now = micros(now);
        let interval = 1_000_000 / u64::from(per_second.max(1));
        let room = interval.saturating_mul(u64::from(burst));
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now).saturating_add(interval);
            (next.saturating_sub(now) <= room).then_some(next)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let wait =
                    full_at.saturating_add(interval).saturating_sub(now).saturating_sub(room);
                Err(Duration::from_micros(wait))
            }
        }
    }

    /// Whether something was taken out that is not back yet.
    pub(crate) fn is_used(&self, now: Duration) -> bool {
        self.full_at.load(Ordering::Relaxed) > micros(now)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &Bucket, at_ms: u64, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.take(Duration::from_millis(at_ms), 20, 40).is_ok()).count()
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate_holds() {
        let bucket = Bucket::default();
        assert_eq!(taken(&bucket, 1_000, 100), 40);
        assert_eq!(taken(&bucket, 1_049, 100), 0);
        assert_eq!(taken(&bucket, 1_050, 100), 1);
        assert_eq!(taken(&bucket, 2_050, 100), 20);
        assert_eq!(taken(&bucket, 60_000, 100), 40, "a pause fills it, not more");
    }

    #[test]
    fn the_wait_is_as_long_as_it_says() {
        let bucket = Bucket::default();
        taken(&bucket, 500, 40);
        let wait = bucket.take(Duration::from_millis(500), 20, 40).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        assert!(bucket.take(Duration::from_millis(500) + wait, 20, 40).is_ok());
    }

    #[test]
    fn it_is_used_until_it_is_full_again() {
        let bucket = Bucket::default();
        assert!(!bucket.is_used(Duration::ZERO));
        taken(&bucket, 0, 2);
        assert!(bucket.is_used(Duration::from_millis(99)));
        assert!(!bucket.is_used(Duration::from_millis(100)));
    }
}
