//! A metadata service that follows a script, in time that the test's runtime moves.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use agent_core::input::Input;
use agent_core::stamp::Stamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::publish::{ConfigInfo, PathWatch};

/// What the service does with a request.
pub(super) enum Play {
    /// 404 to an accepted token.
    Nothing,
    /// 200 with this text and a `Date` of [`DATE_MS`].
    Says(String),
    /// The same with another `Date`.
    Dated(i64, String),
    /// The same without a `Date`.
    Undated(String),
    /// The same after a while.
    Slowly(Duration, String),
    /// It fails at once.
    Fails(ImdsError),
    /// It never answers.
    Hangs,
}

/// The time of the answers: 2026-11-21T12:00:00Z.
pub(super) const DATE_MS: i64 = 1_795_262_400_000;

pub(super) fn status(status: u16) -> Play {
    Play::Fails(ImdsError::Status { path: "p".to_owned(), status })
}

pub(super) fn refused() -> Play {
    Play::Fails(ImdsError::Unreachable { path: "p".to_owned(), why: "refused".to_owned() })
}

thread_local! {
    static START: Instant = Instant::now();
    static LINES: RefCell<Vec<(u64, ShellEvent)>> = const { RefCell::new(Vec::new()) };
}

/// Milliseconds since the test began.
pub(super) fn at() -> u64 {
    START.with(|start| u64::try_from(start.elapsed().as_millis()).unwrap())
}

/// The time of the test, as a stamp.
pub(super) fn stamp() -> Stamp {
    Stamp::new(1_000_000 + at(), 0, DATE_MS + 7 + i64::try_from(at()).unwrap())
}

fn note(event: ShellEvent) {
    LINES.with_borrow_mut(|lines| lines.push((at(), event)));
}

/// The lines for the journal, with when they came.
pub(super) fn lines() -> Vec<(u64, ShellEvent)> {
    LINES.with_borrow(Clone::clone)
}

type Script = Box<dyn FnMut(Kind, u64) -> Play>;

/// The service and what it saw.
#[derive(Clone)]
pub(super) struct Service {
    script: Rc<RefCell<Script>>,
    life_cycle: Rc<RefCell<LifeCycle>>,
    pub(super) asked: Rc<RefCell<Vec<(u64, &'static str)>>>,
    busy: Rc<RefCell<BTreeMap<&'static str, u32>>>,
}

impl Service {
    /// When this item was asked for.
    pub(super) fn times(&self, path: &str) -> Vec<u64> {
        let asked = self.asked.borrow();
        asked.iter().filter(|(_, asked)| *asked == path).map(|(at, _)| *at).collect()
    }

    /// When this kind was asked for.
    pub(super) fn polls(&self, kind: Kind) -> Vec<u64> {
        self.times(kind.path())
    }

    async fn play(&self, path: &'static str, limit: Duration) -> Result<Option<Answer>, ImdsError> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
        let play = match kind {
            Some(kind) => (self.script.borrow_mut())(kind, at()),
            None => Play::Nothing,
        };
        let said = |text, date_ms| Ok(Some(Answer { text, date_ms }));
        match play {
            Play::Nothing => Ok(None),
            Play::Says(text) => said(text, Some(DATE_MS)),
            Play::Dated(date_ms, text) => said(text, Some(date_ms)),
            Play::Undated(text) => said(text, None),
            Play::Fails(error) => Err(error),
            Play::Slowly(pause, text) if pause < limit => {
                tokio::time::sleep(pause).await;
                said(text, Some(DATE_MS))
            }
            Play::Slowly(..) | Play::Hangs => {
                tokio::time::sleep(limit).await;
                Err(ImdsError::TimedOut { path: path.to_owned(), hint: "" })
            }
        }
    }
}

impl Ask for Service {
    async fn ask(&self, path: &'static str, limit: Duration) -> Result<Option<Answer>, ImdsError> {
        assert!(limit <= Duration::from_secs(1), "{path}: {limit:?}");
        self.asked.borrow_mut().push((at(), path));
        let busy = self.busy.borrow_mut().insert(path, 1);
        assert!(busy.is_none_or(|count| count == 0), "{path} is asked twice at a time");
        let answer = self.play(path, limit).await;
        self.busy.borrow_mut().insert(path, 0);
        answer
    }

    async fn life_cycle(&self, _: Duration) -> LifeCycle {
        self.asked.borrow_mut().push((at(), "life-cycle"));
        *self.life_cycle.borrow()
    }
}

/// A running watch.
pub(super) struct Rig {
    pub(super) service: Service,
    pub(super) setting: channel::Sender<Setting>,
    pub(super) shown: Rc<RefCell<Shown>>,
    pub(super) inbox: mpsc::Receiver<Message>,
    /// While it is there, the loop runs.
    pub(super) to: mpsc::Sender<Message>,
}

impl Rig {
    /// Starts a watch of this instance.
    pub(super) fn start(
        life_cycle: LifeCycle,
        script: impl FnMut(Kind, u64) -> Play + 'static,
    ) -> Self {
        START.with(|_| {});
        let service = Service {
            script: Rc::new(RefCell::new(Box::new(script))),
            life_cycle: Rc::new(RefCell::new(life_cycle)),
            asked: Rc::default(),
            busy: Rc::default(),
        };
        let (to, inbox) = mpsc::channel(4096);
        let shown = Rc::new(RefCell::new(Shown::new(ConfigInfo::default())));
        let setting = setting(true);
        let rig = Self { service, setting, shown, inbox, to };
        rig.spawn();
        rig
    }

    /// Starts the watch, also as a restarted agent does.
    pub(super) fn spawn(&self) {
        let ends = Ends {
            urgent: self.to.downgrade(),
            refresh: self.to.downgrade(),
            shown: Rc::clone(&self.shown),
            freshener: None,
            setting: self.setting.clone(),
            clock: stamp,
            tell: note,
        };
        spawn(self.service.clone(), ends);
    }

    /// The instance is paid for in another way than it was said.
    pub(super) fn is_really(&self, life_cycle: LifeCycle) {
        *self.service.life_cycle.borrow_mut() = life_cycle;
    }

    /// The kind as it is shown.
    pub(super) fn path(&self, kind: Kind) -> PathWatch {
        let shown = self.shown.borrow();
        shown.notices.paths.iter().find(|path| path.name == kind.name()).unwrap().clone()
    }

    /// What came so far: notices and withdrawals, and how often the loop was woken to show something.
    pub(super) fn taken(&mut self) -> (Vec<Input>, usize) {
        let (mut inputs, mut refreshed) = (Vec::new(), 0);
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Input(input) => inputs.push(input),
                Message::Refresh => refreshed += 1,
                other => panic!("{other:?}"),
            }
        }
        (inputs, refreshed)
    }
}

/// Lets time pass up to so many milliseconds after the begin.
pub(super) async fn until(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms.saturating_sub(at()))).await;
}

/// Runs a test whose tasks stay on its thread.
pub(super) async fn locally<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}
