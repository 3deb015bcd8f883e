//! Runs one hook of an interruption, at once, and ends it in time.
//!
//! Nothing is made, asked or looked up before a program of root's is started: no bus, no directory of users, no API.
//! Where the agent is a service, systemd starts it as a transient unit of its own (decision 0003); elsewhere it is a
//! child. A hook may also be a unit of systemd that is started or stopped. What runs is known by the key of its action, so
//! that a deadline that moves nearer reaches it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::action::{Key, Outcome};
use agent_core::interruption::{HookOrder, Hurry};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ActuatorSpec;
use super::hook::unit::{Job, Systemd};
use super::hook::{Occasion, Times, refused, run_program};
use super::text::rfc3339;
use crate::host::logind::BusMode;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "drain",
    about: "runs the hooks of an interruption",
    iam: &[],
    deadline: Duration::from_secs(5),
};

/// What runs now. It outlives the actuators of one configuration: a reload must not lose sight of a hook.
#[derive(Clone, Debug, Default)]
pub struct Drains {
    running: Arc<Mutex<BTreeMap<Key, watch::Sender<Times>>>>,
    systemd: Arc<Systemd>,
}

impl Drains {
    fn begin(&self, key: Key, times: Times) -> (Run<'_>, watch::Receiver<Times>) {
        let (sender, receiver) = watch::channel(times);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key, sender);
        (Run { drains: self, key }, receiver)
    }

    /// Makes what runs for `hurry.hook` end earlier. It never gains time.
    pub(super) fn hurry(&self, hurry: Hurry) -> Outcome {
        let nearer = times(hurry.end_in_ms, hurry.kill_in_ms);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get(&hurry.hook) {
            Some(sender) => {
                sender.send_modify(|times| *times = times.earlier(nearer));
                Outcome::Done { detail: "the hook ends earlier".to_owned() }
            }
            None => Outcome::Already { detail: "the hook has ended".to_owned() },
        }
    }
}

/// Takes the hook off the list, also when nobody waits for it any more.
struct Run<'a> {
    drains: &'a Drains,
    key: Key,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.drains.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn times(end_in_ms: u64, kill_in_ms: u64) -> Times {
    // A day is longer than any drain and can be added to every clock.
    let span = |ms: u64| Duration::from_millis(ms).min(Duration::from_hours(24));
    Times::after(Instant::now(), span(end_in_ms), span(kill_in_ms))
}

/// What runs the hooks.
#[derive(Debug)]
pub(super) struct Drainer {
    drains: Drains,
    user: Option<String>,
    bus: BusMode,
}

impl Drainer {
    /// `user` runs the programs among the hooks; none is root.
    pub(super) fn new(drains: Drains, user: Option<String>, bus: BusMode) -> Self {
        // Root is not looked up.
        Self { drains, user: user.filter(|user| user != "root"), bus }
    }

    /// Makes the connection to systemd before it is needed. Without a bus there is none.
    pub(super) async fn prepare(&self) {
        if self.bus != BusMode::None {
            // The first hook that needs it tries again and tells the reason.
            let _ = self.drains.systemd.prepare(&self.bus).await;
        }
    }

    /// Runs one hook to its end, or ends it.
    pub(super) async fn run(&self, key: Key, order: &HookOrder) -> Outcome {
        let (_run, mut times) = self.drains.begin(key, times(order.end_in_ms, order.kill_in_ms));
        if order.hook.starts_with('/') {
            let user = self.user.as_deref();
            return run_program(
                &self.bus,
                &order.hook,
                user,
                &occasion(key, order),
                None,
                &mut times,
            )
            .await;
        }
        match Job::parse(&order.hook) {
            Some(job) => self.drains.systemd.run(&self.bus, job, &mut times).await,
            None => refused(format!(
                "the hook '{}' is neither an absolute path nor a .service or .target to start or stop",
                order.hook
            )),
        }
    }

    /// Makes a hook that runs end earlier.
    pub(super) fn hurry(&self, hurry: Hurry) -> Outcome {
        self.drains.hurry(hurry)
    }
}

fn occasion(key: Key, order: &HookOrder) -> Occasion {
    let kind = if order.drill { "drill" } else { "interruption" };
    let mut environment = vec![
        ("AGENTD_EVENT", order.event.clone()),
        ("AGENTD_ACTION", order.action.clone()),
        ("AGENTD_DEADLINE", rfc3339(order.deadline_wall_ms)),
        ("AGENTD_SECONDS_LEFT", (order.left_ms / 1_000).to_string()),
    ];
    if order.drill {
        environment.push(("AGENTD_DRILL", "1".to_owned()));
    }
    Occasion {
        // A key is given once, so what an earlier order left behind never stands in the way.
        unit: format!("agentd-{kind}-{}", key.0),
        about: "Interruption hook of agentd",
        environment,
    }
}

#[cfg(test)]
mod tests;
