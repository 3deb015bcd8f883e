use super::*;
use crate::host::tree::Tree;

/// A machine whose card and protocols count.
struct Machine {
    tree: Tree,
    account: Account,
    now: u64,
    bytes: (u64, u64),
    packets: (u64, u64),
    datagrams: (u64, u64),
    connections: (u64, u64),
    wrong: u32,
}

/// What happens in a second.
#[derive(Clone, Copy, Default)]
struct Second {
    /// Payload on the card, in and out.
    carried: (u64, u64),
    /// Of it, on connections that are booked.
    booked: (u64, u64),
    /// Of it, by containers.
    apart: (u64, u64),
    datagrams: (u64, u64),
    /// Connections opened and accepted whose end was not told.
    lost: (u64, u64),
    /// Whether ends are lost.
    torn: bool,
    /// Datagrams on the loopback device, each way.
    inside: u64,
    /// Packets of connections beside those that are full, each way.
    small: u64,
}

impl Machine {
    fn new() -> Self {
        let tree = Tree::new();
        tree.folder("/sys/class/net/eth0/device");
        let zero = (0, 0);
        let (bytes, packets, datagrams, connections) = (zero, zero, zero, zero);
        Self { tree, account: Account::default(), now: 0, bytes, packets, datagrams, connections, wrong: 0 }
    }

    fn write(&self) {
        let line = format!(
            "  eth0: {} {} 0 0 0 0 0 0 {} {} 0 0 0 0 0 0\n",
            self.bytes.0, self.packets.0, self.bytes.1, self.packets.1
        );
        self.tree.file("/proc/net/dev", format!("Inter-|\n face |\n{line}"));
        let snmp = format!(
            "Tcp: ActiveOpens PassiveOpens\nTcp: {} {}\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: {} 0 0 {}\n",
            self.connections.0, self.connections.1, self.datagrams.0, self.datagrams.1
        );
        self.tree.file("/proc/net/snmp", snmp);
    }

    /// Looks every ten seconds for so many; what counts a second as datagrams and as unexplained.
    fn run(&mut self, seconds: u64, one: Second) -> (u64, u64) {
        let (mut datagrams, mut unexplained) = (0, 0);
        for _ in 0..seconds / 10 {
            self.now += 10;
            let (packets_in, packets_out) =
                (one.carried.0 / 1400 + one.datagrams.0 + one.small, one.carried.1 / 1400 + one.datagrams.1 + one.small);
            let headers = |packets: u64, datagrams: u64| {
                (packets - datagrams) * HEADERS + datagrams * DATAGRAM_HEADERS
            };
            self.bytes.0 += 10 * (one.carried.0 + headers(packets_in, one.datagrams.0));
            self.bytes.1 += 10 * (one.carried.1 + headers(packets_out, one.datagrams.1));
            self.packets.0 += 10 * packets_in;
            self.packets.1 += 10 * packets_out;
            self.datagrams.0 += 10 * (one.datagrams.0 + one.inside);
            self.datagrams.1 += 10 * (one.datagrams.1 + one.inside);
            self.connections.0 += 10 * one.lost.0;
            self.connections.1 += 10 * one.lost.1;
            self.write();
            let moved = Moved {
                received: 10 * one.booked.0,
                sent: 10 * one.booked.1,
                opened: 0,
                accepted: 0,
            };
            let apart = (10 * one.apart.0, 10 * one.apart.1);
            let booked = Booked { moved, apart, whole: !one.torn };
            let now = Stamp::new(self.now * 1000, 0, 0);
            match self.account.look(&self.tree.root(), now, &booked).unwrap() {
                Ok(rest) => {
                    datagrams += rest.datagrams;
                    unexplained += rest.unexplained;
                }
                Err(open) => {
                    assert_eq!(open, Open::Wrong);
                    self.wrong += 1;
                }
            }
        }
        (datagrams / seconds, unexplained / seconds)
    }
}

/// What counts a second of ten minutes.
fn counted(one: Second) -> (u64, u64) {
    let mut machine = Machine::new();
    machine.run(10, Second::default());
    let found = machine.run(600, one);
    assert_eq!(machine.wrong, 0);
    found
}

#[test]
fn a_machine_without_counters_says_so() {
    let mut account = Account::default();
    let root = Tree::new().root();
    let found = account.look(&root, Stamp::default(), &Booked::default()).unwrap();
    assert_eq!(found, Err(Open::Untold));
}

#[test]
fn what_is_booked_leaves_no_rest() {
    for rate in [0, 500, 40_000, 50_000_000] {
        let one = Second { carried: (rate, rate / 50), booked: (rate, rate / 50), ..Second::default() };
        assert_eq!(counted(one), (0, 0), "{rate}");
    }
}

#[test]
fn a_game_over_udp_counts_from_its_first_look() {
    let one = Second { carried: (16_000, 33_000), datagrams: (39, 39), ..Second::default() };
    let (datagrams, unexplained) = counted(one);
    assert!((47_000..=49_000).contains(&datagrams), "{datagrams}");
    assert_eq!(unexplained, 0);
    let mut machine = Machine::new();
    machine.run(10, Second::default());
    assert!(machine.run(10, one).0 > 40_000);
}

#[test]
fn a_call_of_the_slowest_voice_counts_and_as_many_datagrams_without_one_do_not() {
    let call = Second { carried: (1600, 1600), datagrams: (50, 50), ..Second::default() };
    assert!((2900..=3300).contains(&counted(call).0), "{:?}", counted(call));
    let mut machine = Machine::new();
    machine.run(10, Second::default());
    assert!(machine.run(30, call).0 > 2000, "an agent that was just started sees it, too");
    for (what, one) in [
        ("datagrams of the loopback device", Second { inside: 50, ..Second::default() }),
        (
            "the same beside a connection of many packets",
            Second { carried: (5000, 5000), booked: (5000, 5000), small: 50, inside: 50, ..Second::default() },
        ),
        ("questions for names", Second { carried: (1600, 1900), datagrams: (20, 20), ..call }),
        ("what is tolerated", Second { carried: (1000, 1000), datagrams: (90, 90), ..call }),
        ("only heard", Second { carried: (1600, 0), datagrams: (50, 0), ..call }),
    ] {
        assert_eq!(counted(one), (0, 0), "{what}");
    }
}

#[test]
fn containers_that_talk_to_each_other_hide_no_game() {
    let game = Second { carried: (3000, 7000), datagrams: (30, 30), ..Second::default() };
    let alone = counted(game).0;
    assert!(alone > 9000, "{alone}");
    assert_eq!(counted(Second { apart: (7000, 7000), ..game }), (alone, 0));
}

#[test]
fn names_time_a_scan_and_a_sink_of_logs_are_nobodys() {
    for (what, carried, datagrams) in [
        ("names and time", (400, 300), (2, 2)),
        ("a sink of logs", (15_000, 0), (30, 0)),
        ("a scan", (3000, 0), (60, 0)),
        ("a sender of metrics", (0, 9000), (0, 50)),
    ] {
        assert_eq!(counted(Second { carried, datagrams, ..Second::default() }), (0, 0), "{what}");
    }
}

#[test]
fn a_stream_that_is_sent_counts_although_nobody_answers() {
    let one = Second { carried: (0, 40_000), datagrams: (0, 33), ..Second::default() };
    assert!(counted(one).0 > 35_000);
}

#[test]
fn a_stream_that_a_program_takes_in_counts_although_it_answers_nothing() {
    let one = Second { carried: (40_000, 0), datagrams: (33, 0), ..Second::default() };
    assert!(counted(one).0 > 35_000);
}

#[test]
fn a_download_over_quic_counts() {
    let one = Second { carried: (500_000, 1200), datagrams: (400, 30), ..Second::default() };
    assert!(counted(one).0 > 450_000);
}

#[test]
fn what_nothing_explains_counts_and_what_containers_carried_explains_a_rest() {
    let one = Second { carried: (0, 50_000), ..Second::default() };
    let (datagrams, unexplained) = counted(one);
    assert_eq!(datagrams, 0);
    assert!((42_000..=50_000).contains(&unexplained), "{unexplained}");
    assert_eq!(counted(Second { apart: (0, 50_000), ..one }), (0, 0));
    assert_eq!(counted(Second { carried: (500, 400), ..Second::default() }).1, 0, "ARP and pings");
}

#[test]
fn where_ends_are_lost_a_brute_force_is_nobodys_and_work_is_work() {
    let force = Second { carried: (5700, 5700), lost: (0, 2), torn: true, ..Second::default() };
    assert_eq!(counted(force), (0, 0), "5.7 kB a connection");
    let pull = Second { carried: (50_000, 400), lost: (1, 0), torn: true, ..Second::default() };
    assert!(counted(pull).1 > 40_000, "what was opened from here");
    let served = Second { carried: (500, 50_000), lost: (0, 1), torn: true, ..Second::default() };
    assert!(counted(served).1 > 40_000, "50 kB a connection");
    assert!(counted(Second { lost: (1, 2), ..force }).1 > 8000, "both: the doubt keeps it up");
}

#[test]
fn acknowledgements_that_come_late_are_no_rest() {
    let mut machine = Machine::new();
    machine.run(10, Second::default());
    let mut sum = 0;
    for look in 0..60 {
        let late = if look % 2 == 0 { (0, 80_000) } else { (0, 120_000) };
        sum += machine.run(10, Second { carried: (0, 100_000), booked: late, ..Second::default() }).1;
    }
    assert!(sum / 60 < 1500, "{}", sum / 60);
    assert_eq!(machine.wrong, 0);
}

#[test]
fn a_total_below_what_connections_carried_is_wrong_and_datagrams_are_counted() {
    let mut machine = Machine::new();
    machine.run(10, Second::default());
    let one = Second { carried: (1000, 1000), booked: (50_000, 50_000), ..Second::default() };
    assert_eq!(machine.run(600, one), (0, 0));
    assert!(machine.wrong > 50);
    let found = machine.run(600, Second { datagrams: (40, 40), ..one });
    assert!(found.0 > 10_000, "{found:?}");
}

#[test]
fn a_card_that_is_taken_away_makes_no_rest() {
    let mut machine = Machine::new();
    machine.bytes = (5_000_000, 5_000_000);
    machine.run(20, Second::default());
    machine.bytes = (0, 0);
    assert_eq!(machine.run(60, Second::default()), (0, 0));
    let again = Second { carried: (0, 50_000), ..Second::default() };
    assert!(machine.run(600, again).1 > 40_000);
}
