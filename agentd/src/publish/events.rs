//! The last events, numbered, for those who ask what happened.

use std::collections::VecDeque;

use agent_core::reason::Event;
use agent_core::stamp::Stamp;
use agent_proto::limits::EVENTS_KEPT;

/// One event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Counts up from 1 since the agent was started.
    pub seq: u64,
    /// When.
    pub at: Stamp,
    /// What.
    pub event: Event,
}

/// The last [`EVENTS_KEPT`] events.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    kept: VecDeque<EventRecord>,
    latest: u64,
}

impl Ring {
    /// Appends an event, forgets the oldest where there are too many, and returns the new number.
    pub fn push(&mut self, at: Stamp, event: Event) -> u64 {
        self.latest += 1;
        if self.kept.len() >= EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(EventRecord { seq: self.latest, at, event });
        self.latest
    }

    /// The number of the latest event, 0 before the first.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// At most `most` kept events behind number `after`, the oldest first, and how many behind `after` are forgotten.
    ///
    /// A number that was never given out comes from an earlier run of the agent, so everything is new to its owner.
    pub fn after(&self, after: u64, most: usize) -> (u64, Vec<EventRecord>) {
        let after = if after > self.latest { 0 } else { after };
        let oldest = self.kept.front().map_or(self.latest + 1, |record| record.seq);
        let missed = oldest.saturating_sub(after.saturating_add(1));
        let skip = usize::try_from((after + 1).saturating_sub(oldest)).unwrap_or(usize::MAX);
        (missed, self.kept.iter().skip(skip).take(most).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(count: usize) -> Ring {
        let mut ring = Ring::default();
        for _ in 0..count {
            ring.push(Stamp::default(), Event::PolicyChanged);
        }
        ring
    }

    fn numbers(ring: &Ring, after: u64, most: usize) -> (u64, Vec<u64>) {
        let (missed, records) = ring.after(after, most);
        (missed, records.iter().map(|record| record.seq).collect())
    }

    #[test]
    fn continuing_behind_a_number_gives_each_event_once() {
        let ring = ring(5);
        assert_eq!(numbers(&ring, 0, 100), (0, vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers(&ring, 3, 100), (0, vec![4, 5]));
        assert_eq!(numbers(&ring, 5, 100), (0, vec![]));
        assert_eq!(numbers(&ring, 1, 2), (0, vec![2, 3]));
    }

    #[test]
    fn an_empty_ring_gives_nothing() {
        assert_eq!(numbers(&ring(0), 0, 100), (0, vec![]));
        assert_eq!(numbers(&ring(0), 7, 100), (0, vec![]));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let ring = ring(EVENTS_KEPT + 25);
        let (missed, records) = ring.after(5, usize::MAX);
        assert_eq!(missed, 20);
        assert_eq!(records.len(), EVENTS_KEPT);
        assert_eq!(records[0].seq, 26);
    }

    #[test]
    fn a_number_of_an_earlier_run_starts_over() {
        assert_eq!(numbers(&ring(3), 900, 100), (0, vec![1, 2, 3]));
        assert_eq!(numbers(&ring(3), u64::MAX, 100), (0, vec![1, 2, 3]));
    }
}
