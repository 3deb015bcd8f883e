//! Timers of systemd that somebody on the machine made and that are due soon.
//!
//! An instance that is stopped cannot wake itself, so a job that is due at three in the morning does not run on it. If
//! such a timer is due within `ahead`, the machine waits for it, and for what it starts; one that is due later is shown, with
//! the word that it will not run while the machine is stopped.
//!
//! A timer that fires again within `ahead` and an hour would keep the machine up for ever, and its next run is as good as the
//! one that is missed. It is shown only. What came with the system (packages, generators, snaps) does not count either: its
//! jobs are housekeeping, and systemd makes up for most of them after the next start (`Persistent=`).
//!
//! The timers of user managers (`systemctl --user`) follow the same rules. They tell their users alone, so systemd starts the
//! agent's own program for a moment as each of them (`users`, decision 0015). A timer of a user's is shown by a number.

mod users;

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal};
use agent_core::stamp::Stamp;

use super::{
    AsyncSource, Context, Lane, Opened, OptionKind, OptionSpec, Pending, SourceSpec, blind, due,
};
use crate::host::systemd::{Systemd, SystemdError, Timer};
use users::Managers;

pub use users::print_timers;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "timers",
    about: "Timers of systemd that were made on this machine, not by a package, and are due soon.",
    unit: "min",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Async,
    deadline: Duration::from_millis(1800),
    options: &[OptionSpec {
        key: "ahead",
        kind: OptionKind::Duration,
        default: "\"90m\"",
        about: "A timer that is due within this long keeps the machine up, unless it fires again as soon.",
    }],
    open: |context| Opened::Async(Box::new(Timers::new(context))),
};

#[derive(Debug)]
struct Timers {
    systemd: Systemd,
    managers: Managers,
    ahead: Duration,
}

impl Timers {
    fn new(context: &Context) -> Self {
        let systemd = Systemd::new(context.bus.clone(), context.host.clone());
        let managers = Managers::new(context.host.clone(), context.bus.clone());
        Self { systemd, managers, ahead: due::ahead(context) }
    }

    async fn look(&mut self, now: Stamp) -> Reading {
        let ahead = self.ahead;
        let mut reading = judge(self.systemd.timers(now.boot_ms).await, now, ahead);
        if let Reading::Signals(signals) = &mut reading {
            let of_user = |timer: &Timer, owner: &str| signal(timer, Some(owner), now, ahead);
            signals.extend(self.managers.signals(now, of_user).await);
        }
        reading
    }
}

impl AsyncSource for Timers {
    fn read(&mut self, now: Stamp) -> Pending<'_> {
        Box::pin(self.look(now))
    }

    fn refresh(&mut self) {
        self.managers.refresh();
    }
}

fn judge(answer: Result<Vec<Timer>, SystemdError>, now: Stamp, ahead: Duration) -> Reading {
    match answer {
        Ok(list) => Reading::Signals(list.iter().filter_map(|it| signal(it, None, now, ahead)).collect()),
        Err(error @ (SystemdError::NoBus(_) | SystemdError::NoSystemd(_))) => {
            Reading::absent(format!("cannot {error}"))
        }
        Err(error) => blind(&error),
    }
}

/// A timer without a next run says nothing, unless what it started still runs.
fn signal(timer: &Timer, owner: Option<&str>, now: Stamp, ahead: Duration) -> Option<Signal> {
    let name: String = timer.name.chars().filter(|c| !c.is_control()).take(100).collect();
    let monotonic_us = now.boot_ms.saturating_sub(now.asleep_ms).saturating_mul(1000);
    let wall_us = u64::try_from(now.wall_ms).unwrap_or(0).saturating_mul(1000);
    let by_wall = timer.next_wall_us.map(|next| next.saturating_sub(wall_us));
    let by_clock = timer.next_monotonic_us.map(|next| next.saturating_sub(monotonic_us));
    let wait = by_wall.into_iter().chain(by_clock).min().map(Duration::from_micros);
    // How long after its last run a calendar fires tells how often it does; one that never ran may run once only.
    let calendar = match (timer.next_wall_us, timer.last_wall_us) {
        (Some(next), Some(last)) => Some(next.saturating_sub(last)),
        _ => None,
    };
    let period = calendar.into_iter().chain(timer.repeats_us).min().map(Duration::from_micros);
    let often = period.is_some_and(|period| period < due::again(ahead));
    if timer.runs && !often {
        return Some(due::running(&name, owner, ahead));
    }
    Some(due::signal(&name, owner, wait?, often, now, ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use crate::sources::BusMode;
    use agent_core::reading::Value;

    const MINUTE: u64 = 60_000_000;
    const WALL: u64 = 1_700_000_000_000;
    const AHEAD: Duration = Duration::from_mins(90);

    /// Ten hours after boot, six of which were slept through.
    fn now() -> Stamp {
        Stamp::new(36_000_000, 21_600_000, i64::try_from(WALL).unwrap())
    }

    fn at_wall(minutes: u64) -> u64 {
        WALL * 1000 + minutes * MINUTE
    }

    fn timer() -> Timer {
        Timer { name: "backup.timer".to_owned(), ..Timer::default() }
    }

    fn blocks(timer: &Timer) -> Option<bool> {
        signal(timer, None, now(), AHEAD).map(|signal| matches!(signal.value, Value::Blocks { .. }))
    }

    #[test]
    fn a_timer_that_is_due_soon_blocks_and_a_later_one_is_shown() {
        for (minutes, expected) in [(0, true), (90, true), (91, false), (1440, false)] {
            let timer = Timer { next_wall_us: Some(at_wall(minutes)), ..timer() };
            assert_eq!(blocks(&timer), Some(expected), "{minutes}");
        }
        let late = Timer { next_wall_us: Some(at_wall(200)), ..timer() };
        let signal = signal(&late, None, now(), AHEAD).unwrap();
        assert_eq!(signal.value, Value::Shown { value: 200.0 });
        assert!(signal.owner.unwrap().contains("while the machine is stopped"));
    }

    #[test]
    fn what_a_timer_started_is_waited_for_unless_it_runs_often() {
        let runs = Timer { runs: true, ..timer() };
        assert_eq!(blocks(&runs), Some(true));
        let daily = Timer { next_wall_us: Some(at_wall(1440)), ..runs.clone() };
        assert_eq!(blocks(&daily), Some(true));
        let often =
            Timer { next_wall_us: Some(at_wall(5)), last_wall_us: Some(at_wall(0)), ..runs };
        assert_eq!(blocks(&often), Some(false));
        assert_eq!(blocks(&timer()), None);
    }

    #[test]
    fn monotonic_time_excludes_sleep() {
        // Four hours awake.
        let soon = Timer { next_monotonic_us: Some((240 + 30) * MINUTE), ..timer() };
        assert_eq!(blocks(&soon), Some(true));
        let late = Timer { next_monotonic_us: Some((240 + 100) * MINUTE), ..timer() };
        assert_eq!(blocks(&late), Some(false));
    }

    #[test]
    fn a_timer_that_fires_often_never_blocks() {
        let five_minutes = Timer {
            next_wall_us: Some(at_wall(3)),
            last_wall_us: Some(WALL * 1000 - 2 * MINUTE),
            ..timer()
        };
        assert_eq!(blocks(&five_minutes), Some(false));
        let again = Timer {
            next_monotonic_us: Some(241 * MINUTE),
            repeats_us: Some(10 * MINUTE),
            ..timer()
        };
        assert_eq!(blocks(&again), Some(false));
        let daily = Timer {
            next_wall_us: Some(at_wall(3)),
            last_wall_us: Some(WALL * 1000 - 1437 * MINUTE),
            ..timer()
        };
        assert_eq!(blocks(&daily), Some(true));
    }

    #[test]
    fn a_timer_that_is_over_says_nothing() {
        assert_eq!(blocks(&timer()), None);
    }

    #[tokio::test]
    async fn without_a_bus_there_are_none_and_a_bus_that_fails_is_blind() {
        let tree = Tree::new();
        let context = |bus| Context { host: tree.root(), options: toml::Table::new(), bus };
        let reading = Timers::new(&context(BusMode::None)).read(now()).await;
        assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
        let nobody = BusMode::Address(format!("unix:path={}", tree.path("/nobody").display()));
        let reading = Timers::new(&context(nobody)).read(now()).await;
        let Reading::Blind { why } = reading else { panic!("{reading:?}") };
        assert!(why.starts_with("failed to ask systemd"), "{why}");
    }
}
