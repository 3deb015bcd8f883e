//! How long one step of the engine takes, with nine sources and the readings of a machine in use.
//! `cargo run --release -p agent-core --example steps [STEPS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and prints a figure"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent_core::action::Power;
use agent_core::engine::Engine;
use agent_core::input::Input;
use agent_core::interruption::InterruptionPolicy;
use agent_core::memory::Recovery;
use agent_core::policy::{Combine, HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use agent_core::reading::{Observation, Reading, Signal, SourceName, Value};
use agent_core::stamp::Stamp;

const SOURCES: [&str; 9] =
    ["cloudinit", "cpu", "disk", "gpu", "inhibitors", "input", "network", "packages", "sessions"];
/// Readings that are made before the clock runs, so that making them is not measured.
const BATCH: u64 = 9 * 1000;
const INTERVAL_MS: u64 = 10_000;

fn policy() -> Policy {
    let source = |name| {
        let policy = SourcePolicy {
            enabled: true,
            busy_above: 0.05,
            unit: "core".to_owned(),
            scale: 1e-6,
            average: Duration::from_mins(1),
            interval: Duration::from_millis(INTERVAL_MS),
            combine: Combine::Sum,
            limits: None,
        };
        (SourceName::new(name), policy)
    };
    Policy {
        mode: Mode::Enforce,
        profile: "research".to_owned(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(5),
            act_after: Duration::from_mins(30),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(Power::Hibernate),
            fallback_stop: false,
            warn_before: [10, 5, 1].map(Duration::from_mins).to_vec(),
            boot_grace: Duration::from_mins(15),
            resume_grace: Duration::from_mins(15),
            hook: true,
            standby: false,
            verify_after: Duration::from_mins(5),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: true, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: SOURCES.map(source).into_iter().collect(),
    }
}

fn reading(name: &str, round: u64) -> Reading {
    let one = |subject: &str, value| Signal::new(subject, value).owned_by("alice");
    let signals = match name {
        "cpu" | "disk" | "network" => vec![
            one("user.slice/user-1000.slice", Value::Counter { total: round * 100_000 }),
            one("system.slice", Value::Counter { total: round * 900 }).ignored(),
        ],
        "gpu" => vec![one("gpu0", Value::Level { value: 0.0 })],
        "input" => vec![one("pts/0", Value::Mark { mark: round / 60, age_ms: Some(500) })],
        "sessions" => vec![one("3", Value::Shown { value: 1.0 })],
        _ => Vec::new(),
    };
    Reading::Signals(signals)
}

fn inputs(from: u64) -> Vec<(Stamp, Input)> {
    (from..from + BATCH)
        .map(|n| {
            let (round, which) = (n / 9, usize::try_from(n % 9).unwrap_or_default());
            let name = SOURCES[which];
            let boot_ms = round * INTERVAL_MS;
            let stamp = Stamp::new(boot_ms, 0, 1_800_000_000_000 + boot_ms.cast_signed());
            let observation =
                Observation { source: SourceName::new(name), reading: reading(name, round) };
            (stamp, Input::Observed(observation))
        })
        .collect()
}

/// The measured part, a function of its own so that a profiler can tell it from the making of readings.
#[inline(never)]
fn decide(engine: &mut Engine, batch: Vec<(Stamp, Input)>) -> usize {
    batch.into_iter().map(|(stamp, input)| engine.step(stamp, input).actions.len()).sum()
}

fn main() {
    let wanted = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_000_000);
    let mut engine = Engine::new(policy(), Recovery::default(), Stamp::new(0, 0, 0));
    let mut spent = Duration::ZERO;
    let (mut steps, mut actions) = (0, 0);
    let mut stages = BTreeMap::<&str, u64>::new();
    while steps < wanted {
        let batch = inputs(steps);
        let begun = Instant::now();
        actions += decide(&mut engine, batch);
        spent += begun.elapsed();
        *stages.entry(engine.stage().as_str()).or_default() += 1;
        steps += BATCH;
    }
    let per_step = spent.as_nanos() / u128::from(steps);
    println!(
        "{steps} steps in {:.3} s: {per_step} ns a step, {} steps a second ({actions} actions, {stages:?})",
        spent.as_secs_f64(),
        1_000_000_000 / per_step.max(1)
    );
}
