//! What others used in the group of a daemon that starts their work (cron, the agent of Systems Manager, a runner).
//!
//! A process that lives for less than the time between two looks is met by nobody, and if nobody in the group waits for it,
//! nobody inherits its time either. Only the group's own counter has it. So what others used is
//!
//! > growth of the group − growth of the daemon's own time and of packages' jobs,
//!
//! and never less than what was seen of their processes. The two counters are not read at one moment; a negative rest is
//! made up for later, down to [`SLACK_US`].
//!
//! The last moments of a package's job are in nobody's account as well. Where such a job ended and no other job was there,
//! the rest is its: else the table of a package would be somebody's work once a day.

use super::tally::{Part, Tally};
use crate::host::process::ProcessStat;

/// The most of others' CPU time that an error may hide, in microseconds.
const SLACK_US: i64 = 1_000_000;

/// A group at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    /// The number of the group: another one under the same name is another run of the unit.
    pub(super) id: u64,
    /// What it used since it was made, microseconds.
    pub(super) used_us: u64,
}

/// The account of one such group.
#[derive(Debug, Default)]
pub(super) struct Others {
    group: Option<Counter>,
    /// What is the daemon's and packages'.
    own: Tally,
    balance_us: i64,
    /// Packages' jobs that were there at the last look, and whether others' were.
    packaged: Vec<(u32, u64)>,
    persons: bool,
    seen_packaged: Vec<(u32, u64)>,
    seen_persons: bool,
}

impl Others {
    /// `primed`: an earlier look found no such unit, so all that it used is new.
    pub(super) fn new(primed: bool) -> Self {
        let group = primed.then_some(Counter { id: 0, used_us: 0 });
        Self { group, own: Tally::new(primed), ..Self::default() }
    }

    /// Begins a look.
    pub(super) fn begin(&mut self) {
        self.own.begin();
        (self.packaged, self.persons) = (std::mem::take(&mut self.seen_packaged), self.seen_persons);
        self.seen_persons = false;
    }

    /// A process of the daemon, with what it inherits from its children (`Part::Full`) or without (`Part::Alone`).
    pub(super) fn own(&mut self, stat: &ProcessStat<'_>, part: Part) {
        self.own.add(stat, part);
    }

    /// A process of a package's job.
    pub(super) fn packaged(&mut self, stat: &ProcessStat<'_>, part: Part) {
        self.own.add(stat, part);
        self.seen_packaged.push((stat.pid, stat.start));
    }

    /// A process of somebody else's.
    pub(super) fn person(&mut self, stat: &ProcessStat<'_>) {
        self.own.add(stat, Part::None);
        self.seen_persons = true;
    }

    /// Ends a look. `group` was read before its processes, `seen_us` is what others' processes that were met used since the look
    /// before. Returns what others used since then, microseconds.
    pub(super) fn finish(&mut self, group: Counter, seen_us: u64) -> u64 {
        let before_us = self.own.total_us();
        self.own.finish();
        let own_us = self.own.total_us().saturating_sub(before_us);
        let before = self.group.replace(group);
        let grown_us = match before {
            None => 0,
            Some(before) if before.id == group.id => group.used_us.saturating_sub(before.used_us),
            Some(_) => group.used_us,
        };
        let rest_us = self.balance_us.saturating_add(signed(grown_us)).saturating_sub(signed(own_us));
        let ended = self.packaged.iter().any(|job| !self.seen_packaged.contains(job));
        let rest_us = if ended && !self.persons && !self.seen_persons { rest_us.min(0) } else { rest_us };
        let told_us = u64::try_from(rest_us).unwrap_or(0).max(seen_us);
        self.balance_us = rest_us.saturating_sub(signed(told_us)).max(-SLACK_US);
        told_us
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// What of a unit's counter is not people's, as a counter that never falls unless the unit's does. All in microseconds.
#[derive(Debug)]
pub(super) struct Apart {
    unit: u64,
    /// What people had used when the unit was first met: that is not in its counter, or was told before.
    people: u64,
    told: u64,
}

impl Apart {
    /// Nothing was taken out of the unit's counter yet.
    pub(super) fn new(unit_us: u64, people_us: u64) -> Self {
        Self { unit: unit_us, people: people_us, told: unit_us }
    }

    /// Takes in the unit's counter and people's.
    pub(super) fn update(&mut self, unit_us: u64, people_us: u64) -> u64 {
        if unit_us < self.unit {
            *self = Self::new(unit_us, people_us);
        }
        self.unit = unit_us;
        let people_us = people_us.saturating_sub(self.people);
        // People's processes are looked at less often than units. What people used since is the unit's until then, and is made up
        // for: in the long run each microsecond is told once.
        self.told = self.told.max(unit_us.saturating_sub(people_us));
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cpu::tally;

    const CRON: (u32, u64) = (400, 1);
    const TABLE: (u32, u64) = (401, 2);
    const JOB: (u32, u64) = (402, 3);

    fn stat((pid, start): (u32, u64), own_us: u64, children_us: u64) -> ProcessStat<'static> {
        tally::tests::stat(pid, start, own_us, children_us)
    }

    /// One look at the group's counter, the daemon and, where they are there, a package's job and somebody's.
    fn look(others: &mut Others, used_us: u64, daemon: (u64, u64), table: Option<u64>, job: Option<u64>) -> u64 {
        others.begin();
        others.own(&stat(CRON, daemon.0, daemon.1), Part::Alone);
        if let Some(used) = table {
            others.packaged(&stat(TABLE, used, 0), Part::Full);
        }
        if job.is_some() {
            others.person(&stat(JOB, 0, 0));
        }
        others.finish(Counter { id: 7, used_us }, job.unwrap_or(0))
    }

    #[test]
    fn what_nobody_met_and_nobody_waited_for_is_somebodys() {
        let mut others = Others::new(false);
        assert_eq!(look(&mut others, 900, (800, 50), None, None), 0, "what was before does not count");
        assert_eq!(look(&mut others, 5_900, (900, 50), None, None), 4_900);
        assert_eq!(look(&mut others, 8_900, (900, 3_000), None, None), 3_000, "also where the daemon waited for it");
    }

    #[test]
    fn a_unit_that_came_later_counts_from_its_start() {
        let mut others = Others::new(true);
        assert_eq!(look(&mut others, 5_000, (400, 0), None, None), 4_600);
    }

    #[test]
    fn a_packages_job_is_nobodys_until_its_last_moment() {
        let mut others = Others::new(false);
        look(&mut others, 0, (0, 0), None, None);
        assert_eq!(look(&mut others, 700_000, (0, 0), Some(690_000), None), 10_000);
        // It used a second more before it ended.
        assert_eq!(look(&mut others, 1_700_000, (0, 690_000), None, None), 0);
        assert_eq!(look(&mut others, 1_900_000, (0, 690_000), None, None), 200_000);
    }

    #[test]
    fn with_somebodys_job_beside_it_the_rest_is_that_ones() {
        let mut others = Others::new(false);
        look(&mut others, 0, (0, 0), None, None);
        look(&mut others, 700_000, (0, 0), Some(700_000), Some(0));
        assert_eq!(look(&mut others, 1_700_000, (0, 0), None, None), 1_000_000);
    }

    #[test]
    fn what_was_seen_of_others_counts_whatever_the_group_says() {
        let mut others = Others::new(false);
        look(&mut others, 0, (0, 0), None, None);
        assert_eq!(look(&mut others, 0, (0, 0), None, Some(5_000)), 5_000);
        // The group's counter came later: it is told once.
        assert_eq!(look(&mut others, 5_000, (0, 0), None, Some(0)), 0);
    }

    #[test]
    fn what_a_keeper_of_containers_inherits_from_another_group_hides_a_second_at_most() {
        let mut others = Others::new(false);
        let look = |others: &mut Others, used_us, children_us| {
            others.begin();
            others.own(&stat(CRON, 0, children_us), Part::Full);
            others.finish(Counter { id: 7, used_us }, 0)
        };
        look(&mut others, 0, 0);
        assert_eq!(look(&mut others, 0, 3_600_000_000), 0);
        assert_eq!(look(&mut others, 3_000_000, 3_600_000_000), 2_000_000);
    }

    #[test]
    fn a_unit_and_the_people_in_it_are_told_once() {
        let mut apart = Apart::new(1_000, 300);
        // People used 500 of 600 more, which is known only at the second look.
        assert_eq!(apart.update(1_600, 300), 1_600);
        assert_eq!(apart.update(1_600, 800), 1_600);
        assert_eq!(apart.update(2_200, 1_300), 1_600);
        assert_eq!(apart.update(2_800, 1_300), 1_800);
        assert_eq!(apart.update(50, 1_300), 50, "it was made anew");
        assert_eq!(apart.update(80, 1_310), 70);
    }

    proptest::proptest! {
        /// In the long run the unit and people's processes together are what the unit used, however the looks fall.
        #[test]
        fn nothing_is_told_twice_in_the_long_run(steps in proptest::collection::vec((0_u64..1000, 0_u64..1000, proptest::bool::ANY), 1..50)) {
            let (mut unit, mut people, mut known) = (0, 0, 0);
            let mut apart = Apart::new(0, 0);
            let mut late = 0;
            for (own, of_people, walk) in steps {
                unit += own + of_people;
                people += of_people;
                if walk { known = people; }
                late = late.max(people - known);
                let told = apart.update(unit, known);
                proptest::prop_assert!(told + known >= unit, "nothing is lost");
                proptest::prop_assert!(told + known <= unit + late, "at most what was late once");
            }
        }
    }
}
