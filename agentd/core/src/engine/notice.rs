//! How long before an action people are told of it.

use core::time::Duration;

use super::{ActionKind, Engine, Key, Out, Stamp};

impl Engine {
    /// How long before an action the first warning is due; zero when nobody is to be warned.
    pub(super) fn lead(&self) -> Duration {
        let longest = self.policy.idle.warn_before.iter().max().copied().unwrap_or_default();
        longest.max(self.least_notice())
    }

    /// The least time between the first warning and the action: two minutes where a person was seen on this boot.
    pub(super) fn least_notice(&self) -> Duration {
        if self.people { self.policy.least_notice_to_people() } else { self.policy.least_notice() }
    }

    /// When people are warned of an action, before it, longest first.
    pub(super) fn warnings(&self) -> Vec<Duration> {
        let mut all = self.policy.idle.warn_before.clone();
        let lead = self.lead();
        if !lead.is_zero() && !all.contains(&lead) {
            all.insert(0, lead);
        }
        all
    }

    /// The call is under way and something forbids it now: it is withheld if nothing has left the machine yet.
    pub(super) fn reconsider(&mut self, now: Stamp, call: Key, out: &mut Out) {
        if self.withdrawn != Some(call) && self.barrier(now, now).is_some() {
            self.withdrawn = Some(call);
            self.request(ActionKind::Withdraw { call }, out);
        }
    }

    /// The call was withheld at the last look. What was seen there is use, although no source may ever tell of it.
    pub(super) fn withheld(&mut self, now: Stamp, because: String, out: &mut Out) {
        if let Some(barrier) = self.barrier(now, now) {
            self.call_off_for(now, barrier, out);
        } else {
            self.idle_anew(now);
            self.call_off(now, because, out);
        }
    }
}
