//! The reader threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::reading::Reading;
use agent_core::stamp::Stamp;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::sources::Source;

/// What a source that panicked gives.
pub(super) const PANICKED: &str = "a bug: reading it panicked; it is opened anew";

/// A source on its way to a reader.
pub(super) struct Job {
    /// The place it belongs to.
    pub(super) index: usize,
    /// The place's epoch.
    pub(super) epoch: u64,
    /// The source.
    pub(super) source: Box<dyn Source>,
    /// The moment of the reading.
    pub(super) now: Stamp,
    /// Whether what it remembers is to be dropped first.
    pub(super) refresh: bool,
}

/// What a reader says.
pub(super) enum Word {
    /// A source is being read.
    Started {
        /// Its place.
        index: usize,
        /// The place's epoch.
        epoch: u64,
        /// Since when. It may be heard of later.
        at: Instant,
    },
    /// It was read.
    Done {
        /// Its place.
        index: usize,
        /// The place's epoch.
        epoch: u64,
        /// The source, unless it panicked.
        source: Option<Box<dyn Source>>,
        /// What it gave.
        reading: Reading,
    },
}

/// What is left to read in the fast lane, and which reader may take it.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// The number of the reader whose lane it is. Any other that comes back from a source leaves.
    reader: u64,
}

/// Starts readers.
#[derive(Clone)]
pub(super) struct Readers {
    queue: Arc<Mutex<Queue>>,
    sender: UnboundedSender<Word>,
    /// Rung when a reader has nothing left to read. Words alone wake nobody: a round of readings is one wake-up of the
    /// loop, not one for each source.
    bell: Arc<Notify>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Readers {
    /// Readers that speak through `sender`.
    pub(super) fn new(sender: UnboundedSender<Word>) -> Self {
        Self { queue: Arc::default(), sender, bell: Arc::default() }
    }

    /// The bell of the readers.
    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Gives one job a reader of its own.
    pub(super) fn alone(&self, job: Job) {
        let (sender, bell) = (self.sender.clone(), self.bell());
        tokio::task::spawn_blocking(move || {
            // A sampler that is gone needs no word.
            let _ = sender.send(read(job));
            bell.notify_one();
        });
    }

    /// Gives the jobs to the fast lane and starts a reader for it.
    pub(super) fn queue(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        lock(&self.queue).jobs.extend(jobs);
        self.relieve();
    }

    /// Starts a reader that takes over the fast lane from the one that is stuck, if anything is left to do.
    pub(super) fn relieve(&self) {
        let reader = {
            let mut queue = lock(&self.queue);
            queue.reader += 1;
            if queue.jobs.is_empty() {
                return;
            }
            queue.reader
        };
        let (queue, sender) = (Arc::clone(&self.queue), self.sender.clone());
        let bell = self.bell();
        tokio::task::spawn_blocking(move || {
            while let Some(job) = next(&queue, reader) {
                let at = Instant::now();
                let started = Word::Started { index: job.index, epoch: job.epoch, at };
                if sender.send(started).and_then(|()| sender.send(read(job))).is_err() {
                    return;
                }
            }
            bell.notify_one();
        });
    }

    /// Takes back what nobody has begun with.
    pub(super) fn withdraw(&self) -> Vec<Job> {
        let mut queue = lock(&self.queue);
        queue.reader += 1;
        queue.jobs.drain(..).collect()
    }
}

fn next(queue: &Mutex<Queue>, reader: u64) -> Option<Job> {
    let mut queue = lock(queue);
    if queue.reader == reader { queue.jobs.pop_front() } else { None }
}

/// Nothing is left half done under the lock, so a poisoned one is as good as any.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(job: Job) -> Word {
    let Job { index, epoch, mut source, now, refresh } = job;
    let result = catch_unwind(AssertUnwindSafe(move || {
        if refresh {
            source.refresh();
        }
        let reading = source.read(now);
        (source, reading)
    }));
    let (source, reading) = result.map_or_else(
        |_| (None, Reading::blind(PANICKED)),
        |(source, reading)| (Some(source), reading),
    );
    Word::Done { index, epoch, source, reading }
}
