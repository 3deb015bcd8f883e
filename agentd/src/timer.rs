//! A timer on `CLOCK_BOOTTIME` (`timerfd_create(2)`).
//!
//! The runtime's own timers stand on a hierarchical wheel that wakes the process several times for one long pause, and on
//! `CLOCK_MONOTONIC`, which stands still while the machine sleeps. This one wakes once, and at once after a resume.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use crate::virtual_time;

/// A timer that can be armed again and again. Without one (no descriptors left) the runtime's timer serves.
#[derive(Debug)]
pub struct BootTimer {
    fd: Option<AsyncFd<Descriptor>>,
}

/// `TimerFd` does not say its number; the runtime needs it.
#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Default for BootTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl BootTimer {
    /// An unarmed timer. Must be called within the runtime.
    pub fn new() -> Self {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let fd = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).ok();
        Self { fd: fd.and_then(|fd| register(Descriptor(fd))) }
    }

    /// Waits for so long. Dropping the future disarms nothing; the next call arms the timer anew.
    pub async fn sleep(&mut self, pause: Duration) {
        if let Some(time) = virtual_time::get() {
            return time.sleep(pause).await;
        }
        // A pause of zero would disarm the timer.
        let pause = pause.max(Duration::from_millis(1));
        let Some(fd) = &self.fd else { return tokio::time::sleep(pause).await };
        let expiration = Expiration::OneShot(TimeSpec::from_duration(pause));
        if fd.get_ref().0.set(expiration, TimerSetTimeFlags::empty()).is_err() {
            return tokio::time::sleep(pause).await;
        }
        loop {
            let Ok(mut ready) = fd.readable().await else {
                return tokio::time::sleep(pause).await;
            };
            let read = ready.try_io(|fd| match fd.get_ref().0.wait() {
                Ok(()) => Ok(()),
                Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
                Err(errno) => Err(errno.into()),
            });
            match read {
                Ok(_) => return,
                // An expiration of an earlier pause that nobody waited for.
                Err(_would_block) => {}
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; this descriptor is owned and stays the same"
)]
fn register(fd: Descriptor) -> Option<AsyncFd<Descriptor>> {
    AsyncFd::try_new(fd).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn it_waits_and_can_be_armed_again_after_it_was_dropped() {
        let mut timer = BootTimer::new();
        let long =
            tokio::time::timeout(Duration::from_millis(5), timer.sleep(Duration::from_mins(1)));
        assert!(long.await.is_err(), "a minute is over in five milliseconds");
        let begin = Instant::now();
        timer.sleep(Duration::from_millis(20)).await;
        assert!(begin.elapsed() >= Duration::from_millis(19), "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_pause_of_zero_ends() {
        let mut timer = BootTimer::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), timer.sleep(Duration::ZERO));
        assert!(ended.await.is_ok());
    }
}
