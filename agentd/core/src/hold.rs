//! Holds: people who keep the machine up, each with an end.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::input::{Actor, Denial};
use crate::policy::HoldPolicy;
use crate::stamp::{Stamp, millis};
use crate::verdict::HoldView;

/// The most holds at once, and the most of one user: what a client controls has a limit.
const MAX_HOLDS: usize = 64;
const MAX_OF_ONE: usize = 8;
/// The longest reason, characters.
const MAX_REASON: usize = 200;

/// One hold, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The id.
    pub id: u64,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's name.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The process that it ends with.
    pub pid: Option<u32>,
    /// When it was made.
    pub since: Stamp,
    /// When it ends.
    pub until: Stamp,
}

/// All holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    next: u64,
    list: Vec<Hold>,
}

/// A hold that was made or prolonged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub hold: Hold,
    pub capped: bool,
}

impl Holds {
    /// Gives every owner another name and takes the reasons out, for a trace that is handed on.
    pub fn rename(&mut self, name: &mut dyn FnMut(&str) -> String) {
        for hold in &mut self.list {
            hold.owner = name(&hold.owner);
            hold.reason.clear();
        }
    }

    /// Makes a hold, shortened to what the actor may have.
    pub(crate) fn make(
        &mut self,
        now: Stamp,
        actor: &Actor,
        for_ms: u64,
        reason: &str,
        pid: Option<u32>,
        policy: &HoldPolicy,
    ) -> Result<Made, Denial> {
        if for_ms == 0 {
            return Err(Denial::Invalid(
                "a hold needs a duration above zero, as in 'hold 2h'".to_owned(),
            ));
        }
        if self.list.len() >= MAX_HOLDS {
            return Err(Denial::Policy(format!(
                "there are {MAX_HOLDS} holds already; release some"
            )));
        }
        if self.list.iter().filter(|h| h.uid == actor.uid).count() >= MAX_OF_ONE && !actor.admin {
            return Err(Denial::Policy(format!(
                "'{}' has {MAX_OF_ONE} holds already; release some with 'agentctl release'",
                actor.name
            )));
        }
        let (span, capped) = allowed(for_ms, actor, policy);
        if span.is_zero() {
            return Err(Denial::NotPermitted(
                "only administrators may hold this machine up (hold.user_max = \"0s\")".to_owned(),
            ));
        }
        self.next = self.next.saturating_add(1);
        let hold = Hold {
            id: self.next,
            uid: actor.uid,
            owner: actor.name.clone(),
            reason: clean(reason),
            pid,
            since: now,
            until: now.after(span),
        };
        self.list.push(hold.clone());
        Ok(Made { hold, capped })
    }

    /// Prolongs a hold from now on.
    pub(crate) fn renew(
        &mut self,
        now: Stamp,
        actor: &Actor,
        id: u64,
        for_ms: u64,
        policy: &HoldPolicy,
    ) -> Result<Made, Denial> {
        let hold = self.list.iter_mut().find(|h| h.id == id).ok_or_else(|| no_such(id))?;
        permit(actor, hold)?;
        let (span, capped) = allowed(for_ms, actor, policy);
        hold.until = now.after(span);
        Ok(Made { hold: hold.clone(), capped })
    }

    /// Ends one hold, or all that the actor owns.
    pub(crate) fn release(&mut self, actor: &Actor, id: Option<u64>) -> Result<Vec<Hold>, Denial> {
        if let Some(id) = id {
            let hold = self.list.iter().find(|h| h.id == id).ok_or_else(|| no_such(id))?;
            permit(actor, hold)?;
        }
        Ok(self.take(|h| id.map_or(h.uid == actor.uid, |id| h.id == id)))
    }

    /// Ends the holds of a process that is gone.
    pub(crate) fn process_gone(&mut self, pid: u32) -> Vec<Hold> {
        self.take(|h| h.pid == Some(pid))
    }

    /// Ends the holds whose time is over.
    pub(crate) fn expire(&mut self, now: Stamp) -> Vec<Hold> {
        if self.list.iter().all(|h| h.until.boot_ms > now.boot_ms) {
            return Vec::new();
        }
        self.take(|h| h.until.boot_ms <= now.boot_ms)
    }

    /// Carries the holds into a new boot by wall time, for no longer than they were made for. Holds of processes ended
    /// with their processes.
    pub(crate) fn carry_over(&mut self, now: Stamp) {
        self.list.retain(|h| h.pid.is_none());
        for hold in &mut self.list {
            let whole = millis(hold.until.since(hold.since));
            let left = u64::try_from(hold.until.wall_ms.saturating_sub(now.wall_ms))
                .unwrap_or(0)
                .min(whole);
            hold.since = now;
            hold.until = now.after(Duration::from_millis(left));
        }
        self.list.retain(|h| h.until.boot_ms > now.boot_ms);
    }

    /// The hold that ends last.
    pub(crate) fn last(&self) -> Option<&Hold> {
        self.list.iter().max_by_key(|h| h.until.boot_ms)
    }

    /// When the next hold ends.
    pub(crate) fn next_end(&self) -> Option<Stamp> {
        self.list.iter().map(|h| h.until).min_by_key(|at| at.boot_ms)
    }

    /// The processes that holds end with and since when, which the shell watches.
    pub fn pids(&self) -> impl Iterator<Item = (u32, Stamp)> {
        self.list.iter().filter_map(|h| h.pid.map(|pid| (pid, h.since)))
    }

    /// The holds as shown.
    pub(crate) fn view(&self) -> Vec<HoldView> {
        self.list
            .iter()
            .map(|h| HoldView {
                id: h.id,
                uid: h.uid,
                owner: h.owner.clone(),
                reason: h.reason.clone(),
                pid: h.pid,
                since: h.since,
                until: h.until,
            })
            .collect()
    }

    fn take(&mut self, gone: impl Fn(&Hold) -> bool) -> Vec<Hold> {
        let (out, kept) = core::mem::take(&mut self.list).into_iter().partition(|h| gone(h));
        self.list = kept;
        out
    }
}

fn allowed(for_ms: u64, actor: &Actor, policy: &HoldPolicy) -> (Duration, bool) {
    let most = if actor.admin { policy.admin_max } else { policy.user_max };
    let wanted = Duration::from_millis(for_ms);
    (wanted.min(most), wanted > most)
}

fn permit(actor: &Actor, hold: &Hold) -> Result<(), Denial> {
    if actor.admin || actor.uid == hold.uid {
        return Ok(());
    }
    Err(Denial::NotPermitted(format!(
        "hold {} belongs to '{}'; only its owner or an administrator may change it",
        hold.id, hold.owner
    )))
}

fn no_such(id: u64) -> Denial {
    Denial::Invalid(format!("there is no hold {id}; 'agentctl status' lists them"))
}

/// One line without control characters, cut to the longest reason.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: HoldPolicy =
        HoldPolicy { user_max: Duration::from_hours(2), admin_max: Duration::from_hours(72) };

    fn at(secs: u64) -> Stamp {
        Stamp::new(secs * 1000, 0, 1_000_000 + i64::try_from(secs).unwrap() * 1000)
    }

    fn user(uid: u32) -> Actor {
        Actor { uid, admin: uid == 0, name: format!("user{uid}") }
    }

    fn hours(n: u64) -> u64 {
        n * 3_600_000
    }

    #[test]
    fn a_user_gets_at_most_user_max_and_is_told() {
        let made = Holds::default().make(at(0), &user(1000), hours(5), "x", None, &POLICY).unwrap();
        assert!(made.capped);
        assert_eq!(made.hold.until, at(7200));
    }

    #[test]
    fn an_administrator_gets_more_but_never_for_ever() {
        let made = Holds::default().make(at(0), &user(0), hours(500), "x", None, &POLICY).unwrap();
        assert_eq!(made.hold.until, at(72 * 3600));
    }

    #[test]
    fn a_hold_of_nothing_is_an_error() {
        let err = Holds::default().make(at(0), &user(1000), 0, "x", None, &POLICY).unwrap_err();
        assert!(matches!(err, Denial::Invalid(text) if text.contains("hold 2h")));
    }

    #[test]
    fn where_users_may_not_hold_they_are_told_and_administrators_still_may() {
        let policy = HoldPolicy { user_max: Duration::ZERO, ..POLICY };
        let err = Holds::default().make(at(0), &user(1000), hours(1), "x", None, &policy);
        assert!(matches!(err, Err(Denial::NotPermitted(text)) if text.contains("user_max")));
        assert!(Holds::default().make(at(0), &user(0), hours(1), "x", None, &policy).is_ok());
    }

    #[test]
    fn one_user_cannot_fill_the_list_for_the_others() {
        let mut holds = Holds::default();
        for _ in 0..MAX_OF_ONE {
            holds.make(at(0), &user(1000), hours(1), "x", None, &POLICY).unwrap();
        }
        assert!(matches!(
            holds.make(at(0), &user(1000), hours(1), "x", None, &POLICY),
            Err(Denial::Policy(_))
        ));
        assert!(holds.make(at(0), &user(1001), hours(1), "x", None, &POLICY).is_ok());
    }

    #[test]
    fn strangers_may_not_end_or_prolong_a_hold_and_owners_and_administrators_may() {
        let mut holds = Holds::default();
        let id = holds.make(at(0), &user(1000), hours(1), "x", None, &POLICY).unwrap().hold.id;
        assert!(matches!(holds.release(&user(1001), Some(id)), Err(Denial::NotPermitted(_))));
        assert!(matches!(
            holds.renew(at(1), &user(1001), id, hours(1), &POLICY),
            Err(Denial::NotPermitted(_))
        ));
        assert!(holds.renew(at(1), &user(1000), id, hours(1), &POLICY).is_ok());
        assert_eq!(holds.release(&user(0), Some(id)).unwrap().len(), 1);
    }

    #[test]
    fn release_without_an_id_ends_only_ones_own() {
        let mut holds = Holds::default();
        holds.make(at(0), &user(1000), hours(1), "mine", None, &POLICY).unwrap();
        holds.make(at(0), &user(1001), hours(1), "other", None, &POLICY).unwrap();
        let gone = holds.release(&user(1000), None).unwrap();
        assert_eq!(gone.iter().map(|h| h.reason.as_str()).collect::<Vec<_>>(), ["mine"]);
        assert_eq!(holds.view().len(), 1);
    }

    #[test]
    fn a_hold_ends_at_its_time_or_with_its_process() {
        let mut holds = Holds::default();
        holds.make(at(0), &user(1000), 60_000, "minute", None, &POLICY).unwrap();
        holds.make(at(0), &user(1000), hours(1), "process", Some(42), &POLICY).unwrap();
        assert!(holds.expire(at(59)).is_empty());
        assert_eq!(holds.expire(at(60)).len(), 1);
        assert_eq!(holds.process_gone(42).len(), 1);
        assert!(holds.last().is_none());
    }

    #[test]
    fn after_a_boot_a_hold_keeps_its_wall_time_and_is_never_longer_than_made() {
        let mut holds = Holds::default();
        holds.make(at(1000), &user(1000), hours(1), "x", None, &POLICY).unwrap();
        holds.make(at(1000), &user(1000), hours(1), "run", Some(7), &POLICY).unwrap();
        let mut later = holds.clone();
        // Half an hour later by the wall, ten seconds after the next boot.
        later.carry_over(Stamp::new(10_000, 0, at(1000).wall_ms + 1_800_000));
        assert_eq!(later.view().len(), 1, "the hold of a process ended with it");
        assert_eq!(later.view()[0].until.boot_ms, 10_000 + 1_800_000);
        // The wall clock went back by a year: the hold does not grow.
        holds.carry_over(Stamp::new(10_000, 0, -31_536_000_000));
        assert_eq!(holds.view()[0].until.boot_ms, 10_000 + hours(1));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let reason = format!("a\nb\u{1b}[2J{}", "x".repeat(500));
        let made =
            Holds::default().make(at(0), &user(1), hours(1), &reason, None, &POLICY).unwrap();
        assert!(made.hold.reason.starts_with("a b [2J"));
        assert_eq!(made.hold.reason.chars().count(), MAX_REASON);
    }
}
