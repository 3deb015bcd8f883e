//! What a client that nobody uses makes a server of people's send, and sends itself.
//!
//! A page that is left open loads itself anew, a display asks for figures, somebody else's monitoring scrapes an
//! exporter: such a client fetches up to some kilobytes a second and sends next to nothing. So what a server sends to one client counts
//! beyond 16 kibibytes a second only, and what the client sends beyond one kilobyte a second. Both are means over a
//! minute, and a client is an address and the port that it talks to: it makes no difference how many connections it takes.
//!
//! All clients together have the allowance of eight: a load is a load, however many clients it is spread over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use agent_core::stamp::Stamp;

/// What a server may send, bytes a second.
pub(super) const SENT_PER_S: u64 = 16 << 10;
/// What a client may send, bytes a second.
const RECEIVED_PER_S: u64 = 1000;
/// The means are over so long.
const WINDOW_MS: u64 = 60_000;
/// All clients together are as many.
const TOGETHER: u64 = 8;
/// The most clients that have an allowance.
const CLIENTS: usize = 4096;

/// An allowance that is used up and comes back with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    times: u64,
    received: u64,
    sent: u64,
    at: Stamp,
}

impl Allowance {
    /// That of one client, unused.
    pub(super) fn of_one(now: Stamp) -> Self {
        Self::of(1, now)
    }

    fn of(times: u64, now: Stamp) -> Self {
        let full = |rate: u64| times * rate * WINDOW_MS / 1000;
        Self { times, received: full(RECEIVED_PER_S), sent: full(SENT_PER_S), at: now }
    }

    fn refill(&mut self, now: Stamp) {
        let ms = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX).min(WINDOW_MS);
        let full = Self::of(self.times, now);
        self.received = (self.received + self.times * RECEIVED_PER_S * ms / 1000).min(full.received);
        self.sent = (self.sent + self.times * SENT_PER_S * ms / 1000).min(full.sent);
        self.at = now;
    }

    /// What counts of so many bytes received and sent.
    pub(super) fn beyond(&mut self, now: Stamp, received: u64, sent: u64) -> (u64, u64) {
        self.refill(now);
        let (forgiven_in, forgiven_out) = (received.min(self.received), sent.min(self.sent));
        self.received -= forgiven_in;
        self.sent -= forgiven_out;
        (received - forgiven_in, sent - forgiven_out)
    }
}

/// The clients.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    clients: HashMap<(IpAddr, u16), Allowance>,
    together: Option<Allowance>,
    strangers: Option<Allowance>,
}

impl Quiet {
    /// What counts of what one client sent to a port (`received`) and was sent from there.
    pub(super) fn beyond(
        &mut self,
        now: Stamp,
        client: (IpAddr, u16),
        received: u64,
        sent: u64,
    ) -> (u64, u64) {
        if received == 0 && sent == 0 {
            return (0, 0);
        }
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            return (received, sent);
        }
        let one = self.clients.entry(client).or_insert_with(|| Allowance::of_one(now));
        let (beyond_in, beyond_out) = one.beyond(now, received, sent);
        let (forgiven_in, forgiven_out) = (received - beyond_in, sent - beyond_out);
        let together = self.together.get_or_insert_with(|| Allowance::of(TOGETHER, now));
        let (too_much_in, too_much_out) = together.beyond(now, forgiven_in, forgiven_out);
        (beyond_in + too_much_in, beyond_out + too_much_out)
    }

    /// What counts of what small connections carried that anybody may have opened. All of them have the allowance of eight
    /// clients.
    pub(super) fn of_strangers(&mut self, now: Stamp, received: u64, sent: u64) -> (u64, u64) {
        self.strangers.get_or_insert_with(|| Allowance::of(TOGETHER, now)).beyond(now, received, sent)
    }

    /// Forgets clients whose allowance is whole again.
    pub(super) fn forget(&mut self, now: Stamp) {
        let window = Duration::from_millis(WINDOW_MS);
        self.clients.retain(|_, one| now.since(one.at) < window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What counts a second, of so many bytes to each of so many clients every ten seconds, after ten minutes.
    fn counted(clients: u8, received: u64, sent: u64) -> u64 {
        let mut quiet = Quiet::default();
        let mut sum = 0;
        for look in 1..=120_u64 {
            let now = Stamp::new(look * 10_000, 0, 0);
            for client in 0..clients {
                let (a, b) =
                    quiet.beyond(now, (IpAddr::from([192, 0, 2, client]), 80), received, sent);
                sum += if look > 60 { a + b } else { 0 };
            }
            quiet.forget(now);
        }
        sum / 600
    }

    #[test]
    fn a_page_that_loads_itself_and_a_scrape_do_not_count_and_a_copy_does() {
        assert_eq!(counted(1, 1000, 100_000), 0, "50 kB every 5 s");
        assert_eq!(counted(1, 200, 43_000), 0, "64 kB every 15 s");
        assert_eq!(counted(2, 1000, 100_000), 0, "two of them");
        assert!(counted(1, 1000, 3_000_000) > 250_000, "300 kB/s");
        assert!(counted(1, 500_000, 1000) > 45_000, "50 kB/s of an upload");
    }

    #[test]
    fn a_load_is_a_load_over_however_many_clients() {
        // 1 MB/s to one, to a hundred and to two hundred.
        for (clients, each) in [(1, 10_000_000), (100, 100_000), (200, 50_000)] {
            assert!(counted(clients, 0, each) > 800_000, "{clients}");
        }
    }

    #[test]
    fn what_was_not_used_comes_back() {
        let mut one = Allowance::of_one(Stamp::default());
        let minute = SENT_PER_S * 60;
        assert_eq!(one.beyond(Stamp::default(), 0, minute + 5), (0, 5));
        assert_eq!(one.beyond(Stamp::new(1000, 0, 0), 0, minute), (0, minute - SENT_PER_S));
        assert_eq!(one.beyond(Stamp::new(1_000_000, 0, 0), 0, minute), (0, 0));
    }
}
