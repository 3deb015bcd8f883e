//! What EC2 announces about this instance, and what is done about it.
//!
//! A notice is one announcement: a spot interruption, a rebalance recommendation, a scheduled event, a target state of the
//! Auto Scaling group. The engine makes an alert of it, which lives until it has passed; an alert may lead to a drain, which
//! runs the hooks. (EC2 User Guide: "Spot Instance interruption notices", "EC2 instance rebalance recommendations",
//! "Scheduled events for your instances"; Auto Scaling User Guide: "Retrieve the target lifecycle state through instance
//! metadata".)

mod alert;
mod notice;
mod order;
mod policy;

pub use alert::{Alert, AlertEnd, Drain, HookRun, Interruptions, PastAlert, RunState};
pub use notice::{Due, EventCode, Notice, Noticed, SpotAction, TargetState};
pub use order::{GroupCall, HookOrder, Hurry, Moment, Notification};
pub use policy::{InterruptionPolicy, Reaction};
