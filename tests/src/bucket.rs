//! Request buckets: so many calls pass at once, and so many more each second.

use std::time::Instant;

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub const fn new(burst: f64, per_second: f64, now: Instant) -> Self {
        Self { burst, per_second, tokens: burst, filled: now }
    }

    /// Takes one call's worth; false when the bucket is empty.
    pub fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.filled = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_up_to_its_size() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2.0, 1.0, start);
        assert_eq!(
            [bucket.take(start), bucket.take(start), bucket.take(start)],
            [true, true, false]
        );
        assert!(bucket.take(start + Duration::from_secs(1)));
        let later = start + Duration::from_hours(1);
        assert_eq!(
            [bucket.take(later), bucket.take(later), bucket.take(later)],
            [true, true, false]
        );
    }
}
