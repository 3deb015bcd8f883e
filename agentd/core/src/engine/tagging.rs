//! When the instance's tags are written: on change only, one call at a time, and not too often.

use super::{Engine, Out, Stamp};
use crate::action::{ActionKind, Key, Outcome, TagSet, TagState};
use crate::policy::Mode;
use crate::verdict::Stage;

/// After a failed call the next waits this many times longer, at most 32 times.
const MAX_BACKOFF: u32 = 5;

/// What was written, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tagging {
    written: Option<(TagState, Option<Stamp>)>,
    sending: Option<(Key, TagState, Option<Stamp>)>,
    last_call: Option<Stamp>,
    /// The last call was to say that the machine leaves.
    leaving_told: bool,
    failures: u32,
}

impl Tagging {
    /// After a restart of the agent: nobody knows what the tags say, and a call may have been made just before.
    pub(super) fn restarted(now: Stamp) -> Self {
        Self { last_call: Some(now), leaving_told: true, ..Self::default() }
    }
}

impl Engine {
    /// Asks for a tag write when state or last action differ from what was written.
    pub(super) fn plan_tags(&mut self, now: Stamp, out: &mut Out) {
        let may = self.policy.tags.enabled && self.mode() == Mode::Enforce;
        if !may || self.tagging.sending.is_some() || self.abilities.instance_id.is_none() {
            return;
        }
        let state = self.tag_state();
        if self.tags_current(state) {
            return;
        }
        // That it leaves is written at once, for there may be no later; once, for this call can fail too.
        let leaving =
            matches!(state, TagState::Hibernating | TagState::Stopping | TagState::Interrupted);
        // Right after the start nothing is known yet, which is no news.
        if !leaving && self.seen.blind && !self.seen.fault {
            return;
        }
        let leaves_now = leaving && !self.tagging.leaving_told;
        if !leaves_now && self.tag_due().is_some_and(|due| due.boot_ms > now.boot_ms) {
            return;
        }
        let decided = self.memory.intent.as_ref().and_then(|intent| intent.not_counted.clone());
        let not_counted = decided.or_else(|| self.not_counted());
        let set = TagSet {
            state,
            since_wall_ms: self.state_since(now).wall_ms,
            because: match self.interruption_text() {
                Some(text) if state == TagState::Interrupted => text,
                _ => self.because(now),
            },
            act_at_wall_ms: self.act_at(now).map(|at| at.wall_ms),
            last_action: self.last_action_line(),
            not_counted: not_counted.filter(|_| state.is_idle()),
        };
        let last = self.memory.last_action.as_ref().map(|last| last.at);
        let key = self.request(ActionKind::Tag(set), out);
        self.tagging.sending = Some((key, state, last));
        self.tagging.leaving_told = leaving;
        self.tagging.last_call = Some(now);
    }

    /// Takes in how a tag write ended; false when the key is not of one.
    pub(super) fn tags_written(&mut self, key: Key, outcome: &Outcome) -> bool {
        let Some((_, state, last)) = self.tagging.sending.take_if(|(sent, ..)| *sent == key) else {
            return false;
        };
        match outcome {
            Outcome::Done { .. } | Outcome::Already { .. } => {
                self.tagging.written = Some((state, last));
                self.tagging.failures = 0;
            }
            Outcome::Withheld { .. } | Outcome::Refused(_) | Outcome::Failed { .. } => {
                self.tagging.failures = self.tagging.failures.saturating_add(1);
            }
        }
        true
    }

    /// When the next call may be made, while one is wanted.
    pub(super) fn tag_wake(&self) -> Option<Stamp> {
        let may = self.policy.tags.enabled && self.mode() == Mode::Enforce;
        let wanted = may
            && self.tagging.sending.is_none()
            && self.abilities.instance_id.is_some()
            && !self.tags_current(self.tag_state());
        if wanted { self.tag_due() } else { None }
    }

    fn tag_due(&self) -> Option<Stamp> {
        let factor = 1_u32 << self.tagging.failures.min(MAX_BACKOFF);
        self.tagging.last_call.map(|at| at.after(self.policy.tags.interval.saturating_mul(factor)))
    }

    fn tags_current(&self, state: TagState) -> bool {
        self.tagging.written == Some((state, self.memory.last_action.as_ref().map(|last| last.at)))
    }

    fn last_action_line(&self) -> Option<String> {
        let last = self.memory.last_action.as_ref()?;
        Some(format!("{} {}", last.power.verb(), last.result))
    }

    fn tag_state(&self) -> TagState {
        match self.stage {
            Stage::Verifying => match self.memory.intent.as_ref().map(|i| i.power) {
                Some(crate::action::Power::Stop) => TagState::Stopping,
                _ => TagState::Hibernating,
            },
            _ if self.interruption().is_some() => TagState::Interrupted,
            // Leaving is told once EC2 has accepted it.
            Stage::Warned | Stage::Rechecking | Stage::Draining | Stage::Acting => TagState::Warned,
            Stage::Grace | Stage::Active | Stage::Settling => self.unless_kept(TagState::Active),
            Stage::Quiet | Stage::WouldAct | Stage::Refused => self.unless_kept(TagState::Quiet),
        }
    }

    fn unless_kept(&self, state: TagState) -> TagState {
        // A source that waits for its second reading is not worth a tag.
        if self.seen.fault {
            TagState::Unknown
        } else if self.seen.block || self.memory.holds.last().is_some() {
            TagState::Held
        } else {
            state
        }
    }

    fn state_since(&self, now: Stamp) -> Stamp {
        match self.stage {
            Stage::Quiet | Stage::WouldAct | Stage::Refused => {
                now.before(core::time::Duration::from_millis(self.quiet_ms))
            }
            _ => self.stage_since,
        }
    }
}
