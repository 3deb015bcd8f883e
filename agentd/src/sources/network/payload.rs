//! Running totals of payload, by owner, over connections that come and go.
//!
//! A connection that is new since the last look counts from its first byte. What one carried after the last look
//! before it was closed is lost; a download that is long enough to matter is met.
//!
//! Everybody on the internet may talk to sshd until it closes an attempt, after two minutes at most (`LoginGraceTime`
//! of `sshd_config(5)`) and some kilobytes. So the first 64 kibibytes of a connection of sshd count only once it is older than
//! that; a session that types less is seen by its terminal.
//!
//! What sshd sends to a client is a copy, or a terminal on which something redraws itself (htop, watch, a log) while nobody
//! looks. A copy is much faster, so the first 16 kibibytes that a connection of sshd sends in a second do not count. What
//! a client sends counts from its first byte.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use super::owners::Whose;

/// What a stranger may exchange with sshd.
const ALLOWANCE: u64 = 64 << 10;
/// After this a connection of sshd is a session.
const GRACE: Duration = Duration::from_secs(150);
/// So many bytes a second a terminal takes to redraw itself.
const REDRAW_PER_S: u64 = 16 << 10;
/// The most owners that are shown one by one.
const SUBJECTS: usize = 64;
/// Where the others are counted.
const OTHERS: &str = "other connections";

/// One connection at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The kernel's number for it.
    pub(super) cookie: u64,
    /// What it carried so far.
    pub(super) bytes: u64,
    /// Of them, what it sent.
    pub(super) sent: u64,
    /// Whose it is.
    pub(super) whose: Whose,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: u64,
    sent: u64,
    since: Stamp,
    look: u64,
}

/// The totals.
#[derive(Debug, Default)]
pub(super) struct Payload {
    seen: HashMap<u64, Seen>,
    totals: BTreeMap<String, (Role, u64)>,
    look: u64,
    looked_at: Stamp,
}

impl Payload {
    /// Takes in all connections of one look.
    pub(super) fn take(&mut self, now: Stamp, connections: &[Connection]) {
        let first = self.look == 0;
        self.look += 1;
        for connection in connections {
            let Connection { bytes, sent, .. } = *connection;
            let (old, old_sent) = if first { (bytes, sent) } else { (0, 0) };
            let unknown = Seen { bytes: old, sent: old_sent, since: now, look: 0 };
            let before = self.seen.get(&connection.cookie).copied().unwrap_or(unknown);
            self.seen.insert(connection.cookie, Seen { bytes, sent, look: self.look, ..before });
            self.count(connection, before, now);
        }
        self.looked_at = now;
        let look = self.look;
        self.seen.retain(|_, seen| seen.look == look);
    }

    fn count(&mut self, connection: &Connection, before: Seen, now: Stamp) {
        let bytes = connection.bytes;
        let moved = bytes.saturating_sub(before.bytes);
        match &connection.whose {
            Whose::Work(name) => self.add(name, Role::Workload, moved),
            Whose::Sshd => {
                let moved = beyond_allowance(now.since(before.since), before.bytes, bytes);
                let sent = connection.sent.saturating_sub(before.sent);
                let moved = moved.saturating_sub(sent.min(redraws(now.since(self.looked_at))));
                self.add("SSH connections", Role::Workload, moved);
            }
            Whose::Housekeeping => self.add("system.slice", Role::Ignored, moved),
            Whose::Inside | Whose::Own => {}
        }
    }

    /// Adds to the total of an owner.
    pub(super) fn add(&mut self, subject: &str, role: Role, bytes: u64) {
        if let Some((_, total)) = self.totals.get_mut(subject) {
            *total = total.saturating_add(bytes);
            return;
        }
        if self.totals.len() < SUBJECTS || subject == OTHERS {
            self.totals.insert(subject.to_owned(), (role, bytes));
        } else {
            // Housekeeping has one subject only, and it is among the first.
            self.add(OTHERS, Role::Workload, bytes);
        }
    }

    /// Every owner with what its connections carried since the first look. The totals never fall.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&str, Role, u64)> {
        self.totals.iter().map(|(subject, (role, total))| (subject.as_str(), *role, *total))
    }
}

/// What a terminal is sent in so long without anybody using it.
fn redraws(span: Duration) -> u64 {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    ms.saturating_mul(REDRAW_PER_S) / 1000
}

/// How much of what a connection of sshd carried from `before` to `now` counts, when it was first met so long ago.
pub(in crate::sources) fn beyond_allowance(age: Duration, before: u64, now: u64) -> u64 {
    now.saturating_sub(if age >= GRACE { before } else { before.max(ALLOWANCE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(seconds * 1000, 0, 0)
    }

    fn of(whose: &Whose, list: &[(u64, u64)]) -> Vec<Connection> {
        let connection = |(cookie, bytes): &(u64, u64)| Connection {
            cookie: *cookie,
            bytes: *bytes,
            sent: 0,
            whose: whose.clone(),
        };
        list.iter().map(connection).collect()
    }

    fn total(payload: &Payload) -> u64 {
        payload.totals().filter(|(_, role, _)| *role == Role::Workload).map(|(_, _, n)| n).sum()
    }

    fn alice() -> Whose {
        Whose::Work("connections of alice".to_owned())
    }

    #[test]
    fn what_was_carried_before_the_first_look_does_not_count() {
        let mut payload = Payload::default();
        payload.take(at(0), &of(&alice(), &[(1, 5000)]));
        assert_eq!(total(&payload), 0);
        payload.take(at(10), &of(&alice(), &[(1, 5600)]));
        assert_eq!(total(&payload), 600);
    }

    #[test]
    fn a_new_connection_counts_whole_and_a_closed_one_is_kept_in_the_total() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        payload.take(at(10), &of(&alice(), &[(1, 900), (2, 50)]));
        payload.take(at(20), &of(&alice(), &[(2, 60)]));
        payload.take(at(30), &[]);
        assert_eq!(total(&payload), 960);
    }

    #[test]
    fn a_connection_that_is_merely_kept_open_stands_still() {
        let mut payload = Payload::default();
        for seconds in 0..100 {
            payload.take(at(seconds), &of(&alice(), &[(1, 4000)]));
        }
        assert_eq!(total(&payload), 0);
    }

    #[test]
    fn strangers_at_sshd_do_not_count() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        for attempt in 1..1000 {
            payload.take(at(attempt), &of(&Whose::Sshd, &[(attempt, 9000), (attempt + 1, 4000)]));
        }
        assert_eq!(total(&payload), 0);
    }

    #[test]
    fn a_transfer_through_sshd_counts_beyond_the_allowance_at_once() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        payload.take(at(10), &of(&Whose::Sshd, &[(1, 40_000)]));
        payload.take(at(20), &of(&Whose::Sshd, &[(1, 70_000)]));
        assert_eq!(total(&payload), 70_000 - 65_536);
        payload.take(at(30), &of(&Whose::Sshd, &[(1, 80_000)]));
        assert_eq!(total(&payload), 80_000 - 65_536);
    }

    #[test]
    fn a_session_counts_every_byte_once_the_grace_time_is_over() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        payload.take(at(10), &of(&Whose::Sshd, &[(1, 4000)]));
        payload.take(at(159), &of(&Whose::Sshd, &[(1, 4100)]));
        assert_eq!(total(&payload), 0);
        payload.take(at(160), &of(&Whose::Sshd, &[(1, 4150)]));
        assert_eq!(total(&payload), 50);
    }

    /// One connection of sshd that sends at a rate for ten minutes after its first five; what counts a second.
    fn sending(rate: u64) -> u64 {
        let mut payload = Payload::default();
        let mut total_at_first = 0;
        for second in (0..900).step_by(10) {
            let sent = rate * second;
            let one = Connection { cookie: 1, bytes: sent, sent, whose: Whose::Sshd };
            payload.take(at(second), &[one]);
            if second == 300 {
                total_at_first = total(&payload);
            }
        }
        (total(&payload) - total_at_first) / 590
    }

    #[test]
    fn a_terminal_that_redraws_itself_does_not_count_and_a_copy_does() {
        for redraw in [100, 2000, 6000, 16_000] {
            assert_eq!(sending(redraw), 0, "{redraw} B/s");
        }
        for copy in [40_000, 1_000_000, 20_000_000] {
            assert!(sending(copy) >= copy / 2, "{copy} B/s");
        }
    }

    #[test]
    fn what_a_client_sends_counts_beside_a_redraw() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        let carried = |received, sent| {
            vec![Connection { cookie: 1, bytes: received + sent, sent, whose: Whose::Sshd }]
        };
        payload.take(at(200), &carried(100, 70_000));
        payload.take(at(400), &carried(100, 70_000));
        let before = total(&payload);
        payload.take(at(410), &carried(5100, 90_000));
        assert_eq!(total(&payload) - before, 5000);
    }

    #[test]
    fn housekeeping_is_shown_and_the_agent_and_conversations_inside_are_not() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        payload.take(at(1), &of(&Whose::Housekeeping, &[(1, 10)]));
        payload.take(at(2), &of(&Whose::Own, &[(2, 20)]));
        payload.take(at(3), &of(&Whose::Inside, &[(3, 30)]));
        let totals: Vec<_> = payload.totals().collect();
        assert_eq!(totals, [("system.slice", Role::Ignored, 10)]);
    }

    #[test]
    fn the_number_of_owners_is_bounded_and_none_is_lost() {
        let mut payload = Payload::default();
        payload.take(at(0), &[]);
        for owner in 0..1000 {
            let whose = Whose::Work(format!("owner {owner}"));
            payload.take(at(owner + 1), &of(&whose, &[(owner, 1)]));
        }
        assert!(payload.totals().count() <= SUBJECTS + 1);
        assert_eq!(total(&payload), 1000);
    }

    proptest::proptest! {
        /// No order of connections, counts and owners makes a total fall.
        #[test]
        fn totals_never_fall(looks in proptest::collection::vec(
            proptest::collection::vec((0_u64..8, 0_u64..200_000, 0_u8..4), 0..8), 1..30))
        {
            let mut payload = Payload::default();
            let mut before = BTreeMap::new();
            for (second, look) in (0_u64..).zip(looks) {
                let whose = [alice(), Whose::Sshd, Whose::Housekeeping, Whose::Inside];
                let connections: Vec<_> = look
                    .into_iter()
                    .map(|(cookie, bytes, owner)| Connection {
                        cookie,
                        bytes,
                        sent: bytes / 2,
                        whose: whose[usize::from(owner)].clone(),
                    })
                    .collect();
                payload.take(at(second * 40), &connections);
                for (subject, _, total) in payload.totals() {
                    let old = before.insert(subject.to_owned(), total).unwrap_or(0);
                    proptest::prop_assert!(total >= old);
                }
            }
        }
    }
}
