//! What of cron and at is closed to the agent, as a reader told it.
//!
//! Names and times of change of the closed tables and folders are open, so a reader is started only when one of them has
//! changed, once an hour otherwise, and before an action. What it told stands meanwhile: these are rules, not moments.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use agent_core::stamp::Stamp;
use tokio::runtime::Handle;

use super::search::Found;
use crate::host::{HostError, HostRoot};
use crate::sources::BusMode;
use crate::sources::reader::Reader;

/// What the names of the reader's units begin with.
const UNIT: &str = "agentd-schedules";
/// The verb of the program that [`super::print_schedules`] is.
const VERB: &str = "read-schedules";
/// What the unit may beside the sandbox of every reader: read and search everywhere, where "everywhere" has neither homes nor
/// passwords nor state in it.
const PROPERTIES: [&str; 5] = [
    "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
    "ProtectHome=yes",
    "TemporaryFileSystem=/etc:ro",
    "TemporaryFileSystem=/var:ro",
    "BindReadOnlyPaths=-/var/spool/cron -/var/spool/at",
];
/// A change is asked for no more often than this, except before an action…
const CHANGED: Duration = Duration::from_mins(2);
/// …what has not changed no more often than this…
const UNCHANGED: Duration = Duration::from_hours(1);
/// …what could not be told no more often than this…
const FAILED: Duration = Duration::from_mins(5);
/// …and before an action unless it was told within this.
const FRESH: Duration = Duration::from_secs(10);
/// What was told is believed for so long when nobody tells it anew.
const STANDS: Duration = Duration::from_mins(75);
/// So long one look waits for a reader.
const PATIENCE: Duration = Duration::from_millis(700);

/// What tells that a file or folder has changed. Nobody but the kernel sets the time of the change of its metadata.
type Mark = (u64, i64, i64, u64);
/// The closed files and folders with their marks.
pub(super) type Marks = BTreeMap<String, Mark>;

/// The mark of a closed file or folder.
pub(super) fn mark(root: &HostRoot, path: &str) -> Result<Option<Mark>, HostError> {
    let metadata = root.inspect(path)?;
    Ok(metadata.map(|it| (it.ino(), it.ctime(), it.ctime_nsec(), it.len())))
}

type Answer = Result<Vec<u8>, String>;

/// Asks for what is closed.
#[derive(Debug)]
pub(super) struct Closed {
    /// None: there is nobody to ask.
    reader: Option<Reader>,
    running: Option<Receiver<Answer>>,
    /// When a reader was started last, and the marks of what it reads.
    asked: Option<(Stamp, Marks)>,
    found: Option<(Stamp, Found)>,
    /// Why the last reader told nothing.
    fault: Option<String>,
    anew: bool,
}

impl Closed {
    /// Asks through systemd, where it is there.
    pub(super) fn new(bus: &BusMode) -> Self {
        let properties = PROPERTIES.map(str::to_owned);
        Self::by(Reader::of(bus, UNIT, &properties, &[VERB]))
    }

    /// Asks this reader.
    pub(super) fn by(reader: Option<Reader>) -> Self {
        Self { reader, running: None, asked: None, found: None, fault: None, anew: false }
    }

    /// Whether a reader is under way.
    pub(super) fn is_asking(&self) -> bool {
        self.running.is_some()
    }

    /// The look before an action comes next.
    pub(super) fn refresh(&mut self) {
        self.anew = true;
    }

    /// Takes in what a reader told, and starts one if these marks ask for it.
    pub(super) fn follow(&mut self, marks: Marks, now: Stamp) {
        self.hear(Duration::ZERO);
        if self.running.is_none() && !marks.is_empty() && self.is_due(&marks, now) {
            self.start(marks, now);
        }
        self.anew = false;
        self.hear(PATIENCE);
    }

    fn is_due(&self, marks: &Marks, now: Stamp) -> bool {
        let Some((at, before)) = &self.asked else { return true };
        let pause = if before != marks {
            CHANGED
        } else if self.fault.is_some() {
            FAILED
        } else {
            UNCHANGED
        };
        let pause = match self.anew {
            true if before != marks => Duration::ZERO,
            true => FRESH,
            false => pause,
        };
        now.since(*at) >= pause
    }

    fn start(&mut self, marks: Marks, now: Stamp) {
        let (Some(reader), Ok(runtime)) = (&self.reader, Handle::try_current()) else { return };
        let (sender, receiver) = sync_channel(1);
        let asking = reader.ask();
        runtime.spawn(async move {
            // Who no longer listens needs no answer.
            let _ = sender.send(asking.await);
        });
        self.running = Some(receiver);
        self.asked = Some((now, marks));
    }

    fn hear(&mut self, patience: Duration) {
        let Some(running) = &self.running else { return };
        let answer = match running.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                Err("hear a reader: it was given up".to_owned())
            }
        };
        self.running = None;
        let understood = answer.and_then(|text| {
            serde_json::from_slice(&text).map_err(|error| format!("understand a reader: {error}"))
        });
        match understood {
            Ok(found) => {
                let began = self.asked.as_ref().map(|(at, _)| *at).unwrap_or_default();
                (self.found, self.fault) = (Some((began, found)), None);
            }
            Err(why) => self.fault = Some(why),
        }
    }

    /// What was told; or why it is not known, to be said after "closed to the agent".
    pub(super) fn found(&self, now: Stamp) -> Result<&Found, String> {
        if let Some((_, found)) = self.found.as_ref().filter(|(at, _)| now.since(*at) <= STANDS) {
            return Ok(found);
        }
        Err(match (&self.reader, &self.fault) {
            (None, _) => String::new(),
            (Some(_), Some(fault)) => format!(" (failed to {fault})"),
            (Some(_), None) => " (it is being asked for)".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "/var/spool/cron/crontabs/alice";
    /// A reader that writes down that it ran.
    fn counting(folder: &std::path::Path, rest: &str) -> Reader {
        Reader::shell(&format!("echo run >> {}/runs; {rest}", folder.display()))
    }

    const NOTHING: &str = r#"echo '{"tables":[],"jobs":[],"unread":[]}'"#;

    fn marks(version: i64) -> Marks {
        Marks::from([(TABLE.to_owned(), (1, version, 0, 10))])
    }

    fn at(minutes: u64) -> Stamp {
        Stamp::new(36_000_000 + minutes * 60_000, 0, 0)
    }

    /// Follows on a thread of its own, as a reader's thread does, until the reader has told.
    async fn follow(mut closed: Closed, marks: Marks, now: Stamp) -> Closed {
        let looked = tokio::task::spawn_blocking(move || {
            closed.follow(marks, now);
            while closed.is_asking() {
                closed.hear(Duration::from_secs(5));
            }
            closed
        });
        looked.await.unwrap()
    }

    #[tokio::test]
    async fn a_reader_runs_when_something_changed_and_hardly_ever_else() {
        let folder = tempfile::tempdir().unwrap();
        let runs = || std::fs::read_to_string(folder.path().join("runs")).map_or(0, |text| text.lines().count());
        let mut closed = Closed::by(Some(counting(folder.path(), NOTHING)));
        closed = follow(closed, Marks::new(), at(0)).await;
        assert_eq!(runs(), 0, "nothing is closed");
        for (minute, version, expected) in
            [(1, 1, 1), (2, 1, 1), (59, 1, 1), (61, 1, 2), (62, 2, 2), (63, 2, 3), (64, 2, 3)]
        {
            closed = follow(closed, marks(version), at(minute)).await;
            assert_eq!(runs(), expected, "minute {minute}");
        }
        closed.refresh();
        closed = follow(closed, marks(2), at(64)).await;
        assert_eq!(runs(), 4, "before an action");
        closed.refresh();
        closed = follow(closed, marks(2), at(64)).await;
        assert_eq!(runs(), 4, "told just now");
        closed.refresh();
        closed = follow(closed, marks(3), at(64)).await;
        assert_eq!(runs(), 5, "changed just now");
        assert!(closed.found(at(64)).is_ok());
    }

    #[tokio::test]
    async fn a_reader_that_fails_is_told_and_tried_again_later() {
        let folder = tempfile::tempdir().unwrap();
        let runs = || std::fs::read_to_string(folder.path().join("runs")).map_or(0, |text| text.lines().count());
        for (rest, told) in [
            ("echo 'Failed to start: Access denied' >&2; exit 1", "Access denied"),
            ("exit 0", "understand a reader"),
            ("echo '{\"tables\":[],\"jobs\":[]'", "understand a reader"),
            ("echo '{\"tables\":[],\"jobs\":[],\"unread\":[],\"command\":\"x\"}'", "unknown field"),
            ("head -c 2000000 /dev/zero", "more than"),
        ] {
            let _ = std::fs::remove_file(folder.path().join("runs"));
            let mut closed = Closed::by(Some(counting(folder.path(), rest)));
            for (minute, expected) in [(0, 1), (4, 1), (5, 2)] {
                closed = follow(closed, marks(1), at(minute)).await;
                assert_eq!(runs(), expected, "{rest}: minute {minute}");
            }
            let why = closed.found(at(5)).unwrap_err();
            assert!(why.contains(told), "{rest}: {why}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_keeps_no_look_waiting() {
        let hangs = Reader::shell("exec sleep 60").within(Duration::from_secs(30));
        let mut closed = Closed::by(Some(hangs));
        let looked = tokio::task::spawn_blocking(move || {
            closed.follow(marks(1), at(0));
            closed.follow(marks(2), at(3));
            (closed.is_asking(), closed.found(at(3)).unwrap_err())
        });
        let (asking, why) = looked.await.unwrap();
        assert!(asking && why.contains("being asked for"), "{why}");
    }

    #[tokio::test]
    async fn what_was_told_stands_while_nobody_tells_it_anew_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let once = format!("test -e {0}/told && exit 1; touch {0}/told; {NOTHING}", folder.path().display());
        let mut closed = follow(Closed::by(Some(Reader::shell(&once))), marks(1), at(0)).await;
        closed = follow(closed, marks(2), at(10)).await;
        assert!(closed.found(at(75)).is_ok());
        assert!(closed.found(at(76)).unwrap_err().contains("failed to run a reader"));
    }

    #[tokio::test]
    async fn without_systemd_nobody_is_asked() {
        let closed = follow(Closed::new(&BusMode::None), marks(1), at(0)).await;
        assert_eq!(closed.found(at(0)), Err(String::new()));
    }
}
