//! What the loop acts and tells with: actuators, journal, picture, systemd.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use agent_core::action::{ActionKind, ActionRequest, Outcome};
use agent_core::decision::Decision;
use agent_core::memory::Memory;
use agent_core::reason::Event;
use agent_core::stamp::Stamp;
use agent_core::verdict::View;
use sd_notify::NotifyState;
use tokio::sync::mpsc;

use crate::actuators::{Actuators, Finish, Interlock};
use crate::clock;
use crate::events::{self, ShellEvent};
use crate::instance::Shown;
use crate::processes::Watchers;
use crate::publish::{AgentInfo, Published, Publisher};
use crate::sampling::Ask;
use crate::shell::{Hands, Message};
use crate::wishes::{self, TagWishes};

/// The hands of the daemon.
#[derive(Debug)]
pub struct DaemonHands {
    /// The actuators.
    pub actuators: Rc<RefCell<Rc<Actuators>>>,
    /// The last look before a call.
    pub interlock: Arc<Interlock>,
    /// Where outcomes go.
    pub to: mpsc::WeakSender<Message>,
    /// Where the ends of what is urgent go: the next hook waits for them.
    pub urgent: mpsc::WeakSender<Message>,
    /// The reader of the sources.
    pub asks: mpsc::Sender<Ask>,
    /// The picture and the events.
    pub publisher: Publisher,
    /// What is shown beside the engine's picture.
    pub shown: Rc<RefCell<Shown>>,
    /// The agent itself.
    pub agent: AgentInfo,
    /// The processes that holds name.
    pub watchers: Watchers,
    /// What the instance's tags ask for.
    pub wishes: Rc<RefCell<TagWishes>>,
    /// The last status line that systemd was told.
    pub status: String,
}

impl Hands for DaemonHands {
    fn start(&mut self, request: ActionRequest) {
        let key = request.key;
        let to = if request.kind.is_urgent() { self.urgent.clone() } else { self.to.clone() };
        if let ActionKind::Withdraw { call } = request.kind {
            // At once: who was told that the machine is held must be able to rely on it.
            self.interlock.withdraw(call);
        }
        if matches!(request.kind, ActionKind::Reread) {
            // Before the reading begins, so that whatever is touched from now on is seen there or at the last look.
            self.interlock.arm();
            let asks = self.asks.clone();
            let work = clock::work();
            tokio::task::spawn_local(async move {
                // A reader that is gone is a loop that ends.
                let _ = asks.send(Ask::Reread(key)).await;
                drop(work);
            });
            return;
        }
        let actuators = Rc::clone(&self.actuators.borrow());
        let mut work = clock::work();
        let asked = Rc::clone(&self.wishes);
        tokio::task::spawn_local(async move {
            work.begin().await;
            let message = match actuators.run(&request).await {
                Finish::Outcome(outcome) => {
                    tell_delivery(&request.kind, &outcome);
                    Message::Finished { key, outcome }
                }
                Finish::Described(state) => Message::Described { key, state },
                Finish::Abilities(abilities, tags) => {
                    if let Some(tags) = tags {
                        wishes::tell(&asked, wishes::From::Ec2, &tags, &to).await;
                    }
                    Message::Abilities { key: Some(key), abilities }
                }
            };
            if let Some(to) = to.upgrade() {
                let _ = to.send(message).await;
            }
        });
    }

    fn tell(&mut self, now: Stamp, decision: &Decision) {
        for event in &decision.events {
            events::emit(event);
            self.publisher.record(now, event.clone());
            if let Event::Hibernated { slept_ms } = event
                && let Err(error) = self.actuators.borrow().came_back(*slept_ms)
            {
                events::emit(ShellEvent::Unexpected { what: format!("failed to {error}") });
            }
        }
    }

    fn show(&mut self, view: View) {
        let shown = self.shown.borrow();
        self.publisher.publish(Published {
            view,
            agent: self.agent.clone(),
            instance: shown.instance.clone(),
            imds: shown.imds.clone(),
            notices: shown.notices.clone(),
            config: shown.config.clone(),
        });
    }

    fn follow(&mut self, memory: &Memory) {
        self.interlock.follow(memory);
        self.watchers.follow(memory);
    }

    fn alive(&mut self, view: &View) {
        let status = format!("{}: {}", view.stage.as_str(), view.because);
        let mut news = vec![NotifyState::Watchdog];
        if status != self.status {
            news.push(NotifyState::Status(&status));
        }
        // Without systemd there is nobody to tell.
        let _ = sd_notify::notify(&news);
        self.status = status;
    }

    fn reported(&mut self, kind: &str, result: Result<String, String>) {
        match result {
            Ok(file) => events::emit(ShellEvent::ReportWritten { kind: kind.to_owned(), file }),
            Err(error) => events::emit(ShellEvent::StateUnwritable { error }),
        }
    }

    fn storage(&mut self, problem: Option<&str>) {
        events::emit(problem.map_or_else(
            || ShellEvent::StateRestored { detail: "the state can be saved again".to_owned() },
            |error| ShellEvent::StateUnwritable { error: error.to_owned() },
        ));
    }
}

/// Says in the journal who was reached by a warning or a call-off, and who was not.
fn tell_delivery(kind: &ActionKind, outcome: &Outcome) {
    let called_off = match kind {
        ActionKind::Warn(_) => false,
        ActionKind::CallOff { .. } => true,
        _ => return,
    };
    let detail = match outcome {
        Outcome::Done { detail } | Outcome::Already { detail } => detail.clone(),
        Outcome::Withheld { because } => format!("nobody: {because}"),
        Outcome::Refused(refusal) => format!("nobody: {}", refusal.detail),
        Outcome::Failed { error, .. } => format!("nobody: failed to {error}"),
    };
    events::emit(ShellEvent::WarningDelivered { called_off, detail });
}
