//! Who may be connected: seats with limits, and newcomers before loiterers.
//!
//! A connection that waits for a request, or dribbles one in, is expendable: when seats are short the one that has
//! waited longest gives way to a newcomer. A connection whose request is being answered is never closed. So a thousand
//! idle connections cost the same user its idle connections, and nobody an answer.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use agent_proto::limits;
use tokio::sync::oneshot;

use super::Limits;
use super::rate::Bucket;

/// Users whose budgets are remembered before those who did nothing lately are forgotten.
const REMEMBERED: usize = 128;

/// What all connections of one user share.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The user's request budget.
    pub(crate) bucket: Bucket,
    /// The user's event streams.
    pub(crate) streams: AtomicUsize,
}

/// Whether a connection is expendable: 0 while a request is being answered, else one more than the milliseconds of the
/// server's clock at which it began to wait.
#[derive(Debug)]
pub(crate) struct Waiting(AtomicU64);

impl Waiting {
    fn since(now: Duration) -> Self {
        Self(AtomicU64::new(mark(now)))
    }

    /// A request is being answered.
    pub(crate) fn answer(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The request was answered.
    pub(crate) fn wait(&self, now: Duration) {
        self.0.store(mark(now), Ordering::Relaxed);
    }
}

fn mark(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
}

#[derive(Debug)]
struct Seat {
    uid: u32,
    waiting: Arc<Waiting>,
    /// Dropped with the seat, which ends the connection.
    _stay: oneshot::Sender<()>,
}

/// A newcomer's seat.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The seat's number, for [`Gate::leave`].
    pub(crate) id: u64,
    /// What the user's connections share.
    pub(crate) share: Arc<Share>,
    /// How the connection says whether it is expendable.
    pub(crate) waiting: Arc<Waiting>,
    /// Ends when the seat is taken away.
    pub(crate) evicted: oneshot::Receiver<()>,
}

/// All seats. The accept loop owns it.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    seats: HashMap<u64, Seat>,
    shares: HashMap<u32, Arc<Share>>,
    next: u64,
}

impl Gate {
    /// No one is seated.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, seats: HashMap::new(), shares: HashMap::new(), next: 0 }
    }

    /// Seats a newcomer, where necessary in the place of a connection that waits. `None`: every seat that could be
    /// freed for this user is answering a request.
    pub(crate) fn admit(&mut self, uid: u32, now: Duration) -> Option<Admitted> {
        if !self.make_room(uid) {
            return None;
        }
        self.forget_idle_users(now);
        let (stay, evicted) = oneshot::channel();
        let waiting = Arc::new(Waiting::since(now));
        self.next += 1;
        let seat = Seat { uid, waiting: Arc::clone(&waiting), _stay: stay };
        self.seats.insert(self.next, seat);
        let share = Arc::clone(self.shares.entry(uid).or_default());
        Some(Admitted { id: self.next, share, waiting, evicted })
    }

    /// A connection ended.
    pub(crate) fn leave(&mut self, id: u64) {
        self.seats.remove(&id);
    }

    fn make_room(&mut self, uid: u32) -> bool {
        let root = uid == 0;
        let own = self.seats.values().filter(|seat| seat.uid == uid).count();
        if !root && own >= self.limits.per_user {
            return self.evict(Some(uid));
        }
        let (taken, seats) = if root {
            (self.seats.len(), self.limits.connections)
        } else {
            let others = self.seats.values().filter(|seat| seat.uid != 0).count();
            (others, self.limits.connections.saturating_sub(self.limits.root_reserve))
        };
        taken < seats || self.evict((!root).then(|| self.largest_user()).flatten())
    }

    /// The ordinary user with the most connections.
    fn largest_user(&self) -> Option<u32> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for seat in self.seats.values().filter(|seat| seat.uid != 0) {
            *counts.entry(seat.uid).or_default() += 1;
        }
        counts.into_iter().max_by_key(|&(uid, count)| (count, uid)).map(|(uid, _)| uid)
    }

    /// Takes the seat of the connection that has waited longest, of one user or of anybody.
    fn evict(&mut self, uid: Option<u32>) -> bool {
        let longest = self
            .seats
            .iter()
            .filter(|(_, seat)| uid.is_none_or(|uid| seat.uid == uid))
            .map(|(id, seat)| (seat.waiting.0.load(Ordering::Relaxed), *id))
            .filter(|(since, _)| *since != 0)
            .min();
        longest.is_some_and(|(_, id)| self.seats.remove(&id).is_some())
    }

    fn forget_idle_users(&mut self, now: Duration) {
        if self.shares.len() >= REMEMBERED {
            self.shares
                .retain(|_, share| Arc::strong_count(share) > 1 || share.bucket.is_used(now));
        }
    }
}

/// The right to one event stream. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    all: Arc<AtomicUsize>,
    share: Arc<Share>,
}

impl StreamPermit {
    /// A permit, unless too many streams are open, of the user or in all. A quarter of all is kept for root.
    pub(crate) fn take(all: &Arc<AtomicUsize>, share: &Arc<Share>, uid: u32) -> Option<Self> {
        let (own, total) = if uid == 0 {
            (limits::STREAMS, limits::STREAMS)
        } else {
            (limits::STREAMS_PER_USER, limits::STREAMS - limits::STREAMS / 4)
        };
        if share.streams.load(Ordering::Relaxed) >= own || all.load(Ordering::Relaxed) >= total {
            return None;
        }
        all.fetch_add(1, Ordering::Relaxed);
        share.streams.fetch_add(1, Ordering::Relaxed);
        Some(Self { all: Arc::clone(all), share: Arc::clone(share) })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.share.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn is_out(seat: &mut Admitted) -> bool {
        !matches!(seat.evicted.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    fn fill(gate: &mut Gate, uid: u32, count: u64, busy: bool) -> Vec<Admitted> {
        (0..count)
            .map(|n| {
                let seat = gate.admit(uid, at(n)).unwrap();
                if busy {
                    seat.waiting.answer();
                }
                seat
            })
            .collect()
    }

    #[test]
    fn a_user_with_all_seats_taken_loses_the_one_that_waited_longest() {
        let mut gate = Gate::new(Limits::default());
        let mut seats = fill(&mut gate, 1000, 16, false);
        let mut last = gate.admit(1000, at(99)).unwrap();
        assert!(is_out(&mut seats[0]));
        assert!(!is_out(&mut seats[1]) && !is_out(&mut last));
    }

    #[test]
    fn a_connection_that_is_being_answered_is_never_closed() {
        let mut gate = Gate::new(Limits::default());
        let mut seats = fill(&mut gate, 1000, 16, true);
        assert!(gate.admit(1000, at(99)).is_none());
        seats[3].waiting.wait(at(100));
        assert!(gate.admit(1000, at(101)).is_some());
        assert!(is_out(&mut seats[3]));
        assert!(!is_out(&mut seats[0]));
    }

    #[test]
    fn users_cannot_take_the_seats_of_root() {
        let mut gate = Gate::new(Limits::default());
        let mut kept = Vec::new();
        for uid in 1000..1004 {
            for _ in 0..16 {
                if let Some(seat) = gate.admit(uid, at(1)) {
                    seat.waiting.answer();
                    kept.push(seat);
                }
            }
        }
        assert_eq!(kept.len(), 56);
        assert_eq!(fill(&mut gate, 0, 8, true).len(), 8);
        assert!(gate.admit(0, at(2)).is_none(), "everything is being answered");
    }

    #[test]
    fn a_thousand_idle_connections_of_root_do_not_shut_root_out() {
        let mut gate = Gate::new(Limits::default());
        let seats = fill(&mut gate, 0, 1_000, false);
        assert_eq!(gate.seats.len(), 64);
        assert!(gate.admit(0, at(2_000)).is_some());
        drop(seats);
    }

    #[test]
    fn the_largest_user_makes_room_for_the_others() {
        let mut gate = Gate::new(Limits::default());
        let mut large = fill(&mut gate, 1000, 16, false);
        for uid in 1001..1011 {
            fill(&mut gate, uid, 4, false);
        }
        assert!(gate.admit(2000, at(50)).is_some());
        assert!(is_out(&mut large[0]));
    }

    #[test]
    fn who_left_makes_room() {
        let mut gate = Gate::new(Limits::default());
        let seats = fill(&mut gate, 1000, 16, true);
        gate.leave(seats[5].id);
        assert!(gate.admit(1000, at(9)).is_some());
    }

    #[test]
    fn budgets_outlive_connections_but_not_for_ever() {
        let mut gate = Gate::new(Limits::default());
        let first = gate.admit(1000, at(0)).unwrap();
        first.share.bucket.take(at(0), 20, 40).unwrap();
        gate.leave(first.id);
        let again = gate.admit(1000, at(1)).unwrap();
        assert!(Arc::ptr_eq(&first.share, &again.share));
        drop((first, again));
        for uid in 2000..3000 {
            let seat = gate.admit(uid, at(60_000)).unwrap();
            gate.leave(seat.id);
        }
        assert!(gate.shares.len() <= REMEMBERED, "{}", gate.shares.len());
    }

    #[test]
    fn streams_are_few_and_given_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let take = |share: &Arc<Share>, uid| StreamPermit::take(&all, share, uid);
        let (alice, bob, root) = <(Arc<Share>, Arc<Share>, Arc<Share>)>::default();
        let of_alice: Vec<_> = (0..4).map(|_| take(&alice, 1000).unwrap()).collect();
        assert!(take(&alice, 1000).is_none());
        let _of_bob = [take(&bob, 1001).unwrap(), take(&bob, 1001).unwrap()];
        assert!(take(&bob, 1001).is_none(), "the rest is for root");
        let _of_root = [take(&root, 0).unwrap(), take(&root, 0).unwrap()];
        assert!(take(&root, 0).is_none());
        drop(of_alice);
        assert!(take(&bob, 1001).is_some());
    }
}
