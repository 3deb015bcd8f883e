//! The command of `notify.command`: a program of root's or a systemd unit, under the same guard as a hook.
//!
//! The program reads the document `agentd/notification/v1` on its standard input and learns from its environment
//! `AGENTD_EVENT`, `AGENTD_ACTION`, `AGENTD_MOMENT` and `AGENTD_DRILL` (`1` or `0`). A unit takes neither and is started.
//! That it fails is told and changes nothing.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use agent_core::action::{HookOutput, Outcome};

use super::{NotifierSettings, NotifierSpec, Report};
use crate::actuators::hook::{Occasion, carry_out_with};
use crate::actuators::text::stripped;
use crate::actuators::warn::Told;
use crate::aws::Cloud;
use crate::host::logind::BusMode;

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "command",
    about: "runs the program of notify.command with the document on its standard input, or starts the unit",
    iam: &[],
    // The ten seconds that it has, and a little more to see its end.
    deadline: Duration::from_secs(11),
};

/// It is told to end after this long …
const LIMIT: Duration = Duration::from_secs(9);
/// … and killed after so much more.
const KILL_AFTER: Duration = Duration::from_secs(1);
/// The longest value in its environment, characters.
const LONGEST_VALUE: usize = 100;

/// Whose turn it is, also after a reload.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Runs the command.
#[derive(Debug)]
pub(super) struct Notifier {
    command: Option<String>,
    bus: BusMode,
}

impl Notifier {
    pub(super) fn new(settings: &NotifierSettings, _: &Cloud) -> Self {
        let command = settings.notify.command.as_ref().map(ToString::to_string);
        Self { command, bus: settings.bus.clone() }
    }

    pub(super) async fn tell(&self, report: Report<'_>) -> Told {
        let Some(command) = &self.command else { return Told::default() };
        let (occasion, limits) = (occasion(report), (LIMIT, KILL_AFTER));
        let document = Some(report.document);
        match carry_out_with(&self.bus, command, None, &occasion, document, limits).await {
            Outcome::Done { .. } | Outcome::Already { .. } => Told::reached(command.clone()),
            Outcome::Refused(refusal) => Told::missed(refusal.detail),
            Outcome::Withheld { because } => Told::missed(because),
            Outcome::Failed { error, .. } => {
                Told::missed(format!("failed to {}", HookOutput::split(&error).0))
            }
        }
    }
}

fn occasion(report: Report<'_>) -> Occasion {
    let told = report.notification;
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    let value = |text: &str| stripped(text, LONGEST_VALUE);
    Occasion {
        // A name of its own: two moments may be told at once, and a unit that still runs cannot be started again.
        unit: format!("agentd-notify-{turn}"),
        about: "Command of agentd for notices of EC2",
        environment: vec![
            ("AGENTD_EVENT", value(&told.event)),
            ("AGENTD_ACTION", value(&told.action)),
            ("AGENTD_MOMENT", told.moment.as_str().to_owned()),
            ("AGENTD_DRILL", if told.drill { "1" } else { "0" }.to_owned()),
        ],
    }
}
