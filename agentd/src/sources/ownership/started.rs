//! Which processes of a service's group are the daemon's own, which belong to a job that a package brought, and which are
//! somebody's.

use super::jobs::Step;
use super::upkeep::{has_its_user, is_agent, is_one_process, starts_work};
use super::{Class, unit_of};
use crate::host::users::is_ordinary;

/// Ancestors are followed this far.
const GENERATIONS: usize = 32;

/// What a process of a package's job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum OfPackage {
    /// The job, or something that it started.
    Job,
    /// What starts the scripts of a folder, of packages and of people.
    Runner,
}

/// Whether a process belongs to a package's job; `step` gives of each process of the group its parent and what it is by itself.
pub(in crate::sources) fn of_package(
    pid: u32,
    step: impl Fn(u32) -> Option<(u32, Step)>,
) -> Option<OfPackage> {
    let mut at = pid;
    for depth in 0..GENERATIONS {
        match step(at)? {
            (_, Step::Packaged) => return Some(OfPackage::Job),
            // What starts scripts is nobody's job, and what it starts is judged by itself.
            (_, Step::Runner) => return (depth == 0).then_some(OfPackage::Runner),
            (parent, Step::Other) => at = parent,
        }
    }
    None
}

/// A process of a service's group.
#[derive(Clone, Copy, Debug)]
pub(in crate::sources) struct One<'a> {
    /// Its name, as the kernel cuts it.
    pub(in crate::sources) name: &'a [u8],
    /// The name of its parent, if that is in the same group.
    pub(in crate::sources) parent: Option<&'a [u8]>,
    /// Its real user.
    pub(in crate::sources) uid: u32,
    /// It has a controlling terminal.
    pub(in crate::sources) terminal: bool,
    /// No process of the group is older.
    pub(in crate::sources) oldest: bool,
}

/// Whether a process that belongs to no package's job is somebody's. `class` is the group's as a whole; `one_user`: all of its
/// processes run as the same user.
pub(in crate::sources) fn is_persons(
    group: &str,
    class: Class,
    one: One<'_>,
    one_user: bool,
) -> bool {
    let unit = unit_of(group);
    if let Some(own) = starts_work(unit) {
        // A job may have the name of the daemon, but then something else of the job started it.
        let named = |it: &[u8]| own.iter().any(|name| name.as_bytes() == it);
        let of_daemon = |parent: &[u8]| named(parent) && !is_one_process(unit);
        // So is one that left its parent, where the daemon is one process.
        let first = || match one.name {
            // Programs of somebody's run as these, too, and may outlive the job that started them.
            b"ruby" | b"node" => one.oldest && !is_ordinary(one.uid),
            _ => !is_one_process(unit) || one.oldest,
        };
        return !(named(one.name) && one.parent.map_or_else(first, of_daemon));
    }
    let agent = || std::str::from_utf8(one.name).is_ok_and(is_agent);
    match class {
        // An agent may run as an ordinary user of its own.
        Class::Upkeep if one_user && has_its_user(unit) => one.terminal,
        // Who starts processes as other users starts them for those.
        Class::Server if one_user => one.terminal,
        Class::Upkeep | Class::Server => one.terminal || (is_ordinary(one.uid) && !agent()),
        _ => one.terminal || is_ordinary(one.uid),
    }
}
