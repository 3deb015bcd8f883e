//! What one step of the engine gives.

use serde::{Deserialize, Serialize};

use crate::action::ActionRequest;
use crate::input::Reply;
use crate::reason::Event;
use crate::stamp::Stamp;
use crate::verdict::Stage;

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The stage after the step.
    pub stage: Stage,
    /// What to do, in order.
    pub actions: Vec<ActionRequest>,
    /// What happened that people should know: one journal line each.
    pub events: Vec<Event>,
    /// The answer to a command.
    pub reply: Option<Reply>,
    /// When the engine wants to be called again at the latest.
    pub wake_at: Stamp,
    /// The durable part of the engine changed and must be saved before any destructive action runs.
    pub dirty: bool,
}
