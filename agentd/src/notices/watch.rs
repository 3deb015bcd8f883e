//! The task that watches one kind of notice.

use std::rc::Rc;
use std::time::Duration;

use agent_core::input::Input;
use agent_core::interruption::Noticed;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kind::{HISTORY, Kind};
use super::pace::{self, Failure};
use super::read::{Reading, Reference, autoscaling, maintenance, rebalance, spot};
use super::scheduled::Scheduled;
use super::{Ask, Setting, Shared};
use crate::clock::{self, Mark};
use crate::events::ShellEvent;
use crate::publish::WatchState;
use crate::shell::Message;

/// Something that cannot be understood so many times in a row is told.
const GARBLED: u32 = 3;
/// At most one line about blindness of a kind within this.
const LINES_EVERY: Duration = Duration::from_mins(1);

/// So far away may the time of an interruption be that is acted on, milliseconds: ten minutes past, an hour ahead.
const BELIEVED_MS: core::ops::RangeInclusive<i64> = -600_000..=3_600_000;

/// What is shown where there is nothing.
const NONE: &str = "there is none";

/// One kind.
pub(super) struct Watch<A> {
    kind: Kind,
    shared: Rc<Shared<A>>,
    /// What the loop was told last.
    sent: Option<Noticed>,
    scheduled: Scheduled,
    /// How the last poll failed, if it did, and how many in a row.
    failure: Option<Failure>,
    failed_polls: u32,
    garbled: u32,
    /// The last good answer, or when the watch began.
    good_at: Mark,
    why: String,
    /// Blindness was told and its end was not.
    told: bool,
    last_line: Option<Mark>,
}

/// A good answer: what to show, and what the loop is told.
struct Good {
    state: WatchState,
    detail: String,
    news: Vec<Input>,
}

/// The loop has ended.
struct Over;

impl<A: Ask> Watch<A> {
    pub(super) fn new(kind: Kind, shared: Rc<Shared<A>>) -> Self {
        Self {
            kind,
            shared,
            sent: None,
            scheduled: Scheduled::default(),
            failure: None,
            failed_polls: 0,
            garbled: 0,
            good_at: clock::mark(),
            why: String::new(),
            told: false,
            last_line: None,
        }
    }

    /// Asks until the loop ends. One poll begins a period after the one before began, however long that took.
    pub(super) async fn run(mut self, mut setting: watch::Receiver<Setting>) {
        loop {
            let current = *setting.borrow_and_update();
            if let Some(why) = self.kind.off(&current) {
                self = Self::new(self.kind, self.shared);
                self.shared.board.off(self.kind, why);
                if setting.changed().await.is_err() {
                    return;
                }
                continue;
            }
            self.good_at = clock::mark();
            let mut due = clock::mark();
            loop {
                let current = *setting.borrow_and_update();
                if self.kind.off(&current).is_some() {
                    break;
                }
                if self.poll().await.is_err() {
                    return;
                }
                let leads = self.kind.leads(&current);
                due = due.after(pace::period(self.kind, self.failure, leads));
                if due.left().is_zero() {
                    due = clock::mark();
                }
                match self.wait(due, current, &mut setting).await {
                    Ok(early) => due = early.unwrap_or(due),
                    Err(Over) => return,
                }
            }
        }
    }

    /// Waits for the next poll; some when it is to begin early. The alarm may be due in between.
    async fn wait(
        &mut self,
        due: Mark,
        before: Setting,
        setting: &mut watch::Receiver<Setting>,
    ) -> Result<Option<Mark>, Over> {
        loop {
            let alarm = self.alarm();
            tokio::select! {
                biased;
                changed = setting.changed() => {
                    changed.map_err(|_| Over)?;
                    let current = *setting.borrow_and_update();
                    let answers = current.answers_again != before.answers_again;
                    let leads = self.kind.leads(&current) && !self.kind.leads(&before);
                    let again = self.failure.is_some() && (answers || leads);
                    if again || self.kind.off(&current).is_some() {
                        return Ok(Some(clock::mark()));
                    }
                }
                () = clock::sleep(due.left()) => return Ok(None),
                () = clock::sleep(alarm.map_or(Duration::ZERO, Mark::left)), if alarm.is_some() => {
                    self.tell_blind();
                }
            }
        }
    }

    /// One poll: a request, and others within the period where the failure may have passed.
    async fn poll(&mut self) -> Result<(), Over> {
        let mut work = clock::work();
        work.begin().await;
        let (begin, every) = (Instant::now(), self.kind.every());
        let mut tries = 0;
        loop {
            let limit = pace::LIMIT.min(every.saturating_sub(begin.elapsed()));
            let (failure, why) = match self.ask(limit).await {
                Ok(good) => {
                    let shown = (good.state, good.detail.clone());
                    self.settle_good(good).await?;
                    return self.follow_history(shown).await;
                }
                Err(failed) => failed,
            };
            tries += 1;
            let pause = pace::retry(self.kind, failure, tries, self.failed_polls);
            let in_time = |pause: &Duration| begin.elapsed() + *pause + pace::LEAST < every;
            let Some(pause) = pause.filter(in_time) else {
                self.settle_bad(failure, why);
                // A loop that has ended is noticed also by who has nothing to tell it.
                return if self.shared.urgent.strong_count() == 0 { Err(Over) } else { Ok(()) };
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn settle_good(&mut self, good: Good) -> Result<(), Over> {
        let to = self.shared.urgent.upgrade().ok_or(Over)?;
        // Before anything else, even before it is shown.
        for news in good.news {
            to.send(Message::Input(news)).await.map_err(|_| Over)?;
        }
        drop(to);
        if self.told {
            let (kind, blind_ms) = (self.kind.name().to_owned(), millis(self.good_at.elapsed()));
            (self.shared.tell)(ShellEvent::NoticesSeen { kind, blind_ms });
        }
        (self.failure, self.failed_polls, self.told) = (None, 0, false);
        self.good_at = clock::mark();
        self.shared.board.good(self.kind, good.state, good.detail);
        Ok(())
    }

    fn settle_bad(&mut self, failure: Failure, why: String) {
        self.failure = Some(failure);
        self.failed_polls = self.failed_polls.saturating_add(1);
        self.shared.board.blind(self.kind, why.clone());
        self.why = why;
    }

    /// When blindness is to be told, if it is.
    fn alarm(&self) -> Option<Mark> {
        if self.failure.is_none() || self.told {
            return None;
        }
        let at = self.good_at.after(self.kind.patience());
        let next = self.last_line.map(|last| last.after(LINES_EVERY));
        Some(next.filter(|next| next.left() > at.left()).unwrap_or(at))
    }

    fn tell_blind(&mut self) {
        self.told = true;
        self.last_line = Some(clock::mark());
        (self.shared.tell)(ShellEvent::NoticesBlind {
            kind: self.kind.name().to_owned(),
            for_ms: millis(self.good_at.elapsed()),
            error: self.why.clone(),
        });
    }

    /// One request, understood.
    async fn ask(&mut self, limit: Duration) -> Result<Good, (Failure, String)> {
        let failed = |error| (Failure::of(&error), format!("failed to {error}"));
        let answer = self.shared.ask.ask(self.kind.path(), limit).await.map_err(failed)?;
        let own = (self.shared.clock)().wall_ms;
        let now = Reference::of(answer.as_ref().and_then(|answer| answer.date_ms), own);
        let text = answer.as_ref().map(|answer| answer.text.as_str());
        let reading = match (self.kind, text) {
            (Kind::Maintenance, text) => return self.events(text, now),
            (_, None) => Reading::NoNotice,
            (Kind::Spot, Some(text)) => spot::read(text, now),
            (Kind::Rebalance, Some(text)) => rebalance::read(text, now),
            (Kind::AutoScaling, Some(text)) => autoscaling::read(text, now),
        };
        self.take(reading)
    }

    /// What an answer says, compared with what was told before.
    fn take(&mut self, reading: Reading) -> Result<Good, (Failure, String)> {
        match reading {
            Reading::NoNotice => {
                self.garbled = 0;
                let detail = NONE.to_owned();
                Ok(Good { state: WatchState::NoNotice, detail, news: Vec::new() })
            }
            Reading::Notice(noticed) => {
                self.garbled = 0;
                let detail = noticed.first().map(|first| first.notice.to_string());
                let mut news = Vec::new();
                for noticed in noticed {
                    if is_news(self.sent.as_ref(), &noticed) {
                        news.push(Input::Noticed(noticed.clone()));
                        self.sent = Some(noticed);
                    }
                }
                Ok(Good { state: WatchState::Notice, detail: detail.unwrap_or_default(), news })
            }
            Reading::Garbled(why) => Err(self.garbled(&why)),
        }
    }

    fn garbled(&mut self, why: &str) -> (Failure, String) {
        self.garbled = self.garbled.saturating_add(1);
        if self.kind == Kind::Spot && self.garbled == GARBLED {
            (self.shared.tell)(ShellEvent::NoticeGarbled { what: why.to_owned() });
        }
        (Failure::Passing, format!("failed to understand {why}"))
    }

    /// The scheduled events.
    fn events(&mut self, text: Option<&str>, now: Reference) -> Result<Good, (Failure, String)> {
        let events = match text {
            None => maintenance::Events::default(),
            Some(text) => maintenance::read(text, now).map_err(|why| self.garbled(&why))?,
        };
        self.garbled = 0;
        let news = self.scheduled.list(&events, now);
        let noticed = events.active.iter().map(|noticed| noticed.notice.to_string());
        let lines: Vec<String> = noticed.chain(events.problems).collect();
        let (state, detail) = if lines.is_empty() {
            (WatchState::NoNotice, NONE.to_owned())
        } else {
            (WatchState::Notice, lines.join("; "))
        };
        Ok(Good { state, detail, news })
    }

    /// Looks for cancelled events while any is known. What is announced has not waited for it.
    async fn follow_history(&mut self, (state, detail): (WatchState, String)) -> Result<(), Over> {
        if self.kind != Kind::Maintenance || !self.scheduled.wants_history() {
            return Ok(());
        }
        match self.history().await {
            Ok(history) => {
                let news = self.scheduled.history(&history);
                self.settle_good(Good { state, detail, news }).await
            }
            Err(why) => {
                let detail = format!("{detail}; cancelled events cannot be seen: {why}");
                self.shared.board.good(self.kind, state, detail);
                Ok(())
            }
        }
    }

    async fn history(&self) -> Result<maintenance::Events, String> {
        let answer = self.shared.ask.ask(HISTORY, pace::LIMIT).await;
        let Some(answer) = answer.map_err(|error| format!("failed to {error}"))? else {
            return Ok(maintenance::Events::default());
        };
        let now = Reference::of(answer.date_ms, (self.shared.clock)().wall_ms);
        maintenance::read(&answer.text, now)
    }
}

/// Whether a notice says something that the last one did not. How much time is left is none of it, for that is less each
/// time, unless it was not to be believed and is now: a single wrong `Date` must not hide an interruption.
pub(super) fn is_news(last: Option<&Noticed>, noticed: &Noticed) -> bool {
    let Some(last) = last else { return true };
    let believed = |noticed: &Noticed| noticed.due.map(|due| BELIEVED_MS.contains(&due.left_ms));
    let when = |noticed: &Noticed| noticed.due.map(|due| due.wall_ms);
    // A notice that could not be dated by EC2's clock can be now.
    let dated = last.own_clock && !noticed.own_clock && noticed.due.is_some();
    let now_believed = believed(noticed) == Some(true) && believed(last) == Some(false);
    last.notice != noticed.notice || when(last) != when(noticed) || dated || now_believed
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
