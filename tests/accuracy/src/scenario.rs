//! A scenario: what happens on a machine, minute by minute, and what a right agent does with it.
//!
//! It is a base of noise, segments that override some of its signals, key presses, events, and a label. From it come
//! steps of ten seconds, the same for every rule.

use std::sync::Arc;

use crate::second::State;
use crate::signals::Signals;

/// The length of a step in seconds.
pub const STEP: u32 = 10;

/// What differs in a segment.
#[derive(Clone, Debug)]
pub enum Patch {
    /// Code that changes signals: the first corpus.
    Code(fn(&mut Signals)),
    /// Words that were read from a file: the second corpus.
    Words(Arc<State>),
}

impl Patch {
    /// Changes the signals.
    pub fn apply(&self, signals: &mut Signals) {
        match self {
            Self::Code(change) => change(signals),
            Self::Words(state) => state.apply(signals),
        }
    }
}

/// A part of every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The period, seconds.
    pub period: u32,
    /// The part of it, seconds.
    pub on: u32,
    /// The part begins so many seconds after the beginning of the period.
    pub offset: u32,
}

/// A stretch of time in which some signals differ from the base, in seconds.
#[derive(Clone, Debug)]
pub struct Segment {
    /// From.
    pub from: u32,
    /// To, not included.
    pub to: u32,
    /// Only in a part of every period, counted from the start.
    pub cycle: Option<Cycle>,
    /// What differs.
    pub patch: Patch,
}

impl Cycle {
    /// Whether it holds so many seconds after the start.
    fn holds(self, since: u32) -> bool {
        since.checked_sub(self.offset).is_some_and(|since| since % self.period < self.on)
    }
}

impl Segment {
    /// Whether it holds at `t` seconds.
    pub fn holds(&self, t: u32) -> bool {
        let inside = (self.from..self.to).contains(&t);
        inside && self.cycle.is_none_or(|cycle| cycle.holds(t - self.from))
    }
}

/// Whose work a stretch of time holds; it says how a label protects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person; ten more minutes are protected.
    Human,
    /// A program that somebody waits for.
    Job,
    /// The machine was started or resumed, so somebody is about to come.
    Arrival,
    /// An update, a hold or an inhibitor.
    Hold,
}

/// A stretch of work, in minutes.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// From.
    pub from: f64,
    /// To.
    pub to: f64,
    /// Whose.
    pub kind: Kind,
}

/// What the machine did before the scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It ran and was used up to the first second.
    Used,
    /// It ran, and nobody used it in the ten minutes before the first second.
    Quiet,
    /// It has just been made and boots for the first time.
    FreshBoot,
    /// It was stopped for fourteen hours and boots.
    Started,
    /// It was hibernated for fourteen hours and is resumed.
    Resumed,
}

/// For how long a machine was off before it was started or resumed, in seconds.
pub const OFF: u32 = 14 * 3600;

/// The profile that the machine's owner chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The default.
    Research,
    /// A server, which must stay up.
    Service,
    /// A remote desktop.
    Desktop,
}

/// Something that happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The wall clock is set by so many seconds.
    ClockStep(i64),
    /// The machine sleeps for so many seconds.
    Sleep(u32),
    /// The agent is killed and started again.
    Restart,
    /// Every counter of the kernel begins at zero again.
    CountersReset,
    /// Somebody asks the agent to stay up for so many seconds.
    Hold(u32),
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A letter for the group and a number.
    pub id: &'static str,
    /// What happens.
    pub title: &'static str,
    /// How long it is followed, in minutes.
    pub minutes: u32,
    /// The machine's processors.
    pub ncpu: u32,
    /// What its owner chose.
    pub profile: Profile,
    /// What differs from the base, later ones last.
    pub segments: Vec<Segment>,
    /// When keys are pressed, seconds, ascending.
    pub inputs: Vec<u32>,
    /// What happens once, by second.
    pub events: Vec<(u32, Event)>,
    /// What came before.
    pub history: History,
    /// The label: what is protected.
    pub work: Vec<Work>,
    /// The label: the machine must be stopped in the end.
    pub stop: bool,
    /// Careful people disagree about the label: it is counted apart.
    pub choice: bool,
}

/// Begins a scenario of so many minutes.
pub fn scene(id: &'static str, title: &'static str, minutes: u32) -> Scenario {
    Scenario {
        id,
        title,
        minutes,
        ncpu: 8,
        profile: Profile::Research,
        segments: Vec::new(),
        inputs: Vec::new(),
        events: Vec::new(),
        history: History::Used,
        work: Vec::new(),
        stop: true,
        choice: false,
    }
}

/// Whole seconds of so many minutes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scenarios last hours, and no minute is negative"
)]
pub fn seconds(minutes: f64) -> u32 {
    (minutes * 60.0).round() as u32
}

impl Scenario {
    /// The machine has so many processors.
    #[must_use]
    pub fn cpus(mut self, ncpu: u32) -> Self {
        self.ncpu = ncpu;
        self
    }

    /// From one minute to another some signals differ.
    #[must_use]
    pub fn during(mut self, from: f64, to: f64, patch: fn(&mut Signals)) -> Self {
        let (from, to) = (seconds(from), seconds(to));
        self.segments.push(Segment { from, to, cycle: None, patch: Patch::Code(patch) });
        self
    }

    /// All the time some signals differ.
    #[must_use]
    pub fn always(self, patch: fn(&mut Signals)) -> Self {
        let end = f64::from(self.minutes);
        self.during(0.0, end, patch)
    }

    /// Between two minutes some signals differ in the first `on` seconds of every `period` seconds.
    #[must_use]
    pub fn bursts(
        mut self,
        from: f64,
        to: f64,
        period: u32,
        on: u32,
        patch: fn(&mut Signals),
    ) -> Self {
        let (from, to) = (seconds(from), seconds(to));
        let cycle = Some(Cycle { period, on, offset: 0 });
        self.segments.push(Segment { from, to, cycle, patch: Patch::Code(patch) });
        self
    }

    /// Keys are pressed from one minute to another, one every so many minutes.
    #[must_use]
    pub fn typing(mut self, from: f64, to: f64, every: f64) -> Self {
        let (from, to, every) = (seconds(from), seconds(to), seconds(every).max(1));
        self.inputs.extend((from..=to).step_by(every as usize));
        self.inputs.sort_unstable();
        self
    }

    /// Something happens at a minute.
    #[must_use]
    pub fn event(mut self, at: f64, event: Event) -> Self {
        self.events.push((seconds(at), event));
        self.events.sort_by_key(|(at, _)| *at);
        self
    }

    /// Something happens every so many minutes.
    #[must_use]
    pub fn events_every(mut self, minutes: f64, event: Event) -> Self {
        let period = seconds(minutes).max(1);
        let times = (period..self.minutes * 60).step_by(period as usize);
        self.events.extend(times.map(|at| (at, event)));
        self
    }

    /// What came before.
    #[must_use]
    pub fn after(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// The owner chose this profile.
    #[must_use]
    pub fn under(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The label: a person works, from minute to minute.
    #[must_use]
    pub fn human(self, from: f64, to: f64) -> Self {
        self.work(from, to, Kind::Human)
    }

    /// The label: a program works, from minute to minute.
    #[must_use]
    pub fn job(self, from: f64, to: f64) -> Self {
        self.work(from, to, Kind::Job)
    }

    /// The label: work of a kind.
    #[must_use]
    pub fn work(mut self, from: f64, to: f64, kind: Kind) -> Self {
        self.work.push(Work { from, to, kind });
        self
    }

    /// The label: it must never be stopped.
    #[must_use]
    pub fn keep(mut self) -> Self {
        let to = f64::from(self.minutes);
        self.stop = false;
        self.work(0.0, to, Kind::Job)
    }

    /// The right verdict in words.
    pub fn right(&self) -> String {
        if !self.stop {
            return "KEEP".to_owned();
        }
        let spans: Vec<String> = self.work.iter().map(|w| format!("{}-{}", w.from, w.to)).collect();
        if spans.is_empty() {
            "STOP".to_owned()
        } else {
            format!("keep {}, then STOP", spans.join(", "))
        }
    }

    /// The signals of the base with the segments that hold at `t`.
    pub fn signals_at(&self, t: u32) -> Signals {
        let mut signals = Signals::base();
        for segment in self.segments.iter().filter(|segment| segment.holds(t)) {
            segment.patch.apply(&mut signals);
        }
        signals
    }

    /// The last minute at which anything changes by itself: an edge of a segment, a key, an event.
    pub fn last_change(&self, before: u32) -> u32 {
        let edges = self.segments.iter().flat_map(|s| [s.from, s.to]);
        let events = self.events.iter().map(|(at, _)| *at);
        let all = edges.chain(self.inputs.iter().copied()).chain(events);
        all.filter(|at| *at <= before).max().unwrap_or(0)
    }
}
