//! What happened so far: the agent's own events and what EC2 saw, in one order.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_tests::agent::AgentError;
use agent_tests::ec2::{Call, Log};
use agent_tests::instance::State;
use agent_tests::socket::Client;
use serde_json::Value;

use super::screen;

/// The story, one line an event.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lines: Vec<(Duration, String)>,
    heard: u64,
    overheard: usize,
    state: Option<State>,
    /// What kept the machine up when it was seen last, by source.
    awake: BTreeMap<String, (Duration, String)>,
    now: Duration,
}

/// What was seen longer ago no longer keeps the machine up.
const OF_LATE: Duration = Duration::from_secs(15);

impl Story {
    /// Adds a line unless the last one says the same.
    pub(crate) fn tell(&mut self, at: Duration, text: &str) {
        if self.lines.last().is_none_or(|(_, last)| last != text) {
            self.lines.push((at, text.to_owned()));
        }
    }

    /// Adds what the agent has told since the last time.
    pub(crate) fn hear(&mut self, at: Duration, client: &Client) -> Result<(), AgentError> {
        let reply = client.ask("GET", &format!("/v1/events?after={}", self.heard), "")?;
        self.take_events(at, &reply.body_text());
        Ok(())
    }

    /// Reads events, one JSON document a line; what is not one is left out.
    fn take_events(&mut self, at: Duration, lines: &str) {
        for event in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            self.heard = self.heard.max(event["seq"].as_u64().unwrap_or(0));
            if let Some(text) = event["text"].as_str().filter(|text| !text.is_empty()) {
                self.tell(at, &format!("agentd: {text}"));
            }
        }
    }

    /// Adds the calls that EC2 has got since the last time, without those that only look.
    pub(crate) fn overhear(&mut self, at: Duration, log: &Log) {
        for call in log.calls.iter().skip(self.overheard).filter(|call| call.is_write()) {
            self.tell(at, &format!("EC2 was asked: {}", describe(call)));
        }
        self.overheard = log.calls.len();
    }

    /// Adds a change of the instance's state.
    pub(crate) fn notice(&mut self, at: Duration, state: State) {
        if self.state.is_some_and(|known| known != state) {
            self.tell(at, &format!("EC2 says: the instance is {}", state.name()));
        }
        self.state = Some(state);
    }

    /// Notes what keeps the machine up.
    pub(crate) fn witness(&mut self, at: Duration, now: &Value) {
        self.now = at;
        for (source, words) in screen::witnesses(now) {
            self.awake.insert(source, (at, words));
        }
    }

    /// What kept the machine up of late.
    pub(crate) fn witnessed(&self) -> Vec<String> {
        let of_late = |(at, _): &&(Duration, String)| self.now.saturating_sub(*at) <= OF_LATE;
        self.awake.values().filter(of_late).map(|(_, words)| words.clone()).collect()
    }

    /// Every line with its time since the start.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = String> + ExactSizeIterator {
        self.lines.iter().map(|(at, text)| format!("{} {text}", clock(*at)))
    }
}

/// A call in one line.
fn describe(call: &Call) -> String {
    let outcome = match &call.refused {
        None => "accepted".to_owned(),
        Some(code) => format!("refused: {code}"),
    };
    match call.action.as_str() {
        "StopInstances" if call.hibernates() => {
            format!("StopInstances with Hibernate=true: {outcome}")
        }
        "CreateTags" => {
            let tags: BTreeMap<&str, &str> = (1..)
                .map_while(|index| {
                    let key = call.parameter(&format!("Tag.{index}.Key"))?;
                    Some((key, call.parameter(&format!("Tag.{index}.Value")).unwrap_or_default()))
                })
                .collect();
            let state = tags.iter().find(|(key, _)| key.ends_with(":state"));
            let state = state.map(|(key, value)| format!(" {key}={value}")).unwrap_or_default();
            format!("CreateTags{state} ({} tags): {outcome}", tags.len())
        }
        other => format!("{other}: {outcome}"),
    }
}

/// A time as `m:ss`.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(83);

    #[test]
    fn events_are_told_once_and_what_is_not_one_is_left_out() {
        let mut story = Story::default();
        story.take_events(AT, "{\"seq\":4,\"text\":\"quiet now\"}\nnot json\n{\"seq\":5}\n");
        assert_eq!(story.lines().collect::<Vec<_>>(), ["1:23 agentd: quiet now"]);
        assert_eq!(story.heard, 5);
    }

    #[test]
    fn a_change_of_state_is_told_and_the_first_state_is_not() {
        let mut story = Story::default();
        for state in [State::Running, State::Running, State::Stopping] {
            story.notice(AT, state);
        }
        assert_eq!(story.lines().collect::<Vec<_>>(), ["1:23 EC2 says: the instance is stopping"]);
    }

    #[test]
    fn what_kept_it_up_long_ago_is_forgotten() {
        let mut story = Story::default();
        let busy = serde_json::json!({"sources": [{"source": "cpu", "verdict": "busy", "value": 2.0, "unit": "core"}]});
        story.witness(AT, &busy);
        assert_eq!(story.witnessed(), ["cpu 2.00 core BUSY"]);
        story.witness(AT + OF_LATE * 2, &Value::Null);
        assert!(story.witnessed().is_empty());
    }

    #[test]
    fn the_same_line_is_not_repeated_at_once() {
        let mut story = Story::default();
        story.tell(Duration::ZERO, "a");
        story.tell(AT, "a");
        assert_eq!(story.lines().len(), 1);
    }
}
