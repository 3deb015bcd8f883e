//! Clients that send more than the limit merely to keep a connection open, told by their regularity.
//!
//! No person sends the same number of bytes in every minute of an hour, to a sixteenth; a timer does. One that asks every ten
//! seconds (a visible tab of `JupyterLab`) has five, six or seven questions in a minute, and thirty in five: what is the same in
//! every five minutes of an hour is a timer, too. Only what is a little above the limit is looked at: whatever sends steadily
//! and much is a transfer.

use std::time::Duration;

use agent_core::stamp::Stamp;

/// Like beats differ by no more than this part of the larger one…
const PART: u64 = 16;
/// …or by this many bytes.
const SLACK: u64 = 128;

/// What a beat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    /// How long one takes.
    span: Duration,
    /// So many like beats in a row are a timer.
    beats: u32,
    /// A timer sends at most this much in a beat, bytes.
    most: u64,
}

/// A minute is a beat of one that sends more often than that by far.
const MINUTE: Kind = Kind { span: Duration::from_mins(1), beats: 60, most: 8000 };
/// Five minutes are one of a page that asks every some seconds, on several connections.
const FIVE: Kind = Kind { span: Duration::from_mins(5), beats: 12, most: 120_000 };

/// Like beats in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    kind: Kind,
    since: Stamp,
    sent: u64,
    low: u64,
    high: u64,
    beats: u32,
    /// The most that was sent between two looks.
    peak: u64,
}

impl Row {
    fn new(kind: Kind, now: Stamp) -> Self {
        Self { kind, since: now, sent: 0, low: u64::MAX, high: 0, beats: 0, peak: 0 }
    }

    /// Takes in what was sent since the last look. Whether it is a timer's.
    fn take(&mut self, now: Stamp, sent: u64) -> bool {
        self.sent = self.sent.saturating_add(sent);
        let elapsed = now.since(self.since);
        if elapsed >= self.kind.span {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
            let span = u64::try_from(self.kind.span.as_millis()).unwrap_or(u64::MAX);
            self.end(self.sent.saturating_mul(span) / millis);
            (self.since, self.sent) = (now, 0);
        }
        // The first bytes that are too many count at once, not at the end of their beat.
        let is_like = sent <= self.peak.saturating_add(SLACK)
            && self.sent <= self.high.saturating_add(tolerance(self.high));
        if self.beats >= self.kind.beats {
            return is_like;
        }
        self.peak = self.peak.max(sent);
        false
    }

    /// Takes in a whole beat.
    fn end(&mut self, beat: u64) {
        let (low, high) = (self.low.min(beat), self.high.max(beat));
        if high <= self.kind.most && high - low <= tolerance(high) {
            (self.low, self.high) = (low, high);
            self.beats = self.beats.saturating_add(1);
        } else {
            (self.low, self.high, self.beats, self.peak) = (beat, beat, 0, 0);
        }
    }
}

/// The beats of one connection so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    minutes: Row,
    fives: Row,
}

impl Beat {
    /// A connection that was met now.
    pub(super) fn new(now: Stamp) -> Self {
        Self { minutes: Row::new(MINUTE, now), fives: Row::new(FIVE, now) }
    }

    /// Takes in what was sent since the last look. Whether the connection is kept open by a timer and by nothing else.
    pub(super) fn take(&mut self, now: Stamp, sent: u64) -> bool {
        let minute = self.minutes.take(now, sent);
        self.fives.take(now, sent) || minute
    }
}

fn tolerance(beat: u64) -> u64 {
    (beat / PART).max(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every ten seconds at a client that sends `bytes(second)` in each; the minutes that were taken for a timer's.
    fn minutes(hours: u64, bytes: impl Fn(u64) -> u64) -> usize {
        let mut beat = Beat::new(Stamp::new(1_000_000, 0, 0));
        let mut taken = 0;
        for look in 1..=hours * 360 {
            let sent = (0..10).map(|second| bytes(look * 10 + second)).sum();
            let now = Stamp::new(1_000_000 + look * 10_000, 0, 0);
            taken += usize::from(beat.take(now, sent));
        }
        taken / 6
    }

    #[test]
    fn timers_are_told_after_an_hour() {
        for (what, bytes, every) in [
            ("52 bytes twice a second: a JetBrains client through ssh", 104, 1),
            ("120 bytes every 5 seconds", 120, 5),
            ("1,200 bytes every 10 seconds", 1200, 10),
            ("nothing", 0, 1),
        ] {
            let found = minutes(4, |second| if second % every == 0 { bytes } else { 0 });
            assert!((175..=180).contains(&found), "{what}: {found}");
        }
    }

    #[test]
    fn a_visible_tab_of_a_notebook_is_a_timer_and_a_cell_that_is_run_is_not() {
        // Three questions of a kilobyte every ten seconds, which wander over the looks.
        let asks = |second: u64| if second % 10 == second / 97 % 10 { 3000 } else { 0 };
        let found = minutes(6, asks);
        assert!((280..=300).contains(&found), "{found}");
        let mut beat = Beat::new(Stamp::default());
        for look in 1..=720_u64 {
            beat.take(Stamp::new(look * 10_000, 0, 0), 3000);
        }
        assert!(beat.take(Stamp::new(7_210_000, 0, 0), 3000));
        assert!(!beat.take(Stamp::new(7_220_000, 0, 0), 5000), "in the same look");
    }

    #[test]
    fn people_and_transfers_are_never_taken_for_timers() {
        type Bytes = Box<dyn Fn(u64) -> u64>;
        let noise = |second: u64| (second.wrapping_mul(2_654_435_761) >> 7) % 1000;
        let cases: [(&str, Bytes); 5] = [
            ("typing", Box::new(move |at| if noise(at / 3) < 300 { 300 } else { 0 })),
            ("a scroll now and then", Box::new(move |at| if noise(at / 20) < 100 { 250 } else { 104 })),
            ("a kilobyte a second", Box::new(|_| 1024)),
            ("an upload at 20 MB/s", Box::new(|_| 20_000_000)),
            ("a change each half hour", Box::new(|at| if at % 1800 < 60 { 200 } else { 104 })),
        ];
        for (what, bytes) in cases {
            assert_eq!(minutes(6, bytes), 0, "{what}");
        }
    }

    #[test]
    fn whoever_comes_back_counts_in_the_same_look() {
        let mut beat = Beat::new(Stamp::default());
        for look in 1..=400_u64 {
            let timer = beat.take(Stamp::new(look * 10_000, 0, 0), 1040);
            assert_eq!(timer, look >= 360, "{look}");
        }
        assert!(!beat.take(Stamp::new(4_010_000, 0, 0), 7000));
        assert!(!beat.take(Stamp::new(4_200_000, 0, 0), 7000), "and an hour must pass again");
        assert_eq!((beat.minutes.beats, beat.fives.beats), (0, 0));
    }
}
