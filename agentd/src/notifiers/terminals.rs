//! The terminals of the people who are logged in, by the same writers as warnings.

use core::time::Duration;

use super::{LIMIT, NotifierSettings, NotifierSpec, Report, words};
use crate::actuators::warn::Told;
use crate::actuators::warn::terminals::Channel;
use crate::aws::Cloud;

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "terminals",
    about: "writes to every terminal of the people who are logged in",
    iam: &[],
    deadline: LIMIT,
};

/// A terminal that takes nothing is left alone after this long …
const STUCK: Duration = Duration::from_millis(500);
/// … and systemd, where it must write as root, after this long: together they fit into the deadline.
const AS_ROOT: Duration = Duration::from_millis(1300);

/// Writes to terminals.
#[derive(Debug)]
pub(super) struct Notifier {
    channel: Channel,
}

impl Notifier {
    pub(super) fn new(settings: &NotifierSettings, _: &Cloud) -> Self {
        let NotifierSettings { host, hostname, bus, .. } = settings;
        Self { channel: Channel::within(STUCK, AS_ROOT, host.clone(), hostname, bus) }
    }

    pub(super) async fn tell(&self, report: Report<'_>) -> Told {
        let lines = words::lines(report.notification);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.channel.say(report.now, &lines).await
    }
}
