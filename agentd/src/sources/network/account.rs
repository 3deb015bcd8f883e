//! The account: what the interfaces to the outside carried must be booked somewhere.
//!
//! The counters of the interfaces lose nothing. From their bytes are taken the headers of every packet (66 bytes of
//! Ethernet, IPv4 and TCP with timestamps; 42 of Ethernet, IPv4 and UDP) and what connections carried. The rest is what UDP
//! carried, what network namespaces of containers carried, and what nobody knows. Acknowledgements come late and
//! packets are sent again, so the rest of one look has both signs; it is summed over a minute.
//!
//! - What UDP may have carried of it is at most 1,472 bytes a datagram. It is an answering flow if datagrams come and go and bytes
//!   go both ways; what goes one way only is nobody's unless it is as much as a stream (a scan, a sink of few logs).
//! - The rest beyond that, what containers carried and a tolerance is not explained: packets that are passed on for others,
//!   protocols that are neither TCP nor UDP, connections whose end the kernel could not tell. Where the ends of connections were lost
//!   it is nobody's if the lost ones had been accepted and carried less than [`SMALL`] each.
//! - A rest far below zero means that the total is wrong; then it explains nothing, and UDP is counted by datagrams.

use std::collections::VecDeque;

use agent_core::stamp::Stamp;

use super::payload::{Moved, SMALL};
use crate::host::counters::{self, Counters, Outside};
use crate::host::namespace::Carried;
use crate::host::{HostError, HostRoot};

/// Headers of a packet: Ethernet, IPv4, TCP with timestamps.
const HEADERS: u64 = 66;
/// Headers of a datagram: Ethernet, IPv4, UDP.
const DATAGRAM_HEADERS: u64 = 42;
/// The most that a datagram carries in a packet of Ethernet.
const DATAGRAM: u64 = 1472;
/// What a datagram carries where the total does not say: half of what a game or a call sends.
const GUESS: u64 = 200;
/// The rest is summed over so long.
const WINDOW_MS: u64 = 60_000;
/// Of the rest so much a second is tolerated: ARP, neighbour discovery, DHCP, pings.
const TOLERANCE: u64 = 1000;
/// And so much a packet: options that not every packet has.
const TOLERANCE_PACKET: u64 = 8;
/// And this part of what connections carried: what was sent again.
const AGAIN: u64 = 50;
/// The total is wrong if it is less than what connections carried by so much a second and by a tenth of that.
const WRONG: u64 = 2000;
/// An answering flow has so many bytes a second in both directions…
const ANSWERING: u64 = 2000;
/// …or so many in one of them and answers in the other…
const ANSWERED: u64 = 16_000;
/// …or it is a call: so many datagrams a second in both directions (RFC 3551 proposes one each 20 ms), with so many bytes. The
/// slowest voice in use, 8 kbit/s of G.729, has 32 bytes in each.
const CALL: (u64, u64) = (25, 1000);
/// Less than this is no call, milliseconds.
const CALL_LASTS_MS: u64 = 20_000;

/// What is between two looks.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    span_ms: u64,
    rest_in: i64,
    rest_out: i64,
    /// What containers may have carried of the rest.
    apart_in: u64,
    apart_out: u64,
    datagrams_in: u64,
    unheard: u64,
    datagrams_out: u64,
    packets: u64,
    booked: u64,
    lost_opened: u64,
    lost_accepted: u64,
}

impl Slice {
    fn add(&mut self, other: &Self) {
        self.span_ms += other.span_ms;
        self.rest_in += other.rest_in;
        self.rest_out += other.rest_out;
        self.apart_in += other.apart_in;
        self.apart_out += other.apart_out;
        self.datagrams_in += other.datagrams_in;
        self.unheard += other.unheard;
        self.datagrams_out += other.datagrams_out;
        self.packets += other.packets;
        self.booked += other.booked;
        self.lost_opened += other.lost_opened;
        self.lost_accepted += other.lost_accepted;
    }

    /// What UDP may have received and sent of the rest.
    fn datagrams(&self) -> (u64, u64) {
        let most_in = (self.datagrams_in + self.unheard).saturating_mul(DATAGRAM);
        let most_out = self.datagrams_out.saturating_mul(DATAGRAM);
        (positive(self.rest_in).min(most_in), positive(self.rest_out).min(most_out))
    }
}

/// What one look is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Booked {
    /// What connections carried.
    pub(super) moved: Moved,
    /// What containers and other namespaces carried, payload.
    pub(super) apart: (u64, u64),
    /// No end of a connection was lost.
    pub(super) whole: bool,
}

/// What one look says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Bytes of answering UDP flows, both ways.
    pub(super) datagrams: u64,
    /// Bytes that nothing explains.
    pub(super) unexplained: u64,
}

/// Why the account cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// The machine tells no counters.
    Untold,
    /// The total is less than what connections carried.
    Wrong,
}

/// The account over the last minute.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The interfaces.
    pub(super) outside: Outside,
    last: Option<(Carried, Counters, Stamp)>,
    window: VecDeque<Slice>,
}

impl Account {
    /// Takes in what was booked since the last look.
    pub(super) fn look(
        &mut self,
        root: &HostRoot,
        now: Stamp,
        booked: &Booked,
    ) -> Result<Result<Rest, Open>, HostError> {
        let (Some((carried, torn)), Some(counters)) =
            (self.outside.carried(root)?, counters::own(root)?)
        else {
            return Ok(Err(Open::Untold));
        };
        let last = self.last.replace((carried, counters, now));
        let Some((before, counted, at)) = last else { return Ok(Ok(Rest::default())) };
        // What is between two looks is dropped when a counter ran backwards.
        let Some(mut slice) = slice((&before, &carried), (&counted, &counters), booked) else {
            return Ok(Ok(Rest::default()));
        };
        if torn {
            // A card that came or went has carried some of what connections did, and nothing of that is known.
            (slice.rest_in, slice.rest_out) = (slice.rest_in.max(0), slice.rest_out.max(0));
        }
        let span_ms = now.boot_ms.saturating_sub(at.boot_ms);
        Ok(self.judge(Slice { span_ms, ..slice }))
    }

    fn judge(&mut self, slice: Slice) -> Result<Rest, Open> {
        self.window.push_back(slice);
        let sum = |window: &VecDeque<Slice>| {
            let mut sum = Slice::default();
            for one in window {
                sum.add(one);
            }
            sum
        };
        let mut all = sum(&self.window);
        while self.window.len() > 1
            && all.span_ms - self.window.front().map_or(0, |one| one.span_ms) >= WINDOW_MS
        {
            self.window.pop_front();
            all = sum(&self.window);
        }
        // Divided by the whole window even when it is not full yet: a short burst is not a steady load.
        let window_ms = all.span_ms.max(WINDOW_MS);
        let a_second = |amount: u64| amount.saturating_mul(1000) / window_ms;
        let answers = a_second(all.datagrams_in) >= 1 && a_second(all.datagrams_out) >= 1;
        let rest = all.rest_in + all.rest_out;
        let wrong = WRONG * all.span_ms / 1000 + all.booked / 10;
        if all.span_ms >= WINDOW_MS && positive(-rest) > wrong {
            return if answers && a_second(all.datagrams_in.min(all.datagrams_out)) >= 5 {
                let datagrams = (slice.datagrams_in + slice.datagrams_out) * GUESS;
                Ok(Rest { datagrams, unexplained: 0 })
            } else {
                Err(Open::Wrong)
            };
        }
        let (all_in, all_out) = all.datagrams();
        let (low, high) = (a_second(all_in.min(all_out)), a_second(all_in.max(all_out)));
        // A stream that nobody answers was meant for somebody: what goes out, and what comes in and is taken by a program.
        let taken = positive(all.rest_in).min(all.datagrams_in.saturating_mul(DATAGRAM));
        let heard = all.datagrams_in >= all.unheard && a_second(taken) >= ANSWERED;
        let streams = heard || a_second(all_out) >= ANSWERED;
        let tolerated = TOLERANCE * all.span_ms / 1000
            + all.packets * TOLERANCE_PACKET
            + all.booked / AGAIN;
        // Datagrams are counted on the loopback device as well, where the shorter headers of theirs are taken for those of as many packets
        // of connections. A rate so low would not show in a window that is only half full.
        let mistaken = ((HEADERS - DATAGRAM_HEADERS) * (all.datagrams_in + all.datagrams_out)).min(all.booked);
        let lasted_ms = all.span_ms.max(CALL_LASTS_MS);
        let steadily = |amount: u64| amount.saturating_mul(1000) / lasted_ms;
        let calls = steadily(all.datagrams_in.min(all.datagrams_out)) >= CALL.0
            && steadily(all_in.min(all_out)) >= CALL.1
            && positive(rest) > tolerated + mistaken;
        let flows = streams || calls || (answers && (low >= ANSWERING || high >= ANSWERED));
        let (now_in, now_out) = slice.datagrams();
        // What containers say to each other no card carried. So it explains what is left over, and hides no datagrams.
        let explained = (all_in + all.apart_in).min(positive(all.rest_in))
            + (all_out + all.apart_out).min(positive(all.rest_out));
        let excess = positive(rest).saturating_sub(explained).saturating_sub(tolerated);
        let strangers = all.lost_opened == 0 && excess < all.lost_accepted.saturating_mul(SMALL);
        let unexplained =
            if strangers { 0 } else { excess.saturating_mul(slice.span_ms) / window_ms };
        Ok(Rest { datagrams: if flows { now_in + now_out } else { 0 }, unexplained })
    }
}

fn slice(
    (before, now): (&Carried, &Carried),
    (counted, counters): (&Counters, &Counters),
    booked: &Booked,
) -> Option<Slice> {
    let datagrams_in = counters.datagrams_in.checked_sub(counted.datagrams_in)?;
    let unheard = counters.datagrams_lost.checked_sub(counted.datagrams_lost)?;
    let datagrams_out = counters.datagrams_out.checked_sub(counted.datagrams_out)?;
    let opened = counters.opened.checked_sub(counted.opened)?;
    let accepted = counters.accepted.checked_sub(counted.accepted)?;
    let (bytes_in, packets_in) = grown(before.received, now.received)?;
    let (bytes_out, packets_out) = grown(before.sent, now.sent)?;
    let payload = |bytes: u64, packets: u64, datagrams: u64| {
        let datagrams = datagrams.min(packets);
        let headers = (packets - datagrams) * HEADERS + datagrams * DATAGRAM_HEADERS;
        bytes.saturating_sub(headers)
    };
    let Moved { received, sent, .. } = booked.moved;
    let all_in = payload(bytes_in, packets_in, datagrams_in + unheard);
    let all_out = payload(bytes_out, packets_out, datagrams_out);
    let (rest_in, rest_out) = (signed(all_in) - signed(received), signed(all_out) - signed(sent));
    let lost = |all: u64, told: u64| if booked.whole { 0 } else { all.saturating_sub(told) };
    Some(Slice {
        span_ms: 0,
        rest_in,
        rest_out,
        apart_in: booked.apart.0.min(positive(rest_in)),
        apart_out: booked.apart.1.min(positive(rest_out)),
        datagrams_in,
        unheard,
        datagrams_out,
        packets: packets_in + packets_out,
        booked: received.saturating_add(sent),
        lost_opened: lost(opened, booked.moved.opened),
        lost_accepted: lost(accepted, booked.moved.accepted),
    })
}

fn grown(
    before: crate::host::namespace::Traffic,
    now: crate::host::namespace::Traffic,
) -> Option<(u64, u64)> {
    Some((now.bytes.checked_sub(before.bytes)?, now.packets.checked_sub(before.packets)?))
}

/// No interface carries more than can be told with a sign in one look.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

fn positive(amount: i64) -> u64 {
    u64::try_from(amount).unwrap_or(0)
}

#[cfg(test)]
mod tests;
