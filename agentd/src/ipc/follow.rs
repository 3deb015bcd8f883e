//! The event stream: what is kept, then what comes, with a sign of life when nothing does.

use agent_proto::event::{EventLine, MISSED, SCHEMA};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Duration, timeout};

use super::event_line;
use super::gate::StreamPermit;
use super::payload::{Pieces, encode};
use super::spot::Reader;
use crate::publish::Subscriber;

/// Events that are written at once.
const BATCH: usize = 64;

struct Following {
    subscriber: Subscriber,
    after: u64,
    follow: bool,
    heartbeat: Duration,
    reader: Reader,
    _permit: StreamPermit,
}

/// The lines behind number `after`. Without `follow` the stream ends when there are no more.
///
/// A reader that is too slow misses events, which a line says; the agent neither waits for it nor remembers for it.
pub(super) fn pieces(
    subscriber: Subscriber,
    after: u64,
    follow: bool,
    heartbeat: Duration,
    permit: StreamPermit,
    reader: Reader,
) -> Pieces {
    // A number of an earlier run means that everything is new.
    let after = if after > subscriber.latest_event() { 0 } else { after };
    let start = Following { subscriber, after, follow, heartbeat, reader, _permit: permit };
    Box::pin(stream::unfold(start, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    }))
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        let (missed, records) = self.subscriber.events_after(self.after, BATCH);
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let mut lines = Vec::new();
            if missed > 0 {
                lines.extend(encode(&missed_line(missed, first)));
            }
            for record in &records {
                lines.extend(encode(&event_line::line(record, self.reader)));
            }
            self.after = last.seq;
            return Some(lines.into());
        }
        if !self.follow {
            return None;
        }
        match timeout(self.heartbeat, self.subscriber.wait_for_event(self.after)).await {
            Ok(true) => Box::pin(self.next()).await,
            Ok(false) => None,
            Err(_) => Some(Bytes::from_static(b"\n")),
        }
    }
}

fn missed_line(missed: u64, first: &crate::publish::EventRecord) -> EventLine {
    EventLine {
        schema: SCHEMA.to_owned(),
        seq: first.seq.saturating_sub(1),
        at: event_line::wall(first.at.wall_ms),
        event: MISSED.to_owned(),
        text: format!("{missed} earlier events are not kept any more; see journalctl -u agentd"),
        fields: [("count".to_owned(), missed.into())].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{channel, tests::NOW, tests::quiet};
    use agent_core::reason::Event;
    use agent_proto::limits::EVENTS_KEPT;
    use core::sync::atomic::AtomicUsize;
    use futures_util::StreamExt;
    use std::sync::Arc;

    fn permit() -> StreamPermit {
        StreamPermit::take(&Arc::new(AtomicUsize::new(0)), &Arc::default(), 0).unwrap()
    }

    fn lines(piece: &Bytes) -> Vec<EventLine> {
        piece
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn without_follow_it_ends_after_what_is_kept() {
        let (publisher, reader) = channel(quiet());
        for _ in 0..150 {
            publisher.record(NOW, Event::PolicyChanged);
        }
        let pieces = pieces(reader, 20, false, Duration::from_secs(10), permit(), Reader::Anybody);
        let all: Vec<u64> =
            pieces.collect::<Vec<_>>().await.iter().flat_map(lines).map(|line| line.seq).collect();
        assert_eq!(all, (21..=150).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn following_waits_with_signs_of_life_and_ends_with_the_agent() {
        let (publisher, reader) = channel(quiet());
        let mut pieces =
            pieces(reader, 0, true, Duration::from_secs(10), permit(), Reader::Anybody);
        assert_eq!(pieces.next().await.unwrap(), "\n");
        publisher.record(NOW, Event::HookNotRepeated);
        let line = &lines(&pieces.next().await.unwrap())[0];
        assert_eq!((line.seq, line.event.as_str()), (1, "hook-not-repeated"));
        drop(publisher);
        assert!(pieces.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_is_told_what_it_missed() {
        let (publisher, reader) = channel(quiet());
        for _ in 0..EVENTS_KEPT + 30 {
            publisher.record(NOW, Event::PolicyChanged);
        }
        let mut pieces =
            pieces(reader, 10, false, Duration::from_secs(10), permit(), Reader::Anybody);
        let first = lines(&pieces.next().await.unwrap());
        assert_eq!(first[0].event, "missed");
        assert_eq!(first[0].fields["count"], 20);
        assert_eq!(first[1].seq, 31);
        assert!(!lines(&pieces.next().await.unwrap()).iter().any(|line| line.event == "missed"));
    }

    #[tokio::test]
    async fn a_number_of_an_earlier_run_starts_at_the_beginning() {
        let (publisher, reader) = channel(quiet());
        publisher.record(NOW, Event::PolicyChanged);
        let mut pieces =
            pieces(reader, 4_000, true, Duration::from_secs(10), permit(), Reader::Anybody);
        assert_eq!(lines(&pieces.next().await.unwrap())[0].seq, 1);
    }
}
