//! Time that a driver moves, so that the real program can be taken through hours in seconds.
//!
//! An ordinary agent has none of this: it lives by the kernel's clocks ([`clock`](crate::clock)). With the hidden option
//! `--virtual-clock` the clocks stand still until a driver moves them ([`driver`]). Every pause of the agent's own then
//! ends when the moved clock has passed it; pauses that belong to the world outside (a hung file, a slow service, a
//! client that dribbles) stay real.
//!
//! The moved clock is deterministic: sleepers are woken one after the other in the order of their moments, and what talks
//! to the world outside does so one at a time, in the order in which it wanted to. So two runs over the same files
//! decide the same, byte by byte.

pub mod driver;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use agent_core::stamp::Stamp;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// The time of this process, if a driver moves it. A process lives by one clock from its start to its end.
static TIME: OnceLock<VirtualTime> = OnceLock::new();

/// So many rounds of all ready tasks without anything new mean that nothing is left to do. Each message from one task to
/// another takes one.
const STILL: u32 = 4;

/// The moved time of this process; none on a machine that lives by its kernel's clocks.
pub fn get() -> Option<&'static VirtualTime> {
    TIME.get()
}

/// A clock that stands until it is moved, and who waits for it.
#[derive(Debug)]
pub struct VirtualTime {
    inner: Mutex<Inner>,
    /// Rung when the last work ends.
    rest: Notify,
    /// Whose turn it is to talk to the world outside.
    turn: Semaphore,
}

#[derive(Debug)]
struct Inner {
    now: Stamp,
    /// Who sleeps until when (milliseconds since boot), in the order in which they fell asleep.
    sleepers: BTreeMap<(u64, u64), Waker>,
    /// Grows with every sleeper and every piece of work.
    counted: u64,
    working: usize,
}

impl VirtualTime {
    /// A clock that stands at `now`.
    pub fn new(now: Stamp) -> Self {
        let sleepers = BTreeMap::new();
        let inner = Mutex::new(Inner { now, sleepers, counted: 0, working: 0 });
        Self { inner, rest: Notify::new(), turn: Semaphore::new(1) }
    }

    /// The moment at which it stands.
    pub fn now(&self) -> Stamp {
        self.lock().now
    }

    /// Waits until the clock has passed the end of `pause`.
    pub fn sleep(&self, pause: Duration) -> Sleep<'_> {
        Sleep { time: self, until: self.now().after(pause).boot_ms, key: None }
    }

    /// Announces work whose end has to be waited for before the clock is moved.
    pub fn work(&self) -> Counted<'_> {
        let mut inner = self.lock();
        inner.counted += 1;
        inner.working += 1;
        Counted { time: self, turn: None }
    }

    /// Moves the clock, wakes everybody whose moment has come, one after the other, and waits until nothing is left to do.
    pub async fn advance(&self, to: Stamp) {
        self.settle().await;
        self.lock().now = to;
        while let Some(waker) = self.next_due() {
            waker.wake();
            self.settle().await;
        }
        self.settle().await;
    }

    /// The next moment at which somebody wants to be woken, milliseconds since boot.
    pub fn next_wake(&self) -> Option<u64> {
        self.lock().sleepers.keys().next().map(|(until, _)| *until)
    }

    /// Waits until no work is under way and no task has anything to do.
    async fn settle(&self) {
        let mut still = 0;
        let mut known = self.lock().counted;
        while still < STILL {
            if self.lock().working > 0 {
                self.rest.notified().await;
            }
            tokio::task::yield_now().await;
            let (counted, working) = {
                let inner = self.lock();
                (inner.counted, inner.working)
            };
            still = if working == 0 && counted == known { still + 1 } else { 0 };
            known = counted;
        }
    }

    fn next_due(&self) -> Option<Waker> {
        let mut inner = self.lock();
        let key = *inner.sleepers.keys().next().filter(|(until, _)| *until <= inner.now.boot_ms)?;
        inner.sleepers.remove(&key)
    }

    /// Nothing is left half done under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`VirtualTime::sleep`] gives.
#[derive(Debug)]
#[must_use = "a pause passes only when it is waited for"]
pub struct Sleep<'t> {
    time: &'t VirtualTime,
    until: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.time.lock();
        if inner.now.boot_ms >= self.until {
            return Poll::Ready(());
        }
        let key = if let Some(key) = self.key {
            key
        } else {
            inner.counted += 1;
            (self.until, inner.counted)
        };
        inner.sleepers.insert(key, context.waker().clone());
        drop(inner);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.time.lock().sleepers.remove(&key);
        }
    }
}

/// Work that was announced, until this is dropped.
#[derive(Debug)]
pub struct Counted<'t> {
    time: &'t VirtualTime,
    turn: Option<SemaphorePermit<'t>>,
}

impl Counted<'_> {
    /// Waits for its turn. The turn lasts as long as the work.
    pub async fn begin(&mut self) {
        // The semaphore is never closed.
        self.turn = self.time.turn.acquire().await.ok();
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut inner = self.time.lock();
        inner.working = inner.working.saturating_sub(1);
        if inner.working == 0 {
            self.time.rest.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
