//! CPU time by control group.

use std::collections::BTreeMap;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::planes;
use super::servers::Helpers;
use super::units::{self, Found as Unit, Units};
use crate::host::cgroup::Hierarchy;
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{Class, Ownership, kind, starts_work};

/// The most groups of one slice that are shown one by one; the others are in the slice's rest.
const SHOWN: usize = 200;
/// How deep units may lie in a slice of somebody's.
const SLICES: usize = 4;
/// What is wrong with a slice whose counter fell; it may have been made anew.
const BACKWARDS: &str = "its CPU time went backwards";

/// What one look gave.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The counters.
    pub(super) signals: Vec<Signal>,
    /// The groups in which people's processes may be among others, and whose they are as a whole: units of the
    /// system, and the root group.
    pub(super) mixed: Vec<(String, Class)>,
    /// What the groups at the top used since they were made, each with its name: everything that processes used.
    pub(super) tops: Vec<(String, u64)>,
}

/// The groups of one machine.
#[derive(Debug)]
pub(super) struct Groups {
    hierarchy: Hierarchy,
    ownership: Ownership,
    rests: BTreeMap<String, Rest>,
    units: Units,
}

impl Groups {
    /// Looks at `hierarchy` and judges by `ownership`.
    pub(super) fn new(hierarchy: Hierarchy, ownership: Ownership) -> Self {
        Self { hierarchy, ownership, rests: BTreeMap::new(), units: Units::default() }
    }

    /// The hierarchy that is looked at.
    pub(super) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// What tells whose groups are.
    pub(super) fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Reads every group that matters. `services` are the units of `system.slice` that turned out to be people's.
    pub(super) fn look(
        &mut self,
        at: (&HostRoot, Stamp),
        services: &BTreeMap<String, Option<u32>>,
        helpers: &mut Helpers,
        users: &mut Users,
    ) -> Result<Found, HostError> {
        self.ownership.look()?;
        let mut found = Found { mixed: vec![(String::new(), Class::People)], ..Found::default() };
        for top in self.hierarchy.tops()? {
            let Some(total) = self.hierarchy.cpu_us(&top)? else { continue };
            match top.as_str() {
                "user.slice" => self.slice("user.slice", (2, total), helpers, users, &mut found)?,
                "machine.slice" => {
                    self.slice("machine.slice", (1, total), helpers, users, &mut found)?;
                }
                "system.slice" => self.system(at, total, services, helpers, users, &mut found)?,
                _ => {
                    let class = self.ownership.of(&top).class;
                    if class == Class::People {
                        let others = self.services_in(&top, total, &mut found)?;
                        let work = helpers.work(&self.hierarchy, &top, others, None)?;
                        found.signals.push(counter(&top, work));
                    } else {
                        found.signals.push(counter(&top, total).of(class.role()));
                        found.mixed.push((top.clone(), class));
                    }
                }
            }
            found.tops.push((top, total));
        }
        Ok(found)
    }

    /// Services of packages and upkeep in a slice of somebody's, one by one; what the slice used beside them.
    fn services_in(&mut self, top: &str, total: u64, found: &mut Found) -> Result<u64, HostError> {
        let mut parts = BTreeMap::new();
        if kind(top) == "slice" && !planes::has_pods(top) {
            for leaf in self.leaves(top, SLICES)?.into_iter().take(SHOWN) {
                let class = self.ownership.of(&leaf).class;
                if !matches!(class, Class::Server | Class::Upkeep) {
                    continue;
                }
                let Some(used) = self.hierarchy.cpu_us(&leaf)? else { continue };
                found.signals.push(counter(&leaf, used).of(class.role()));
                found.mixed.push((leaf.clone(), class));
                parts.insert(leaf, used);
            }
        }
        if parts.is_empty() && !self.rests.contains_key(top) {
            return Ok(total);
        }
        // It goes on from what was told while there was none.
        self.rests.entry(top.to_owned()).or_insert_with(|| Rest { total, ..Rest::default() });
        self.rest(top, total, parts)
    }

    /// A slice whose groups count as work, one by one, and its rest: what groups used that ended since the last look
    /// and groups beyond the number that is shown. The slice was read before its parts: what they use in between then never
    /// looks like a rest.
    fn slice(
        &mut self,
        path: &'static str,
        (depth, total): (usize, u64),
        helpers: &mut Helpers,
        users: &mut Users,
        found: &mut Found,
    ) -> Result<(), HostError> {
        let mut parts = BTreeMap::new();
        for leaf in self.leaves(path, depth)?.into_iter().take(SHOWN) {
            let Some(used) = self.hierarchy.cpu_us(&leaf)? else { continue };
            let uid = self.ownership.of(&leaf).uid;
            let total = helpers.work(&self.hierarchy, &leaf, used, uid)?;
            let owner = uid.map(|uid| users.name(uid));
            let signal = counter(&leaf, total).of(helpers.role(uid));
            found.signals.push(Signal { owner, ..signal });
            parts.insert(leaf, used);
        }
        let rest = self.rest(path, total, parts)?;
        found.signals.push(counter(&format!("rest of {path}"), rest));
        Ok(())
    }

    fn leaves(&self, path: &str, depth: usize) -> Result<Vec<String>, HostError> {
        let mut leaves = Vec::new();
        for name in self.hierarchy.children(path)? {
            let child = format!("{path}/{name}");
            let below = if depth > 1 { self.leaves(&child, depth - 1)? } else { Vec::new() };
            if below.is_empty() { leaves.push(child) } else { leaves.extend(below) }
        }
        Ok(leaves)
    }

    /// `system.slice`: units that count as people's one by one, the others by their role, and what ended in between.
    fn system(
        &mut self,
        (root, now): (&HostRoot, Stamp),
        total: u64,
        services: &BTreeMap<String, Option<u32>>,
        helpers: &mut Helpers,
        users: &mut Users,
        found: &mut Found,
    ) -> Result<(), HostError> {
        self.units.begin(total);
        for path in Units::list(&self.hierarchy)? {
            let place = self.ownership.of(&path);
            let (class, uid) = (place.class, place.uid);
            let Some((used, id)) = Units::read(&self.hierarchy, &path)? else { continue };
            let restarts = self.ownership.restarts(&path);
            let owner = uid.map(|uid| users.name(uid));
            let lasts = restarts && units::lasts(root, &path, now);
            let mut unit = Unit { role: class.role(), id, used_us: used, owner, restarts, lasts };
            if class != Class::People {
                // A service that is people's as a whole is still looked into, since that may end.
                if let Some(uid) = services.get(&path) {
                    unit.role = Role::Workload;
                    unit.owner = uid.map(|uid| users.name(uid));
                }
                if class != Class::Own {
                    found.mixed.push((path.clone(), class));
                }
            }
            let (role, total) = self.units.take(&path, &unit)?;
            if role == Role::Workload {
                let uid = services.get(&path).copied().flatten().or(uid);
                let total = helpers.work(&self.hierarchy, &path, total, uid)?;
                found.signals.push(Signal { owner: unit.owner, ..counter(&path, total) });
            } else if starts_work(path.rsplit('/').next().unwrap_or_default()).is_some() {
                // Its people are told by process; what displays and editors use of its counter is none of theirs.
                helpers.work(&self.hierarchy, &path, used, None)?;
            }
        }
        found.signals.extend(self.units.finish());
        Ok(())
    }

    fn rest(
        &mut self,
        path: &str,
        total: u64,
        parts: BTreeMap<String, u64>,
    ) -> Result<u64, HostError> {
        let rest = self.rests.entry(path.to_owned()).or_default().update(total, parts);
        rest.ok_or_else(|| HostError::malformed(format!("/sys/fs/cgroup/{path}"), BACKWARDS))
    }
}

fn counter(subject: &str, total: u64) -> Signal {
    Signal::new(subject, Value::Counter { total })
}

/// What a slice used beyond those of its parts that are counted one by one.
#[derive(Debug, Default)]
struct Rest {
    before: Option<(u64, BTreeMap<String, u64>)>,
    total: u64,
}

impl Rest {
    /// Takes in the slice's own counter and its parts' and returns the sum so far, which never falls; nothing if the
    /// slice's own counter fell, so that nobody can tell what was used.
    fn update(&mut self, slice: u64, parts: BTreeMap<String, u64>) -> Option<u64> {
        let mut sound = true;
        if let Some((slice_before, parts_before)) = &self.before {
            sound = slice >= *slice_before;
            let known: u64 = parts
                .iter()
                .map(|(name, used)| {
                    used.saturating_sub(parts_before.get(name).copied().unwrap_or(0))
                })
                .fold(0, u64::saturating_add);
            let grown = slice.saturating_sub(*slice_before).saturating_sub(known);
            self.total = self.total.saturating_add(grown);
        }
        self.before = Some((slice, parts));
        sound.then_some(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(name, used)| ((*name).to_owned(), *used)).collect()
    }

    #[test]
    fn the_rest_is_what_the_parts_do_not_explain() {
        let mut rest = Rest::default();
        assert_eq!(rest.update(1000, parts(&[("a", 600)])), Some(0));
        assert_eq!(rest.update(1500, parts(&[("a", 1100)])), Some(0));
        // A session came and went in between: it used 70.
        assert_eq!(rest.update(1580, parts(&[("a", 1110)])), Some(70));
        // A session began that is still there.
        assert_eq!(rest.update(1680, parts(&[("a", 1110), ("b", 100)])), Some(70));
        // It ended after 5 more.
        assert_eq!(rest.update(1685, parts(&[("a", 1110)])), Some(75));
    }

    #[test]
    fn the_rest_never_falls_and_a_slice_that_does_is_told() {
        let mut rest = Rest::default();
        rest.update(1000, parts(&[]));
        assert_eq!(rest.update(1100, parts(&[])), Some(100));
        assert_eq!(rest.update(40, parts(&[("a", 1)])), None);
        assert_eq!(rest.update(1100, parts(&[("a", u64::MAX)])), Some(100));
    }
}
