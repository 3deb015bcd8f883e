//! The line that says who was told of an interruption, and who was not.

use agent_core::interruption::Notification;

use super::{Field, Line, ids};

/// Who was told at one moment of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered<'a> {
    /// What they were told.
    pub notification: &'a Notification,
    /// Each notifier and how it ended, one line.
    pub detail: &'a str,
    /// Somebody who is configured was not reached.
    pub missed: bool,
}

impl From<&Delivered<'_>> for Line {
    fn from(told: &Delivered<'_>) -> Self {
        let Notification { moment, alert, what, drill, .. } = told.notification;
        let prefix = if *drill { "DRILL: " } else { "" };
        let text = format!("{prefix}Told of {what} ({}): {}", moment.as_str(), told.detail);
        let line = if told.missed {
            Self::warning(ids::NOTIFICATION_DELIVERED, text)
        } else {
            Self::info(ids::NOTIFICATION_DELIVERED, text)
        };
        line.with(Field::Alert, alert)
            .with(Field::Notice, what)
            .with(Field::Moment, moment.as_str())
            .with(Field::Drill, if *drill { "1" } else { "0" })
            .with(Field::Detail, told.detail)
    }
}
