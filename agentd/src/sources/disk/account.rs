//! The account of disk traffic: what the disks moved, and what of it no group did.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::UNEXPLAINED_ABOVE;
use crate::host::block::Disk;
use crate::host::cgroup::Hierarchy;
use crate::host::process::Processes;
use crate::host::{HostError, HostRoot};
use crate::sources::pace::Pace;

/// The subject of what no group did.
const UNEXPLAINED: &str = "disk traffic that no account explains";
/// The subject of what the kernel does by itself.
const KERNEL: &str = "the kernel's upkeep of disks";
/// The subject that says how the account is kept.
const ACCOUNT: &str = "account of disk traffic";
/// The kernel's own share of everything, journals and metadata, in percent.
const PERCENT: u64 = 30;
/// The most of a rest that an earlier negative one may hide, in bytes: what is written back late.
const SLACK: i64 = 32 << 20;

/// Bytes by the name of a disk or a group.
type Totals = BTreeMap<String, u64>;

/// Keeps the account.
#[derive(Debug)]
pub(super) struct Account {
    processes: Processes,
    pace: Pace,
    /// The thread by which the kernel looks after a disk, as of the last search.
    keeper: Option<String>,
    /// When it was, what the disks had moved, and what the groups at the top had.
    before: Option<(Stamp, Totals, Totals)>,
    balance: i64,
    told: u64,
    kept: u64,
}

impl Account {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            processes: Processes::new(root),
            pace: Pace::default(),
            keeper: None,
            before: None,
            balance: 0,
            told: 0,
            kept: 0,
        }
    }

    /// Takes in what the disks moved since boot and what the groups at the top did, bytes. Without disks there is no total, and it is
    /// told why.
    pub(super) fn look(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        disks: Result<&[Disk], String>,
        tops: &[(String, u64)],
    ) -> Vec<Signal> {
        let note = match disks {
            Ok(disks) => match self.update(now, hierarchy, disks, tops) {
                Ok(()) => {
                    Signal::new(ACCOUNT, Value::Shown { value: 0.0 }).owned_by("kept by /proc/diskstats").ignored()
                }
                Err(error) => cannot(&format!("failed to {error}")),
            },
            Err(why) => {
                self.before = None;
                cannot(&why)
            }
        };
        let counter = |subject: &str, total| Signal::new(subject, Value::Counter { total });
        let kept = Signal { owner: self.keeper.clone(), ..counter(KERNEL, self.kept).ignored() };
        vec![counter(UNEXPLAINED, self.told).of(Role::Unexplained), kept, note]
    }

    fn update(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        disks: &[Disk],
        tops: &[(String, u64)],
    ) -> Result<(), HostError> {
        let disks = disks.iter().map(|disk| (disk.name.clone(), disk.bytes)).collect();
        let tops: Totals = tops.iter().cloned().collect();
        if let Some((since, disks_before, tops_before)) = &self.before {
            let span = now.since(*since);
            let moved = growth(disks_before, &disks);
            self.close(span, moved, growth(tops_before, &tops));
        }
        self.before = Some((now, disks, tops));
        let rest = u64::try_from(self.balance).unwrap_or(0);
        if rest == 0 {
            return Ok(());
        }
        self.balance = 0;
        // Where nobody can tell whether the kernel keeps a disk, the rest is not lost: it counts.
        let searched = if self.pace.due(now) { self.search(now, hierarchy) } else { Ok(()) };
        let sum = if self.keeper.is_some() { &mut self.kept } else { &mut self.told };
        *sum = sum.saturating_add(rest);
        searched
    }

    /// Adds what a time of such a length left to the balance, without the kernel's share.
    fn close(&mut self, span: Duration, moved: u64, booked: u64) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // Below its own limit a rest is no use anyway; the share matters where it is more than that.
        let allowed = (moved / 100).saturating_mul(PERCENT).saturating_sub(tolerated(span));
        self.balance = self
            .balance
            .saturating_add(signed(moved))
            .saturating_sub(signed(booked))
            .saturating_sub(signed(allowed))
            .max(-SLACK);
    }

    /// Looks for a thread by which the kernel initialises or repairs a disk: that is nobody's work, however much it moves.
    fn search(&mut self, now: Stamp, hierarchy: &Hierarchy) -> Result<(), HostError> {
        self.keeper = None;
        let proc = self.processes.open()?;
        let pids = hierarchy.pids("")?;
        self.pace.walked(now, pids.len());
        for pid in pids {
            let stat = self.processes.read(&proc, pid)?.filter(|stat| stat.kernel);
            if let Some(stat) = stat.filter(|stat| keeps_disks(stat.comm)) {
                self.keeper = Some(stat.name());
                break;
            }
        }
        Ok(())
    }
}

/// The signal that says why there is no account.
pub(super) fn cannot(why: &str) -> Signal {
    let text = format!("cannot be kept: {why}");
    Signal::new(ACCOUNT, Value::Shown { value: 0.0 }).owned_by(text).ignored()
}

/// The bytes below which a rest is the engine's to tolerate.
fn tolerated(span: Duration) -> u64 {
    let bytes = Duration::try_from_secs_f64(span.as_secs_f64() * UNEXPLAINED_ABOVE).unwrap_or_default();
    bytes.as_secs()
}

/// `ext4lazyinit` finishes a new file system; `md127_resync` and `md127_reshape` compare and repair disks of a RAID
/// (`drivers/md/md.c`).
fn keeps_disks(comm: &[u8]) -> bool {
    let raid = comm.starts_with(b"md") && (comm.ends_with(b"_resync") || comm.ends_with(b"_reshape"));
    raid || comm == b"ext4lazyinit"
}

/// By how much counters grew together. One that is new, or began anew, grew all that it is.
fn growth(before: &Totals, after: &Totals) -> u64 {
    let grown = after.iter().map(|(name, total)| {
        let old = before.get(name).copied().unwrap_or(0);
        total.checked_sub(old).unwrap_or(*total)
    });
    grown.fold(0, u64::saturating_add)
}
