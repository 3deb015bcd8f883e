//! What is shown of the watch.

use std::cell::RefCell;
use std::rc::Rc;

use agent_core::stamp::Stamp;
use tokio::sync::{mpsc, watch};

use super::{Kind, Setting};
use crate::aws::identity::LifeCycle;
use crate::instance::Shown;
use crate::publish::{Freshener, PathWatch, WatchState};
use crate::shell::Message;

/// Where the tasks write how they do.
pub(super) struct Board {
    pub(super) shown: Rc<RefCell<Shown>>,
    pub(super) freshener: Option<Freshener>,
    pub(super) refresh: mpsc::WeakSender<Message>,
    pub(super) setting: watch::Sender<Setting>,
    pub(super) clock: fn() -> Stamp,
}

impl Board {
    /// Every kind, before it was asked.
    pub(super) fn open(&self, life_cycle: LifeCycle) {
        let path = |kind: Kind| PathWatch {
            name: kind.name(),
            path: kind.path(),
            every: kind.every(),
            state: WatchState::Pending,
            since: (self.clock)(),
            last_good: None,
            detail: "not asked yet".to_owned(),
        };
        let mut shown = self.shown.borrow_mut();
        life_cycle.as_str().clone_into(&mut shown.notices.life_cycle);
        shown.notices.paths = Kind::ALL.map(path).to_vec();
    }

    /// How the instance is paid for.
    pub(super) fn life_cycle(&self, life_cycle: LifeCycle) {
        let word = life_cycle.as_str();
        let known = self.shown.borrow().notices.life_cycle == word;
        if !known {
            word.clone_into(&mut self.shown.borrow_mut().notices.life_cycle);
            self.show(true);
        }
    }

    /// A good answer.
    pub(super) fn good(&self, kind: Kind, state: WatchState, detail: String) {
        let before = self.set(kind, state, detail, true);
        if before == Some(WatchState::Blind) {
            // Who else is blind asks at once: the outage is over.
            self.setting.send_modify(|setting| {
                setting.answers_again = setting.answers_again.wrapping_add(1);
            });
        }
    }

    /// No good answer, and why.
    pub(super) fn blind(&self, kind: Kind, why: String) {
        self.set(kind, WatchState::Blind, why, false);
    }

    /// It is not watched.
    pub(super) fn off(&self, kind: Kind, why: &str) {
        self.set(kind, WatchState::Off, why.to_owned(), false);
    }

    /// Writes it down and returns the state before. The loop is woken only by a change.
    fn set(&self, kind: Kind, state: WatchState, detail: String, good: bool) -> Option<WatchState> {
        let now = (self.clock)();
        let mut shown = self.shown.borrow_mut();
        let path = shown.notices.paths.iter_mut().find(|path| path.name == kind.name())?;
        let before = core::mem::replace(&mut path.state, state);
        path.detail = detail;
        if before != state {
            path.since = now;
        }
        if good {
            path.last_good = Some(now);
        }
        let judged = shown.judge();
        drop(shown);
        self.show(judged || before != state);
        Some(before)
    }

    fn show(&self, changed: bool) {
        if let Some(freshener) = &self.freshener {
            let shown = self.shown.borrow();
            freshener.freshen(&shown.imds, &shown.notices);
        }
        if changed && let Some(to) = self.refresh.upgrade() {
            // A loop that has so much to do shows the picture anyway.
            let _ = to.try_send(Message::Refresh);
        }
    }
}
