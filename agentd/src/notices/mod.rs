//! The watch for what EC2 announces: spot interruptions, rebalance recommendations, scheduled events, and the target
//! state of the Auto Scaling group.
//!
//! Each item of the metadata service has a task with a schedule and a deadline of its own, so that none waits for
//! another. What is read goes to the loop at once and once. "There is none" is said only after a 404 to an accepted
//! token (or an empty list); everything else that is no notice is blindness, which is shown and told.

mod board;
mod kind;
mod pace;
pub mod read;
mod scheduled;
mod watch;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent_core::stamp::Stamp;
use tokio::sync::{mpsc, watch as channel};

use crate::aws::Cloud;
use crate::aws::identity::{self, LifeCycle};
use crate::aws::imds::{Answer, ImdsError};
use crate::clock;
use crate::events::{self, ShellEvent};
use crate::instance::Shown;
use crate::publish::Freshener;
use crate::shell::Message;
use board::Board;
pub use kind::Kind;
use watch::Watch;

/// How often a life cycle that is unknown is asked for.
const LIFE_CYCLE_EVERY: Duration = Duration::from_secs(10);

/// What decides which items are watched. The parts that ask the metadata service share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `interruption.enabled`.
    pub enabled: bool,
    /// How the instance is paid for.
    pub life_cycle: LifeCycle,
    /// Grows whenever the service answers again: who waits after a failure asks at once.
    pub answers_again: u64,
}

/// The shared setting, before anything is known.
pub fn setting(enabled: bool) -> channel::Sender<Setting> {
    let life_cycle = LifeCycle::Unknown;
    channel::Sender::new(Setting { enabled, life_cycle, answers_again: 0 })
}

/// Takes in how the instance is paid for. What was known stays known when it cannot be read.
pub fn learn(setting: &channel::Sender<Setting>, life_cycle: LifeCycle) {
    setting.send_if_modified(|setting| {
        let news = life_cycle != LifeCycle::Unknown && life_cycle != setting.life_cycle;
        if news {
            setting.life_cycle = life_cycle;
        }
        news
    });
}

/// Switches the watch on or off, after a reload.
pub fn switch(setting: &channel::Sender<Setting>, enabled: bool) {
    setting
        .send_if_modified(|setting| core::mem::replace(&mut setting.enabled, enabled) != enabled);
}

/// What the watch asks.
pub trait Ask {
    /// One request for an item below `/latest/`, within a limit; none for 404 to an accepted token.
    fn ask(
        &self,
        path: &'static str,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<Answer>, ImdsError>>;

    /// How the instance is paid for, within a limit.
    fn life_cycle(&self, limit: Duration) -> impl Future<Output = LifeCycle>;
}

impl Ask for Arc<Cloud> {
    async fn ask(&self, path: &'static str, limit: Duration) -> Result<Option<Answer>, ImdsError> {
        self.imds().try_within(path, limit).await
    }

    async fn life_cycle(&self, limit: Duration) -> LifeCycle {
        identity::life_cycle(self.imds(), limit).await
    }
}

/// Where the watch tells what it sees.
#[derive(Debug)]
pub struct Ends {
    /// Notices: before everything else.
    pub urgent: mpsc::WeakSender<Message>,
    /// That what is shown has changed.
    pub refresh: mpsc::WeakSender<Message>,
    /// What is shown.
    pub shown: Rc<RefCell<Shown>>,
    /// What brings the picture up to date without waking the loop.
    pub freshener: Option<Freshener>,
    /// The shared setting.
    pub setting: channel::Sender<Setting>,
    /// The time.
    pub clock: fn() -> Stamp,
    /// Lines for the journal: [`events::emit`].
    pub tell: fn(ShellEvent),
}

/// The journal.
pub fn journal(event: ShellEvent) {
    events::emit(event);
}

/// Starts the watch: a task an item, and one for the life cycle. Once the loop has ended they ask nothing
/// more. Must be called within a `LocalSet`.
pub fn spawn<A: Ask + 'static>(ask: A, ends: Ends) {
    let setting = ends.setting.clone();
    let shared = Rc::new(Shared {
        ask,
        urgent: ends.urgent,
        clock: ends.clock,
        tell: ends.tell,
        board: Board {
            shown: ends.shown,
            freshener: ends.freshener,
            refresh: ends.refresh,
            setting: ends.setting,
            clock: ends.clock,
        },
    });
    shared.board.open(setting.borrow().life_cycle);
    for kind in Kind::ALL {
        let watch = Watch::new(kind, Rc::clone(&shared));
        tokio::task::spawn_local(watch.run(setting.subscribe()));
    }
    tokio::task::spawn_local(follow_life_cycle(shared, setting));
}

/// What the tasks share.
struct Shared<A> {
    ask: A,
    urgent: mpsc::WeakSender<Message>,
    clock: fn() -> Stamp,
    tell: fn(ShellEvent),
    board: Board,
}

/// Asks for the life cycle until it is known, and shows it.
async fn follow_life_cycle<A: Ask>(shared: Rc<Shared<A>>, setting: channel::Sender<Setting>) {
    let mut changes = setting.subscribe();
    loop {
        let current = *changes.borrow_and_update();
        shared.board.life_cycle(current.life_cycle);
        let unknown = current.enabled && current.life_cycle == LifeCycle::Unknown;
        if unknown {
            let mut work = clock::work();
            work.begin().await;
            learn(&setting, shared.ask.life_cycle(pace::LIMIT).await);
        }
        tokio::select! {
            biased;
            news = changes.changed() => if news.is_err() { return },
            () = clock::sleep(LIFE_CYCLE_EVERY), if unknown => {}
        }
        if shared.urgent.strong_count() == 0 {
            return;
        }
    }
}
