//! The account of CPU time: what all CPUs did, and what of it nobody is booked for.
//!
//! Groups tell whose work is done, but not everything is in a group: kernel threads are not, nor is what moved into the
//! top group, or what a group did in its last seconds. So the total of the machine, from a counter that loses nothing
//! (`total`), is compared with the sum of all groups, of the kernel's threads and of the processes of the top group
//! (`threads`). What is left is reported as [`Role::Unexplained`]: work, once it is more than the error of such an account.
//!
//! Kernel threads have to be read one by one. That is done once a minute, and as often as the pace allows while there is
//! something to explain. Only then the rest is known, for the time since the walk before; it is told little by little
//! over as long a time (`spread`), so that a lump is no peak.
//!
//! Two counters that are read one after the other are never of one moment, and the scheduler books a task late. So a rest
//! may be negative for a while and is made up for later: the balance is kept, down to [`SLACK_US`]. A rest that stays
//! negative says that the total is wrong, not that the machine is idle: then another total is taken.

mod spread;
mod threads;
mod total;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use self::spread::Spread;
use self::threads::{Threads, Walk};
use self::total::{Total, Totals};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::stat::{self, Times};
use crate::host::{HostError, HostRoot};
use crate::sources::pace::Pace;

/// The subject of what no account explains.
const UNEXPLAINED: &str = "CPU time that no account explains";
/// The subject that says how the account is kept.
const ACCOUNT: &str = "account of CPU time";
/// The most of a rest that an earlier negative one may hide, in microseconds.
const SLACK_US: i64 = 1_000_000;
/// Kernel threads are read at least this often…
const SELDOM: Duration = Duration::from_mins(1);
/// …and sooner while more than this many cores are not in any group.
const ASKS: f64 = 0.02;
/// The error of an account: this many cores…
const TOLERANCE: f64 = 0.05;
/// …or this part of everything, whichever is more (measured: 1.5 % at two cores, else less than 0.03 core).
const PART: f64 = 0.02;
/// A mean rest below this many cores cannot be…
const NEGATIVE: f64 = -0.02;
/// …if it lasts this long: the scheduler books a task that never leaves its CPU late.
const JUDGED: Duration = Duration::from_mins(3);
/// From here on, in cores, it is said who did it.
const WORTH_A_NAME: f64 = 0.01;

/// Keeps the account.
#[derive(Debug)]
pub(super) struct Account {
    root: HostRoot,
    totals: Totals,
    threads: Threads,
    pace: Pace,
    /// A whole look was asked for.
    wanted: bool,
    walked_at: Option<Stamp>,
    looked_at: Option<Stamp>,
    period: Option<Period>,
    balance_us: i64,
    rest: Spread,
    /// What the rest of the last period may be.
    hint: Option<String>,
    closing: Closing,
    /// Why there is no account, as of the last look.
    fault: Option<String>,
    /// Kernel threads by what they serve; the empty name is that of all others.
    booked: BTreeMap<&'static str, (Spread, Option<String>)>,
}

/// The time since the last walk.
#[derive(Debug)]
struct Period {
    since: Stamp,
    /// The counter at its beginning.
    total: Total,
    /// What the CPUs did since then, and what is booked of it to groups, microseconds.
    total_us: u64,
    groups_us: u64,
    groups: BTreeMap<String, u64>,
    /// Groups of the top that ended or were made anew: what they did last is in the rest.
    ended: Vec<String>,
    times: Option<Times>,
}

/// How well it closes.
#[derive(Debug, Default)]
struct Closing {
    rest_us: i64,
    span: Duration,
    /// The mean rest of the last time that was long enough, in cores.
    mean: Option<f64>,
}

impl Account {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            totals: Totals::new(root.clone()),
            threads: Threads::new(root.clone()),
            root,
            pace: Pace::default(),
            wanted: false,
            walked_at: None,
            looked_at: None,
            period: None,
            balance_us: 0,
            rest: Spread::default(),
            hint: None,
            closing: Closing::default(),
            fault: Some("it begins".to_owned()),
            booked: BTreeMap::new(),
        }
    }

    /// Makes the next look a whole one.
    pub(super) fn refresh(&mut self) {
        self.wanted = true;
    }

    /// Looks at the whole machine. `tops` is what the groups directly below the top of `hierarchy` used, microseconds. A
    /// total that cannot be had is said in a signal: without one every group counts as it is.
    pub(super) fn look(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        tops: &[(String, u64)],
    ) -> Vec<Signal> {
        if let Err(error) = self.measure(now, hierarchy, tops) {
            self.give_up(format!("failed to {error}"));
        }
        self.looked_at = Some(now);
        self.signals(now)
    }

    fn measure(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        tops: &[(String, u64)],
    ) -> Result<(), HostError> {
        let nested = hierarchy.is_nested()?;
        let total = if hierarchy.version() == Version::Legacy {
            Err("control groups of version 1 do not hold every process".to_owned())
        } else {
            self.totals.read(now, hierarchy, nested)?
        };
        let total = match total {
            Ok(total) => Some(total),
            Err(why) => {
                self.give_up(why);
                None
            }
        };
        let follows = match (&mut self.period, &total) {
            (Some(period), Some(total)) => period.advance(total, tops),
            _ => false,
        };
        if !follows && self.period.take().is_some() {
            // Until the next walk nothing can be said.
            self.fault =
                Some(format!("{} cannot be compared with the look before", self.totals.name()));
        }
        if !self.is_due(now) {
            return Ok(());
        }
        let walk = self.threads.walk(hierarchy)?;
        self.wanted = false;
        self.pace.walked(now, walk.read);
        self.book(now, &walk);
        if walk.kernel == 0 && !nested {
            self.give_up("the kernel's threads are out of sight".to_owned());
            self.walked_at = Some(now);
            return Ok(());
        }
        let times = if nested { None } else { stat::times(&self.root).ok() };
        if let (Some(period), Some(total)) = (self.period.take(), &total) {
            self.close(now, &period, &walk, times, total);
        }
        self.walked_at = Some(now);
        self.period = total.map(|total| Period::new(now, total, tops, times));
        Ok(())
    }

    /// A walk is due at the beginning of a period, once a minute, and while there is something to explain.
    fn is_due(&self, now: Stamp) -> bool {
        let Some(walked_at) = self.walked_at.filter(|_| !self.wanted) else { return true };
        let Some(period) = &self.period else { return self.pace.due(now) };
        let span = now.since(period.since);
        let open = period.total_us.saturating_sub(period.groups_us);
        let asks = cores(signed(open), span) >= ASKS;
        self.pace.due(now) && (asks || now.since(walked_at) >= SELDOM)
    }

    fn give_up(&mut self, why: String) {
        self.period = None;
        self.closing = Closing::default();
        self.fault = Some(why);
    }

    /// Takes in what kernel threads did since the walk before.
    fn book(&mut self, now: Stamp, walk: &Walk) {
        let (Some(since), Some(looked_at)) = (self.walked_at, self.looked_at) else {
            self.booked.entry("").or_default();
            return;
        };
        let span = now.since(since);
        for (served, used) in &walk.threads {
            let (spread, owner) = self.booked.entry(served).or_default();
            spread.add(looked_at, used.us, span, 0);
            *owner = (cores(signed(used.us), span) >= WORTH_A_NAME).then(|| used.top.clone());
        }
    }

    /// Ends a period.
    fn close(
        &mut self,
        now: Stamp,
        period: &Period,
        walk: &Walk,
        times: Option<Times>,
        total: &Total,
    ) {
        let span = now.since(period.since);
        let (Some(looked_at), false) = (self.looked_at, span.is_zero()) else { return };
        let mut rest_us = signed(period.total_us)
            .saturating_sub(signed(period.groups_us))
            .saturating_sub(signed(walk.threads.values().map(|used| used.us).sum()))
            .saturating_sub(signed(walk.processes_us));
        let grown = |of: fn(&Times) -> u64| match (&times, &period.times) {
            (Some(after), Some(before)) => of(after).saturating_sub(of(before)),
            _ => 0,
        };
        // What was stolen from a task is in the total, and with some kernels in the task's own time.
        if rest_us > 0 {
            rest_us = rest_us.saturating_sub(signed(grown(|times| times.steal_us))).max(0);
        }
        self.judge(now, rest_us, span, total);
        let allowed = micros(PART * secs(period.total_us) - TOLERANCE * span.as_secs_f64());
        self.balance_us = self
            .balance_us
            .saturating_add(rest_us)
            .saturating_sub(signed(allowed))
            .max(-SLACK_US);
        let rest = u64::try_from(self.balance_us).unwrap_or(0);
        if rest > 0 {
            self.balance_us = 0;
        }
        // What is above the tolerance for certain is told at once, for the look before an action.
        let minute = if span > SELDOM {
            micros(secs(rest) * SELDOM.as_secs_f64() / span.as_secs_f64())
        } else {
            rest
        };
        let at_once = if cores(signed(rest), span) >= TOLERANCE { minute } else { 0 };
        self.rest.add(looked_at, rest, span, at_once);
        let interrupts = cores(signed(grown(|times| times.interrupts_us)), span);
        let worth = cores(signed(rest), span) >= WORTH_A_NAME;
        self.hint = worth.then(|| hint(interrupts, &period.ended, walk)).flatten();
    }

    /// Judges the total by the rest that it left.
    fn judge(&mut self, now: Stamp, rest_us: i64, span: Duration, total: &Total) {
        self.fault = None;
        let closing = &mut self.closing;
        closing.rest_us = closing.rest_us.saturating_add(rest_us);
        closing.span = closing.span.saturating_add(span);
        let mean = cores(closing.rest_us, closing.span);
        if closing.span < JUDGED {
            // Until then what is known so far is shown.
            closing.mean.get_or_insert(mean);
            return;
        }
        *closing = Closing { mean: Some(mean), ..Closing::default() };
        if mean < NEGATIVE {
            self.totals.refuse(now, total, mean);
            self.closing = Closing::default();
        }
    }

    fn signals(&mut self, now: Stamp) -> Vec<Signal> {
        let counter = |subject: String, total| Signal::new(subject, Value::Counter { total });
        let unexplained = self.rest.tell(now);
        let mut signals = vec![Signal {
            owner: self.hint.clone(),
            ..counter(UNEXPLAINED.to_owned(), unexplained).of(Role::Unexplained)
        }];
        for (served, (spread, owner)) in &mut self.booked {
            let (subject, role) = if served.is_empty() {
                ("kernel threads".to_owned(), Role::Upkeep)
            } else {
                (format!("kernel threads of {served}"), Role::Server)
            };
            let signal = counter(subject, spread.tell(now)).of(role);
            signals.push(Signal { owner: owner.clone(), ..signal });
        }
        let (value, text) = if let Some(why) = &self.fault {
            (0.0, format!("cannot be kept: {why}; groups count as they are"))
        } else {
            let mean = self.closing.mean.unwrap_or(0.0);
            ((mean * 1000.0).round() / 1000.0, format!("kept by {}", self.totals.name()))
        };
        signals.push(Signal::new(ACCOUNT, Value::Shown { value }).owned_by(text).ignored());
        signals
    }
}

impl Period {
    fn new(since: Stamp, total: Total, tops: &[(String, u64)], times: Option<Times>) -> Self {
        let groups = tops.iter().cloned().collect();
        Self { since, total, total_us: 0, groups_us: 0, groups, ended: Vec::new(), times }
    }

    /// Takes in another look; false if it cannot be compared with the one before.
    fn advance(&mut self, total: &Total, tops: &[(String, u64)]) -> bool {
        let Some(total_us) = total.since(&self.total) else { return false };
        self.total_us = total_us;
        let mut before = std::mem::take(&mut self.groups);
        for (name, used) in tops {
            let (name, old) = before.remove_entry(name).unwrap_or_else(|| (name.clone(), 0));
            // A group that was made anew began at nothing.
            let grown = used.checked_sub(old).unwrap_or_else(|| {
                self.ended.push(name.clone());
                *used
            });
            self.groups_us = self.groups_us.saturating_add(grown);
            self.groups.insert(name, *used);
        }
        self.ended.extend(before.into_keys());
        true
    }
}

/// What a rest may be, for people.
fn hint(interrupts: f64, ended: &[String], walk: &Walk) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(name) = &walk.process {
        parts.push(format!("what ended below {name} in the top control group"));
    }
    if walk.unseen > 0 {
        parts.push(format!("{} processes of another namespace", walk.unseen));
    }
    parts.extend(ended.first().map(|name| format!("the last of {name}")));
    if interrupts >= WORTH_A_NAME {
        parts.push(format!("interrupts {interrupts:.2} core"));
    }
    (!parts.is_empty()).then(|| format!("perhaps {}", parts.join(", ")))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn secs(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

/// Seconds as microseconds; nothing of what is negative.
fn micros(secs: f64) -> u64 {
    let span = Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default();
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// So many microseconds of CPU in so long, in cores.
fn cores(us: i64, span: Duration) -> f64 {
    let size = secs(us.unsigned_abs()) / span.as_secs_f64().max(0.001);
    if us < 0 { -size } else { size }
}

#[cfg(test)]
mod tests;
