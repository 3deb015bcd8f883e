//! The system bus: the signal `Notified` of `org.agentd.Agent1`, for desktops and other programs.

use super::{LIMIT, NotifierSettings, NotifierSpec, Report, words};
use crate::actuators::text::stripped;
use crate::actuators::warn::Told;
use crate::aws::Cloud;
use crate::bus::{Spoken, Voice};

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "bus",
    about: "tells programs by the signal Notified of org.agentd.Agent1 on the system bus",
    iam: &[],
    deadline: LIMIT,
};

/// The longest text that is sent, characters.
const LONGEST_TEXT: usize = 1_000;

/// Sends signals.
#[derive(Debug)]
pub(super) struct Notifier {
    voice: Voice,
}

impl Notifier {
    pub(super) fn new(settings: &NotifierSettings, _: &Cloud) -> Self {
        Self { voice: settings.voice.clone() }
    }

    pub(super) async fn tell(&self, report: Report<'_>) -> Told {
        let told = report.notification;
        let spoken = Spoken::Notified {
            moment: told.moment.as_str(),
            event: stripped(&told.event, 64),
            action: stripped(&told.action, 64),
            deadline_usec: told.deadline_wall_ms.unwrap_or_default().saturating_mul(1000),
            seconds_left: told.left_ms.unwrap_or_default() / 1000,
            drill: told.drill,
            text: stripped(&words::lines(told).join(" "), LONGEST_TEXT),
        };
        match self.voice.say(&spoken).await {
            Ok(true) => Told::reached("sent"),
            Ok(false) => Told::default(),
            Err(error) => Told::missed(error),
        }
    }
}
