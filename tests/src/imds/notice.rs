//! The texts of notices, and times in them that move.
//!
//! A text may hold `{now+SECONDS}` or `{now-SECONDS}`: at every request that becomes the time then by the service's clock, so
//! many seconds later or earlier. Amazon's own mock tells such times, which never come nearer.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// RFC 3339 in whole seconds, as in `spot/instance-action`.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As in `events/maintenance/scheduled`: `21 Jan 2019 09:00:43 GMT`.
pub fn event_time(at: Timestamp) -> String {
    at.strftime("%d %b %Y %H:%M:%S GMT").to_string()
}

/// `spot/instance-action` with a fixed time.
pub fn spot(action: &str, at: Timestamp) -> String {
    json!({"action": action, "time": seconds(at)}).to_string()
}

/// `spot/instance-action` with a time so many seconds after each request.
pub fn moving_spot(action: &str, seconds: i64) -> String {
    json!({"action": action, "time": format!("{{now{seconds:+}}}")}).to_string()
}

/// `events/recommendations/rebalance`.
pub fn rebalance(at: Timestamp) -> String {
    json!({"noticeTime": seconds(at)}).to_string()
}

/// One event of `events/maintenance/scheduled`, in state `active`, with a window of two hours.
pub fn event(id: &str, code: &str, begins: Timestamp) -> serde_json::Value {
    let ends = begins.saturating_add(SignedDuration::from_hours(2)).unwrap_or(begins);
    json!({
        "NotBefore": event_time(begins),
        "NotAfter": event_time(ends),
        "Code": code,
        "Description": format!("scheduled {code}"),
        "EventId": id,
        "State": "active",
    })
}

/// The `time` of a spot notice to terminate, which `spot/termination-time` tells as well.
pub(super) fn termination(spot_action: &str) -> Option<String> {
    let notice: serde_json::Value = serde_json::from_str(spot_action).ok()?;
    (notice["action"] == "terminate").then(|| notice["time"].as_str().map(str::to_owned))?
}

/// The text with every moving time as it is at `now`.
pub(super) fn settled(text: &str, now: Timestamp) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{now") {
        out.push_str(before);
        let moved = after.split_once('}').and_then(|(shift, tail)| {
            let at = now.checked_add(SignedDuration::from_secs(shift.parse().ok()?)).ok()?;
            Some((seconds(at), tail))
        });
        if let Some((time, tail)) = moved {
            out.push_str(&time);
            rest = tail;
        } else {
            out.push_str("{now");
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_times_are_told_by_the_clock_of_the_request() {
        let text = moving_spot("terminate", 120);
        assert!(text.contains("{now+120}"), "{text}");
        let told = settled(&text, Timestamp::UNIX_EPOCH);
        assert_eq!(told, r#"{"action":"terminate","time":"1970-01-01T00:02:00Z"}"#);
        assert_eq!(settled("a {now-1} b", Timestamp::UNIX_EPOCH), "a 1969-12-31T23:59:59Z b");
    }

    #[test]
    fn what_is_no_moving_time_stays_as_it_is() {
        for text in ["", "{now", "{now}", "{nowhere}", "x{now+}y", "{\"a\": {}}"] {
            assert_eq!(settled(text, Timestamp::UNIX_EPOCH), text);
        }
    }

    #[test]
    fn times_have_the_shapes_of_the_real_service() {
        assert_eq!(event_time(Timestamp::UNIX_EPOCH), "01 Jan 1970 00:00:00 GMT");
        assert_eq!(rebalance(Timestamp::UNIX_EPOCH), r#"{"noticeTime":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(termination(&spot("stop", Timestamp::UNIX_EPOCH)), None);
        let told = termination(&spot("terminate", Timestamp::UNIX_EPOCH));
        assert_eq!(told.as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
