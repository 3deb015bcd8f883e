//! What happened, for people: one variant a journal line. The shell gives each its `MESSAGE_ID` and its fields.

use serde::{Deserialize, Serialize};

use crate::action::Power;
use crate::input::Wishes;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Something uses the machine again.
    BecameActive {
        /// What, one line.
        because: String,
    },
    /// Nothing has used the machine for `quiet_after`.
    BecameQuiet {
        /// What was looked at, one line.
        because: String,
        /// When the action is due, wall milliseconds since 1970.
        act_at_wall_ms: Option<i64>,
    },
    /// People were warned.
    Warned {
        /// What will happen.
        power: Power,
        /// In how many milliseconds.
        in_ms: u64,
        /// Why, one line.
        because: String,
    },
    /// A due or running action was called off.
    CalledOff {
        /// What.
        power: Power,
        /// Why, one line.
        because: String,
    },
    /// The pre-stop hook starts.
    HookStarted {
        /// What comes after it.
        power: Power,
    },
    /// The pre-stop hook ended.
    HookEnded {
        /// How: exit status and the tail of its output.
        detail: String,
        /// It ended well.
        ok: bool,
    },
    /// The pre-stop hook of this intent was started by an earlier run of the agent; it is not run again.
    HookNotRepeated,
    /// EC2 is being asked.
    Asking {
        /// What for.
        power: Power,
        /// Why, one line.
        because: String,
    },
    /// EC2 accepted.
    Accepted {
        /// What.
        power: Power,
        /// The answer, one line.
        detail: String,
    },
    /// EC2 or preflight refused for good.
    Refused {
        /// What.
        power: Power,
        /// The stable code.
        code: String,
        /// Why and the remedy, one line.
        detail: String,
    },
    /// The call failed and may be tried again.
    Failed {
        /// What.
        power: Power,
        /// What failed, one line.
        error: String,
        /// In how many milliseconds it is tried again; none: not in this idle period.
        retry_ms: Option<u64>,
    },
    /// Hibernation is impossible; a plain stop takes its place.
    FellBack {
        /// Why, one line.
        because: String,
    },
    /// Only observing: it would have acted now.
    WouldAct {
        /// What.
        power: Power,
        /// Why, one line.
        because: String,
    },
    /// The machine came back from hibernation with its memory.
    Hibernated {
        /// How long it slept, milliseconds of `CLOCK_BOOTTIME`.
        slept_ms: u64,
    },
    /// The machine was to be hibernated and came back by a cold boot: its memory is lost.
    ColdBoot {
        /// When it was asked for, wall milliseconds since 1970.
        asked_wall_ms: i64,
    },
    /// The machine was stopped as asked, and is up again.
    StoppedAndStarted {
        /// When it was asked for, wall milliseconds since 1970.
        asked_wall_ms: i64,
    },
    /// The call was accepted and the machine never went down.
    NeverStopped {
        /// What was asked for.
        power: Power,
        /// For how many milliseconds the agent waited.
        waited_ms: u64,
    },
    /// The machine was resumed; every window restarts.
    Resumed {
        /// How long it was away, milliseconds.
        away_ms: u64,
    },
    /// The agent was not able to look for a while; every window restarts.
    Gap {
        /// For how many milliseconds.
        away_ms: u64,
    },
    /// A source became blind.
    SourceBlind {
        /// Which.
        source: String,
        /// Why.
        why: String,
    },
    /// A source can be read again.
    SourceBack {
        /// Which.
        source: String,
        /// For how many milliseconds it was blind.
        blind_ms: u64,
    },
    /// A hold was made.
    HoldMade {
        /// Its id.
        hold: u64,
        /// Whose.
        owner: String,
        /// Until when, wall milliseconds since 1970.
        until_wall_ms: i64,
        /// Why.
        reason: String,
    },
    /// A hold ended.
    HoldEnded {
        /// Its id.
        hold: u64,
        /// Whose.
        owner: String,
        /// How: `released`, `expired`, `process gone`.
        how: String,
    },
    /// A block outlived its cap and counts no more.
    BlockExpired {
        /// The source.
        source: String,
        /// The subject.
        subject: String,
    },
    /// The machine is stopped and started again by people in a loop; the agent waits longer from now on.
    Looping {
        /// How long the machine must be idle now, milliseconds.
        act_after_ms: u64,
    },
    /// The tags of the instance ask for something else than before.
    Wished {
        /// What they ask for.
        wishes: Wishes,
    },
    /// The policy was reloaded.
    PolicyChanged,
    /// Something that cannot happen did; the state was kept.
    Unexpected {
        /// What.
        what: String,
    },
}
