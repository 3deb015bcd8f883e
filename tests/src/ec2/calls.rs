//! The log of calls: what was asked for, when, by whom, and how it ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::query::Query;
use crate::fault::Fault;

/// Actions that only look.
const LOOKS: &str = "Describe";

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request id of its reply.
    pub id: String,
    /// When it was judged.
    pub at: Instant,
    /// The same on the wall clock.
    pub wall: Timestamp,
    /// `StopInstances`, `CreateTags` …
    pub action: String,
    /// Every parameter.
    pub parameters: BTreeMap<String, String>,
    /// The `Authorization` header.
    pub signature: Option<String>,
    /// The code it was refused with; none: it was carried out.
    pub refused: Option<String>,
    /// What went wrong with the reply.
    pub fault: Option<Fault>,
}

impl Call {
    pub(super) fn new(
        at: Instant,
        action: String,
        query: &Query,
        signature: Option<String>,
        refused: Option<String>,
        fault: Option<Fault>,
    ) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            id: format!("00000000-0000-4000-8000-{number:012}"),
            at,
            wall: Timestamp::now(),
            action,
            parameters: query.parameters(),
            signature,
            refused,
            fault,
        }
    }

    /// A parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Whether it was asked for as a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.parameter("DryRun").is_some_and(|dry| dry.eq_ignore_ascii_case("true"))
    }

    /// Whether it asked for a hibernation.
    pub fn hibernates(&self) -> bool {
        self.parameter("Hibernate").is_some_and(|yes| yes.eq_ignore_ascii_case("true"))
    }

    /// Whether it changed something.
    pub fn is_write(&self) -> bool {
        !self.action.starts_with(LOOKS) && !self.is_dry_run()
    }

    /// The call as JSON, without its signature.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "time": self.wall.to_string(),
            "action": self.action,
            "parameters": self.parameters,
            "signed": self.signature.is_some(),
            "refused": self.refused,
            "fault": self.fault.as_ref().map(ToString::to_string),
        })
    }
}

/// All calls in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Every call.
    pub calls: Vec<Call>,
}

impl Log {
    pub(super) fn push(&mut self, call: Call) {
        self.calls.push(call);
    }

    /// The calls of one action that are not dry runs.
    pub fn of(&self, action: &str) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.action == action && !call.is_dry_run()).collect()
    }

    /// The `StopInstances` calls that are not dry runs, refused or not.
    pub fn stops(&self) -> Vec<&Call> {
        self.of("StopInstances")
    }

    /// The calls of one action that were carried out.
    pub fn carried_out(&self, action: &str) -> Vec<&Call> {
        self.of(action).into_iter().filter(|call| call.refused.is_none()).collect()
    }

    /// Calls that change something, dry runs apart.
    pub fn writes(&self) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.is_write()).collect()
    }

    /// One line a call, for messages of failed tests.
    pub fn lines(&self) -> String {
        self.calls.iter().flat_map(|call| [call.to_json().to_string(), "\n".to_owned()]).collect()
    }
}
