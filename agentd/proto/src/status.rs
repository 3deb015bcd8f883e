//! `GET /v1/status` and `GET /v1/why`: the whole picture. Both are one document; `why` also lists every signal.

mod agent;
mod counted;
mod idle;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spot::Interruption;

pub use agent::{Agent, Config, Imds, Instance};
pub use counted::{Account, ConfigLine, Correction, KeptUp, Uncounted};
pub use idle::{Idle, LastUse, Stretch, User};

/// The schema of `GET /v1/status`.
pub const STATUS_SCHEMA: &str = "agentd/status/v1";

/// The schema of `GET /v1/why`.
pub const WHY_SCHEMA: &str = "agentd/why/v1";

/// Makes an enum of words in kebab-case that survives a word of a newer agent as `Other`.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
            /// A word that this reader does not know.
            #[serde(other)]
            Other,
        }

        impl $name {
            /// Every word that the agent sends.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other => "unknown-word",
                }
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Whether the agent acts.
    Mode {
        /// It decides and reports only.
        Observe = "observe",
        /// It acts.
        Enforce = "enforce",
    }
}

words! {
    /// How an instance is taken out of service.
    Power {
        /// Memory is kept.
        Hibernate = "hibernate",
        /// Memory is lost.
        Stop = "stop",
    }
}

words! {
    /// The stage of the idle machine.
    Stage {
        /// Just booted or resumed.
        Grace = "grace",
        /// Used.
        Active = "active",
        /// Not used, for a short while.
        Settling = "settling",
        /// Not used for `quiet_after`.
        Quiet = "quiet",
        /// People were warned.
        Warned = "warned",
        /// Every source is being read once more.
        Rechecking = "rechecking",
        /// The pre-stop hook runs.
        Draining = "draining",
        /// EC2 is being asked.
        Acting = "acting",
        /// EC2 accepted.
        Verifying = "verifying",
        /// Due, but the agent only observes.
        WouldAct = "would-act",
        /// Due, but refused for good.
        Refused = "refused",
    }
}

words! {
    /// What one source or signal says.
    Verdict {
        /// Used.
        Busy = "busy",
        /// Read, and below the limit.
        Idle = "idle",
        /// Keeps the machine up without being use.
        Blocks = "blocks",
        /// Present, and makes the agent wait longer.
        Stretches = "stretches",
        /// Not known, which is never idle.
        Blind = "blind",
        /// The machine has no such thing.
        Absent = "absent",
        /// Shown only.
        Ignored = "ignored",
        /// Switched off by policy.
        Disabled = "disabled",
    }
}

words! {
    /// What will happen, in one word.
    Prospect {
        /// The action has a time: see `at`.
        WillAct = "will-act",
        /// The action is under way.
        Acting = "acting",
        /// Something uses the machine.
        InUse = "in-use",
        /// Somebody holds it.
        Held = "held",
        /// Something keeps it up without being use.
        Blocked = "blocked",
        /// Something required is unknown: nothing will be done.
        Blind = "blind",
        /// EC2 or preflight refuses for good.
        Refused = "refused",
        /// It would have acted, but only observes.
        Observed = "observed",
        /// The policy never acts.
        Never = "never",
        /// Something else stands in the way: see `because`.
        Waiting = "waiting",
    }
}

words! {
    /// Whether the instance can do something.
    AbilityWord {
        /// Not found out yet.
        Unknown = "unknown",
        /// Every check passed.
        Can = "can",
        /// It cannot: see `code` and `detail`.
        Cannot = "cannot",
    }
}

words! {
    /// Whether the metadata service can be relied on.
    ImdsState {
        /// Everything that was asked last was answered.
        Ok = "ok",
        /// Something that was asked last was not answered: an interruption might not be seen.
        Blind = "blind",
        /// Not asked yet.
        Pending = "pending",
    }
}

/// The whole picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_SCHEMA`] or [`WHY_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// When this document was made.
    pub now: Timestamp,
    /// When the agent last decided.
    pub decided: Timestamp,
    /// The agent.
    pub agent: Agent,
    /// The instance; none while its identity is unknown, and then nothing is ever done.
    pub instance: Option<Instance>,
    /// The instance metadata service.
    pub imds: Imds,
    /// Whether EC2 announces an interruption; none from an agent that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Interruption>,
    /// The configuration.
    pub config: Config,
    /// Observe or enforce.
    pub mode: Mode,
    /// The profile.
    pub profile: String,
    /// The stage.
    pub stage: Stage,
    /// When the stage began.
    pub stage_since: Timestamp,
    /// Why this stage, one line.
    pub because: String,
    /// How long nothing has used the machine.
    pub idle: Idle,
    /// What will happen, and when.
    pub outlook: Outlook,
    /// Every source.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// The names of the sources that cannot be read.
    #[serde(default)]
    pub blind: Vec<String>,
    /// Who uses the machine or is there, who used it last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// What runs and is not counted as use, the largest share of people's limit first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncounted: Vec<Uncounted>,
    /// What keeps the machine up and what does not count although it is large, with the lines that correct that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// What has kept the machine up for hours by itself, while nobody was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_up: Option<KeptUp>,
    /// Whether the sources' totals hold everything that ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Every hold.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Everything that stands in the way.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// What this instance can do.
    pub abilities: Abilities,
    /// How the last action ended.
    pub last_action: Option<LastAction>,
}

/// What will happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// In one word.
    pub prospect: Prospect,
    /// What will be done; none when nothing will.
    pub power: Option<Power>,
    /// When, if nothing changes. Only ever set for `will-act`.
    pub at: Option<Timestamp>,
    /// In how many seconds. Only ever set for `will-act`.
    pub in_seconds: Option<f64>,
    /// When people are warned, before it.
    #[serde(default)]
    pub warn_at: Vec<Timestamp>,
    /// Why, one line.
    pub because: String,
    /// What a person can do about it, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// One source as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, as in `[source.NAME]`.
    pub source: String,
    /// The judgement.
    pub verdict: Verdict,
    /// What is used, or comes nearest to being, in `unit`: that of one thing as it was measured, unless it is said to be
    /// together. None for what is not a number.
    pub value: Option<f64>,
    /// At or above it that is use; none where any use counts.
    pub busy_above: Option<f64>,
    /// The unit: `core`, `B/s`, `%`; empty for what is not a number.
    #[serde(default)]
    pub unit: String,
    /// The value is that of several things, none of which is a use by itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub together: bool,
    /// Each of them is in it by the share of its own limit, beside the limit of people's work.
    #[serde(default, skip_serializing_if = "is_false")]
    pub weighed: bool,
    /// When this judgement began.
    pub since: Timestamp,
    /// For how long it holds.
    pub for_seconds: f64,
    /// When it was last used.
    pub last_activity: Option<Timestamp>,
    /// How long ago it was last used.
    pub last_activity_seconds: Option<f64>,
    /// How long ago it was last read; none when never.
    pub read_seconds: Option<f64>,
    /// Why it is blind, absent or blocking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its signals, the largest first; empty in `status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Signal>,
    /// So many more signals exist than are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub signals_left_out: usize,
}

/// One signal as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// What was read: a cgroup, a PTY, a GPU, a lock.
    pub subject: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The judgement.
    pub verdict: Verdict,
    /// Whose it is, and so how it counts: `workload` (people's work), `local` (a unit that no package brought), `server` (a
    /// server of a package), `upkeep` (keeps the machine), `unexplained` (in no account), `ignored` (never counts); empty
    /// from an agent that does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// The limit that it has by itself, in the source's unit; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// The value in the source's unit.
    pub value: Option<f64>,
    /// How long ago it was last used.
    pub last_activity_seconds: Option<f64>,
}

/// One hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id, for `release`.
    pub id: u64,
    /// Its owner's user id.
    pub uid: u32,
    /// Its owner's name.
    pub owner: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The process that it ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was made.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// In how many seconds it ends.
    pub left_seconds: f64,
}

/// Something that keeps the agent from acting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Obstacle {
    /// A stable word: `boot-grace`, `hold`, `blocked`, `blind`, `identity-unknown`, `interrupted`, `observe`, `refused` …
    pub code: String,
    /// What, whose, and the remedy, one line.
    #[serde(default)]
    pub detail: String,
    /// When it goes away by itself.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// In how many seconds it goes away by itself.
    #[serde(default)]
    pub left_seconds: Option<f64>,
}

/// What this instance can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Hibernation.
    pub hibernate: Ability,
    /// Plain stop.
    pub stop: Ability,
}

/// Whether one thing can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// In one word.
    pub can: AbilityWord,
    /// Why not: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, and the remedy, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How the last action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// What was asked for.
    pub power: Power,
    /// When.
    pub at: Timestamp,
    /// `accepted`, `hibernated`, `cold-boot`, `stopped`, `never-stopped`, `refused`, `failed`, `called-off`, `would-act`.
    pub result: String,
    /// One line for people.
    #[serde(default)]
    pub detail: String,
    /// What ran and was not counted as use, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
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
        same(Mode::ALL, Mode::as_str);
        same(Power::ALL, Power::as_str);
        same(Stage::ALL, Stage::as_str);
        same(Verdict::ALL, Verdict::as_str);
        same(Prospect::ALL, Prospect::as_str);
        same(AbilityWord::ALL, AbilityWord::as_str);
        same(ImdsState::ALL, ImdsState::as_str);
    }

    #[test]
    fn a_word_of_a_newer_agent_is_survived() {
        assert_eq!(serde_json::from_str::<Stage>("\"dreaming\"").unwrap(), Stage::Other);
        assert_eq!(serde_json::from_str::<Verdict>("\"dreaming\"").unwrap(), Verdict::Other);
    }

    #[test]
    fn a_source_is_read_without_the_fields_that_may_be_left_out() {
        let text = r#"{"source":"cpu","verdict":"idle","value":0.01,"busy_above":0.05,"since":"2026-01-01T00:00:00Z",
            "for_seconds":4.5,"last_activity":null,"last_activity_seconds":null,"read_seconds":1.0,"new":1}"#;
        let source: Source = serde_json::from_str(text).unwrap();
        assert!(source.signals.is_empty() && source.unit.is_empty());
        let back = serde_json::to_string(&source).unwrap();
        assert!(!back.contains("signals"), "{back}");
    }
}
