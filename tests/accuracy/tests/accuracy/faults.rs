//! Sources that fail cause no stop: every source with every fault, on a machine that is idle otherwise.

use agent_accuracy::ours::{self, Watcher};
use agent_accuracy::scenario::{Profile, Scenario, scene};
use agent_accuracy::world::World;
use agent_core::reading::{Reading, Signal, SourceName, Value};

/// How a source fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It says that it cannot be read: a missing file, an error of input and output, no bus, a lost driver.
    Blind,
    /// It hangs and says nothing.
    Hangs,
    /// A counter runs backwards.
    Backwards,
    /// A level that cannot be.
    Garbage,
    /// A negative level.
    Negative,
    /// More than anybody can follow.
    Flood,
    /// It cannot be read every other time.
    Flickers,
    /// A counter begins at zero again, once.
    Resets,
}

const LASTING: [Fault; 6] =
    [Fault::Blind, Fault::Hangs, Fault::Backwards, Fault::Garbage, Fault::Negative, Fault::Flood];

/// Makes one source fail from the beginning to a minute.
struct Failing<'a> {
    source: &'a SourceName,
    fault: Fault,
    until_ms: i64,
    looks: u64,
}

impl Watcher for Failing<'_> {
    fn tamper(&mut self, at_ms: i64, source: &SourceName, reading: Reading) -> Option<Reading> {
        if source != self.source || !(0..self.until_ms).contains(&at_ms) {
            return Some(reading);
        }
        self.looks += 1;
        let odd = self.looks % 2 == 1;
        let one = |value| Some(Reading::Signals(vec![Signal::new("subject", value)]));
        match self.fault {
            Fault::Blind => Some(Reading::blind("read it: input/output error")),
            Fault::Hangs => None,
            Fault::Backwards => one(Value::Counter { total: 1_000_000 - self.looks }),
            Fault::Garbage => one(Value::Level { value: f64::NAN }),
            Fault::Negative => one(Value::Level { value: -1.0 }),
            Fault::Flood => {
                let signal = |n: u32| Signal::new(n.to_string(), Value::Counter { total: 0 });
                Some(Reading::Signals((0..10_000).map(signal).collect()))
            }
            Fault::Flickers if odd => Some(Reading::blind("read it: interrupted")),
            Fault::Resets if self.looks == 60 => one(Value::Counter { total: 0 }),
            Fault::Resets if self.looks > 60 => Some(reading),
            Fault::Resets => one(Value::Counter { total: 1_000_000_000 }),
            Fault::Flickers => Some(reading),
        }
    }
}

/// A machine that nobody uses, for so many minutes.
fn idle(minutes: u32) -> Scenario {
    scene("R4", "idle", minutes)
}

/// The minute of the stop with one source failing up to a minute.
fn stopped(minutes: u32, source: &SourceName, fault: Fault, until: i64) -> Option<f64> {
    let scenario = idle(minutes);
    let mut failing = Failing { source, fault, until_ms: until * 60_000, looks: 0 };
    let policy = ours::policy(scenario.profile);
    ours::run_with(&scenario, &World::plain(30), &policy, &mut failing).stopped
}

/// The sources whose readings are counters.
const COUNT: [&str; 6] = ["clients", "cpu", "disk", "network", "pressure", "steal"];

/// Every source with each of the faults that it can have.
fn failures(faults: &[Fault]) -> Vec<(SourceName, Fault)> {
    let sources = ours::policy(Profile::Research).sources.into_keys();
    let each = sources.flat_map(|source| faults.iter().map(move |fault| (source.clone(), *fault)));
    let counts = |fault: Fault| matches!(fault, Fault::Backwards | Fault::Resets);
    each.filter(|(source, fault)| !counts(*fault) || COUNT.contains(&source.as_str())).collect()
}

#[test]
fn while_a_source_fails_the_machine_is_never_stopped() {
    for (source, fault) in failures(&LASTING) {
        let stop = stopped(90, &source, fault, 90);
        assert_eq!(stop, None, "{source} {fault:?}");
    }
}

#[test]
fn after_a_fault_the_idle_time_begins_anew_and_ends_in_a_stop() {
    for (source, fault) in failures(&LASTING) {
        let stop = stopped(150, &source, fault, 40);
        let stop = stop.unwrap_or_else(|| panic!("{source} {fault:?}: never stopped"));
        assert!((69.5..75.0).contains(&stop), "{source} {fault:?}: stopped in minute {stop}");
    }
}

#[test]
fn a_passing_fault_never_hastens_a_stop() {
    let scenario = idle(150);
    let policy = ours::policy(scenario.profile);
    let healthy = ours::run(&scenario, &World::plain(30), &policy).stopped.unwrap();
    for (source, fault) in failures(&[Fault::Flickers, Fault::Resets]) {
        let stop = stopped(150, &source, fault, 60);
        let stop = stop.unwrap_or_else(|| panic!("{source} {fault:?}: never stopped"));
        assert!(stop + 0.01 >= healthy, "{source} {fault:?}: {stop} before {healthy}");
    }
}
