//! What may be called how often: EC2 lets so many calls through at once and refills at a rate ("Request throttling for the
//! Amazon EC2 API", token bucket sizes and refill rates). The limits of Auto Scaling and SNS are not published; theirs are
//! as large as those of EC2's changes.

use std::collections::HashMap;
use std::time::Instant;

use crate::bucket::Bucket;

/// The bucket that an action draws from.
pub(super) fn class(action: &str) -> &'static str {
    match action {
        "CreateTags" | "DeleteTags" => "tags",
        "StartInstances" => "start",
        "TerminateInstances" => "terminate",
        "Publish" => "publish",
        "CompleteLifecycleAction"
        | "RecordLifecycleActionHeartbeat"
        | "EnterStandby"
        | "ExitStandby" => "scaling",
        other if other.starts_with("Describe") => "look",
        _ => "change",
    }
}

/// The published sizes and rates.
pub(super) fn published(now: Instant) -> HashMap<&'static str, Bucket> {
    HashMap::from([
        ("tags", Bucket::new(100.0, 10.0, now)),
        ("start", Bucket::new(5.0, 2.0, now)),
        ("terminate", Bucket::new(100.0, 5.0, now)),
        ("look", Bucket::new(100.0, 20.0, now)),
        ("publish", Bucket::new(50.0, 5.0, now)),
        ("scaling", Bucket::new(50.0, 5.0, now)),
        ("change", Bucket::new(50.0, 5.0, now)),
    ])
}
