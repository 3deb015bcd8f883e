//! Traces of real people and programs in booted Debians, decided again: what the agent would have done, and when.
//!
//! `tests/e2e/record` plays the scenes and writes `tests/traces/NAME.jsonl` with the label `NAME.toml`. The window is
//! scaled from thirty minutes to less than one; every limit is the default.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use agent_accuracy::ours::policy;
use agent_accuracy::scenario::Profile;
use agent_core::policy::Policy;
use agent_core::replay::{Replay, enforced};
use agent_core::stamp::Stamp;
use agent_core::trace::{Boot, Content, Decoder, Line, Record};
use serde::Deserialize;

/// After the moment at which the agent must have acted, seconds: eight in which a terminal's clock does not move, the
/// average of a rate, three readings.
const SLACK: f64 = 20.0;
/// The same scene ends on both machines within this, seconds after the last use.
const ALIKE: f64 = 16.0;

/// How exactly it was seen when the real agent was ready to act, seconds: it was asked once a second on a busy host.
const LOOKED: f64 = 4.0;

/// What a recording shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    #[expect(dead_code, reason = "for people")]
    about: String,
    scene: String,
    machine: String,
    seconds: f64,
    verdict: Verdict,
    /// So many windows may pass without use before the agent must have acted.
    #[serde(default)]
    windows: f64,
    /// When the real agent was seen ready to act while this was recorded, seconds since the trace began.
    live: Option<f64>,
    /// Why nobody can tell this use from none.
    undecidable: Option<String>,
    #[serde(default)]
    work: Vec<Work>,
}

/// What a right agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It acts once the work is over.
    Stop,
    /// It never acts.
    Keep,
}

/// A stretch in which the machine is needed, seconds since the trace began.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Work {
    who: String,
    does: String,
    kind: Kind,
    from: f64,
    to: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// A person's: after its end a third of the window is still theirs.
    Human,
    /// A program's.
    Job,
    /// What must not be interrupted.
    Block,
}

/// A trace with its label.
struct Recording {
    name: String,
    label: Label,
    boot: Boot,
    start: Stamp,
    records: Vec<Record>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces")
}

fn recordings() -> &'static [Recording] {
    static ALL: OnceLock<Vec<Recording>> = OnceLock::new();
    ALL.get_or_init(read)
}

fn read() -> Vec<Recording> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths.iter().map(|path| recording(path)).collect()
}

fn recording(path: &Path) -> Recording {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let label = fs::read_to_string(path.with_extension("toml")).unwrap();
    let label = toml::from_str(&label).unwrap_or_else(|error| panic!("{name}.toml: {error}"));
    let mut decoder = Decoder::default();
    let mut records = Vec::new();
    for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        let fail =
            |error: &dyn std::fmt::Display| -> ! { panic!("{name}.jsonl:{}: {error}", number + 1) };
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| fail(&error));
        records.extend(decoder.record(line).unwrap_or_else(|error| fail(&error)));
    }
    let Some(Record { at: start, content: Content::Boot(boot) }) = records.first().cloned() else {
        panic!("{name}.jsonl does not begin with the start of an agent");
    };
    Recording { name, label, boot: *boot, start, records }
}

impl Recording {
    /// The window of the recording, seconds.
    fn window(&self) -> f64 {
        self.recorded().idle.act_after.as_secs_f64()
    }

    /// The longest warning, seconds.
    fn notice(&self) -> f64 {
        let warnings = self.recorded().idle.warn_before.iter().max();
        warnings.map_or(0.0, Duration::as_secs_f64)
    }

    /// The policy under which it was recorded.
    fn recorded(&self) -> &Policy {
        let policy = self.boot.policy.as_ref();
        policy.unwrap_or_else(|| panic!("{}: its policy cannot be read: record it anew", self.name))
    }

    /// The default policy with the times of the recording, for the sources that were read in it.
    fn scaled(&self) -> Policy {
        let recorded = self.recorded();
        let mut scaled = policy(Profile::Research);
        scaled.gap = recorded.gap;
        let idle = scaled.idle.clone();
        scaled.idle = recorded.idle.clone();
        (scaled.idle.action, scaled.idle.fallback_stop) = (idle.action, idle.fallback_stop);
        let read = self.sources();
        scaled.sources.retain(|name, _| read.contains(name.as_str()));
        for (name, source) in &mut scaled.sources {
            let Some(then) = recorded.sources.get(name) else { continue };
            (source.average, source.interval) = (then.average, then.interval);
        }
        enforced(scaled)
    }

    fn sources(&self) -> BTreeSet<&str> {
        let sources = self.recorded().sources.iter();
        sources.filter(|(_, source)| source.enabled).map(|(name, _)| name.as_str()).collect()
    }

    /// When the agent acts, seconds since the trace began. Where a trace ends before a whole window has passed since the last
    /// use, that is when it says at the end that it will.
    fn acts_at(&self, policy: Policy) -> Option<f64> {
        let mut replay = Replay::at_boot(policy, &self.boot, self.start);
        let mut end = self.start;
        for record in &self.records {
            end = record.at;
            replay.record(record.clone());
        }
        replay.finish(end);
        let seconds = |at: Stamp| at.since(self.start).as_secs_f64();
        let is_short = self.label.seconds < self.last() + self.window();
        let says = replay.view().act_at.filter(|_| is_short);
        replay.first_action().map(|(at, _)| seconds(at)).or_else(|| says.map(seconds))
    }

    /// What the agent that was running while it was recorded took for a use and this one does not, or the other way: it acted
    /// at the end of a block, which begins the idle time anew; and a connection that comes again was a person's to it.
    fn is_judged_anew(&self) -> bool {
        let blocked =
            self.label.work.iter().any(|work| {
                work.kind == Kind::Block && (work.to - self.last()).abs() < f64::EPSILON
            });
        blocked || self.label.scene == "ssh-controlmaster"
    }

    /// When the last use ended, seconds since the trace began.
    fn last(&self) -> f64 {
        self.label.work.iter().map(|work| work.to).fold(0.0, f64::max)
    }

    /// What is wrong with acting at this moment, or with not acting at all.
    fn fault(&self, acts_at: Option<f64>) -> Option<String> {
        let Some(at) = acts_at else {
            let missed = self.label.verdict == Verdict::Stop;
            return missed.then(|| format!("missed: does not act in {} s", self.label.seconds));
        };
        let interrupted = self.label.work.iter().find(|work| {
            let theirs = if work.kind == Kind::Human { self.window() / 3.0 } else { 0.0 };
            at < work.to + theirs
        });
        if let Some(Work { who, does, from, to, .. }) = interrupted {
            return Some(format!(
                "wrong stop at {at:.0} s: {who} {does} from {from:.0} to {to:.0} s"
            ));
        }
        let latest = self.last() + self.label.windows * self.window() + SLACK;
        match self.label.verdict {
            Verdict::Keep => Some(format!("wrong stop at {at:.0} s: it must stay up")),
            Verdict::Stop if at > latest => {
                Some(format!("missed: acts at {at:.0} s, not by {latest:.0} s"))
            }
            Verdict::Stop => None,
        }
    }
}

/// Every fault of a policy over the recordings, one line each; those that nobody can avoid are left out.
fn faults(policy: impl Fn(&Recording) -> Policy) -> String {
    let mut faults = String::new();
    for recording in recordings() {
        let fault = recording.fault(recording.acts_at(policy(recording)));
        if let Some(fault) = fault.filter(|_| recording.label.undecidable.is_none()) {
            writeln!(faults, "{}: {fault}", recording.name).unwrap();
        }
    }
    faults
}

#[test]
fn no_recorded_use_is_stopped_and_no_recorded_rest_is_missed() {
    assert_eq!(faults(Recording::scaled), "");
}

#[test]
fn the_policy_of_the_recording_gives_the_same() {
    assert_eq!(faults(|recording| enforced(recording.recorded().clone())), "");
}

#[test]
fn the_replay_acts_when_the_real_agent_did() {
    let mut differences = String::new();
    for recording in recordings() {
        let again = recording.acts_at(enforced(recording.recorded().clone()));
        let alike = match (recording.label.live, again) {
            (None, None) => true,
            // While it was recorded it observed, so it did not warn first where a block ended late.
            (Some(live), Some(again)) => {
                (-LOOKED..=LOOKED + recording.notice()).contains(&(again - live))
            }
            _ => false,
        };
        let excepted = recording.label.undecidable.is_some() || recording.is_judged_anew();
        if !alike && !excepted {
            let live = recording.label.live;
            writeln!(differences, "{}: live {live:?}, again {again:?}", recording.name).unwrap();
        }
    }
    assert_eq!(differences, "");
}

#[test]
fn the_two_classes_that_nobody_can_tell_are_the_only_exceptions() {
    let undecidable: BTreeSet<&str> = recordings()
        .iter()
        .filter(|recording| recording.label.undecidable.is_some())
        .map(|recording| recording.label.scene.as_str())
        .collect();
    assert_eq!(undecidable.into_iter().collect::<Vec<_>>(), ["crawler", "sleeper"]);
}

#[test]
fn a_scene_is_decided_alike_on_every_debian() {
    let mut scenes: BTreeMap<&str, Vec<(&str, Option<f64>)>> = BTreeMap::new();
    for recording in recordings() {
        if recording.label.undecidable.is_some() {
            continue;
        }
        let after = recording.acts_at(recording.scaled()).map(|at| at - recording.last());
        let Label { scene, machine, .. } = &recording.label;
        scenes.entry(scene).or_default().push((machine, after));
    }
    assert!(scenes.len() >= 20, "only {} scenes are recorded", scenes.len());
    for (scene, decided) in &scenes {
        let [(one, first), (other, second)] = decided.as_slice() else {
            panic!("{scene} is not recorded on both machines: {decided:?}");
        };
        assert_eq!((*one, *other), ("debian-12", "debian-13"), "{scene}");
        let alike = match (first, second) {
            (None, None) => true,
            (Some(first), Some(second)) => (first - second).abs() <= ALIKE,
            _ => false,
        };
        assert!(alike, "{scene}: {one} acts {first:?} s after the last use, {other} {second:?} s");
    }
}

#[test]
fn a_window_shorter_than_the_pauses_of_people_is_caught() {
    let hasty = |recording: &Recording| {
        let mut policy = recording.scaled();
        let idle = &mut policy.idle;
        idle.quiet_after = Duration::from_secs(4);
        idle.warn_before = vec![Duration::from_secs(4)];
        idle.act_after = Duration::from_secs(12);
        (idle.connected_after, idle.job_after) = (idle.act_after, idle.act_after);
        policy
    };
    let faults = faults(hasty);
    assert!(faults.contains("wrong stop"), "the labels catch no wrong stop at all: {faults}");
}
