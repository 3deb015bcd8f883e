//! Protection against loops: a machine that is stopped, started by somebody who wanted it, and stopped again.
//!
//! After a stop of its own the agent gives the machine a least time to run, and after three of them in two hours, each
//! followed by a person who came within a quarter of an hour, it waits twice as long for a day: the limits do not fit
//! how this machine is used.

use core::time::Duration;

use super::{Engine, Event, Out, Stamp};
use crate::memory::Cycle;

/// So many stops …
const CYCLES: usize = 3;
/// … within this long …
const WITHIN_MS: i64 = 2 * 60 * 60 * 1000;
/// … each followed by a person this soon …
const SOON: Duration = Duration::from_mins(15);
/// … make the agent wait twice as long for this long.
const CAREFUL_MS: i64 = 24 * 60 * 60 * 1000;
/// Older ones are forgotten.
const KEPT: usize = 8;

impl Engine {
    /// The machine is back after a stop of the agent's own.
    pub(super) fn came_back(&mut self, now: Stamp) {
        self.memory.cycles.push(Cycle { back_wall_ms: now.wall_ms, person: false });
        let surplus = self.memory.cycles.len().saturating_sub(KEPT);
        self.memory.cycles.drain(..surplus);
        self.memory.came_back = Some(now);
    }

    /// A person touched the machine.
    pub(super) fn person_seen(&mut self, now: Stamp, out: &mut Out) {
        let soon = self.memory.came_back.is_some_and(|back| now.since(back) <= SOON);
        let Some(cycle) = self.memory.cycles.last_mut().filter(|cycle| soon && !cycle.person)
        else {
            return;
        };
        cycle.person = true;
        out.dirty = true;
        if self.loop_until(now).is_some() {
            out.events.push(Event::Looping { act_after_ms: self.act_after_ms(now) });
        }
    }

    /// Until when the agent waits twice as long, in wall milliseconds since 1970. A wall clock that was set back makes
    /// that longer, never shorter than a day of it.
    pub(super) fn loop_until(&self, now: Stamp) -> Option<i64> {
        let missed = self.memory.cycles.iter().filter(|cycle| cycle.person);
        let missed: Vec<i64> = missed.map(|cycle| cycle.back_wall_ms).collect();
        let ends = missed.windows(CYCLES).filter_map(|some| {
            let (oldest, newest) = (some.first()?, some.last()?);
            let close = newest.saturating_sub(*oldest) <= WITHIN_MS;
            close.then(|| newest.saturating_add(CAREFUL_MS))
        });
        ends.max().filter(|until| now.wall_ms < *until)
    }

    /// When the least time to run after a stop of the agent's own is over.
    pub(super) fn least_run_end(&self) -> Option<Stamp> {
        self.memory.came_back.map(|back| back.after(self.policy.idle.least_run))
    }

    /// How long until the doubled time ends, for people.
    pub(super) fn loop_end(&self, now: Stamp) -> Option<Stamp> {
        let left = self.loop_until(now)?.saturating_sub(now.wall_ms);
        Some(now.after(Duration::from_millis(u64::try_from(left).unwrap_or(0))))
    }
}
