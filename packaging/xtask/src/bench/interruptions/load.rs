//! What watching for notices costs: requests, tokens, and over very many polls descriptors and memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use agent_tests::agent::Agent;
use agent_tests::fault::{Fault, Times};
use agent_tests::instance::Instance;
use agent_tests::timelapse::{Moment as Tick, Timelapse, keep_files_in_memory};

use super::moment::{Dice, Moment};
use super::probe::{ITEM, Probe, Trial};

/// How long an agent settles before its requests are counted.
const SETTLE: Duration = Duration::from_secs(20);

/// The requests of one agent in some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requests {
    /// Of each path, the most frequent first.
    pub(super) paths: Vec<(String, usize)>,
    /// All of them.
    pub(super) count: usize,
    /// How many of them asked for a token.
    pub(super) tokens: usize,
    /// Tokens since the agent started.
    pub(super) all_tokens: usize,
    /// The most that were open at once for one path.
    pub(super) most_open: (usize, String),
    /// How long they were counted.
    pub(super) span: Duration,
}

impl Requests {
    /// Counts those of an agent that has settled.
    pub(super) fn count(
        agentd: &Path,
        folder: &Path,
        instance: Instance,
        late: Duration,
        span: Duration,
    ) -> Result<Self, String> {
        let probe = Probe::start(agentd, folder.to_owned(), instance, Trial::default());
        let probe = probe.map_err(|error| format!("failed to start an agent: {error}"))?;
        thread::sleep(SETTLE);
        probe.relay.delay(late);
        let from = Moment::now();
        thread::sleep(span);
        let all = probe.relay.passed();
        let token = |method: &str| method == "PUT";
        let mut paths: BTreeMap<String, usize> = BTreeMap::new();
        for seen in all.iter().filter(|seen| seen.at >= from) {
            *paths.entry(seen.path.clone()).or_default() += 1;
        }
        let mut paths: Vec<(String, usize)> = paths.into_iter().collect();
        paths.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(Self {
            count: paths.iter().map(|(_, count)| count).sum(),
            paths,
            tokens: all.iter().filter(|seen| seen.at >= from && token(&seen.method)).count(),
            all_tokens: all.iter().filter(|seen| token(&seen.method)).count(),
            most_open: probe.relay.most_open(),
            span,
        })
    }

    /// Requests a second.
    #[expect(clippy::cast_precision_loss, reason = "a minute has some dozens of requests")]
    pub(super) fn rate(&self) -> f64 {
        self.count as f64 / self.span.as_secs_f64()
    }

    /// The paths with their counts, in short.
    pub(super) fn spelt_out(&self) -> String {
        let short = |path: &str| {
            let path = path.strip_prefix("/latest/").unwrap_or(path);
            path.strip_prefix("meta-data/").unwrap_or(path).to_owned()
        };
        let all: Vec<String> =
            self.paths.iter().map(|(path, count)| format!("{count} {}", short(path))).collect();
        all.join(", ")
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Polls of the spot item so far.
    pub(super) polls: usize,
    /// Open descriptors.
    pub(super) descriptors: usize,
    /// Resident memory, kibibytes.
    pub(super) resident: u64,
    /// Proportional memory, kibibytes.
    pub(super) proportional: u64,
}

impl Held {
    fn of(agent: &Agent, polls: usize) -> Option<Self> {
        let process = format!("/proc/{}", agent.pid()?);
        let rollup = fs::read_to_string(format!("{process}/smaps_rollup")).ok()?;
        let memory = crate::bench::Memory::of(&rollup)?;
        Some(Self {
            polls,
            descriptors: fs::read_dir(format!("{process}/fd")).ok()?.count(),
            resident: agent.resident_kib()?,
            proportional: memory.proportional,
        })
    }
}

/// Takes the real agent through so many polls in moved time, and looks at it ten times. In every other tenth the service is dead
/// for a while, and single requests are struck beside that.
///
/// A request that fails is tried again after a pause that stays real, so failures cost the measurement its time.
pub(super) fn held_over(polls: usize, seed: u64, mut look: impl FnMut(Held)) -> Result<(), String> {
    /// An outage of so many polls.
    const OUTAGE: u64 = 200;
    /// One of so many steps has a fault of its own.
    const FAULT: u64 = 2_000;
    /// The item is asked for every two seconds.
    const PERIOD_MS: u64 = 2_000;
    let failed = |error: &dyn std::fmt::Display| format!("failed to drive the agent: {error}");
    keep_files_in_memory();
    let config = "mode = \"enforce\"\n[idle]\nenabled = false\n[sampling]\ninterval = \"5m\"\n[recorder]\nenabled = false\n";
    let agent = Agent::on_idle_machine(Instance::on_spot("persistent"), config);
    let start = Tick { boot_ms: 1_000_000, asleep_ms: 0, wall_ms: 1_790_000_000_000 };
    let mut lapse = Timelapse::new(agent.map_err(|error| failed(&error))?, start)
        .map_err(|error| failed(&error))?;
    lapse.start().map_err(|error| failed(&error))?;
    let mut dice = Dice(seed);
    let part = u64::try_from(polls / 10).unwrap_or(1);
    // The first part warms up caches and tokens: growth is counted from its end.
    for round in 1..=10 {
        let until = start.boot_ms + round * part * PERIOD_MS;
        let back = until - part * PERIOD_MS / 2;
        let dead = back - OUTAGE.min(part / 4) * PERIOD_MS;
        let mut was_dead = false;
        while lapse.now.boot_ms < until {
            let is_dead = round % 2 == 0 && (dead..back).contains(&lapse.now.boot_ms);
            let imds = &mut lapse.agent.world.imds;
            if is_dead != was_dead {
                was_dead = is_dead;
                imds.heal().map_err(|error| failed(&error))?;
                if is_dead {
                    let fault = if round % 4 == 0 { Fault::Status(503) } else { Fault::Reset };
                    imds.fault("*", fault, Times::Always);
                }
            }
            if dice.below(FAULT) == 0 {
                let fault = if dice.below(2) == 0 { Fault::Status(503) } else { Fault::Reset };
                imds.fault("*", fault, Times::Next(1));
            }
            let next = lapse.next.map_or(until, |next| next.min(until));
            let moment = lapse.now.after(next.saturating_sub(lapse.now.boot_ms).max(1));
            lapse.go_to(moment).map_err(|error| failed(&error))?;
        }
        let told = lapse.agent.world.imds.seen();
        let asked = told.requests.iter().filter(|request| request.path.ends_with(ITEM)).count();
        look(Held::of(&lapse.agent, asked).ok_or("failed to read /proc of the agent")?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_by_path_and_by_second() {
        let requests = Requests {
            paths: vec![
                ("/latest/meta-data/spot/instance-action".to_owned(), 30),
                ("/latest/api/token".to_owned(), 1),
            ],
            count: 31,
            tokens: 1,
            all_tokens: 2,
            most_open: (1, String::new()),
            span: Duration::from_mins(1),
        };
        assert_eq!(requests.spelt_out(), "30 spot/instance-action, 1 api/token");
        assert!((requests.rate() - 0.5167).abs() < 0.001);
    }
}
