//! How long the machine must be idle: the policy's time, and what makes it longer. Nothing makes it shorter.

use core::time::Duration;

use super::{Engine, Stamp, millis};
use crate::reading::Stretch;
use crate::verdict::StretchView;

impl Engine {
    /// Milliseconds of idleness that are required now: what the policy, the instance's tags and what is present ask for,
    /// doubled for each failure in a row (at most eightfold) and while the machine is stopped and started in a loop.
    pub(super) fn act_after_ms(&self, now: Stamp) -> u64 {
        let idle = &self.policy.idle;
        let present = match self.seen.stretch {
            None => Duration::ZERO,
            Some(Stretch::Connected) => idle.connected_after,
            Some(Stretch::Job) => idle.job_after.max(idle.connected_after),
        };
        let base = idle.act_after.max(present).max(self.wished_act_after());
        let doublings = self.memory.failures.min(3) + u32::from(self.loop_until(now).is_some());
        millis(base).saturating_mul(1 << doublings)
    }

    /// What stretches the required time most.
    pub(super) fn stretch(&self) -> Option<StretchView> {
        let by = self.seen.stretch?;
        let (source, track) = self.tracks.iter().find(|(_, t)| t.stretch() == Some(by))?;
        let (subject, owner) = track.stretching(by)?;
        let owner = owner.map(str::to_owned);
        Some(StretchView { by, source: source.clone(), subject: subject.to_owned(), owner })
    }
}
