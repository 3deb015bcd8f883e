//! The loop around the engine: the one task that owns it.
//!
//! A message comes in, the engine decides, what must be durable is made durable, and only then are actions started.
//! Actions run beside the loop and come back as messages, so nothing ever delays a decision.

use std::time::Duration;

use agent_core::action::{ActionRequest, InstanceState, Key, Outcome, Retry};
use agent_core::decision::Decision;
use agent_core::engine::Engine;
use agent_core::input::{Abilities, Input, Reply};
use agent_core::interruption::{AlertEnd, Interruptions};
use agent_core::memory::{IdleClock, Memory};
use agent_core::reading::Observation;
use agent_core::reason::Event;
use agent_core::stamp::Stamp;
use agent_core::verdict::View;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::clock;

/// What comes into the loop.
#[derive(Debug)]
pub enum Message {
    /// A round of readings, and the reread request that it answers.
    Sampled {
        /// What was read.
        observations: Vec<Observation>,
        /// The request, if it was one.
        answers: Option<Key>,
    },
    /// An action ended.
    Finished {
        /// Which.
        key: Key,
        /// How.
        outcome: Outcome,
    },
    /// EC2 told the instance's state.
    Described {
        /// The request.
        key: Key,
        /// The state.
        state: InstanceState,
    },
    /// Preflight told what this instance can do.
    Abilities {
        /// The request; none when only the identity became known.
        key: Option<Key>,
        /// What it can do.
        abilities: Abilities,
    },
    /// IMDS told which instance this is.
    Identity(String),
    /// A command of an operator, with where its answer goes.
    Command {
        /// The command as an input.
        input: Input,
        /// The answer.
        reply: oneshot::Sender<Reply>,
    },
    /// Anything else that changes a decision.
    Input(Input),
    /// Something that is only shown has changed.
    Refresh,
    /// End.
    Shutdown,
}

/// Where what must survive is kept.
pub trait Store {
    /// Saves the durable part of the engine: written, fsynced, renamed, folder fsynced when this returns.
    fn save_memory(&mut self, now: Stamp, memory: &Memory) -> Result<(), String>;
    /// Notes the alerts where it takes no time: in the memory of this boot, not synced to a disk. It is done before an
    /// urgent action starts, so that an agent that is killed right after does not start it twice.
    fn save_alerts(&mut self, interruptions: &Interruptions) -> Result<(), String>;
    /// Saves the idle clock of this boot.
    fn save_clock(&mut self, clock: &IdleClock) -> Result<(), String>;
    /// Writes a report of how an action ended: a file for people. Its name comes back.
    fn report(&mut self, now: Stamp, kind: &str, report: &Report<'_>) -> Result<String, String>;
    /// Appends a decision to the ledger, synced when `durable`.
    fn append(&mut self, now: Stamp, decision: &Decision, durable: bool) -> Result<(), String>;
    /// Records what is put into the engine. It takes no time and never fails: nothing depends on it.
    fn record(&mut self, _now: Stamp, _input: &Input) {}
    /// Nothing is pressing: what was put off may be done.
    fn rest(&mut self, _now: Stamp) {}
    /// The loop has ended.
    fn close(&mut self, _now: Stamp) {}
}

/// How an action ended, with everything that was known then.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// The format of this document.
    pub schema: &'static str,
    /// What happened in the step that ended it.
    pub events: &'a [Event],
    /// The whole picture after it.
    pub view: &'a View,
}

/// The kind of report that these events are worth: how an action ended.
fn report_kind(events: &[Event]) -> Option<&'static str> {
    events.iter().find_map(|event| match event {
        Event::Hibernated { .. } => Some("hibernated"),
        Event::ColdBoot { .. } => Some("cold-boot"),
        Event::StoppedAndStarted { .. } => Some("stopped"),
        Event::NeverStopped { .. } => Some("never-stopped"),
        Event::Accepted { .. } => Some("accepted"),
        Event::Refused { .. } => Some("refused"),
        Event::Failed { retry_ms: None, .. } => Some("failed"),
        Event::HookEnded { ok: false, .. } => Some("hook-failed"),
        _ => None,
    })
}

/// The same for what EC2 announced: what was done before the machine goes, and what came of it.
fn interruption_report_kind(events: &[Event]) -> Option<&'static str> {
    events.iter().find_map(|event| match event {
        Event::AlertOver { drill: true, .. } => Some("drill"),
        Event::AlertOver { end, .. } => Some(match end {
            AlertEnd::StartedAgain | AlertEnd::Resumed => "interrupted",
            AlertEnd::NeverCame => "never-came",
            AlertEnd::Withdrawn => "withdrawn",
            AlertEnd::Expired => "expired",
            AlertEnd::DrillOver => "drill",
        }),
        Event::DrainEnded { .. } => Some("drained"),
        _ => None,
    })
}

/// What acts and tells. Nothing here may block.
pub trait Hands {
    /// Starts an action; its end comes back as a message.
    fn start(&mut self, request: ActionRequest);
    /// Tells what happened: one journal line an event.
    fn tell(&mut self, now: Stamp, decision: &Decision);
    /// Shows the new picture to whoever looks.
    fn show(&mut self, view: View);
    /// The durable part changed: the processes that holds name may be others.
    fn follow(&mut self, memory: &Memory);
    /// A whole round of readings was decided: the watchdog may be fed.
    fn alive(&mut self, view: &View);
    /// A report was written, or could not be.
    fn reported(&mut self, kind: &str, result: Result<String, String>);
    /// The state can, or cannot, be saved.
    fn storage(&mut self, problem: Option<&str>);
}

/// The loop's own state.
#[derive(Debug)]
pub struct Shell<S, H> {
    engine: Engine,
    clock: fn() -> Stamp,
    store: S,
    hands: H,
    storage_ok: bool,
    /// The rest of the last step, while what is urgent starts.
    rest: Option<Rest>,
}

/// What is left of a step once its urgent actions were started.
#[derive(Debug)]
struct Rest {
    now: Stamp,
    decision: Decision,
    reply: Option<oneshot::Sender<Reply>>,
}

/// What is urgent has this long to start before the loop writes to a disk, which may take seconds.
const HEAD_START: Duration = Duration::from_millis(50);

impl<S: Store, H: Hands> Shell<S, H> {
    /// A loop around an engine.
    pub fn new(engine: Engine, clock: fn() -> Stamp, store: S, hands: H) -> Self {
        Self { engine, clock, store, hands, storage_ok: true, rest: None }
    }

    /// Runs until [`Message::Shutdown`] or until nobody can send any more. What is `urgent` never waits behind the rest
    /// of the messages.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut urgent: mpsc::Receiver<Message>,
    ) {
        let mut hears_urgent = true;
        self.hands.follow(self.engine.memory());
        let mut wake_at = self.step(Input::Tick, None);
        wake_at = self.let_urgent_start().await.unwrap_or(wake_at);
        self.show();
        loop {
            let pause = wake_at.since((self.clock)()).max(Duration::from_millis(1));
            let message = tokio::select! {
                biased;
                message = urgent.recv(), if hears_urgent => {
                    // Nobody can send here any more; the other inbox says when to end.
                    hears_urgent = message.is_some();
                    Some(message.unwrap_or(Message::Input(Input::Tick)))
                }
                message = inbox.recv() => message,
                () = clock::sleep(pause) => Some(Message::Input(Input::Tick)),
            };
            match message {
                Some(Message::Shutdown) | None => break,
                Some(message) => wake_at = self.take(message),
            }
            wake_at = self.let_urgent_start().await.unwrap_or(wake_at);
        }
        self.catch_up();
        self.save_clock();
        self.store.close((self.clock)());
    }

    /// The hands, for tests.
    pub fn hands(&self) -> &H {
        &self.hands
    }

    fn take(&mut self, message: Message) -> Stamp {
        match message {
            Message::Sampled { observations, answers } => self.sampled(observations, answers),
            Message::Finished { key, outcome } => self.step(Input::Finished { key, outcome }, None),
            Message::Described { key, state } => self.step(Input::Described { key, state }, None),
            Message::Abilities { key, abilities } => {
                let wake_at = self.step(Input::Abilities(abilities), None);
                match key {
                    Some(key) => {
                        let outcome = Outcome::Done { detail: String::new() };
                        self.step(Input::Finished { key, outcome }, None)
                    }
                    None => wake_at,
                }
            }
            Message::Identity(id) if self.engine.instance_id() == Some(&id) => {
                self.step(Input::Tick, None)
            }
            Message::Identity(id) => {
                let abilities = Abilities { instance_id: Some(id), ..Abilities::default() };
                self.step(Input::Abilities(abilities), None)
            }
            Message::Command { input, reply } => self.step(input, Some(reply)),
            Message::Input(input) => self.step(input, None),
            Message::Refresh | Message::Shutdown => {
                let wake_at = self.step(Input::Tick, None);
                self.show();
                wake_at
            }
        }
    }

    fn sampled(&mut self, observations: Vec<Observation>, answers: Option<Key>) -> Stamp {
        let mut wake_at = (self.clock)();
        for observation in observations {
            wake_at = self.step(Input::Observed(observation), None);
        }
        if let Some(key) = answers {
            let outcome = Outcome::Done { detail: String::new() };
            wake_at = self.step(Input::Finished { key, outcome }, None);
        }
        self.save_clock();
        let view = self.engine.view((self.clock)());
        self.hands.alive(&view);
        self.hands.show(view);
        self.store.rest((self.clock)());
        wake_at
    }

    fn show(&mut self) {
        self.hands.show(self.engine.view((self.clock)()));
    }

    /// One step: decide, make durable, act, tell. What is urgent acts first.
    fn step(&mut self, input: Input, reply: Option<oneshot::Sender<Reply>>) -> Stamp {
        self.catch_up();
        let now = (self.clock)();
        self.store.record(now, &input);
        let decision = self.engine.step(now, input);
        let wake_at = decision.wake_at;
        let rest = Rest { now, decision, reply };
        if self.start_urgent(&rest.decision) {
            self.rest = Some(rest);
            wake_at
        } else {
            self.finish(rest)
        }
    }

    /// Actions run beside this loop: what is urgent comes first only if the loop lets it. Then the step is finished.
    async fn let_urgent_start(&mut self) -> Option<Stamp> {
        self.rest.as_ref()?;
        let work = clock::work();
        tokio::time::sleep(HEAD_START).await;
        drop(work);
        self.catch_up()
    }

    /// Finishes a step that was interrupted for what is urgent; when the engine wants to be called next.
    fn catch_up(&mut self) -> Option<Stamp> {
        let rest = self.rest.take()?;
        Some(self.finish(rest))
    }

    /// The rest of a step: make durable, tell, act.
    fn finish(&mut self, rest: Rest) -> Stamp {
        let Rest { now, mut decision, reply } = rest;
        let of_interruption = interruption_report_kind(&decision.events);
        if let Some(kind) = of_interruption {
            // Before the memory says that it was told: a report that is written twice is better than none.
            self.report(now, kind, &decision);
        }
        let saved = self.make_durable(now, &decision);
        let (start, refused) = split(&mut decision, &saved);
        self.hands.tell(now, &decision);
        if decision.dirty {
            self.hands.follow(self.engine.memory());
        }
        if of_interruption.is_none()
            && let Some(kind) = report_kind(&decision.events)
        {
            self.report(now, kind, &decision);
        }
        // A round of readings is shown once, at its end.
        if decision.dirty || decision.reply.is_some() || !decision.events.is_empty() {
            self.show();
        }
        if let (Some(to), Some(answer)) = (reply, decision.reply.take()) {
            // Who asked may have gone; the command was carried out all the same.
            let _ = to.send(answer);
        }
        for request in start {
            self.hands.start(request);
        }
        let mut wake_at = decision.wake_at;
        for (key, outcome) in refused {
            wake_at = self.step(Input::Finished { key, outcome }, None);
        }
        wake_at
    }

    fn report(&mut self, now: Stamp, kind: &str, decision: &Decision) {
        let view = &self.engine.view(now);
        let report = Report { schema: "agentd/report/v1", events: &decision.events, view };
        let result = self.store.report(now, kind, &report);
        self.hands.reported(kind, result);
    }

    /// Starts what cannot wait for a disk; whether there was something.
    fn start_urgent(&mut self, decision: &Decision) -> bool {
        if !decision.actions.iter().any(|request| request.kind.is_urgent()) {
            return false;
        }
        if let Err(error) = self.store.save_alerts(&self.engine.memory().interruptions) {
            // The machine goes in seconds, with or without this note: a hook that might run twice after a crash of the
            // agent is better than one that does not run.
            tracing::warn!(%error, "alerts not noted, the hooks start all the same");
        }
        for request in decision.actions.iter().filter(|request| request.kind.is_urgent()) {
            self.hands.start(request.clone());
        }
        true
    }

    /// What was decided is on disk when this returns well. Without it nothing destructive may start.
    fn make_durable(&mut self, now: Stamp, decision: &Decision) -> Result<(), String> {
        let destructive = decision.actions.iter().any(|a| a.kind.is_destructive());
        let mut result = Ok(());
        if decision.dirty {
            // The clock first: a crash between the two must not find a closed intent beside the idleness that led to it.
            self.save_clock();
            result = self.store.save_memory(now, self.engine.memory());
        }
        if destructive || !decision.events.is_empty() || !decision.actions.is_empty() {
            result = result.and(self.store.append(now, decision, destructive));
        }
        let ok = result.is_ok();
        if ok != self.storage_ok && (decision.dirty || destructive) {
            self.storage_ok = ok;
            self.hands.storage(result.as_ref().err().map(String::as_str));
        }
        result
    }

    fn save_clock(&mut self) {
        if let Err(error) = self.store.save_clock(&self.engine.idle_clock()) {
            // Losing it only makes a restarted agent wait longer.
            tracing::debug!(%error, "idle clock not saved, proceeding without it");
        }
    }
}

/// Takes the actions out of a decision: those to start, and those that must not start because nothing could be saved.
fn split(
    decision: &mut Decision,
    saved: &Result<(), String>,
) -> (Vec<ActionRequest>, Vec<(Key, Outcome)>) {
    let (mut start, mut refused) = (Vec::new(), Vec::new());
    for request in &decision.actions {
        match saved {
            Err(error) if request.kind.is_destructive() => {
                let error =
                    format!("the decision could not be saved, so it is not carried out: {error}");
                refused.push((request.key, Outcome::Failed { error, retry: Retry::Never }));
            }
            // It has been started.
            _ if request.kind.is_urgent() => {}
            _ => start.push(request.clone()),
        }
    }
    (start, refused)
}

#[cfg(test)]
mod tests;
