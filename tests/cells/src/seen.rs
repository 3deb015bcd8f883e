//! What was seen in a cell, and whether it is right.

use serde_json::{Value, json};

use crate::case::Right;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// When EC2 was asked to stop the instance, in seconds after the agent's first answer.
    pub stopped_at: Option<f64>,
    /// For how many seconds it was watched.
    pub watched: f64,
    /// The last `agentctl status`, as text.
    pub status: String,
    /// The last `agentctl why`, as text.
    pub why: String,
    /// The agent's log.
    pub log: String,
}

impl Seen {
    /// As one line of JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "stopped_at": self.stopped_at,
            "watched": self.watched,
            "status": self.status,
            "why": self.why,
            "log": self.log,
        })
    }

    /// From what [`to_json`](Self::to_json) gave; none: it is no such object.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some(Self {
            stopped_at: value["stopped_at"].as_f64(),
            watched: value["watched"].as_f64()?,
            status: text("status")?,
            why: text("why")?,
            log: text("log")?,
        })
    }

    /// Whether a source could not be read at the end. A machine that is kept for that is not kept for its use.
    fn is_blind(&self) -> bool {
        self.status.contains("UNKNOWN")
    }

    /// Whether it is what must happen.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a test are small")]
    pub fn is(&self, right: Right) -> bool {
        match (right, self.stopped_at) {
            (Right::Keep, stopped) => stopped.is_none() && !self.is_blind(),
            (Right::Stop, stopped) => stopped.is_some(),
            (Right::StopAfter(end), stopped) => stopped.is_some_and(|at| at > end as f64),
        }
    }

    /// In a few words.
    pub fn summary(&self) -> String {
        match self.stopped_at {
            Some(at) => format!("stopped at {at:.1} s"),
            None => format!("kept for {:.0} s: {}", self.watched, self.because()),
        }
    }

    /// What the agent gave as its reason.
    fn because(&self) -> &str {
        let mut lines = self.status.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix("because")).unwrap_or("no reason").trim()
    }

    /// Everything that helps to find out why, for a failed case.
    pub fn story(&self) -> String {
        let log: Vec<&str> = self.log.lines().collect();
        let last = log.len().saturating_sub(25);
        let log = log.get(last..).unwrap_or_default().join("\n");
        format!(
            "--- agentctl status ---\n{}\n--- agentctl why ---\n{}\n--- the end of the log ---\n{log}",
            self.status, self.why
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_right_only_where_and_when_it_is_due() {
        let at = |stopped_at| Seen { stopped_at, ..Seen::default() };
        let blind = Seen { status: "cpu  UNKNOWN".into(), ..Seen::default() };
        assert!(!blind.is(Right::Keep));
        assert!(at(None).is(Right::Keep) && !at(Some(40.8)).is(Right::Keep));
        assert!(at(Some(40.8)).is(Right::Stop) && !at(None).is(Right::Stop));
        assert!(at(Some(90.0)).is(Right::StopAfter(50)));
        assert!(!at(Some(40.8)).is(Right::StopAfter(50)) && !at(None).is(Right::StopAfter(50)));
    }

    #[test]
    fn what_was_seen_survives_the_way_out_of_the_cell() {
        let seen =
            Seen { stopped_at: Some(40.8), watched: 41.0, why: "x\ny".into(), ..Seen::default() };
        assert_eq!(Seen::from_json(&seen.to_json()), Some(seen));
        assert_eq!(Seen::from_json(&json!({"watched": 1.0})), None);
    }
}
