//! Whether what a daemon's group read and wrote is the daemon's, or that of the jobs it started.
//!
//! A group has one counter for all of its processes. What it moved between two looks is somebody's if one of somebody's processes
//! was there at either of them. Cron and at move nothing themselves: there it is somebody's too if nobody was met, unless a
//! package's job was.

use std::collections::BTreeMap;

use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::inside::{Inmates, Inside};
use crate::sources::ownership::{Ownership, starts_work};

/// Daemons that move nothing themselves.
const IDLE: [&str; 5] =
    ["cron.service", "crond.service", "cronie.service", "anacron.service", "atd.service"];

/// Remembers who was in which group.
#[derive(Debug)]
pub(super) struct Jobs {
    inside: Inside,
    before: BTreeMap<String, Seen>,
    now: BTreeMap<String, Seen>,
}

/// A group at one look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: u64,
    inmates: Inmates,
    worked: bool,
}

impl Jobs {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        let (before, now) = (BTreeMap::new(), BTreeMap::new());
        Self { inside: Inside::new(root), before, now }
    }

    /// Whether the bytes since the last look of the group of such a daemon are somebody's. Who is in it is looked at only where
    /// there are new ones.
    pub(super) fn worked(
        &mut self,
        now: Stamp,
        groups: &Hierarchy,
        ownership: &Ownership,
        path: &str,
        bytes: u64,
    ) -> Result<bool, HostError> {
        let unit = path.rsplit('/').next().unwrap_or_default();
        if starts_work(unit).is_none() {
            return Ok(false);
        }
        let before = self.before.get(path).copied();
        let seen = match before {
            Some(seen) if seen.bytes == bytes => seen,
            _ => {
                let place = ownership.of(path);
                let inmates = self.inside.inmates(now, (groups, ownership), place)?;
                let was = before.map(|seen| seen.inmates).unwrap_or_default();
                let unmet = IDLE.contains(&unit) && !inmates.packages && !was.packages;
                let worked = inmates.persons || was.persons || unmet;
                Seen { bytes, inmates, worked }
            }
        };
        self.now.insert(path.to_owned(), seen);
        Ok(seen.worked)
    }

    /// Ends a look.
    pub(super) fn finish(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}
