//! CPU time of a set of processes that come and go.
//!
//! Between two looks a process uses time of its own, and the time of each child that it waits for is added to its
//! children's time (`cutime`, `cstime` of `proc_pid_stat(5)`), children of children included. So time is never lost when
//! processes are waited for, and what was used is
//!
//! > Σ growth of own time + max(0, Σ growth of children's time − what was already counted of those that ended).
//!
//! Nothing is counted twice: the part of an ended child that was counted while it lived is subtracted from what its
//! parent inherits. Nothing that was inherited is lost: a `make` is seen by its own children's time even though no
//! compiler lived long enough to be met. What is lost is the last stretch, since the look before, of a process for
//! which nobody waits.

use std::collections::HashMap;

use crate::host::process::ProcessStat;

/// How a process takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its time and what it inherits.
    Full,
    /// Its time only: its children's is counted elsewhere.
    Alone,
    /// What it inherits only: pid 1 is nobody's work, but orphans are handed to it.
    Heir,
    /// Not at all, but it is remembered, since it may take part later (a daemon's child that becomes a user's).
    None,
}

/// The process that used most since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Top {
    /// Its pid.
    pub(super) pid: u32,
    /// Its name.
    pub(super) name: String,
    used_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    start: u64,
    own_us: u64,
    children_us: u64,
    look: u64,
    part: Part,
}

/// The running total of one set of processes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seen: HashMap<u32, Seen>,
    /// Counts the looks; a process that was not met in the current one has ended.
    look: u64,
    /// Whether processes that were never met before are new. In the first look they are not: they are the baseline.
    primed: bool,
    total_us: u64,
    grown_us: u64,
    inherited_us: u64,
    gone_us: u64,
    top: Option<Top>,
}

impl Tally {
    /// An empty set. `primed`: an earlier look found it empty, so whoever is met first is new.
    pub(super) fn new(primed: bool) -> Self {
        Self { primed, ..Self::default() }
    }

    /// Begins a look.
    pub(super) fn begin(&mut self) {
        self.look += 1;
        (self.grown_us, self.inherited_us, self.gone_us) = (0, 0, 0);
        self.top = None;
    }

    /// Takes in one process.
    pub(super) fn add(&mut self, stat: &ProcessStat<'_>, part: Part) {
        let now = Seen {
            start: stat.start,
            own_us: stat.own_us,
            children_us: stat.children_us,
            look: self.look,
            part,
        };
        let before = match self.seen.insert(stat.pid, now) {
            Some(before) if before.start == stat.start => before,
            other => {
                // The pid was given to somebody new.
                if let Some(ended) = other {
                    self.gone_us = self.gone_us.saturating_add(counted(&ended));
                }
                let begin = if self.primed { 0 } else { u64::MAX };
                Seen { own_us: begin, children_us: begin, ..now }
            }
        };
        // Cumulative times of the kernel can fall back a little; that is no use of time.
        let used = now.own_us.saturating_sub(before.own_us);
        let inherited = now.children_us.saturating_sub(before.children_us);
        if matches!(part, Part::Full | Part::Alone) {
            self.grown_us = self.grown_us.saturating_add(used);
        }
        if part == Part::Full {
            self.note(stat, used.saturating_add(inherited));
        }
        if matches!(part, Part::Full | Part::Heir) {
            self.inherited_us = self.inherited_us.saturating_add(inherited);
        }
    }

    /// Ends a look: adds what was used since the last one to the total.
    pub(super) fn finish(&mut self) {
        let look = self.look;
        let mut gone = self.gone_us;
        self.seen.retain(|_, seen| {
            let lives = seen.look == look;
            if !lives {
                gone = gone.saturating_add(counted(seen));
            }
            lives
        });
        let used = self.grown_us.saturating_add(self.inherited_us.saturating_sub(gone));
        self.total_us = self.total_us.saturating_add(used);
        self.primed = true;
    }

    /// CPU time in microseconds since the tally began. It never falls.
    pub(super) fn total_us(&self) -> u64 {
        self.total_us
    }

    /// Who used most between the last two looks, if anybody used any.
    pub(super) fn top(&self) -> Option<&Top> {
        self.top.as_ref()
    }

    fn note(&mut self, stat: &ProcessStat<'_>, used_us: u64) {
        if used_us > self.top.as_ref().map_or(0, |top| top.used_us) {
            self.top = Some(Top { pid: stat.pid, name: stat.name(), used_us });
        }
    }
}

/// What was already counted of a process that ended.
fn counted(seen: &Seen) -> u64 {
    match seen.part {
        Part::Full => seen.own_us.saturating_add(seen.children_us),
        Part::Alone | Part::Heir | Part::None => 0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A process with these times.
    pub(in crate::sources::cpu) fn stat(pid: u32, start: u64, own_us: u64, children_us: u64) -> ProcessStat<'static> {
        ProcessStat {
            pid,
            comm: b"job",
            ppid: 1,
            group: pid,
            session: 0,
            tty: 0,
            foreground: 0,
            kernel: false,
            dead: false,
            own_us,
            children_us,
            start,
        }
    }

    /// One look at processes given as (pid, start, own, children). Returns the total.
    fn look(tally: &mut Tally, processes: &[(u32, u64, u64, u64)]) -> u64 {
        tally.begin();
        for (pid, start, own, children) in processes {
            tally.add(&stat(*pid, *start, *own, *children), Part::Full);
        }
        tally.finish();
        tally.total_us()
    }

    #[test]
    fn what_was_used_before_the_first_look_does_not_count() {
        let mut tally = Tally::default();
        assert_eq!(look(&mut tally, &[(10, 1, 5000, 900)]), 0);
        assert_eq!(look(&mut tally, &[(10, 1, 5700, 900)]), 700);
        assert_eq!(tally.top().unwrap().pid, 10);
    }

    #[test]
    fn a_process_that_is_new_counts_from_its_start() {
        let mut tally = Tally::default();
        look(&mut tally, &[]);
        assert_eq!(look(&mut tally, &[(10, 1, 300, 20)]), 320);
        let mut primed = Tally::new(true);
        assert_eq!(look(&mut primed, &[(10, 1, 300, 20)]), 320);
    }

    #[test]
    fn a_child_that_was_met_counts_once() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 0, 0)]);
        assert_eq!(look(&mut tally, &[(10, 1, 10, 0), (11, 2, 400, 0)]), 410);
        // The child used 100 more, ended and was waited for.
        assert_eq!(look(&mut tally, &[(10, 1, 10, 500)]), 510);
    }

    #[test]
    fn children_that_were_never_met_count_through_their_parent() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 0, 0)]);
        assert_eq!(look(&mut tally, &[(10, 1, 5, 8000)]), 8005);
    }

    #[test]
    fn a_chain_that_ends_at_once_counts_once() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 0, 0)]);
        assert_eq!(look(&mut tally, &[(10, 1, 0, 0), (11, 2, 50, 0), (12, 3, 600, 0)]), 650);
        // 12 ends with 700, 11 waits for it and ends with 60, 10 waits for 11.
        assert_eq!(look(&mut tally, &[(10, 1, 0, 760)]), 760);
    }

    #[test]
    fn a_process_that_nobody_waits_for_takes_nothing_away_from_the_living() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 0, 0), (11, 2, 0, 0)]);
        assert_eq!(look(&mut tally, &[(10, 1, 0, 0), (11, 2, 900, 0)]), 900);
        assert_eq!(look(&mut tally, &[(10, 1, 70, 0)]), 970);
        assert_eq!(look(&mut tally, &[(10, 1, 80, 0)]), 980);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 0, 0), (11, 2, 0, 0)]);
        assert_eq!(look(&mut tally, &[(10, 1, 0, 0), (11, 2, 500, 0)]), 500);
        // 11 ended with 500 and was waited for; a new 11 used 30.
        assert_eq!(look(&mut tally, &[(10, 1, 0, 500), (11, 9, 30, 0)]), 530);
    }

    #[test]
    fn orphans_are_inherited_by_pid_1_and_its_own_time_is_not_work() {
        let mut tally = Tally::default();
        let mut step = |init: (u64, u64), job: Option<u64>| {
            tally.begin();
            tally.add(&stat(1, 0, init.0, init.1), Part::Heir);
            if let Some(own) = job {
                tally.add(&stat(10, 1, own, 0), Part::Full);
            }
            tally.finish();
            tally.total_us()
        };
        assert_eq!(step((1000, 1000), Some(0)), 0);
        assert_eq!(step((2000, 1000), Some(400)), 400);
        assert_eq!(step((3000, 1450), None), 450);
        assert_eq!(step((9000, 1450), None), 450);
    }

    #[test]
    fn a_process_that_takes_part_later_counts_from_then_on() {
        let mut tally = Tally::default();
        let mut step = |own: u64, part: Part| {
            tally.begin();
            tally.add(&stat(10, 1, own, 0), part);
            tally.finish();
            tally.total_us()
        };
        assert_eq!(step(100, Part::None), 0);
        assert_eq!(step(200, Part::None), 0);
        assert_eq!(step(260, Part::Full), 60);
        assert_eq!(step(300, Part::Full), 100);
    }

    #[test]
    fn a_time_that_falls_back_is_no_use_and_no_loss() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 500, 500)]);
        assert_eq!(look(&mut tally, &[(10, 1, 490, 480)]), 0);
        assert_eq!(look(&mut tally, &[(10, 1, 500, 480)]), 10);
        assert_eq!(look(&mut tally, &[(10, 1, u64::MAX, u64::MAX)]), u64::MAX);
    }

    #[test]
    fn nobody_is_named_when_nothing_was_used() {
        let mut tally = Tally::default();
        look(&mut tally, &[(10, 1, 5, 0)]);
        look(&mut tally, &[(10, 1, 5, 0)]);
        assert_eq!(tally.top(), None);
    }

    proptest::proptest! {
        /// Whatever processes do, as long as somebody waits for each that ends, the total is what was used.
        #[test]
        fn time_is_conserved(steps in proptest::collection::vec((0_u32..6, 0_u64..1000, 0_u8..4), 1..200)) {
            let mut tally = Tally::default();
            // Process 0 is the shell; the others are its children: (start, own time, lives).
            let mut shell = 0;
            let mut jobs = [(0_u64, 0_u64, false); 6];
            let mut used = 0;
            let observe = |tally: &mut Tally, shell: u64, jobs: &[(u64, u64, bool); 6]| {
                let mut list = vec![(100, 1, 0, shell)];
                for (index, (start, own, lives)) in (0_u32..).zip(jobs) {
                    if *lives {
                        list.push((index + 200, *start, *own, 0));
                    }
                }
                look(tally, &list)
            };
            observe(&mut tally, shell, &jobs);
            for (moment, (which, time, what)) in (2_u64..).zip(steps) {
                let job = &mut jobs[which as usize];
                match what {
                    0 if !job.2 => *job = (moment, 0, true),
                    1 if job.2 => {
                        shell += job.1;
                        job.2 = false;
                    }
                    2 if job.2 => {
                        job.1 += time;
                        used += time;
                    }
                    _ => proptest::prop_assert_eq!(observe(&mut tally, shell, &jobs), used),
                }
            }
            proptest::prop_assert_eq!(observe(&mut tally, shell, &jobs), used);
        }
    }
}
