//! How many bytes an hour the flight recorder needs on this machine.
//! `cargo run --release -p agentd --example recording [ROUNDS]`
//!
//! The sources are read for real, one round a second, and recorded as if the rounds were ten seconds apart; counters
//! are therefore a tenth of what they would be, which costs at most one digit of each.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it measures and prints figures")]

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::input::Input;
use agent_core::memory::Recovery;
use agent_core::stamp::Stamp;
use agentd::config::{self, LoadFrom};
use agentd::config_command::known_sources;
use agentd::ledger::recorder::{Recorder, folder};
use agentd::sources::{BusMode, HostRoot, Sampler, SourceSettings, Which};

fn main() {
    let rounds: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(180);
    let state = std::env::temp_dir().join(format!("agentd-recording-{}", std::process::id()));
    let empty = LoadFrom::System { root: state.clone() };
    let settings = config::load(&empty, &known_sources()).unwrap().settings;
    let start = Stamp::new(3_600_000, 0, 1_800_000_000_000);
    let recovery = Recovery::default();
    let mut recorder =
        Recorder::new(&state, settings.recorder, start, "boot", &settings.policy, &recovery);
    let one =
        |(name, policy): (&agent_core::reading::SourceName, &agent_core::policy::SourcePolicy)| {
            let options = settings.sources.get(name.as_str()).cloned().unwrap_or_default();
            let one =
                SourceSettings { enabled: policy.enabled, interval: policy.interval, options };
            (name.as_str().to_owned(), one)
        };
    let wanted: BTreeMap<_, _> = settings.policy.sources.iter().map(one).collect();
    let mut sampler = Sampler::new(HostRoot::at("/"), BusMode::None, &wanted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut signals, mut longest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let now = start.after(Duration::from_secs(round * 10));
        let observations = runtime.block_on(sampler.sample(now, Which::Due));
        let begun = std::time::Instant::now();
        for observation in observations {
            if let agent_core::reading::Reading::Signals(read) = &observation.reading {
                signals += read.len();
            }
            recorder.record(now, &Input::Observed(observation));
        }
        recorder.rest(now);
        longest = longest.max(begun.elapsed());
        std::thread::sleep(Duration::from_secs(1));
    }
    recorder.close(start.after(Duration::from_secs(rounds * 10)));
    let mut plain = 0;
    for file in std::fs::read_dir(folder(&state)).unwrap() {
        plain += file.unwrap().metadata().unwrap().len();
    }
    // A second recorder closes what the first left.
    let end = start.after(Duration::from_secs(rounds * 10));
    Recorder::new(&state, settings.recorder, end, "boot", &settings.policy, &recovery).close(end);
    let files = std::fs::read_dir(folder(&state)).unwrap().map(|file| file.unwrap().path());
    let packed: u64 = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let hour = |bytes: u64| bytes * 360 / rounds;
    println!(
        "{} signals a round; recording a round took at most {longest:?}",
        signals as u64 / rounds
    );
    println!("plain {} B/h, closed {} B/h", hour(plain), hour(packed));
    println!(
        "14 days: {} KiB; 16 MiB hold {} days",
        hour(packed) * 24 * 14 / 1024,
        (16 << 20) / hour(packed).max(1) / 24
    );
    let _ = std::fs::remove_dir_all(state);
}
