//! What all CPUs did, from the best counter that there is.
//!
//! On the machine itself that is the scheduler's (`/proc/schedstat`), else all time without the idle column of
//! `/proc/stat`. Never its busy columns, nor the top group's `cpu.stat`, which repeats them: they are samples. In a container
//! both files are the host's; there the top group is somebody's, and its own `cpu.stat` is exact.

use std::time::Duration;

use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use crate::host::stat::{self, Ran, Times};
use crate::host::{HostError, HostRoot};

/// A total that was refused is tried again after this long.
const AGAIN: Duration = Duration::from_hours(1);

/// Where a total is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scheduler,
    Idle,
    Top,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "/proc/schedstat",
            Self::Idle => "the idle time in /proc/stat",
            Self::Top => "the top control group, which is not the machine's",
        }
    }
}

/// One reading.
#[derive(Clone, Copy, Debug)]
pub(super) enum Total {
    /// Of the scheduler.
    Scheduler(Ran),
    /// Times, at so many microseconds of a clock.
    Idle(Times, u64),
    /// Of the top group, microseconds.
    Top(u64),
}

impl Total {
    /// What the CPUs did since `before`, microseconds; none if that cannot be told: a CPU came or went, the counter fell
    /// or stands still.
    pub(super) fn since(&self, before: &Self) -> Option<u64> {
        match (self, before) {
            (Self::Scheduler(now), Self::Scheduler(before)) if now.cpus == before.cpus => {
                now.us.checked_sub(before.us)
            }
            (Self::Top(now), Self::Top(before)) => now.checked_sub(*before),
            (Self::Idle(now, at), Self::Idle(before, began)) if now.cpus == before.cpus => {
                let span = at.checked_sub(*began)?;
                let all = span.saturating_mul(u64::try_from(now.cpus).unwrap_or(u64::MAX));
                // Where nobody keeps the columns, idle time that does not grow is no work.
                let kept = now.all_us > before.all_us;
                // Its part in which a disk is waited for may fall back a little.
                let idle = now.idle_us.saturating_sub(before.idle_us);
                kept.then(|| all.saturating_sub(idle))
            }
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Scheduler(_) => Kind::Scheduler,
            Self::Idle(..) => Kind::Idle,
            Self::Top(_) => Kind::Top,
        }
    }
}

/// The counters of one machine.
#[derive(Debug)]
pub(super) struct Totals {
    root: HostRoot,
    used: Option<Kind>,
    refused: Vec<(Kind, Stamp, f64)>,
}

impl Totals {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self { root, used: None, refused: Vec::new() }
    }

    /// Reads the best one. `nested`: the machine's own are somebody else's. Why there is none is a text for people.
    pub(super) fn read(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        nested: bool,
    ) -> Result<Result<Total, String>, HostError> {
        self.refused.retain(|(_, until, _)| now.boot_ms < until.boot_ms);
        let total = if nested { self.top(hierarchy)? } else { self.whole(now)? };
        self.used = total.as_ref().ok().map(Total::kind);
        Ok(total)
    }

    fn top(&self, hierarchy: &Hierarchy) -> Result<Result<Total, String>, HostError> {
        if let Some(why) = self.refusal(Kind::Top) {
            return Ok(Err(why));
        }
        let none = "the top control group, which is not the machine's, has no total";
        Ok(hierarchy.cpu_us("")?.map(Total::Top).ok_or_else(|| none.to_owned()))
    }

    fn whole(&self, now: Stamp) -> Result<Result<Total, String>, HostError> {
        let refused = self.refusal(Kind::Scheduler);
        // A file that makes no sense is as good as none, as long as there is another.
        if refused.is_none()
            && let Ok(Some(ran)) = stat::ran(&self.root)
        {
            return Ok(Ok(Total::Scheduler(ran)));
        }
        if let Some(why) = self.refusal(Kind::Idle) {
            return Ok(Err(refused.map_or(why.clone(), |other| format!("{other}; {why}"))));
        }
        let times = stat::times(&self.root)?;
        let at = times.read_us.unwrap_or(now.boot_ms.saturating_mul(1000));
        Ok(Ok(Total::Idle(times, at)))
    }

    fn refusal(&self, kind: Kind) -> Option<String> {
        let (_, _, mean) = self.refused.iter().find(|(refused, _, _)| *refused == kind)?;
        let missing = mean.abs();
        let how = if kind == Kind::Idle { " (is the tick never stopped: nohz=off?)" } else { "" };
        Some(format!("{} misses {missing:.2} core of what groups used{how}", kind.name()))
    }

    /// Takes the total for wrong for an hour: by it groups used more than there was, by so many cores.
    pub(super) fn refuse(&mut self, now: Stamp, total: &Total, mean: f64) {
        self.refused.push((total.kind(), now.after(AGAIN), mean));
    }

    /// What is used, for people.
    pub(super) fn name(&self) -> &'static str {
        self.used.map_or("nothing", Kind::name)
    }
}
