//! The second corpus: machines that were described by people who had not written the rules.
//!
//! `second.jsonl` has one machine a line. What a line says is taken as it stands; a word that is not known is an error, so
//! that nothing in it is passed over. What only the title says (whose the services are, when a user's job is due, that the
//! machine was suspended) stands in [`facts`], by id and with the reason.

mod facts;
mod state;

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::scenario::{Cycle, History, Kind, Patch, Profile, Scenario, Segment, Work, seconds};
use crate::signals::Left;
use facts::facts;

pub use facts::{Due, Schedule, due, group};
pub use state::{Conn, ConnKind, State};

/// The file, as it was handed over.
pub const FILE: &str = include_str!("../../second.jsonl");

/// A line that cannot be understood.
#[derive(Debug)]
pub struct LineError {
    /// The line, from one.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl core::error::Error for LineError {}

/// One machine as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    title: String,
    #[expect(dead_code, reason = "for people: why the label is what it is")]
    why: String,
    #[expect(dead_code, reason = "for people: where the rates come from")]
    figures: String,
    choice: bool,
    horizon_min: u32,
    work: Vec<Span>,
    stop: bool,
    keys_min: Vec<f64>,
    quiet_before: Before,
    profile: Owner,
    machine: Machine,
    segments: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from: f64,
    to: f64,
    kind: Whose,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Whose {
    Human,
    Job,
}

/// Before minute 0: nobody used the machine, it has just booted, or it was stopped by the agent and started.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Before {
    Quiet(bool),
    Word(BeforeWord),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BeforeWord {
    Stopped,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Owner {
    Research,
    Service,
    Desktop,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    gpus: Option<Vec<f64>>,
    ncpu: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    at: [f64; 2],
    state: State,
    every_s: Option<u32>,
    for_s: Option<u32>,
    offset_s: Option<u32>,
}

/// Every machine, by id.
///
/// # Panics
///
/// If the file that is part of the crate cannot be read; a test reads it.
#[expect(clippy::expect_used, reason = "the file is part of the crate, and tests read it")]
pub fn all() -> Vec<Scenario> {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(|| read(FILE).expect("second.jsonl is understood")).clone()
}

/// The machine of an id.
pub fn named(id: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.id == id)
}

/// Reads machines, one a line. Names are kept for as long as the program runs.
///
/// # Errors
///
/// At the first line with an unknown word or a value that cannot be.
pub fn read(text: &str) -> Result<Vec<Scenario>, LineError> {
    let machine = |(number, line): (usize, &str)| {
        let failed = |why: String| LineError { line: number + 1, why };
        let line: Line = serde_json::from_str(line).map_err(|error| failed(error.to_string()))?;
        scenario(line).map_err(failed)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(machine).collect()
}

fn scenario(line: Line) -> Result<Scenario, String> {
    let facts = facts(&line.id);
    let history = match line.quiet_before {
        Before::Quiet(true) => facts.history.unwrap_or(History::Quiet),
        Before::Quiet(false) => History::FreshBoot,
        Before::Word(BeforeWord::Stopped) => History::Started,
    };
    let profile = match line.profile {
        Owner::Research => Profile::Research,
        Owner::Service => Profile::Service,
        Owner::Desktop => Profile::Desktop,
    };
    let gpus = line.machine.gpus;
    let resting = |left| State::default().on(&facts, left, gpus.as_ref());
    let all = [0.0, f64::from(line.horizon_min + 1)];
    let mut segments = vec![segment(all, None, resting(Left::Nothing))];
    // What was left running sleeps in between, unless each part is a run of its own.
    if facts.left != Left::Nothing && facts.left != Left::Schedule {
        let ends = |value: fn(&Part) -> f64| line.segments.iter().map(value);
        let first = ends(|part| part.at[0]).fold(f64::INFINITY, f64::min);
        let last = ends(|part| part.at[1]).fold(0.0, f64::max);
        segments.push(segment([first, last], None, resting(facts.left)));
    }
    for part in line.segments {
        let cycle = match (part.every_s, part.for_s) {
            (Some(period), Some(on)) if period > 0 => {
                Some(Cycle { period, on, offset: part.offset_s.unwrap_or(0) })
            }
            (None, None) if part.offset_s.is_none() => None,
            _ => return Err("`every_s` and `for_s` go together".to_owned()),
        };
        part.state.check()?;
        let state = part.state.on(&facts, facts.left, gpus.as_ref());
        segments.push(segment(part.at, cycle, state));
    }
    let kind = |whose| match whose {
        Whose::Human => Kind::Human,
        Whose::Job => Kind::Job,
    };
    let work =
        line.work.into_iter().map(|it| Work { from: it.from, to: it.to, kind: kind(it.kind) });
    Ok(Scenario {
        id: line.id.leak(),
        title: line.title.leak(),
        minutes: line.horizon_min,
        ncpu: line.machine.ncpu.unwrap_or(8),
        profile,
        segments,
        inputs: line.keys_min.into_iter().map(seconds).collect(),
        events: facts.events.iter().map(|(at, event)| (seconds(*at), *event)).collect(),
        history,
        work: work.collect(),
        stop: line.stop,
        choice: line.choice,
    })
}

fn segment(at: [f64; 2], cycle: Option<Cycle>, state: State) -> Segment {
    let [from, to] = at.map(seconds);
    Segment { from, to, cycle, patch: Patch::Words(Arc::new(state)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::{Foreground, Service};
    use std::collections::BTreeSet;

    #[test]
    fn every_machine_of_the_file_is_understood() {
        let all = read(FILE).unwrap_or_else(|error| panic!("{error}"));
        let ids: BTreeSet<_> = all.iter().map(|scenario| scenario.id).collect();
        assert_eq!((all.len(), ids.len()), (63, 63));
        assert_eq!(all.iter().filter(|scenario| scenario.choice).count(), 5);
    }

    #[test]
    fn an_unknown_word_is_an_error_wherever_it_stands() {
        let line = FILE.lines().next().unwrap();
        assert!(read(line).is_ok());
        for (known, unknown) in [
            ("\"user_cpu\"", "\"user_cpux\""),
            ("\"title\"", "\"headline\""),
            ("\"userunit\"", "\"kiosk\""),
            ("\"kind\": \"human\"", "\"kind\": \"cat\""),
            ("\"machine\": {}", "\"machine\": {\"ram\": 4}"),
            ("\"quiet_before\": true", "\"quiet_before\": \"asleep\""),
        ] {
            assert!(line.contains(known), "{known}");
            let error = read(&line.replace(known, unknown)).unwrap_err();
            assert_eq!(error.line, 1, "{error}");
        }
    }

    #[test]
    fn a_later_segment_takes_the_place_of_earlier_ones_in_its_part_of_each_period() {
        let fetched = named("P35").unwrap();
        let sent = |t| fetched.signals_at(t).conns.first().map(|conn| conn.received);
        // Every two minutes, ten seconds from the sixtieth on.
        assert_eq!([sent(50), sent(60), sent(70), sent(180)], [5.0, 120.0, 5.0, 120.0].map(Some));
        assert_eq!(named("P03").unwrap().signals_at(1200).fg, Foreground::Display);
        assert_eq!(named("P03").unwrap().signals_at(1200).gpus.len(), 8);
        // While the GPU computes nothing is sent.
        assert!(named("J12").unwrap().signals_at(60).net_user < 1.0);
        assert!(named("J12").unwrap().signals_at(1600).net_user > 1e6);
    }

    #[test]
    fn whose_a_service_is_follows_from_who_started_it() {
        let service = |id: &str| named(id).unwrap().signals_at(0).service;
        assert_eq!(service("X01"), Service::People);
        assert_eq!(service("X03"), Service::Local);
        assert_eq!(service("X06"), Service::Server);
        assert_eq!(service("P01"), Service::Upkeep);
    }

    #[test]
    fn what_was_left_running_is_there_while_it_sleeps_and_not_after_it() {
        let left = |id: &str, minute: u32| named(id).unwrap().signals_at(minute * 60).left;
        assert_eq!([left("J10", 1), left("J10", 20)], [Left::Nohup; 2]);
        assert_eq!([left("J32", 179), left("J32", 181)], [Left::Nohup, Left::Nothing]);
        assert_eq!([left("X07", 10), left("X07", 50)], [Left::Schedule, Left::Nothing]);
        assert_eq!([left("J08", 10), left("J08", 75)], [Left::Nothing, Left::SystemdRun]);
        assert!(!left("S01", 10).is_job() && !left("J20", 10).is_job());
    }

    #[test]
    fn whoever_says_nohup_has_left_something() {
        for scenario in all().iter().filter(|it| it.title.contains("nohup")) {
            assert_ne!(scenario.signals_at(600).left, Left::Nothing, "{}", scenario.id);
        }
    }

    #[test]
    fn a_scheduled_job_begins_and_ends_when_its_title_says() {
        for (id, words) in
            [("J04", "50 min, runs 30"), ("J06", "70 min, 10"), ("J08", "70min, then 20")]
        {
            let scenario = named(id).unwrap();
            let due = due(id).unwrap();
            assert!(scenario.title.contains(words), "{}", scenario.title);
            // The segment in which it computes is the file's own.
            let computes = |minute: f64| scenario.signals_at(seconds(minute)).user_cpu > 1.0;
            let around = [due.at - 0.5, due.at + 0.5, due.until - 0.5, due.until + 0.5];
            assert_eq!(around.map(computes), [false, true, true, false], "{id}");
        }
    }

    #[test]
    fn every_service_that_does_more_than_a_resting_machine_has_an_owner() {
        for scenario in all() {
            let uses = |t| {
                let signals = scenario.signals_at(t);
                signals.sys_cpu > crate::signals::Signals::base().sys_cpu
            };
            let works = scenario.segments.iter().any(|segment| uses(segment.from));
            assert!(!works || facts::is_known(scenario.id), "{}: whose is it?", scenario.id);
        }
    }
}
