//! Reads the sources, and is never kept waiting by one of them.
//!
//! Sources of the fast lane are read one after the other on one thread, those of the slow lane each on its own;
//! a reader lives only while it reads. A source that does not come back within its deadline is blind until it does:
//! its reader is left alone with it, and a new reader goes on with the others. The sources travel with the readers and
//! come back through a channel, so nothing is shared and what a source remembers is kept.

mod lane;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use agent_core::reading::{Observation, Reading, SourceName};
use agent_core::stamp::Stamp;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{ALL, AsyncSource, BusMode, Context, HostRoot, Lane, Opened, Source, SourceSpec};
use lane::{Job, Readers, Word};

/// One call of [`Sampler::sample`] takes no longer than this, whatever hangs.
const LIMIT: Duration = Duration::from_secs(2);

/// While readers are busy, what they have begun with is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How one source is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSettings {
    /// A source that is not enabled is not opened.
    pub enabled: bool,
    /// How often it is read.
    pub interval: Duration,
    /// Its own options.
    pub options: toml::Table,
}

/// Which sources are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose interval has passed.
    Due,
    /// All of them, without anything remembered: the look before an action.
    All,
}

/// The enabled sources of the machine.
#[derive(Debug)]
pub struct Sampler {
    host: HostRoot,
    bus: BusMode,
    slots: Vec<Slot>,
    readers: Readers,
    words: mpsc::UnboundedReceiver<Word>,
}

/// The place of one source.
#[derive(Debug)]
struct Slot {
    spec: &'static SourceSpec,
    settings: Option<SourceSettings>,
    body: Body,
    /// Grows when the source is opened anew, so that an old one that comes back is not taken for it.
    epoch: u64,
    last: Option<Stamp>,
}

/// Where the source is.
enum Body {
    /// Nowhere: it has to be opened.
    Closed,
    /// Here.
    Blocking(Box<dyn Source>),
    /// Here.
    Async(Box<dyn AsyncSource>),
    /// With a reader, since this moment.
    Away(Stamp),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("Closed"),
            Self::Blocking(_) => f.write_str("Blocking"),
            Self::Async(_) => f.write_str("Async"),
            Self::Away(since) => f.debug_tuple("Away").field(since).finish(),
        }
    }
}

impl Sampler {
    /// A sampler of the sources that `settings` enables, by name. Nothing is read yet.
    pub fn new(host: HostRoot, bus: BusMode, settings: &BTreeMap<String, SourceSettings>) -> Self {
        Self::of(ALL, host, bus, settings)
    }

    fn of(
        specs: &'static [SourceSpec],
        host: HostRoot,
        bus: BusMode,
        settings: &BTreeMap<String, SourceSettings>,
    ) -> Self {
        let (sender, words) = mpsc::unbounded_channel();
        let slot = |spec| Slot { spec, settings: None, body: Body::Closed, epoch: 0, last: None };
        let slots = specs.iter().map(slot).collect();
        let mut sampler = Self { host, bus, slots, readers: Readers::new(sender), words };
        sampler.configure(settings);
        sampler
    }

    /// Takes over new settings. Only sources whose options changed are opened anew; a source that `settings` does not
    /// name is not read.
    pub fn configure(&mut self, settings: &BTreeMap<String, SourceSettings>) {
        for slot in &mut self.slots {
            let wanted = settings.get(slot.spec.name).filter(|wanted| wanted.enabled);
            let same = match (wanted, &slot.settings) {
                (Some(new), Some(old)) => new.options == old.options,
                _ => false,
            };
            if !same {
                slot.body = Body::Closed;
                slot.epoch += 1;
                slot.last = None;
            }
            slot.settings = wanted.cloned();
        }
    }

    /// When the next source is due; none if no source is enabled. A moment that has passed means now.
    pub fn next_due(&self) -> Option<Stamp> {
        let due = |slot: &Slot| {
            let interval = slot.settings.as_ref()?.interval;
            Some(slot.last.map_or_else(Stamp::default, |last| last.after(interval)))
        };
        self.slots.iter().filter_map(due).min_by_key(|stamp| stamp.boot_ms)
    }

    /// Reads the sources and returns one observation of each that was to be read, in the order of their list, within
    /// two seconds.
    ///
    /// It may be dropped at any moment; a source that was being read then is blind until it comes back.
    pub async fn sample(&mut self, now: Stamp, which: Which) -> Vec<Observation> {
        while let Ok(word) = self.words.try_recv() {
            self.welcome(word);
        }
        let mut round = Round::new(Instant::now() + LIMIT);
        let mut fast = Vec::new();
        let mut asynchronous = FuturesUnordered::new();
        for index in 0..self.slots.len() {
            match self.take(index, now, which) {
                Taken::Nothing => {}
                Taken::Answered(reading) => round.note(index, reading),
                Taken::Async(source, deadline) => {
                    asynchronous.push(ask(index, source, now, deadline));
                }
                Taken::Job(job, Lane::Slow) => {
                    round.begin(index, Instant::now() + self.deadline(index));
                    self.readers.alone(job);
                }
                Taken::Job(job, _) => {
                    round.waiting.insert(index, None);
                    fast.push(job);
                }
            }
        }
        self.readers.queue(fast);
        let mut answered = Vec::new();
        tokio::join!(self.gather(&mut round, now), async {
            while let Some(answer) = asynchronous.next().await {
                answered.push(answer);
            }
        });
        for (index, source, reading) in answered {
            if let (Some(slot), Some(source)) = (self.slots.get_mut(index), source) {
                slot.body = Body::Async(source);
            }
            round.note(index, reading);
        }
        round.readings.sort_by_key(|(index, _)| *index);
        let observation = |(index, reading): (usize, Reading)| {
            let source = SourceName::new(self.slots.get(index)?.spec.name);
            Some(Observation { source, reading })
        };
        round.readings.into_iter().filter_map(observation).collect()
    }

    /// Takes a source out of its place if it is to be read.
    fn take(&mut self, index: usize, now: Stamp, which: Which) -> Taken {
        let (host, bus) = (&self.host, &self.bus);
        let Some(slot) = self.slots.get_mut(index) else { return Taken::Nothing };
        let Some(settings) = &slot.settings else { return Taken::Nothing };
        if which == Which::Due && !is_due(slot.last, settings.interval, now) {
            return Taken::Nothing;
        }
        slot.last = Some(now);
        if let Body::Away(since) = slot.body {
            return Taken::Answered(hung(slot.spec, now.since(since)));
        }
        if matches!(slot.body, Body::Closed) {
            let options = settings.options.clone();
            let context = Context { host: host.clone(), options, bus: bus.clone() };
            slot.body = match (slot.spec.open)(&context) {
                Opened::Blocking(source) => Body::Blocking(source),
                Opened::Async(source) => Body::Async(source),
            };
        }
        match std::mem::replace(&mut slot.body, Body::Closed) {
            Body::Blocking(mut source) => {
                if which == Which::Due
                    && let Some(reading) = source.standing(now)
                {
                    slot.body = Body::Blocking(source);
                    return Taken::Answered(reading);
                }
                slot.body = Body::Away(now);
                let refresh = which == Which::All;
                let epoch = slot.epoch;
                Taken::Job(Job { index, epoch, source, now, refresh }, slot.spec.lane)
            }
            Body::Async(mut source) => {
                if which == Which::All {
                    source.refresh();
                }
                Taken::Async(source, slot.spec.deadline)
            }
            Body::Closed | Body::Away(_) => Taken::Nothing,
        }
    }

    /// Waits for the readers until everything has been read or given up.
    async fn gather(&mut self, round: &mut Round, now: Stamp) {
        let bell = self.readers.bell();
        loop {
            while let Ok(word) = self.words.try_recv() {
                self.hear(word, round);
            }
            if round.waiting.is_empty() {
                return;
            }
            // What a reader has begun with is heard of now and then, so that its deadline is known.
            let look = Instant::now() + LOOK_EVERY;
            tokio::select! {
                biased;
                () = bell.notified() => {}
                () = tokio::time::sleep_until(round.next_deadline().min(look)) => {
                    if Instant::now() >= round.next_deadline() {
                        self.give_up(round, now);
                    }
                }
            }
        }
    }

    fn hear(&mut self, word: Word, round: &mut Round) {
        match word {
            Word::Started { index, epoch, at } => {
                let current = self.slots.get(index).is_some_and(|slot| slot.epoch == epoch);
                if current && round.waiting.contains_key(&index) {
                    round.begin(index, at + self.deadline(index));
                }
            }
            Word::Done { .. } => {
                let Some((index, reading)) = self.welcome(word) else { return };
                if round.waiting.remove(&index).is_some() {
                    round.note(index, reading);
                }
            }
        }
    }

    /// Puts a source that came back into its place. Nothing, if that belongs to another one by now.
    fn welcome(&mut self, word: Word) -> Option<(usize, Reading)> {
        let Word::Done { index, epoch, source, reading } = word else { return None };
        let slot = self.slots.get_mut(index)?;
        if slot.epoch != epoch {
            return None;
        }
        slot.body = source.map_or(Body::Closed, Body::Blocking);
        Some((index, reading))
    }

    /// Declares what is past its deadline hung, and lets another reader go on with the rest of the fast lane.
    fn give_up(&mut self, round: &mut Round, now: Stamp) {
        let moment = Instant::now();
        let over = moment >= round.end;
        let late = |deadline: &Option<Instant>| deadline.is_some_and(|deadline| moment >= deadline);
        let expired: Vec<usize> = round
            .waiting
            .iter()
            .filter(|(_, deadline)| late(deadline) || (over && deadline.is_some()))
            .map(|(index, _)| *index)
            .collect();
        let mut stuck = false;
        for index in expired {
            round.waiting.remove(&index);
            if let Some(slot) = self.slots.get(index) {
                stuck |= slot.spec.lane == Lane::Fast;
                round.note(index, hung(slot.spec, slot.spec.deadline));
            }
        }
        if over {
            self.abandon(round, now);
        } else if stuck {
            self.readers.relieve();
        }
    }

    /// Takes back what no reader has begun with.
    fn abandon(&mut self, round: &mut Round, now: Stamp) {
        for job in self.readers.withdraw() {
            if let Some(slot) = self.slots.get_mut(job.index).filter(|slot| slot.epoch == job.epoch)
            {
                slot.body = Body::Blocking(job.source);
            }
        }
        for (index, _) in std::mem::take(&mut round.waiting) {
            let why = "not read: other sources took all the time there is";
            round.note(index, Reading::blind(why));
            if let Some(slot) = self.slots.get_mut(index)
                && let Body::Away(since) = &mut slot.body
            {
                *since = now;
            }
        }
    }

    fn deadline(&self, index: usize) -> Duration {
        self.slots.get(index).map_or(Duration::ZERO, |slot| slot.spec.deadline)
    }
}

/// What [`Sampler::take`] gave.
enum Taken {
    Nothing,
    /// Without a look: hung, or an answer that still stands.
    Answered(Reading),
    Async(Box<dyn AsyncSource>, Duration),
    Job(Job, Lane),
}

/// One call of [`Sampler::sample`].
struct Round {
    end: Instant,
    /// The sources with readers, with their deadlines once they are being read.
    waiting: HashMap<usize, Option<Instant>>,
    readings: Vec<(usize, Reading)>,
}

impl Round {
    fn new(end: Instant) -> Self {
        Self { end, waiting: HashMap::new(), readings: Vec::new() }
    }

    fn begin(&mut self, index: usize, deadline: Instant) {
        self.waiting.insert(index, Some(deadline));
    }

    fn note(&mut self, index: usize, reading: Reading) {
        self.readings.push((index, reading));
    }

    fn next_deadline(&self) -> Instant {
        self.waiting.values().flatten().min().copied().unwrap_or(self.end).min(self.end)
    }
}

/// A source is read a little early rather than a whole tick late.
fn is_due(last: Option<Stamp>, interval: Duration, now: Stamp) -> bool {
    last.is_none_or(|last| now.since(last) >= interval.mul_f64(0.9))
}

fn hung(spec: &SourceSpec, span: Duration) -> Reading {
    let seconds = span.as_secs_f64();
    Reading::blind(format!("hung since {seconds:.1}s: reading '{}' does not return", spec.name))
}

async fn ask(
    index: usize,
    mut source: Box<dyn AsyncSource>,
    now: Stamp,
    deadline: Duration,
) -> (usize, Option<Box<dyn AsyncSource>>, Reading) {
    let read = AssertUnwindSafe(source.read(now)).catch_unwind();
    match tokio::time::timeout(deadline, read).await {
        Ok(Ok(reading)) => (index, Some(source), reading),
        Ok(Err(_)) => (index, None, Reading::blind(lane::PANICKED)),
        Err(_) => {
            let why = format!("hung since {:.1}s: no answer", deadline.as_secs_f64());
            (index, Some(source), Reading::blind(why))
        }
    }
}

#[cfg(test)]
mod tests;
