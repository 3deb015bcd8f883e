//! Whether the end of a job that was left running is an event that somebody waits for.
//!
//! The engine takes the end of a long job for a use. A job that comes again and again, by a schedule or in a loop, would keep the
//! machine up for ever by its ends alone. So the first ends of jobs of one name count, and the further ones do not. Nor does it
//! when a job is seen to be a server.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::stamp::Stamp;

use super::Job;
use crate::host::HostError;
use crate::sources::sessions::record::Id;

/// The end of a job that took so long is a use (`LONG_JOB` of the engine).
const LONG: Duration = Duration::from_mins(10);
/// So many ends of jobs of one name are …
const ENDS: u32 = 3;
/// … until none has ended for so long.
const FORGOTTEN: Duration = Duration::from_hours(12);
/// The most names that are remembered.
const NAMES: usize = 256;

/// What has ended.
#[derive(Debug, Default)]
pub(in crate::sources::sessions) struct Ends {
    there: Vec<(Job, Stamp)>,
    /// How many jobs of a user and a name ended, and when the last one did.
    counts: BTreeMap<(u32, String), (u32, Stamp)>,
}

impl Ends {
    /// Takes in the jobs that are there now, and says which went without an end that somebody waits for.
    pub(in crate::sources::sessions) fn look(
        &mut self,
        now: Stamp,
        jobs: &[Job],
        mut lives: impl FnMut(Id) -> Result<bool, HostError>,
    ) -> Result<Vec<Job>, HostError> {
        let mut silent = Vec::new();
        let before = std::mem::take(&mut self.there);
        let since = |job: &Job| {
            let known = before.iter().find(|(known, _)| known.process == job.process);
            known.map_or(now, |(_, since)| *since)
        };
        self.there = jobs.iter().map(|job| (job.clone(), since(job))).collect();
        for (job, since) in before {
            if jobs.iter().any(|it| it.process == job.process) {
                continue;
            }
            let long = now.since(since) >= LONG;
            if lives(job.process)? || (long && self.ended_often(now, &job)) {
                silent.push(job);
            }
        }
        Ok(silent)
    }

    fn ended_often(&mut self, now: Stamp, job: &Job) -> bool {
        let key = (job.uid, job.name.clone());
        if self.counts.len() >= NAMES && !self.counts.contains_key(&key) {
            // The oldest one makes room: nobody's names keep another's end from being seen.
            let oldest = self.counts.iter().min_by_key(|(_, (_, last))| last.boot_ms);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| self.counts.remove(&key));
        }
        let (count, last) = self.counts.entry(key).or_insert((0, now));
        if now.since(*last) >= FORGOTTEN {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
        *count > ENDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(pid: u32, name: &str) -> Job {
        let process = Id { pid, start: 5 };
        Job { process, uid: 1000, subject: format!("{name}[{pid}] under nohup"), name: name.into() }
    }

    /// Whether the end of a job after so many minutes is silent.
    fn ends(ends: &mut Ends, now: &mut Stamp, job: &Job, minutes: u64) -> bool {
        let dead = |_| Ok(false);
        ends.look(*now, std::slice::from_ref(job), dead).unwrap();
        *now = now.after(Duration::from_mins(minutes));
        !ends.look(*now, &[], dead).unwrap().is_empty()
    }

    #[test]
    fn a_loop_of_long_jobs_keeps_no_machine_up_for_ever() {
        let (mut it, mut now) = (Ends::default(), Stamp::new(1_000_000, 0, 0));
        let silent: Vec<_> = (1..7).map(|pid| ends(&mut it, &mut now, &job(pid, "sleep"), 11)).collect();
        assert_eq!(silent, [false, false, false, true, true, true]);
        assert!(!ends(&mut it, &mut now, &job(9, "train"), 11), "another one is waited for");
        now = now.after(Duration::from_hours(13));
        assert!(!ends(&mut it, &mut now, &job(10, "sleep"), 11), "that was long ago");
    }

    #[test]
    fn short_jobs_do_not_count_against_a_long_one() {
        let (mut it, mut now) = (Ends::default(), Stamp::new(1_000_000, 0, 0));
        for pid in 1..20 {
            assert!(!ends(&mut it, &mut now, &job(pid, "sleep"), 5));
        }
        assert!(!ends(&mut it, &mut now, &job(30, "sleep"), 50));
    }

    #[test]
    fn what_turns_out_to_be_a_server_has_not_ended() {
        let mut it = Ends::default();
        let now = Stamp::new(1_000_000, 0, 0);
        let server = job(7, "python3");
        it.look(now, std::slice::from_ref(&server), |_| Ok(true)).unwrap();
        let later = now.after(Duration::from_hours(1));
        assert_eq!(it.look(later, &[], |_| Ok(true)).unwrap(), [server]);
        assert_eq!(it.look(later, &[], |_| Ok(true)).unwrap(), []);
    }

    #[test]
    fn names_are_bounded() {
        let (mut it, mut now) = (Ends::default(), Stamp::new(1_000_000, 0, 0));
        for number in 0..1000 {
            ends(&mut it, &mut now, &job(number, &format!("job{number}")), 11);
        }
        assert!(it.counts.len() <= NAMES);
        let other = Job { uid: 1001, ..job(5000, "train") };
        assert!(!ends(&mut it, &mut now, &other, 11), "somebody else's end is seen all the same");
    }
}
