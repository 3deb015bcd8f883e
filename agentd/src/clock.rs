//! The only place that asks the kernel what time it is, and on which boot.
//!
//! What the daemon waits for by itself goes through [`sleep`] and [`work`] (and the [timer](crate::timer)), so that a test can move the time
//! of the real program ([`virtual_time`]). On a live machine they are the runtime's own timer and nothing.

use std::time::Duration;

use agent_core::stamp::Stamp;
use nix::time::{ClockId, clock_gettime};

use crate::host::HostRoot;
use crate::virtual_time::{self, Counted, VirtualTime};

/// Reads the kernel's clocks. It is copied freely; it has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Now: `CLOCK_BOOTTIME`, how far it is ahead of `CLOCK_MONOTONIC`, and `CLOCK_REALTIME` (`clock_gettime(2)`).
    ///
    /// These clocks cannot fail on a kernel that runs this program; a failure reads as the moment of boot, which makes
    /// every span zero and so never leads to an action.
    pub fn now(self) -> Stamp {
        let boot = millis(ClockId::CLOCK_BOOTTIME);
        let monotonic = millis(ClockId::CLOCK_MONOTONIC);
        let wall = millis(ClockId::CLOCK_REALTIME);
        Stamp::new(
            u64::try_from(boot).unwrap_or(0),
            u64::try_from(boot.saturating_sub(monotonic)).unwrap_or(0),
            wall,
        )
    }
}

fn millis(id: ClockId) -> i64 {
    clock_gettime(id)
        .map_or(0, |t| t.tv_sec().saturating_mul(1000).saturating_add(t.tv_nsec() / 1_000_000))
}

/// The time that this process lives by: the kernel's, unless a driver moves it.
pub fn now() -> Stamp {
    virtual_time::get().map_or_else(|| Clock.now(), VirtualTime::now)
}

/// Waits, by the same time.
pub async fn sleep(pause: Duration) {
    match virtual_time::get() {
        None => tokio::time::sleep(pause).await,
        Some(time) => time.sleep(pause).await,
    }
}

/// A moment of the time by which [`sleep`] waits.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// Of the runtime's timer.
    Real(tokio::time::Instant),
    /// Of the time that a driver moves.
    Moved(Stamp),
}

/// This moment.
pub fn mark() -> Mark {
    virtual_time::get()
        .map_or_else(|| Mark::Real(tokio::time::Instant::now()), |time| Mark::Moved(time.now()))
}

impl Mark {
    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        match self {
            Self::Real(at) => Self::Real(at + span),
            Self::Moved(at) => Self::Moved(at.after(span)),
        }
    }

    /// How far away it still is; zero once it has passed.
    pub fn left(self) -> Duration {
        match self {
            Self::Real(at) => at.saturating_duration_since(tokio::time::Instant::now()),
            Self::Moved(at) => at.since(now()),
        }
    }

    /// How long ago it was; zero before it.
    pub fn elapsed(self) -> Duration {
        match self {
            Self::Real(at) => at.elapsed(),
            Self::Moved(at) => now().since(at),
        }
    }
}

/// Work in the world outside, until it is dropped: a driver of the time waits for its end. Else it is nothing.
#[derive(Debug)]
pub struct Work(Option<Counted<'static>>);

/// Announces work.
pub fn work() -> Work {
    Work(virtual_time::get().map(VirtualTime::work))
}

impl Work {
    /// Begins: at once, or when it is its turn in a time that a driver moves.
    pub async fn begin(&mut self) {
        if let Some(counted) = &mut self.0 {
            counted.begin().await;
        }
    }
}

/// The id of this boot (`/proc/sys/kernel/random/boot_id`, `random(4)`). Without it nothing of an earlier run can be
/// trusted to be of this boot, so an unreadable one yields an id that equals no other.
pub fn boot_id(host: &HostRoot, now: Stamp) -> String {
    match host.read_text("/proc/sys/kernel/random/boot_id", 128) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => format!("unknown-{}-{}", std::process::id(), now.wall_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_moves_forward_and_wall_time_is_of_this_century() {
        let a = Clock.now();
        let b = Clock.now();
        assert!(b.boot_ms >= a.boot_ms);
        assert!(a.wall_ms > 1_600_000_000_000);
    }

    #[tokio::test]
    async fn without_a_driver_time_is_the_kernels_and_work_is_nothing() {
        let before = now();
        sleep(Duration::from_millis(3)).await;
        assert!(now().since(before) >= Duration::from_millis(2));
        assert!(Clock.now().since(before) < Duration::from_hours(1));
        let mut work = work();
        work.begin().await;
        assert!(work.0.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_tells_how_far_it_is() {
        let at = mark().after(Duration::from_secs(2));
        assert_eq!((at.left(), at.elapsed()), (Duration::from_secs(2), Duration::ZERO));
        sleep(Duration::from_secs(5)).await;
        assert_eq!((at.left(), at.elapsed().as_secs()), (Duration::ZERO, 3));
    }

    #[test]
    fn an_unreadable_boot_id_never_equals_a_stored_one() {
        let empty = tempfile::tempdir().unwrap();
        let id = boot_id(&HostRoot::at(empty.path()), Clock.now());
        assert!(id.starts_with("unknown-"), "{id}");
    }

    #[test]
    fn the_boot_id_is_read_from_the_host_root() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("boot_id"), "6f1c1b1e-0000\n").unwrap();
        assert_eq!(boot_id(&HostRoot::at(root.path()), Clock.now()), "6f1c1b1e-0000");
    }
}
