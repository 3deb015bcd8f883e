//! What a job that will run at a known time comes to.

use std::time::Duration;

use agent_core::reading::{Signal, Value};
use agent_core::stamp::Stamp;

use super::Context;
use crate::actuators::text;

/// The default of the option `ahead`.
const AHEAD: Duration = Duration::from_mins(90);
/// Nobody waits for a job that is due in more than a day.
const MOST: Duration = Duration::from_hours(24);
/// A job that has not begun so long after it was due never will.
const SLACK: Duration = Duration::from_mins(30);

/// The machine is free for less than this between two runs of a job that comes again sooner than [`again`].
const FREE: Duration = Duration::from_hours(1);

/// A job that runs again sooner than this runs often. It is waited for for `ahead` before each run, and its end is the last
/// use; with less than an hour left between them the machine would never be idle for long enough.
pub(super) fn again(ahead: Duration) -> Duration {
    ahead.saturating_add(FREE)
}

/// The option `ahead`.
pub(super) fn ahead(context: &Context) -> Duration {
    context.duration("ahead", AHEAD).min(MOST)
}

/// What stands before everything that is said of what is closed to the agent.
pub(crate) const CLOSED: &str = "closed to the agent";

/// The signal of times that the agent may not look at, and why nobody tells them, as a part of the sentence.
pub(super) fn closed(subject: &str, why: &str) -> Signal {
    let why = text::stripped(why, 200);
    let space = if why.is_empty() { "" } else { " " };
    Signal::new(subject, Value::Shown { value: 0.0 })
        .owned_by(format!("{CLOSED}{space}{why}, its jobs count once they run"))
        .ignored()
}

/// The signal of a job that was waited for and runs now. It may use little or wait for something, so without this
/// the machine would wait for the job and stop in the middle of it.
pub(super) fn running(subject: &str, owner: Option<&str>, ahead: Duration) -> Signal {
    block(subject, ahead).owned_by(format!("{}what it started runs", whose(owner)))
}

fn whose(owner: Option<&str>) -> String {
    owner.map(|owner| format!("{owner}, ")).unwrap_or_default()
}

/// A block that stands for as long as a job that is due within `ahead` can be waited for.
fn block(subject: &str, ahead: Duration) -> Signal {
    let cap_ms = u64::try_from((ahead + SLACK).as_millis()).unwrap_or(u64::MAX);
    Signal::new(subject, Value::Blocks { cap_ms })
}

/// The signal of a job that runs in so long: it blocks if that is within `ahead` and it does not run `often`, which is
/// again sooner than [`again`] says; else it is shown with the minutes until then.
pub(super) fn signal(
    subject: &str,
    owner: Option<&str>,
    wait: Duration,
    often: bool,
    now: Stamp,
    ahead: Duration,
) -> Signal {
    let whose = whose(owner);
    if wait <= ahead && !often {
        let at = text::time_of_day(now.after(wait).wall_ms);
        return block(subject, ahead).owned_by(format!("{whose}due {at}"));
    }
    let minutes = u32::try_from(wait.as_secs() / 60).unwrap_or(u32::MAX);

    let note = if often {
        "runs often and is not waited for"
    } else {
        "will not run while the machine is stopped"
    };
    Signal::new(subject, Value::Shown { value: f64::from(minutes) })
        .owned_by(format!("{whose}{note}"))
        .ignored()
}
