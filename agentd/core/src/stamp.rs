//! Time as an argument.
//!
//! The engine never asks what time it is. Whoever calls it hands in a [`Stamp`], so a simulation of a year runs in
//! seconds and a recorded trace replays exactly.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A moment, as three kernel clocks saw it.
///
/// Durations are always computed from [`boot`](Self::boot): `CLOCK_BOOTTIME` never steps and counts the time that the
/// machine was suspended or hibernated (`clock_gettime(2)`). Wall time is for people only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// `CLOCK_BOOTTIME`, milliseconds since boot.
    pub boot_ms: u64,
    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`, milliseconds: how long this boot has slept. It grows only over a suspend
    /// or a hibernation, which is how the engine knows that the machine was resumed.
    pub asleep_ms: u64,
    /// `CLOCK_REALTIME`, milliseconds since 1970-01-01T00:00:00Z. Shown, never decided on.
    pub wall_ms: i64,
}

impl Stamp {
    /// A stamp `boot_ms` after boot on a machine that never slept and was started at the given wall time.
    pub const fn new(boot_ms: u64, asleep_ms: u64, wall_ms: i64) -> Self {
        Self { boot_ms, asleep_ms, wall_ms }
    }

    /// Time since boot.
    pub const fn boot(self) -> Duration {
        Duration::from_millis(self.boot_ms)
    }

    /// The time from `earlier` to this one in which the machine was awake; zero if there is none.
    pub fn awake_since(self, earlier: Self) -> Duration {
        let asleep = self.asleep_ms.saturating_sub(earlier.asleep_ms);
        self.since(earlier).saturating_sub(Duration::from_millis(asleep))
    }

    /// Time from `earlier` to `self`, zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.boot_ms.saturating_sub(earlier.boot_ms))
    }

    /// The moment `span` later, if the machine does not sleep in between and the wall clock does not step.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let ms = millis(span);
        Self {
            boot_ms: self.boot_ms.saturating_add(ms),
            asleep_ms: self.asleep_ms,
            wall_ms: self.wall_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)),
        }
    }

    /// The moment `span` earlier, not before boot.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let ms = millis(span).min(self.boot_ms);
        Self {
            boot_ms: self.boot_ms.saturating_sub(ms),
            asleep_ms: self.asleep_ms,
            wall_ms: self.wall_ms.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)),
        }
    }

    /// The later of two moments of one boot.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.boot_ms > self.boot_ms { other } else { self }
    }
}

/// Whole milliseconds of a duration, saturating.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_zero_when_the_other_moment_is_later() {
        let early = Stamp::new(1_000, 0, 0);
        let late = Stamp::new(4_000, 0, 0);
        assert_eq!(late.since(early), Duration::from_secs(3));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn after_moves_both_clocks_and_never_overflows() {
        let now = Stamp::new(1_000, 7, 50_000);
        assert_eq!(now.after(Duration::from_secs(2)), Stamp::new(3_000, 7, 52_000));
        let end = Stamp::new(u64::MAX, 0, i64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(now.before(Duration::from_secs(9)).boot_ms, 0);
    }
}
