//! `GET /v1/spot`: what EC2 announces about this instance, whether the agent would notice, and what it does then.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::status::words;

/// The schema of `GET /v1/spot`.
pub const SPOT_SCHEMA: &str = "agentd/spot/v1";

words! {
    /// Whether an interruption is announced, and how far the reaction is.
    InterruptionState {
        /// None is: every path that matters says so.
        None = "none",
        /// One is.
        Announced = "announced",
        /// One is, and the hooks run.
        Draining = "draining",
        /// One is, and the hooks have ended.
        Drained = "drained",
        /// None is known, and one would not be seen: at least one path cannot be read.
        Blind = "blind",
        /// Not every path was asked yet.
        Pending = "pending",
        /// Interruptions are not watched for.
        Off = "off",
    }
}

words! {
    /// What one path of the metadata service says.
    WatchState {
        /// Not asked yet.
        Pending = "pending",
        /// Not asked at all: this instance cannot get such a notice, or the watch is switched off.
        Off = "off",
        /// There is none: 404 to an accepted token, or an empty list.
        NoNotice = "no-notice",
        /// There is one.
        Notice = "notice",
        /// It cannot be read, so nothing can be said.
        Blind = "blind",
    }
}

words! {
    /// What is done about one notice.
    NoticeState {
        /// People and programs were told; no more follows.
        Notified = "notified",
        /// The hooks run later: see `drain_at`.
        Waiting = "waiting",
        /// The hooks run.
        Draining = "draining",
        /// The hooks have ended.
        Drained = "drained",
        /// The hooks would run, but the agent only observes.
        Observing = "observing",
        /// It is part of another one, whose hooks run: see `joined`.
        Joined = "joined",
        /// It was long past when it was first read: nothing is done.
        Stale = "stale",
    }
}

words! {
    /// How far one hook came.
    HookState {
        /// Its turn has not come.
        Waiting = "waiting",
        /// It runs.
        Started = "started",
        /// It ended well.
        Done = "done",
        /// It failed, took too long or was refused.
        Failed = "failed",
        /// An earlier run of the agent started it, and nobody saw its end.
        Lost = "lost",
        /// There was no time left for it.
        Skipped = "skipped",
    }
}

words! {
    /// How a notice ended.
    EndWord {
        /// The machine was down, and was started again.
        StartedAgain = "started-again",
        /// The machine was hibernated and resumed.
        Resumed = "resumed",
        /// Its time passed and nothing happened.
        NeverCame = "never-came",
        /// EC2 cancelled it, or it was completed.
        Withdrawn = "withdrawn",
        /// A recommendation that was old.
        Expired = "expired",
        /// A drill that is over.
        DrillOver = "drill-over",
    }
}

words! {
    /// What a kind of notice leads to.
    ReactionWord {
        /// People and programs are told.
        Notify = "notify",
        /// The hooks run, too.
        Drain = "drain",
    }
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    /// [`SPOT_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// When this document was made.
    pub now: Timestamp,
    /// `spot`, `on-demand` … as the metadata service tells it; `unknown`, which is taken for spot, until it does.
    #[serde(default)]
    pub life_cycle: String,
    /// The whole in one word, with the notice that matters most.
    pub interruption: Interruption,
    /// The watch, path by path.
    #[serde(default)]
    pub monitors: Vec<Monitor>,
    /// What is announced now, the oldest first.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// The state that the Auto Scaling group is bringing this instance to; none where it is in no group.
    #[serde(default)]
    pub target_lifecycle_state: Option<String>,
    /// The group has put this instance on standby on the agent's request.
    #[serde(default)]
    pub standby: bool,
    /// What would be done.
    pub plan: Plan,
    /// What has passed, the latest first.
    #[serde(default)]
    pub last: Vec<PastNotice>,
    /// What the hooks printed was left out: it is for administrators.
    #[serde(default)]
    pub output_hidden: bool,
}

/// Whether an interruption is announced: also in `agentctl status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interruption {
    /// In one word.
    pub state: InterruptionState,
    /// The notice that matters most, for people; none when there is none.
    #[serde(default)]
    pub what: Option<String>,
    /// `spot-interruption`, `rebalance-recommendation`, `scheduled-event` or `autoscaling`.
    #[serde(default)]
    pub event: Option<String>,
    /// What happens to the instance: `terminate`, `stop`, `hibernate`, `reboot` …
    #[serde(default)]
    pub action: Option<String>,
    /// When it happens, where that is known.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// In how many seconds it happens.
    #[serde(default)]
    pub seconds_left: Option<f64>,
    /// It is an administrator's drill: nothing happens to the instance.
    #[serde(default)]
    pub drill: bool,
    /// The instance really goes down, and soon: nothing that is scheduled for later, no recommendation, no drill.
    #[serde(default)]
    pub imminent: bool,
    /// The paths that cannot be read, by name.
    #[serde(default)]
    pub blind: Vec<String>,
    /// Since when one of them cannot be read.
    #[serde(default)]
    pub blind_since: Option<Timestamp>,
    /// When a good answer came last; while some paths are blind, the oldest of their last good answers.
    #[serde(default)]
    pub last_good: Option<Timestamp>,
}

/// The watch for one kind of notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// `spot`, `rebalance`, `maintenance` or `autoscaling`.
    pub name: String,
    /// The item of the metadata service, below `/latest/`.
    #[serde(default)]
    pub path: String,
    /// How often it is asked.
    pub every_seconds: f64,
    /// What it said last.
    pub state: WatchState,
    /// Since when the state is this one.
    pub since: Timestamp,
    /// For how long the state is this one.
    #[serde(default)]
    pub for_seconds: f64,
    /// When a good answer came last: a notice, or the proof that there is none.
    #[serde(default)]
    pub last_good: Option<Timestamp>,
    /// How long ago that was.
    #[serde(default)]
    pub last_good_seconds: Option<f64>,
    /// What the answer was, or why there is none, one line.
    #[serde(default)]
    pub detail: String,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What makes it the same when it is read again.
    pub id: String,
    /// `spot-interruption`, `rebalance-recommendation`, `scheduled-event` or `autoscaling`; hooks read it as `AGENTD_EVENT`.
    pub event: String,
    /// What happens to the instance; hooks read it as `AGENTD_ACTION`.
    pub action: String,
    /// The notice for people.
    #[serde(default)]
    pub what: String,
    /// When it was first read.
    pub seen: Timestamp,
    /// When EC2 acts, as EC2 said it.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// In how many seconds that is, 0 once it has passed.
    #[serde(default)]
    pub seconds_left: Option<f64>,
    /// An administrator's drill: nothing happens to the instance.
    #[serde(default)]
    pub drill: bool,
    /// It was long past when it was first read.
    #[serde(default)]
    pub stale: bool,
    /// The id of the notice whose hooks ran for this one, too.
    #[serde(default)]
    pub joined: Option<String>,
    /// What is done about it.
    pub state: NoticeState,
    /// When the hooks begin, where that is later.
    #[serde(default)]
    pub drain_at: Option<Timestamp>,
    /// Its hooks, in order; empty before they begin.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// How long the hooks took together, once the last of them has ended.
    #[serde(default)]
    pub drain_seconds: Option<f64>,
    /// Auto Scaling was told that the instance may go, or needs not be told.
    #[serde(default)]
    pub completed: bool,
}

/// One hook of a drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// As it is configured.
    pub hook: String,
    /// How far it came.
    pub state: HookState,
    /// When it was started.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// How long it took.
    #[serde(default)]
    pub took_seconds: Option<f64>,
    /// Its exit status and the end of its output. For administrators only: output can hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The policy in force, `[interruption]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Whether anything is watched for and done.
    pub enabled: bool,
    /// Whether the agent acts: `observe` tells and runs nothing.
    pub mode: crate::status::Mode,
    /// What a drain runs, in this order.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// What runs instead where EC2 hibernates the instance at once.
    #[serde(default)]
    pub fast_hooks: Vec<String>,
    /// Who the programs among them run as.
    #[serde(default)]
    pub user: String,
    /// What a rebalance recommendation leads to.
    pub rebalance: ReactionWord,
    /// A recommendation is forgotten after this long.
    pub rebalance_expires_seconds: f64,
    /// Between two drains for recommendations.
    pub rebalance_interval_seconds: f64,
    /// What a scheduled event that takes the instance down leads to.
    pub maintenance: ReactionWord,
    /// The drain begins this long before the event's window.
    pub maintenance_lead_seconds: f64,
    /// What a termination by the Auto Scaling group leads to.
    pub autoscaling: ReactionWord,
    /// A drain for Auto Scaling may take this long.
    pub autoscaling_drain_seconds: f64,
}

/// A notice that has passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastNotice {
    /// As it was last.
    pub notice: Notice,
    /// When it was closed.
    pub closed: Timestamp,
    /// How.
    pub end: EndWord,
    /// The same for people.
    #[serde(default)]
    pub because: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_as_str_says() {
        fn same<W: Serialize + Copy>(words: &[W], text: impl Fn(W) -> &'static str) {
            for &word in words {
                assert_eq!(serde_json::to_value(word).unwrap(), text(word));
            }
        }
        same(InterruptionState::ALL, InterruptionState::as_str);
        same(WatchState::ALL, WatchState::as_str);
        same(NoticeState::ALL, NoticeState::as_str);
        same(HookState::ALL, HookState::as_str);
        same(EndWord::ALL, EndWord::as_str);
        same(ReactionWord::ALL, ReactionWord::as_str);
    }

    #[test]
    fn a_word_that_is_not_known_is_never_taken_for_no_notice() {
        let state: WatchState = serde_json::from_str("\"probably-not\"").unwrap();
        assert_eq!(state, WatchState::Other);
        let state: InterruptionState = serde_json::from_str("\"perhaps\"").unwrap();
        assert_eq!(state, InterruptionState::Other);
    }
}
