//! What a source says of the machine: raw readings, never judgements.
//!
//! A source reports counters and levels as the kernel gives them. The engine alone turns them into rates, compares
//! them with the policy and decides; that is why a recorded trace can be replayed under another policy.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The name of a source, as in `[source.NAME]`: `cpu`, `input`, `gpu` …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(pub std::borrow::Cow<'static, str>);

impl SourceName {
    /// A name known at compile time.
    pub const fn new(name: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for SourceName {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

/// Whose work a signal tells of. Each role has a limit of its own ([`crate::policy::Limits`]); one weighed sum over all of
/// them decides, so that no split of a load over units, users or groups makes it idle.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// People's work: sessions, containers, jobs of cron, what user-data started. It has the lowest limit.
    #[default]
    Workload,
    /// A unit that was made on this machine and that no package brought.
    Local,
    /// A server that a package brought: a data base, a web server.
    Server,
    /// What is known to keep a machine: it counts nothing up to a ceiling, and as a server above it.
    Upkeep,
    /// What the totals of the kernel hold beyond everything that is booked: work, once it is above the tolerance.
    Unexplained,
    /// Shown in `why` as ignored, never counts: the agent's own, the helpers of editors, displays.
    Ignored,
}

impl Role {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Local => "local",
            Self::Server => "server",
            Self::Upkeep => "upkeep",
            Self::Unexplained => "unexplained",
            Self::Ignored => "ignored",
        }
    }
}

/// One raw value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Value {
    /// A counter that only grows while its subject lives (CPU microseconds, bytes). The engine sums the rates of a
    /// source's counters, each weighed by the limit of its role, and compares the sum with `busy_above`.
    Counter {
        /// The count since the subject began, in the source's base unit.
        total: u64,
    },
    /// A momentary level (percent of GPU time). The highest level of a source is compared with `busy_above`.
    Level {
        /// The level in the source's unit.
        value: f64,
    },
    /// A mark that changes whenever the subject is used (the access time of a PTY). A *change* between two readings
    /// is activity; the number itself means nothing, so a stepped wall clock cannot fake or hide use.
    Mark {
        /// Any number that changes with use.
        mark: u64,
        /// How long before the reading the last change happened, in milliseconds, where the source can tell.
        age_ms: Option<u64>,
    },
    /// Present now, and while present no action is taken (an inhibitor, a held dpkg lock, a running cloud-init).
    Blocks {
        /// After this many milliseconds of uninterrupted presence on a machine that is awake it stops counting and is reported instead.
        cap_ms: u64,
    },
    /// Present now, and while present the machine must be idle for longer before an action is taken. Presence is not
    /// use: a session that was left open would keep the machine up for ever.
    Stretches {
        /// What is present.
        by: Stretch,
    },
    /// Shown, never judged.
    Shown {
        /// The value in the source's unit.
        value: f64,
    },
}

/// What makes the agent wait longer. The order is that of the waiting: a job is waited for longer than a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stretch {
    /// Somebody is connected and silent: a shell at its prompt, a tunnel, an editor's server with a client.
    Connected,
    /// A job runs in the foreground of somebody's terminal, or was left running without one.
    Job,
}

impl Stretch {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Job => "job",
        }
    }
}

/// One value of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// What was read: a cgroup, a PTY, a GPU, a lock. Stable from reading to reading.
    pub subject: String,
    /// Whose it is, for people: a user name or a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it counts.
    #[serde(default)]
    pub role: Role,
    /// The value.
    pub value: Value,
}

impl Signal {
    /// A signal that counts, without an owner.
    pub fn new(subject: impl Into<String>, value: Value) -> Self {
        Self { subject: subject.into(), owner: None, role: Role::Workload, value }
    }

    /// The same signal with an owner.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The same signal as work of `role`.
    #[must_use]
    pub fn of(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The same signal, shown but never counted.
    #[must_use]
    pub fn ignored(mut self) -> Self {
        self.role = Role::Ignored;
        self
    }
}

/// The beginning of the subject by which a source says whether its account closes.
const ACCOUNT_OF: &str = "account of ";
/// The beginning of what is said of an account that is kept.
const KEPT: &str = "kept by ";
/// The beginning of what may be said of one that is not.
const NOT_KEPT: &str = "cannot be kept: ";
/// What is said before the first comparison.
const BEGINS: &str = "it begins";

/// Whether the account of a source closes: whether its total holds everything that ran, so that what is not booked is
/// seen. A source says so by a signal that is shown and never counted: its subject is `account of CPU time`, `account of
/// network` or the like, its owner `kept by ` and the total, or why it cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Of what: `CPU time`, `network`, `disk traffic`.
    pub of: &'a str,
    /// Whether it closes; none before that is known.
    pub closed: Option<bool>,
    /// The total that it is kept by, or why it is not.
    pub detail: &'a str,
}

impl<'a> Account<'a> {
    /// Whether a subject is an account.
    pub fn is(subject: &str) -> bool {
        subject.starts_with(ACCOUNT_OF)
    }

    /// What a signal says of an account, if it is one.
    pub fn of(subject: &'a str, owner: Option<&'a str>) -> Option<Self> {
        let of = subject.strip_prefix(ACCOUNT_OF)?;
        let said = owner.unwrap_or_default();
        if let Some(total) = said.strip_prefix(KEPT) {
            return Some(Self { of, closed: Some(true), detail: total });
        }
        let detail = said.strip_prefix(NOT_KEPT).unwrap_or(said);
        // Nobody is warned of what the next minute brings.
        let closed = if detail.starts_with(BEGINS) { None } else { Some(false) };
        Some(Self { of, closed, detail })
    }
}

/// What one look at one source gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// The source was read. No signals means: looked, and there is nothing (no PTY is open).
    Signals(Vec<Signal>),
    /// The machine does not have what this source reads (no GPU). It never had it, so nothing is unknown.
    Absent {
        /// Why that is certain.
        why: String,
    },
    /// The source could not be read. **Unknown is never idle.**
    Blind {
        /// What failed, on which object.
        why: String,
    },
}

impl Reading {
    /// A blind reading with its reason.
    pub fn blind(why: impl Into<String>) -> Self {
        Self::Blind { why: why.into() }
    }

    /// An absent reading with its reason.
    pub fn absent(why: impl Into<String>) -> Self {
        Self::Absent { why: why.into() }
    }
}

/// A reading and where it comes from. The moment is the stamp that is handed in with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The source.
    pub source: SourceName,
    /// What it gave.
    pub reading: Reading,
}
