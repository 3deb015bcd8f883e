//! The real program on files, through every scenario, in a time that is moved: it must decide as the replay does.
//!
//! The replay (`ours`) hands readings to the engine. Here the `agentd` binary reads the files of a machine, attributes,
//! subtracts, decides, warns, and asks a simulated EC2. Both must stop the machine at the same moment, to one tick.
//! A scenario that files cannot express is skipped, with the reason.

#![expect(clippy::print_stdout, reason = "what was compared and what was skipped is told")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod course;
mod left;
mod people;
mod plant;
mod roles;
mod services;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use agent_accuracy::scenario::{Event, Profile, Scenario};
use agent_accuracy::score::{self, Verdict};
use agent_accuracy::signals::{Desktop, Signals};
use agent_accuracy::world::World;
use agent_accuracy::{corpus, ours, second};
use agent_tests::timelapse::keep_files_in_memory;

/// One tick, in minutes: sources are read every ten seconds.
const TICK: f64 = 10.0 / 60.0;
/// A process on a GPU that does not tell how busy it is counts as work until its processor time stood still for so many
/// minutes.
const STANDSTILL: f64 = 2.0;
/// Programs at once.
const AT_ONCE: usize = 4;

/// Why a scenario cannot be told by files, for the sources that the program has.
fn inexpressible(scenario: &Scenario) -> Option<&'static str> {
    let ever = |holds: fn(&Signals) -> bool| {
        scenario.segments.iter().any(|segment| holds(&scenario.signals_at(segment.from)))
    };
    if ever(|s| s.inhibit || s.blind.contains(&"inhibitors")) {
        return Some(
            "inhibitors are asked for over D-Bus, and a machine in a folder has no message bus",
        );
    }
    if ever(|s| s.timer_at.is_some()) {
        return Some(
            "timers are asked for over D-Bus, and a machine in a folder has no message bus",
        );
    }
    if ever(|s| s.batch) {
        return Some("the machine in the folder has no batch scheduler");
    }
    if ever(|s| s.blind.iter().any(|it| ["sessions", "batch"].contains(it))) {
        return Some("the processes of a machine in a folder cannot be hidden from root");
    }
    if ever(|s| s.dcv != Desktop::Off && s.itemised) || ever(|s| s.dcv == Desktop::Open) {
        return Some("the machine in the folder has no service for remote desktops");
    }
    None
}

/// The configuration of an installation that only says `mode = "enforce"` and its profile.
fn config(profile: Profile) -> String {
    let profile = match profile {
        Profile::Research => "research",
        Profile::Service => "service",
        Profile::Desktop => "desktop",
    };
    format!("mode = \"enforce\"\nprofile = \"{profile}\"\n")
}

/// When the replay stops the machine, with these sources alone.
fn replayed(scenario: &Scenario, sources: &[String]) -> Option<f64> {
    let mut policy = ours::policy(scenario.profile);
    policy.sources.retain(|name, _| sources.iter().any(|known| known == name.as_str()));
    ours::run(scenario, &World::plain(0), &policy).stopped
}

/// Whether somebody comes over a relay. The program takes them for connected for some minutes after it last heard of them; the
/// replay for as long as the tunnel is there.
fn is_relayed(scenario: &Scenario) -> bool {
    let relayed = |s: &Signals| s.itemised && s.vscode_srv && s.ssh_estab == 0 && s.net_user > 0.0;
    scenario.segments.iter().any(|s| relayed(&scenario.signals_at(s.from)))
}

/// Whether both decided the same. The replay knows no metadata service that is away: without it the program cannot ask for
/// the stop, tries again later, and must still do so in time.
fn agree(scenario: &Scenario, program: Option<f64>, replay: Option<f64>) -> bool {
    if scenario.segments.iter().any(|s| scenario.signals_at(s.from).imds_down) {
        return matches!(score::judge(scenario, program), Verdict::Right { .. });
    }
    // A terminal that nobody known keeps (mosh, a serial line) is a session for the program, whose end is use; the replay
    // sees the keys alone.
    let strange = |s: &Signals| s.pts > s.ssh_pts && !s.tmux && !s.ssm && !s.vscode_srv;
    if scenario.segments.iter().any(|s| strange(&scenario.signals_at(s.from))) {
        return matches!(score::judge(scenario, program), Verdict::Right { .. });
    }
    if is_relayed(scenario) {
        return matches!(score::judge(scenario, program), Verdict::Right { .. });
    }
    // Where a GPU does not tell how busy it is, a new process on it counts as work for as long.
    let untold = scenario.segments.iter().any(|s| scenario.signals_at(s.from).mig);
    // A source that sees for itself that its counter fell is blind for two readings more than the engine would be: it compares
    // with nothing at the next, and the engine sees the sum fall.
    let reset = scenario.events.iter().any(|(_, event)| *event == Event::CountersReset);
    let most = match (untold, reset) {
        (true, _) => STANDSTILL + TICK,
        (false, true) => 3.0 * TICK,
        (false, false) => TICK,
    };
    match (program, replay) {
        (Some(a), Some(b)) => (a - b).abs() <= most + 1e-6,
        (None, None) => true,
        _ => false,
    }
}

/// The scenarios that are wanted: all, or those that `AGENTD_SCENARIOS` names with commas between.
fn wanted() -> Vec<Scenario> {
    let chosen = std::env::var("AGENTD_SCENARIOS").ok();
    let chosen = chosen.map(|list| list.split(',').map(str::to_owned).collect::<BTreeSet<_>>());
    let all = corpus::all().into_iter().chain(second::all());
    all.filter(|it| chosen.as_ref().is_none_or(|chosen| chosen.contains(it.id))).collect()
}

#[derive(Default)]
struct Tally {
    compared: usize,
    moves: u32,
    /// Predictions of the moment of the stop that nothing came between, and by how many minutes the worst was off.
    predictions: usize,
    worst: f64,
    faults: Vec<String>,
}

impl Tally {
    fn take(
        &mut self,
        scenario: &Scenario,
        outcome: Result<course::Outcome, course::Failure>,
        wall: f64,
    ) {
        let id = scenario.id;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(why) => return self.faults.push(format!("{id}: {why}")),
        };
        let replay = replayed(scenario, &outcome.sources);
        let show = |at: Option<f64>| at.map_or("never".to_owned(), |at| format!("{at:.2}"));
        let line = format!(
            "{id}: program {}, replay {} ({} moves, {wall:.1} s) {}: {}",
            show(outcome.stopped),
            show(replay),
            outcome.moves,
            scenario.title,
            outcome.because
        );
        self.compared += 1;
        self.moves += outcome.moves;
        let predictions = outcome.predictions(scenario);
        for prediction in predictions.into_iter().filter(|_| !is_relayed(scenario)) {
            self.predictions += 1;
            self.worst = self.worst.max(prediction.abs());
            if prediction.abs() > TICK + 1e-6 {
                self.faults.push(format!("{id}: the predicted time was {prediction:.2} min off"));
            }
        }
        if !agree(scenario, outcome.stopped, replay) {
            self.faults.push(line.clone());
        }
        println!("{line}");
    }
}

#[test]
fn the_program_decides_as_the_replay_does() {
    let begin = Instant::now();
    let (skipped, waiting): (Vec<_>, Vec<_>) =
        wanted().into_iter().partition(|scenario| inexpressible(scenario).is_some());
    keep_files_in_memory();
    let waiting: Mutex<VecDeque<Scenario>> = Mutex::new(waiting.into());
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = waiting.lock().unwrap().pop_front() else { return };
                    let begin = Instant::now();
                    let outcome = course::run(&scenario, &config(scenario.profile));
                    tally.lock().unwrap().take(&scenario, outcome, begin.elapsed().as_secs_f64());
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    let mut report = String::new();
    for scenario in &skipped {
        let why = inexpressible(scenario).unwrap_or_default();
        let _ = writeln!(report, "SKIPPED {}: {} ({why})", scenario.id, scenario.title);
    }
    let _ = write!(
        report,
        "{} compared, {} skipped, {} predictions (the worst {:.2} min off), {} moves of the clock in {:.0} s",
        tally.compared,
        skipped.len(),
        tally.predictions,
        tally.worst,
        tally.moves,
        begin.elapsed().as_secs_f64()
    );
    println!("{report}");
    assert!(tally.faults.is_empty(), "\n{}", tally.faults.join("\n"));
    assert!(tally.compared + skipped.len() > 0, "no scenario was chosen");
}
