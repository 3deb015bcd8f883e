//! The verdict: what the engine thinks of the machine, in one word, and every piece of evidence behind it.

use serde::{Deserialize, Serialize};

use crate::action::Power;
use crate::input::Abilities;
use crate::interruption::{InterruptionPolicy, Interruptions};
use crate::policy::Mode;
use crate::reading::{Role, SourceName, Stretch};
use crate::stamp::Stamp;

/// The detail of a source that is blind only because a counter says nothing until it was read twice.
pub const WAITING_FOR_SECOND_READING: &str = "waiting for a second reading";

/// The stage of the idle machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Just booted or resumed: nothing is decided yet.
    Grace,
    /// Somebody or something uses the machine.
    Active,
    /// Nobody does, for less than `quiet_after`.
    Settling,
    /// Nobody does, for at least `quiet_after`.
    Quiet,
    /// People were told that an action is due.
    Warned,
    /// The action is due: every source is being read once more.
    Rechecking,
    /// The pre-stop hook runs.
    Draining,
    /// The call to EC2 is under way, or waits to be tried again.
    Acting,
    /// The call was accepted; the machine should be gone soon.
    Verifying,
    /// Due, but only observing: it would have acted.
    WouldAct,
    /// Due, but EC2 or policy refuses for good.
    Refused,
}

impl Stage {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::Active => "active",
            Self::Settling => "settling",
            Self::Quiet => "quiet",
            Self::Warned => "warned",
            Self::Rechecking => "rechecking",
            Self::Draining => "draining",
            Self::Acting => "acting",
            Self::Verifying => "verifying",
            Self::WouldAct => "would-act",
            Self::Refused => "refused",
        }
    }
}

/// What one source, or one signal of it, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// Used: at or above the limit, or touched within this reading.
    Busy,
    /// Read, and below the limit.
    Idle,
    /// Keeps the machine up without being use.
    Blocks,
    /// Present, and makes the agent wait longer without being use.
    Stretches,
    /// Not known.
    Blind,
    /// The machine has no such thing.
    Absent,
    /// Shown only.
    Ignored,
    /// Switched off by policy.
    Disabled,
}

/// One signal as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalView {
    /// The subject.
    pub subject: String,
    /// Whose.
    pub owner: Option<String>,
    /// Whose it is, and so how it counts.
    pub role: Role,
    /// The limit that it has by itself, in the source's unit; none where it has none.
    #[serde(default)]
    pub limit: Option<f64>,
    /// The value in the source's unit; none for marks and blocks, or before a rate is known.
    pub value: Option<f64>,
    /// The judgement.
    pub judgement: Judgement,
    /// When it was last used.
    pub last_activity: Option<Stamp>,
}

/// Whether a value is that of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sum {
    /// It is: measured by itself, beside its own limit.
    #[default]
    One,
    /// Several things of one kind together, beside the limit of that kind.
    Together,
    /// Several things together, each weighed by its own limit, beside the limit of people's work.
    Weighed,
}

/// What a judgement rests on, for people: one thing, or the largest part of several that are a use only together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What contributes most; none where nothing of what is counted can be named any more.
    pub subject: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// How much, in the source's unit; none for what is not a number.
    pub value: Option<f64>,
    /// From where on that is a use, in the same unit.
    pub limit: Option<f64>,
    /// Whether that is one thing's or a sum.
    pub sum: Sum,
}

/// One source as judged. Every enabled source is listed, never only the first that matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// The source.
    pub source: SourceName,
    /// The judgement.
    pub judgement: Judgement,
    /// The value that is compared with the limit, in `unit`. Where roles have limits of their own, it is people's work and
    /// of everything else the share by which it comes near its own limit.
    pub value: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// The unit.
    pub unit: String,
    /// What is said of it: what is in use, or comes nearest to that; none where there is nothing to name.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// When it was last used.
    pub last_activity: Option<Stamp>,
    /// When this judgement began.
    pub since: Stamp,
    /// When it was last read.
    pub read_at: Option<Stamp>,
    /// Why it is blind, absent or blocking.
    pub detail: Option<String>,
    /// Its signals, the largest first.
    pub signals: Vec<SignalView>,
}

/// What makes the required idle time longer now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StretchView {
    /// A connection or a job.
    pub by: Stretch,
    /// The source that tells of it.
    pub source: SourceName,
    /// The subject: the terminal, the connection.
    pub subject: String,
    /// Whose.
    pub owner: Option<String>,
}

/// The use that was seen last, whatever came after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UseView {
    /// The source.
    pub source: SourceName,
    /// What was used.
    pub cause: Cause,
    /// The unit of its value.
    pub unit: String,
    /// The same in one line: `cpu 0.22 core, limit 0.08 (system.slice/train.service)`.
    pub text: String,
    /// When.
    pub at: Stamp,
}

/// One person, or one owner of work, as the sources tell of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserView {
    /// The name.
    pub user: String,
    /// When they last used the machine; none if they only are there.
    pub last_activity: Option<Stamp>,
    /// What of theirs keeps the machine up, or makes the agent wait longer, now: `cpu: session-3.scope`.
    pub keeps_up: Vec<String>,
}

/// A hold as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The id.
    pub id: u64,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's name.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The process it ends with.
    pub pid: Option<u32>,
    /// When it was made.
    pub since: Stamp,
    /// When it ends.
    pub until: Stamp,
}

/// Something that keeps the engine from acting, whatever the sources say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// A stable code: `boot-grace`, `hold`, `blocked`, `blind`, `identity-unknown`, `observe`, `refused` …
    pub code: String,
    /// One line for people: what, whose, and the remedy.
    pub detail: String,
    /// When it goes away by itself, where that is known.
    pub until: Option<Stamp>,
}

/// How the last action of this agent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// What was asked for.
    pub power: Power,
    /// When.
    pub at: Stamp,
    /// The result: `accepted`, `hibernated`, `cold-boot`, `stopped`, `never-stopped`, `refused`, `failed`, `called-off`,
    /// `would-act`.
    pub result: String,
    /// One line for people.
    pub detail: String,
    /// What ran and was not counted, one line; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// Something that runs and is not counted as use: it keeps the machine, is below the limit that it has by itself, or is
/// only shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UncountedView {
    /// The source.
    pub source: SourceName,
    /// The subject as the source names it.
    pub subject: String,
    /// Whose.
    pub owner: Option<String>,
    /// Whose it is, and so how it would count.
    pub role: Role,
    /// How much of it runs, in `unit`.
    pub value: f64,
    /// From where on it would count; none: never.
    pub limit: Option<f64>,
    /// From where on people's work counts: what is above it here deserves a look.
    pub work: f64,
    /// The unit.
    pub unit: String,
}

impl UncountedView {
    /// Its name for people: the unit or container without its path and without `.service`.
    pub fn name(&self) -> &str {
        let last = last_part(&self.subject);
        last.strip_suffix(".service").unwrap_or(last)
    }
}

/// The last part of a subject that is a path: the unit or the container, with whatever words stand behind it.
pub fn last_part(subject: &str) -> &str {
    // A slash behind the first blank is one of the words.
    let path = subject.split(' ').next().unwrap_or(subject);
    let start = path.rfind('/').map_or(0, |at| at + 1);
    subject.get(start..).unwrap_or(subject)
}

/// What has kept the machine up for hours by itself, while nobody was seen: an idle daemon above its limit, perhaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptUpView {
    /// The source that told of it last.
    pub source: SourceName,
    /// The subject.
    pub subject: String,
    /// Whose.
    pub owner: Option<String>,
    /// Whose it is, and so how it counts.
    pub role: Role,
    /// Since when nothing else was a use and nobody was seen.
    pub since: Stamp,
    /// When it was a use last.
    pub last: Stamp,
}

/// The whole picture: one struct for `status`, `why`, D-Bus, the journal and the tags. Making it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// When it was made.
    pub now: Stamp,
    /// Observe or enforce.
    pub mode: Mode,
    /// The profile.
    pub profile: String,
    /// The stage.
    pub stage: Stage,
    /// When the stage began.
    pub stage_since: Stamp,
    /// One line: why this stage.
    pub because: String,
    /// Since when nothing has been used; none while something is.
    pub idle_since: Option<Stamp>,
    /// Milliseconds of known idleness, without the time that a source was blind.
    pub idle_ms: u64,
    /// Milliseconds of idleness that lead to the action, with everything that stretches them.
    pub act_after_ms: u64,
    /// What stretches them most, if something does.
    pub stretch: Option<StretchView>,
    /// What will be done; none when nothing will.
    pub power: Option<Power>,
    /// When, if nothing changes; none while something keeps it up for an unknown time.
    pub act_at: Option<Stamp>,
    /// When people will be, or were, warned.
    pub warn_at: Vec<Stamp>,
    /// Every source.
    pub sources: Vec<SourceView>,
    /// Who uses the machine, or is there: by name.
    pub users: Vec<UserView>,
    /// The use that was seen last.
    pub last_use: Option<UseView>,
    /// What runs and is not counted, the largest share of people's limit first.
    #[serde(default)]
    pub uncounted: Vec<UncountedView>,
    /// What has kept the machine up for hours by itself, if one thing did and nobody was seen.
    #[serde(default)]
    pub kept_up: Option<KeptUpView>,
    /// Every hold.
    pub holds: Vec<HoldView>,
    /// Everything that stands in the way.
    pub obstacles: Vec<Obstacle>,
    /// What this instance can do.
    pub abilities: Abilities,
    /// The last action.
    pub last_action: Option<LastAction>,
    /// What EC2 announced.
    #[serde(default)]
    pub interruptions: Interruptions,
    /// What is done about it.
    #[serde(default)]
    pub interruption: InterruptionPolicy,
}
