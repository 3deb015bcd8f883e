//! The steps of a scenario: what a rule that looks at the machine can know at a moment.

use crate::scenario::{Event, History, OFF, STEP, Scenario};
use crate::signals::Signals;
use crate::world::World;

/// Sums since the scenario began, in units × seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// What a hypervisor sees of the processors.
    pub busy: f64,
    /// The same with what waited for disks and for the hypervisor.
    pub busy_and_waiting: f64,
    /// Bytes of the network card.
    pub net: f64,
    /// Packets.
    pub pkts: f64,
    /// What the busiest processor did.
    pub busiest_core: f64,
    /// Seconds for which `CloudWatch` has no data.
    pub no_data: f64,
}

/// One step: a moment, what holds for the ten seconds after it, and the sums up to it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Seconds that the machine has run since the scenario began.
    pub t: u32,
    /// What holds from now.
    pub signals: Signals,
    /// Seconds since the last key was read by a program.
    pub input_age: Option<u32>,
    /// The wall clock in seconds, zero at the beginning.
    pub wall: i64,
    /// Load average of one minute.
    pub load1: f64,
    /// Of five minutes.
    pub load5: f64,
    /// Seconds since boot, sleep included.
    pub uptime: u32,
    /// The agent was started anew.
    pub restarted: bool,
    /// The machine was resumed.
    pub resumed: bool,
    /// Sums.
    pub totals: Totals,
}

impl Step {
    /// Seconds since somebody moved the mouse of the remote desktop.
    pub fn desktop_age(&self) -> Option<u32> {
        (self.signals.dcv == crate::signals::Desktop::Active).then_some(self.t % 120)
    }
}

/// Every step of a scenario in a world.
pub fn steps(scenario: &Scenario, world: &World) -> Vec<Step> {
    let mut load = (0.0, 0.0);
    let mut totals = Totals::default();
    let mut wall = match scenario.history {
        History::Used | History::Quiet | History::FreshBoot => 0,
        History::Started | History::Resumed => i64::from(OFF),
    };
    let mut uptime = match scenario.history {
        History::Used | History::Quiet => 36_000,
        History::FreshBoot | History::Started => 0,
        History::Resumed => 36_000 + OFF,
    };
    let mut events = scenario.events.iter().peekable();
    let mut steps = Vec::new();
    for t in (0..scenario.minutes * 60).step_by(STEP as usize) {
        let mut signals = scenario.signals_at(t);
        world.scale(&mut signals, scenario.ncpu);
        let (mut restarted, mut resumed) = (false, t == 0 && scenario.history == History::Resumed);
        while let Some((_, event)) = events.next_if(|(at, _)| *at <= t) {
            match event {
                Event::ClockStep(by) => wall += by,
                Event::Sleep(span) => {
                    wall += i64::from(*span);
                    uptime += span;
                    resumed = true;
                }
                Event::Restart => restarted = true,
                Event::CountersReset | Event::Hold(_) => {}
            }
        }
        let input = scenario.inputs.iter().rev().find(|at| **at <= t);
        let span = f64::from(STEP);
        let runnable = signals.runnable();
        let step = Step {
            t,
            input_age: input.map(|at| t - at),
            wall,
            load1: load.0,
            load5: load.1,
            uptime,
            restarted,
            resumed,
            totals,
            signals,
        };
        load.0 += (runnable - load.0) * (1.0 - (-span / 60.0).exp());
        load.1 += (runnable - load.1) * (1.0 - (-span / 300.0).exp());
        totals.add(&step.signals, span);
        wall += i64::from(STEP);
        uptime += STEP;
        steps.push(step);
    }
    steps
}

impl Totals {
    fn add(&mut self, signals: &Signals, span: f64) {
        self.busy += signals.busy() * span;
        self.busy_and_waiting += (signals.busy() + signals.iowait + signals.steal) * span;
        self.net += signals.net * span;
        self.pkts += signals.pkts * span;
        self.busiest_core += signals.busiest_core() * span;
        self.no_data += if signals.cw_gap { span } else { 0.0 };
    }
}
