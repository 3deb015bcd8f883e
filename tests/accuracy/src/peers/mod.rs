//! The rules of other tools, written from their documented behaviour, with their documented faults.
//!
//! Every rule looks at the same steps. All are given the same timeout, so that what is compared is what they see.

mod autosuspend;
mod cloud9;
mod cloudwatch;
mod culler;
mod dstack;
mod gpumon;
mod logind;
mod prism;
mod res;
mod sagemaker;
mod seed004;
mod skypilot;
mod spored;

use std::fmt;

use crate::scenario::Scenario;
use crate::step::Step;

/// A rule that looks at a machine again and again.
pub trait Rule {
    /// Looks; whether it stops the machine now. It is called at every step and looks when it is its time.
    fn stops(&mut self, step: &Step) -> bool;
}

/// What a rule is made with.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Idle for so many seconds leads to a stop.
    pub timeout: u32,
    /// When it looks for the first time, in seconds.
    pub phase: u32,
    /// The machine.
    pub scenario: &'a Scenario,
}

/// Another tool.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Its name, the head of its column.
    pub name: &'static str,
    /// What it looks at, one line.
    pub about: &'static str,
    /// Its own timeout in minutes.
    pub own_timeout: u32,
    /// Makes the rule.
    pub rule: fn(Setting<'_>) -> Box<dyn Rule>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every other tool, in the order of the columns.
pub const PEERS: &[Peer] = &[
    seed004::PEER,
    prism::PEER,
    spored::PEER,
    autosuspend::PEER,
    skypilot::PEER,
    dstack::PEER,
    cloud9::PEER,
    sagemaker::PEER,
    culler::PEER,
    gpumon::PEER,
    res::PEER,
    logind::PEER,
    cloudwatch::PEER,
];

/// A clock that looks every `period` seconds from `phase` on.
#[derive(Clone, Copy, Debug)]
struct Every {
    period: u32,
    phase: u32,
}

impl Every {
    fn is_due(self, t: u32) -> bool {
        t >= self.phase && (t - self.phase).is_multiple_of(self.period)
    }
}

/// Since when a rule has seen nothing; the moment is of whichever clock the tool uses.
#[derive(Clone, Copy, Debug, Default)]
struct Quiet(Option<i64>);

impl Quiet {
    /// Takes in a look; whether nothing was seen for `timeout` seconds.
    fn look(&mut self, now: i64, active: bool, timeout: u32) -> bool {
        if active {
            self.0 = None;
            return false;
        }
        now - *self.0.get_or_insert(now) >= i64::from(timeout)
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}
