//! The scheduled events that are known, and what is news about them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::input::Input;
use agent_core::interruption::{Notice, Noticed};

use super::read::Reference;
use super::read::maintenance::{Events, Over};
use super::watch::is_news;

/// An event that is in no list any more is remembered for this long after the beginning of its window.
const REMEMBERED_MS: i64 = 24 * 3_600_000;
/// So many cancellations are remembered as told.
const TOLD: usize = 1_000;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    known: BTreeMap<String, Known>,
    /// The cancellations that were told.
    told: BTreeSet<String>,
    /// The history was read once since the start, for what was cancelled while nobody looked.
    history_read: bool,
}

#[derive(Debug)]
struct Known {
    event: String,
    noticed: Noticed,
    /// It was in the last list.
    listed: bool,
}

impl Scheduled {
    /// Takes in the list of events to come. An event that is missing from it stays known.
    pub(super) fn list(&mut self, events: &Events, now: Reference) -> Vec<Input> {
        let mut news = Vec::new();
        for known in self.known.values_mut() {
            known.listed = false;
        }
        for noticed in &events.active {
            let Notice::Maintenance { event, .. } = &noticed.notice else { continue };
            let id = noticed.notice.id();
            if is_news(self.known.get(&id).map(|known| &known.noticed), noticed) {
                news.push(Input::Noticed(noticed.clone()));
            }
            self.told.remove(&id);
            let known = Known { event: event.clone(), noticed: noticed.clone(), listed: true };
            self.known.insert(id, known);
        }
        news.extend(self.moved());
        news.extend(self.over(&events.over));
        self.known.retain(|_, known| {
            let Notice::Maintenance { not_before_wall_ms, .. } = known.noticed.notice else {
                return false;
            };
            known.listed || not_before_wall_ms.saturating_add(REMEMBERED_MS) > now.wall_ms
        });
        news
    }

    /// Whether the history must be read: it tells what became of an event that has left the list. As long as all are listed
    /// as active it could say nothing.
    pub(super) fn wants_history(&self) -> bool {
        !self.history_read || self.known.values().any(|known| !known.listed)
    }

    /// Takes in the history.
    pub(super) fn history(&mut self, events: &Events) -> Vec<Input> {
        self.history_read = true;
        self.over(&events.over)
    }

    /// An event that is listed with another window has left its old one.
    fn moved(&mut self) -> Vec<Input> {
        let listed: BTreeSet<String> = self
            .known
            .values()
            .filter(|known| known.listed)
            .map(|known| known.event.clone())
            .collect();
        let left = |known: &Known| !known.listed && listed.contains(&known.event);
        let ids: Vec<String> =
            self.known.iter().filter(|(_, known)| left(known)).map(|(id, _)| id.clone()).collect();
        ids.into_iter().map(|id| self.withdraw(id, "EC2 moved it to another time")).collect()
    }

    /// What EC2 says is cancelled or completed. An event that is listed as active is not, whatever the history says of
    /// one with its name.
    fn over(&mut self, over: &[Over]) -> Vec<Input> {
        let mut news = Vec::new();
        for Over { event, not_before_wall_ms, because } in over {
            let ids: Vec<String> = if let Some(at) = not_before_wall_ms {
                vec![format!("{event}@{at}")]
            } else {
                let same = self.known.iter().filter(|(_, known)| known.event == *event);
                same.map(|(id, _)| id.clone()).collect()
            };
            for id in ids {
                let active = self.known.get(&id).is_some_and(|known| known.listed);
                if !active && !self.told.contains(&id) {
                    news.push(self.withdraw(id, because));
                }
            }
        }
        news
    }

    fn withdraw(&mut self, id: String, because: &str) -> Input {
        self.known.remove(&id);
        if self.told.len() >= TOLD {
            self.told.clear();
        }
        self.told.insert(id.clone());
        Input::Withdrawn { id, because: because.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::maintenance::read;
    use super::*;

    const NOW: Reference = Reference { wall_ms: 1_548_000_000_000, own_clock: false };

    fn event(id: &str, day: u8, state: &str) -> String {
        format!(
            r#"{{"EventId":"{id}","Code":"system-reboot","NotBefore":"{day} Feb 2019 09:00:00 GMT","State":"{state}"}}"#
        )
    }

    fn events(items: &[String]) -> Events {
        read(&format!("[{}]", items.join(",")), NOW).unwrap()
    }

    /// What was sent, in short.
    fn short(inputs: &[Input]) -> Vec<String> {
        let one = |input: &Input| match input {
            Input::Noticed(noticed) => format!("+{}", noticed.notice.id()),
            Input::Withdrawn { id, .. } => format!("-{id}"),
            other => panic!("{other:?}"),
        };
        let day = |id: String| id.replace("1549011600000", "1").replace("1549098000000", "2");
        inputs.iter().map(one).map(day).collect()
    }

    #[test]
    fn an_event_is_told_once_and_its_absence_means_nothing() {
        let mut all = Scheduled::default();
        let list = events(&[event("e-1", 1, "active")]);
        assert_eq!(short(&all.list(&list, NOW)), ["+e-1@1"]);
        assert_eq!(short(&all.list(&list, NOW)), [""; 0]);
        assert_eq!(short(&all.list(&Events::default(), NOW)), [""; 0]);
        assert_eq!(short(&all.history(&Events::default())), [""; 0]);
        assert!(all.wants_history());
        assert_eq!(short(&all.list(&list, NOW)), [""; 0]);
        assert!(!all.wants_history(), "it is listed again");
    }

    #[test]
    fn history_or_state_alone_cancels_and_once() {
        let active = events(&[event("e-1", 1, "active")]);
        let over = events(&[event("e-1", 1, "canceled")]);
        let mut all = Scheduled::default();
        all.list(&active, NOW);
        assert_eq!(short(&all.history(&over)), [""; 0], "it is listed as active");
        all.list(&Events::default(), NOW);
        assert_eq!(short(&all.history(&over)), ["-e-1@1"]);
        assert_eq!(short(&all.history(&over)), [""; 0]);
        assert!(!all.wants_history());
        // It is scheduled again, and cancelled by its state.
        assert_eq!(short(&all.list(&active, NOW)), ["+e-1@1"]);
        assert_eq!(short(&all.list(&over, NOW)), ["-e-1@1"]);
    }

    #[test]
    fn what_was_cancelled_while_nobody_looked_is_found_in_the_history_once() {
        let mut all = Scheduled::default();
        all.list(&Events::default(), NOW);
        assert!(all.wants_history());
        assert_eq!(short(&all.history(&events(&[event("e-7", 2, "canceled")]))), ["-e-7@2"]);
        assert!(!all.wants_history());
    }

    #[test]
    fn a_moved_event_leaves_its_old_time() {
        let mut all = Scheduled::default();
        all.list(&events(&[event("e-1", 1, "active")]), NOW);
        let moved = all.list(&events(&[event("e-1", 2, "active")]), NOW);
        assert_eq!(short(&moved), ["+e-1@2", "-e-1@1"]);
        // The same name in two windows at a time is two events.
        let both = events(&[event("e-1", 1, "active"), event("e-1", 2, "active")]);
        assert_eq!(short(&all.list(&both, NOW)), ["+e-1@1"]);
    }

    #[test]
    fn a_cancellation_without_a_time_is_for_every_window_of_the_event() {
        let mut all = Scheduled::default();
        all.list(&events(&[event("e-1", 1, "active"), event("e-1", 2, "active")]), NOW);
        all.list(&Events::default(), NOW);
        let bare = events(&[r#"{"EventId":"e-1","State":"completed"}"#.to_owned()]);
        assert_eq!(short(&all.history(&bare)), ["-e-1@1", "-e-1@2"]);
    }

    #[test]
    fn an_event_of_the_past_that_is_listed_nowhere_is_forgotten() {
        let mut all = Scheduled::default();
        all.list(&events(&[event("e-1", 1, "active")]), NOW);
        all.history(&Events::default());
        let later = Reference { wall_ms: 1_549_011_600_000 + REMEMBERED_MS, ..NOW };
        all.list(&Events::default(), later);
        assert!(!all.wants_history());
    }
}
