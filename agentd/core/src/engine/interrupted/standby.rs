//! Standby: a member of an Auto Scaling group is taken out of service before it is stopped, and put back after.
//!
//! That it is on standby is remembered before it is asked for, so that no crash leaves it there.

use core::time::Duration;

use super::group::{answered, told};
use super::{Engine, Out, Stamp};
use crate::action::{ActionKind, Key, Outcome};
use crate::engine::Phase;
use crate::interruption::{GroupCall, TargetState};

/// The first pause before it is put back another time, doubled for each further one.
const PAUSE: Duration = Duration::from_secs(5);
/// The most doublings: 10 minutes.
const MOST_DOUBLINGS: u32 = 7;
/// An answer that has not come after this long is not waited for any more. The machine's sleep does not count: who answers
/// slept, too.
pub(in crate::engine) const NO_ANSWER: Duration = Duration::from_mins(2);
/// But as long as it may still come, no other way to an action begins: two of them would be under way. Every call of the
/// agent's ends within a minute, so after this long nobody is left who could answer.
const NEVER: Duration = Duration::from_mins(30);

/// What is being asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standby {
    /// It is being put on standby; until that is answered it cannot be put back.
    entering: Option<(Key, Stamp)>,
    /// It is being put back.
    leaving: Option<(Key, Stamp)>,
    /// That is tried again then.
    again_at: Option<Stamp>,
    tries: u32,
    /// The group said so itself, in this run of the agent.
    confirmed: bool,
}

impl Engine {
    /// Whether the group has to be asked before the call.
    pub(in crate::engine) fn needs_standby(&self) -> bool {
        // The metadata service tells no target of an instance that never changed its state; its tags do.
        let target = self.memory.interruptions.target;
        let member = target.map_or(self.abilities.member, TargetState::is_member);
        self.policy.idle.standby && !self.interrupted.standby.confirmed && member
    }

    /// Whether the group was asked and has not answered: until then nothing else is begun.
    pub(in crate::engine) fn is_entering_standby(&self) -> bool {
        self.interrupted.standby.entering.is_some()
    }

    /// Asks the group to do without this instance.
    pub(in crate::engine) fn enter_standby(&mut self, now: Stamp, out: &mut Out) {
        if self.interrupted.standby.leaving.is_some() || self.is_entering_standby() {
            self.call_off(now, "the instance is being put back into its group".to_owned(), out);
            return;
        }
        self.memory.interruptions.standby = true;
        out.dirty = true;
        let key = self.request(ActionKind::AutoScaling(GroupCall::EnterStandby), out);
        self.interrupted.standby.entering = Some((key, now));
        self.phase = Phase::Standing { key, since: now };
    }

    /// Takes in what the group answered; false when the key is not of a question about standby.
    pub(super) fn standby_answered(
        &mut self,
        now: Stamp,
        key: Key,
        outcome: &Outcome,
        out: &mut Out,
    ) -> bool {
        let (ok, detail) = told(outcome);
        if self.interrupted.standby.entering.take_if(|(mine, _)| *mine == key).is_some() {
            out.events.push(answered("enter-standby", ok, detail));
            self.entered(now, key, outcome, out);
            return true;
        }
        if self.interrupted.standby.leaving.take_if(|(mine, _)| *mine == key).is_none() {
            return false;
        }
        out.events.push(answered("exit-standby", ok, detail));
        let standby = &mut self.interrupted.standby;
        if ok || matches!(outcome, Outcome::Refused(_)) {
            // A question that was never answered is still one.
            *standby = Standby { entering: standby.entering, ..Standby::default() };
            self.memory.interruptions.standby = false;
            out.dirty = true;
        } else {
            let pause = PAUSE.saturating_mul(1 << standby.tries.min(MOST_DOUBLINGS));
            standby.tries = standby.tries.saturating_add(1);
            standby.again_at = Some(now.after(pause));
        }
        true
    }

    fn entered(&mut self, now: Stamp, key: Key, outcome: &Outcome, out: &mut Out) {
        if let Outcome::Refused(_) = outcome {
            self.memory.interruptions.standby = false;
            out.dirty = true;
        }
        if !matches!(self.phase, Phase::Standing { key: mine, .. } if mine == key) {
            // It was called off meanwhile, and is put back, also if it was put back before the answer came.
            if matches!(outcome, Outcome::Done { .. } | Outcome::Already { .. }) {
                self.memory.interruptions.standby = true;
                out.dirty = true;
            }
            return;
        }
        let Some(intent) = self.memory.intent.clone() else {
            self.phase = Phase::Watching;
            return;
        };
        match outcome {
            Outcome::Done { .. } | Outcome::Already { .. } => {
                self.interrupted.standby.confirmed = true;
                self.settle(now);
            }
            Outcome::Withheld { because } => self.call_off(now, because.clone(), out),
            Outcome::Refused(refusal) => self.call_refused(now, intent, refusal.clone(), out),
            Outcome::Failed { error, .. } => self.fail(now, error.clone(), out),
        }
    }

    /// The action is over or was called off: the group gets its instance back.
    pub(super) fn leave_standby(&mut self, now: Stamp, out: &mut Out) {
        let standby = &mut self.interrupted.standby;
        let awaited = |since: Stamp| now.awake_since(since) < NO_ANSWER;
        standby.entering.take_if(|(_, since)| now.awake_since(*since) >= NEVER);
        standby.leaving.take_if(|(_, since)| !awaited(*since));
        let waits = standby.entering.is_some_and(|(_, since)| awaited(since))
            || standby.leaving.is_some()
            || standby.again_at.is_some_and(|at| at.boot_ms > now.boot_ms);
        let is_over = self.memory.interruptions.standby && self.memory.intent.is_none();
        if waits || !is_over || !self.may_act_on_it() {
            return;
        }
        let key = self.request(ActionKind::AutoScaling(GroupCall::ExitStandby), out);
        self.interrupted.standby.leaving = Some((key, now));
        self.interrupted.standby.confirmed = false;
    }

    pub(super) fn standby_wake(&self) -> Option<Stamp> {
        let standby = &self.interrupted.standby;
        let unanswered = standby.entering.or(standby.leaving).map(|(_, at)| at.after(NO_ANSWER));
        let unanswered = unanswered.filter(|at| at.boot_ms > self.last.boot_ms);
        unanswered.or(standby.again_at).filter(|_| self.memory.interruptions.standby)
    }
}
