//! Request buckets: EC2 lets so many calls through at once and refills at a rate ("Request throttling for the
//! Amazon EC2 API", token bucket sizes and refill rates).

use std::collections::HashMap;
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

/// The bucket that an action draws from.
pub(super) fn class(action: &str) -> &'static str {
    match action {
        "CreateTags" | "DeleteTags" => "tags",
        "StartInstances" => "start",
        "TerminateInstances" => "terminate",
        other if other.starts_with("Describe") => "look",
        _ => "change",
    }
}

/// The published sizes and rates.
pub(super) fn published(now: Instant) -> HashMap<&'static str, Bucket> {
    HashMap::from([
        ("tags", Bucket::new(100.0, 10.0, now)),
        ("start", Bucket::new(5.0, 2.0, now)),
        ("terminate", Bucket::new(100.0, 5.0, now)),
        ("look", Bucket::new(100.0, 20.0, now)),
        ("change", Bucket::new(50.0, 5.0, now)),
    ])
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
