//! The system bus: the signal `Notified` of `org.agentd.Agent1`, for desktops and other programs.

use agent_core::interruption::Notification;

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
        match self.voice.say(&spoken(report.notification)).await {
            Ok(true) => Told::reached("sent"),
            Ok(false) => Told::default(),
            Err(error) => Told::missed(error),
        }
    }
}

fn spoken(told: &Notification) -> Spoken {
    Spoken::Notified {
        moment: told.moment.as_str(),
        event: stripped(&told.event, 64),
        action: stripped(&told.action, 64),
        deadline_usec: told.deadline_wall_ms.unwrap_or_default().saturating_mul(1000),
        drill: told.drill,
        text: stripped(&words::lines(told).join(" "), LONGEST_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::tests::noticed;

    #[test]
    fn the_signal_says_what_the_terminals_say() {
        let text = "DRILL: agentd: EC2 will terminate this instance at 12:02:00 UTC, in 1 minute 58 seconds. 2 hooks are \
                    running. Save your work. The hooks run until 12:01:40 UTC. This is a drill: nothing happens to this \
                    instance.";
        let expected = Spoken::Notified {
            moment: "noticed",
            event: "spot-interruption".to_owned(),
            action: "terminate".to_owned(),
            deadline_usec: 1_795_262_520_000_000,
            drill: true,
            text: text.to_owned(),
        };
        assert_eq!(spoken(&noticed(true)), expected);
        let mut told = noticed(false);
        told.deadline_wall_ms = None;
        let Spoken::Notified { deadline_usec: 0, .. } = spoken(&told) else { panic!() };
    }
}
