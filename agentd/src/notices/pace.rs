//! When a kind of notice is asked for again. Pure.
//!
//! There is no growing pause: after an outage of any length a spot notice is seen within one period.

use std::time::Duration;

use super::kind::Kind;
use crate::aws::imds::ImdsError;

/// For one request, with a token if one must be made.
pub(super) const LIMIT: Duration = Duration::from_millis(900);
/// No request is made that would have less time than this.
pub(super) const LEAST: Duration = Duration::from_millis(50);
/// After so many failed polls in a row each poll is one request: the service is not just hiccuping.
const HICCUPS: u32 = 5;

/// What kind of failure a request had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may work at once: refused, reset, 5xx, garbled.
    Passing,
    /// No answer in time.
    Late,
    /// 403.
    Forbidden,
    /// 429.
    Throttled,
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) fn of(error: &ImdsError) -> Self {
        match error {
            ImdsError::TimedOut { .. } => Self::Late,
            ImdsError::Forbidden { .. } => Self::Forbidden,
            ImdsError::Throttled { .. } => Self::Throttled,
            error if error.is_passing() => Self::Passing,
            _ => Self::Other,
        }
    }
}

/// The pause before another request of the same poll, after `tries` that failed and so many failed polls before.
pub(super) fn retry(
    kind: Kind,
    failure: Failure,
    tries: u32,
    failed_polls: u32,
) -> Option<Duration> {
    if failure != Failure::Passing || failed_polls >= HICCUPS {
        return None;
    }
    match (kind, tries) {
        (Kind::Spot, 1) => Some(Duration::from_millis(200)),
        (Kind::Spot, 2) => Some(Duration::from_millis(600)),
        (Kind::Spot, _) => None,
        (_, 1) => Some(Duration::from_secs(1)),
        _ => None,
    }
}

/// From the beginning of one poll to that of the next.
pub(super) fn period(kind: Kind, failure: Option<Failure>, leads: bool) -> Duration {
    match (failure, kind) {
        // A person has to switch it on again. Then one kind is to see it at once, and wakes the others.
        (Some(Failure::Forbidden), _) if leads || kind == Kind::Spot => kind.every(),
        (Some(Failure::Forbidden), _) => Duration::from_secs(30),
        (None | Some(Failure::Throttled), _) => kind.every(),
        (Some(_), _) if leads => Kind::Spot.every(),
        (Some(_), Kind::Maintenance) => Duration::from_secs(10),
        (Some(_), _) => kind.every(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_passing_failure_is_asked_again_within_the_period_and_nothing_else_is() {
        let spot = |tries| retry(Kind::Spot, Failure::Passing, tries, 0);
        assert_eq!((spot(1), spot(2), spot(3)), (Some(ms(200)), Some(ms(600)), None));
        let other = |tries| retry(Kind::Rebalance, Failure::Passing, tries, 0);
        assert_eq!((other(1), other(2)), (Some(ms(1000)), None));
        for failure in [Failure::Late, Failure::Forbidden, Failure::Throttled, Failure::Other] {
            assert_eq!(retry(Kind::Spot, failure, 1, 0), None);
        }
        assert_eq!(retry(Kind::Spot, Failure::Passing, 1, HICCUPS), None, "it is an outage");
    }

    #[test]
    fn spot_never_waits_longer_than_its_period() {
        use Failure::{Forbidden, Late, Other, Passing, Throttled};
        for failure in
            [None, Some(Passing), Some(Late), Some(Throttled), Some(Forbidden), Some(Other)]
        {
            assert_eq!(period(Kind::Spot, failure, true), Duration::from_secs(2));
        }
        let forbidden = |kind| period(kind, Some(Forbidden), false);
        assert_eq!(forbidden(Kind::AutoScaling), Duration::from_secs(30));
        assert_eq!(forbidden(Kind::Maintenance), Duration::from_secs(30));
    }
}
