//! Time as the engine sees it: gaps, resumes, blindness, and the idle clock.
//!
//! The idle clock counts only time in which every enabled source was known. A short blindness makes it stand still, a
//! long one, a gap, a resume or a reboot starts it again.

use core::time::Duration;

use super::{CallState, Engine, Event, Out, Phase, Power, SourceName, Stamp, UseView, millis};
use crate::hold::Hold;
use crate::verdict::Cause;

/// Sleep that is shorter than this is the jitter between reading two clocks.
pub(super) const SLEPT_MS: u64 = 1000;
/// The clocks and logind tell of the same resume within this time.
const SAME_RESUME: Duration = Duration::from_mins(1);

impl Engine {
    /// Moves the idle clock up to `now`; a clock that ran backwards is held, and what was idle is so no more.
    pub(super) fn advance_clock(&mut self, now: Stamp, out: &mut Out) -> Stamp {
        if now.boot_ms < self.last.boot_ms {
            if !self.ran_back {
                let back = self.last.boot_ms - now.boot_ms;
                let what = format!("CLOCK_BOOTTIME went back by {back} ms");
                out.events.push(Event::Unexpected { what });
            }
            self.ran_back = true;
            self.forget_idleness();
            return self.last;
        }
        let span = now.since(self.last);
        let slept = now.asleep_ms.saturating_sub(self.last.asleep_ms);
        self.last = now;
        self.ran_back = false;
        if slept >= SLEPT_MS {
            self.restart(now, slept.max(millis(span)), true, out);
        } else if span > self.policy.gap {
            self.restart(now, millis(span), false, out);
        } else if self.blind_from.is_none() {
            self.quiet_ms = self.quiet_ms.saturating_add(millis(span));
        }
        now
    }

    /// The kernel or logind told of a resume. The clocks may have shown it already.
    pub(super) fn resumed(&mut self, now: Stamp, out: &mut Out) {
        let known = self.resumed_at.is_some_and(|at| now.since(at) < SAME_RESUME);
        if !known || self.is_hibernating() {
            // The gap that the sleep left was noticed before logind said what it was.
            let gap = self.last_gap.filter(|(at, _)| now.since(*at) < SAME_RESUME);
            self.restart(now, gap.map_or(0, |(_, away_ms)| away_ms), true, out);
        }
    }

    /// Every window begins anew: the machine was resumed, or nobody looked for a while.
    fn restart(&mut self, now: Stamp, away_ms: u64, resumed: bool, out: &mut Out) {
        self.forget_idleness();
        self.keeper = None;
        self.blind_from = Some(now);
        for track in self.tracks.values_mut() {
            track.restart(now);
        }
        if !resumed {
            self.last_gap = Some((now, away_ms));
            out.events.push(Event::Gap { away_ms });
            return;
        }
        self.resumed_at = Some(now);
        self.alerts_resumed(now, out);
        if self.is_hibernating() {
            self.was_hibernated(now, away_ms, out);
        } else {
            out.events.push(Event::Resumed { away_ms });
        }
    }

    /// The machine came back from the hibernation that was asked for.
    pub(super) fn was_hibernated(&mut self, now: Stamp, slept_ms: u64, out: &mut Out) {
        self.came_back(now);
        out.events.push(Event::Hibernated { slept_ms });
        let detail = match slept_ms {
            0 => "it came back with its memory".to_owned(),
            ms => format!("slept for {}", super::words::span_ms(ms)),
        };
        self.close_intent(now, "hibernated", detail, out);
        self.memory.failures = 0;
    }

    /// Whether a hibernation was asked for and may be under way.
    fn is_hibernating(&self) -> bool {
        matches!(self.phase, Phase::Verifying { .. } | Phase::Calling { .. })
            && self.memory.intent.as_ref().is_some_and(|intent| {
                intent.power == Power::Hibernate && intent.call != CallState::NotSent
            })
    }

    /// Whatever was idle may have been used meanwhile.
    pub(super) fn forget_idleness(&mut self) {
        self.quiet_ms = 0;
        self.used = true;
        self.quiet_told = false;
        self.would_act_told = false;
        self.last_use = None;
    }

    /// The machine was used at `at`. A mean that still tells of an old use is nothing new.
    pub(super) fn note_use(&mut self, now: Stamp, at: Stamp, source: SourceName) {
        self.quiet_ms = self.quiet_ms.min(millis(now.since(at)));
        if self.last_use_at.is_some_and(|known| at.boot_ms <= known.boot_ms) {
            return;
        }
        self.last_use_at = Some(at);
        self.used = true;
        self.quiet_told = false;
        self.would_act_told = false;
        self.last_seen = Some(self.use_view(at, &source));
        self.last_use = Some(source);
    }

    /// Notices what changes without an input: stale sources, long blindness, holds that end, refusals that expire.
    pub(super) fn look_around(&mut self, now: Stamp, out: &mut Out) {
        let mut unknown_ms = 0;
        for (name, track) in &mut self.tracks {
            if let Some(ms) = track.expire(now) {
                unknown_ms = unknown_ms.max(ms);
                let why = track.detail().unwrap_or_default().to_owned();
                out.events.push(Event::SourceBlind { source: name.to_string(), why });
            }
        }
        self.survey();
        self.weigh_blindness(now, unknown_ms);
        let expired = self.memory.holds.expire(now);
        self.holds_ended(now, &expired, "expired", out);
        self.tag_hold_ended(now);
        if self.memory.refusals.iter().any(|s| s.until.boot_ms <= now.boot_ms) {
            self.memory.refusals.retain(|s| s.until.boot_ms > now.boot_ms);
            out.dirty = true;
        }
    }

    /// Holds ended, `how` says in what way. Until now somebody wanted the machine, so the idle time begins anew: who made a
    /// hold for the night finds the machine in the morning, and has the whole time to come.
    pub(super) fn holds_ended(&mut self, now: Stamp, holds: &[Hold], how: &str, out: &mut Out) {
        for hold in holds {
            out.hold_ended(hold, how);
            self.was_held(now, format!("hold {}", hold.id), Some(hold.owner.clone()));
        }
    }

    /// Somebody held the machine up until now, which is the last moment of use.
    pub(super) fn was_held(&mut self, now: Stamp, subject: String, owner: Option<String>) {
        self.forget_idleness();
        let source = SourceName::new("hold");
        let cause = Cause { subject: Some(subject), owner, ..Cause::default() };
        let text = super::words::used(&source, &cause, "");
        self.last_seen = Some(UseView { source, cause, unit: String::new(), text, at: now });
    }

    /// The idle clock stands still while something is unknown, which it was `unknown_ms` before that was noticed.
    fn weigh_blindness(&mut self, now: Stamp, unknown_ms: u64) {
        if self.seen.blind && self.blind_from.is_none() {
            self.blind_from = Some(now.before(Duration::from_millis(unknown_ms)));
            self.quiet_ms = self.quiet_ms.saturating_sub(unknown_ms);
        }
        let Some(from) = self.blind_from else { return };
        if now.since(from) > self.longest_pause() && self.quiet_ms > 0 {
            self.forget_idleness();
        }
        if !self.seen.blind {
            self.blind_from = None;
        }
    }

    /// For how long the idle clock may stand still before it begins anew: a gap, or the time that counters need for two
    /// readings after they were forgotten.
    fn longest_pause(&self) -> Duration {
        if self.seen.fault {
            return self.policy.gap;
        }
        self.policy.gap.max(self.settling_time())
    }
}
