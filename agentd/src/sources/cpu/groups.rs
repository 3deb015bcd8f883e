//! CPU time by control group.

use std::collections::BTreeMap;

use agent_core::reading::{Role, Signal, Value};

use super::servers::Helpers;
use crate::host::HostError;
use crate::host::cgroup::Hierarchy;
use crate::host::users::Users;
use crate::sources::ownership::{Class, Ownership, holds_no_process, kind};

/// The most groups of one slice that are shown one by one; the others are in the slice's rest.
const SHOWN: usize = 200;
/// The most units of `system.slice`.
const UNITS: usize = 4096;
/// How deep slices may lie in slices.
const DEPTH: usize = 8;

/// What one look gave.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The counters.
    pub(super) signals: Vec<Signal>,
    /// The groups of housekeeping services, and the root group, in which people's processes may be.
    pub(super) housekeeping: Vec<String>,
}

/// The groups of one machine.
#[derive(Debug)]
pub(super) struct Groups {
    hierarchy: Hierarchy,
    ownership: Ownership,
    rests: BTreeMap<&'static str, Rest>,
}

impl Groups {
    /// Looks at `hierarchy` and judges by `ownership`.
    pub(super) fn new(hierarchy: Hierarchy, ownership: Ownership) -> Self {
        Self { hierarchy, ownership, rests: BTreeMap::new() }
    }

    /// The hierarchy that is looked at.
    pub(super) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Reads every group that matters. `services` are the units of `system.slice` that turned out to be people's.
    pub(super) fn look(
        &mut self,
        services: &BTreeMap<String, u32>,
        helpers: &mut Helpers,
        users: &mut Users,
    ) -> Result<Found, HostError> {
        let mut found = Found { signals: Vec::new(), housekeeping: vec![String::new()] };
        for top in self.hierarchy.tops()? {
            match top.as_str() {
                "user.slice" => self.slice("user.slice", 2, helpers, users, &mut found)?,
                "machine.slice" => {
                    self.slice("machine.slice", 1, helpers, users, &mut found)?;
                }
                "system.slice" => self.system(services, helpers, users, &mut found)?,
                "init.scope" => {
                    found.signals.extend(self.counter(&top)?.map(Signal::ignored));
                    found.housekeeping.push(top);
                }
                _ if self.ownership.of(&top).class == Class::Workload => {
                    found.signals.extend(self.counter(&top)?);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn counter(&self, path: &str) -> Result<Option<Signal>, HostError> {
        let total = self.hierarchy.cpu_us(path)?;
        Ok(total.map(|total| Signal::new(path, Value::Counter { total })))
    }

    /// A slice whose groups count as work, one by one, and its rest: what groups used that ended since the last look
    /// and groups beyond the number that is shown.
    fn slice(
        &mut self,
        path: &'static str,
        depth: usize,
        helpers: &mut Helpers,
        users: &mut Users,
        found: &mut Found,
    ) -> Result<(), HostError> {
        // The slice is read before its parts: what they use in between then never looks like a rest.
        let Some(total) = self.hierarchy.cpu_us(path)? else { return Ok(()) };
        let mut parts = BTreeMap::new();
        for leaf in self.leaves(path, depth)?.into_iter().take(SHOWN) {
            let Some(used) = self.hierarchy.cpu_us(&leaf)? else { continue };
            let uid = self.ownership.of(&leaf).uid;
            let total = helpers.work(&self.hierarchy, &leaf, used, uid)?;
            let owner = uid.map(|uid| users.name(uid));
            let signal = Signal::new(leaf.as_str(), Value::Counter { total });
            found.signals.push(Signal { owner, ..signal });
            parts.insert(leaf, used);
        }
        let rest = self.rests.entry(path).or_default().update(total, parts);
        let subject = format!("rest of {path}");
        found.signals.push(Signal::new(subject, Value::Counter { total: rest }));
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

    /// `system.slice`: the units that count as work one by one, the others as one ignored sum.
    fn system(
        &mut self,
        services: &BTreeMap<String, u32>,
        helpers: &mut Helpers,
        users: &mut Users,
        found: &mut Found,
    ) -> Result<(), HostError> {
        let path = "system.slice";
        let Some(total) = self.hierarchy.cpu_us(path)? else { return Ok(()) };
        let mut parts = BTreeMap::new();
        for unit in self.units(path, DEPTH)? {
            match self.ownership.of(&unit).class {
                Class::Housekeeping if !services.contains_key(&unit) => {
                    found.housekeeping.push(unit);
                }
                Class::Own => {
                    parts.extend(self.hierarchy.cpu_us(&unit)?.map(|used| (unit, used)));
                }
                Class::Housekeeping | Class::Workload => {
                    // A service that is people's is still looked into, since that may end.
                    let uid = services.get(&unit).copied();
                    if uid.is_some() {
                        found.housekeeping.push(unit.clone());
                    }
                    let Some(used) = self.hierarchy.cpu_us(&unit)? else { continue };
                    let total = match uid {
                        Some(_) => helpers.work(&self.hierarchy, &unit, used, uid)?,
                        None => used,
                    };
                    let signal = Signal::new(unit.as_str(), Value::Counter { total });
                    let owner = uid.map(|uid| users.name(uid));
                    found.signals.push(Signal { owner, ..signal });
                    parts.insert(unit, used);
                }
            }
        }
        let rest = self.rests.entry(path).or_default().update(total, parts);
        let signal = Signal::new(path, Value::Counter { total: rest });
        found.signals.push(Signal { role: Role::Ignored, ..signal });
        Ok(())
    }

    fn units(&self, path: &str, depth: usize) -> Result<Vec<String>, HostError> {
        let mut units = Vec::new();
        for name in self.hierarchy.children(path)? {
            let child = format!("{path}/{name}");
            if kind(&name) == "slice" && depth > 1 {
                units.extend(self.units(&child, depth - 1)?);
            } else if !holds_no_process(&name) {
                units.push(child);
            }
            if units.len() > UNITS {
                return Err(HostError::malformed(path, format!("more than {UNITS} units")));
            }
        }
        Ok(units)
    }
}

/// What a slice used beyond those of its parts that are counted one by one.
#[derive(Debug, Default)]
struct Rest {
    before: Option<(u64, BTreeMap<String, u64>)>,
    total: u64,
}

impl Rest {
    /// Takes in the slice's own counter and its parts' and returns the sum so far, which never falls.
    fn update(&mut self, slice: u64, parts: BTreeMap<String, u64>) -> u64 {
        if let Some((slice_before, parts_before)) = &self.before {
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
        self.total
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
        assert_eq!(rest.update(1000, parts(&[("a", 600)])), 0);
        assert_eq!(rest.update(1500, parts(&[("a", 1100)])), 0);
        // A session came and went in between: it used 70.
        assert_eq!(rest.update(1580, parts(&[("a", 1110)])), 70);
        // A session began that is still there.
        assert_eq!(rest.update(1680, parts(&[("a", 1110), ("b", 100)])), 70);
        // It ended after 5 more.
        assert_eq!(rest.update(1685, parts(&[("a", 1110)])), 75);
    }

    #[test]
    fn the_rest_never_falls() {
        let mut rest = Rest::default();
        rest.update(1000, parts(&[]));
        assert_eq!(rest.update(1100, parts(&[])), 100);
        assert_eq!(rest.update(40, parts(&[("a", 1)])), 100);
        assert_eq!(rest.update(1100, parts(&[("a", u64::MAX)])), 100);
    }
}
