//! CPU time, or disk traffic, of the units of `system.slice`.
//!
//! A machine has a hundred units, and nearly all of them do nothing. Those that ever used something worth showing are reported
//! one by one, the others as one sum for each role.
//!
//! A unit that is started again gets a new group, whose counter begins at zero; the old one's last stretch stays in the
//! counter of the slice. So what the slice has and no living unit explains is what units used that ended since the
//! last look. It counts as the unit that ended would, and where none is known to have ended (it lived for less than the time between
//! two looks), nobody can say whose it was: unexplained.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::kind;

/// The slice.
const SLICE: &str = "system.slice";
/// The most units.
const MOST: usize = 4096;
/// How deep slices may lie in slices.
const DEPTH: usize = 8;
/// A unit is reported by itself once it has used so much, in microseconds.
const WORTH_US: u64 = 300_000;
/// The same in bytes.
const WORTH_BYTES: u64 = 1 << 20;
/// A unit that was made anew at so many looks in a row is one that fails and is started again and again. It does no work. One that
/// ends by design and is started for the next piece of work looks the same but for its runs, which last longer: met once in
/// a run as old as [`LASTS_MS`] it is none that fails.
const RESTARTS: u32 = 6;
/// What fails at its start has ended by then.
const LASTS_MS: i64 = 3000;
/// For so many looks it is remembered how often a unit was started that is not there: most of the time one that fails is not.
const PAUSE: u64 = 12;
/// A unit that was the same run at so many looks after the first one does not fail. (Two looks may be close together.)
const STEADY: u32 = 3;
/// The roles of units, from the one that counts soonest.
const ROLES: [(Role, &str); 4] = [
    (Role::Workload, "work of system.slice that ended"),
    (Role::Local, "other local units of system.slice"),
    (Role::Server, "other servers of system.slice"),
    (Role::Upkeep, "other upkeep of system.slice"),
];
/// What nobody can be named for.
const ENDED: &str = "units of system.slice that came and went between two looks";

/// A unit at one look.
#[derive(Clone, Debug)]
pub(in crate::sources) struct Found {
    /// How it counts.
    pub(in crate::sources) role: Role,
    /// The number of its group; another one under the same name is another run of the unit.
    pub(in crate::sources) id: u64,
    /// What its group used since it was made, microseconds.
    pub(in crate::sources) used_us: u64,
    /// Whose it is, where it is somebody's.
    pub(in crate::sources) owner: Option<String>,
    /// systemd starts it again whenever it ends.
    pub(in crate::sources) restarts: bool,
    /// This run is one of a unit that works ([`lasts`]).
    pub(in crate::sources) lasts: bool,
}

/// Whether a unit was started longer ago than one that fails lives. The folder of a group is as old as the run; one whose
/// age is not told is taken for young.
pub(in crate::sources) fn lasts(root: &HostRoot, path: &str, now: Stamp) -> bool {
    let folder = root.inspect(&format!("/sys/fs/cgroup/{path}")).ok().flatten();
    folder.is_some_and(|it| now.wall_ms.saturating_sub(it.ctime().saturating_mul(1000)) >= LASTS_MS + 1000)
}

#[derive(Clone, Debug)]
struct Known {
    role: Role,
    id: u64,
    used_us: u64,
    /// The counter over all runs: it never falls.
    total_us: u64,
    /// What was reported of it in a sum; what comes is reported by itself.
    hidden_us: Option<u64>,
    restarts: u32,
    restarting: bool,
    /// For how many looks it was the same run.
    steady: u32,
    look: u64,
}

/// All units of `system.slice`.
#[derive(Debug)]
pub(in crate::sources) struct Units {
    known: BTreeMap<String, Known>,
    /// Units that ended and will be started again: how often they were, and the look at which they were last there.
    pausing: BTreeMap<String, (u32, u64)>,
    look: u64,
    slice_us: Option<u64>,
    slice_grown_us: u64,
    parts_grown_us: u64,
    /// Growth of units that are not reported by themselves, and of those that ended, by role.
    sums: BTreeMap<Role, u64>,
    /// From where on a unit is reported by itself, and the file that is read of each.
    worth: u64,
    file: &'static str,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            pausing: BTreeMap::new(),
            look: 0,
            slice_us: None,
            slice_grown_us: 0,
            parts_grown_us: 0,
            sums: BTreeMap::new(),
            worth: WORTH_US,
            file: "cpu.stat",
        }
    }
}

impl Units {
    /// The same for bytes in place of microseconds.
    pub(in crate::sources) fn of_bytes() -> Self {
        Self { worth: WORTH_BYTES, file: "io.stat", ..Self::default() }
    }

    /// Begins a look, with the slice's own counter, which was read before its parts.
    pub(in crate::sources) fn begin(&mut self, slice_us: u64) {
        self.look += 1;
        let before = self.slice_us.replace(slice_us).unwrap_or(slice_us);
        // A slice whose counter falls was made anew. Its parts are compared all the same.
        self.slice_grown_us = slice_us.saturating_sub(before);
        self.parts_grown_us = 0;
    }

    /// The paths of all units.
    pub(super) fn list(hierarchy: &Hierarchy) -> Result<Vec<String>, HostError> {
        let mut units = Vec::new();
        list(hierarchy, SLICE, DEPTH, &mut units)?;
        Ok(units)
    }

    /// The counter of a unit and the number of its group; none if it ended.
    pub(super) fn read(
        hierarchy: &Hierarchy,
        path: &str,
    ) -> Result<Option<(u64, u64)>, HostError> {
        let Some(id) = hierarchy.id(path)? else { return Ok(None) };
        Ok(hierarchy.cpu_us(path)?.map(|used| (used, id)))
    }

    /// Takes in a unit; how it counts, and its counter over all its runs. What counts as work is told by whoever asks, all else by
    /// [`Self::finish`].
    pub(in crate::sources) fn take(&mut self, path: &str, unit: &Found) -> Result<(Role, u64), HostError> {
        let first = self.look == 1;
        let before = self.pausing.remove(path).map_or(0, |(restarts, _)| restarts.saturating_add(1));
        let fresh = || Known {
            role: unit.role,
            id: unit.id,
            used_us: if first { unit.used_us } else { 0 },
            total_us: if first { unit.used_us } else { 0 },
            hidden_us: Some(0),
            restarts: before,
            restarting: unit.restarts,
            steady: 0,
            look: 0,
        };
        let known = self.known.entry(path.to_owned()).or_insert_with(fresh);
        if known.id == unit.id {
            known.steady = known.steady.saturating_add(1);
            if known.steady >= STEADY {
                known.restarts = 0;
            }
        } else {
            known.steady = 0;
            known.restarts = known.restarts.saturating_add(1);
            (known.id, known.used_us) = (unit.id, 0);
        }
        if unit.lasts {
            known.restarts = known.restarts.min(1);
        }
        let Some(grown) = unit.used_us.checked_sub(known.used_us) else {
            let file = format!("/sys/fs/cgroup/{path}/{}", self.file);
            // Whatever made it fall may have reached the others: all are compared with what they are from now on.
            (self.look, self.slice_us) = (0, None);
            self.known.clear();
            return Err(HostError::malformed(file, "its counter went backwards"));
        };
        let fails = unit.restarts && known.restarts >= RESTARTS;
        known.role = if fails && unit.role != Role::Ignored { Role::Upkeep } else { unit.role };
        known.restarting = unit.restarts;
        known.used_us = unit.used_us;
        known.total_us = known.total_us.saturating_add(grown);
        known.look = self.look;
        self.parts_grown_us = self.parts_grown_us.saturating_add(grown);
        let by_itself = known.role == Role::Workload || known.total_us >= self.worth;
        match &mut known.hidden_us {
            // What is reported by itself from now on begins with what it used since the last look.
            Some(hidden) if by_itself => {
                let before = if first { 0 } else { known.total_us.saturating_sub(grown) };
                *hidden = before;
                known.total_us = known.total_us.saturating_sub(before);
                known.hidden_us = None;
            }
            Some(_) => *self.sums.entry(known.role).or_default() += grown,
            None => {}
        }
        Ok((known.role, known.total_us))
    }

    /// Ends the look: the counters of what is not people's, and of what ended.
    pub(in crate::sources) fn finish(&mut self) -> Vec<Signal> {
        let mut signals = Vec::new();
        let mut gone: Option<Role> = None;
        let look = self.look;
        let pausing = &mut self.pausing;
        pausing.retain(|_, (_, last)| last.saturating_add(PAUSE) >= look);
        self.known.retain(|path, known| {
            let there = known.look == look;
            let ended = !there || known.restarts > 0;
            if ended && known.role != Role::Ignored {
                // Of several the one that counts soonest.
                gone = Some(gone.map_or(known.role, |role| role.min(known.role)));
            }
            let shown = known.hidden_us.is_none();
            if there && shown && !matches!(known.role, Role::Workload | Role::Ignored) {
                signals.push(counter(path, known.total_us).of(known.role));
            }
            if !there && known.restarting {
                pausing.insert(path.clone(), (known.restarts, look));
            }
            there
        });
        let rest = self.slice_grown_us.saturating_sub(self.parts_grown_us);
        *self.sums.entry(gone.unwrap_or(Role::Unexplained)).or_default() += rest;
        for (role, name) in ROLES {
            signals.push(counter(name, self.sums.get(&role).copied().unwrap_or(0)).of(role));
        }
        let ended = self.sums.get(&Role::Unexplained).copied().unwrap_or(0);
        signals.push(counter(ENDED, ended).of(Role::Unexplained));
        signals
    }
}

fn list(
    hierarchy: &Hierarchy,
    path: &str,
    depth: usize,
    units: &mut Vec<String>,
) -> Result<(), HostError> {
    for name in hierarchy.children(path)? {
        let child = format!("{path}/{name}");
        if kind(&name) == "slice" && depth > 1 {
            list(hierarchy, &child, depth - 1, units)?;
        } else if !["automount", "swap"].contains(&kind(&name)) {
            units.push(child);
        }
        if units.len() > MOST {
            return Err(HostError::malformed(path, format!("more than {MOST} units")));
        }
    }
    Ok(())
}

fn counter(subject: &str, total: u64) -> Signal {
    Signal::new(subject, Value::Counter { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "system.slice/a.service";

    fn unit(role: Role, id: u64, used_us: u64) -> Found {
        Found { role, id, used_us, owner: None, restarts: true, lasts: false }
    }

    /// Looks once at a slice with these units; the totals that are not zero.
    fn look(units: &mut Units, slice_us: u64, list: &[(&str, Found)]) -> Vec<(String, Role, u64)> {
        units.begin(slice_us);
        for (path, unit) in list {
            units.take(path, unit).unwrap();
        }
        let signals = units.finish().into_iter();
        let told = signals.map(|it| match it.value {
            Value::Counter { total } => (it.subject, it.role, total),
            other => panic!("{other:?}"),
        });
        told.filter(|(_, _, total)| *total > 0).collect()
    }

    fn sum(told: &[(String, Role, u64)], role: Role) -> u64 {
        told.iter().filter(|(_, of, _)| *of == role).map(|(_, _, total)| total).sum()
    }

    #[test]
    fn a_unit_that_is_started_again_goes_on_where_it_was() {
        let mut units = Units::default();
        look(&mut units, 900_000, &[(UNIT, unit(Role::Server, 1, 900_000))]);
        // It used 100,000 more, was started again, and used 50,000 since.
        let told = look(&mut units, 1_050_000, &[(UNIT, unit(Role::Server, 2, 50_000))]);
        assert_eq!(sum(&told, Role::Server), 900_000 + 50_000 + 100_000);
        assert_eq!(sum(&told, Role::Unexplained), 0);
    }

    #[test]
    fn what_came_and_went_unseen_is_unexplained() {
        let mut units = Units::default();
        look(&mut units, 1_000, &[(UNIT, unit(Role::Server, 1, 1_000))]);
        let told = look(&mut units, 71_000, &[(UNIT, unit(Role::Server, 1, 1_000))]);
        assert_eq!(sum(&told, Role::Unexplained), 70_000);
    }

    #[test]
    fn the_last_stretch_of_a_unit_counts_as_the_unit_did() {
        for role in [Role::Workload, Role::Local, Role::Server, Role::Upkeep] {
            let mut units = Units::default();
            look(&mut units, 500_000, &[(UNIT, unit(role, 1, 500_000))]);
            let told = look(&mut units, 570_000, &[]);
            assert_eq!(sum(&told, role), 70_000, "{role:?}");
        }
    }

    #[test]
    fn small_units_are_summed_by_role_and_one_that_grows_is_told_by_itself_from_then_on() {
        let mut units = Units::default();
        look(&mut units, 0, &[(UNIT, unit(Role::Local, 1, 0))]);
        let told = look(&mut units, 200_000, &[(UNIT, unit(Role::Local, 1, 200_000))]);
        assert_eq!(told, [(ROLES[1].1.to_owned(), Role::Local, 200_000)]);
        let told = look(&mut units, 350_000, &[(UNIT, unit(Role::Local, 1, 350_000))]);
        // The engine takes what is new for growth: 150,000 now, after the 200,000 of the sum.
        assert_eq!(
            told,
            [
                (UNIT.to_owned(), Role::Local, 150_000),
                (ROLES[1].1.to_owned(), Role::Local, 200_000)
            ]
        );
    }

    #[test]
    fn a_unit_that_fails_again_and_again_does_no_work_and_one_that_works_on_does() {
        let mut units = Units::default();
        let mut slice = 0;
        for id in 0..20 {
            slice += 500_000;
            let told = look(&mut units, slice, &[(UNIT, unit(Role::Local, id, 400_000))]);
            if id > u64::from(RESTARTS) + 1 {
                assert!(told.iter().any(|(path, role, _)| path == UNIT && *role == Role::Upkeep), "{told:?}");
            }
        }
        slice += 100_000;
        let mut told = Vec::new();
        for _ in 0..STEADY {
            told = look(&mut units, slice, &[(UNIT, unit(Role::Local, 19, 500_000))]);
        }
        assert!(told.iter().any(|(path, role, _)| path == UNIT && *role == Role::Local), "{told:?}");
    }

    #[test]
    fn a_unit_that_ends_by_design_and_is_started_for_the_next_piece_of_work_does_work() {
        let mut units = Units::default();
        let mut slice = 0;
        for id in 0..40 {
            slice += 500_000;
            let found = Found { lasts: id % 4 == 0, ..unit(Role::Local, id, 400_000) };
            let told = look(&mut units, slice, &[(UNIT, found)]);
            assert_eq!(sum(&told, Role::Upkeep), 0, "{told:?}");
        }
    }

    #[test]
    fn a_run_is_as_old_as_the_folder_of_its_group() {
        let tree = crate::host::tree::Tree::new();
        tree.cgroup(UNIT, 0, &[]);
        let made = std::fs::metadata(tree.path(&format!("/sys/fs/cgroup/{UNIT}"))).unwrap().ctime() * 1000;
        for (age, expected) in [(-5000, false), (1000, false), (2000, false), (4000, true), (60_000, true)] {
            assert_eq!(lasts(&tree.root(), UNIT, Stamp::new(1, 0, made + age)), expected, "{age}");
        }
        assert!(!lasts(&tree.root(), "system.slice/gone.service", Stamp::new(1, 0, made + 60_000)));
    }

    #[test]
    fn a_unit_of_peoples_that_fails_again_and_again_is_told_once_at_each_look() {
        let mut units = Units::default();
        let mut roles = Vec::new();
        for id in 0..20 {
            units.begin((id + 1) * 500_000);
            let (role, _) = units.take(UNIT, &unit(Role::Workload, id, 400_000)).unwrap();
            let told = units.finish().into_iter().filter(|it| it.subject == UNIT).count();
            assert_eq!(told, usize::from(role != Role::Workload), "{id}");
            roles.push(role);
        }
        assert!(roles.first() == Some(&Role::Workload) && roles.last() == Some(&Role::Upkeep), "{roles:?}");
    }

    #[test]
    fn a_unit_that_fails_is_known_as_one_though_it_is_seldom_met_and_a_job_that_comes_again_is_not() {
        for (restarts, expected) in [(true, Role::Upkeep), (false, Role::Local)] {
            let mut units = Units::default();
            let mut slice = 0;
            look(&mut units, slice, &[]);
            let mut last = Vec::new();
            for id in 0..20 {
                slice += 500_000;
                let found = Found { restarts, ..unit(Role::Local, id, 400_000) };
                last = look(&mut units, slice, &[(UNIT, found)]);
                for _ in 0..3 {
                    look(&mut units, slice, &[]);
                }
            }
            let told = last.iter().find(|(path, ..)| path == UNIT).unwrap();
            assert_eq!(told.1, expected, "{last:?}");
        }
    }

    #[test]
    fn the_counter_of_one_group_that_falls_is_an_error_that_names_it() {
        let mut units = Units::default();
        look(&mut units, 900, &[(UNIT, unit(Role::Server, 1, 900))]);
        units.begin(1000);
        let error = units.take(UNIT, &unit(Role::Server, 1, 800)).unwrap_err().to_string();
        assert!(error.contains("a.service/cpu.stat"), "{error}");
    }

    #[test]
    fn after_counters_fell_the_next_look_compares_with_what_they_are_then() {
        let other = "system.slice/b.service";
        let list = |used: u64| [(UNIT, unit(Role::Server, 1, used)), (other, unit(Role::Server, 2, used))];
        let mut units = Units::default();
        look(&mut units, 1_800_000, &list(900_000));
        units.begin(100);
        assert!(units.take(UNIT, &unit(Role::Server, 1, 50)).is_err());
        let before = sum(&look(&mut units, 4_000_000, &list(2_000_000)), Role::Server);
        let after = sum(&look(&mut units, 4_000_200, &list(2_000_100)), Role::Server);
        assert_eq!(after - before, 200);
    }

    proptest::proptest! {
        /// However a load is spread over units that come, go and are started again, every microsecond is reported once.
        #[test]
        fn nothing_is_lost_and_nothing_is_told_twice(
            looks in proptest::collection::vec(proptest::collection::vec((0_usize..5, 0_u64..400_000, 0_u8..4), 0..8), 1..20),
        ) {
            let roles = [Role::Local, Role::Server, Role::Upkeep, Role::Workload];
            let mut units = Units::default();
            let mut alive: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
            let (mut slice, mut next) = (0_u64, 1);
            look(&mut units, 0, &[]);
            let mut reported = 0_u64;
            let mut before: BTreeMap<String, u64> = BTreeMap::new();
            for steps in looks {
                for (which, used, what) in steps {
                    match what {
                        0 => { alive.insert(which, (next, 0)); next += 1; }
                        1 => { alive.remove(&which); }
                        _ => if let Some(unit) = alive.get_mut(&which) { unit.1 += used; slice += used; },
                    }
                }
                units.begin(slice);
                let mut now = BTreeMap::new();
                for (which, (id, used)) in &alive {
                    let path = format!("system.slice/u{which}.service");
                    let role = roles[which % roles.len()];
                    let (role, total) = units.take(&path, &unit(role, *id, *used)).unwrap();
                    if role == Role::Workload { now.insert(path, total); }
                }
                for signal in units.finish() {
                    if let Value::Counter { total } = signal.value {
                        proptest::prop_assert!(now.insert(signal.subject, total).is_none(), "a subject is told twice");
                    }
                }
                for (subject, total) in &now {
                    let old = before.get(subject).copied().unwrap_or(0);
                    proptest::prop_assert!(*total >= old, "{} fell", subject);
                    reported += total - old;
                }
                before = now;
                proptest::prop_assert_eq!(reported, slice);
            }
        }
    }
}
