//! Records told by what changed: a machine that nobody uses reads much the same every time.
//!
//! A source's reading is compared with the one before. Signals are then named by their place in the reading; counters
//! are told by their growth, and what is as it was is not told at all. A record with its own time (`at`) begins anew:
//! nothing before it is needed to understand what follows.

use core::mem::discriminant;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Content, Line, Record};
use crate::input::Input;
use crate::reading::{Observation, Reading, Signal, SourceName, Value};
use crate::stamp::Stamp;

/// A record told by what changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub(super) after: Step,
    pub(super) seen: Vec<Seen>,
}

/// How far the clocks moved since the record before, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// The boot clock and the wall clock alike, and the machine did not sleep.
    Even(u64),
    /// Each of its own: boot, asleep, wall.
    Each(i64, i64, i64),
}

/// One input of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Seen {
    /// This source reads as before; only ages grew with the time.
    Same(SourceName),
    /// This source reads as before but for this.
    Changed(Changed),
    /// Anything else, as it is.
    Whole {
        /// The input.
        input: Input,
    },
}

/// What changed in a source's reading. `gone` is applied first, then `new`, then the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    source: SourceName,
    /// Places of signals in the reading before that are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<usize>,
    /// Signals that are new, each with its place now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    new: Vec<(usize, Signal)>,
    /// By how much counters grew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grown: Vec<(usize, u64)>,
    /// By how many milliseconds the age of a mark differs from what the passing of time makes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aged: Vec<(usize, i64)>,
    /// Other values that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<(usize, Value)>,
}

/// What both sides remember: the time of the last record and every source's last reading.
#[derive(Clone, Debug, Default)]
struct Known {
    at: Option<Stamp>,
    readings: BTreeMap<SourceName, (Stamp, Reading)>,
}

impl Known {
    fn forget(&mut self) {
        self.at = None;
        self.readings.clear();
    }

    /// Takes over what an input that is told whole says.
    fn learn(&mut self, at: Stamp, input: &Input) {
        if let Input::Observed(Observation { source, reading }) = input {
            self.readings.insert(source.clone(), (at, reading.clone()));
        }
    }
}

/// Tells inputs by what changed.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    known: Known,
    /// The line that is being made: its time, how it is told, and the inputs.
    open: Option<(Stamp, Open)>,
}

#[derive(Clone, Debug)]
enum Open {
    Whole(Vec<Input>),
    Delta(Step, Vec<Seen>),
}

impl Encoder {
    /// The next line needs nothing that was written before.
    pub fn begin_anew(&mut self) -> Option<Line> {
        let line = self.end();
        self.known.forget();
        line
    }

    /// Adds an input. The line before it comes back when this one begins another, for inputs of one moment stand in
    /// one line.
    pub fn add(&mut self, at: Stamp, input: &Input) -> Option<Line> {
        let ended =
            if self.open.as_ref().is_some_and(|(then, _)| *then != at) { self.end() } else { None };
        let (_, open) = self.open.get_or_insert_with(|| {
            let open = match self.known.at {
                Some(before) => Open::Delta(Step::between(before, at), Vec::new()),
                None => Open::Whole(Vec::new()),
            };
            self.known.at = Some(at);
            (at, open)
        });
        match open {
            Open::Whole(inputs) => {
                let input = writable(input);
                self.known.learn(at, &input);
                inputs.push(input);
            }
            Open::Delta(_, seen) => seen.push(tell(&mut self.known, at, input)),
        }
        ended
    }

    /// Ends the line that is being made.
    pub fn end(&mut self) -> Option<Line> {
        let (at, open) = self.open.take()?;
        Some(match open {
            Open::Whole(inputs) => Line::Record(Record::inputs(at, inputs)),
            Open::Delta(after, seen) => Line::Delta(Delta { after, seen }),
        })
    }
}

/// Makes records of lines again.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    known: Known,
}

impl Decoder {
    /// Forgets what came before, because a line was lost. What follows cannot be understood until a line that begins
    /// anew.
    pub fn lost(&mut self) {
        self.known.forget();
    }

    /// The record of a line; a header is none. An error says what the line refers to that is not known.
    pub fn record(&mut self, line: Line) -> Result<Option<Record>, String> {
        match line {
            Line::Header(_) => {
                self.known.forget();
                Ok(None)
            }
            Line::Record(record) => {
                self.known.forget();
                self.known.at = Some(record.at);
                if let Content::Inputs(inputs) = &record.content {
                    for input in inputs {
                        self.known.learn(record.at, input);
                    }
                }
                Ok(Some(record))
            }
            Line::Delta(Delta { after, seen }) => {
                let before = self.known.at.ok_or("`after`: there is no record before it")?;
                let at = after.from(before);
                self.known.at = Some(at);
                let inputs = seen.into_iter().map(|seen| self.input(at, seen));
                Ok(Some(Record::inputs(at, inputs.collect::<Result<_, _>>()?)))
            }
        }
    }

    fn input(&mut self, at: Stamp, seen: Seen) -> Result<Input, String> {
        let (source, changed) = match seen {
            Seen::Whole { input } => {
                self.known.learn(at, &input);
                return Ok(input);
            }
            Seen::Same(source) => (source, None),
            Seen::Changed(changed) => (changed.source.clone(), Some(changed)),
        };
        let Some((then, reading)) = self.known.readings.get_mut(&source) else {
            return Err(format!("`seen`: source '{source}' has no reading before"));
        };
        let passed_ms = at.boot_ms.wrapping_sub(then.boot_ms);
        *then = at;
        match (&mut *reading, changed) {
            (Reading::Signals(signals), changed) => {
                let changed = changed.unwrap_or_else(|| Changed::nothing(source.clone()));
                changed.apply(signals, passed_ms)?;
            }
            (_, None) => {}
            (_, Some(_)) => return Err(format!("`seen`: source '{source}' has no signals")),
        }
        let reading = reading.clone();
        Ok(Input::Observed(Observation { source, reading }))
    }
}

impl Step {
    fn between(before: Stamp, at: Stamp) -> Self {
        let boot = at.boot_ms.wrapping_sub(before.boot_ms).cast_signed();
        let asleep = at.asleep_ms.wrapping_sub(before.asleep_ms).cast_signed();
        let wall = at.wall_ms.wrapping_sub(before.wall_ms);
        match u64::try_from(boot) {
            Ok(even) if asleep == 0 && wall == boot => Self::Even(even),
            _ => Self::Each(boot, asleep, wall),
        }
    }

    fn from(self, before: Stamp) -> Stamp {
        let (boot, asleep, wall) = match self {
            Self::Even(ms) => (ms.cast_signed(), 0, ms.cast_signed()),
            Self::Each(boot, asleep, wall) => (boot, asleep, wall),
        };
        Stamp::new(
            before.boot_ms.wrapping_add(boot.cast_unsigned()),
            before.asleep_ms.wrapping_add(asleep.cast_unsigned()),
            before.wall_ms.wrapping_add(wall),
        )
    }
}

/// Tells an input by what changed since the source was read before, and remembers it.
fn tell(known: &mut Known, at: Stamp, input: &Input) -> Seen {
    if let Input::Observed(Observation { source, reading }) = input
        && let Some((then, before)) = known.readings.get_mut(source)
    {
        let passed_ms = at.boot_ms.wrapping_sub(then.boot_ms);
        let changed = match (&mut *before, reading) {
            (Reading::Signals(before), Reading::Signals(now)) => {
                Changed::between(source, before, now, passed_ms)
            }
            (before, now) => (before == now).then(|| Changed::nothing(source.clone())),
        };
        if let Some(changed) = changed {
            *then = at;
            return if changed == Changed::nothing(source.clone()) {
                Seen::Same(changed.source)
            } else {
                Seen::Changed(changed)
            };
        }
    }
    let input = writable(input);
    known.learn(at, &input);
    Seen::Whole { input }
}

impl Changed {
    fn nothing(source: SourceName) -> Self {
        Self {
            source,
            gone: Vec::new(),
            new: Vec::new(),
            grown: Vec::new(),
            aged: Vec::new(),
            values: Vec::new(),
        }
    }

    /// What makes `now` of `before`, which becomes `now`. None: so much that the whole is shorter; then `before` is
    /// left as it is.
    fn between(
        source: &SourceName,
        before: &mut Vec<Signal>,
        now: &[Signal],
        passed_ms: u64,
    ) -> Option<Self> {
        let mut changed = Self::nothing(source.clone());
        let same = before.len() == now.len() && before.iter().zip(now).all(|(a, b)| alike(a, b));
        if !same {
            changed.rearrange(before, now)?;
            arrange(before, &changed.gone, &changed.new).ok()?;
        }
        for (place, (old, new)) in before.iter_mut().zip(now).enumerate() {
            // What was put in just now is told whole.
            let fresh = changed.new.binary_search_by_key(&place, |(at, _)| *at).is_ok();
            if !fresh {
                changed.compare(place, &mut old.value, &new.value, passed_ms);
            }
        }
        Some(changed)
    }

    /// Finds out which signals are gone and which are new.
    fn rearrange(&mut self, before: &[Signal], now: &[Signal]) -> Option<()> {
        let mut next = 0;
        for (place, signal) in now.iter().enumerate() {
            let rest = before.get(next..).unwrap_or_default();
            match rest.iter().position(|old| alike(old, signal)) {
                Some(skipped) => {
                    self.gone.extend(next..next + skipped);
                    next += skipped + 1;
                }
                None => self.new.push((place, writable_signal(signal))),
            }
        }
        self.gone.extend(next..before.len());
        (self.gone.len() + self.new.len() <= 4 + now.len() / 2).then_some(())
    }

    fn compare(&mut self, place: usize, old: &mut Value, new: &Value, passed_ms: u64) {
        match (&*old, new) {
            (Value::Counter { total: a }, Value::Counter { total: b }) if b >= a => {
                if b > a {
                    self.grown.push((place, b - a));
                }
            }
            (
                Value::Mark { mark: a, age_ms: Some(was) },
                Value::Mark { mark: b, age_ms: Some(is) },
            ) if a == b => {
                let off = is.wrapping_sub(was.wrapping_add(passed_ms)).cast_signed();
                if off != 0 {
                    self.aged.push((place, off));
                }
            }
            (a, b) if a == b => {}
            _ => self.values.push((place, writable_value(new))),
        }
        *old = writable_value(new);
    }

    /// Makes the reading of the one before.
    fn apply(self, signals: &mut Vec<Signal>, passed_ms: u64) -> Result<(), String> {
        let Self { source, gone, new, grown, aged, values } = self;
        let fault = |key: &str, place: usize| format!("`{key}`: source '{source}' has no {place}");
        arrange(signals, &gone, &new).map_err(|(key, place)| fault(key, place))?;
        for (place, signal) in signals.iter_mut().enumerate() {
            let fresh = new.binary_search_by_key(&place, |(at, _)| *at).is_ok();
            if let Value::Mark { age_ms: Some(age_ms), .. } = &mut signal.value
                && !fresh
            {
                *age_ms = age_ms.wrapping_add(passed_ms);
            }
        }
        for (place, growth) in grown {
            match signals.get_mut(place).map(|signal| &mut signal.value) {
                Some(Value::Counter { total }) => *total = total.wrapping_add(growth),
                _ => return Err(fault("grown", place)),
            }
        }
        for (place, off) in aged {
            match signals.get_mut(place).map(|signal| &mut signal.value) {
                Some(Value::Mark { age_ms: Some(age_ms), .. }) => {
                    *age_ms = age_ms.wrapping_add(off.cast_unsigned());
                }
                _ => return Err(fault("aged", place)),
            }
        }
        for (place, value) in values {
            let signal = signals.get_mut(place).ok_or_else(|| fault("values", place))?;
            signal.value = value;
        }
        Ok(())
    }
}

/// Takes signals out and puts others in.
fn arrange(
    signals: &mut Vec<Signal>,
    gone: &[usize],
    new: &[(usize, Signal)],
) -> Result<(), (&'static str, usize)> {
    for place in gone.iter().rev() {
        if *place >= signals.len() {
            return Err(("gone", *place));
        }
        signals.remove(*place);
    }
    for (place, signal) in new {
        if *place > signals.len() {
            return Err(("new", *place));
        }
        signals.insert(*place, signal.clone());
    }
    Ok(())
}

/// Whether two signals differ in their value alone, and that is of the same kind.
fn alike(a: &Signal, b: &Signal) -> bool {
    a.subject == b.subject
        && a.owner == b.owner
        && a.role == b.role
        && discriminant(&a.value) == discriminant(&b.value)
}

/// The input with numbers that JSON has.
fn writable(input: &Input) -> Input {
    let mut input = input.clone();
    if let Input::Observed(Observation { reading: Reading::Signals(signals), .. }) = &mut input {
        for signal in signals {
            signal.value = writable_value(&signal.value);
        }
    }
    input
}

fn writable_signal(signal: &Signal) -> Signal {
    Signal { value: writable_value(&signal.value), ..signal.clone() }
}

/// JSON has no infinities and no `NaN`. The engine refuses them as it refuses a level below zero, so that takes their
/// place.
fn writable_value(value: &Value) -> Value {
    match value {
        Value::Level { value } if !value.is_finite() => Value::Level { value: -1.0 },
        Value::Shown { value } if !value.is_finite() => Value::Shown { value: -1.0 },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
