//! One subject of a source: what was read of it last, and what the next reading means.

use core::time::Duration;

use crate::policy::SourcePolicy;
use crate::reading::{Role, Stretch};
use crate::stamp::{Stamp, millis};
use crate::verdict::Judgement;
use crate::window::{Rate, RateWindow, to_f64};

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
    /// The subject's own rate …
    pub(super) window: RateWindow,
    /// … and its mean over the time in which the source's is taken.
    pub(super) mean: f64,
}

/// A connection that has been there for so long is somebody's coming. Monitoring looks in for a second.
const ARRIVED: Duration = Duration::from_mins(1);
/// The end of a job that took so long is an event that somebody waits for. What ends sooner is a loop.
const LONG_JOB: Duration = Duration::from_mins(10);

/// Something that stretches the required idle time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) by: Stretch,
    since: Stamp,
    /// It came while the source was followed, and its coming was not counted as use yet.
    new: bool,
    /// Whoever it is had been here of late: neither this coming nor its going is a use.
    again: bool,
}

/// The last raw value of a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Last {
    Counter(u64),
    Level,
    Mark(u64),
    Blocks { since: Stamp, expired: bool },
    Stretches(Presence),
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

    /// Takes in a counter: its growth, or none when it ran backwards.
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
            self.shown = Some(to_f64(growth) * policy.scale * 1000.0 / to_f64(span_ms));
        }
        Some(growth)
    }

    /// The rate of this subject alone against its own limit, after it grew by so much since the last reading. Where the
    /// limit is for all together the source's sum decides, and this tells what it consists of.
    pub(super) fn rated(
        &mut self,
        now: Stamp,
        growth: u64,
        compared_at: Stamp,
        policy: &SourcePolicy,
        limit: f64,
    ) -> Rate {
        let amount = to_f64(growth) * policy.scale;
        let span = now.since(compared_at);
        // What never did anything has nothing to remember.
        if growth == 0 && self.window.is_empty() {
            return Rate::NONE;
        }
        let rate = self.window.push(now, span, amount, policy.average, limit);
        self.shown = Some(rate.value);
        self.mean = rate.mean;
        if let Some(at) = rate.used_at {
            self.last_activity = Some(self.last_activity.map_or(at, |before| before.max(at)));
        }
        if rate.in_use {
            self.judgement = Judgement::Busy;
        }
        rate
    }

    /// Takes in what stretches the required idle time; the moment of use that it proves. Presence is no use, but the
    /// coming of a connection that stays is, and so is the end of a long job. A connection of somebody who was here of late
    /// (`again`) is renewed by a program, after a NAT dropped it or a laptop woke up for a moment: it proves nothing. Whoever
    /// uses it types or sends, which is seen by itself.
    pub(super) fn present(
        &mut self,
        now: Stamp,
        before: Option<Last>,
        by: Stretch,
        followed: bool,
        again: bool,
    ) -> Option<Stamp> {
        let ended = before.and_then(|last| last.long_job_over(now, Some(by)));
        let mut presence = match before {
            Some(Last::Stretches(known)) if known.by == by => known,
            // A terminal that goes back to its prompt is the same connection.
            Some(Last::Stretches(known)) => Presence { by, since: now, new: false, ..known },
            _ => {
                let connected = by == Stretch::Connected;
                Presence { by, since: now, new: followed && connected && !again, again }
            }
        };
        let mut used_at = ended;
        if presence.new && now.since(presence.since) >= ARRIVED {
            presence.new = false;
            used_at = Some(used_at.map_or(presence.since, |at| at.max(presence.since)));
        }
        self.last = Last::Stretches(presence);
        self.judgement = Judgement::Stretches;
        if let Some(at) = used_at {
            self.last_activity = Some(self.last_activity.map_or(at, |before| before.max(at)));
        }
        used_at
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

    /// Whether it counts only once its own mean is above its limit.
    pub(super) fn is_averaged(&self) -> bool {
        matches!(self.role, Role::Upkeep | Role::Unexplained)
    }

    /// Whether it keeps the machine up: a block that counts and has not outlived its cap.
    pub(super) fn blocks(&self) -> bool {
        self.role != Role::Ignored && matches!(self.last, Last::Blocks { expired: false, .. })
    }

    /// Whether what blocked before is over: the subject shows something else now, or counts no more. One that only outlived
    /// its cap is still there. Its cap ends the waiting and proves nothing: neither use until then nor that nobody uses
    /// what runs, whose processor time and bytes other sources go on counting.
    pub(super) fn stopped_blocking(&self) -> bool {
        self.role == Role::Ignored || !matches!(self.last, Last::Blocks { .. })
    }

    /// Takes in a block; whether it outlived its cap.
    pub(super) fn blocked(&mut self, now: Stamp, before: Option<Last>, cap_ms: u64) -> bool {
        let since = match before {
            Some(Last::Blocks { since, .. }) => since,
            _ => now,
        };
        // What was frozen with the machine did not wait.
        let expired = millis(now.awake_since(since)) >= cap_ms;
        self.last = Last::Blocks { since, expired };
        self.judgement = if expired { Judgement::Ignored } else { Judgement::Blocks };
        expired
    }
}

impl Last {
    /// The moment of use that the end of a subject proves. Who logs out, hangs up or loses the connection was there until
    /// now, silent as they were, and may be back in a minute. What looked in for some seconds proves nothing. What blocked
    /// was work until now, however short: a set-up, an upgrade, a job that was waited for. Somebody waits for its end, and
    /// has the whole idle time after it. A block that outlived its cap was reported and counts no more, so its end says
    /// nothing either.
    pub(super) fn left(self, now: Stamp) -> Option<Stamp> {
        if let Self::Blocks { expired, .. } = self {
            return (!expired).then_some(now);
        }
        let Self::Stretches(presence) = self else { return None };
        let stayed = now.since(presence.since) >= ARRIVED;
        let hung_up = presence.by == Stretch::Connected && stayed && !presence.again;
        hung_up.then_some(now).or_else(|| self.long_job_over(now, None))
    }

    /// The moment at which a long job is seen to be over: its subject went, or shows something else now.
    pub(super) fn long_job_over(self, now: Stamp, shows: Option<Stretch>) -> Option<Stamp> {
        let Self::Stretches(presence) = self else { return None };
        let long = now.since(presence.since) >= LONG_JOB;
        (presence.by == Stretch::Job && shows != Some(Stretch::Job) && long).then_some(now)
    }
}
