//! What changes the world: one file an actuator, and no other module does it.
//!
//! An actuator is told what to do by an [`ActionRequest`], is idempotent, never outlives its deadline, and says what
//! happened. Whether it is done again is the engine's decision.

mod autoscaling;
mod describe;
mod drain;
pub(crate) mod hook;
mod interlock;
mod power;
mod tag;
pub(crate) mod text;
pub(crate) mod warn;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::action::{ActionKind, ActionRequest, InstanceState, Outcome, Retry};
use agent_core::input::Abilities;
use agent_core::stamp::Stamp;

use crate::aws::Cloud;
use crate::aws::preflight::Preflight;
use crate::bus::Voice;
use crate::config::NotifySettings;
use crate::host::logind::BusMode;
use crate::host::{HostRoot, volume};
use crate::notifiers::{NotifierSettings, Notifiers};

use drain::Drainer;
pub use drain::Drains;
use hook::Hook;
pub use hook::HookSettings;
pub use interlock::Interlock;
use power::PowerSwitch;
use tag::Tagger;
pub use warn::{CHANNELS, ChannelSpec, write_from_stdin};
use warn::{WarnSettings, Warner, Word};

/// What an actuator is and needs, for documentation, `doctor` and the IAM policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActuatorSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does, one line.
    pub about: &'static str,
    /// The IAM actions that it calls.
    pub iam: &'static [&'static str],
    /// How long it may take at most. The hook's own limit is added to its deadline.
    pub deadline: Duration,
}

/// Lists the actuators by module; each module has a `SPEC`.
macro_rules! actuators {
    ($($name:ident),+ $(,)?) => {
        /// Every actuator.
        pub const SPECS: &[ActuatorSpec] = &[$($name::SPEC),+];
    };
}

actuators! { tag, warn, hook, power, describe, drain, autoscaling }

/// What the actuators are built from.
#[derive(Clone, Debug)]
pub struct ActuatorSettings {
    /// The beginning of every tag key, `agentd:`.
    pub tag_prefix: String,
    /// Further schemas of tags, `cloudworkstation`.
    pub tag_compat: Vec<String>,
    /// The pre-stop hook.
    pub hook: Option<HookSettings>,
    /// A member of an Auto Scaling group is put on standby before it is stopped.
    pub standby: bool,
    /// The instance may be stopped while an instance-store volume is mounted.
    pub instance_store: bool,
    /// Who runs the programs among the hooks of an interruption; none is root.
    pub drain_user: Option<String>,
    /// The hooks that run now, whatever the configuration was when they began.
    pub drains: Drains,
    /// The command that is run with warnings: a path or a unit.
    pub warn_command: Option<String>,
    /// Who is told of interruptions.
    pub notify: NotifySettings,
    /// agentd acts; otherwise it only observes, which whoever is told of an interruption learns.
    pub enforce: bool,
    /// Where signals are sent.
    pub voice: Voice,
    /// The last look before a call.
    pub interlock: Arc<Interlock>,
    /// Where `/dev/pts` is looked up.
    pub host: HostRoot,
    /// Where systemd is reached when the hook is a unit.
    pub bus: BusMode,
    /// The name of this machine, for warnings.
    pub hostname: String,
    /// The clock.
    pub clock: fn() -> Stamp,
}

/// How an action ended, in the form in which the engine takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// For `Input::Finished`.
    Outcome(Outcome),
    /// For `Input::Described`.
    Described(InstanceState),
    /// For `Input::Abilities`, and the instance's tags if EC2 told them.
    Abilities(Abilities, Option<BTreeMap<String, String>>),
}

/// The actuators.
#[derive(Debug)]
pub struct Actuators {
    cloud: Arc<Cloud>,
    tagger: Tagger,
    warner: Warner,
    notifiers: Notifiers,
    hook: Option<Hook>,
    drainer: Drainer,
    switch: PowerSwitch,
    interlock: Arc<Interlock>,
    standby: bool,
    instance_store: bool,
    host: HostRoot,
    clock: fn() -> Stamp,
}

impl Actuators {
    /// The actuators of this instance. Nothing is touched yet.
    pub fn new(settings: ActuatorSettings, cloud: Arc<Cloud>) -> Self {
        let notifiers = NotifierSettings {
            notify: settings.notify,
            enforce: settings.enforce,
            host: settings.host.clone(),
            hostname: settings.hostname.clone(),
            bus: settings.bus.clone(),
            voice: settings.voice.clone(),
        };
        let warner = Warner::new(&WarnSettings {
            host: settings.host.clone(),
            hostname: settings.hostname,
            bus: settings.bus.clone(),
            voice: settings.voice,
            command: settings.warn_command,
        });
        Self {
            tagger: Tagger::new(settings.tag_prefix, &settings.tag_compat),
            warner,
            notifiers: Notifiers::new(&notifiers, Arc::clone(&cloud)),
            drainer: Drainer::new(settings.drains, settings.drain_user, settings.bus.clone()),
            hook: settings.hook.map(|hook| Hook::new(hook, settings.bus)),
            switch: PowerSwitch::default(),
            interlock: settings.interlock,
            standby: settings.standby,
            instance_store: settings.instance_store,
            host: settings.host,
            clock: settings.clock,
            cloud,
        }
    }

    /// Carries out one request. It always ends: by its own deadline, and at the latest by that of its [`ActuatorSpec`].
    pub async fn run(&self, request: &ActionRequest) -> Finish {
        let now = (self.clock)();
        match &request.kind {
            ActionKind::Tag(tags) => Finish::Outcome(
                bounded(&tag::SPEC, again, self.tagger.write(&self.cloud, tags)).await,
            ),
            ActionKind::Warn(warning) => {
                let word = Word::Warned(warning);
                let told = Box::pin(self.warner.tell(now, &word));
                Finish::Outcome(bounded(&warn::SPEC, never, told).await)
            }
            ActionKind::CallOff { because } => {
                let word = Word::CalledOff { because };
                let told = Box::pin(self.warner.tell(now, &word));
                Finish::Outcome(bounded(&warn::SPEC, never, told).await)
            }
            ActionKind::Notify(notification) => {
                Finish::Outcome(Box::pin(self.notifiers.tell(now, notification)).await)
            }
            ActionKind::Hook { power } => Finish::Outcome(match &self.hook {
                Some(hook) => hook.run(now, *power).await,
                None => Outcome::Already { detail: "no hook is configured".to_owned() },
            }),
            ActionKind::Power { power } => {
                let gate = self.interlock.gate(request.key);
                let asked = Box::pin(self.switch.throw(&self.cloud, *power, gate));
                Finish::Outcome(bounded(&power::SPEC, in_doubt, asked).await)
            }
            ActionKind::Withdraw { call } => {
                self.interlock.withdraw(*call);
                Finish::Outcome(Outcome::Done { detail: String::new() })
            }
            ActionKind::Describe => {
                match tokio::time::timeout(describe::SPEC.deadline, describe::state(&self.cloud))
                    .await
                {
                    Ok(Ok(state)) => Finish::Described(state),
                    Ok(Err(outcome)) => Finish::Outcome(outcome),
                    Err(_) => Finish::Outcome(again(late(&describe::SPEC))),
                }
            }
            ActionKind::Preflight => {
                let found = self.preflight().await;
                Finish::Abilities(found.abilities, found.tags)
            }
            // It has its own end, which can come nearer. Nothing is awaited before it.
            ActionKind::Drain(order) => {
                Finish::Outcome(Box::pin(self.drainer.run(request.key, order)).await)
            }
            ActionKind::Hurry(hurry) => Finish::Outcome(self.drainer.hurry(*hurry)),
            ActionKind::AutoScaling(call) => {
                let patience = autoscaling::Patience::default();
                let asked = Box::pin(autoscaling::call(&self.cloud, *call, patience));
                Finish::Outcome(bounded(&autoscaling::SPEC, again, asked).await)
            }
            other => Finish::Outcome(never(format!(
                "carry out {}: there is no actuator for it",
                other.name()
            ))),
        }
    }

    /// Makes ready what a drain will need, so that it does not wait for it then.
    pub async fn prepare(&self) {
        self.drainer.prepare().await;
    }

    /// The machine came back from hibernation: whoever logs in from now on is told.
    pub fn came_back(&self, slept_ms: u64) -> Result<(), String> {
        self.warner.came_back((self.clock)(), slept_ms)
    }

    /// Takes back what is said of a countdown that no agent follows any more.
    pub fn clear_countdown(&self) {
        self.warner.clear();
    }

    /// The keys of the tags that are written, for the check of the permission.
    pub fn tag_keys(&self) -> Vec<String> {
        self.tagger.keys()
    }

    /// What this instance can do, with the reasons for what is unknown.
    pub async fn preflight(&self) -> Preflight {
        match tokio::time::timeout(
            describe::SPEC.deadline,
            crate::aws::preflight::preflight(&self.cloud, self.standby),
        )
        .await
        {
            Ok(mut preflight) => {
                if !self.instance_store {
                    preflight.spare(volume::mounted_stores(&self.host));
                }
                self.switch.remember(preflight.abilities.instance_id.as_deref());
                preflight
            }
            Err(_) => Preflight {
                unknown: vec![format!("failed to {}", late(&describe::SPEC))],
                ..Preflight::default()
            },
        }
    }
}

/// The future's outcome within the actuator's deadline, else what `missed` makes of it.
async fn bounded(
    spec: &ActuatorSpec,
    missed: fn(String) -> Outcome,
    future: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::time::timeout(spec.deadline, future).await.unwrap_or_else(|_| missed(late(spec)))
}

fn late(spec: &ActuatorSpec) -> String {
    format!("finish {} within {} s", spec.name, spec.deadline.as_secs())
}

fn again(error: String) -> Outcome {
    Outcome::Failed { error, retry: Retry::after(Duration::from_secs(5)) }
}

fn never(error: String) -> Outcome {
    Outcome::Failed { error, retry: Retry::Never }
}

fn in_doubt(error: String) -> Outcome {
    Outcome::Failed { error, retry: Retry::InDoubt }
}

#[cfg(test)]
mod tests;
