//! CPU time of the workload, in cores.
//!
//! Cores, not percent of the machine: one busy thread is one core on every machine, while five percent of 96 CPUs are
//! nearly five threads.
//!
//! Where systemd keeps its slices in a control group hierarchy (the unified one or cpuacct of version 1), people's work, servers
//! and upkeep are told apart by group (`ownership`), and processes are looked at only in the groups of services, in which
//! people's processes may hide (`people`). Elsewhere (no systemd, a container, a
//! hybrid hierarchy without slices) every process counts that is not a kernel thread, not pid 1 and not the agent.
//!
//! What the groups do not hold of what the CPUs did is an account of its own (`account`): kernel threads, and what nobody
//! explains.
//!
//! What servers of development environments use for their own sake (`servers`) is shown and does not count; the control plane of
//! a Kubernetes in containers (`planes`) is upkeep.

mod account;
mod groups;
mod people;
mod planes;
mod servers;
mod starters;
mod tally;
pub(in crate::sources) mod units;

use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::ide::Tools;
use super::ownership::Ownership;
use super::pace::Pace;
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::cgroup::Hierarchy;
use crate::host::process::{self, Processes};
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};
use account::Account;
use groups::Groups;
use people::People;
use servers::Helpers;
use tally::{Part, Tally};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "cpu",
    about: "CPU time used by people's sessions, containers and other work, without the system's own housekeeping.",
    unit: "core",
    scale: 1e-6,
    combine: Combine::Sum,
    busy_above: 0.05,
    limits: Some(RoleLimits {
        local_above: 0.08,
        server_above: 0.12,
        upkeep_above: 0.15,
        upkeep_together: 0.4,
        unexplained_above: 0.05,
    }),
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::Units,
        default: "[]",
        about: "Services of the system whose CPU time counts as work too.",
    }],
    open: |context| Opened::Blocking(Box::new(Cpu::new(context))),
};

#[derive(Debug)]
struct Cpu {
    root: HostRoot,
    units: Vec<String>,
    upkeep: Vec<String>,
    users: Users,
    look: Option<Look>,
}

/// How the machine is looked at; found out at the first reading.
#[derive(Debug)]
enum Look {
    ByGroup(Box<ByGroup>),
    ByProcess(Box<AllProcesses>),
}

#[derive(Debug)]
struct ByGroup {
    groups: Groups,
    people: People,
    helpers: Helpers,
    account: Account,
}

impl Cpu {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        let users = Users::new(root.clone());
        let (units, upkeep) = (context.list("units"), context.list("upkeep"));
        Self { root, units, upkeep, users, look: None }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        if self.look.is_none() {
            self.look = Some(self.choose()?);
        }
        match &mut self.look {
            Some(Look::ByGroup(both)) => {
                let ByGroup { groups, people, helpers, account } = both.as_mut();
                helpers.begin(now)?;
                let found = groups.look((&self.root, now), people.services(), helpers, &mut self.users)?;
                helpers.finish();
                people.look(now, groups.hierarchy(), groups.ownership(), helpers, &found.mixed)?;
                let mut signals = found.signals;
                people.take_out(&mut signals);
                signals.extend(account.look(now, groups.hierarchy(), &found.tops));
                signals.extend(people.signals(&mut self.users));
                signals.extend(helpers.signals(&mut self.users));
                Ok(signals)
            }
            Some(Look::ByProcess(all)) => all.look(now, &mut self.users),
            None => Ok(Vec::new()),
        }
    }

    fn choose(&self) -> Result<Look, HostError> {
        Ok(match Hierarchy::find(&self.root)? {
            Some(hierarchy) => {
                let own = hierarchy.own()?;
                let (units, upkeep) = (self.units.clone(), self.upkeep.clone());
                let ownership = Ownership::new(&self.root, own, units, upkeep);
                let people = People::new(self.root.clone());
                let helpers = Helpers::new(self.root.clone());
                let account = Account::new(self.root.clone());
                let groups = Groups::new(hierarchy, ownership);
                Look::ByGroup(Box::new(ByGroup { groups, people, helpers, account }))
            }
            None => Look::ByProcess(Box::new(AllProcesses::new(self.root.clone()))),
        })
    }
}

impl Source for Cpu {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }

    fn refresh(&mut self) {
        match &mut self.look {
            Some(Look::ByGroup(both)) => {
                both.people.refresh();
                both.helpers.refresh();
                both.account.refresh();
            }
            Some(Look::ByProcess(all)) => all.pace.reset(),
            None => {}
        }
    }
}

/// Every process of the machine as one set.
#[derive(Debug)]
struct AllProcesses {
    root: HostRoot,
    processes: Processes,
    tools: Tools,
    tally: Tally,
    pace: Pace,
    owner: Option<String>,
}

impl AllProcesses {
    fn new(root: HostRoot) -> Self {
        let processes = Processes::new(root.clone());
        let tools = Tools::new(root.clone());
        let (tally, pace) = (Tally::default(), Pace::default());
        Self { root, processes, tools, tally, pace, owner: None }
    }

    fn look(&mut self, now: Stamp, users: &mut Users) -> Result<Vec<Signal>, HostError> {
        if self.pace.due(now) {
            if process::hides_others(&self.root)? {
                return Err(HostError::malformed(
                    "/proc",
                    process::HIDDEN,
                ));
            }
            let own = process::own_pid(&self.root);
            let (tally, tools) = (&mut self.tally, &mut self.tools);
            let mut failure = None;
            tally.begin();
            tools.begin();
            let count = self.processes.walk_any(&mut |stat| {
                let hook = own.is_some() && Some(stat.ppid) == own;
                let part = match stat.pid {
                    1 => Part::Heir,
                    pid if Some(pid) == own || hook => Part::None,
                    _ => match tools.is_helper(now, stat) {
                        Ok(true) => Part::None,
                        Ok(false) => Part::Full,
                        Err(error) => {
                            failure = Some(error);
                            Part::Full
                        }
                    },
                };
                tally.add(stat, part);
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
            if count == 0 {
                return Err(HostError::malformed("/proc", "no process is in it"));
            }
            tally.finish();
            tools.finish();
            self.pace.walked(now, count);
            self.owner = people::top_owner(&self.tally, &mut self.processes, users);
        }
        let signal = Signal::new("all processes", Value::Counter { total: self.tally.total_us() });
        Ok(vec![Signal { owner: self.owner.clone(), ..signal }])
    }
}

#[cfg(test)]
mod tests;
