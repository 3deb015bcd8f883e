//! One subject of a source: what was read of it last, and what the next reading means.

use core::time::Duration;

use crate::policy::SourcePolicy;
use crate::reading::Role;
use crate::stamp::{Stamp, millis};
use crate::verdict::Judgement;
use crate::window::to_f64;

/// What is remembered of one subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    pub(super) owner: Option<String>,
    pub(super) role: Role,
    pub(super) last: Last,
    pub(super) shown: Option<f64>,
    pub(super) judgement: Judgement,
    pub(super) last_activity: Option<Stamp>,
    pub(super) generation: u64,
}

/// The last raw value of a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Last {
    Counter(u64),
    Level,
    Mark(u64),
    Blocks { since: Stamp, expired: bool },
    Shown,
}

impl Subject {
    fn used(&mut self, at: Stamp) {
        self.judgement = Judgement::Busy;
        self.last_activity = Some(self.last_activity.map_or(at, |before| before.max(at)));
    }

    pub(super) fn levelled(&mut self, now: Stamp, value: f64, busy: bool) {
        self.last = Last::Level;
        self.shown = Some(value);
        if busy {
            self.used(now);
        }
    }

    /// Takes in a counter: its growth, or none when it ran backwards. The source's sum decides; the rate of the single
    /// subject is for `why`.
    pub(super) fn counted(
        &mut self,
        now: Stamp,
        old: Option<u64>,
        total: u64,
        compared_at: Option<Stamp>,
        policy: &SourcePolicy,
    ) -> Option<u64> {
        self.last = Last::Counter(total);
        let growth = total.checked_sub(old.unwrap_or(total))?;
        let span_ms = compared_at.map_or(0, |at| millis(now.since(at)));
        if span_ms > 0 {
            let rate = to_f64(growth) * policy.scale * 1000.0 / to_f64(span_ms);
            self.shown = Some(rate);
            if rate >= policy.busy_above {
                self.used(now);
            }
        }
        Some(growth)
    }

    /// A changed mark is use. So is a mark that appears while the source is followed: somebody opened a terminal.
    pub(super) fn marked(
        &mut self,
        now: Stamp,
        old: Option<u64>,
        mark: u64,
        age_ms: Option<u64>,
        followed: bool,
    ) {
        self.last = Last::Mark(mark);
        if old.map_or(followed, |old| old != mark) {
            self.used(now);
        } else if self.last_activity.is_none() {
            self.last_activity = Some(now.before(Duration::from_millis(age_ms.unwrap_or(0))));
        }
    }

    /// Takes in a block; whether it outlived its cap.
    pub(super) fn blocked(&mut self, now: Stamp, before: Option<Last>, cap_ms: u64) -> bool {
        let since = match before {
            Some(Last::Blocks { since, .. }) => since,
            _ => now,
        };
        let expired = millis(now.since(since)) >= cap_ms;
        self.last = Last::Blocks { since, expired };
        self.judgement = if expired { Judgement::Ignored } else { Judgement::Blocks };
        expired
    }
}
