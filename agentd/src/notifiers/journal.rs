//! The journal. What EC2 announced and how it ended are events of the engine, and `events/` has written their lines before
//! any notifier is asked, so that a notifier that hangs cannot delay them. What is left for here is who was told.

use agent_core::interruption::Notification;

use super::{LIMIT, NotifierSpec};
use crate::events::{self, Delivered};

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "journal",
    about: "the line of the event, with its MESSAGE_ID and fields, and afterwards one that says who was told",
    iam: &[],
    deadline: LIMIT,
};

/// Says who was told, and who was not.
pub(super) fn tell(notification: &Notification, detail: &str, missed: bool) {
    events::emit(&Delivered { notification, detail, missed });
}
