//! Jobs of at(1): the names of their files tell when they run.

use std::time::Duration;

use agent_core::reading::Signal;
use agent_core::stamp::Stamp;

use crate::sources::due;

/// Where they are: Debian's folder and everybody else's.
pub(super) const FOLDERS: [&str; 2] = ["/var/spool/cron/atjobs", "/var/spool/at"];

/// A job that is so much overdue is not going to run.
const STALE: Duration = Duration::from_mins(10);

/// What a file of a folder comes to, if it is a job that is still going to run.
pub(super) fn signal(
    folder: &str,
    name: &str,
    owner: Option<&str>,
    now: Stamp,
    ahead: Duration,
) -> Option<Signal> {
    let wait_ms = due_ms(name)?.saturating_sub(now.wall_ms);
    let stale = wait_ms < -i64::try_from(STALE.as_millis()).unwrap_or(i64::MAX);
    let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
    let subject = format!("{folder}/{name}");
    (!stale).then(|| due::signal(&subject, owner, wait, false, now, ahead))
}

/// Whether a file is a job, by its name.
pub(super) fn is_job(name: &str) -> bool {
    due_ms(name).is_some()
}

/// A queue of one letter, five hexadecimal digits of the job's number, and eight of the minutes since 1970. A job that
/// runs has the queue `=` and is no longer due.
fn due_ms(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(|queue: char| queue.is_ascii_alphabetic())?;
    let hexadecimal = digits.len() == 13 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let minutes = i64::from_str_radix(digits.get(5..).filter(|_| hexadecimal)?, 16).ok()?;
    Some(minutes.saturating_mul(60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_when_a_job_runs() {
        assert_eq!(due_ms("a0000101b2a3e0"), Some(0x01b2_a3e0 * 60_000));
        for name in ["=0000101b2a3e0", ".SEQ", "a0000101b2a3e", "a0000x01b2a3e0", "", "spool"] {
            assert_eq!(due_ms(name), None, "{name}");
        }
    }
}
