//! One scenario with the real program: the same moments as in the replay of the engine alone.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use agent_accuracy::scenario::{Cycle, Event, History, OFF, STEP, Scenario};
use agent_accuracy::signals::Signals;
use agent_tests::agent::{Agent, beside_agent};
use agent_tests::fault::{Fault, Times};
use agent_tests::instance::{Instance, State};
use agent_tests::timelapse::{Moment, Timelapse};
use serde_json::json;

use super::plant::Plant;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const STEP_MS: i64 = STEP as i64 * SECOND;
/// How long a machine that was used before the scenario had been up.
const UP_MS: i64 = 600 * MINUTE;
/// Wall time at the beginning, milliseconds since 1970.
pub(crate) const WALL_MS: i64 = 1_800_000_000_000;
/// A new process of the agent needs so long until it looks.
const START_MS: i64 = 3 * SECOND;

/// What became of a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// The minute at which EC2 was asked to stop the machine.
    pub(crate) stopped: Option<f64>,
    /// The sources of the program.
    pub(crate) sources: Vec<String>,
    /// What the program said of itself at the end.
    pub(crate) because: String,
    /// How often the clock was moved.
    pub(crate) moves: u32,
    /// What the program said of the moment of the stop: when it said so, and the moment, in minutes.
    said: Vec<(f64, f64)>,
}

/// An average tells of what was for so long after it is over, in minutes.
const MEMORY: f64 = 3.0;

impl Outcome {
    /// By how many minutes each prediction was off that was made when nothing changed any more.
    pub(crate) fn predictions(&self, scenario: &Scenario) -> Vec<f64> {
        let Some(stopped) = self.stopped else { return Vec::new() };
        let until = agent_accuracy::scenario::seconds(stopped);
        let last = scenario.last_change(until).max(last_edge(scenario, until));
        let last = f64::from(last) / 60.0;
        let sound = self.said.iter().filter(|(at, _)| *at >= last + MEMORY);
        sound.map(|(_, moment)| moment - stopped).collect()
    }
}

/// The last second, until a given one, in which something that comes and goes came or went.
fn last_edge(scenario: &Scenario, until: u32) -> u32 {
    let edges = scenario.segments.iter().filter_map(|segment| {
        let Cycle { period, on, offset } = segment.cycle?;
        let end = segment.to.min(until);
        let first = segment.from + offset;
        let gone = end.checked_sub(first)?;
        let begun = first + gone / period * period;
        Some(if begun + on <= end { begun + on } else { begun })
    });
    edges.max().unwrap_or(0)
}

/// The program, its machine and its time.
pub(crate) struct Course<'a> {
    scenario: &'a Scenario,
    lapse: Timelapse,
    plant: Plant,
    signals: Signals,
    /// Milliseconds since the scenario began, without sleep.
    at_ms: i64,
    /// When the machine booted.
    boot_ms: i64,
    slept_ms: i64,
    stepped_ms: i64,
    inputs: usize,
    events: usize,
    denied: bool,
    down: bool,
    moves: u32,
    said: Vec<(f64, f64)>,
}

/// Whether a scenario has GPUs.
fn has_gpus(scenario: &Scenario) -> bool {
    scenario.segments.iter().any(|segment| !scenario.signals_at(segment.from).gpus.is_empty())
}

impl<'a> Course<'a> {
    fn new(scenario: &'a Scenario, config: &str) -> Result<Self, Failure> {
        let mut config = config.to_owned();
        let gpus = has_gpus(scenario);
        if gpus {
            let library = beside_agent("libnvidia_ml.so")?;
            let _ = writeln!(config, "[source.gpu]\nlibrary = \"{}\"", library.display());
        }
        let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
        let told = gpus.then(|| agent.folder().join("gpus"));
        if let Some(told) = &told {
            agent.set_variable("FAKE_NVML_STATE", &told.to_string_lossy());
        }
        let plant = Plant::new(agent.machine(), scenario, told)?;
        let (at_ms, boot_ms) = match scenario.history {
            History::Used | History::Quiet => (-10 * MINUTE, -10 * MINUTE - UP_MS),
            History::Resumed => (-60 * MINUTE, -60 * MINUTE - UP_MS),
            History::FreshBoot => (8 * SECOND, 0),
            History::Started => {
                let before = -i64::from(OFF) * SECOND - 60 * MINUTE;
                (before, before - UP_MS)
            }
        };
        let now = Moment { boot_ms: 0, asleep_ms: 0, wall_ms: 0 };
        Ok(Self {
            scenario,
            lapse: Timelapse::new(agent, now)?,
            plant,
            signals: Signals::base(),
            at_ms,
            boot_ms,
            slept_ms: 0,
            stepped_ms: 0,
            inputs: 0,
            events: 0,
            denied: false,
            down: false,
            moves: 0,
            said: Vec::new(),
        })
    }

    fn moment(&self) -> Moment {
        let positive = |ms: i64| u64::try_from(ms).unwrap_or(0);
        Moment {
            boot_ms: positive(self.at_ms - self.boot_ms + self.slept_ms),
            asleep_ms: positive(self.slept_ms),
            wall_ms: WALL_MS + self.at_ms + self.slept_ms + self.stepped_ms,
        }
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.plant.show(&self.signals)?;
        self.lapse.now = self.moment();
        self.lapse.start()?;
        Ok(())
    }

    /// The agent is told what time it is, on a machine as it is now.
    fn tell(&mut self) -> Result<(), Failure> {
        self.plant.show(&self.signals)?;
        self.moves += 1;
        let moment = self.moment();
        self.lapse.go_to(moment)?;
        Ok(())
    }

    /// When the agent wants to be woken, in the time of the scenario.
    fn wake_ms(&self) -> i64 {
        self.lapse.next.map_or(i64::MAX, |next| {
            i64::try_from(next).unwrap_or(i64::MAX / 2) + self.boot_ms - self.slept_ms
        })
    }

    /// Time passes, with these signals before the scenario and with its own in it.
    fn live_until(
        &mut self,
        to_ms: i64,
        before: Option<&dyn Fn(i64) -> Signals>,
    ) -> Result<(), Failure> {
        while self.at_ms < to_ms && !self.lapse.has_stopped() {
            match before {
                Some(before) => self.signals = before(self.at_ms),
                None => self.enter_step()?,
            }
            let step_end = (self.at_ms.div_euclid(STEP_MS) + 1) * STEP_MS;
            let wake = self.wake_ms().max(self.at_ms + 1);
            let next = step_end.min(to_ms).min(wake);
            self.pass_to(next);
            if before.is_none() {
                self.enter_step()?;
            }
            if next == wake {
                self.tell()?;
            }
            if before.is_none() && next % MINUTE == 0 {
                self.listen();
            }
        }
        Ok(())
    }

    fn pass_to(&mut self, to_ms: i64) {
        let span = u32::try_from(to_ms - self.at_ms).unwrap_or(0);
        self.plant.pass(&self.signals, f64::from(span) / 1000.0);
        self.at_ms = to_ms;
    }

    /// What came before the scenario.
    fn before(&mut self) -> Result<(), Failure> {
        let mut quiet = Signals::base();
        quiet.gpus = self.scenario.signals_at(0).gpus;
        for percent in quiet.gpus.iter_mut().flatten() {
            *percent = 0.0;
        }
        let used = |until: i64| {
            let quiet = quiet.clone();
            move |at: i64| Signals { user_cpu: if at < until { 1.0 } else { 0.0 }, ..quiet.clone() }
        };
        self.signals = quiet.clone();
        match self.scenario.history {
            History::FreshBoot => {
                self.signals = self.scenario.signals_at(0);
                self.start()?;
            }
            History::Used => {
                self.start()?;
                self.live_until(0, Some(&used(0)))?;
            }
            History::Quiet => {
                self.start()?;
                self.live_until(0, Some(&used(i64::MIN)))?;
            }
            History::Resumed => {
                self.start()?;
                self.live_until(0, Some(&used(-50 * MINUTE)))?;
                // It hibernated itself; the time between is part of the sleep.
                self.come_up()?;
                self.slept_ms += i64::from(OFF) * SECOND;
                self.at_ms = 0;
                self.signals = self.scenario.signals_at(0);
                self.tell()?;
            }
            History::Started => {
                self.start()?;
                self.live_until(self.at_ms + 59 * MINUTE, Some(&used(self.at_ms)))?;
                self.come_up()?;
                self.lapse.kill();
                self.plant.machine.new_boot()?;
                self.plant.reset_counters();
                (self.at_ms, self.boot_ms) = (8 * SECOND, 0);
                self.signals = self.scenario.signals_at(0);
                self.start()?;
            }
        }
        Ok(())
    }

    /// The instance, which the agent stopped, runs again.
    fn come_up(&mut self) -> Result<(), Failure> {
        if !self.lapse.has_stopped() {
            return Err("it was not stopped before the scenario began".into());
        }
        self.lapse.agent.world.instance.with(|instance| {
            (instance.state, instance.turns) = (State::Running, None);
        });
        Ok(())
    }

    /// The signals, keys and events of this moment.
    fn enter_step(&mut self) -> Result<(), Failure> {
        let second = u32::try_from(self.at_ms.div_euclid(SECOND)).unwrap_or(0);
        self.signals = self.scenario.signals_at(second - second % STEP);
        let moment = self.moment();
        self.plant.come(&self.signals, moment)?;
        while let Some(at) = self.scenario.inputs.get(self.inputs).filter(|at| **at <= second) {
            let ago = self.at_ms - i64::from(*at) * SECOND;
            self.plant.key(Moment { wall_ms: moment.wall_ms - ago, ..moment })?;
            self.inputs += 1;
        }
        self.outside()?;
        while let Some((_, event)) =
            self.scenario.events.get(self.events).filter(|(at, _)| *at <= second)
        {
            self.events += 1;
            self.happen(*event)?;
        }
        Ok(())
    }

    /// What holds outside of the machine.
    fn outside(&mut self) -> Result<(), Failure> {
        let world = &mut self.lapse.agent.world;
        if self.signals.tag_denied != self.denied {
            self.denied = self.signals.tag_denied;
            for action in ["CreateTags", "DescribeTags"] {
                if self.denied { world.ec2.deny(action) } else { world.ec2.allow(action) }
            }
        }
        if self.signals.imds_down != self.down {
            self.down = self.signals.imds_down;
            if self.down {
                world.imds.fault("*", Fault::Status(403), Times::Always);
            } else {
                world.imds.heal()?;
            }
        }
        if self.signals.poll.is_some() {
            self.lapse.agent.client().ask("GET", "/v1/status", "")?;
            self.lapse.agent.client().ask("GET", "/metrics", "")?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::ClockStep(by) => self.stepped_ms += by * SECOND,
            Event::Sleep(span) => {
                self.slept_ms += i64::from(span) * SECOND;
                self.tell()?;
            }
            Event::CountersReset => self.plant.reset_counters(),
            Event::Hold(span) => {
                let wish = json!({"for_seconds": span, "reason": "demo"});
                self.lapse.agent.client().post("/v1/hold", &wish)?;
                self.tell()?;
            }
            Event::Restart => {
                self.lapse.kill();
                self.pass_to(self.at_ms + START_MS);
                self.start()?;
            }
        }
        Ok(())
    }

    /// Notes when the program says that it will stop the machine.
    fn listen(&mut self) {
        // A program that is asked too often in real time refuses; the next minute will do.
        let Ok(status) = self.lapse.agent.status() else { return };
        if let Some(seconds) = status["outlook"]["in_seconds"].as_f64() {
            let now = minutes(self.at_ms);
            self.said.push((now, now + seconds / 60.0));
        }
    }

    fn sources(&self) -> Result<Vec<String>, Failure> {
        let status = self.lapse.agent.status()?;
        let list = status["sources"].as_array().into_iter().flatten();
        Ok(list.filter_map(|source| Some(source["source"].as_str()?.to_owned())).collect())
    }

    fn failure(&self, why: &str) -> io::Error {
        let log = self.lapse.agent.log();
        let tail: Vec<&str> = log.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        io::Error::other(format!("{why}\n{}", tail.join("\n")))
    }
}

/// Takes the real program through a scenario.
pub(crate) fn run(scenario: &Scenario, config: &str) -> Result<Outcome, Failure> {
    let mut course = Course::new(scenario, config)?;
    course.before()?;
    let sources = course.sources()?;
    course.live_until(i64::from(scenario.minutes) * MINUTE, None)?;
    if !course.lapse.agent.is_running() {
        return Err(course.failure("the agent ended").into());
    }
    let stopped = course.lapse.has_stopped().then(|| minutes(course.at_ms));
    let status = course.lapse.agent.status()?;
    let because = status["because"].as_str().unwrap_or_default().to_owned();
    Ok(Outcome { stopped, sources, because, moves: course.moves, said: course.said })
}

fn minutes(ms: i64) -> f64 {
    f64::from(i32::try_from(ms).unwrap_or(i32::MAX)) / 60_000.0
}
