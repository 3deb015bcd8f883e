//! The control groups that do somebody's work, as few as say it: whole slices, and the units of `system.slice` that
//! count.

use super::ownership::{Class, Ownership};
use crate::host::HostError;
use crate::host::cgroup::Hierarchy;

/// The most groups that are looked at one by one.
const MOST: usize = 256;

/// Their paths without a leading slash. Who is below `user.slice` and `machine.slice` is all work, so these stand for
/// everything in them.
pub(super) fn of(groups: &Hierarchy, ownership: &Ownership) -> Result<Vec<String>, HostError> {
    let works = |path: &str| ownership.of(path).class == Class::People;
    let mut found: Vec<String> =
        groups.children("")?.into_iter().filter(|path| works(path)).collect();
    let units = groups.children("system.slice")?.into_iter();
    found.extend(units.map(|unit| format!("system.slice/{unit}")).filter(|path| works(path)));
    if found.len() > MOST {
        return Err(HostError::malformed(
            "/sys/fs/cgroup",
            format!("more than {MOST} groups do work"),
        ));
    }
    Ok(found)
}
