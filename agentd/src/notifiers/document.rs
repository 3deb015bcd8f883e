//! The document `agentd/notification/v1`, which the webhook, the SNS topic and the command are given.
//!
//! `packaging/schema/notification-v1.schema.json` describes it. Fields come in the order of [`Document`] and are never left
//! out: what is not known is null. Later versions of the agent may add fields; what changes the meaning of one gets
//! another schema id.

use agent_core::interruption::{HookRun, Notification};
use agent_core::stamp::Stamp;
use serde::Serialize;

use crate::aws::identity::Identity;

/// The id of the document.
pub const SCHEMA: &str = "agentd/notification/v1";

/// So many hooks are listed …
const MOST_HOOKS: usize = 64;
/// … each with so much of the end of what it said, characters: an SNS message has at most 262,144 bytes.
const MOST_DETAIL: usize = 500;

/// The agent and its instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    /// The instance, as it was read last.
    pub(super) identity: Option<&'a Identity>,
    /// The name of this machine.
    pub(super) hostname: &'a str,
    /// agentd acts; otherwise it only observes.
    pub(super) enforce: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    moment: &'static str,
    event: &'a str,
    action: &'a str,
    instance_id: Option<&'a str>,
    instance_type: Option<&'a str>,
    region: Option<&'a str>,
    availability_zone: Option<&'a str>,
    hostname: &'a str,
    alert: &'a str,
    what: &'a str,
    because: &'a str,
    deadline: Option<String>,
    seconds_left: Option<u64>,
    drill: bool,
    mode: &'static str,
    sent_at: Option<String>,
    hooks: Vec<Ran<'a>>,
    agent_version: &'static str,
}

#[derive(Serialize)]
struct Ran<'a> {
    hook: &'a str,
    state: &'static str,
    started: Option<String>,
    took_seconds: Option<f64>,
    detail: String,
}

/// The document, one line of JSON.
pub(super) fn render(notification: &Notification, now: Stamp, about: &About<'_>) -> String {
    let identity = about.identity;
    let document = Document {
        schema: SCHEMA,
        moment: notification.moment.as_str(),
        event: &notification.event,
        action: &notification.action,
        instance_id: identity.map(|one| one.instance_id.as_str()),
        instance_type: identity.and_then(|one| one.instance_type.as_deref()),
        region: identity.map(|one| one.region.as_str()),
        availability_zone: identity.and_then(|one| one.availability_zone.as_deref()),
        hostname: about.hostname,
        alert: &notification.alert,
        what: &notification.what,
        because: &notification.because,
        deadline: notification.deadline_wall_ms.and_then(moment),
        seconds_left: notification.left_ms.map(|ms| ms / 1000),
        drill: notification.drill,
        mode: if about.enforce { "enforce" } else { "observe" },
        sent_at: moment(now.wall_ms),
        hooks: notification.hooks.iter().take(MOST_HOOKS).map(hook).collect(),
        agent_version: env!("CARGO_PKG_VERSION"),
    };
    // Only maps with other keys than texts cannot be written, and there is none.
    serde_json::to_string(&document).unwrap_or_default()
}

fn hook(run: &HookRun) -> Ran<'_> {
    let took = run.took_ms.map(|ms| core::time::Duration::from_millis(ms).as_secs_f64());
    Ran {
        hook: &run.hook,
        state: run.state.as_str(),
        started: run.started.and_then(|at| moment(at.wall_ms)),
        took_seconds: took,
        detail: end(&run.detail),
    }
}

/// The end of a text, which is where a program says what went wrong.
fn end(text: &str) -> String {
    let excess = text.chars().count().saturating_sub(MOST_DETAIL);
    if excess == 0 {
        text.to_owned()
    } else {
        ['…'].into_iter().chain(text.chars().skip(excess)).collect()
    }
}

/// RFC 3339 in UTC to the second; none for what no calendar has.
fn moment(wall_ms: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(wall_ms).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests;
