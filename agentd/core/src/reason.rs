//! What happened, for people: one variant a journal line. The shell gives each its `MESSAGE_ID` and its fields.

use serde::{Deserialize, Serialize};

use crate::action::{HookOutput, Power};
use crate::input::Wishes;
use crate::interruption::{AlertEnd, HookRun};

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
        /// What ran and was not counted, one line; none when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_counted: Option<String>,
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
        /// How, one line: its exit status.
        detail: String,
        /// The end of what it printed.
        #[serde(default, skip_serializing_if = "HookOutput::is_empty")]
        output: HookOutput,
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
        /// What ran and was not counted, one line; none when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_counted: Option<String>,
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
        /// What ran and was not counted, one line; none when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_counted: Option<String>,
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
    /// EC2 announces something.
    Noticed {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// When it is due, wall milliseconds since 1970, where EC2 says so.
        deadline_wall_ms: Option<i64>,
        /// How far away that is, milliseconds.
        left_ms: Option<u64>,
        /// A drill.
        drill: bool,
        /// What follows, one line.
        because: String,
    },
    /// The deadline of an alert moved to an earlier time.
    NoticeMoved {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// The new deadline, wall milliseconds since 1970.
        deadline_wall_ms: i64,
        /// How far away that is, milliseconds.
        left_ms: u64,
    },
    /// A notice whose time is long past, or too far away to be true: nothing is done about it.
    NoticeStale {
        /// The notice for people.
        what: String,
        /// Its time, wall milliseconds since 1970.
        deadline_wall_ms: i64,
        /// Why nothing is done, one line.
        because: String,
    },
    /// An alert has passed.
    AlertOver {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// How it ended.
        end: AlertEnd,
        /// The whole story, one line.
        because: String,
        /// A drill.
        drill: bool,
        /// What its hooks did.
        hooks: Vec<HookRun>,
    },
    /// The hooks of an alert begin.
    DrainStarted {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// So many hooks.
        hooks: u32,
        /// For at most so many milliseconds.
        for_ms: u64,
        /// A drill.
        drill: bool,
    },
    /// One hook of a drain ended.
    DrainHookEnded {
        /// The alert's id.
        alert: String,
        /// What it did.
        run: HookRun,
        /// A drill.
        drill: bool,
    },
    /// The last hook of a drain ended.
    DrainEnded {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// How long the drain took, milliseconds.
        took_ms: u64,
        /// Every hook ended well.
        ok: bool,
        /// A drill.
        drill: bool,
    },
    /// Only observing: the hooks would have run now.
    WouldDrain {
        /// The alert's id.
        alert: String,
        /// The notice for people.
        what: String,
        /// So many hooks.
        hooks: u32,
    },
    /// The Auto Scaling group brings the instance to another state.
    TargetChanged {
        /// The state.
        target: String,
    },
    /// Auto Scaling carried out, or refused, what it was asked.
    GroupAnswered {
        /// What: `complete`, `heartbeat`, `enter-standby`, `exit-standby`.
        call: String,
        /// It did.
        ok: bool,
        /// One line.
        detail: String,
    },
    /// The policy was reloaded.
    PolicyChanged,
    /// Something that cannot happen did; the state was kept.
    Unexpected {
        /// What.
        what: String,
    },
}
