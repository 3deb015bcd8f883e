//! Who was connected of late.
//!
//! A tunnel that a NAT drops is renewed by a program, and a laptop that wakes up for two minutes connects by itself. Neither is
//! somebody's coming: only those have come who were not there for longer than a machine stays up for somebody silent.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::stamp::Stamp;

/// Who was connected within this and is so again was never away.
const OF_LATE: Duration = Duration::from_hours(4);
/// The most people who are remembered.
const MOST: usize = 64;

/// When each was last seen, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Visitors(BTreeMap<String, Stamp>);

impl Visitors {
    /// Notes that somebody is connected; whether they were so of late. A name comes first in what is said of its owner
    /// (`alice, at the prompt`). Without one nobody can be known again.
    pub(super) fn note(&mut self, now: Stamp, owner: Option<&str>) -> bool {
        let Some(name) = owner.and_then(|owner| owner.split(',').next()) else { return false };
        if let Some(seen) = self.0.get_mut(name) {
            let again = now.since(*seen) < OF_LATE;
            *seen = now;
            return again;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, seen| now.since(*seen) < OF_LATE);
        }
        if self.0.len() < MOST {
            self.0.insert(name.to_owned(), now);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_again_for_four_hours_whatever_else_is_said_of_it() {
        let mut visitors = Visitors::default();
        let at = |hours: u64| Stamp::new(hours * 3_600_000, 0, 0);
        assert!(!visitors.note(at(1), Some("alice, ssh")));
        assert!(visitors.note(at(4), Some("alice, at the prompt")));
        assert!(!visitors.note(at(9), Some("alice")));
        assert!(!visitors.note(at(9), Some("bob")));
        assert!(!visitors.note(at(9), None) && !visitors.note(at(9), None));
    }

    #[test]
    fn their_number_is_bounded() {
        let mut visitors = Visitors::default();
        for number in 0..1000 {
            visitors.note(Stamp::default(), Some(&format!("user {number}")));
        }
        assert!(visitors.0.len() <= MOST);
    }
}
