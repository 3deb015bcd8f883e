//! What the answers of the metadata service say. Pure: text and time in, a typed result out, and never a panic.
//!
//! Strict on purpose: an answer that is not exactly what EC2 documents is garbled, and nothing follows from it but a
//! warning. What EC2 may add to an answer (other keys) is passed over.

pub mod autoscaling;
pub mod maintenance;
mod object;
pub mod rebalance;
pub mod spot;
pub mod time;

#[cfg(test)]
pub(in crate::notices) mod corpus;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod oracle;

use agent_core::interruption::{Due, Noticed};

/// What one answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is nothing.
    NoNotice,
    /// This is announced.
    Notice(Vec<Noticed>),
    /// It cannot be understood, and why, one line.
    Garbled(String),
}

/// The time by which an answer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// It is this machine's clock, because the answer told none.
    pub own_clock: bool,
}

impl Reference {
    /// The `Date` of the answer where it makes sense, else this machine's clock.
    pub fn of(date_ms: Option<i64>, own_wall_ms: i64) -> Self {
        match date_ms.filter(|date| time::is_plausible(*date)) {
            Some(wall_ms) => Self { wall_ms, own_clock: false },
            None => Self { wall_ms: own_wall_ms, own_clock: true },
        }
    }

    /// How far away a moment is that EC2 named.
    pub const fn due(self, wall_ms: i64) -> Due {
        Due { wall_ms, left_ms: wall_ms.saturating_sub(self.wall_ms) }
    }
}

/// The beginning of what a stranger wrote, fit for one line.
pub fn excerpt(text: &str) -> String {
    const MOST: usize = 60;
    let shown: String =
        text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() { format!("{shown:?}…") } else { format!("{shown:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_answer_is_used_where_it_makes_sense() {
        let own = 1_795_262_400_000;
        let answered = Reference::of(Some(own + 3_600_000), own);
        assert_eq!(answered, Reference { wall_ms: own + 3_600_000, own_clock: false });
        assert_eq!(answered.due(own).left_ms, -3_600_000);
        for nonsense in [None, Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN), Some(1_000_000)] {
            assert_eq!(Reference::of(nonsense, own), Reference { wall_ms: own, own_clock: true });
        }
        let far = Reference { wall_ms: i64::MIN, own_clock: true };
        assert_eq!(far.due(i64::MAX).left_ms, i64::MAX);
    }

    #[test]
    fn an_excerpt_is_short_and_of_one_line() {
        assert_eq!(excerpt("a\nb"), "\"a b\"");
        let long = excerpt(&"é".repeat(1000));
        assert!(long.chars().count() < 70 && long.ends_with('…'), "{long}");
    }
}
