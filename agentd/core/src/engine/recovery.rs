//! What an earlier run of the agent left: its idle clock, its holds and its open intent.

use core::time::Duration;

use super::clock::SLEPT_MS;
use super::{
    CallState, Engine, Event, HookState, IdleClock, Origin, Out, Phase, Power, Stamp, millis,
};
use crate::memory::Intent;

impl Engine {
    /// Takes up what an earlier run left.
    pub(super) fn recover(&mut self, now: Stamp, clock: Option<IdleClock>, same_boot: bool) {
        if !same_boot {
            self.memory.idle_from = None;
            self.memory.came_back = None;
        }
        self.take_up_alerts(now, same_boot);
        let closed = self.memory.intent.as_ref().is_some_and(|intent| {
            let newer = |clock: &IdleClock| clock.at.boot_ms >= intent.since.boot_ms;
            clock.as_ref().is_some_and(|c| newer(c) && c.intent != Some(intent.since))
        });
        if same_boot && closed {
            self.memory.intent = None;
            self.unsaved = true;
        }
        let continued = clock.is_some_and(|clock| self.restore_clock(now, clock));
        if !same_boot {
            self.memory.holds.carry_over(now);
            self.memory.refusals.clear();
            self.memory.failures = 0;
            self.unsaved = true;
        }
        if let Some(intent) = self.memory.intent.clone() {
            let mut out = Out::default();
            if same_boot {
                self.resume_intent(now, intent, continued, &mut out);
            } else {
                self.report_boot(now, &intent, &mut out);
            }
            self.pending.append(&mut out.events);
            self.unsaved = true;
        }
    }

    /// What was announced to an earlier run.
    fn take_up_alerts(&mut self, now: Stamp, same_boot: bool) {
        let mut out = Out::default();
        self.recover_alerts(now, same_boot, &mut out);
        self.pending.append(&mut out.events);
        self.unsaved |= out.dirty;
    }

    /// Continues the idle clock of an earlier run on this boot; whether it could. The time in between is added to
    /// neither side.
    fn restore_clock(&mut self, now: Stamp, clock: IdleClock) -> bool {
        let slept = now.asleep_ms.saturating_sub(clock.at.asleep_ms) >= SLEPT_MS;
        let away = now.boot_ms.checked_sub(clock.at.boot_ms);
        self.resumed_at = clock.resumed_at;
        self.people = clock.people;
        if slept {
            self.resumed_at = Some(now);
        }
        let continued = !slept && away.is_some_and(|ms| ms <= millis(self.policy.gap));
        if continued {
            // The clock may have been saved before the last action was tried.
            let most_ms = self.memory.idle_from.map_or(u64::MAX, |from| millis(now.since(from)));
            self.quiet_ms = clock.quiet_ms.min(most_ms);
            // Nobody looked since then.
            self.blind_from = clock.blind_from.or(Some(clock.at));
        }
        for (source, subject, mark) in clock.marks {
            if let Some(track) = self.tracks.get_mut(&source) {
                track.remember(subject, mark);
            }
        }
        if self.quiet_ms > 0 {
            // Every source was read while that was counted: a terminal that is not remembered is new.
            for track in self.tracks.values_mut() {
                track.remember_all();
            }
        }
        continued
    }

    /// The intent was left open on this boot.
    fn resume_intent(&mut self, now: Stamp, intent: Intent, continued: bool, out: &mut Out) {
        let slept_ms = now.asleep_ms.saturating_sub(intent.since.asleep_ms);
        let missing = self.act_after_ms(now).saturating_sub(self.quiet_ms);
        let stands = match intent.origin {
            Origin::Idle => missing <= millis(self.policy.gap),
            Origin::Operator => true,
        };
        if intent.call != CallState::NotSent {
            if slept_ms >= SLEPT_MS && intent.power == Power::Hibernate {
                self.was_hibernated(now, slept_ms, out);
            } else {
                let accepted = intent.call == CallState::Accepted;
                self.phase = self.verifying(now, accepted);
            }
        } else if continued && stands && slept_ms < SLEPT_MS {
            let hook = match intent.hook {
                HookState::Started => {
                    out.events.push(Event::HookNotRepeated);
                    HookState::Ended
                }
                other => other,
            };
            self.memory.intent = Some(Intent { hook, ..intent });
            self.settle(now);
            // What is missing passes once the sources are known again.
            if let Phase::Settling { until } = &mut self.phase {
                *until = until.after(Duration::from_millis(missing));
            }
        } else {
            let because = "the agent was not able to look for a while before the call".to_owned();
            out.events.push(Event::CalledOff { power: intent.power, because: because.clone() });
            self.close_intent(now, "called-off", because, out);
        }
    }

    /// The intent was left open on an earlier boot: what became of it is known now.
    fn report_boot(&mut self, now: Stamp, intent: &Intent, out: &mut Out) {
        let asked_wall_ms = intent.since.wall_ms;
        match (intent.call, intent.power) {
            (CallState::NotSent, power) => {
                let because = "the machine was restarted before the call".to_owned();
                out.events.push(Event::CalledOff { power, because: because.clone() });
                self.close_intent(now, "called-off", because, out);
            }
            (_, Power::Hibernate) => {
                self.came_back(now);
                out.events.push(Event::ColdBoot { asked_wall_ms });
                let detail = "it came back by a cold boot; its memory was lost".to_owned();
                self.close_intent(now, "cold-boot", detail, out);
            }
            (_, Power::Stop) => {
                self.came_back(now);
                out.events.push(Event::StoppedAndStarted { asked_wall_ms });
                self.close_intent(now, "stopped", "it was started again".to_owned(), out);
            }
        }
    }
}
