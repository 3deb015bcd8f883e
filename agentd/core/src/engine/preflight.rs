//! When to find out what this instance can do.

use core::time::Duration;

use super::{Abilities, Ability, Engine, Key, Mode, Out, Stage, Stamp};
use crate::action::{ActionKind, Outcome};

/// What this instance can do is found out again after this long.
const EVERY: Duration = Duration::from_hours(24);
/// When the machine becomes quiet, an answer older than this is renewed.
const FRESH: Duration = Duration::from_hours(1);
/// When people are warned, an answer older than this is: tags that ask for more care come with it.
const VERY_FRESH: Duration = Duration::from_mins(5);
/// After a preflight that could not find out; doubled for each further one.
const RETRY: Duration = Duration::from_secs(30);
/// The most doublings: 16 minutes.
const MAX_DOUBLINGS: u32 = 5;

/// When to ask again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preflight {
    outstanding: Option<Key>,
    next: Stamp,
    last_good: Option<Stamp>,
    /// Preflights in a row that could not find out.
    failures: u32,
}

impl Preflight {
    /// Never asked: due at once.
    pub(super) fn due(now: Stamp) -> Self {
        Self { outstanding: None, next: now, last_good: None, failures: 0 }
    }

    /// Asks at that time.
    pub(super) fn ask_at(&mut self, at: Stamp) {
        self.next = at;
    }

    /// When it is due.
    pub(super) fn next(&self) -> Stamp {
        self.next
    }
}

impl Engine {
    /// Takes in what was found out.
    pub(super) fn learn(&mut self, now: Stamp, abilities: Abilities) {
        let known = abilities.instance_id.is_some() && abilities.stop != Ability::Unknown;
        self.abilities = abilities;
        if known {
            self.preflight.next = now.after(EVERY);
            self.preflight.last_good = Some(now);
            self.preflight.failures = 0;
        } else {
            self.preflight.last_good = None;
        }
    }

    /// Asks for a preflight when one is due. Observing needs none, so it calls EC2 not even with DryRun.
    pub(super) fn plan_preflight(&mut self, now: Stamp, stage: Stage, out: &mut Out) {
        if self.mode() == Mode::Observe || self.preflight.outstanding.is_some() {
            return;
        }
        let most = match stage {
            Stage::Quiet => Some(FRESH),
            Stage::Warned => Some(VERY_FRESH),
            _ => None,
        };
        let before_countdown = most
            .filter(|_| stage != self.stage)
            .is_some_and(|most| self.preflight.last_good.is_some_and(|at| now.since(at) > most));
        if before_countdown || now.boot_ms >= self.preflight.next.boot_ms {
            self.preflight.outstanding = Some(self.request(ActionKind::Preflight, out));
        }
    }

    /// Takes in how a preflight ended; false when the key is not of one.
    pub(super) fn preflight_ended(&mut self, now: Stamp, key: Key, outcome: &Outcome) -> bool {
        if self.preflight.outstanding != Some(key) {
            return false;
        }
        self.preflight.outstanding = None;
        let answered = matches!(outcome, Outcome::Done { .. } | Outcome::Already { .. });
        let told = self.preflight.last_good.is_some() && self.preflight.next.boot_ms > now.boot_ms;
        if !answered || !told {
            let doublings = self.preflight.failures.min(MAX_DOUBLINGS);
            self.preflight.failures = self.preflight.failures.saturating_add(1);
            self.preflight.next = now.after(RETRY.saturating_mul(1 << doublings));
        }
        true
    }
}
