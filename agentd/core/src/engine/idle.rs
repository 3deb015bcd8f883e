//! The way to an action: watching → warned → due, and what stands in it.
//!
//! Every transition is total: what cannot happen keeps the phase. Any use, hold, block or blindness before the call is
//! accepted leads back to watching.

use core::time::Duration;

use super::interrupted::standby::NO_ANSWER;
use super::{ActionKind, Engine, Event, Key, Mode, Origin, Out, Stage, Stamp, millis};
use crate::action::Warning;

/// A recheck that takes longer than this is given up.
pub(super) const RECHECK_LIMIT: Duration = Duration::from_secs(30);
/// What an administrator asked for is not carried out later than this.
const OPERATOR_LIMIT: Duration = Duration::from_mins(30);

/// Where the engine is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// No action is under way.
    Watching,
    /// Only observing, and it would have acted.
    WouldAct,
    /// People were warned.
    Warned { act_at: Stamp, told: Duration },
    /// Every source is being read once more.
    Rechecking { key: Key, asked: Stamp },
    /// The pre-stop hook runs.
    Draining { key: Key },
    /// After the hook, or after a restart: the counters are read anew until then.
    Settling { until: Stamp },
    /// The Auto Scaling group is asked to do without the instance.
    Standing { key: Key, since: Stamp },
    /// The call is under way.
    Calling { key: Key, attempt: u32, not_ready_since: Option<Stamp> },
    /// The call is tried again then.
    Waiting { until: Stamp, attempt: u32, not_ready_since: Option<Stamp> },
    /// The machine should go down.
    Verifying { since: Stamp, accepted: bool, look_at: Stamp, looks: u32, looking: Option<Key> },
}

/// Why no action is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// EC2 or the group takes the machine away: its time is not shortened.
    Interrupted,
    /// A source is unknown.
    Blind,
    /// A source blocks.
    Blocked,
    /// Somebody holds the machine up.
    Held,
    /// Used, or away or unknown for long, since the countdown began.
    Used,
    Grace,
    /// EC2 or the instance cannot.
    Unable,
    Configuration,
    /// Not idle for long enough.
    TooShort,
    /// An administrator asked for it too long ago, or before the machine was resumed.
    TooOld,
}

impl Engine {
    /// Moves the stages on.
    pub(super) fn advance(&mut self, now: Stamp, out: &mut Out) {
        match self.phase.clone() {
            Phase::Watching => self.watch(now, out),
            Phase::WouldAct => self.observe_on(now, out),
            Phase::Warned { act_at, told } => self.warned(now, act_at, told, out),
            Phase::Rechecking { asked, .. } => {
                if let Some(barrier) = self.barrier(now, now) {
                    self.call_off_for(now, barrier, out);
                } else if now.since(asked) >= RECHECK_LIMIT {
                    let because = "the sources could not be read again in time".to_owned();
                    self.call_off(now, because, out);
                }
            }
            Phase::Settling { until } => {
                let barrier = self.barrier(now, now);
                if now.boot_ms >= until.boot_ms {
                    self.recheck(now, out);
                } else if let Some(barrier) = barrier.filter(|b| !b.passes_while_settling()) {
                    self.call_off_for(now, barrier, out);
                }
            }
            Phase::Waiting { until, .. } => {
                if let Some(barrier) = self.barrier(now, now) {
                    self.call_off_for(now, barrier, out);
                } else if now.boot_ms >= until.boot_ms {
                    self.recheck(now, out);
                }
            }
            Phase::Verifying { accepted, look_at, looks, looking, since } => {
                if looking.is_none() && now.boot_ms >= look_at.boot_ms {
                    let looking = Some(self.request(ActionKind::Describe, out));
                    let looks = looks.saturating_add(1);
                    self.phase = Phase::Verifying { since, accepted, look_at, looks, looking };
                }
            }
            Phase::Standing { since, .. } => {
                if let Some(barrier) = self.barrier(now, now) {
                    self.call_off_for(now, barrier, out);
                } else if now.awake_since(since) >= NO_ANSWER {
                    self.call_off(now, "Auto Scaling gave no answer".to_owned(), out);
                }
            }
            Phase::Calling { key, .. } => self.reconsider(now, key, out),
            Phase::Draining { .. } => {}
        }
    }

    /// When the action is due if nothing changes; none while something keeps the machine up for an unknown time.
    pub(super) fn due(&self, now: Stamp) -> Option<Stamp> {
        self.power()?;
        let others = self.interruption().is_some() || self.is_entering_standby();
        if self.seen.blind || self.seen.block || others {
            return None;
        }
        let needed = self.act_after_ms(now);
        // The idle time begins anew at the end of a hold.
        let counted = match self.standing_hold() {
            Some(end) => end.after(Duration::from_millis(needed)),
            None => self.last.after(Duration::from_millis(needed.saturating_sub(self.quiet_ms))),
        };
        let due = counted.max(self.pause_until);
        Some(self.grace_end(now).map_or(due, |end| due.max(end)))
    }

    /// The end of the last hold that still stands, of people or of the tags.
    pub(super) fn standing_hold(&self) -> Option<Stamp> {
        self.held_until().filter(|end| end.boot_ms > self.last.boot_ms)
    }

    /// When the grace after boot or resume ends, while it lasts.
    pub(super) fn grace_end(&self, now: Stamp) -> Option<Stamp> {
        let idle = &self.policy.idle;
        let boot = now.before(now.boot()).after(idle.boot_grace);
        let resume = self.resumed_at.map(|at| at.after(idle.resume_grace));
        let end = boot.max(resume.unwrap_or(boot)).max(self.least_run_end().unwrap_or(boot));
        (end.boot_ms > now.boot_ms).then_some(end)
    }

    /// The first thing that forbids an action at `at`.
    pub(super) fn barrier(&self, now: Stamp, at: Stamp) -> Option<Barrier> {
        if self.interruption().is_some() {
            return Some(Barrier::Interrupted);
        }
        if self.seen.block {
            return Some(Barrier::Blocked);
        }
        if self.held_until().is_some_and(|until| until.boot_ms > at.boot_ms) {
            return Some(Barrier::Held);
        }
        if self.mode() != Mode::Enforce {
            return Some(Barrier::Configuration);
        }
        if let Some(intent) = self.memory.intent.as_ref().filter(|i| i.origin == Origin::Operator) {
            let asked = intent.since;
            let resumed = self.resumed_at.is_some_and(|at| at.boot_ms > asked.boot_ms);
            let too_old = resumed || now.since(asked) > OPERATOR_LIMIT;
            return too_old.then_some(Barrier::TooOld);
        }
        let counted_ms = self.quiet_ms.saturating_add(millis(at.since(self.last)));
        if self.used {
            Some(Barrier::Used)
        } else if self.seen.blind {
            Some(Barrier::Blind)
        } else if self.grace_end(now).is_some_and(|end| end.boot_ms > at.boot_ms) {
            Some(Barrier::Grace)
        } else if !self.policy.idle.enabled || self.policy.idle.action.is_none() {
            Some(Barrier::Configuration)
        } else if self.power().is_none() {
            Some(Barrier::Unable)
        } else if counted_ms < self.act_after_ms(now) {
            Some(Barrier::TooShort)
        } else {
            None
        }
    }

    fn watch(&mut self, now: Stamp, out: &mut Out) {
        self.tell_stage(now, out);
        let Some(due) = self.due(now) else { return };
        let is_due = now.boot_ms >= due.boot_ms;
        if self.mode() == Mode::Observe {
            if is_due {
                self.would_act(now, out);
            }
            return;
        }
        // The time after a hold is whole, and so is the notice in it.
        if self.standing_hold().is_some() {
            return;
        }
        let lead = self.lead();
        if lead.is_zero() {
            if is_due {
                self.used = false;
                self.begin(now, Origin::Idle, out);
            }
        } else if now.after(lead).boot_ms >= due.boot_ms {
            let act_at = due.max(now.after(self.least_notice()));
            self.used = false;
            self.warn(now, act_at, out);
        }
    }

    /// Only observing: says once in an idle period what would be done.
    fn would_act(&mut self, now: Stamp, out: &mut Out) {
        self.phase = Phase::WouldAct;
        self.used = false;
        if self.would_act_told {
            return;
        }
        let Some(power) = self.power() else { return };
        self.would_act_told = true;
        let because = self.because(now);
        out.events.push(Event::WouldAct { power, because: because.clone() });
        self.conclude(now, power, "would-act", because, out);
    }

    /// Tells once that the machine became quiet, and once that it is used again.
    fn tell_stage(&mut self, now: Stamp, out: &mut Out) {
        let quiet_after_ms = millis(self.policy.idle.quiet_after).max(1);
        let quiet = self.quiet_ms >= quiet_after_ms && self.blind_from.is_none();
        if quiet && !self.quiet_told {
            self.quiet_told = true;
            let act_at_wall_ms = self.act_at(now).map(|at| at.wall_ms);
            out.events.push(Event::BecameQuiet { because: self.because(now), act_at_wall_ms });
        } else if self.used
            && self.was_quiet()
            && let Some(because) = self.use_text()
        {
            out.events.push(Event::BecameActive { because });
        }
        self.used = false;
    }

    /// Whether people were shown that nobody uses the machine.
    fn was_quiet(&self) -> bool {
        matches!(self.stage, Stage::Quiet | Stage::WouldAct | Stage::Refused)
    }

    fn observe_on(&mut self, now: Stamp, out: &mut Out) {
        let still = !self.used && self.due(now).is_some_and(|due| due.boot_ms <= now.boot_ms);
        if !still || self.mode() == Mode::Enforce {
            self.phase = Phase::Watching;
            self.tell_stage(now, out);
        }
    }

    fn warned(&mut self, now: Stamp, act_at: Stamp, told: Duration, out: &mut Out) {
        if let Some(barrier) = self.barrier(now, act_at) {
            self.call_off_for(now, barrier, out);
        } else if now.boot_ms >= act_at.boot_ms {
            self.begin(now, Origin::Idle, out);
        } else {
            let left = act_at.since(now);
            let next = self.policy.idle.warn_before.iter().find(|w| **w < told && **w >= left);
            if next.is_some() {
                self.warn(now, act_at, out);
            }
        }
    }

    /// Warns people of an action at `act_at`.
    fn warn(&mut self, now: Stamp, act_at: Stamp, out: &mut Out) {
        let Some(power) = self.power() else { return };
        let told = act_at.since(now);
        let because = self.because(now);
        let in_ms = millis(told);
        out.events.push(Event::Warned { power, in_ms, because: because.clone() });
        let warning = Warning { power, in_ms, at_wall_ms: act_at.wall_ms, because };
        self.request(ActionKind::Warn(warning), out);
        // The smallest threshold that this warning covers: only later ones are still to come.
        let covered = self.policy.idle.warn_before.iter().filter(|w| **w >= told).min();
        self.phase = Phase::Warned { act_at, told: covered.copied().unwrap_or(told) };
    }
}

impl Barrier {
    /// Counters need a second reading, preflight its answer, and a clock that was restored its last seconds.
    fn passes_while_settling(self) -> bool {
        matches!(self, Self::Blind | Self::Unable | Self::TooShort)
    }
}
