//! Who is told of what EC2 announces: one file a notifier.
//!
//! A notifier is a file here with its `SPEC`, its `new` and its `tell`, and a word in `notifiers!`. All of them run side by
//! side, each within its own deadline and once: what was not reached is told in the journal and not tried again. None of
//! them waits for a hook and no hook waits for them.

mod bus;
mod command;
mod document;
mod journal;
mod sns;
mod terminals;
mod webhook;
mod words;

use core::time::Duration;
use std::sync::Arc;

use agent_core::action::Outcome;
use agent_core::interruption::Notification;
use agent_core::stamp::Stamp;
use tokio::time::timeout;

use crate::actuators::warn::Told;
use crate::aws::Cloud;
use crate::bus::Voice;
use crate::config::NotifySettings;
use crate::host::HostRoot;
use crate::host::logind::BusMode;

use document::About;
pub use document::SCHEMA;

/// How long a notifier may take, unless it runs a program.
const LIMIT: Duration = Duration::from_secs(2);

/// What a notifier is and needs, for documentation and the IAM policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifierSpec {
    /// Its name.
    pub name: &'static str,
    /// Whom it reaches and how, one line.
    pub about: &'static str,
    /// The IAM actions that it calls.
    pub iam: &'static [&'static str],
    /// How long it may take.
    pub deadline: Duration,
}

/// What the notifiers are built from.
#[derive(Clone, Debug)]
pub struct NotifierSettings {
    /// `[notify]`.
    pub notify: NotifySettings,
    /// agentd acts; otherwise it only observes, which documents say.
    pub enforce: bool,
    /// Where `/dev/pts` is looked up.
    pub host: HostRoot,
    /// The name of this machine.
    pub hostname: String,
    /// Where systemd is reached.
    pub bus: BusMode,
    /// Where signals are sent.
    pub voice: Voice,
}

/// What every notifier is given.
#[derive(Clone, Copy, Debug)]
struct Report<'a> {
    /// What happened.
    notification: &'a Notification,
    /// Now.
    now: Stamp,
    /// The document `agentd/notification/v1`.
    document: &'a str,
    /// The instance, where it is known.
    instance: &'a str,
}

/// Lists the notifiers that are told side by side, by module. The journal comes first by itself: the event was written
/// there before any of them was asked.
macro_rules! notifiers {
    ($($name:ident),+ $(,)?) => {
        /// Every notifier.
        pub const SPECS: &[NotifierSpec] = &[journal::SPEC, $($name::SPEC),+];

        /// The notifiers.
        #[derive(Debug)]
        pub struct Notifiers {
            cloud: Arc<Cloud>,
            hostname: String,
            enforce: bool,
            /// No notifier is given more than this, whatever its own deadline is.
            longest: Duration,
            $($name: $name::Notifier,)+
        }

        impl Notifiers {
            /// Notifiers that have told nothing yet. Nothing is sent or loaded.
            pub fn new(settings: &NotifierSettings, cloud: Arc<Cloud>) -> Self {
                Self {
                    $($name: $name::Notifier::new(settings, &cloud),)+
                    cloud,
                    hostname: settings.hostname.clone(),
                    enforce: settings.enforce,
                    longest: Duration::from_mins(1),
                }
            }

            async fn tell_all(&self, report: Report<'_>) -> Vec<(&'static str, Told)> {
                let ($($name,)+) = tokio::join!(
                    $(within(&$name::SPEC, self.longest, self.$name.tell(report))),+
                );
                vec![$(($name::SPEC.name, $name)),+]
            }
        }
    };
}

notifiers! { terminals, bus, webhook, sns, command }

impl Notifiers {
    /// Tells everybody at once, and then the journal who was reached. It always ends well: that somebody was not reached is
    /// no reason to do anything again.
    pub async fn tell(&self, now: Stamp, notification: &Notification) -> Outcome {
        // Hooks that were ordered with this are started first.
        tokio::task::yield_now().await;
        let identity = self.cloud.known();
        let about =
            About { identity: identity.as_ref(), hostname: &self.hostname, enforce: self.enforce };
        let document = document::render(notification, now, &about);
        let report = Report {
            notification,
            now,
            document: &document,
            instance: identity.as_ref().map_or("unknown instance", |one| one.instance_id.as_str()),
        };
        let told = Box::pin(self.tell_all(report)).await;
        let detail = sum(&told);
        journal::tell(notification, &detail, told.iter().any(|(_, told)| told.missed.is_some()));
        Outcome::Done { detail }
    }

    #[cfg(test)]
    fn set_longest(&mut self, longest: Duration) {
        self.longest = longest;
    }
}

async fn within(
    spec: &NotifierSpec,
    longest: Duration,
    telling: impl Future<Output = Told>,
) -> Told {
    let limit = spec.deadline.min(longest);
    let late = || Told::missed(format!("not finished within {} s", limit.as_secs_f64()));
    timeout(limit, telling).await.unwrap_or_else(|_| late())
}

/// Each notifier that had somebody to tell, and how that ended.
fn sum(all: &[(&'static str, Told)]) -> String {
    let one = |(name, told): &(&'static str, Told)| {
        let missed = told.missed.as_ref().map(|why| format!("not reached: {why}"));
        let parts: Vec<String> = told.reached.clone().into_iter().chain(missed).collect();
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
    };
    let told: Vec<String> = all.iter().filter_map(one).collect();
    if told.is_empty() { "nobody else".to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests;
