//! Reads the sources, in rhythm and on demand, beside the loop: a source that hangs delays nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::action::Key;
use agent_core::stamp::Stamp;
use tokio::sync::mpsc;

use crate::clock;
use crate::shell::Message;
use crate::sources::{Sampler, SourceSettings, Which};
use crate::timer::BootTimer;

/// The shortest pause between two rounds: sources that are due together are read together.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
/// The pause when no source is enabled.
const NOTHING_TO_READ: Duration = Duration::from_secs(10);

/// How the sources are read, by name.
pub type Wanted = BTreeMap<String, SourceSettings>;

/// What the loop asks of the reader.
#[derive(Debug)]
pub enum Ask {
    /// Read every source now and answer this request.
    Reread(Key),
    /// Go on with these settings.
    Configure(Wanted),
}

/// Reads until the loop has ended.
pub async fn run(
    mut sampler: Sampler,
    mut asks: mpsc::Receiver<Ask>,
    to: mpsc::WeakSender<Message>,
    clock: fn() -> Stamp,
) {
    let mut answers = None;
    let mut timer = BootTimer::new();
    loop {
        let which = if answers.is_some() { Which::All } else { Which::Due };
        let mut work = clock::work();
        work.begin().await;
        let observations = sampler.sample(clock(), which).await;
        let Some(to) = to.upgrade() else { return };
        if to.send(Message::Sampled { observations, answers }).await.is_err() {
            return;
        }
        drop(to);
        drop(work);
        let pause = sampler.next_due().map_or(NOTHING_TO_READ, |due| due.since(clock()));
        answers = tokio::select! {
            ask = asks.recv() => match ask {
                Some(Ask::Reread(key)) => Some(key),
                Some(Ask::Configure(wanted)) => {
                    sampler.configure(&wanted);
                    None
                }
                None => return,
            },
            () = timer.sleep(pause.max(LEAST_PAUSE)) => None,
        };
    }
}
