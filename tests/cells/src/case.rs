//! A case: what runs on the machine, and what the agent must make of it.

use std::io;
use std::time::Duration;

use crate::cell::Cell;

/// After how long without use the agent of a cell acts (`idle.act_after`).
pub const ACT_AFTER: Duration = Duration::from_secs(40);

/// What must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The machine is in use: EC2 is not asked to stop it.
    Keep,
    /// Nobody uses it: it is stopped.
    Stop,
    /// It is in use for so many seconds and not stopped then, and it is stopped when that has ended.
    StopAfter(u64),
}

impl Right {
    /// For how long a cell is watched at most.
    pub fn watch(self) -> Duration {
        match self {
            // Wrong stops come with the first or the second tick at which they are possible.
            Self::Keep => ACT_AFTER + Duration::from_secs(14),
            Self::Stop => ACT_AFTER + Duration::from_secs(45),
            // A mean over a minute still holds the end of the work.
            Self::StopAfter(end) => ACT_AFTER + Duration::from_secs(end + 75),
        }
    }

    /// The word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Stop => "stop",
            Self::StopAfter(_) => "stop after its end",
        }
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called, in words with hyphens.
    pub name: &'static str,
    /// What must happen.
    pub right: Right,
    /// How much of a processor all its processes use, in cores: cells share the processors of the machine.
    pub cores: f64,
    /// More configuration of the agent.
    pub config: &'static str,
    /// Whether presence makes the agent wait longer. Elsewhere it does not, so that a machine is kept for its use alone.
    pub longer: bool,
    /// What runs on the other side of the cable, each as [`load`](crate::load) words.
    pub outside: &'static [&'static str],
    /// Starts what runs on the machine, before the agent.
    pub begin: fn(&Cell) -> io::Result<()>,
}

impl Case {
    /// A case in which nothing happens outside, with the usual configuration.
    pub const fn new(
        name: &'static str,
        right: Right,
        cores: f64,
        begin: fn(&Cell) -> io::Result<()>,
    ) -> Self {
        Self { name, right, cores, config: "", longer: false, outside: &[], begin }
    }

    /// The same with these loads outside.
    #[must_use]
    pub const fn outside(mut self, loads: &'static [&'static str]) -> Self {
        self.outside = loads;
        self
    }

    /// The same where jobs and connections are waited for.
    #[must_use]
    pub const fn longer(mut self) -> Self {
        self.longer = true;
        self
    }

    /// The same with more configuration.
    #[must_use]
    pub const fn config(mut self, text: &'static str) -> Self {
        self.config = text;
        self
    }
}
