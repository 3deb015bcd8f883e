//! Running totals of what each client sent, one counter a connection.
//!
//! A machine may have more connections than can be shown. Those that sent most of late are shown one by one; of the
//! others the one that sent most in each look stands for all of the same role, so that none of them can be in use unseen.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::beat::Beat;
use crate::sources::network::payload::beyond_allowance;

/// The most connections that are shown one by one.
const SHOWN: usize = 200;
/// How much of its weight a connection keeps from look to look when it is chosen for being shown.
const FADE: f64 = 0.8;
/// What stands for those that are not shown.
const OTHERS: &str = "busiest of the other connections";
/// What a relay sends by itself to keep a connection open, bytes a second: pings and the state of a window that is left open.
const RELAY_PER_S: u64 = 256;
/// What it sends is averaged over so long.
const RELAY_MS: u64 = 60_000;
/// The most clients whose short connections are shown one by one.
const SHORT: usize = 64;
/// Short connections of a client that had none for so long are forgotten.
const SHORT_FOR: Duration = Duration::from_mins(10);
/// What stands for the system's own services.
const HOUSEKEEPING: &str = "clients of the system's services";

/// One client's connection at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The kernel's number for it.
    pub(super) cookie: u64,
    /// Where it arrived.
    pub(super) port: u16,
    /// Where it comes from.
    pub(super) remote: SocketAddr,
    /// What it sent so far.
    pub(super) received: u64,
    /// It is connected, and its session is shown by no other source.
    pub(super) alive: bool,
    /// Whose it is, where that is known.
    pub(super) owner: Option<String>,
    /// What it talks to.
    pub(super) to: Server,
}

/// What a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Something of a person's.
    Person,
    /// A unit, of which this is the role: a package's server or one that was made here.
    Unit(Role),
    /// A container with a network of its own, all its clients together, and its role.
    Container(Role),
    /// A relay that the machine has called: what comes back may be a person's.
    Relay,
    /// sshd, to which strangers may talk too.
    Sshd,
    /// A service of the system: it is shown in one sum and does not count.
    Housekeeping,
}

impl Client {
    /// Stable while the connection lives; nobody else has this pair of ends meanwhile.
    fn subject(&self) -> String {
        let what = self.what();
        match self.to {
            Server::Container(_) => format!("clients of {what}"),
            Server::Relay => format!("{what} over the relay {} from port {}", self.remote, self.port),
            _ => format!("{what} {} to port {}", self.remote, self.port),
        }
    }

    /// The same for all that ended, of one client to one port.
    fn subject_of_short(&self) -> String {
        format!("{} {} to port {}, short connections", self.what(), self.remote.ip(), self.port)
    }

    fn what(&self) -> &str {
        self.owner.as_deref().unwrap_or("ssh")
    }

    /// How what it sent counts.
    fn role(&self) -> Role {
        match self.to {
            Server::Unit(role) | Server::Container(role) => role,
            Server::Housekeeping => Role::Ignored,
            Server::Person | Server::Relay | Server::Sshd => Role::Workload,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    received: u64,
    since: Stamp,
    weight: f64,
    beat: Beat,
    /// What is left of a relay's own.
    allowance: u64,
    look: u64,
    at: Stamp,
}

/// What one client sent to one port on connections that have ended.
#[derive(Debug)]
struct Short {
    total: u64,
    owner: Option<String>,
    role: Role,
    at: Stamp,
}

/// The totals.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: HashMap<u64, Seen>,
    /// What is shown, each with its total since it is.
    totals: BTreeMap<String, u64>,
    short: BTreeMap<String, Short>,
    /// What stands for those that are not shown, by their role.
    others: BTreeMap<Role, u64>,
    housekeeping: u64,
    look: u64,
}

/// A client with what it sent since the last look.
#[derive(Debug)]
struct Grown {
    client: Client,
    sent: u64,
    weight: f64,
    /// It is merely kept open.
    beats: bool,
}

impl Ledger {
    /// Takes in all clients of one look, those that live and those whose connections ended since the last one, and returns
    /// the counters.
    pub(super) fn take(
        &mut self,
        now: Stamp,
        clients: Vec<Client>,
        ended: Vec<Client>,
    ) -> Vec<Signal> {
        let first = self.look == 0;
        self.look += 1;
        let grown = clients.into_iter().map(|client| self.grow(now, client, first));
        let mut grown: Vec<_> = grown.collect();
        let mut many = BTreeMap::new();
        for client in ended {
            let one = self.grow(now, client, first);
            self.add_short(now, &one, &mut many);
        }
        let mut most: BTreeMap<Role, u64> = BTreeMap::new();
        let mut compare = |role, sent: u64| {
            let most = most.entry(role).or_default();
            *most = sent.max(*most);
        };
        for (role, sent) in many.into_values() {
            compare(role, sent);
        }
        self.short.retain(|_, short| now.since(short.at) < SHORT_FOR);
        let look = self.look;
        self.seen.retain(|_, seen| seen.look == look);
        let mut grown: Vec<_> = grown
            .drain(..)
            .filter(|one| one.client.to != Server::Relay || one.sent > 0 || one.client.alive)
            .collect();
        grown.retain(|one| {
            let counts = one.client.to != Server::Housekeeping;
            if !counts {
                self.housekeeping = self.housekeeping.saturating_add(one.sent);
            }
            counts
        });
        if grown.len() > SHOWN {
            grown.select_nth_unstable_by(SHOWN, |a, b| {
                b.weight.total_cmp(&a.weight).then(a.client.cookie.cmp(&b.client.cookie))
            });
            grown.split_off(SHOWN).iter().for_each(|one| compare(one.client.role(), one.sent));
        }
        for (role, sent) in most {
            let total = self.others.entry(role).or_default();
            *total = total.saturating_add(sent);
        }
        self.show(grown)
    }

    fn grow(&mut self, now: Stamp, client: Client, first: bool) -> Grown {
        let received = client.received;
        let unknown =
            Seen {
                received: if first { received } else { 0 },
                since: now,
                weight: 0.0,
                beat: Beat::new(now),
                allowance: RELAY_PER_S * RELAY_MS / 1000,
                look: 0,
                at: now,
            };
        let before = self.seen.get(&client.cookie).copied().unwrap_or(unknown);
        let mut grown = if client.to == Server::Sshd {
            beyond_allowance(now.since(before.since), before.received, received)
        } else {
            received.saturating_sub(before.received)
        };
        let mut allowance = before.allowance;
        if client.to == Server::Relay {
            let ms = now.boot_ms.saturating_sub(before.at.boot_ms).min(RELAY_MS);
            allowance = (allowance + RELAY_PER_S * ms / 1000).min(RELAY_PER_S * RELAY_MS / 1000);
            let forgiven = grown.min(allowance);
            (allowance, grown) = (allowance - forgiven, grown - forgiven);
        }
        // Whatever a float cannot hold is heavy all the same.
        let step = f64::from(u32::try_from(grown).unwrap_or(u32::MAX));
        let weight = before.weight * FADE + step;
        let mut beat = before.beat;
        let beats = beat.take(now, grown);
        let look = self.look;
        let seen = Seen { received, weight, beat, allowance, look, at: now, ..before };
        self.seen.insert(client.cookie, seen);
        Grown { client, sent: grown, weight, beats }
    }

    /// Adds what a connection carried after it was seen last, to `many` if its client is one too many to be shown.
    fn add_short(&mut self, now: Stamp, one: &Grown, many: &mut BTreeMap<String, (Role, u64)>) {
        self.seen.remove(&one.client.cookie);
        match one.client.to {
            Server::Housekeeping => self.housekeeping = self.housekeeping.saturating_add(one.sent),
            Server::Relay => {}
            _ if one.sent == 0 => {}
            _ => {
                let subject = one.client.subject_of_short();
                let (owner, role) = (one.client.owner.clone(), one.client.role());
                if self.short.len() >= SHORT && !self.short.contains_key(&subject) {
                    let (_, sent) = many.entry(subject).or_insert((role, 0));
                    *sent = sent.saturating_add(one.sent);
                    return;
                }
                let short = self.short.entry(subject);
                let short = short.or_insert(Short { total: 0, owner, role, at: now });
                short.total = short.total.saturating_add(one.sent);
                short.at = now;
            }
        }
    }

    /// A connection that begins to be shown begins with what it sent since the last look: the engine takes the whole
    /// of a counter that is new for growth.
    fn show(&mut self, grown: Vec<Grown>) -> Vec<Signal> {
        let before = std::mem::take(&mut self.totals);
        let mut signals = Vec::with_capacity(grown.len() + 1);
        for one in grown {
            let subject = one.client.subject();
            // Also if another connection had these ends at the last look: a counter never falls.
            let total = before.get(&subject).copied().unwrap_or(0).saturating_add(one.sent);
            self.totals.insert(subject.clone(), total);
            let signal = Signal::new(subject, Value::Counter { total }).of(one.client.role());
            let signal = Signal { owner: one.client.owner, ..signal };
            signals.push(if one.beats { signal.ignored() } else { signal });
        }
        signals.extend(self.short.iter().map(|(subject, short)| {
            let total = Value::Counter { total: short.total };
            let signal = Signal::new(subject.as_str(), total).of(short.role);
            Signal { owner: short.owner.clone(), ..signal }
        }));
        signals.extend(self.others.iter().filter(|(_, total)| **total > 0).map(|(role, total)| {
            let name = match role {
                Role::Workload => OTHERS.to_owned(),
                _ => format!("{OTHERS} ({})", role.as_str()),
            };
            Signal::new(name, Value::Counter { total: *total }).of(*role)
        }));
        if self.housekeeping > 0 {
            let value = Value::Counter { total: self.housekeeping };
            signals.push(Signal::new(HOUSEKEEPING, value).ignored());
        }
        signals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn client(cookie: u64, received: u64) -> Client {
        let port = u16::try_from(cookie % 60_000 + 1).unwrap();
        Client {
            cookie,
            port: 8888,
            remote: SocketAddr::from(([203, 0, 113, u8::try_from(cookie / 60_000).unwrap()], port)),
            received,
            alive: true,
            owner: Some("alice".to_owned()),
            to: Server::Person,
        }
    }

    fn taken(ledger: &mut Ledger, now: Stamp, clients: Vec<Client>) -> Vec<Signal> {
        ledger.take(now, clients, Vec::new())
    }

    fn at(seconds: u64) -> Stamp {
        Stamp::new(seconds * 1000, 0, 0)
    }

    fn totals(signals: &[Signal]) -> Vec<u64> {
        let total = |signal: &Signal| match signal.value {
            Value::Counter { total } => total,
            ref other => panic!("{other:?}"),
        };
        signals.iter().map(total).collect()
    }

    #[test]
    fn a_counter_begins_when_it_is_met() {
        let mut ledger = Ledger::default();
        assert_eq!(totals(&taken(&mut ledger, at(0), vec![client(1, 5000)])), [0]);
        assert_eq!(totals(&taken(&mut ledger, at(10), vec![client(1, 5600)])), [600]);
        let signals = taken(&mut ledger, at(20), vec![client(1, 5600), client(2, 70)]);
        assert_eq!(totals(&signals), [600, 70], "a new connection counts whole");
        assert_eq!(signals[0].subject, "alice 203.0.113.0:2 to port 8888");
        assert_eq!(signals[0].owner.as_deref(), Some("alice"));
    }

    #[test]
    fn another_connection_with_the_same_ends_does_not_make_the_counter_fall() {
        let mut ledger = Ledger::default();
        taken(&mut ledger, at(0), Vec::new());
        assert_eq!(totals(&taken(&mut ledger, at(10), vec![client(1, 900)])), [900]);
        let again = Client { cookie: 2, ..client(1, 30) };
        assert_eq!(totals(&taken(&mut ledger, at(20), vec![again])), [930]);
    }

    #[test]
    fn strangers_at_sshd_do_not_count_and_a_session_does() {
        let mut ledger = Ledger::default();
        let ssh = |cookie, received| Client { owner: None, to: Server::Sshd, ..client(cookie, received) };
        taken(&mut ledger, at(0), Vec::new());
        for attempt in 1..500 {
            let signals = taken(&mut ledger, at(attempt), vec![ssh(attempt, 9000), ssh(attempt + 1, 100)]);
            assert_eq!(totals(&signals), [0, 0]);
        }
        taken(&mut ledger, at(1000), vec![ssh(900, 3000)]);
        assert_eq!(totals(&taken(&mut ledger, at(1010), vec![ssh(900, 70_000)])), [70_000 - 65_536]);
        taken(&mut ledger, at(1150), vec![ssh(900, 70_000)]);
        let signals = taken(&mut ledger, at(1160), vec![ssh(900, 70_050)]);
        assert_eq!(totals(&signals), [70_000 - 65_536 + 50]);
        assert!(signals[0].subject.starts_with("ssh 203.0.113."), "{}", signals[0].subject);
    }

    #[test]
    fn among_thousands_the_one_that_is_used_is_shown() {
        let mut ledger = Ledger::default();
        let mut used = 0;
        for look in 0..60_u64 {
            // Everybody is kept open with 60 bytes every 30 seconds; the last one types.
            let sent = |cookie: u64| (look + cookie % 3) / 3 * 60;
            let mut clients: Vec<_> = (0..10_000).map(|cookie| client(cookie, sent(cookie))).collect();
            clients.push(client(10_000, look * 700));
            let signals = taken(&mut ledger, at(look * 10), clients);
            assert!(signals.len() <= SHOWN + 1);
            let typing = signals.iter().find(|it| it.subject.contains(":10001 "));
            used = typing.map_or(used, |it| totals(std::slice::from_ref(it))[0]);
        }
        assert!(used >= 58 * 700, "{used}");
    }

    #[test]
    fn clients_of_the_systems_services_are_shown_in_one_sum_and_do_not_count() {
        let mut ledger = Ledger::default();
        taken(&mut ledger, at(0), Vec::new());
        let scrape = |cookie| Client { to: Server::Housekeeping, ..client(cookie, 9000) };
        let signals = taken(&mut ledger, at(10), vec![scrape(1), scrape(2)]);
        assert_eq!(signals.len(), 1);
        assert_eq!(signals[0].role, Role::Ignored);
        assert_eq!(totals(&signals), [18_000]);
    }

    #[test]
    fn one_that_is_not_shown_still_counts() {
        let mut ledger = Ledger::default();
        taken(&mut ledger, at(0), Vec::new());
        let crowd = |sent: u64| (0..300).map(move |cookie| client(cookie, sent)).collect::<Vec<_>>();
        let signals = taken(&mut ledger, at(10), crowd(900));
        assert_eq!(signals.len(), SHOWN + 1);
        assert!(totals(&signals).iter().all(|total| *total == 900));
    }

    #[test]
    fn of_many_short_connections_the_busiest_client_stands_for_those_of_its_role() {
        let mut ledger = Ledger::default();
        taken(&mut ledger, at(0), Vec::new());
        let short = |number: u64, sent: u64, to: Server| Client {
            remote: SocketAddr::from(([198, 51, 100, u8::try_from(number % 250).unwrap()], 9)),
            to,
            ..client(number, sent)
        };
        let probe = |number| short(number, 300, Server::Unit(Role::Server));
        let mut others = BTreeMap::new();
        for look in 1..=6 {
            // A hundred probes of a package's server, and two requests on a connection each of one more client than is shown.
            let mut ended: Vec<_> = (0..100).map(|number| probe(look * 1000 + number)).collect();
            ended.extend((0..2).map(|number| short(look * 1000 + 700 + number * 250, 450, Server::Person)));
            let signals = ledger.take(at(look * 10), Vec::new(), ended);
            let found = signals.iter().filter(|it| it.subject.starts_with(OTHERS));
            others = found.map(|it| (it.role, totals(std::slice::from_ref(it))[0])).collect();
        }
        assert_eq!(others, [(Role::Workload, 5400), (Role::Server, 1800)].into());
    }

    #[test]
    fn a_connection_that_is_shown_again_begins_anew() {
        let mut ledger = Ledger::default();
        taken(&mut ledger, at(0), Vec::new());
        taken(&mut ledger, at(10), vec![client(1, 100_000)]);
        let crowd = (10..250).map(|cookie| client(cookie, 1 << 30));
        taken(&mut ledger, at(20), crowd.chain([client(1, 100_000)]).collect());
        let signals = taken(&mut ledger, at(30), vec![client(1, 100_040)]);
        assert_eq!(totals(&signals)[0], 40);
    }

    #[test]
    fn what_beats_like_a_clock_is_shown_and_counts_again_when_it_does_not() {
        use agent_core::reading::Role::{Ignored, Workload};
        let mut ledger = Ledger::default();
        let mut received = 0;
        let mut roles = Vec::new();
        for second in (0..3 * 3600).step_by(10) {
            // 52 bytes twice a second; after two and a half hours somebody comes back.
            received += if second < 9000 { 1040 } else { 9000 };
            roles.push(taken(&mut ledger, at(second), vec![client(1, received)])[0].role);
        }
        assert!(roles[..360].iter().all(|role| *role == Workload));
        assert!(roles[370..900].iter().all(|role| *role == Ignored));
        assert!(roles[901..].iter().all(|role| *role == Workload));
    }

    proptest::proptest! {
        /// No order of connections makes a counter that is still shown fall.
        #[test]
        fn counters_never_fall(looks in proptest::collection::vec(
            proptest::collection::btree_map(0_u64..6, 0_u64..200_000, 0..6), 1..30))
        {
            let mut ledger = Ledger::default();
            let mut before = BTreeMap::new();
            let mut now = Stamp::new(1_000_000, 0, 0);
            for look in looks {
                now = now.after(Duration::from_secs(40));
                let clients = look.into_iter().map(|(cookie, received)| Client {
                    to: [Server::Sshd, Server::Housekeeping, Server::Person][usize::try_from(cookie.min(2)).unwrap()],
                    ..client(cookie, received)
                });
                let signals = taken(&mut ledger, now, clients.collect());
                let counts: BTreeMap<_, _> = signals.iter().map(|it| it.subject.clone()).zip(totals(&signals)).collect();
                for (subject, total) in &counts {
                    let old = before.get(subject).copied().unwrap_or(0);
                    proptest::prop_assert!(*total >= old, "{subject}");
                }
                before = counts;
            }
        }
    }
}
