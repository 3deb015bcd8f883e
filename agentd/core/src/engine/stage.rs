//! The stage for people, and when the engine wants to be called again.

use core::time::Duration;

use super::idle::RECHECK_LIMIT;
use super::{Engine, Mode, Phase, Stage, Stamp, millis};

/// The engine is called at least this often.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// And at most this often for nothing.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// When the engine wants to be called again.
    pub(super) fn wake_at(&self, now: Stamp) -> Stamp {
        // Two calls within a gap: a late one must not look like one.
        let heartbeat = HEARTBEAT.min(self.policy.gap / 2).max(LEAST_PAUSE);
        let mut wake = now.after(heartbeat);
        let mut sooner = |at: Option<Stamp>| {
            if let Some(at) = at
                && at.boot_ms > now.boot_ms
                && at.boot_ms < wake.boot_ms
            {
                wake = at;
            }
        };
        sooner(self.memory.holds.next_end());
        sooner(self.grace_end(now));
        sooner(self.tag_wake());
        for at in self.interruption_wakes() {
            sooner(Some(at));
        }
        sooner((self.mode() == Mode::Enforce).then_some(self.preflight.next()));
        match &self.phase {
            Phase::Watching | Phase::WouldAct => {
                let due = self.due(now);
                sooner(due);
                sooner(due.map(|at| at.before(self.lead())));
                let quiet = millis(self.policy.idle.quiet_after).saturating_sub(self.quiet_ms);
                sooner(Some(now.after(Duration::from_millis(quiet))));
            }
            Phase::Warned { act_at, .. } => {
                sooner(Some(*act_at));
                for before in &self.policy.idle.warn_before {
                    sooner(Some(act_at.before(*before)));
                }
            }
            Phase::Settling { until } | Phase::Waiting { until, .. } => sooner(Some(*until)),
            Phase::Verifying { look_at, .. } => sooner(Some(*look_at)),
            Phase::Rechecking { asked, .. } => sooner(Some(asked.after(RECHECK_LIMIT))),
            Phase::Draining { .. } | Phase::Standing { .. } | Phase::Calling { .. } => {}
        }
        wake
    }

    /// The stage for people.
    pub(super) fn current_stage(&self, now: Stamp) -> Stage {
        match &self.phase {
            Phase::WouldAct => Stage::WouldAct,
            Phase::Warned { .. } => Stage::Warned,
            Phase::Rechecking { .. } | Phase::Settling { .. } => Stage::Rechecking,
            Phase::Draining { .. } => Stage::Draining,
            Phase::Standing { .. } | Phase::Calling { .. } | Phase::Waiting { .. } => Stage::Acting,
            Phase::Verifying { .. } => Stage::Verifying,
            Phase::Watching => self.watching_stage(now),
        }
    }

    fn watching_stage(&self, now: Stamp) -> Stage {
        let idle = &self.policy.idle;
        if self.grace_end(now).is_some() {
            Stage::Grace
        } else if self.quiet_ms >= self.act_after_ms(now) && self.is_refused() {
            Stage::Refused
        } else if self.quiet_ms >= millis(idle.quiet_after) && self.quiet_ms > 0 {
            Stage::Quiet
        } else if self.seen.blind || self.seen.busy {
            // What is unknown counts as used.
            Stage::Active
        } else {
            Stage::Settling
        }
    }

    fn is_refused(&self) -> bool {
        self.mode() == Mode::Enforce
            && self.policy.idle.action.is_some_and(|wanted| self.refusal(wanted).is_some())
            && self.power().is_none()
    }
}
