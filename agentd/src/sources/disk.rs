//! Bytes that are read from and written to disks.
//!
//! Where the io controller is on, the counters of the control groups tell whose bytes they are. (The agent's unit turns
//! it on for the whole of `system.slice` and `user.slice` by `IOAccounting=yes`.) `/proc/PID/io` is not used: reading
//! other users' would take the privilege to trace any process.
//!
//! What the disks moved and no group did (`account`) is the kernel's: its journals, mostly. Beyond a share of that it counts as
//! work: not every file system tells who wrote what is written back later.
//!
//! What jobs of cron, Run Command and the like move is in the group of the daemon that started them; it is told by who is in there
//! (`jobs`).
//!
//! Elsewhere nobody can say whose bytes they are. Then all bytes of all disks count: a copy that waits for its disk
//! most of the time may use too little CPU to be seen otherwise, while a machine at rest writes far less than the limit.

mod account;
mod jobs;

use std::collections::HashMap;
use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Role, Signal, Value};
use agent_core::stamp::Stamp;

use self::account::Account;
use self::jobs::Jobs;
use super::cpu::units::{Found, Units, lasts};
use super::ownership::{Class, Ownership, kind};
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::block::{self, Disk as Whole, Layer};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::{HostError, HostRoot};

/// How deep slices may lie in slices.
const SLICES: usize = 8;
/// From here on, in bytes a second, what no group did may be work.
const UNEXPLAINED_ABOVE: f64 = 262_144.0;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "disk",
    about: "Disk traffic of people's sessions, containers and other work, or of the whole machine where the kernel does not tell whose it is.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 262_144.0,
    limits: Some(RoleLimits {
        local_above: 524_288.0,
        server_above: 1_048_576.0,
        upkeep_above: 4_194_304.0,
        upkeep_together: 8_388_608.0,
        unexplained_above: UNEXPLAINED_ABOVE,
    }),
    average: Duration::from_mins(2),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::Units,
        default: "[]",
        about: "Services of the system whose disk traffic counts as work too.",
    }],
    open: |context| Opened::Blocking(Box::new(Disk::new(context))),
};

#[derive(Debug)]
struct Disk {
    root: HostRoot,
    units: Vec<String>,
    upkeep: Vec<String>,
    services: Units,
    layers: Layers,
    account: Account,
    jobs: Jobs,
}

/// What the groups said, or why they cannot.
type Told = Result<Vec<Signal>, String>;

impl Disk {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self {
            units: context.list("units"),
            upkeep: context.list("upkeep"),
            services: Units::of_bytes(),
            layers: Layers { root: root.clone(), known: HashMap::new() },
            account: Account::new(root.clone()),
            jobs: Jobs::new(root.clone()),
            root,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        // The disks are read before the groups: what they move in between then never looks like a rest.
        let disks = block::disks(&self.root);
        let told = match Hierarchy::find(&self.root)? {
            Some(groups) if groups.version() == Version::Unified => {
                self.by_group(now, &groups, disks.as_deref())?
            }
            _ => Err("there are no control groups that count bytes".to_owned()),
        };
        match told {
            Ok(signals) => Ok(signals),
            Err(why) => {
                let whole = |disk: Whole| counter(&disk.name, disk.bytes);
                let mut signals: Vec<Signal> = disks?.into_iter().map(whole).collect();
                if !signals.is_empty() {
                    signals.push(account::cannot(&why));
                }
                Ok(signals)
            }
        }
    }

    /// The counters of the groups.
    fn by_group(
        &mut self,
        now: Stamp,
        groups: &Hierarchy,
        disks: Result<&[Whole], &HostError>,
    ) -> Result<Told, HostError> {
        let (units, upkeep) = (self.units.clone(), self.upkeep.clone());
        let ownership = Ownership::new(&self.root, groups.own()?, units, upkeep);
        ownership.look()?;
        let mut signals = Vec::new();
        let mut tops = Vec::new();
        for top in groups.children("")? {
            let class = ownership.of(&top).class;
            let Some(bytes) = self.layers.bytes(groups, &top)? else {
                // It may have ended just now; if not, the controller is off for it.
                if class == Class::People && groups.exists(&top)? {
                    return Ok(Err(format!("the io controller is off for {top}")));
                }
                continue;
            };
            if top == "system.slice" {
                if let Err(why) = self.system(now, groups, &ownership, bytes, &mut signals)? {
                    return Ok(Err(why));
                }
            } else {
                // For a whole slice: who is below user.slice and machine.slice is all work.
                signals.push(counter(&top, bytes).of(class.role()));
            }
            tops.push((top, bytes));
        }
        if tops.is_empty() {
            return Ok(Err("the io controller is off".to_owned()));
        }
        let disks = if groups.is_nested()? {
            Err("the disks are another machine's, as in a container".to_owned())
        } else {
            disks.map_err(|error| format!("failed to {error}"))
        };
        signals.extend(self.account.look(now, groups, disks, &tops));
        Ok(Ok(signals))
    }

    /// The units of `system.slice`, by whose they are.
    fn system(
        &mut self,
        now: Stamp,
        groups: &Hierarchy,
        ownership: &Ownership,
        total: u64,
        signals: &mut Vec<Signal>,
    ) -> Result<Result<(), String>, HostError> {
        let mut found = Vec::new();
        for name in groups.children("system.slice")? {
            let path = format!("system.slice/{name}");
            let Some(bytes) = self.layers.bytes(groups, &path)? else {
                if groups.exists(&path)? {
                    return Ok(Err(format!("the io controller is off for {path}")));
                }
                continue;
            };
            let Some(id) = groups.id(&path)? else { continue };
            let mut role = role(groups, ownership, &path, SLICES)?;
            if role != Role::Workload && self.jobs.worked(now, groups, ownership, &path, bytes)? {
                role = Role::Workload;
            }
            let restarts = ownership.restarts(&path);
            let lasts = restarts && lasts(&self.root, &path, now);
            found.push((path, Found { role, id, used_us: bytes, owner: None, restarts, lasts }));
        }
        self.jobs.finish();
        self.services.begin(total);
        for (path, unit) in &found {
            let (role, total) = self.services.take(path, unit)?;
            if role == Role::Workload {
                signals.push(counter(path, total));
            }
        }
        signals.extend(self.services.finish());
        Ok(Ok(()))
    }
}

/// How a unit counts. A slice of units counts as the one of them that counts soonest.
fn role(groups: &Hierarchy, ownership: &Ownership, path: &str, depth: usize) -> Result<Role, HostError> {
    if kind(path) != "slice" || depth == 0 {
        return Ok(ownership.of(path).class.role());
    }
    let mut least = Role::Upkeep;
    for name in groups.children(path)? {
        least = least.min(role(groups, ownership, &format!("{path}/{name}"), depth - 1)?);
    }
    Ok(least)
}

/// What block devices are, so that nothing is counted on a disk and once more on what stands on it.
#[derive(Debug)]
struct Layers {
    root: HostRoot,
    known: HashMap<String, Layer>,
}

/// More devices than this are not remembered: loop devices come and go.
const DEVICES: usize = 1024;

impl Layers {
    /// What a group moved, bytes: on disks, or on what stands on them where the bytes below are booked to no group of
    /// its own, whichever is more. None: the controller is off, or the group is gone.
    fn bytes(&mut self, groups: &Hierarchy, path: &str) -> Result<Option<u64>, HostError> {
        let Some(devices) = groups.io_bytes(path)? else { return Ok(None) };
        let (mut disks, mut above) = (0_u64, 0_u64);
        for (device, bytes) in devices {
            let layer = if let Some(layer) = self.known.get(&device) {
                *layer
            } else {
                if self.known.len() >= DEVICES {
                    self.known.clear();
                }
                let layer = block::layer(&self.root, &device)?;
                self.known.insert(device, layer);
                layer
            };
            match layer {
                Layer::Disk => disks = disks.saturating_add(bytes),
                Layer::Above => above = above.saturating_add(bytes),
                Layer::Memory => {}
            }
        }
        Ok(Some(disks.max(above)))
    }
}

impl Source for Disk {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(signals) if signals.is_empty() => {
                Reading::absent("the machine has no disk of its own")
            }
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }
}

fn counter(subject: &str, bytes: u64) -> Signal {
    Signal::new(subject, Value::Counter { total: bytes })
}

#[cfg(test)]
mod tests;
