//! What the instance's tags ask for. They can only make the agent more careful: whoever may write tags of an instance is
//! not therefore an administrator of the machine.

use core::time::Duration;

use super::{Engine, Event, Mode, Out, Stamp};
use crate::input::Wishes;

/// A hold that a tag asks for, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TagHold {
    /// What the tag says, wall milliseconds since 1970: a changed tag is another hold.
    asked_wall_ms: i64,
    /// When it ends: never later than the longest hold of an administrator after it was first seen.
    pub(super) until: Stamp,
    /// Its end was taken in, or it was over before it was seen.
    over: bool,
}

/// What a hold of the tags is called as the last use.
const TAG: &str = "a tag of the instance";

impl Engine {
    /// Takes in what the tags ask for now.
    pub(super) fn wished(&mut self, now: Stamp, wishes: Wishes, out: &mut Out) {
        if wishes == self.wishes {
            return;
        }
        let before = self.tag_hold;
        let known =
            self.tag_hold.filter(|hold| Some(hold.asked_wall_ms) == wishes.hold_until_wall_ms);
        self.tag_hold = known.or_else(|| {
            let asked_wall_ms = wishes.hold_until_wall_ms?;
            let left = u64::try_from(asked_wall_ms.saturating_sub(now.wall_ms)).ok()?;
            let span = Duration::from_millis(left).min(self.policy.hold.admin_max);
            Some(TagHold { asked_wall_ms, until: now.after(span), over: span.is_zero() })
        });
        if before.is_some_and(|hold| !hold.over) && self.tag_hold.is_none_or(|hold| hold.over) {
            self.was_held(now, TAG.to_owned(), None);
        }
        out.events.push(Event::Wished { wishes: wishes.clone() });
        self.wishes = wishes;
    }

    /// The mode in force: a tag can make an agent that may act observe, not the other way round.
    pub(super) fn mode(&self) -> Mode {
        if self.wishes.observe { Mode::Observe } else { self.policy.mode }
    }

    /// The idle time that the tags ask for, zero if none.
    pub(super) fn wished_act_after(&self) -> Duration {
        Duration::from_millis(self.wishes.act_after_ms.unwrap_or(0))
    }

    /// When the last hold ends, of people and of the tags.
    pub(super) fn held_until(&self) -> Option<Stamp> {
        let people = self.memory.holds.last().map(|hold| hold.until);
        people.max(self.tag_hold.map(|hold| hold.until))
    }

    /// Takes in the end of a hold of the tags: like that of any other hold, it is the last moment of use.
    pub(super) fn tag_hold_ended(&mut self, now: Stamp) {
        let Some(hold) = &mut self.tag_hold else { return };
        if !hold.over && hold.until.boot_ms <= now.boot_ms {
            hold.over = true;
            self.was_held(now, TAG.to_owned(), None);
        }
    }

    /// The hold of the tags, while it lasts.
    pub(super) fn tag_hold(&self, now: Stamp) -> Option<Stamp> {
        self.tag_hold.map(|hold| hold.until).filter(|until| until.boot_ms > now.boot_ms)
    }
}
